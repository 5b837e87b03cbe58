//! The configuration of a set of weights, parsed from `config.json`: the sizes of the networks, and
//! the styles.

use serde::{Deserialize, Serialize};

/// The number of tokens along each side of a picture.
pub const GRID: usize = 8;
/// The number of tokens in a picture.
pub const TOKENS: usize = GRID * GRID;
/// The number of channels of a picture: premultiplied red, green and blue, and alpha.
pub const CHANNELS: usize = 4;

/// The configuration of a set of weights, validated before use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The width and the height of a picture, in pixels.
    pub size: usize,
    /// The FSQ levels: the number of values that each code can take. Each number is odd, so that
    /// one of the values is zero.
    pub levels: Vec<usize>,
    /// The styles that `--style` can name, in the order of the style tables.
    pub styles: Vec<String>,
    /// The width of the text embedding.
    pub text: usize,
    /// The mean of the training captions' embeddings.
    pub text_mean: Vec<f32>,
    /// The standard deviation of the training captions' embeddings.
    pub text_scale: f32,
    /// The width of the condition vector.
    pub condition: usize,
    pub encoder: Stack,
    pub generator: Generator,
    pub tokens: Tokens,
    pub discriminator: Discriminator,
    /// The section of the configuration for a design other than the token design. The loader of
    /// that design parses the section.
    #[serde(default, rename = "direct", skip_serializing_if = "Option::is_none")]
    pub other_design: Option<serde_json::Value>,
    /// The SHA-256 checksums of other weights that draw the same pictures as these on a CPU, since
    /// they differ only in how matrices are stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub same_pictures_as: Vec<String>,
}

/// A stack of Transformer blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    pub width: usize,
    pub heads: usize,
    pub blocks: usize,
}

/// The sizes of the generator. It has one stack for the tokens and one for the 2 by 2 parts of each
/// token, followed by convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generator {
    pub coarse: Stack,
    pub fine: Stack,
    /// The number of channels at half the picture's width and height.
    pub mid: usize,
    /// The number of channels at the picture's full width and height.
    pub last: usize,
}

/// The sizes of the token Transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    pub stack: Stack,
    /// The number of inputs from which the code head computes each code's logits.
    pub hidden: usize,
}

/// The sizes of the discriminator, which is used only in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discriminator {
    /// The number of channels at the start and after each of the three stages that halve the
    /// picture.
    pub stages: [usize; 4],
    /// The width of the vectors to which picture and conditioning are projected.
    pub width: usize,
}

/// The maximum for every size in a valid file.
const MAX_SIZE: usize = 4096;

impl Config {
    /// Returns the sizes of the shipped weights. Networks of these sizes draw a picture on a CPU in
    /// a moment, and can be trained on a GPU within hours.
    pub fn full(styles: Vec<String>, text_mean: Vec<f32>, text_scale: f32) -> Config {
        let stack = |width, heads, blocks| Stack {
            width,
            heads,
            blocks,
        };
        Config {
            size: 64,
            levels: vec![7, 7, 7, 5, 5, 5, 5, 5, 5, 5, 5, 5],
            styles,
            text: text_mean.len(),
            text_mean,
            text_scale,
            condition: 256,
            encoder: stack(192, 4, 3),
            generator: Generator {
                coarse: stack(256, 4, 3),
                fine: stack(96, 3, 2),
                mid: 32,
                last: 16,
            },
            tokens: Tokens {
                stack: stack(256, 4, 6),
                hidden: 128,
            },
            discriminator: Discriminator {
                stages: [32, 64, 128, 192],
                width: 192,
            },
            other_design: None,
            same_pictures_as: Vec::new(),
        }
    }

    /// Returns sizes for experiments. Networks of these sizes can be trained on a CPU in a few
    /// minutes, with a few hundred pictures.
    pub fn small(styles: Vec<String>, text_mean: Vec<f32>, text_scale: f32) -> Config {
        let stack = |width, blocks| Stack {
            width,
            heads: 2,
            blocks,
        };
        Config {
            levels: vec![7, 5, 5],
            condition: 64,
            encoder: stack(64, 1),
            generator: Generator {
                coarse: stack(64, 1),
                fine: stack(32, 1),
                mid: 16,
                last: 8,
            },
            tokens: Tokens {
                stack: stack(64, 2),
                hidden: 32,
            },
            discriminator: Discriminator {
                stages: [8, 16, 24, 32],
                width: 32,
            },
            ..Config::full(styles, text_mean, text_scale)
        }
    }

