//! The illuminator's networks beside PyTorch's numbers (tests/peers/illuminator/fixture.py), and
//! what must hold of drawing, on a tiny model with random weights.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use illumine::model::gan::config::Config;
use illumine::model::gan::discriminator::Discriminator;
use illumine::model::gan::encoder::Encoder;
use illumine::model::gan::generator::Generator;
use illumine::model::gan::layers::{Drop, Weights, Wish};
use illumine::model::gan::quantizer::Quantizer;
use illumine::model::gan::sampling::Sampling;
use illumine::model::gan::tokens::{Digits, TokenTransformer};
use illumine::model::gan::{FILES, Illuminator, Order, Picture};
use illumine::model::linear::Pool;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/reference/illuminator")
}

fn config() -> Config {
    Config::read(&std::fs::read(folder().join("config.json")).unwrap()).unwrap()
}

fn weights(part: &str, packed: bool) -> Weights<'static> {
    let bytes = std::fs::read(folder().join(format!("{part}.safetensors"))).unwrap();
    let tensors = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu).unwrap();
    match packed {
        true => Weights::packed(tensors, Arc::new(Pool::new(2))),
        false => Weights::plain(tensors),
    }
}

/// What PyTorch was given and what it found.
struct Expected(HashMap<String, Tensor>);

impl Expected {
    fn read() -> Expected {
        let path = folder().join("expected.safetensors");
        Expected(candle_core::safetensors::load(path, &Device::Cpu).unwrap())
    }

    fn floats(&self, name: &str) -> Tensor {
        self.0[name].to_dtype(DType::F32).unwrap()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        self.0[name].flatten_all().unwrap().to_vec1().unwrap()
    }

    fn flags(&self, name: &str) -> Vec<bool> {
        self.bytes(name).iter().map(|byte| *byte == 1).collect()
    }

    /// Style 2 of two styles stands for any.
    fn wish(&self) -> Wish {
        let style = self.0["style"].to_vec1::<u32>().unwrap();
        Wish {
            text: self.floats("text"),
            style: style.into_iter().map(|s| (s < 2).then_some(s)).collect(),
            flip: self.flags("flip"),
        }
    }

    fn close(&self, name: &str, ours: &Tensor, bound: f32) {
        let theirs = self.floats(name);
        assert_eq!(ours.dims(), theirs.dims(), "{name}");
        let apart = (ours - theirs)
            .unwrap()
            .abs()
            .unwrap()
            .flatten_all()
            .unwrap();
        let worst = apart
            .to_vec1::<f32>()
            .unwrap()
            .into_iter()
            .fold(0.0, f32::max);
        assert!(worst < bound, "{name}: {worst} apart");
    }
}

#[test]
fn the_autoencoder_computes_what_pytorch_computes() {
    let (config, expected) = (config(), Expected::read());
    let quantizer = Quantizer::new(&config.levels, &Device::Cpu).unwrap();
    for (packed, bound) in [(false, 1e-4), (true, 0.05)] {
        let encoder = Encoder::new(&weights("encoder", packed), &config).unwrap();
        let z = encoder.forward(&expected.floats("x")).unwrap();
        expected.close("z", &z, bound);
        let generator = Generator::new(&weights("generator", packed), &config).unwrap();
        let codes = quantizer.quantize(&expected.floats("z")).unwrap();
        let tokens = quantizer.digits(&codes).unwrap();
        expected.close("tokens", &tokens, 1e-6);
        let picture = generator.forward(&codes, &expected.wish()).unwrap();
        expected.close("picture", &picture, bound);
    }
}

#[test]
fn the_token_transformer_computes_what_pytorch_computes() {
    let (config, expected) = (config(), Expected::read());
    let tokens = Digits(expected.bytes("tokens"));
    let half = tokens.0.len() / 2;
    let source = Digits([&tokens.0[half..], &tokens.0[..half]].concat());
    let first: Vec<u8> = tokens.0.iter().step_by(2).copied().collect();
    for (packed, bound) in [(false, 1e-4), (true, 0.1)] {
        let model = TokenTransformer::new(&weights("tokens", packed), &config).unwrap();
        let source = Some((&source, &[true, false][..]));
        let prepared = model.prepare(&expected.wish(), source).unwrap();
        let known = expected.flags("known");
        let hidden = model
            .hidden(&prepared, &tokens, &known, &Drop::None)
            .unwrap();
        expected.close("hidden", &hidden, bound);
        let heads = model.heads(&hidden).unwrap();
        expected.close("first", &model.logits(&heads, 0).unwrap(), bound);
        let heads = model.tell(&heads, 0, &first).unwrap();
        expected.close("second", &model.logits(&heads, 1).unwrap(), bound);
    }
}

