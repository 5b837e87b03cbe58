//! Tests the one-pass design on tiny models: compares the design's networks with PyTorch
//! (tests/peers/illuminator/fixture.py), and checks training and the invariants of drawing.

use crate::draw_command::made_again;
use crate::own_pictures::{drawings, draws as draws_red_disc, exported, trained};
use crate::support::Home;
use crate::training::{
    batches, check, config, export_run, input, number, pictures, plan, resumes, train, weighed,
    words,
};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use imagegen::conditioning::Conditioning;
use imagegen::config::Config;
use imagegen::encoded::EncodedPicture;
use imagegen::quantizer::FsqCodes;
use imagegen::sampling::Sampling;
use imagegen::weights::Weights;
use imagegen::{GeneratedImages, Illuminator, ImageSpec, Picture, is_complete};
use kernels::linear::Pool;
use sampler::rng::Rng;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use train::batches::captions;
use train::losses::{LossWeights, kl_divergence};
use train::one_pass::networks::{OnePassEncoder, OnePassGenerator};
use train::one_pass::phase::OnePassPhase;
use train::one_pass::{FILES, LOADER, Sizes, encoded_latent};
use train::phase::Autoencoder;
use train::variables::noise;

const CPU: Device = Device::Cpu;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/illuminator-direct")
}

fn tiny() -> Config {
    Config::parse(&std::fs::read(folder().join("config.json")).unwrap()).unwrap()
}

/// Loads PyTorch's inputs and outputs for the one-pass design, including the networks that it
/// shares with the design that draws from tokens.
fn expected() -> HashMap<String, Tensor> {
    let read = |folder: PathBuf| {
        candle_core::safetensors::load(folder.join("expected.safetensors"), &CPU).unwrap()
    };
    let shared = read(folder().with_file_name("illuminator"));
    shared.into_iter().chain(read(folder())).collect()
}

fn floats(tensor: &Tensor) -> Tensor {
    tensor.to_dtype(DType::F32).unwrap()
}

#[track_caller]
fn close(ours: &Tensor, theirs: &Tensor, bound: f64) {
    assert_eq!(ours.dims(), theirs.dims());
    let apart = (ours - theirs).unwrap().abs().unwrap();
    let worst = number(&apart.flatten_all().unwrap().max(0).unwrap());
    assert!(worst < bound, "{worst} apart");
}

#[test]
fn both_networks_compute_what_pytorch_computes() {
    let (config, expected) = (tiny(), expected());
    let weights = |part: &str, packed: bool| {
        let bytes = std::fs::read(folder().join(format!("{part}.safetensors"))).unwrap();
        let tensors = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &CPU).unwrap();
        match packed {
            true => Weights::packed(tensors, Arc::new(Pool::new(2))),
            false => Weights::plain(tensors),
        }
    };
    // With two styles, style 2 means any.
    let style = expected["style"].to_vec1::<u32>().unwrap();
    let flip = expected["flip"].to_vec1::<u8>().unwrap();
    let conditioning = Conditioning {
        text: floats(&expected["text"]),
        style: style.into_iter().map(|s| (s < 2).then_some(s)).collect(),
        flip: flip.into_iter().map(|flip| flip == 1).collect(),
    };
    for (packed, bound) in [(false, 1e-4), (true, 0.05)] {
        let encoder = OnePassEncoder::new(&weights("encoder", packed), &config).unwrap();
        let moments = encoder.forward(&floats(&expected["x"])).unwrap();
        close(&moments.mean, &expected["mean"], bound);
        close(&moments.log_variance, &expected["log_variance"], bound);
        let generator = OnePassGenerator::new(&weights("generator", packed), &config).unwrap();
        let picture = generator.forward(&expected["z"], &conditioning).unwrap();
        close(&picture, &expected["picture"], bound);
    }
    let far = kl_divergence(&expected["mean"], &expected["log_variance"]).unwrap();
    let wanted = expected["divergence"].to_vec1::<f32>().unwrap()[0];
    assert!((number(&far) - f64::from(wanted)).abs() < 1e-4);
}

fn illuminator(threads: usize) -> Illuminator {
    Illuminator::load(&folder(), &CPU, threads, &[LOADER]).unwrap()
}

