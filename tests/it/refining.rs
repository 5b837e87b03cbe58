//! Compares the refiner and the critic with PyTorch (tests/peers/illuminator/fixture.py), and tests
//! the phase that trains them.

use crate::support::perceptual_path;
use crate::training::{
    batches, check, config, input, pictures, plan, resumes, train, untrained, weighed,
};
use candle_core::{Device, Result, Tensor};
use imagegen::conditioning::Conditioning;
use imagegen::config::Config;
use imagegen::critic::{CHANNELS, Critic};
use imagegen::layers::Dropout;
use imagegen::quantizer::FsqCodes;
use imagegen::quantizer::Quantizer;
use imagegen::refiner::Refiner;
use imagegen::retrieval_index::RetrievedExamples;
use imagegen::weights::Weights;
use std::path::Path;
use train::export::take_ema;
use train::losses::{GanLoss, LossWeights};
use train::perceptual::PerceptualLoss;
use train::phase::Phase;
use train::refine::{RefinePhase, RefineStart};
use train::tokens::TokensPhase;
use train::variables::{Tensors, trainable};

const CPU: Device = Device::Cpu;

fn tiny() -> Config {
    Config::parse(include_bytes!("../reference/illuminator/config.json")).unwrap()
}

fn waves(shape: &[usize], step: f64, size: f64) -> Tensor {
    let count: usize = shape.iter().product();
    let wave = (0..count).map(|at| (size * (step * at as f64).sin()) as f32);
    Tensor::from_vec(wave.collect(), shape, &CPU).unwrap()
}

/// Creates a network whose weights are the values of a sine wave.
fn network<N>(new: impl FnOnce(&Weights) -> Result<N>) -> N {
    let (network, variables) = trainable(Tensors::new(), 1, &CPU, new).unwrap();
    for (name, var) in variables.iter() {
        let wave = waves(var.dims(), 0.7 + name.len() as f64 / 100.0, 0.2);
        var.set(&wave).unwrap();
    }
    network
}

fn tokens() -> FsqCodes {
    let waves = waves(&[256], 0.37, 1.0).to_vec1::<f32>().unwrap();
    FsqCodes(waves.iter().map(|x| (x + 1.0) as u8).collect())
}

fn conditioning() -> Conditioning {
    Conditioning {
        text: waves(&[2, 384], 0.11, 1.0),
        style: vec![Some(1), None],
        flip: vec![false, true],
    }
}

fn shown() -> [RetrievedExamples; 2] {
    let other = FsqCodes(tokens().0[128..].to_vec());
    [vec![(0, other.clone()), (2, other)], vec![]]
}

fn features() -> Vec<Tensor> {
    let sizes = [16, 8, 4].into_iter().zip(CHANNELS);
    sizes
        .map(|(size, channels)| waves(&[2, size, size, channels], 0.3, 1.0))
        .collect()
}

fn close(name: &str, ours: &Tensor) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = path.join("tests/reference/illuminator/refining.safetensors");
    let theirs = &candle_core::safetensors::load(path, &CPU).unwrap()[name];
    assert_eq!(ours.dims(), theirs.dims(), "{name}");
    let apart = (ours - theirs).unwrap().abs().unwrap();
    let worst = apart.max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(worst < 1e-3, "{name}: {worst} apart");
}

fn refined(refiner: &Refiner) -> Result<Tensor> {
    let (tokens, quantizer) = (tokens(), Quantizer::new(&tiny().levels, &CPU)?);
    let values = quantizer.token_values(&tokens, &CPU)?;
    refiner.forward(
        (&tokens, &values),
        &conditioning(),
        &shown(),
        &Dropout::None,
    )
}

#[test]
fn refiner_and_critic_compute_what_pytorch_computes() {
    let config = tiny();
    let refiner = network(|w| Refiner::new(w, &config));
    close("refined", &refined(&refiner).unwrap());
    let critic = network(|w| Critic::new(w, &config));
    let (text, style) = (conditioning().text, Tensor::new(&[1u32, 0], &CPU).unwrap());
    let said = critic.forward(&features(), &text, &style).unwrap();
    close("scores", &Tensor::stack(&said.scores, 0).unwrap());
    close(
        "belongs",
        &critic.caption_logits(&said.whole, &text).unwrap(),
    );
}

#[test]
fn a_refiner_that_has_learned_nothing_moves_nothing() {
    let config = tiny();
    let (refiner, _) = trainable(Tensors::new(), 1, &CPU, |w| Refiner::new(w, &config)).unwrap();
    let quantizer = Quantizer::new(&config.levels, &CPU).unwrap();
    let values = quantizer.token_values(&tokens(), &CPU).unwrap();
    let flat = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(flat(&refined(&refiner).unwrap()), flat(&values));
}

#[test]
fn gradients_of_refiner_and_critic_agree_with_differences() {
    let config = tiny();
    let none = Tensor::zeros((2, 384), candle_core::DType::F32, &CPU).unwrap();
    let without = |refiner: &Refiner| {
        let quantizer = Quantizer::new(&config.levels, &CPU)?;
        let values = quantizer.token_values(&tokens(), &CPU)?;
        let text = none.broadcast_add(refiner.null_text())?;
        let text = (text + conditioning().text)?;
        let conditioning = Conditioning {
            text,
            ..conditioning()
        };
        weighed(&refiner.forward(
            (&tokens(), &values),
            &conditioning,
            &shown(),
            &Dropout::None,
        )?)
    };
    check(|w| Refiner::new(w, &config), without);
    let (text, style) = (conditioning().text, Tensor::new(&[1u32, 0], &CPU).unwrap());
    check(
        |w| Critic::new(w, &config),
        |critic| {
            let said = critic.forward(&features(), &text, &style)?;
            let scores = weighed(&Tensor::stack(&said.scores, 0)?)?;
            scores + weighed(&critic.caption_logits(&said.whole, &text)?)?
        },
    );
}

#[test]
fn refining_resumes_to_the_same_bits_and_its_losses_are_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures();
    let config = config(&pictures);
    let batches = batches(&pictures, &config);
    let input = input(&batches, &config);
    let autoencoder = untrained(&batches, &config);
    let mut composer = TokensPhase::new(input, &autoencoder, Tensors::new()).unwrap();
    let tokens = take_ema(&mut composer.parts().unwrap(), "tokens").unwrap();
    let phase = |gan_loss| {
        let weights = LossWeights {
            gan_loss,
            adversarial: 0.05,
            caption_contrastive: 0.005,
            ..LossWeights::default()
        };
        let start = RefineStart {
            autoencoder: autoencoder.clone(),
            tokens: tokens.clone(),
            refiner: None,
        };
        let perceptual_loss = PerceptualLoss::load(&perceptual_path(), &CPU, 1.0).unwrap();
        RefinePhase::new(input, start, weights, perceptual_loss).unwrap()
    };
    resumes(folder.path(), &config, || phase(GanLoss::Relativistic));
    for loss in [GanLoss::Hinge, GanLoss::Bce] {
        let folder = tempfile::tempdir().unwrap();
        let losses = train(&mut phase(loss), &plan(folder.path(), &config, 2));
        assert!(losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
    }
}
