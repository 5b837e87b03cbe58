//! Tests of the sampling, conditioning and pixels of batches.

use super::*;
use crate::data::dataset::Concept;
use candle_core::DType;

/// A dataset of three concepts in three styles, and one more picture with a skin tone. Some
/// pictures are held out because of their names. The first byte of each picture except the last is
/// the picture's index.
fn pictures() -> Dataset {
    let concept = |label: &str| Concept {
        label: label.into(),
        captions: vec![label.into(), format!("a {label}")],
    };
    let names = ["fox", "owl", "mage"];
    let mut pictures = Dataset::new(8, names.map(concept).into());
    for style in [0, 3, 8] {
        for thing in 0..3 {
            let number = pictures.len() as u8;
            let mut pixels = vec![255; 8 * 8 * 4];
            pixels[0] = number;
            pictures.push(&pixels, thing, style, 0);
        }
    }
    pictures.push(&[0; 256], 2, 0, 5);
    pictures
}

fn text(pictures: &Dataset) -> Tensor {
    let count = captions(pictures).len();
    Tensor::zeros((count, 4), DType::F32, &Device::Cpu).unwrap()
}

#[test]
fn captions_of_a_skin_tone_are_its_own() {
    let captions = captions(&pictures());
    assert_eq!(captions.len(), 8);
    assert_eq!(captions[6..], ["mage, dark skin", "a mage, dark skin"]);
}

#[test]
fn a_seed_draws_the_same_and_what_is_held_out_is_never_drawn() {
    let mut pictures = pictures();
    pictures.split[4] = Split::HeldOutPair;
    let batches = Batches::new(&pictures, text(&pictures)).unwrap();
    let drawn = |seed| batches.sample(2_000, &mut Rng::new(seed)).unwrap().index;
    assert_eq!(drawn(1), drawn(1));
    let count = |at| drawn(1).iter().filter(|own| **own == at).count() as f64;
    assert_eq!(count(4), 0.0);
    // Silhouettes are sampled four tenths as often as others.
    let (ink, others) = (
        count(6) + count(7) + count(8),
        count(0) + count(1) + count(2),
    );
    assert!((ink / others - 0.4).abs() < 0.06, "{ink} {others}");
    let others = |at| batches.other_styles(at).collect::<Vec<_>>();
    assert_eq!(others(3), [(0, 0), (8, 6)]);
    // Picture 4 is held out, so the concept's other pictures do not list it.
    assert_eq!((others(4), others(7)), (vec![(0, 1), (8, 7)], vec![(0, 1)]));
    assert_eq!(others(9), []);
}

#[test]
fn pictures_are_numbers_channel_by_channel_and_a_flip_mirrors_them() {
    let pictures = pictures();
    let batches = Batches::new(&pictures, text(&pictures)).unwrap();
    let numbers = batches.pixels(&[5, 5], &[false, true]).unwrap();
    let at = |row: usize, x: usize| {
        let pixel = numbers
            .get(row)
            .unwrap()
            .get(0)
            .unwrap()
            .get(0)
            .unwrap()
            .get(x);
        pixel.unwrap().to_scalar::<f32>().unwrap()
    };
    let five = 5.0 / 127.5 - 1.0;
    assert_eq!((at(0, 0), at(0, 7)), (five, 1.0));
    assert_eq!((at(1, 0), at(1, 7)), (1.0, five));
}

#[test]
fn pictures_are_moved_at_most_so_far_and_nothing_of_them_is_lost() {
    let mut rng = Rng::new(1);
    let by: Vec<i32> = (0..200)
        .map(|_| random_shift(2, &mut rng))
        .flat_map(|by| [by.down, by.right])
        .collect();
    assert!((-2..=2).all(|far| by.contains(&far)));
    assert!(by.iter().all(|far| far.abs() <= 2));
    let picture = Tensor::arange(0u32, 4, &Device::Cpu).unwrap();
    let picture = picture.reshape((1, 1, 2, 2)).unwrap();
    let moved = shifted(&picture, Shift { down: 1, right: 0 })
        .unwrap()
        .flatten_all()
        .unwrap();
    assert_eq!(moved.to_vec1::<u32>().unwrap(), [2, 3, 0, 1]);
}

#[test]
fn some_are_shown_without_words() {
    let conditioning = Conditioning {
        text: Tensor::ones((1_000, 2), DType::F32, &Device::Cpu).unwrap(),
        style: vec![Some(1); 1_000],
        flip: vec![false; 1_000],
    };
    let none = Tensor::new(&[5f32, 7.0], &Device::Cpu).unwrap();
    let some = drop_conditioning(&conditioning, &none, &mut Rng::new(1)).unwrap();
    let text = some.text.to_vec2::<f32>().unwrap();
    let without = text.iter().filter(|row| **row == [5.0, 7.0]).count();
    let any = some.style.iter().filter(|style| style.is_none()).count();
    assert!(
        (70..130).contains(&without) && any > without,
        "{without} {any}"
    );
    assert!(
        text.iter()
            .all(|row| *row == [5.0, 7.0] || *row == [1.0, 1.0])
    );
}
