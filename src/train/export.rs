//! From checkpoints to a set of weights that draws: half precision, config and table of concepts.

use super::TrainError;
use super::batches::captions;
use super::checkpoint::{self, Parts, State};
use super::data::file::Pictures;
use super::data::split::Part;
use super::run::checkpoint_of;
use super::variables::Tensors;
use crate::model::gan::config::Config;
use candle_core::{DType, Device, Tensor};
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

/// Writes the five files of a set of weights. `embeddings` are those of [`captions`], each of
/// length one, one after the other.
pub fn export(
    run: &Path,
    out: &Path,
    pictures: &Pictures,
    embeddings: &[f32],
) -> Result<(), TrainError> {
    let device = &Device::Cpu;
    let (state, mut first) = finished(run, "reconstruct", device)?;
    let (_, mut second) = finished(run, "tokens", device)?;
    let painted = checkpoint::read(&checkpoint_of(run, "paint"), device)?;
    let generator = match painted {
        Some((_, mut third)) => mean(&mut third, "generator")?,
        None => mean(&mut first, "generator")?,
    };
    let disk = |why: std::io::Error| TrainError::Disk(out.into(), why.to_string());
    std::fs::create_dir_all(out).map_err(disk)?;
    let config = serde_json::to_string(&state.config).unwrap_or_default();
    std::fs::write(out.join("config.json"), config).map_err(disk)?;
    network(out, "generator", generator)?;
    network(out, "encoder", mean(&mut first, "encoder")?)?;
    network(out, "tokens", mean(&mut second, "tokens")?)?;
    concepts(out, pictures, embeddings, &state.config)
}

fn network(out: &Path, name: &str, tensors: Tensors) -> Result<(), TrainError> {
    let half = |(name, tensor): (String, Tensor)| Ok((name, tensor.to_dtype(DType::F16)?));
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

/// The table of what can be drawn: the concepts that were trained on, by label and own tags.
fn concepts(
    out: &Path,
    pictures: &Pictures,
    embeddings: &[f32],
    config: &Config,
) -> Result<(), TrainError> {
    let trained: BTreeSet<u32> = (0..pictures.len())
        .filter(|at| pictures.part[*at] != Part::HeldConcept)
        .map(|at| pictures.concept[at])
        .collect();
    let all = captions(pictures);
    let width = config.text;
    let mut rows = Vec::new();
    let mut owners: Vec<u32> = Vec::new();
    let mut labels = Vec::new();
    for concept in &trained {
        let concept = &pictures.concepts[*concept as usize];
        let plain = concept
            .label
            .strip_prefix("person ")
            .unwrap_or(&concept.label);
        for caption in concept
            .captions
            .iter()
            .filter(|caption| stands_alone(caption, plain))
        {
            let place = all
                .iter()
                .position(|other| other == caption)
                .unwrap_or_default();
            rows.extend_from_slice(&embeddings[place * width..][..width]);
            owners.push(labels.len() as u32);
        }
        labels.push(concept.label.clone());
    }
    let count = owners.len();
    let table = Tensor::from_vec(rows, (count, width), &Device::Cpu)?.to_dtype(DType::F16)?;
    let owners = Tensor::from_vec(owners, count, &Device::Cpu)?;
    let tensors = Tensors::from([
        ("embeddings".to_string(), table),
        ("concept".to_string(), owners),
    ]);
    let labels = serde_json::to_string(&labels).unwrap_or_default();
    save(
        out,
        "concepts",
        &tensors,
        Some(HashMap::from([("labels".into(), labels)])),
    )
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
    fn aliases_are_labels_and_tags_by_themselves() {
        let alone = |caption| stands_alone(caption, "owl");
        assert!(alone("owl") && alone("wise bird") && alone("owlet"));
        assert!(!alone("an owl") && !alone("owl, bird") && !alone("owl bird"));
    }
}
