//! Tests a newcomer's first training, with 200 pictures and 100 steps of each phase. Every phase is
//! interrupted and resumed. The trained model must draw the requested concept more often than would
//! happen by chance.

use crate::training::export_run;
use base::progress::Unobserved;
use candle_core::{Device, Tensor};
use imagegen::config::Config;
use imagegen::sampling::Sampling;
use imagegen::{Illuminator, ImageSpec};
use sampler::rng::Rng;
use std::path::Path;
use train::batches::{Batches, captions};
use train::checkpoint;
use train::data::dataset::{Concept, Dataset};
use train::data::split::Split;
use train::export::{load_checkpoint, take_ema};
use train::phase::{Autoencoder, Phase, PhaseInput, PhaseKind};
use train::reconstruct::ReconstructPhase;
use train::run::{Plan, RunOutcome, Schedule, run};
use train::tokens::TokensPhase;
use train::variables::{Tensors, noise};

const CPU: Device = Device::Cpu;
const THINGS: [&str; 4] = ["red disc", "blue bar", "green frame", "black post"];
/// The number of pictures of each concept. The four concepts have 200 pictures in total.
const EACH: usize = 50;
const STEPS: u64 = 100;
const DRAWN: usize = 8;
/// The share of recognized pictures must exceed the share expected by chance (a quarter) by at
/// least this much.
const MARGIN: f64 = 0.25;

fn pictures() -> Dataset {
    let concept = |label: &&str| Concept {
        label: label.to_string(),
        captions: vec![label.to_string(), format!("a {label}")],
    };
    let mut pictures = Dataset::new(64, THINGS.iter().map(concept).collect());
    let mut rng = Rng::new(3);
    for _ in 0..EACH {
        for thing in 0..THINGS.len() {
            let mut off = || (rng.next_f64() * 9.0) as i32 - 4;
            let (x, y) = (off(), off());
            pictures.push(&drawing(thing, x, y), thing as u32, 0, 0);
        }
    }
    pictures.styles.truncate(1);
    pictures.split.fill(Split::Train);
    pictures
}

fn drawing(thing: usize, left: i32, up: i32) -> Vec<u8> {
    let mut pixels = Vec::new();
    for y in 0..64 {
        for x in 0..64 {
            let (x, y): (i32, i32) = (x - 32 + left, y - 32 + up);
            let (inside, colour) = match thing {
                0 => (x * x + y * y < 400, [220, 30, 30, 255]),
                1 => (x.abs().max(3 * y.abs()) < 24, [30, 30, 220, 255]),
                2 => ((14..24).contains(&x.abs().max(y.abs())), [30, 160, 30, 255]),
                _ => (y.abs().max(4 * x.abs()) < 26, [20, 20, 20, 255]),
            };
            pixels.extend(if inside { colour } else { [0; 4] });
        }
    }
    pixels
}

/// Made-up embeddings of the captions. All captions of one concept have the same embedding.
fn words(pictures: &Dataset) -> Vec<f32> {
    let row = |caption: &String| {
        let thing = THINGS
            .iter()
            .position(|thing| caption.contains(thing))
            .unwrap();
        let row = noise(&[384], &mut Rng::new(thing as u64 + 1), &CPU).unwrap();
        let row = row.to_vec1::<f32>().unwrap();
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.into_iter()
            .map(move |x| x / length)
            .collect::<Vec<f32>>()
    };
    captions(pictures).iter().flat_map(row).collect()
}

/// Trains a phase to half its steps, then resumes it and trains it to the end. The checkpoint must
/// have the same bits as after training without a stop.
fn trained<P: Phase>(folder: &Path, plan: &dyn Fn(&Path, u64) -> Plan, new: impl Fn() -> P) {
    let beside = folder.join("beside");
    let phase = new().name();
    let runs = [(folder, STEPS / 2), (folder, STEPS), (&beside, STEPS)];
    for (at, steps) in runs {
        let end = run(&mut new(), &plan(at, steps), &CPU, &Unobserved, &mut |_| ());
        assert_eq!(end.unwrap(), RunOutcome::Done);
    }
    let bytes = |at: &Path| std::fs::read(checkpoint::path(at, phase)).unwrap();
    assert!(
        bytes(folder) == bytes(&beside),
        "{phase} went on to other bits"
    );
}

