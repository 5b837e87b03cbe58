//! Exports the checkpoints of a training run as weights for drawing: networks in half precision, a
//! config, a table of concepts and a retrieval index.

use super::TrainError;
use super::batches::captions;
use super::checkpoint::{self, Parts, RunState};
use super::data::dataset::Dataset;
use super::one_pass::is_one_pass;
use super::phase::PhaseKind;
use super::picture_tokenizer::PictureTokenizer;
use super::pretrained::PretrainedWeights;
use super::variables::Tensors;
use base::progress::Observer;
use candle_core::{DType, Device, Tensor};
use imagegen::concepts::Concepts;
use imagegen::config::Config;
use imagegen::eight_bit_files::dequantize_all;
use imagegen::retrieval_index::RetrievalIndex;
use llm::sentence_encoder::WIDTH;
use safetensors::serialize_to_file;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// The sources of an export, and the folder to write.
pub struct Export<'a> {
    /// The folder with the training run's checkpoints.
    pub run: &'a Path,
    /// The folder to write.
    pub out: &'a Path,
    /// The folder of the weights that the training run started from. Networks that the run did not
    /// train are copied from this folder.
    pub from: Option<&'a Path>,
    pub dataset: &'a Dataset,
    /// The embeddings of the dataset's [`captions`]: `[captions, WIDTH]`, each of unit length.
    pub embeddings: &'a [f32],
}

/// Loads the checkpoint of a phase, or fails if there is none.
pub fn load_checkpoint(
    run: &Path,
    phase: PhaseKind,
    device: &Device,
) -> Result<(RunState, Parts), TrainError> {
    let path = phase.checkpoint(run);
    checkpoint::read(&path, device)?.ok_or(TrainError::MissingPhase(path, phase))
}

/// Removes the averaged weights of a network from a checkpoint and returns them.
pub fn take_ema(parts: &mut Parts, name: &str) -> Result<Tensors, TrainError> {
    let missing = || TrainError::Compute(format!("the checkpoint has no {name}"));
    parts.remove(&format!("{name}.mean")).ok_or_else(missing)
}

/// Writes weights for drawing. Networks that the run did not train are copied from the weights that
/// the run started from.
pub fn export(what: &Export, observer: &dyn Observer) -> Result<(), TrainError> {
    let Export {
        run,
        out,
        from,
        dataset,
        embeddings,
    } = *what;
    let start = from.map(|folder| PretrainedWeights::load(folder, &dataset.styles));
    let start = start.transpose()?;
    let one_pass = checkpoint::read::<Config>(&PhaseKind::Direct.checkpoint(run), &Device::Cpu)?;
    let (config, networks) = match one_pass {
        Some((state, mut parts)) => {
            let mut network = |name| Ok::<_, TrainError>((name, take_ema(&mut parts, name)?));
            let networks = vec![network("generator")?, network("encoder")?];
            (state.config, networks)
        }
        None => token_networks(run, start.as_ref())?,
    };
    let known = start
        .as_ref()
        .map(PretrainedWeights::concepts)
        .transpose()?;
    let disk = |why: std::io::Error| TrainError::Disk(out.into(), why.to_string());
    std::fs::create_dir_all(out).map_err(disk)?;
    let json = serde_json::to_string(&config).unwrap_or_default();
    std::fs::write(out.join("config.json"), json).map_err(disk)?;
    let labels = save_concepts(out, dataset, embeddings, known.as_ref())?;
    for (name, tensors) in networks {
        if name == "encoder" && !is_one_pass(&config) {
            let floats = dequantize_all(tensors.clone())?;
            let tokenizer = PictureTokenizer::new(&floats, &config, &Device::Cpu)?;
            let mut memory = retrieval_index(dataset, &labels, &tokenizer, &config, observer)?;
            // Training changed the encoder of these weights only a little: their tokens keep their
            // meaning.
            if let Some((start, known)) = start.as_ref().zip(known.as_ref()) {
                let own = |concept, style| {
                    let label = known.labels().get(concept as usize)?;
                    Some((*labels.get(label)?, style))
                };
                memory.extend(start.memory(known.labels().len())?.renumbered(own));
            }
            save(
                out,
                "memory",
                &memory.to_tensors()?.into_iter().collect(),
                None,
            )?;
        }
        save_network(out, name, tensors)?;
    }
    Ok(())
}