fn order(seeds: &[u64]) -> ImageSpec {
    ImageSpec {
        embedding: expected()["prompt"].to_vec1().unwrap(),
        subject: Vec::new(),
        style: Some(1),
        seeds: seeds.to_vec(),
        sampling: Sampling {
            temperature: 1.0,
            ..Sampling::default()
        },
    }
}

fn drawn(result: Result<Option<GeneratedImages>, imagegen::ImageError>) -> GeneratedImages {
    result.unwrap().unwrap()
}

fn draw(illuminator: &Illuminator, seeds: &[u64]) -> Vec<Picture> {
    drawn(illuminator.draw(&order(seeds), &mut || true)).pictures
}

#[test]
fn a_seed_gives_the_same_picture_alone_or_beside_others_on_any_number_of_threads() {
    let one = illuminator(1);
    let all = draw(&one, &[7, 8, 9, 10]);
    assert_eq!(draw(&one, &[9]), all[2..3]);
    assert_eq!(draw(&illuminator(2), &[7, 8, 9, 10]), all);
    assert_ne!(all[0], all[1]);
    let stopped = one.draw(&order(&[1]), &mut || false).unwrap();
    assert!(stopped.is_none());
    let named = drawn(one.draw(&order(&[1]), &mut || true)).concepts;
    assert_eq!(named[0].label, "castle");
}

#[test]
fn words_style_and_temperature_lead_and_rounds_and_guidance_do_not() {
    let illuminator = illuminator(1);
    let plain = draw(&illuminator, &[3]);
    let other = |change: &dyn Fn(&mut ImageSpec)| {
        let mut spec = order(&[3]);
        change(&mut spec);
        drawn(illuminator.draw(&spec, &mut || true)).pictures
    };
    assert_ne!(other(&|spec| spec.embedding.reverse()), plain);
    assert_ne!(other(&|spec| spec.embedding.clear()), plain);
    assert_ne!(other(&|spec| spec.style = Some(0)), plain);
    assert_ne!(other(&|spec| spec.style = None), plain);
    assert_ne!(other(&|spec| spec.sampling.temperature = 0.5), plain);
    let middle = |seed| {
        other(&|spec| {
            spec.seeds = vec![seed];
            spec.sampling.temperature = 0.0;
        })
    };
    assert_eq!(middle(3), middle(4), "without chance all seeds are one");
    let unheeded = |spec: &mut ImageSpec| {
        spec.sampling.steps = 3;
        spec.sampling.guidance = 5.0;
    };
    assert_eq!(other(&unheeded), plain);
    let heeded = illuminator.supported_sampling(Sampling::default());
    assert_eq!((heeded.steps, heeded.guidance), (1, 1.0));
}

#[test]
fn a_variation_changes_as_much_as_it_is_told_to() {
    let illuminator = illuminator(1);
    let go_on = &mut || true;
    let first = drawn(illuminator.draw(&order(&[3]), go_on));
    let code = &first.encoded[0];
    let mut vary = |amount| drawn(illuminator.vary(&order(&[4]), code, amount, go_on));
    assert_eq!(vary(0.0).pictures, first.pictures);
    assert_eq!(&vary(0.0).encoded[0], code);
    let far = |other: &GeneratedImages| {
        let pairs = other.pictures[0]
            .pixels
            .iter()
            .zip(&first.pictures[0].pixels);
        pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>()
    };
    let (some, all) = (vary(0.2), vary(1.0));
    assert!(far(&some) > 0 && far(&some) < far(&all));
    assert_eq!(vary(0.2).pictures, some.pictures);
    let tokens = EncodedPicture::from(FsqCodes(vec![0; 128]));
    for foreign in [tokens, encoded_latent(&[0.0; 7])] {
        let refused = illuminator.vary(&order(&[4]), &foreign, 0.5, &mut || true);
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("different weights")
        );
    }
}