#[test]
fn a_hundred_steps_on_two_hundred_pictures_draw_what_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures();
    let json = include_bytes!("../reference/illuminator/config.json");
    let config = Config {
        styles: pictures.styles.clone(),
        ..Config::parse(json).unwrap()
    };
    let words = words(&pictures);
    let centred: Vec<f32> = words
        .chunks(384)
        .flat_map(|row| config.normalize_text(row))
        .collect();
    let text = Tensor::from_vec(centred, (words.len() / 384, 384), &CPU).unwrap();
    let batches = Batches::new(&pictures, text).unwrap();
    let plan = |at: &Path, steps: u64| Plan {
        folder: at.to_path_buf(),
        config: config.clone(),
        dataset: "test".into(),
        schedule: Schedule {
            seed: 1,
            batch_size: 16,
            steps,
            decay_steps: 0,
            learning_rate: 4e-3,
            checkpoint_every: 1_000,
            sample_every: 1_000,
        },
    };
    let input = PhaseInput {
        batches: &batches,
        config: &config,
        batch_size: 16,
        seed: 1,
    };
    trained(folder.path(), &plan, || {
        ReconstructPhase::new(input, Autoencoder::default(), None).unwrap()
    });
    let (_, mut parts) = load_checkpoint(folder.path(), PhaseKind::Reconstruct, &CPU).unwrap();
    let first = Autoencoder {
        encoder: take_ema(&mut parts, "encoder").unwrap(),
        generator: take_ema(&mut parts, "generator").unwrap(),
    };
    trained(folder.path(), &plan, || {
        TokensPhase::new(input, &first, Tensors::new()).unwrap()
    });
    let out = folder.path().join("weights");
    export_run(folder.path(), &out, &pictures, &words);
    let illuminator = Illuminator::load(&out, &CPU, 2, &[]).unwrap();
    let right = recognized(&illuminator, &pictures, &words);
    let chance = 1.0 / THINGS.len() as f64;
    assert!(right >= chance + MARGIN, "{right:.2} are recognized");
}

/// Draws pictures of every concept and returns the share that is recognized. A picture is
/// recognized if the mean of the requested concept's real pictures is closer to it than the mean of
/// any other concept.
fn recognized(illuminator: &Illuminator, pictures: &Dataset, words: &[f32]) -> f64 {
    let weights: Vec<Vec<f64>> = (0..THINGS.len())
        .map(|thing| middle(pictures, thing))
        .collect();
    let all = captions(pictures);
    let mut right = 0;
    for (thing, name) in THINGS.iter().enumerate() {
        let at = all.iter().position(|caption| caption == name).unwrap();
        let spec = ImageSpec {
            embedding: words[at * 384..][..384].to_vec(),
            subject: Vec::new(),
            style: Some(0),
            seeds: (0..DRAWN as u64).collect(),
            sampling: Sampling::default(),
        };
        let drawn = illuminator.draw(&spec, &mut || true).unwrap().unwrap();
        for picture in &drawn.pictures {
            let far = |mean: &Vec<f64>| -> f64 {
                let pairs = mean.iter().zip(&picture.pixels);
                pairs
                    .map(|(mean, pixel)| (mean - f64::from(*pixel)).powi(2))
                    .sum()
            };
            let near =
                (0..THINGS.len()).min_by(|a, b| far(&weights[*a]).total_cmp(&far(&weights[*b])));
            right += usize::from(near == Some(thing));
        }
    }
    right as f64 / (DRAWN * THINGS.len()) as f64
}

fn middle(pictures: &Dataset, thing: usize) -> Vec<f64> {
    let mut sum = vec![0f64; 64 * 64 * 4];
    let own = (0..pictures.len()).filter(|at| pictures.concept[*at] == thing as u32);
    for at in own {
        let pixels = pictures.picture(at).iter();
        sum.iter_mut()
            .zip(pixels)
            .for_each(|(sum, x)| *sum += f64::from(*x) / EACH as f64);
    }
    sum
}