/// Builds the retrieval index from the tokens of all pictures without a skin tone. Held-out
/// pictures are included, since retrieval only looks drawings up and learns nothing from them.
fn retrieval_index(
    pictures: &Dataset,
    labels: &HashMap<String, u32>,
    tokenizer: &PictureTokenizer,
    config: &Config,
    observer: &dyn Observer,
) -> Result<RetrievalIndex, TrainError> {
    let plain = |at: &usize| pictures.tone[*at] == 0;
    let which: Vec<usize> = (0..pictures.len()).filter(plain).collect();
    let all = tokenizer.encode(pictures, &which, false, observer)?;
    let mut memory = RetrievalIndex::default();
    for (at, digits) in which.iter().zip(&all) {
        let label = &pictures.concepts[pictures.concept[*at] as usize].label;
        if let Some(concept) = labels.get(label) {
            memory.insert((*concept, pictures.style[*at]), digits, config);
        }
    }
    Ok(memory)
}

/// Networks, as pairs of a file name and the tensors.
type Networks = Vec<(&'static str, Tensors)>;

/// Returns the config and the networks of the token design.
fn token_networks(
    run: &Path,
    start: Option<&PretrainedWeights>,
) -> Result<(Config, Networks), TrainError> {
    let device = &Device::Cpu;
    let mut configs: Vec<Config> = Vec::new();
    let mut trained = |phase: PhaseKind| {
        let path = phase.checkpoint(run);
        let found = checkpoint::read::<Config>(&path, device)?;
        let config = found.as_ref().map(|(state, _)| state.config.clone());
        let own = configs.first().or(start.map(|start| &start.config));
        if own
            .zip(config.as_ref())
            .is_some_and(|(own, config)| own != config)
        {
            return Err(TrainError::DifferentRun(path, "model size or --from"));
        }
        configs.extend(config);
        Ok(found.map(|(_, parts)| parts))
    };
    let mut first = trained(PhaseKind::Reconstruct)?;
    let mut second = trained(PhaseKind::Tokens)?;
    let mut third = trained(PhaseKind::Paint)?;
    let mut fourth = trained(PhaseKind::Refine)?;
    let part = |phase: PhaseKind, from: &mut [&mut Option<Parts>], name: &str| {
        let found = from.iter_mut().find_map(|parts| parts.as_mut());
        match (found, start) {
            (Some(parts), _) => take_ema(parts, name),
            (None, Some(start)) => start.stored(name, device),
            (None, None) => Err(TrainError::MissingPhase(phase.checkpoint(run), phase)),
        }
    };
    let painted = &mut [&mut fourth, &mut third, &mut first];
    let generator = part(PhaseKind::Reconstruct, painted, "generator")?;
    let encoder = part(PhaseKind::Reconstruct, &mut [&mut first], "encoder")?;
    let tokens = part(PhaseKind::Tokens, &mut [&mut second], "tokens")?;
    let mut networks = vec![
        ("generator", generator),
        ("encoder", encoder),
        ("tokens", tokens),
    ];
    let refined = fourth.is_some() || start.is_some_and(|start| start.has("refiner"));
    if refined {
        networks.push((
            "refiner",
            part(PhaseKind::Refine, &mut [&mut fourth], "refiner")?,
        ));
    }
    match configs.pop() {
        Some(config) => Ok((config, networks)),
        None => Err(TrainError::MissingPhase(
            PhaseKind::Tokens.checkpoint(run),
            PhaseKind::Tokens,
        )),
    }
}

fn save_network(out: &Path, name: &str, tensors: Tensors) -> Result<(), TrainError> {
    // Matrices of networks that were not trained may be stored in 8 bits already.
    let half = |(name, tensor): (String, Tensor)| match tensor.dtype() {
        DType::U8 => Ok((name, tensor)),
        _ => Ok((name, tensor.to_dtype(DType::F16)?)),
    };
    let tensors: Tensors = tensors
        .into_iter()
        .map(half)
        .collect::<Result<_, candle_core::Error>>()?;
    save(out, name, &tensors, None)
}

fn save(
    out: &Path,
    name: &str,
    tensors: &Tensors,
    metadata: Option<HashMap<String, String>>,
) -> Result<(), TrainError> {
    let path = out.join(format!("{name}.safetensors"));
    let saved = serialize_to_file(tensors.iter(), metadata, &path);
    saved.map_err(|why| TrainError::Disk(path, why.to_string()))
}

/// Writes the table of concepts: the dataset's concepts with their labels and tags, and the
/// concepts of the weights that the run started from. Returns the index of the concept that belongs
/// to each label.
fn save_concepts(
    out: &Path,
    pictures: &Dataset,
    embeddings: &[f32],
    known: Option<&Concepts>,
) -> Result<HashMap<String, u32>, TrainError> {
    let shown: BTreeSet<u32> = pictures.concept.iter().copied().collect();
    let all = captions(pictures);
    let rows = all.iter().zip(embeddings.chunks_exact(WIDTH));
    let rows: HashMap<&String, &[f32]> = rows.collect();
    let mut table = ConceptTable::default();
    for concept in shown {
        let concept = &pictures.concepts[concept as usize];
        let label = &concept.label;
        let plain = label.strip_prefix("person ").unwrap_or(label);
        for caption in &concept.captions {
            if let Some(row) = rows.get(caption).filter(|_| is_alias(caption, plain)) {
                table.add(label, row);
            }
        }
    }
    for (label, row) in known.into_iter().flat_map(Concepts::aliases) {
        table.add(label, row);
    }
    table.save(out)?;
    Ok(table.numbers)
}

/// The cosine similarity above which two embeddings are assumed to be of the same text and to
/// differ only by rounding errors.
const SAME_TEXT: f32 = 0.999;

/// A table of concepts and their aliases, in the order in which the aliases were added.
#[derive(Default)]
struct ConceptTable {
    labels: Vec<String>,
    numbers: HashMap<String, u32>,
    concept: Vec<u32>,
    embeddings: Vec<f32>,
    /// For each concept, the indices of its aliases.
    aliases: Vec<Vec<usize>>,
}

impl ConceptTable {
    /// Adds an alias to the concept named `label`, unless the concept already has it. Pictures with
    /// the same label belong to one concept, even if their other captions differ, as may happen
    /// with a user's own pictures.
    fn add(&mut self, label: &str, embedding: &[f32]) {
        let new = self.labels.len() as u32;
        let concept = *self.numbers.entry(label.to_string()).or_insert(new);
        if concept == new {
            self.labels.push(label.to_string());
            self.aliases.push(Vec::new());
        }
        let row = |alias: &usize| &self.embeddings[alias * embedding.len()..][..embedding.len()];
        let like = |alias: &usize| {
            row(alias)
                .iter()
                .zip(embedding)
                .map(|(a, b)| a * b)
                .sum::<f32>()
        };
        let own = &self.aliases[concept as usize];
        if own.iter().all(|alias| like(alias) < SAME_TEXT) {
            self.aliases[concept as usize].push(self.concept.len());
            self.concept.push(concept);
            self.embeddings.extend_from_slice(embedding);
        }
    }

    fn save(&self, out: &Path) -> Result<(), TrainError> {
        let count = self.concept.len();
        let embeddings = Tensor::from_slice(&self.embeddings, (count, WIDTH), &Device::Cpu)?;
        let concept = Tensor::from_slice(&self.concept, count, &Device::Cpu)?;
        let tensors = Tensors::from([
            ("embeddings".to_string(), embeddings.to_dtype(DType::F16)?),
            ("concept".to_string(), concept),
        ]);
        let labels = serde_json::to_string(&self.labels).unwrap_or_default();
        let metadata = HashMap::from([("labels".into(), labels)]);
        save(out, "concepts", &tensors, Some(metadata))
    }
}

/// Whether a caption is only a label or only a tag, without an article. `plain` is the label
/// without the word "person" at its start.
fn is_alias(caption: &str, plain: &str) -> bool {
    let rest = caption.strip_prefix(plain);
    let joined = rest.is_some_and(|rest| rest.starts_with([' ', ',']));
    let article = ["a ", "an "]
        .iter()
        .any(|article| caption.strip_prefix(article) == Some(plain));
    !joined && !article
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_that_is_there_already_is_not_added_again() {
        let mut table = ConceptTable::default();
        let [one, same, other] = [[1.0, 0.0], [0.9999, 0.01], [0.98, 0.2]];
        for (label, row) in [("owl", one), ("owl", same), ("owl", other), ("bat", one)] {
            table.add(label, &row);
        }
        assert_eq!(table.concept, [0, 0, 1]);
    }

    #[test]
    fn aliases_are_labels_and_tags_by_themselves() {
        let alone = |caption| is_alias(caption, "owl");
        assert!(alone("owl") && alone("wise bird") && alone("owlet"));
        assert!(!alone("an owl") && !alone("owl, bird") && !alone("owl bird"));
    }
}