    /// Parses `config.json`. The error contains only the reason, and the caller completes the
    /// sentence.
    pub fn parse(json: &[u8]) -> Result<Config, String> {
        let config: Config = serde_json::from_slice(json).map_err(|why| why.to_string())?;
        config.validate()?;
        Ok(config)
    }

    /// Checks that networks of these sizes can be built.
    pub fn validate(&self) -> Result<(), String> {
        let stacks = [
            ("encoder", self.encoder),
            ("generator.coarse", self.generator.coarse),
            ("generator.fine", self.generator.fine),
            ("tokens.stack", self.tokens.stack),
        ];
        for (name, stack) in stacks {
            let sizes = [stack.width, stack.heads, stack.blocks];
            if sizes.iter().any(|n| !(1..=MAX_SIZE).contains(n))
                || !stack.width.is_multiple_of(stack.heads)
            {
                return Err(format!("its {name} has invalid sizes"));
            }
        }
        let others = [
            self.discriminator.width,
            self.text,
            self.condition,
            self.generator.mid,
            self.generator.last,
            self.tokens.hidden,
            self.styles.len(),
            self.levels.len(),
        ];
        let mut others = others.iter().chain(&self.discriminator.stages);
        if others.any(|n| !(1..=MAX_SIZE).contains(n)) || self.generator.last < CHANNELS {
            return Err("it has invalid sizes".into());
        }
        // 8 pixels per token, fixed by the generator's splits and convolutions.
        if self.size != GRID * 8 {
            return Err(format!(
                "pictures of {} pixels are not supported",
                self.size
            ));
        }
        if self.levels.iter().any(|n| n % 2 == 0 || *n > 255) {
            return Err("its levels are not odd numbers below 256".into());
        }
        let values = |all: u32, levels: &usize| all.checked_mul(*levels as u32);
        if self.levels.iter().try_fold(1, values).is_none() {
            return Err("its levels give more than 2^32 tokens".into());
        }
        let finite = self.text_mean.iter().all(|x| x.is_finite());
        let positive = self.text_scale.is_finite() && self.text_scale > 0.0;
        if self.text_mean.len() != self.text || !finite || !positive {
            return Err("its text_mean and text_scale do not match the text embedding".into());
        }
        Ok(())
    }

    /// The number of FSQ codes per token.
    pub fn codes_per_token(&self) -> usize {
        self.levels.len()
    }

    /// The sum of the levels of all codes: the number of rows in a table that has one row for each
    /// value of each code.
    pub fn code_values(&self) -> usize {
        self.levels.iter().sum()
    }

    /// Normalizes an embedding as in training: subtracts the mean and divides by the standard
    /// deviation of the training captions' embeddings.
    pub fn normalize_text(&self, embedding: &[f32]) -> Vec<f32> {
        let pairs = embedding.iter().zip(&self.text_mean);
        pairs
            .map(|(x, mean)| (x - mean) / self.text_scale)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Config {
        let json = include_bytes!("../../../tests/reference/illuminator/config.json");
        Config::parse(json).unwrap()
    }

    #[test]
    fn what_cannot_be_made_is_refused_in_words() {
        let refused = |change: fn(&mut Config)| {
            let mut config = tiny();
            change(&mut config);
            config.validate().unwrap_err()
        };
        assert_eq!(tiny().validate(), Ok(()));
        assert!(refused(|c| c.levels[0] = 4).contains("odd"));
        assert!(refused(|c| c.levels = vec![255; 5]).contains("2^32"));
        assert!(refused(|c| c.encoder.heads = 5).contains("encoder"));
        assert!(refused(|c| c.encoder.heads = 0).contains("encoder"));
        assert!(refused(|c| c.size = 1 << 30).contains("pixels"));
        assert!(refused(|c| c.text_scale = 0.0).contains("text_scale"));
        assert!(refused(|c| c.text_mean[3] = f32::NAN).contains("text_mean"));
        assert!(refused(|c| c.styles.clear()).contains("sizes"));
    }

    #[test]
    fn embeddings_are_centred() {
        let mut config = tiny();
        config.text_mean = vec![1.0; 384];
        config.text_scale = 2.0;
        assert_eq!(config.normalize_text(&[3.0; 384]), [1.0; 384]);
    }
}
