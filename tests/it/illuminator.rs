//! Compares the illuminator's networks with PyTorch (tests/peers/illuminator/fixture.py), and
//! checks invariants of drawing. Both use a tiny model with random weights.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use imagegen::conditioning::Conditioning;
use imagegen::config::Config;
use imagegen::discriminator::Discriminator;
use imagegen::encoded::EncodedPicture;
use imagegen::encoder::Encoder;
use imagegen::generator::Generator;
use imagegen::layers::Dropout;
use imagegen::quantizer::FsqCodes;
use imagegen::quantizer::Quantizer;
use imagegen::retrieval_index::RetrievalIndex;
use imagegen::sampling::Sampling;
use imagegen::tokens::TokenTransformer;
use imagegen::weights::Weights;
use imagegen::{FILES, GeneratedImages, Illuminator, ImageSpec, Picture};
use kernels::linear::Pool;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/reference/illuminator")
}

fn config() -> Config {
    Config::parse(&std::fs::read(folder().join("config.json")).unwrap()).unwrap()
}

fn weights(part: &str, packed: bool) -> Weights<'static> {
    let bytes = std::fs::read(folder().join(format!("{part}.safetensors"))).unwrap();
    let tensors = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu).unwrap();
    match packed {
        true => Weights::packed(tensors, Arc::new(Pool::new(2))),
        false => Weights::plain(tensors),
    }
}

/// PyTorch's inputs and outputs, by name.
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

    /// The conditioning that PyTorch used. The model has two styles, so style 2 stands for any
    /// style.
    fn conditioning(&self) -> Conditioning {
        let style = self.0["style"].to_vec1::<u32>().unwrap();
        Conditioning {
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
        let tokens = quantizer.codes(&codes).unwrap();
        expected.close("tokens", &tokens, 1e-6);
        let picture = generator.forward(&codes, &expected.conditioning()).unwrap();
        expected.close("picture", &picture, bound);
    }
}

