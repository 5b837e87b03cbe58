//! Loads training pictures: the file that `illumine train data` wrote, or a folder of the user's
//! own pictures.

use super::page::Progress;
use super::{Exit, Failed, complain, note};
use ::train::data::dataset::Dataset;
use ::train::data::split::Split;
use ::train::data::{DataError, folder};
use base::hash::sha256;
use base::untrusted::clean_line;
use imagegen::config::GRID;
use std::path::Path;

/// The width and height of training pictures in pixels: a token covers 8 x 8 pixels.
const SIZE: u32 = GRID as u32 * 8;

/// Loads the pictures of a dataset file or of a folder.
pub fn read(path: &Path) -> Result<Dataset, Failed> {
    match path.is_dir() {
        true => own(path),
        false => Dataset::read(path).map_err(|why| Failed::new(Exit::Usage, why)),
    }
}

/// Computes the SHA-256 of a dataset.
pub fn digest(pictures: &Dataset) -> Result<String, Failed> {
    let bytes = pictures.to_bytes();
    let bytes = bytes.map_err(|why| Failed::new(Exit::Usage, why))?;
    Ok(sha256(&bytes))
}

fn own(path: &Path) -> Result<Dataset, Failed> {
    let meter = Progress::of_things();
    let found = folder::read(path, SIZE, &meter);
    drop(meter);
    let found = found.map_err(failed)?;
    let pictures = &found.pictures;
    note(&clean_line(&format!(
        "{}: {} pictures of {} concepts, {} for training, {} held out; styles: {}",
        path.display(),
        pictures.len(),
        found.label_count(),
        held(pictures, Split::Train),
        pictures.len() - held(pictures, Split::Train),
        pictures.styles.join(", "),
    )));
    if !found.skipped.is_empty() {
        let count = found.skipped.len();
        complain(&format!(
            "{}, {count} {}",
            path.display(),
            found.skipped_summary()
        ));
    }
    Ok(found.pictures)
}

/// Turns a dataset error into the error that ends the program.
pub fn failed(error: DataError) -> Failed {
    let exit = match error {
        DataError::Stopped => Exit::Interrupted,
        DataError::Disk(..) => Exit::Session,
        DataError::NoData(..)
        | DataError::Captions(..)
        | DataError::NoPictures(_)
        | DataError::TooFew(..)
        | DataError::TooMany(..) => Exit::Usage,
        _ => Exit::Model,
    };
    Failed::new(exit, error)
}

/// Returns how many pictures belong to the split `part`.
pub fn held(pictures: &Dataset, part: Split) -> usize {
    pictures.split.iter().filter(|own| **own == part).count()
}