#[test]
fn a_way_begins_and_ends_with_the_two_pictures_and_has_no_leap() {
    let illuminator = illuminator(1);
    let from = order(&[3]);
    let mut to = order(&[9]);
    to.style = Some(0);
    to.embedding.reverse();
    let at = |at| drawn(illuminator.interpolate(&from, &to, at, &mut || true)).pictures;
    assert_eq!(at(0.0), draw(&illuminator, &[3]));
    assert_eq!(at(1.0), drawn(illuminator.draw(&to, &mut || true)).pictures);
    let far = |one: &[Picture], other: &[Picture]| {
        let pairs = one[0].pixels.iter().zip(&other[0].pixels);
        pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>()
    };
    // The change is gradual even where prompt and style switch.
    let (whole, step) = (far(&at(0.0), &at(1.0)), far(&at(0.49), &at(0.51)));
    assert!(step > 0 && step * 10 < whole, "{step} of {whole}");
    let bare = ImageSpec {
        embedding: Vec::new(),
        ..order(&[9])
    };
    assert!(
        illuminator
            .interpolate(&from, &bare, 0.5, &mut || true)
            .is_ok()
    );
}

#[test]
fn a_picture_is_read_as_its_latent_and_redrawn_in_another_style() {
    let illuminator = illuminator(1);
    let picture = &draw(&illuminator, &[3])[0];
    let code = illuminator.encode(picture).unwrap();
    let spelled = code.to_hex();
    assert_eq!(illuminator.encoded_from_hex(&spelled), Some(code.clone()));
    let mut other = order(&[3, 4]);
    other.style = Some(0);
    let restyled = || drawn(illuminator.restyle(&other, &code, &mut || true)).pictures;
    assert_eq!(restyled(), restyled());
    assert_ne!(restyled()[0], restyled()[1]);
    let mixed = drawn(illuminator.mix(&other, &code, &mut || true)).pictures;
    assert_ne!(mixed, restyled());
}

#[test]
fn damaged_weights_are_one_sentence_and_a_folder_without_tokens_is_whole() {
    let damaged = tempfile::tempdir().unwrap();
    let restore = || {
        for name in FILES {
            std::fs::copy(folder().join(name), damaged.path().join(name)).unwrap();
        }
    };
    let why = || {
        let error = Illuminator::load(damaged.path(), &CPU, 1, &[LOADER])
            .err()
            .unwrap();
        error.to_string()
    };
    for name in FILES {
        restore();
        assert!(is_complete(damaged.path(), &[LOADER]));
        let path = damaged.path().join(name);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(why().contains(name), "{}", why());
        std::fs::remove_file(&path).unwrap();
        assert!(why().contains(name) && !is_complete(damaged.path(), &[LOADER]));
    }
    restore();
    let path = damaged.path().join("config.json");
    let json = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, json.replace("\"latent\": 16", "\"latent\": 24")).unwrap();
    assert!(why().contains("generator.safetensors"), "{}", why());
    // The other design has one more file.
    let composed = folder().with_file_name("illuminator/config.json");
    std::fs::copy(composed, &path).unwrap();
    assert!(!is_complete(damaged.path(), &[LOADER]));
}

#[test]
fn without_the_trainer_a_sentence_says_what_is_missing() {
    let why = Illuminator::load(&folder(), &CPU, 1, &[]).err().unwrap();
    assert!(why.to_string().contains("the feature `train`"), "{why}");
    assert!(!is_complete(&folder(), &[]));
}

#[test]
fn whatever_was_drawn_in_one_pass_can_be_made_again_byte_for_byte() {
    let home = Home::with_encoder();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_string();
    let base = path("base.png");
    let photo = path("my castle.jpg");
    let colours = image::RgbImage::from_fn(90, 60, |x, y| image::Rgb([x as u8, y as u8, 99]));
    colours.save(&photo).unwrap();
    let truncated = [
        "a castle",
        "--seed",
        "5",
        "--truncation",
        "0.7",
        "--guidance",
        "3",
    ];
    let ways: [(&str, &[&str]); 6] = [
        ("base", &truncated),
        ("vary", &["--from", &base, "--vary", "0.4", "--seed", "8"]),
        (
            "own",
            &["--restyle", &base, "--style", "ink", "--seed", "8"],
        ),
        (
            "photo",
            &["--restyle", &photo, "--style", "ink", "--seed", "8"],
        ),
        ("way", &["fox", "--lerp", "moon", "--n", "3", "--seed", "8"]),
        ("scene", &["a fox under the moon", "--scene", "--seed", "8"]),
    ];
    made_again(&home, &folder(), &ways);
    let how = illumine::store::picture::provenance(&std::fs::read(&base).unwrap()).unwrap();
    // Settings that one pass ignores are not recorded.
    assert_eq!((how.steps, how.guidance, how.temperature), (1, 1.0, 0.7));
    assert_eq!(how.tokens.len(), 16 * 8);
}

