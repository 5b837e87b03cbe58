//! From checkpoints to a set of weights that draws: half precision, config and table of concepts.

use super::TrainError;
use super::batches::captions;
use super::checkpoint::{self, Parts, State};
use super::data::file::Pictures;
use super::one_pass::is_one_pass;
use super::run::checkpoint_of;
use super::start::Start;
use super::tokenize::Tokenizer;
use super::variables::Tensors;
use candle_core::{DType, Device, Tensor};
use imagegen::concepts::Concepts;
use imagegen::config::Config;
use imagegen::eight_bit::dequantize_all;
use imagegen::retrieval_index::RetrievalIndex;
use llm::sentence_encoder::WIDTH;
use safetensors::serialize_to_file;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// Reads a phase's checkpoint, which must be there.
pub fn finished(
    folder: &Path,
    phase: &'static str,
    device: &Device,
) -> Result<(State, Parts), TrainError> {
    let path = checkpoint_of(folder, phase);
    checkpoint::read(&path, device)?.ok_or(TrainError::Before(path, phase))
}

/// The mean weights of a network in a checkpoint.
pub fn mean(parts: &mut Parts, name: &str) -> Result<Tensors, TrainError> {
    let missing = || TrainError::Compute(format!("the checkpoint has no {name}"));
    parts.remove(&format!("{name}.mean")).ok_or_else(missing)
}

/// Writes the files of a set of weights: what the run has trained, and the rest from the weights
/// that it began with. `embeddings` are those of [`captions`], each of length one, one
/// after the other. `tell` hears how many of how many pictures are read to be remembered.
pub fn export(
    run: &Path,
    out: &Path,
    pictures: &Pictures,
    embeddings: &[f32],
    from: Option<&Path>,
    tell: &mut dyn FnMut(usize, usize),
) -> Result<(), TrainError> {
    let start = from.map(|folder| Start::read(folder, &pictures.styles));
    let start = start.transpose()?;
    let direct = checkpoint::read(&checkpoint_of(run, "direct"), &Device::Cpu)?;
    let (config, networks) = match direct {
        Some((state, mut parts)) => {
            let mut network = |name| Ok::<_, TrainError>((name, mean(&mut parts, name)?));
            let networks = vec![network("generator")?, network("encoder")?];
            (state.config, networks)
        }
        None => composed(run, start.as_ref())?,
    };
    let known = start.as_ref().map(Start::concepts).transpose()?;
    let disk = |why: std::io::Error| TrainError::Disk(out.into(), why.to_string());
    std::fs::create_dir_all(out).map_err(disk)?;
    let json = serde_json::to_string(&config).unwrap_or_default();
    std::fs::write(out.join("config.json"), json).map_err(disk)?;
    let labels = concepts(out, pictures, embeddings, known.as_ref())?;
    for (name, tensors) in networks {
        if name == "encoder" && !is_one_pass(&config) {
            let floats = dequantize_all(tensors.clone())?;
            let mut memory = remembered(pictures, &labels, (&floats, &config), tell)?;
            // An encoder that was trained on has moved little: its tokens still mean what they did.
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
        network(out, name, tensors)?;
    }
    Ok(())
}

/// Tokens of the pictures, those held out too (what is remembered is looked up, not learned), but for
/// those of skin tones.
fn remembered(
    pictures: &Pictures,
    labels: &HashMap<String, u32>,
    (encoder, config): (&Tensors, &Config),
    tell: &mut dyn FnMut(usize, usize),
) -> Result<RetrievalIndex, TrainError> {
    let plain = |at: &usize| pictures.tone[*at] == 0;
    let which: Vec<usize> = (0..pictures.len()).filter(plain).collect();
    let tokenizer = Tokenizer::new(encoder, config, &Device::Cpu)?;
    let all = tokenizer.read(pictures, &which, false, &mut |done| tell(done, which.len()))?;
    let mut memory = RetrievalIndex::default();
    for (at, digits) in which.iter().zip(&all) {
        let label = &pictures.concepts[pictures.concept[*at] as usize].label;
        if let Some(concept) = labels.get(label) {
            memory.insert((*concept, pictures.style[*at]), digits, config);
        }
    }
    Ok(memory)
}

/// Networks by the names of their files.
type Networks = Vec<(&'static str, Tensors)>;

/// The networks of the composed design, and their sizes.
fn composed(run: &Path, start: Option<&Start>) -> Result<(Config, Networks), TrainError> {
    let device = &Device::Cpu;
    let mut configs: Vec<Config> = Vec::new();
    let mut trained = |phase: &'static str| {
        let path = checkpoint_of(run, phase);
        let found = checkpoint::read(&path, device)?;
        let config = found.as_ref().map(|(state, _)| state.config.clone());
        let own = configs.first().or(start.map(|start| &start.config));
        if own
            .zip(config.as_ref())
            .is_some_and(|(own, config)| own != config)
        {
            return Err(TrainError::Other(path, "size of model or --from"));
        }
        configs.extend(config);
        Ok(found.map(|(_, parts)| parts))
    };
    let mut first = trained("reconstruct")?;
    let mut second = trained("tokens")?;
    let mut third = trained("paint")?;
    let mut fourth = trained("refine")?;
    let part = |phase: &'static str, from: &mut [&mut Option<Parts>], name: &str| {
        let found = from.iter_mut().find_map(|parts| parts.as_mut());
        match (found, start) {
            (Some(parts), _) => mean(parts, name),
            (None, Some(start)) => start.stored(name, device),
            (None, None) => Err(TrainError::Before(checkpoint_of(run, phase), phase)),
        }
    };
    let painted = &mut [&mut fourth, &mut third, &mut first];
    let generator = part("reconstruct", painted, "generator")?;
    let encoder = part("reconstruct", &mut [&mut first], "encoder")?;
    let tokens = part("tokens", &mut [&mut second], "tokens")?;
    let mut networks = vec![
        ("generator", generator),
        ("encoder", encoder),
        ("tokens", tokens),
    ];
    let refined = fourth.is_some() || start.is_some_and(|start| start.has("refiner"));
    if refined {
        networks.push(("refiner", part("refine", &mut [&mut fourth], "refiner")?));
    }
    match configs.pop() {
        Some(config) => Ok((config, networks)),
        None => Err(TrainError::Before(checkpoint_of(run, "tokens"), "tokens")),
    }
}

