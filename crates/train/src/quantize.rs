//! Converts the matrices of finished weights to 8 bits, in place.
//!
//! The only matrices that change are those that the illuminator would pack to 8 bits on a CPU. On a
//! CPU, the illuminator therefore draws the same pictures from files of about half the size.
//! `config.json` records the SHA-256 of the original weights, so that pictures drawn with the
//! original weights can still be reproduced.

use super::TrainError;
use super::one_pass::is_one_pass;
use super::one_pass::networks::{OnePassEncoder, OnePassGenerator};
use super::variables::Tensors;
use candle_core::{Device, Result, safetensors::load};
use imagegen::Illuminator;
use imagegen::config::Config;
use imagegen::eight_bit_files::quantize_all;
use imagegen::encoder::Encoder;
use imagegen::generator::Generator;
use imagegen::refiner::Refiner;
use imagegen::tokens::TokenTransformer;
use safetensors::serialize_to_file;
use std::path::Path;

const NETWORKS: [&str; 4] = ["generator", "encoder", "tokens", "refiner"];

/// Converts a folder of weights to 8 bits. Weights that are already in 8 bits stay unchanged.
pub fn quantize(folder: &Path) -> std::result::Result<(), TrainError> {
    let designs = &[super::one_pass::LOADER];
    let before = Illuminator::load(folder, &Device::Cpu, 1, designs)?;
    let mut config = before.config;
    let mut changed = false;
    for name in NETWORKS {
        let path = folder.join(format!("{name}.safetensors"));
        if !path.is_file() {
            continue;
        }
        let tensors: Tensors = load(&path, &Device::Cpu)?.into_iter().collect();
        let stored = eight_bit(name, tensors.clone(), &config)?;
        if stored.keys().ne(tensors.keys()) {
            replace(&path, &stored)?;
            changed = true;
        }
    }
    if changed {
        config.same_pictures_as.push(before.sha256);
        let path = folder.join("config.json");
        let json = serde_json::to_string(&config).unwrap_or_default();
        std::fs::write(&path, json).map_err(|why| TrainError::Disk(path, why.to_string()))?;
    }
    Ok(())
}

/// Returns the tensors of a network. Matrices that the illuminator would pack to 8 bits are
/// converted to 8 bits; all other tensors are unchanged.
fn eight_bit(name: &str, tensors: Tensors, config: &Config) -> Result<Tensors> {
    match (name, is_one_pass(config)) {
        ("generator", false) => quantize_all(tensors, |w| Generator::new(w, config)),
        ("encoder", false) => quantize_all(tensors, |w| Encoder::new(w, config)),
        ("tokens", false) => quantize_all(tensors, |w| TokenTransformer::new(w, config)),
        ("refiner", false) => quantize_all(tensors, |w| Refiner::new(w, config)),
        ("generator", true) => quantize_all(tensors, |w| OnePassGenerator::new(w, config)),
        ("encoder", true) => quantize_all(tensors, |w| OnePassEncoder::new(w, config)),
        _ => Ok(tensors),
    }
}

/// Writes a new file next to the old file, and then renames it to replace the old file. The file at
/// `path` is therefore always complete.
fn replace(path: &Path, tensors: &Tensors) -> std::result::Result<(), TrainError> {
    let disk = |why: String| TrainError::Disk(path.into(), why);
    let new = path.with_extension("new");
    serialize_to_file(tensors.iter(), None, &new).map_err(|why| disk(why.to_string()))?;
    std::fs::rename(&new, path).map_err(|why| disk(why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use imagegen::sampling::Sampling;
    use imagegen::{ImageSpec, Picture};

    fn reference(name: &str) -> std::path::PathBuf {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference");
        tests.join(name)
    }

    fn drawn(illuminator: &Illuminator) -> Vec<Picture> {
        let spec = ImageSpec {
            embedding: vec![1.0 / 384f32.sqrt(); 384],
            subject: Vec::new(),
            style: Some(1),
            seeds: vec![1, 2, 3],
            sampling: Sampling::default(),
        };
        let drawn = illuminator.draw(&spec, &mut || true).unwrap().unwrap();
        let again = drawn.encoded[0].clone();
        let varied = illuminator.vary(&spec, &again, 0.5, &mut || true);
        let varied = varied.unwrap().unwrap();
        let encoded = illuminator.encode(&drawn.pictures[0]).unwrap();
        let restyled = illuminator.restyle(&spec, &encoded, &mut || true);
        [drawn, varied, restyled.unwrap().unwrap()]
            .into_iter()
            .flat_map(|drawn| drawn.pictures)
            .collect()
    }

    #[test]
    fn weights_in_8_bits_are_smaller_and_draw_the_same_pictures() {
        for name in ["illuminator", "illuminator-direct"] {
            let folder = tempfile::tempdir().unwrap();
            for file in std::fs::read_dir(reference(name)).unwrap() {
                let file = file.unwrap();
                std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
            }
            let load = || {
                let designs = &[crate::one_pass::LOADER];
                Illuminator::load(folder.path(), &Device::Cpu, 2, designs).unwrap()
            };
            let size = |file: &str| folder.path().join(file).metadata().unwrap().len();
            let (before, large) = (load(), size("generator.safetensors"));
            quantize(folder.path()).unwrap();
            let after = load();
            assert!(size("generator.safetensors") < large);
            assert_eq!(drawn(&after), drawn(&before));
            assert_ne!(after.sha256, before.sha256);
            assert!(after.reproduces(&before.sha256) && !before.reproduces(&after.sha256));
            // Matrices already in 8 bits stay unchanged.
            quantize(folder.path()).unwrap();
            assert_eq!(load().sha256, after.sha256);
        }
    }
}
