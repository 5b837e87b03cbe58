//! The dataset as one file. Tensors contain the pictures and labels; the header contains the text.
//!
//! The format is safetensors, so that trainers in other languages can read the file too. The
//! tensors are `pictures` U8 `[count, size, size, 4]` (premultiplied RGBA), `concept` U32
//! `[count]`, `style` U32 `[count]`, `tone` U8 `[count]` (0 for none, 1 for light to 5 for dark)
//! and `part` U8 `[count]` (0 for training, 1 for a held-out pair, 2 for a held-out concept). The
//! header contains `styles` and `concepts` as JSON.

use super::DataError;
use super::sets::ICON_SETS;
use super::split::{Split, split_of};
use base::hash::sha256;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

/// A thing that can be drawn, with its captions. The first caption is the label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concept {
    pub label: String,
    pub captions: Vec<String>,
}

/// Pictures with their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// The width and height of each picture in pixels.
    pub size: u32,
    pub styles: Vec<String>,
    pub concepts: Vec<Concept>,
    /// The pixels of all pictures: `[count, size, size, 4]`, premultiplied RGBA.
    pub pixels: Vec<u8>,
    pub concept: Vec<u32>,
    pub style: Vec<u32>,
    pub tone: Vec<u8>,
    pub split: Vec<Split>,
}

const SPLITS: [Split; 3] = [Split::Train, Split::HeldOutPair, Split::HeldOutConcept];

impl Dataset {
    /// Creates a dataset without pictures. Its styles are those of [`ICON_SETS`].
    pub fn new(size: u32, concepts: Vec<Concept>) -> Dataset {
        Dataset {
            size,
            styles: ICON_SETS.iter().map(|set| set.style.to_string()).collect(),
            concepts,
            pixels: Vec::new(),
            concept: Vec::new(),
            style: Vec::new(),
            tone: Vec::new(),
            split: Vec::new(),
        }
    }

    /// Adds a picture of a concept in a style. The names of the concept and the style determine the
    /// split that the picture belongs to.
    pub fn push(&mut self, pixels: &[u8], concept: u32, style: u32, tone: u8) {
        let label = &self.concepts[concept as usize].label;
        self.split
            .push(split_of(label, &self.styles[style as usize]));
        self.pixels.extend_from_slice(pixels);
        self.concept.push(concept);
        self.style.push(style);
        self.tone.push(tone);
    }

    pub fn len(&self) -> usize {
        self.concept.len()
    }

    pub fn is_empty(&self) -> bool {
        self.concept.is_empty()
    }

    /// The bytes of the picture at `index`: `[size, size, 4]`.
    pub fn picture(&self, index: usize) -> &[u8] {
        let bytes = (self.size * self.size * 4) as usize;
        &self.pixels[index * bytes..][..bytes]
    }

