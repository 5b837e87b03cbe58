//! Measuring pictures: the network that looks at them beside PyTorch's numbers
//! (tests/reference/efficientnet.py), and the command.

use crate::support::extractor_path;
use illumine::model::features::{Extractor, SIZE, WIDTH};
use std::io::Write;

#[test]
fn features_are_those_of_the_reference() {
    let wanted: Vec<f32> =
        serde_json::from_str(include_str!("../reference/efficientnet.json")).unwrap();
    let extractor = Extractor::load(&extractor_path()).unwrap();
    let value = |at: usize| {
        let (y, x) = (at / SIZE, at % SIZE);
        [x * 2 % 256, y * 2 % 256, x * y / 64 % 256].map(|value| value as f32)
    };
    let picture: Vec<f32> = (0..SIZE * SIZE).flat_map(value).collect();
    let found = extractor.of(&[picture.clone(), picture]).unwrap();
    assert_eq!((found.len(), wanted.len()), (2 * WIDTH, WIDTH));
    assert_eq!(found[..WIDTH], found[WIDTH..]);
    let pairs = found.iter().zip(&wanted);
    let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-4, "{worst}");
}

#[test]
fn a_file_that_is_no_network_is_said_in_a_sentence() {
    let whole = std::fs::read(extractor_path()).unwrap();
    for bytes in [&b"PK\x03\x04"[..], &whole[..500], &whole[..whole.len() / 2]] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let why = Extractor::load(file.path()).err().unwrap().to_string();
        assert!(
            why.starts_with("The network that measures pictures cannot be read"),
            "{why}"
        );
        assert!(!why.contains('\n'), "{why}");
    }
}