fn network(out: &Path, name: &str, tensors: Tensors) -> Result<(), TrainError> {
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
    words: Option<HashMap<String, String>>,
) -> Result<(), TrainError> {
    let path = out.join(format!("{name}.safetensors"));
    let saved = serialize_to_file(tensors.iter(), words, &path);
    saved.map_err(|why| TrainError::Disk(path, why.to_string()))
}

/// The table of what can be drawn: the concepts of the pictures, by label and own tags, and
/// those that the weights to begin with knew. Gives the number of each label.
fn concepts(
    out: &Path,
    pictures: &Pictures,
    embeddings: &[f32],
    known: Option<&Concepts>,
) -> Result<HashMap<String, u32>, TrainError> {
    let shown: BTreeSet<u32> = pictures.concept.iter().copied().collect();
    let all = captions(pictures);
    let rows = all.iter().zip(embeddings.chunks_exact(WIDTH));
    let rows: HashMap<&String, &[f32]> = rows.collect();
    let mut table = Table::default();
    for concept in shown {
        let concept = &pictures.concepts[concept as usize];
        let label = &concept.label;
        let plain = label.strip_prefix("person ").unwrap_or(label);
        for caption in &concept.captions {
            if let Some(row) = rows.get(caption).filter(|_| stands_alone(caption, plain)) {
                table.add(label, row);
            }
        }
    }
    for (label, row) in known.into_iter().flat_map(Concepts::aliases) {
        table.add(label, row);
    }
    table.save(out)?;
    Ok(table.places)
}

/// From here on (the cosine) two embeddings are of the same words, computed or rounded differently.
const SAME: f32 = 0.999;

/// Aliases of concepts, in the order in which they were added.
#[derive(Default)]
struct Table {
    labels: Vec<String>,
    places: HashMap<String, u32>,
    concept: Vec<u32>,
    embeddings: Vec<f32>,
    /// The aliases of each concept.
    own: Vec<Vec<usize>>,
}

impl Table {
    /// Pictures of one's own may have a label in common and other words beside it: what has a label
    /// is one concept. An alias that is there already is not added again.
    fn add(&mut self, label: &str, embedding: &[f32]) {
        let new = self.labels.len() as u32;
        let concept = *self.places.entry(label.to_string()).or_insert(new);
        if concept == new {
            self.labels.push(label.to_string());
            self.own.push(Vec::new());
        }
        let row = |alias: &usize| &self.embeddings[alias * embedding.len()..][..embedding.len()];
        let like = |alias: &usize| {
            row(alias)
                .iter()
                .zip(embedding)
                .map(|(a, b)| a * b)
                .sum::<f32>()
        };
        let own = &self.own[concept as usize];
        if own.iter().all(|alias| like(alias) < SAME) {
            self.own[concept as usize].push(self.concept.len());
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
        let words = HashMap::from([("labels".into(), labels)]);
        save(out, "concepts", &tensors, Some(words))
    }
}

/// Whether a caption is the label or a tag by itself, not the two together or with an article.
fn stands_alone(caption: &str, plain: &str) -> bool {
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
        let mut table = Table::default();
        let [one, same, other] = [[1.0, 0.0], [0.9999, 0.01], [0.98, 0.2]];
        for (label, row) in [("owl", one), ("owl", same), ("owl", other), ("bat", one)] {
            table.add(label, &row);
        }
        assert_eq!(table.concept, [0, 0, 1]);
    }

    #[test]
    fn aliases_are_labels_and_tags_by_themselves() {
        let alone = |caption| stands_alone(caption, "owl");
        assert!(alone("owl") && alone("wise bird") && alone("owlet"));
        assert!(!alone("an owl") && !alone("owl, bird") && !alone("owl bird"));
    }
}