    /// Returns the content of the dataset file. The same dataset always produces the same bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, safetensors::SafeTensorError> {
        let count = self.len();
        let size = self.size as usize;
        let bytes = |numbers: &[u32]| {
            numbers
                .iter()
                .flat_map(|n| n.to_le_bytes())
                .collect::<Vec<_>>()
        };
        let (concept, style) = (bytes(&self.concept), bytes(&self.style));
        let part: Vec<u8> = self.split.iter().map(|part| *part as u8).collect();
        let tensors = [
            (
                "pictures",
                TensorView::new(Dtype::U8, vec![count, size, size, 4], &self.pixels)?,
            ),
            (
                "concept",
                TensorView::new(Dtype::U32, vec![count], &concept)?,
            ),
            ("style", TensorView::new(Dtype::U32, vec![count], &style)?),
            ("tone", TensorView::new(Dtype::U8, vec![count], &self.tone)?),
            ("part", TensorView::new(Dtype::U8, vec![count], &part)?),
        ];
        let words = Header {
            styles: self.styles.clone(),
            concepts: self.concepts.clone(),
        };
        // There is only one entry, since the header's map has no fixed order.
        let words = serde_json::to_string(&words).unwrap_or_default();
        serialize(tensors, Some(HashMap::from([("words".to_string(), words)])))
    }

    /// Writes the dataset file atomically, and returns its SHA-256.
    pub fn write(&self, path: &Path) -> Result<String, DataError> {
        let no_data =
            |why: safetensors::SafeTensorError| DataError::NoData(path.into(), why.to_string());
        let bytes = self.to_bytes().map_err(no_data)?;
        let disk = |why| DataError::Disk(path.into(), why);
        let partial = path.with_extension("part");
        let mut file = std::fs::File::create(&partial).map_err(disk)?;
        file.write_all(&bytes)
            .and_then(|()| file.sync_all())
            .map_err(disk)?;
        std::fs::rename(&partial, path).map_err(disk)?;
        Ok(sha256(&bytes))
    }

    /// Loads a file written by `write`, and checks that all labels in it are valid.
    pub fn read(path: &Path) -> Result<Dataset, DataError> {
        let bytes = std::fs::read(path).map_err(|why| DataError::Disk(path.into(), why))?;
        Dataset::from_bytes(&bytes).map_err(|why| DataError::NoData(path.into(), why))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Dataset, String> {
        let text = |why: safetensors::SafeTensorError| why.to_string();
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(text)?;
        let words = header.metadata().as_ref().and_then(|map| map.get("words"));
        let words: Header = serde_json::from_str(words.ok_or("it has no captions")?)
            .map_err(|why| why.to_string())?;
        let tensors = SafeTensors::deserialize(bytes).map_err(text)?;
        let pixels = tensors.tensor("pictures").map_err(text)?;
        let [count, size, wide, 4] = *pixels.shape() else {
            return Err("its pictures have the wrong shape".into());
        };
        if size != wide || size == 0 || size > 4096 || pixels.dtype() != Dtype::U8 {
            return Err("its pictures have the wrong shape".into());
        }
        let labels = |name: &str, below: usize| numbers(&tensors, name, count, below);
        let split = labels("part", SPLITS.len())?;
        Ok(Dataset {
            size: size as u32,
            pixels: pixels.data().to_vec(),
            concept: labels("concept", words.concepts.len())?,
            style: labels("style", words.styles.len())?,
            tone: labels("tone", 6)?
                .into_iter()
                .map(|tone| tone as u8)
                .collect(),
            split: split
                .into_iter()
                .map(|split| SPLITS[split as usize])
                .collect(),
            styles: words.styles,
            concepts: words.concepts,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    styles: Vec<String>,
    concepts: Vec<Concept>,
}

/// Returns the values of the tensor `name`, and checks that there are `count` of them and that all
/// are less than `below`.
fn numbers(
    tensors: &SafeTensors,
    name: &str,
    count: usize,
    below: usize,
) -> Result<Vec<u32>, String> {
    let tensor = tensors.tensor(name).map_err(|why| why.to_string())?;
    let data = tensor.data();
    let numbers: Vec<u32> = match tensor.dtype() {
        Dtype::U8 => data.iter().map(|byte| u32::from(*byte)).collect(),
        Dtype::U32 => {
            let words = data.chunks_exact(4);
            words
                .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect()
        }
        other => return Err(format!("its tensor {name} has the type {other:?}")),
    };
    match numbers.len() == count && numbers.iter().all(|n| (*n as usize) < below) {
        true => Ok(numbers),
        false => Err(format!("its tensor {name} does not match its pictures")),
    }
}

/// Identifies a picture of the dataset, either as stored or flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PictureKey {
    pub index: usize,
    pub flip: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Dataset {
        let concept = |label: &str| Concept {
            label: label.into(),
            captions: vec![label.into()],
        };
        let mut pictures = Dataset::new(2, vec![concept("fox"), concept("owl")]);
        pictures.push(&[7; 16], 1, 8, 0);
        pictures.push(&[9; 16], 0, 2, 5);
        pictures
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.safetensors");
        let digest = two().write(&path).unwrap();
        assert_eq!(digest, sha256(&std::fs::read(&path).unwrap()));
        assert_eq!(Dataset::read(&path).unwrap(), two());
        assert_eq!(two().picture(1), [9; 16]);
    }

    #[test]
    fn damaged_files_and_labels_out_of_range_are_refused_in_words() {
        let whole = two().to_bytes().unwrap();
        for end in [0, 7, 40, whole.len() - 1] {
            assert!(Dataset::from_bytes(&whole[..end]).is_err());
        }
        let mut pictures = two();
        pictures.concept[0] = 2;
        let why = Dataset::from_bytes(&pictures.to_bytes().unwrap()).unwrap_err();
        assert_eq!(why, "its tensor concept does not match its pictures");
    }
}
