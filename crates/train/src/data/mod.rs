//! The dataset. It is either rendered from npm packages of icons, which yields the same bytes on
//! every machine, or loaded from a folder of the user's own pictures.
//!
//! `sets` lists the packages; `archive` downloads and opens them; `iconify` and `emoji` find the
//! concept of a drawing; `render` rasterizes the drawing; `split` determines which pictures are
//! held out; `dataset` is the file that training loads. `folder`, `captions` and `csv` load the
//! user's own pictures. This module runs no model, and uses the network only through npm.

pub mod archive;
pub mod captions;
pub mod csv;
pub mod dataset;
pub mod emoji;
pub mod folder;
pub mod iconify;
pub mod render;
pub mod sets;
pub mod split;

use archive::Archive;
use base::progress::{Cancelled, Observer};
use dataset::{Concept, Dataset};
use emoji::EmojiIndex;
use iconify::{ConceptIcon, IconConcept};
use rayon::prelude::*;
use sets::{ICON_SETS, IconSet};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The reason why the dataset cannot be built, loaded or written. The message is one sentence with
/// advice.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("Cannot read or write {0}: {1}")]
    Disk(PathBuf, std::io::Error),
    #[error(
        "Downloading the drawings needs npm (Debian: apt-get install npm); or put the archives into a folder and pass it with --archives"
    )]
    NoNpm,
    #[error("npm cannot download {0}: {1}; try again, or pass a folder with --archives")]
    Npm(String, String),
    #[error(
        "{0} is not the archive this version of illumine expects (SHA-256 {1}); delete it and run the command again"
    )]
    Changed(PathBuf, String),
    #[error("{0} has a corrupt {1}; delete it and run the command again")]
    Damaged(PathBuf, String),
    #[error("{0} is not an illumine dataset ({1}); build one with `illumine train data`")]
    NoData(PathBuf, String),
    #[error(
        "Cannot use {0} as a caption table ({1}); it must be a CSV file whose first line is file_name,text or file_name,text,style"
    )]
    Captions(PathBuf, String),
    #[error("{0} contains no pictures (PNG, JPEG, GIF or WebP)")]
    NoPictures(PathBuf),
    #[error("Of the pictures in {0}, {1} can be used, but training needs at least {2}{3}")]
    TooFew(PathBuf, usize, usize, String),
    #[error("{0} has {1} {2}, but the maximum is {3}")]
    TooMany(PathBuf, usize, &'static str, usize),
    #[error("Stopped; the downloads are kept, and running the same command again resumes")]
    Stopped,
}

impl From<Cancelled> for DataError {
    fn from(_: Cancelled) -> DataError {
        DataError::Stopped
    }
}

/// Renders the drawings of every icon set at `size` pixels, and combines them into a dataset.
pub fn build(
    archives: &[Archive],
    size: u32,
    observer: &dyn Observer,
) -> Result<Dataset, DataError> {
    let words = vocabulary(&archives[ICON_SETS.len()])?;
    let mut found: Vec<(usize, ConceptIcon)> = Vec::new();
    for (style, (set, archive)) in ICON_SETS.iter().zip(archives).enumerate() {
        progress(observer, "Reading", style, ICON_SETS.len())?;
        found.extend(
            concept_icons(set, archive, &words)?
                .into_iter()
                .map(|s| (style, s)),
        );
    }
    let mut rendered = Vec::with_capacity(found.len());
    for some in found.chunks(256) {
        progress(observer, "Rendering", rendered.len(), found.len())?;
        let pixels = some
            .par_iter()
            .map(|(_, subject)| render::render(&subject.drawing, size));
        rendered.extend(pixels.collect::<Vec<_>>());
    }
    progress(observer, "Rendering", found.len(), found.len())?;
    Ok(assemble(found, rendered, size, &words))
}

/// Reports progress. Returns an error if the work was cancelled.
fn progress(
    observer: &dyn Observer,
    step: &str,
    done: usize,
    total: usize,
) -> Result<(), DataError> {
    observer.progress(step, done as u64, Some(total as u64));
    Ok(observer.check()?)
}

fn vocabulary(archive: &Archive) -> Result<EmojiIndex, DataError> {
    let (data, messages) = ("en/data.json", "en/messages.json");
    let damaged = |_| DataError::Damaged(archive.path.clone(), data.to_string());
    EmojiIndex::read(&archive.read(data)?, &archive.read(messages)?).map_err(damaged)
}

fn concept_icons(
    set: &IconSet,
    archive: &Archive,
    words: &EmojiIndex,
) -> Result<Vec<ConceptIcon>, DataError> {
    let icons = archive.read("icons.json")?;
    let codes = archive.read("chars.json").ok();
    let damaged = |_| DataError::Damaged(archive.path.clone(), "icons.json".to_string());
    iconify::concept_icons(&icons, codes.as_deref(), set.names, words).map_err(damaged)
}

/// Combines the drawings into a dataset with labels and splits. Concepts are numbered: first emoji
/// in the order of emojibase, then other names in alphabetical order. Drawings without a visible
/// pixel are skipped.
fn assemble(
    found: Vec<(usize, ConceptIcon)>,
    rendered: Vec<Option<Vec<u8>>>,
    size: u32,
    words: &EmojiIndex,
) -> Dataset {
    let found: Vec<_> = found
        .into_iter()
        .zip(rendered)
        .filter_map(|((style, subject), pixels)| Some((style, subject, pixels?)))
        .collect();
    let mut numbers: BTreeMap<&IconConcept, u32> = BTreeMap::new();
    for (_, subject, _) in &found {
        numbers.insert(&subject.concept, 0);
    }
    for (number, value) in numbers.values_mut().enumerate() {
        *value = number as u32;
    }
    let concepts = concepts(numbers.keys().copied(), words);
    let mut pictures = Dataset::new(size, concepts);
    for (style, subject, pixels) in &found {
        let concept = numbers[&subject.concept];
        pictures.push(pixels, concept, *style as u32, subject.tone);
    }
    pictures
}

fn concepts<'a>(shows: impl Iterator<Item = &'a IconConcept>, words: &EmojiIndex) -> Vec<Concept> {
    let shows: Vec<&IconConcept> = shows.collect();
    let emoji = |shows: &&IconConcept| match shows {
        IconConcept::Emoji(index) => Some(*index),
        IconConcept::Name(_) => None,
    };
    let emoji: Vec<usize> = shows.iter().filter_map(emoji).collect();
    let mut captions = words.captions(&emoji).into_iter();
    let concept = |shows: &IconConcept| match shows {
        IconConcept::Emoji(index) => Concept {
            label: words.get(*index).label.clone(),
            captions: captions.next().unwrap_or_default(),
        },
        IconConcept::Name(name) => Concept {
            label: name.clone(),
            captions: emoji::captions_of_name(name),
        },
    };
    shows.into_iter().map(concept).collect()
}
