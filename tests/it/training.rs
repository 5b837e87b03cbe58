//! Tests training, at sizes that take only seconds. The tests compare every gradient with finite
//! differences, check that training resumes bit for bit, and run all stages from a dataset to a
//! drawn picture.

use base::progress::Unobserved;
use candle_core::{D, Device, Result, Tensor, Var};
use candle_nn::ops;
use imagegen::conditioning::Conditioning;
use imagegen::config::Config;
use imagegen::discriminator::Discriminator;
use imagegen::encoder::Encoder;
use imagegen::generator::Generator;
use imagegen::layers::{Dropout, layer_norm, leaky_relu};
use imagegen::patches::{patchify, pixel_shuffle, pixel_unshuffle, split, windows};
use imagegen::quantizer::FsqCodes;
use imagegen::quantizer::Quantizer;
use imagegen::sampling::Sampling;
use imagegen::tokens::TokenTransformer;
use imagegen::weights::Weights;
use imagegen::{Illuminator, ImageSpec};
use sampler::rng::Rng;
use std::path::Path;
use train::TrainError;
use train::batches::{Batches, captions};
use train::checkpoint::{self, Parts};
use train::data::dataset::{Concept, Dataset};
use train::data::split::Split;
use train::export::{Export, export, load_checkpoint, take_ema};
use train::losses::{GAN_LOSSES, LossWeights, softplus};
use train::paint::PaintPhase;
use train::phase::{Autoencoder, Phase, PhaseInput, PhaseKind};
use train::reconstruct::ReconstructPhase;
use train::run::{Plan, RunOutcome, Schedule, TrainingEvent, run};
use train::tokens::TokensPhase;
use train::variables::{Tensors, noise, trainable};

const CPU: Device = Device::Cpu;

fn tiny() -> Config {
    let json = include_bytes!("../reference/illuminator/config.json");
    Config::parse(json).unwrap()
}

/// Checks the gradient of every variable in turn. The slope of the loss along a direction, computed
/// from the gradient, must agree with the difference between two losses.
pub fn check<N>(new: impl FnOnce(&Weights) -> Result<N>, loss: impl Fn(&N) -> Result<Tensor>) {
    let (network, variables) = trainable(Tensors::new(), 3, &CPU, new).unwrap();
    let mut rng = Rng::new(5);
    // Moves scales, shifts and biases away from their initial values.
    for (_, var) in variables.iter() {
        let shaken = (noise(var.dims(), &mut rng, &CPU).unwrap() * 0.05).unwrap();
        var.set(&(var.as_tensor() + shaken).unwrap()).unwrap();
    }
    let gradients = loss(&network).unwrap().backward().unwrap();
    for (name, var) in variables.iter() {
        let Some(gradient) = gradients.get(var.as_tensor()) else {
            panic!("{name} has no gradient");
        };
        let way = noise(var.dims(), &mut rng, &CPU).unwrap();
        let length = way.sqr().unwrap().sum_all().unwrap().sqrt().unwrap();
        let way = way.broadcast_div(&length).unwrap();
        let by_gradient = number(&(gradient * &way).unwrap().sum_all().unwrap());
        let start = var.as_tensor().copy().unwrap();
        let at = |by: f64| {
            var.set(&(&start + (&way * by).unwrap()).unwrap()).unwrap();
            number(&loss(&network).unwrap())
        };
        let slope = |step: f64| (at(step) - at(-step)) / (2.0 * step);
        let difference = slope(1e-2);
        var.set(&start).unwrap();
        // Leaky ReLUs may bend within the step; a missing or wrong gradient is farther off.
        let bound = 0.2 * by_gradient.abs().max(difference.abs()) + 0.02;
        let apart = (by_gradient - difference).abs();
        assert!(
            apart < bound,
            "{name}: {by_gradient} by gradient, {difference} by difference"
        );
    }
}

pub fn number(tensor: &Tensor) -> f64 {
    f64::from(tensor.to_scalar::<f32>().unwrap())
}

fn conditioning(config: &Config, rng: &mut Rng) -> Conditioning {
    Conditioning {
        text: noise(&[2, config.text], rng, &CPU).unwrap(),
        style: vec![Some(1), None],
        flip: vec![true, false],
    }
}