#[test]
fn gradients_of_both_networks_agree_with_differences() {
    let config = tiny();
    let mut rng = Rng::new(1);
    let x = noise(&[2, 4, 64, 64], &mut rng, &CPU).unwrap();
    let chance = noise(&[2, 16], &mut rng, &CPU).unwrap();
    check(
        |w| OnePassEncoder::new(w, &config),
        |encoder| {
            let moments = encoder.forward(&x)?;
            let far = kl_divergence(&moments.mean, &moments.log_variance)?;
            weighed(&moments.sample(&chance)?)? + (far * 0.1)?
        },
    );
    let text = noise(&[2, config.text], &mut rng, &CPU).unwrap();
    check(
        |w| OnePassGenerator::new(w, &config),
        |generator| {
            // The null embedding gets a gradient only where it is used.
            let conditioning = Conditioning {
                text: text.broadcast_add(generator.null_text())?,
                style: vec![Some(1), None],
                flip: vec![true, false],
            };
            let condition = generator.condition(&conditioning)?;
            let grid = weighed(&generator.grid(&chance, &condition)?)?;
            // The network that paints the grid is tested separately, and has many non-smooth
            // points.
            grid + (weighed(&generator.forward_conditioned(&chance, &condition)?)? * 0.1)?
        },
    );
}

#[test]
fn training_resumes_to_the_same_bits_and_what_it_made_draws() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures();
    let config = Config {
        other_design: Sizes {
            latent: 8,
            hidden: 16,
            depth: 4,
        }
        .section(),
        ..config(&pictures)
    };
    let batches = batches(&pictures, &config);
    let weights = LossWeights::default();
    let input = input(&batches, &config);
    let new = || OnePassPhase::new(input, Autoencoder::default(), weights).unwrap();
    resumes(folder.path(), &config, new);
    let run = folder.path().join("learns");
    let losses = train(&mut new(), &plan(&run, &config, 30));
    assert!(losses[29] < 0.9 * losses[0], "{losses:?}");
    let (out, words) = (folder.path().join("weights"), words(&pictures));
    export_run(&run, &out, &pictures, &words);
    let illuminator = Illuminator::load(&out, &CPU, 2, &[LOADER]).unwrap();
    let all = captions(&pictures);
    let at = all.iter().position(|caption| caption == "red disc");
    let spec = ImageSpec {
        embedding: words[at.unwrap() * 384..][..384].to_vec(),
        subject: Vec::new(),
        style: Some(0),
        seeds: vec![1, 2],
        sampling: Sampling::default(),
    };
    let drawn = illuminator.draw(&spec, &mut || true).unwrap().unwrap();
    assert_eq!(drawn.concepts[0].label, "red disc");
    assert_eq!(drawn.pictures.len(), 2);
}

#[test]
fn a_folder_of_pictures_trains_a_network_of_one_pass_in_a_run_of_its_own() {
    let home = Home::with_encoder();
    let data = drawings(&home);
    let run = home.path().join("run");
    let run = (data.as_path(), run.as_path());
    trained(&home, "direct", run, &["--small", "--steps", "2"]);
    assert!(run.1.join("direct.png").is_file());
    let weights = exported(&home, run, &[]);
    assert_eq!(
        draws_red_disc(&home, &weights, "OIL").dimensions(),
        (256, 256)
    );
    // Starts from these weights, in another run folder.
    let from = ["--from", weights.to_str().unwrap(), "--steps", "1"];
    let second = home.path().join("second");
    trained(&home, "direct", (run.0, &second), &from);
    let third = home.path().join("third");
    let refused = |phase: &str, run: &Path, more: &[&str]| {
        let paths = [&data, run].map(|path| path.to_str().unwrap());
        let args = ["train", "gan", phase, "--data", paths[0], "--run", paths[1]];
        let refused = home.illumine(&[&args[..], more].concat()).run().expect(2);
        refused.stderr
    };
    assert!(refused("reconstruct", run.1, &["--small"]).contains("different design"));
    assert!(refused("reconstruct", &third, &from).contains("they draw in one pass"));
    let composed = folder().with_file_name("illuminator");
    let from = ["--from", composed.to_str().unwrap()];
    assert!(refused("direct", &third, &from).contains("they use tokens"));
}
