//! `illumine train`: runs the subcommands; builds the dataset and quantizes weights.

use super::args::Train as Args;
use super::environment::Paths;
use super::page::Progress;
use super::pictures::{failed, held};
use super::{Exit, Failed, complain, print, training};
use ::train::data::dataset::Dataset;
use ::train::data::sets::known_sha256;
use ::train::data::split::Split;
use ::train::data::{archive, build};
use ::train::quantize::quantize;
use std::path::Path;

pub fn run(paths: &Paths, what: &Args) -> Result<Exit, Failed> {
    match what {
        Args::Data {
            out,
            size,
            archives,
            json,
        } => data(out, *size, archives, *json),
        Args::Gan(args) => training::train(paths, args),
        Args::Export {
            run,
            data,
            from,
            out,
            bits,
            offline,
        } => {
            let exit = training::export(
                paths,
                &training::ExportArgs {
                    run,
                    data,
                    from: from.as_deref(),
                    out,
                    offline: *offline,
                },
            )?;
            if bits == "8" {
                quantize(out).map_err(training::failed)?;
            }
            Ok(exit)
        }
        Args::Quantize { weights } => {
            quantize(weights).map_err(training::failed)?;
            print(&format!("{} is stored in 8 bits\n", weights.display()))
        }
    }
}

fn data(out: &Path, size: u32, archives: &Path, json: bool) -> Result<Exit, Failed> {
    let meter = Progress::of_things();
    let made = archive::fetch(archives, &meter).and_then(|archives| build(&archives, size, &meter));
    drop(meter);
    let pictures = made.map_err(failed)?;
    let found = pictures.write(out).map_err(failed)?;
    if known_sha256(size).is_some_and(|known| known != found) {
        complain(
            "The dataset differs slightly from the one the shipped weights were trained on, because processors round differently; it works just as well",
        );
    }
    match json {
        true => print(&format!("{}\n", report(out, &pictures, &found))),
        false => print(&summary(out, &pictures, &found)),
    }
}

fn summary(out: &Path, pictures: &Dataset, sha256: &str) -> String {
    format!(
        "{}: {} pictures of {} concepts in {} styles, {} pixels; {} for training, {} held-out pairs, {} of held-out concepts\nsha256 {sha256}\n",
        out.display(),
        pictures.len(),
        pictures.concepts.len(),
        pictures.styles.len(),
        pictures.size,
        held(pictures, Split::Train),
        held(pictures, Split::HeldOutPair),
        held(pictures, Split::HeldOutConcept),
    )
}

fn report(out: &Path, pictures: &Dataset, sha256: &str) -> serde_json::Value {
    serde_json::json!({
        "path": out, "sha256": sha256, "pictures": pictures.len(),
        "concepts": pictures.concepts.len(), "styles": pictures.styles, "size": pictures.size,
        "train": held(pictures, Split::Train), "held_pairs": held(pictures, Split::HeldOutPair),
        "held_concepts": held(pictures, Split::HeldOutConcept),
    })
}