/// A sum of all values with random weights, so that parts of the output do not cancel out.
pub fn weighed(x: &Tensor) -> Result<Tensor> {
    let weights = noise(x.dims(), &mut Rng::new(11), &CPU)?;
    (x * weights)?.sum_all()? * 0.1
}

/// Checks an operation's gradient. The slope along a direction, computed from the gradient, must
/// agree with a finite difference to within about 1%.
fn op(name: &str, x: &Tensor, f: &dyn Fn(&Tensor) -> Result<Tensor>) {
    let var = Var::from_tensor(x).unwrap();
    let loss = |x: &Tensor| weighed(&f(x).unwrap()).unwrap();
    let gradients = loss(var.as_tensor()).backward().unwrap();
    let gradient = gradients
        .get(var.as_tensor())
        .unwrap_or_else(|| panic!("{name} has none"));
    let way = noise(x.dims(), &mut Rng::new(9), &CPU).unwrap();
    let by_gradient = number(&(gradient * &way).unwrap().sum_all().unwrap());
    let at = |by: f64| number(&loss(&(x + (&way * by).unwrap()).unwrap()));
    let difference = (at(5e-3) - at(-5e-3)) / 1e-2;
    let bound = 0.01 * by_gradient.abs().max(difference.abs()) + 2e-3;
    let apart = (by_gradient - difference).abs();
    assert!(
        apart < bound,
        "{name}: {by_gradient} by gradient, {difference} by difference"
    );
}

/// Exports the weights of a run, using only the run's own checkpoints.
pub fn export_run(run: &Path, out: &Path, dataset: &Dataset, embeddings: &[f32]) {
    let what = Export {
        run,
        out,
        from: None,
        dataset,
        embeddings,
    };
    export(&what, &Unobserved).unwrap();
}

#[test]
fn every_operation_that_training_uses_has_the_gradient_of_its_differences() {
    let mut rng = Rng::new(4);
    let x = noise(&[2, 8, 8, 8], &mut rng, &CPU).unwrap();
    // Keeps inputs away from zero, where some operations are not differentiable.
    let away = (&x + (x.sign().unwrap() * 0.2).unwrap()).unwrap();
    let rows = noise(&[2, 16, 8], &mut rng, &CPU).unwrap();
    let kernel = noise(&[4, 8, 3, 3], &mut rng, &CPU).unwrap();
    let other = noise(&[2, 4, 8, 8], &mut rng, &CPU).unwrap();
    let picks = Tensor::new(&[1u32, 0, 1, 1], &CPU).unwrap();
    let wanted = Tensor::new(&[[[3u32], [1]], [[0], [7]]], &CPU).unwrap();
    op("layer norm", &rows, &layer_norm);
    op("softmax", &rows, &|x| ops::softmax(x, D::Minus1));
    op("log softmax", &rows, &|x| ops::log_softmax(x, D::Minus1));
    op("leaky", &away, &leaky_relu);
    op("relu squared", &away, &|x| x.relu()?.sqr());
    op("tanh", &x, &|x| x.tanh());
    op("exponential", &x, &|x| x.exp());
    op("softplus", &away, &softplus);
    op("abs", &away, &|x| x.abs());
    op("convolution by its input", &x, &|x| {
        x.conv2d(&kernel, 1, 1, 1, 1)
    });
    op("convolution by its kernel", &kernel, &|k| {
        x.conv2d(k, 1, 1, 1, 1)
    });
    op("product of matrices", &rows, &|x| x.matmul(&x.t()?));
    op("average pool", &x, &|x| x.avg_pool2d(2));
    op("patches", &x, &|x| patchify(x, 2)?.sqr());
    op("pixel shuffle", &x, &|x| pixel_shuffle(x)?.sqr());
    op("pixel unshuffle", &x, &|x| pixel_unshuffle(x)?.sqr());
    op("split and windows", &rows, &|x| {
        windows(&split(x, 4)?, 4)?.sqr()
    });
    op("index select", &rows, &|x| x.index_select(&picks, 0)?.sqr());
    op("gather", &rows, &|x| {
        x.narrow(1, 0, 2)?.contiguous()?.gather(&wanted, 2)?.sqr()
    });
    op("roll", &x, &|x| x.roll(3, 2)?.sqr());
    op("cat and narrow", &x, &|x| {
        Tensor::cat(&[x, &x.sqr()?], 1)?.narrow(1, 4, 8)
    });
    op("broadcast", &other, &|x| {
        x.broadcast_mul(&x.mean_keepdim(1)?)
    });
    op("used twice", &rows, &|x| (x * layer_norm(x)?)? + x);
}