#[test]
fn the_discriminator_computes_what_pytorch_computes() {
    let (config, expected) = (config(), Expected::read());
    let judge = Discriminator::new(&weights("discriminator", false), &config).unwrap();
    let style = Tensor::new(&[1u32, 0], &Device::Cpu).unwrap();
    let judgement = judge
        .forward(&expected.floats("x"), &expected.floats("text"), &style)
        .unwrap();
    expected.close("scores", &judgement.scores, 1e-4);
    expected.close("feature", &judgement.features[2], 1e-4);
}

fn illuminator(threads: usize) -> Illuminator {
    Illuminator::load(&folder(), &Device::Cpu, threads).unwrap()
}

fn order(seeds: &[u64]) -> Order {
    let mut embedding = vec![0f32; 8];
    (embedding[2], embedding[5]) = (0.8, 0.6);
    Order {
        embedding,
        style: Some(1),
        seeds: seeds.to_vec(),
        sampling: Sampling::default(),
    }
}

fn draw(illuminator: &Illuminator, seeds: &[u64]) -> Vec<Picture> {
    let drawn = illuminator.draw(&order(seeds), &mut || true).unwrap();
    drawn.unwrap().pictures
}

#[test]
fn a_seed_gives_the_same_picture_alone_or_beside_others_on_any_number_of_threads() {
    let one = illuminator(1);
    let all = draw(&one, &[7, 8, 9, 10]);
    assert_eq!(draw(&one, &[9]), all[2..3]);
    assert_eq!(draw(&illuminator(2), &[7, 8, 9, 10]), all);
    assert_ne!(all[0], all[1]);
}

#[test]
fn what_was_drawn_is_named_and_stopping_draws_nothing() {
    let illuminator = illuminator(1);
    let drawn = illuminator
        .draw(&order(&[1]), &mut || true)
        .unwrap()
        .unwrap();
    let named: Vec<&str> = drawn.concepts.iter().map(|c| c.label.as_str()).collect();
    assert_eq!(named, ["castle", "moon", "dragon", "fox"]);
    assert!(
        drawn.pictures[0]
            .pixels
            .chunks(4)
            .all(|p| p[..3].iter().all(|c| *c <= p[3]))
    );
    assert!(
        illuminator
            .draw(&order(&[1]), &mut || false)
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_picture_can_be_read_back_as_tokens() {
    let illuminator = illuminator(1);
    let picture = &draw(&illuminator, &[3])[0];
    let tokens = illuminator.read(picture).unwrap();
    assert_eq!(tokens.0.len(), 64 * 2);
    assert!(tokens.0.chunks(2).all(|token| token[0] < 5 && token[1] < 3));
}

#[test]
fn damaged_weights_and_weights_of_other_sizes_are_one_sentence() {
    let damaged = tempfile::tempdir().unwrap();
    let restore = || {
        for name in FILES {
            std::fs::copy(folder().join(name), damaged.path().join(name)).unwrap();
        }
    };
    let why = || {
        let error = Illuminator::load(damaged.path(), &Device::Cpu, 1)
            .err()
            .unwrap();
        error.to_string()
    };
    for name in FILES {
        restore();
        let path = damaged.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        for cut in [0, 9, whole.len() / 2] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(why().contains(name), "{}", why());
        }
        std::fs::remove_file(&path).unwrap();
        assert!(why().contains(name), "{}", why());
    }
    restore();
    let path = damaged.path().join("config.json");
    let other = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, other.replace("\"mid\": 8", "\"mid\": 16")).unwrap();
    assert!(why().contains("generator.safetensors"), "{}", why());
}
