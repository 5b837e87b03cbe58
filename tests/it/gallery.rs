//! Compares the feature network, the perceptual loss and the upscaler with other implementations,
//! whose scripts and results are in tests/reference/.

use crate::support::{enlarger_path, extractor_path, perceptual_path};
use candle_core::{Device, Tensor, Var};
use imagegen::upscaler::Upscaler;
use std::io::Write;
use train::features::{FeatureExtractor, SIZE, WIDTH};
use train::perceptual::PerceptualLoss;

/// The greatest difference between corresponding numbers of two lists.
fn furthest(found: &[f32], wanted: &[f32]) -> f32 {
    let pairs = found.iter().zip(wanted);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn features_are_those_of_the_reference() {
    let wanted: Vec<f32> =
        serde_json::from_str(include_str!("../reference/efficientnet.json")).unwrap();
    let extractor = FeatureExtractor::load(&extractor_path()).unwrap();
    let value = |at: usize| {
        let (y, x) = (at / SIZE, at % SIZE);
        [x * 2 % 256, y * 2 % 256, x * y / 64 % 256].map(|value| value as f32)
    };
    let picture: Vec<f32> = (0..SIZE * SIZE).flat_map(value).collect();
    let found = extractor.features(&[picture.clone(), picture]).unwrap();
    assert_eq!((found.len(), wanted.len()), (2 * WIDTH, WIDTH));
    assert_eq!(found[..WIDTH], found[WIDTH..]);
    let worst = furthest(&found, &wanted);
    assert!(worst < 1e-4, "{worst}");
}

/// Compares the perceptual loss and its gradient with the reference values that
/// tests/reference/perceptual.py computed.
#[test]
fn pictures_look_as_unlike_as_to_the_reference_and_so_are_the_gradients() {
    #[derive(serde::Deserialize)]
    struct Wanted {
        unlike: f32,
        gradient: Vec<f32>,
    }
    let wanted = include_str!("../reference/perceptual.json");
    let wanted: Wanted = serde_json::from_str(wanted).unwrap();
    let picture = |a: usize, b: usize| {
        let value = |at: usize| ((at * a + at / 64 * b) % 200) as f32 / 100.0 - 1.0;
        let values: Vec<f32> = (0..4 * 64 * 64).map(value).collect();
        Tensor::from_vec(values, (1, 4, 64, 64), &Device::Cpu).unwrap()
    };
    let look = PerceptualLoss::load(&perceptual_path(), &Device::Cpu, 1.0).unwrap();
    let drawn = Var::from_tensor(&picture(3, 11)).unwrap();
    let unlike = look.distance(&picture(7, 5), &drawn).unwrap();
    let found = unlike.to_scalar::<f32>().unwrap();
    assert!((found - wanted.unlike).abs() < 1e-4, "{found}");
    let gradients = unlike.backward().unwrap();
    let gradient = gradients.get(&drawn).unwrap().flatten_all().unwrap();
    let gradient = gradient.to_vec1::<f32>().unwrap();
    let some: Vec<f32> = gradient.into_iter().step_by(997).collect();
    assert_eq!(some.len(), wanted.gradient.len());
    let worst = furthest(&some, &wanted.gradient);
    assert!(worst < 1e-5, "{worst}");
    let same = look.distance(&picture(3, 11), &drawn).unwrap();
    assert!(same.to_scalar::<f32>().unwrap() < 1e-9);
}

#[test]
fn a_file_that_is_no_network_is_said_in_a_sentence() {
    let whole = std::fs::read(extractor_path()).unwrap();
    for bytes in [&b"PK\x03\x04"[..], &whole[..500], &whole[..whole.len() / 2]] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let why = FeatureExtractor::load(file.path())
            .err()
            .unwrap()
            .to_string();
        assert!(why.starts_with("Cannot load the feature network"), "{why}");
        assert!(!why.contains('\n'), "{why}");
    }
}

/// Compares an enlarged picture with the reference that tests/reference/esrgan.mjs computed. That
/// script runs the upscaler's package with TensorFlow.js.
#[test]
fn a_picture_is_enlarged_as_by_the_reference() {
    let wanted: Vec<f32> = serde_json::from_str(include_str!("../reference/esrgan.json")).unwrap();
    let upscaler = Upscaler::load(&enlarger_path(), &Device::Cpu).unwrap();
    let (width, height) = (10, 8);
    let plane = |channel: usize| {
        let value = move |x: usize, y: usize| match channel {
            0 => x * 29 % 256,
            1 => y * 37 % 256,
            _ => x * y * 17 % 256,
        };
        (0..width * height).map(move |at| value(at % width, at / width) as f32)
    };
    let picture: Vec<f32> = (0..3).flat_map(plane).collect();
    let picture = Tensor::from_vec(picture, (1, 3, height, width), &Device::Cpu).unwrap();
    let found = (upscaler.forward(&picture).unwrap() / 255.0).unwrap();
    let found = found.permute((0, 2, 3, 1)).unwrap().flatten_all().unwrap();
    let found = found.to_vec1::<f32>().unwrap();
    assert_eq!(found.len(), wanted.len());
    let worst = furthest(&found, &wanted);
    assert!(worst < 1e-4, "{worst}");
}

/// In an enlarged drawing, an area of one colour keeps its colour, and a transparent area stays
/// transparent.
#[test]
fn a_drawing_is_enlarged_with_its_transparency() {
    let upscaler = Upscaler::load(&enlarger_path(), &Device::Cpu).unwrap();
    let half = |at: usize| match at % 16 < 8 {
        true => [200, 40, 40, 255],
        false => [0; 4],
    };
    let pixels: Vec<u8> = (0..16 * 16).flat_map(half).collect();
    let large = upscaler.upscale(&pixels, 16).unwrap();
    let at = |x: usize, y: usize| &large[(y * 64 + x) * 4..][..4];
    let near = |found: &[u8], wanted: [u8; 4]| {
        let mut pairs = found.iter().zip(wanted);
        pairs.all(|(a, b)| a.abs_diff(b) < 12)
    };
    assert!(near(at(16, 32), [200, 40, 40, 255]), "{:?}", at(16, 32));
    assert!(near(at(48, 32), [0; 4]), "{:?}", at(48, 32));
}