#[test]
fn gradients_of_the_encoder_agree_with_differences() {
    let config = tiny();
    let x = noise(&[2, 4, 64, 64], &mut Rng::new(1), &CPU).unwrap();
    check(
        |w| Encoder::new(w, &config),
        |encoder| weighed(&encoder.forward(&x)?),
    );
}

#[test]
fn gradients_of_the_generator_agree_with_differences() {
    let config = tiny();
    let mut rng = Rng::new(1);
    let z = noise(&[2, 64, config.codes_per_token()], &mut rng, &CPU).unwrap();
    let values = Quantizer::new(&config.levels, &CPU)
        .unwrap()
        .quantize(&z)
        .unwrap();
    let conditioning = conditioning(&config, &mut rng);
    // The null embedding gets a gradient only where it is used.
    let with_none = |generator: &Generator| {
        let text = conditioning.text.broadcast_add(generator.null_text())?;
        let conditioning = Conditioning {
            text,
            ..conditioning.clone()
        };
        weighed(&generator.forward(&values, &conditioning)?)
    };
    check(|w| Generator::new(w, &config), with_none);
}

#[test]
fn gradients_of_the_discriminator_agree_with_differences() {
    let config = tiny();
    let mut rng = Rng::new(1);
    let x = noise(&[2, 4, 64, 64], &mut rng, &CPU).unwrap();
    let text = noise(&[2, config.text], &mut rng, &CPU).unwrap();
    let style = Tensor::new(&[0u32, 1], &CPU).unwrap();
    check(
        |w| Discriminator::new(w, &config),
        |judge| {
            let judged = judge.forward(&x, &text, &style)?;
            weighed(&judged.scores)? + weighed(&judged.features[2])?
        },
    );
}

#[test]
fn gradients_of_the_token_transformer_agree_with_differences() {
    let config = tiny();
    let mut rng = Rng::new(1);
    let mut digits = |_| (rng.next_f64() * 3.0) as u8;
    let tokens = FsqCodes((0..2 * 64 * 2).map(&mut digits).collect());
    let mut other = || FsqCodes((0..64 * 2).map(&mut digits).collect());
    let shown = [vec![(0, other()), (2, other())], vec![]];
    let known: Vec<bool> = (0..128).map(|at| at % 3 == 0).collect();
    let conditioning = conditioning(&config, &mut rng);
    let loss = |model: &TokenTransformer| {
        let text = conditioning.text.broadcast_add(model.null_text())?;
        let conditioning = Conditioning {
            text,
            ..conditioning.clone()
        };
        let prepared = model.prepare(&conditioning, &shown)?;
        let hidden = model.hidden(&prepared, &tokens, &known, &Dropout::None)?;
        let logits = model.logits(&model.head_inputs(&hidden)?.flatten_to(1)?, &tokens)?;
        weighed(&logits[0])? + weighed(&logits[1])?
    };
    check(|w| TokenTransformer::new(w, &config), loss);
}

/// A dataset of two concepts, a red disc and a blue bar, each in two styles (filled and as an
/// outline) and at several positions.
pub fn pictures() -> Dataset {
    let concept = |label: &str| Concept {
        label: label.into(),
        captions: vec![label.into(), format!("a {label}")],
    };
    let mut pictures = Dataset::new(64, vec![concept("red disc"), concept("blue bar")]);
    for moved in 0..4 {
        for thing in 0..2 {
            for style in 0..2 {
                pictures.push(&drawing(thing, style == 1, moved), thing, style, 0);
            }
        }
    }
    pictures.styles.truncate(2);
    pictures.split.fill(Split::Train);
    pictures
}

