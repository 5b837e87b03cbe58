//! Finished weights from which a training run starts, adapted to the styles of its dataset.
//!
//! Styles are matched by name. A style that the weights lack starts from the row for "any style",
//! which was trained on all styles. All other tensors are copied unchanged.

use super::TrainError;
use super::variables::Tensors;
use base::untrusted::clean_line;
use candle_core::{Device, Result, Tensor};
use imagegen::concepts::Concepts;
use imagegen::config::Config;
use imagegen::eight_bit_files::dequantize_all;
use imagegen::retrieval_index::RetrievalIndex;
use llm::sentence_encoder::WIDTH;
use std::path::{Path, PathBuf};

/// A folder of weights from which a training run starts.
#[derive(Debug)]
pub struct PretrainedWeights {
    /// The config of the weights, but with the styles of the training run.
    pub config: Config,
    /// The styles of the training run that the weights lack.
    pub new_styles: Vec<String>,
    pub folder: PathBuf,
    /// For each style of the training run, the index of its row in the weights' style tables. The
    /// last entry is the row for "any".
    style_rows: Vec<u32>,
    /// The number of rows in the style tables of the weights, including the row for "any".
    style_count: usize,
}

impl PretrainedWeights {
    /// Loads the config from a folder of weights, and adapts it to the training run, whose styles
    /// are `styles`.
    pub fn load(
        folder: &Path,
        styles: &[String],
    ) -> std::result::Result<PretrainedWeights, TrainError> {
        let path = folder.join("config.json");
        let json = std::fs::read(&path);
        let json = json.map_err(|why| TrainError::Disk(path.clone(), why.to_string()))?;
        let no_weights = |why: String| TrainError::Pretrained(path.clone(), clean_line(&why));
        let config = Config::parse(&json).map_err(no_weights)?;
        if config.text != WIDTH {
            let why = format!(
                "its text embeddings have {} dimensions instead of {WIDTH}",
                config.text
            );
            return Err(no_weights(why));
        }
        let any = config.styles.len();
        let row = |style: &String| {
            let same = |own: &String| own.eq_ignore_ascii_case(style);
            config.styles.iter().position(same)
        };
        let rows = styles.iter().map(|style| row(style).unwrap_or(any) as u32);
        let new = styles.iter().filter(|style| row(style).is_none());
        Ok(PretrainedWeights {
            style_rows: rows.chain([any as u32]).collect(),
            new_styles: new.cloned().collect(),
            folder: folder.into(),
            style_count: any + 1,
            config: Config {
                styles: styles.to_vec(),
                // After more training, the weights draw different pictures.
                same_pictures_as: Vec::new(),
                ..config
            },
        })
    }

    /// Loads the tensors of a network, converted to floats for training.
    pub fn tensors(&self, name: &str, device: &Device) -> std::result::Result<Tensors, TrainError> {
        Ok(dequantize_all(self.stored(name, device)?)?)
    }

    /// Loads the tensors of a network in the number format in which the weights store them.
    pub fn stored(&self, name: &str, device: &Device) -> std::result::Result<Tensors, TrainError> {
        let path = self.folder.join(format!("{name}.safetensors"));
        let fitted = || -> Result<Tensors> {
            let tensors = candle_core::safetensors::load(&path, device)?;
            let fit = |(name, tensor): (String, Tensor)| {
                let fit = self.fit(&name, tensor)?;
                Ok((name, fit))
            };
            tensors.into_iter().map(fit).collect()
        };
        fitted().map_err(|why| {
            let why = clean_line(&why.to_string());
            TrainError::Pretrained(path.clone(), why.chars().take(80).collect())
        })
    }

    /// Whether the weights contain the optional network `name`.
    pub fn has(&self, name: &str) -> bool {
        self.folder.join(format!("{name}.safetensors")).is_file()
    }

    /// Loads the concepts of the weights.
    pub fn concepts(&self) -> std::result::Result<Concepts, TrainError> {
        let path = self.folder.join("concepts.safetensors");
        let bytes = std::fs::read(&path);
        let bytes = bytes.map_err(|why| TrainError::Disk(path.clone(), why.to_string()))?;
        Concepts::parse(&bytes, &self.config)
            .map_err(|why| TrainError::Pretrained(path, clean_line(&why)))
    }

    /// Loads the retrieval index of the weights, and converts its style numbers to those of the
    /// training run. A drawing in a style that the run does not have counts as a drawing in an
    /// unknown style. `concepts` is the number of concepts.
    pub fn memory(&self, concepts: usize) -> std::result::Result<RetrievalIndex, TrainError> {
        let path = self.folder.join("memory.safetensors");
        let bytes = std::fs::read(&path);
        let bytes = bytes.map_err(|why| TrainError::Disk(path.clone(), why.to_string()))?;
        let styles = self.style_count - 1;
        let memory = RetrievalIndex::parse(&bytes, (concepts, styles), &self.config.levels)
            .map_err(|why| TrainError::Pretrained(path, clean_line(&why)))?;
        let any = styles as u32;
        let own = |style| {
            self.style_rows
                .iter()
                .position(|row| *row == style && style != any)
        };
        let row = |style| own(style).unwrap_or(self.style_rows.len() - 1) as u32;
        Ok(memory.renumbered(|concept, style| Some((concept, row(style)))))
    }