#[test]
fn the_token_transformer_computes_what_pytorch_computes() {
    let (config, expected) = (config(), Expected::read());
    let tokens = FsqCodes(expected.bytes("tokens"));
    let half = tokens.0.len() / 2;
    let [own, other] = [0, half].map(|from| FsqCodes(tokens.0[from..][..half].to_vec()));
    // With two styles, there is no style 2.
    let shown = [vec![(0, other.clone()), (1, own), (2, other)], vec![]];
    let first: Vec<u8> = tokens.0.iter().step_by(2).copied().collect();
    for (packed, bound) in [(false, 1e-4), (true, 0.1)] {
        let model = TokenTransformer::new(&weights("tokens", packed), &config).unwrap();
        let prepared = model.prepare(&expected.conditioning(), &shown).unwrap();
        let known = expected.flags("known");
        let hidden = model
            .hidden(&prepared, &tokens, &known, &Dropout::None)
            .unwrap();
        expected.close("hidden", &hidden, bound);
        let begun = model.head_inputs(&hidden).unwrap();
        let rows = begun.flatten_to(1).unwrap();
        let logits = model.logits(&rows, &tokens).unwrap();
        let [at_first, at_second] = <[Tensor; 2]>::try_from(logits).unwrap();
        let of_pictures = |logits: &Tensor| logits.reshape((2, 64, ())).unwrap();
        expected.close("first", &of_pictures(&at_first), bound);
        expected.close("second", &of_pictures(&at_second), bound);
        // The code that draws computes the same without tensors.
        let by = model.code_head().unwrap();
        let mut begun: Vec<f32> = begun.flatten_all().unwrap().to_vec1().unwrap();
        let (mut found, mut row) = ([Vec::new(), Vec::new()], Vec::new());
        for (token, digit) in begun.chunks_exact_mut(by.width()).zip(&first) {
            by.logits(token, 0, &mut row);
            found[0].extend(row.iter().map(|x| *x as f32));
            by.apply(token, 0, usize::from(*digit));
            by.logits(token, 1, &mut row);
            found[1].extend(row.iter().map(|x| *x as f32));
        }
        for (found, wanted) in found.into_iter().zip([at_first, at_second]) {
            let found = Tensor::from_vec(found, wanted.shape(), &Device::Cpu).unwrap();
            let apart = (found - wanted).unwrap().abs().unwrap().max_all().unwrap();
            assert!(apart.to_scalar::<f32>().unwrap() < 1e-4);
        }
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
    Illuminator::load(&folder(), &Device::Cpu, threads, &[]).unwrap()
}

fn order(seeds: &[u64]) -> ImageSpec {
    ImageSpec {
        embedding: Expected::read().floats("prompt").to_vec1().unwrap(),
        subject: Vec::new(),
        style: Some(1),
        seeds: seeds.to_vec(),
        // Random weights are never confident, so retrieved drawings would decide everything.
        sampling: Sampling {
            retrieval_strength: 0.0,
            ..Sampling::default()
        },
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
    assert_eq!(named[..2], ["castle", "moon"]);
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
fn what_is_remembered_of_a_thing_is_looked_at_when_it_is_drawn() {
    let forgetful = tempfile::tempdir().unwrap();
    for name in FILES {
        std::fs::copy(folder().join(name), forgetful.path().join(name)).unwrap();
    }
    let nothing = RetrievalIndex::default().to_tensors().unwrap();
    let path = forgetful.path().join("memory.safetensors");
    safetensors::serialize_to_file(nothing, None, &path).unwrap();
    let forgetful = Illuminator::load(forgetful.path(), &Device::Cpu, 1, &[]).unwrap();
    let knowing = illuminator(1);
    // A castle is retrieved in the other style; nothing is retrieved for an empty prompt.
    assert_ne!(draw(&forgetful, &[7]), draw(&knowing, &[7]));
    let unnamed = ImageSpec {
        embedding: Vec::new(),
        ..order(&[7])
    };
    let draw = |by: &Illuminator| drawn(by.draw(&unnamed, &mut || true)).pictures;
    assert_eq!(draw(&forgetful), draw(&knowing));
}

#[test]
fn what_is_forgotten_is_drawn_as_if_it_had_never_been_seen() {
    let mut knowing = illuminator(1);
    let before = draw(&knowing, &[7]);
    knowing.remove_drawings(&|label, _| label == "nothing of this name");
    assert_eq!(draw(&knowing, &[7]), before);
    let other = knowing.config.styles[0].clone();
    knowing.remove_drawings(&|label, style| label == "castle" && style == other);
    assert_ne!(draw(&knowing, &[7]), before);
    let named = |by: &Illuminator| {
        let drawn = drawn(by.draw(&order(&[7]), &mut || true));
        drawn.concepts[0].label.clone()
    };
    assert_eq!(named(&knowing), "castle");
    knowing.remove_drawings(&|label, _| label == "castle");
    assert_eq!(named(&knowing), "moon");
}

#[test]
fn what_is_shown_pulls_as_strongly_as_it_is_told_to() {
    let illuminator = illuminator(1);
    let shown = EncodedPicture::from(FsqCodes((0..128).map(|at| (at % 3) as u8).collect()));
    let redrawn = |recall| {
        let sampling = Sampling {
            retrieval_strength: recall,
            ..Sampling::default()
        };
        let spec = ImageSpec {
            sampling,
            ..order(&[5, 6])
        };
        let drawn = drawn(illuminator.restyle(&spec, &shown, &mut || true));
        let other = |code: &EncodedPicture| {
            digits(code)
                .chunks(2)
                .zip(digits(&shown).chunks(2))
                .filter(|(a, b)| a != b)
                .count()
        };
        drawn.encoded.iter().map(other).collect::<Vec<_>>()
    };
    assert_eq!(redrawn(20.0), [0, 0]);
    let never = redrawn(0.0);
    let some = redrawn(0.3);
    assert!(
        some.iter()
            .zip(&never)
            .all(|(some, never)| 0 < *some && some < never),
        "{some:?} {never:?}"
    );
}

#[test]
fn an_embedding_of_another_width_is_refused() {
    let mut spec = order(&[1]);
    spec.embedding.truncate(8);
    let why = illuminator(1).draw(&spec, &mut || true).unwrap_err();
    assert!(why.to_string().contains("384"), "{why}");
}

#[test]
fn a_picture_can_be_read_back_as_tokens() {
    let illuminator = illuminator(1);
    let picture = &draw(&illuminator, &[3])[0];
    let tokens = digits(&illuminator.encode(picture).unwrap());
    assert_eq!(tokens.len(), 64 * 2);
    assert!(tokens.chunks(2).all(|token| token[0] < 5 && token[1] < 3));
}

fn digits(code: &EncodedPicture) -> Vec<u8> {
    code.0.clone()
}

fn drawn(result: Result<Option<GeneratedImages>, imagegen::ImageError>) -> GeneratedImages {
    result.unwrap().unwrap()
}

#[test]
fn a_variation_changes_as_much_as_it_is_told_to() {
    let illuminator = illuminator(1);
    let go_on = &mut || true;
    let first = drawn(illuminator.draw(&order(&[3]), go_on));
    let tokens = &first.encoded[0];
    let mut vary = |amount| drawn(illuminator.vary(&order(&[4]), tokens, amount, go_on));
    assert_eq!(vary(0.0).pictures, first.pictures);
    assert_eq!(vary(0.0).encoded, first.encoded);
    let changed = |other: &GeneratedImages| {
        let (new, old) = (digits(&other.encoded[0]), digits(tokens));
        let pairs = new.chunks(2).zip(old.chunks(2));
        pairs.filter(|(a, b)| a != b).count()
    };
    let (some, all) = (vary(0.25), vary(1.0));
    assert!((1..=16).contains(&changed(&some)), "{}", changed(&some));
    assert!(changed(&all) > 16, "{}", changed(&all));
    assert_eq!(
        vary(0.25).pictures,
        some.pictures,
        "the same seed, the same picture"
    );
    let same_seed = drawn(illuminator.vary(&order(&[3]), tokens, 1.0, &mut || true));
    assert_ne!(
        same_seed.pictures, first.pictures,
        "not the picture itself again"
    );
}

#[test]
fn a_way_begins_and_ends_with_the_two_pictures() {
    let illuminator = illuminator(1);
    let from = order(&[3]);
    let mut to = order(&[9]);
    to.style = Some(0);
    to.embedding.reverse();
    let at = |at| drawn(illuminator.interpolate(&from, &to, at, &mut || true)).pictures;
    let (first, last, half) = (at(0.0), at(1.0), at(0.5));
    assert_eq!(first, draw(&illuminator, &[3]));
    assert_eq!(last, drawn(illuminator.draw(&to, &mut || true)).pictures);
    assert!(half != first && half != last);
    let bare = ImageSpec {
        embedding: Vec::new(),
        ..order(&[9])
    };
    let no_words = illuminator.interpolate(&from, &bare, 0.5, &mut || true);
    assert!(no_words.is_ok(), "a picture without words is an end too");
}

#[test]
fn mixing_and_restyling_differ_from_what_they_come_of_and_are_repeatable() {
    let illuminator = illuminator(1);
    let first = drawn(illuminator.draw(&order(&[3]), &mut || true));
    let tokens = &first.encoded[0];
    let mut other = order(&[3]);
    other.style = Some(0);
    let mix = || drawn(illuminator.mix(&other, tokens, &mut || true));
    let restyle = || drawn(illuminator.restyle(&other, tokens, &mut || true));
    let plain = drawn(illuminator.draw(&other, &mut || true));
    for (made, again) in [(mix(), mix()), (restyle(), restyle())] {
        assert_ne!(made.pictures, first.pictures);
        assert_ne!(made.pictures, plain.pictures);
        assert_eq!(made.pictures, again.pictures);
    }
    // The source matters: another one gives another picture.
    let second = drawn(illuminator.draw(&order(&[5]), &mut || true));
    let of_second = drawn(illuminator.restyle(&other, &second.encoded[0], &mut || true));
    assert_ne!(of_second.pictures, restyle().pictures);
    assert!(
        illuminator
            .mix(
                &other,
                &EncodedPicture::from(FsqCodes(vec![0; 7])),
                &mut || true
            )
            .is_err()
    );
}

#[test]
fn tokens_are_spelled_and_read_again_and_nothing_else_is() {
    let illuminator = illuminator(1);
    let tokens = drawn(illuminator.draw(&order(&[3]), &mut || true)).encoded;
    let spelled = tokens[0].to_hex();
    assert_eq!(
        illuminator.encoded_from_hex(&spelled).as_ref(),
        Some(&tokens[0])
    );
    for wrong in [
        "",
        "zz",
        &spelled[2..],
        &format!("ff{}", &spelled[2..]),
        "é",
    ] {
        assert_eq!(illuminator.encoded_from_hex(wrong), None);
    }
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
        let error = Illuminator::load(damaged.path(), &Device::Cpu, 1, &[])
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
