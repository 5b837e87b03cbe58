//! `illumine train data`: the data set that the illuminator learns from.

use super::args::Train as Args;
use super::environment::Paths;
use super::page::Meter;
use super::{Exit, Failed, complain, print, training};
use illumine::train::data::file::Pictures;
use illumine::train::data::sets::digest;
use illumine::train::data::split::Part;
use illumine::train::data::{DataError, archive, build};
use illumine::train::quantize::quantize;
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
            let exit = training::export(paths, run, (data, from.as_deref()), out, *offline)?;
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
    let mut meter = Meter::new();
    let mut watch = |what: &str, done: usize, all: usize| {
        meter.count(what, done as u64, all as u64);
        true
    };
    let made = archive::fetch(archives, &mut watch)
        .and_then(|archives| build(&archives, size, &mut watch));
    meter.clear();
    let pictures = made.map_err(failed)?;
    let found = pictures.write(out).map_err(failed)?;
    if digest(size).is_some_and(|known| known != found) {
        complain(
            "The data set differs from the one that the shipped weights were trained on (another processor may round otherwise); it serves as well",
        );
    }
    match json {
        true => print(&format!("{}\n", report(out, &pictures, &found))),
        false => print(&summary(out, &pictures, &found)),
    }
}

pub fn failed(error: DataError) -> Failed {
    let exit = match error {
        DataError::Stopped => Exit::Interrupted,
        DataError::Disk(..) => Exit::Session,
        DataError::NoData(..)
        | DataError::Table(..)
        | DataError::NoPictures(_)
        | DataError::Few(..)
        | DataError::Many(..) => Exit::Usage,
        _ => Exit::Model,
    };
    Failed::new(exit, error)
}

pub fn held(pictures: &Pictures, part: Part) -> usize {
    pictures.part.iter().filter(|own| **own == part).count()
}

fn summary(out: &Path, pictures: &Pictures, sha256: &str) -> String {
    format!(
        "{}: {} pictures of {} concepts in {} styles, {} pixels; {} to train, {} held-out pairs, {} of held-out concepts\nsha256 {sha256}\n",
        out.display(),
        pictures.len(),
        pictures.concepts.len(),
        pictures.styles.len(),
        pictures.size,
        held(pictures, Part::Train),
        held(pictures, Part::HeldPair),
        held(pictures, Part::HeldConcept),
    )
}

fn report(out: &Path, pictures: &Pictures, sha256: &str) -> serde_json::Value {
    serde_json::json!({
        "path": out, "sha256": sha256, "pictures": pictures.len(),
        "concepts": pictures.concepts.len(), "styles": pictures.styles, "size": pictures.size,
        "train": held(pictures, Part::Train), "held_pairs": held(pictures, Part::HeldPair),
        "held_concepts": held(pictures, Part::HeldConcept),
    })
}
