//! The one-pass design, a conditional GAN with an encoder (CVAE-GAN, Bao et al. 2017). A single
//! pass of the generator turns a random latent, a text and a style into a picture. The design is a
//! baseline for the token design and is not shipped.
//!
//! [`networks`] contains the encoder and the generator, [`phase`] trains them, and [`LOADER`] lets
//! the illuminator draw with them.

mod design;
mod latent;
pub mod networks;
pub mod phase;

use imagegen::config::Config;
use imagegen::design::DesignLoader;
use serde::{Deserialize, Serialize};

/// The names of the files that contain the design's weights.
pub const FILES: [&str; 4] = [
    "config.json",
    "generator.safetensors",
    "encoder.safetensors",
    "concepts.safetensors",
];

/// The loader with which [`imagegen::Illuminator::load`] loads weights of the one-pass design.
pub const LOADER: DesignLoader = DesignLoader {
    files: &FILES,
    owns: is_one_pass,
    load: design::load,
};

pub use latent::encoded_latent;

/// Whether weights with this config belong to the one-pass design.
pub fn is_one_pass(config: &Config) -> bool {
    config.other_design.is_some()
}

/// The sizes of the networks, stored in the section `direct` of `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// The number of values in the latent.
    pub latent: usize,
    /// The width of the network that expands the latent to a grid.
    pub hidden: usize,
    /// The number of values at each position of the grid.
    pub depth: usize,
}

/// The maximum value that each size may have in a valid file.
const MAX_SIZE: usize = 4096;

impl Sizes {
    /// The sizes for a model with [`Config::full`].
    pub const FULL: Sizes = Sizes {
        latent: 128,
        hidden: 512,
        depth: 16,
    };
    /// The sizes for a model with [`Config::small`].
    pub const SMALL: Sizes = Sizes {
        latent: 32,
        hidden: 64,
        depth: 8,
    };

    /// Returns the sizes in a config, and checks them. The error is a clause about the weights,
    /// meant for the end of a longer error message.
    pub fn of(config: &Config) -> Result<Sizes, String> {
        let section = config.other_design.clone();
        let section = section.ok_or("its config.json has no direct section")?;
        let sizes: Sizes = serde_json::from_value(section).map_err(|why| why.to_string())?;
        let all = [sizes.latent, sizes.hidden, sizes.depth];
        match all.iter().all(|size| (1..=MAX_SIZE).contains(size)) {
            true => Ok(sizes),
            false => Err("it has invalid sizes".into()),
        }
    }

    /// Returns the sizes as the section `direct` of `config.json`.
    pub fn section(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_validated() {
        let json = include_bytes!("../../../../tests/reference/illuminator/config.json");
        let tiny = Config::parse(json).unwrap();
        let latent = |latent| {
            let sizes = Sizes {
                latent,
                ..Sizes::SMALL
            };
            Config {
                other_design: sizes.section(),
                ..tiny.clone()
            }
        };
        let sound = latent(8);
        assert_eq!(sound.validate(), Ok(()));
        assert_eq!(Sizes::of(&sound).map(|sizes| sizes.latent), Ok(8));
        assert!(Sizes::of(&latent(0)).unwrap_err().contains("sizes"));
        assert!(Sizes::of(&tiny).unwrap_err().contains("direct"));
        assert!(is_one_pass(&sound) && !is_one_pass(&tiny));
    }
}