fn drawing(thing: u32, outline: bool, moved: i32) -> Vec<u8> {
    let mut pixels = Vec::new();
    for y in 0..64 {
        for x in 0..64 {
            let (x, y) = (x - 32 + 2 * moved, y - 32);
            let (far, colour) = match thing {
                0 => ((x * x + y * y) - 400, [220, 30, 30, 255]),
                _ => (x.abs().max(3 * y.abs()) - 24, [30, 30, 220, 255]),
            };
            let inside = far < 0 && !(outline && far < if thing == 0 { -150 } else { -6 });
            pixels.extend(if inside { colour } else { [0; 4] });
        }
    }
    pixels
}

/// Made-up embeddings of the captions. All captions of one concept have the same embedding.
pub fn words(pictures: &Dataset) -> Vec<f32> {
    let mut all = Vec::new();
    for caption in captions(pictures) {
        let seed = if caption.contains("disc") { 1 } else { 2 };
        let mut row = noise(&[384], &mut Rng::new(seed), &CPU)
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter_mut().for_each(|x| *x /= length);
        all.extend(row);
    }
    all
}

pub fn config(pictures: &Dataset) -> Config {
    Config {
        styles: pictures.styles.clone(),
        ..tiny()
    }
}

pub fn batches<'a>(pictures: &'a Dataset, config: &Config) -> Batches<'a> {
    let words = words(pictures);
    let centred: Vec<f32> = words
        .chunks(384)
        .flat_map(|row| config.normalize_text(row))
        .collect();
    let text = Tensor::from_vec(centred, (words.len() / 384, 384), &CPU).unwrap();
    Batches::new(pictures, text).unwrap()
}

pub fn plan(folder: &Path, config: &Config, steps: u64) -> Plan {
    Plan {
        folder: folder.to_path_buf(),
        config: config.clone(),
        dataset: "test".into(),
        schedule: Schedule {
            seed: 1,
            batch_size: 4,
            steps,
            decay_steps: 0,
            learning_rate: 2e-3,
            checkpoint_every: 1_000,
            sample_every: 1_000,
        },
    }
}

/// Trains a phase to the last step of its plan, and returns the loss of each step.
pub fn train(phase: &mut dyn Phase, plan: &Plan) -> Vec<f64> {
    let mut losses = Vec::new();
    let end = run(phase, plan, &CPU, &Unobserved, &mut |event| {
        if let TrainingEvent::Step { metrics, .. } = event {
            losses.push(metrics[0].1);
        }
    });
    assert_eq!(end.unwrap(), RunOutcome::Done);
    losses
}

/// Checks that a phase resumes bit for bit. `new` creates the phase again, as happens when the
/// program is restarted.
pub fn resumes<P: Phase>(folder: &Path, config: &Config, new: impl Fn() -> P) {
    let (whole, parts) = (folder.join("whole"), folder.join("parts"));
    let phase = new().name();
    for (at, steps) in [(&whole, 4), (&parts, 2), (&parts, 4)] {
        train(&mut new(), &plan(at, config, steps));
    }
    let bytes = |at: &Path| std::fs::read(checkpoint::path(at, phase)).unwrap();
    assert_eq!(bytes(&whole), bytes(&parts), "{phase}");
}

/// The input that every phase has in these tests.
pub fn input<'a>(batches: &'a Batches<'a>, config: &'a Config) -> PhaseInput<'a> {
    PhaseInput {
        batches,
        config,
        batch_size: 4,
        seed: 1,
    }
}

fn autoencoder(folder: &Path) -> Autoencoder {
    let (_, mut parts) = load_checkpoint(folder, PhaseKind::Reconstruct, &CPU).unwrap();
    averaged(&mut parts)
}

fn averaged(parts: &mut Parts) -> Autoencoder {
    Autoencoder {
        encoder: take_ema(parts, "encoder").unwrap(),
        generator: take_ema(parts, "generator").unwrap(),
    }
}

/// Creates an untrained encoder and generator.
pub fn untrained(batches: &Batches, config: &Config) -> Autoencoder {
    let input = input(batches, config);
    let mut start = ReconstructPhase::new(input, Autoencoder::default(), None).unwrap();
    averaged(&mut start.parts().unwrap())
}