    /// Adapts a style table to the styles of the training run. Any other tensor is returned
    /// unchanged.
    fn fit(&self, name: &str, tensor: Tensor) -> Result<Tensor> {
        let rows = Tensor::new(&self.style_rows[..], tensor.device())?;
        let count = tensor.dim(0)?;
        match name {
            "nearness.weight" if tensor.dims() == [self.style_count; 2] => {
                tensor.index_select(&rows, 0)?.index_select(&rows, 1)
            }
            // Rows of codes for each style.
            "memory" if count.is_multiple_of(self.style_count) => {
                let styles = tensor.reshape((self.style_count, count / self.style_count, ()))?;
                styles.index_select(&rows, 0)?.flatten_to(1)
            }
            _ if count != self.style_count => Ok(tensor),
            "style.weight" => tensor.index_select(&rows, 0),
            _ if name.ends_with(".style.weight") => tensor.index_select(&rows, 0),
            _ => Ok(tensor),
        }
    }

    /// Returns a warning about the styles that the weights lack, or None if they lack none.
    pub fn new_styles_warning(&self) -> Option<String> {
        let named = self.new_styles.join(", ");
        (!self.new_styles.is_empty()).then(|| {
            format!("The weights lack these styles: {named}; they start from a neutral embedding")
        })
    }
}

/// Returns the tensors from which a network starts, or no tensors if the training run starts from
/// random weights.
pub fn start_tensors(
    start: Option<&PretrainedWeights>,
    name: &str,
    device: &Device,
) -> std::result::Result<Tensors, TrainError> {
    start.map_or(Ok(Tensors::new()), |start| start.tensors(name, device))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Creates a folder of weights with three styles. The rows of the style table contain the
    /// values 0, 1 and 2, and the row for "any" contains 9.
    fn weights() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let json = include_bytes!("../../../tests/reference/illuminator/config.json");
        let mut config = Config::parse(json).unwrap();
        config.styles = ["noto", "Flat", "ink"].map(String::from).into();
        let json = serde_json::to_string(&config).unwrap();
        std::fs::write(folder.path().join("config.json"), json).unwrap();
        let table = Tensor::new(&[[0f32], [1.0], [2.0], [9.0]], &Device::Cpu).unwrap();
        let each = Tensor::arange(0f32, 16.0, &Device::Cpu).unwrap();
        let tensors = HashMap::from([
            ("condition.style.weight", table.clone()),
            ("lead", table),
            (
                "memory",
                each.narrow(0, 0, 8).unwrap().reshape((8, 1)).unwrap(),
            ),
            ("nearness.weight", each.reshape((4, 4)).unwrap()),
        ]);
        let path = folder.path().join("generator.safetensors");
        candle_core::safetensors::save(&tensors, path).unwrap();
        folder
    }

    fn rows(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn styles_are_taken_over_by_name_and_new_ones_begin_as_any() {
        let folder = weights();
        let styles = ["flat", "my own", "noto", "oil"].map(String::from);
        let start = PretrainedWeights::load(folder.path(), &styles).unwrap();
        assert_eq!(start.config.styles, styles);
        assert!(start.new_styles_warning().unwrap().contains("my own, oil;"));
        let tensors = start.tensors("generator", &Device::Cpu).unwrap();
        assert_eq!(
            rows(&tensors["condition.style.weight"]),
            [1.0, 9.0, 0.0, 9.0, 9.0]
        );
        assert_eq!(rows(&tensors["lead"]), [0.0, 1.0, 2.0, 9.0]);
        // Two rows per style.
        assert_eq!(
            rows(&tensors["memory"]),
            [2.0, 3.0, 6.0, 7.0, 0.0, 1.0, 6.0, 7.0, 6.0, 7.0]
        );
        assert_eq!(
            rows(&tensors["nearness.weight"])[..5],
            [5.0, 7.0, 4.0, 7.0, 7.0]
        );
        let same = PretrainedWeights::load(folder.path(), &["ink".to_string()]).unwrap();
        assert_eq!(same.new_styles_warning(), None);
    }

    #[test]
    fn what_is_remembered_in_a_style_that_is_none_of_the_runs_is_in_no_known_style() {
        let folder = weights();
        let styles = ["flat", "my own"].map(String::from);
        let start = PretrainedWeights::load(folder.path(), &styles).unwrap();
        let mut memory = RetrievalIndex::default();
        for style in [1, 2] {
            memory.insert((0, style), &[style as u8; 128], &start.config);
        }
        let path = folder.path().join("memory.safetensors");
        safetensors::serialize_to_file(memory.to_tensors().unwrap(), None, &path).unwrap();
        let found = start
            .memory(1)
            .unwrap()
            .examples(0, &start.config, |_| true);
        let found: Vec<_> = found.iter().map(|(style, d)| (*style, d.0[0])).collect();
        assert_eq!(found, [(0, 1), (2, 2)]);
        assert!(start.memory(0).is_err());
    }

    #[test]
    fn what_is_no_set_of_weights_is_said_in_a_sentence() {
        let folder = weights();
        let start = PretrainedWeights::load(folder.path(), &["ink".to_string()]).unwrap();
        let why = start.tensors("tokens", &Device::Cpu).unwrap_err();
        assert!(why.to_string().contains("tokens.safetensors"), "{why}");
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        let why = PretrainedWeights::load(folder.path(), &[])
            .unwrap_err()
            .to_string();
        assert!(why.contains("--from"), "{why}");
    }
}
