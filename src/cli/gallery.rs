//! `illumine eval image`: evaluates an image model.

use super::args::{Common, EvalImage as Args};
use super::environment::{self, Paths};
use super::models::with_progress;
use super::page::Progress;
use super::{Exit, Failed, pictures, print};
use ::train::data::dataset::Dataset;
use ::train::data::split::Split;
use ::train::features::FeatureExtractor;
use illumine::bench::pictures::{Compared, EvaluationSettings, PicturesError, Report, evaluate};
use illumine::engine::Loader;
use illumine::engine::image_pipeline::{DrawError, ImagePipeline};
use imagegen::sampling::Sampling;
use std::collections::HashSet;
use std::rc::Rc;

/// The sampling settings given by the flags.
fn sampling(args: &Args) -> Result<Sampling, Failed> {
    let numbers = [args.temperature, args.guidance, args.retrieval];
    let sampling = Sampling::with(numbers, args.steps.map(usize::from));
    sampling.ok_or_else(|| Failed::new(Exit::Usage, DrawError::Sampling))
}

pub fn run(paths: &Paths, args: &Args) -> Result<Exit, Failed> {
    let pictures = pictures::read(&args.data)?;
    let model = |why: &dyn std::fmt::Display| Failed::new(Exit::Model, why);
    let mut pipeline = load_pipeline(paths, args)?;
    let held = held_out(&pictures);
    pipeline
        .illuminator
        .remove_drawings(&|label, style| held.contains(&(label, style)));
    let catalog = environment::catalog()?;
    let store = environment::model_store(paths, args.offline);
    let extractor = with_progress(|watch| store.ensure(catalog.extractor(), watch))?;
    let extractor = FeatureExtractor::load(&extractor).map_err(|why| model(&why))?;
    let settings = EvaluationSettings {
        drawn: usize::from(args.n),
        learned: args.learn as usize,
        seed: args.seed,
        redrawn: args.redrawn,
        sampling: sampling(args)?,
    };
    let meter = Progress::of_things();
    let found = evaluate(&pipeline, &extractor, &pictures, settings, &meter);
    drop(meter);
    let report = found.map_err(|why| {
        let exit = match why {
            PicturesError::Few => Exit::Usage,
            _ => Exit::Engine,
        };
        Failed::new(exit, why)
    })?;
    if args.json {
        let report = serde_json::to_string(&report).unwrap_or_default();
        return print(&format!("{report}\n"));
    }
    print(&table(&report))
}

/// Loads the image model and the text encoder.
fn load_pipeline(paths: &Paths, args: &Args) -> Result<ImagePipeline, Failed> {
    let common = Common {
        on: args.on.clone(),
        weights: args.weights.clone(),
        offline: args.offline,
        ..Common::default()
    };
    let mut loader = environment::loader(paths, &common)?;
    let (illuminator, encoder) = loader.illuminator_and_encoder(&Progress::of_bytes())?;
    Ok(ImagePipeline::new(Rc::new(encoder), illuminator))
}

/// Returns the held-out pictures as pairs of label and style; a held-out concept is paired with
/// every style. These pictures must be removed from the shipped retrieval index before the
/// evaluation.
fn held_out(pictures: &Dataset) -> HashSet<(&str, &str)> {
    let mut held = HashSet::new();
    for at in 0..pictures.len() {
        let label = &*pictures.concepts[pictures.concept[at] as usize].label;
        match pictures.split[at] {
            Split::Train => continue,
            Split::HeldOutPair => {
                held.insert((label, &*pictures.styles[pictures.style[at] as usize]));
            }
            Split::HeldOutConcept => {
                held.extend(pictures.styles.iter().map(|style| (label, &**style)))
            }
        }
    }
    held
}

fn table(report: &Report) -> String {
    let mut text = format!(
        "Features: {}; recognition among {} concepts\n{:<28} {:>8} {:>7} {:>7} {:>7} {:>12}\n",
        report.features, report.concepts, "", "pictures", "first", "of 5", "style", "R-precision"
    );
    for (name, Compared { drawn, real }) in [
        ("training", &report.seen),
        ("held-out pairs", &report.held_out_pairs),
        ("held-out concepts", &report.held_out_concepts),
    ] {
        for (whose, found) in [("drawn", drawn), ("real", real)] {
            text += &format!(
                "{:<28} {:>8} {:>6.1}% {:>6.1}% {:>6.1}% {:>11.1}%\n",
                format!("{name}, {whose}"),
                found.pictures,
                found.top1 * 100.0,
                found.top5 * 100.0,
                found.style * 100.0,
                found.r_precision * 100.0,
            );
        }
    }
    let [kernel, deviation] = report.kernel_distance;
    let [of_real, real_deviation] = report.kernel_distance_of_real;
    text += &format!("{:<28} {:>16} {:>20}\n", "", "drawn", "real vs. real");
    let mut row = |name: &str, drawn: String, real: String| {
        text += &format!("{name:<28} {drawn:>16} {real:>20}\n");
    };
    row(
        "kernel distance (x 1000)",
        format!("{:.2} ± {:.2}", kernel * 1e3, deviation * 1e3),
        format!("{:.2} ± {:.2}", of_real * 1e3, real_deviation * 1e3),
    );
    let two = |name, drawn: f64, real: f64| (name, format!("{drawn:.3}"), format!("{real:.3}"));
    for (name, drawn, real) in [
        two(
            "Fréchet distance",
            report.frechet_distance,
            report.frechet_distance_of_real,
        ),
        two(
            "entropy score",
            report.entropy_score,
            report.entropy_score_of_real,
        ),
        two("diversity", report.diversity, report.diversity_of_real),
    ] {
        row(name, drawn, real);
    }
    text += &format!(
        "precision {:.3}, recall {:.3}\nnearest training picture: the requested one in {:.1}%; distance {:.2} times that of held-out real pictures\n",
        report.precision,
        report.recall,
        report.nearest_is_asked * 100.0,
        report.nearest_distance
    );
    text
}