#[test]
fn every_phase_resumes_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures();
    let config = config(&pictures);
    let batches = batches(&pictures, &config);
    let input = input(&batches, &config);
    resumes(folder.path(), &config, || {
        ReconstructPhase::new(input, Autoencoder::default(), None).unwrap()
    });
    let first = autoencoder(&folder.path().join("whole"));
    resumes(folder.path(), &config, || {
        TokensPhase::new(input, &first, Tensors::new()).unwrap()
    });
    resumes(folder.path(), &config, || {
        PaintPhase::new(input, first.clone(), LossWeights::default(), None).unwrap()
    });
}

#[test]
fn generator_and_discriminator_meet_under_every_loss() {
    let pictures = pictures();
    let config = config(&pictures);
    let batches = batches(&pictures, &config);
    let input = input(&batches, &config);
    let first = untrained(&batches, &config);
    for (name, gan_loss) in GAN_LOSSES {
        let folder = tempfile::tempdir().unwrap();
        let weights = LossWeights {
            gan_loss,
            ..LossWeights::default()
        };
        let mut phase = PaintPhase::new(input, first.clone(), weights, None).unwrap();
        let losses = train(&mut phase, &plan(folder.path(), &config, 3));
        assert!(
            losses.iter().all(|loss| loss.is_finite()),
            "{name}: {losses:?}"
        );
    }
}

#[test]
fn a_loss_that_is_no_number_ends_the_run_and_keeps_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures();
    let config = config(&pictures);
    let batches = batches(&pictures, &config);
    let input = input(&batches, &config);
    let new = || ReconstructPhase::new(input, Autoencoder::default(), None).unwrap();
    train(&mut new(), &plan(folder.path(), &config, 2));
    let path = PhaseKind::Reconstruct.checkpoint(folder.path());
    let before = std::fs::read(&path).unwrap();
    let mut wild = plan(folder.path(), &config, 50);
    wild.schedule.learning_rate = 1e38;
    let error = run(&mut new(), &wild, &CPU, &Unobserved, &mut |_| ()).unwrap_err();
    assert!(matches!(error, TrainError::Diverged(_)), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    // With other pictures or sizes, the run cannot be resumed.
    let mut other = plan(folder.path(), &config, 50);
    other.dataset = "other".into();
    let error = run(&mut new(), &other, &CPU, &Unobserved, &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("different dataset"), "{error}");
    std::fs::write(&path, &before[..before.len() / 2]).unwrap();
    let error = run(
        &mut new(),
        &plan(folder.path(), &config, 3),
        &CPU,
        &Unobserved,
        &mut |_| (),
    );
    assert!(matches!(error.unwrap_err(), TrainError::Checkpoint(..)));
}

/// Runs all stages from a dataset to a drawn picture. The training is so short that the networks
/// learn only where the ink is.
#[test]
fn what_was_trained_can_be_exported_and_draws() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures();
    let config = config(&pictures);
    let batches = batches(&pictures, &config);
    let plan = plan(folder.path(), &config, 30);
    let input = input(&batches, &config);
    let mut phase = ReconstructPhase::new(input, Autoencoder::default(), None).unwrap();
    let losses = train(&mut phase, &plan);
    assert!(losses[29] < 0.9 * losses[0], "reconstruction: {losses:?}");
    let first = autoencoder(folder.path());
    let mut phase = TokensPhase::new(input, &first, Tensors::new()).unwrap();
    let losses = train(&mut phase, &plan);
    assert!(losses[29] < 0.9 * losses[0], "tokens: {losses:?}");

    let out = folder.path().join("weights");
    let words = words(&pictures);
    export_run(folder.path(), &out, &pictures, &words);
    let illuminator = Illuminator::load(&out, &CPU, 2, &[]).unwrap();
    let all = captions(&pictures);
    let at = all
        .iter()
        .position(|caption| caption == "red disc")
        .unwrap();
    let order = ImageSpec {
        embedding: words[at * 384..][..384].to_vec(),
        subject: Vec::new(),
        style: Some(0),
        seeds: vec![1, 2],
        sampling: Sampling::default(),
    };
    let drawn = illuminator.draw(&order, &mut || true).unwrap().unwrap();
    assert_eq!(drawn.concepts[0].label, "red disc");
    assert_eq!(drawn.pictures.len(), 2);
}
