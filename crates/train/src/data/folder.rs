//! A folder of the user's own pictures as a data set.
//!
//! Captions come from a table in the folder, from a text file beside a picture, or from its name;
//! styles from the names of sub-folders. A picture that is not square is fitted into the square,
//! with nothing around it: as the shipped drawings are, and as an own picture is read for a restyle;
//! to crop it might take away what its caption names. Nothing in the folder is changed, and what
//! cannot be used is left out and named.

use super::captions::{CaptionTable, OWN, beside, named, style};
use super::dataset::{Concept, Dataset};
use super::split::{Split, split_of};
use super::{DataError, progress};
use base::progress::Observer;
use base::untrusted::clean_line;
use imagegen::picture_file::{self, PictureFileError};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Pictures to train on, at least: with fewer, a batch is the same few again and again.
pub const FEWEST: usize = 8;
/// Pictures and styles, at most: what fits into memory, and what a table of styles is made for.
const MOST: usize = 100_000;
const STYLES: usize = 256;
/// Things, at least, so that one in twenty can be held out.
const THINGS: usize = 20;
/// Folders within folders.
const DEPTH: usize = 8;
/// Names that are listed of what was left out.
const NAMED: usize = 3;
/// What pictures end in: those that can be read, and those that somebody may expect to be.
const ENDS: [&str; 13] = [
    "png", "jpg", "jpeg", "gif", "webp", "bmp", "tif", "tiff", "heic", "heif", "avif", "jxl", "svg",
];

/// What a run writes beside its checkpoints.
const SHEETS: [&str; 4] = ["reconstruct.png", "tokens.png", "paint.png", "refine.png"];

/// What a folder holds, and what of it was left out: a file's name, and why.
#[derive(Debug)]
pub struct ImageFolder {
    pub pictures: Dataset,
    pub left_out: Vec<(String, String)>,
}

/// A picture's file.
#[derive(Debug)]
struct Found {
    /// From the folder on, with `/`.
    name: String,
    path: PathBuf,
}

/// A picture whose words are known.
struct Described {
    found: Found,
    captions: Vec<String>,
    style: String,
}

/// Reads all pictures of a folder and its sub-folders, `size` pixels wide and high.
pub fn read(folder: &Path, size: u32, observer: &dyn Observer) -> Result<ImageFolder, DataError> {
    let mut files = Vec::new();
    walk(folder, "", 0, &mut files)?;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    if files.is_empty() {
        return Err(DataError::NoPictures(folder.into()));
    }
    if files.len() > MOST {
        return Err(DataError::TooMany(
            folder.into(),
            files.len(),
            "pictures",
            MOST,
        ));
    }
    let mut table = CaptionTable::read(folder)?;
    let mut left_out = Vec::new();
    let mut described = Vec::new();
    for found in files {
        match describe(found, &mut table) {
            Ok(picture) => described.push(picture),
            Err(name) => left_out.push((name, "no caption".to_string())),
        }
    }
    let missing = format!("{} lists it, but it does not exist", table.name);
    let missing = table.rows.into_keys().map(|name| (name, missing.clone()));
    left_out.extend(missing);
    let mut taken = Vec::new();
    let all = described.len();
    let mut rest = described.into_iter().peekable();
    while rest.peek().is_some() {
        progress(observer, "Reading pictures", all - rest.len(), all)?;
        let some: Vec<Described> = rest.by_ref().take(64).collect();
        let some = some.into_par_iter().map(|own| {
            let pixels = pixels(&own.found.path, size);
            (own, pixels)
        });
        for (own, pixels) in some.collect::<Vec<_>>() {
            match pixels {
                Ok(pixels) => taken.push((own, pixels)),
                Err(why) => left_out.push((own.found.name, why)),
            }
        }
    }
    progress(observer, "Reading pictures", all, all)?;
    left_out.sort();
    left_out
        .iter_mut()
        .for_each(|(name, _)| *name = clean_line(name));
    gather(folder, taken, size, left_out)
}

/// The pictures of a folder and what is below it; links to folders are not followed. A run may
/// lie in there, whose sheets are no pictures to learn from.
fn walk(folder: &Path, above: &str, depth: usize, files: &mut Vec<Found>) -> Result<(), DataError> {
    let disk = |why| DataError::Disk(folder.into(), why);
    let entries: Result<Vec<_>, _> = std::fs::read_dir(folder).map_err(disk)?.collect();
    let entries = entries.map_err(disk)?;
    let ends = |path: &Path, ends: &[&str]| {
        let own = path.extension().unwrap_or_default();
        ends.iter().any(|end| own.eq_ignore_ascii_case(end))
    };
    let run = entries
        .iter()
        .any(|entry| ends(&entry.path(), &["safetensors", "f32"]));
    for entry in entries {
        let own = entry.file_name().to_string_lossy().into_owned();
        let name = format!("{above}{own}");
        let path = entry.path();
        if own.starts_with('.') || (run && SHEETS.contains(&own.as_str())) {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if depth < DEPTH {
                walk(&path, &format!("{name}/"), depth + 1, files)?;
            }
        } else if ends(&path, &ENDS) && path.is_file() {
            files.push(Found { name, path });
        }
    }
    Ok(())
}

/// Takes a picture's row out of the table; without words of any kind, its name comes back.
fn describe(found: Found, table: &mut CaptionTable) -> Result<Described, String> {
    let row = table.rows.remove(&found.name).unwrap_or_default();
    let stem = found.path.file_stem().unwrap_or_default().to_string_lossy();
    let mut captions = row.captions;
    if captions.is_empty() {
        captions = beside(&found.path);
    }
    if captions.is_empty() {
        captions = named(&stem);
    }
    if captions.is_empty() {
        return Err(found.name);
    }
    let folder = found
        .name
        .split_once('/')
        .and_then(|(first, _)| style(first));
    let style = row.style.or(folder).unwrap_or_else(|| OWN.to_string());
    Ok(Described {
        found,
        captions,
        style,
    })
}

/// A picture's bytes, or why it has none: the end of a sentence.
fn pixels(path: &Path, size: u32) -> Result<Vec<u8>, String> {
    let large =
        std::fs::metadata(path).map(|file| file.len() > picture_file::MAX_FILE_BYTES as u64);
    if large.unwrap_or(false) {
        return Err(PictureFileError::TooLarge.to_string());
    }
    let file = std::fs::read(path).map_err(|why| why.to_string())?;
    let picture =
        picture_file::decode_square(&file, size as usize).map_err(|why| why.to_string())?;
    match picture.pixels.iter().any(|byte| *byte != 0) {
        true => Ok(picture.pixels),
        false => Err("it is empty".to_string()),
    }
}

/// Puts pictures, words and parts side by side. Pictures with the same captions show one thing.
fn gather(
    folder: &Path,
    taken: Vec<(Described, Vec<u8>)>,
    size: u32,
    left_out: Vec<(String, String)>,
) -> Result<ImageFolder, DataError> {
    let styles: BTreeSet<&String> = taken.iter().map(|(own, _)| &own.style).collect();
    let styles: Vec<String> = styles.into_iter().cloned().collect();
    if styles.len() > STYLES {
        return Err(DataError::TooMany(
            folder.into(),
            styles.len(),
            "styles",
            STYLES,
        ));
    }
    let things: BTreeSet<&Vec<String>> = taken.iter().map(|(own, _)| &own.captions).collect();
    let things: BTreeMap<&Vec<String>, u32> = things.into_iter().zip(0..).collect();
    let concept = |captions: &&Vec<String>| Concept {
        label: captions[0].clone(),
        captions: captions.to_vec(),
    };
    let mut pictures = Dataset {
        size,
        concepts: things.keys().map(concept).collect(),
        styles,
        pixels: Vec::with_capacity(taken.len() * (size * size * 4) as usize),
        concept: Vec::new(),
        style: Vec::new(),
        tone: Vec::new(),
        split: Vec::new(),
    };
    for (own, pixels) in &taken {
        let style = pictures.styles.iter().position(|style| *style == own.style);
        let style = style.unwrap_or_default() as u32;
        pictures.push(pixels, things[&own.captions], style, 0);
    }
    pictures.split = parts(&pictures);
    let trained = pictures.split.iter().filter(|part| **part == Split::Train);
    let trained = trained.count();
    let made = ImageFolder { pictures, left_out };
    if trained >= FEWEST {
        return Ok(made);
    }
    let words = made.words();
    let words = if words.is_empty() {
        words
    } else {
        format!("; {words}")
    };
    Err(DataError::TooFew(folder.into(), trained, FEWEST, words))
}

/// What is held out. The hash of the names decides, as for the shipped drawings, but a pair is held
/// out only where its thing is drawn in another style too, and nothing is where things are few:
/// of a folder for each of ten animals, a tenth would be an animal.
fn parts(pictures: &Dataset) -> Vec<Split> {
    let label = |at: usize| {
        pictures.concepts[pictures.concept[at] as usize]
            .label
            .as_str()
    };
    let pair = |at: usize| {
        (
            label(at),
            pictures.styles[pictures.style[at] as usize].as_str(),
        )
    };
    let by_hash = |at: usize| split_of(pair(at).0, pair(at).1);
    let all = 0..pictures.len();
    let things: BTreeSet<&str> = all.clone().map(label).collect();
    if things.len() < THINGS {
        return vec![Split::Train; pictures.len()];
    }
    let trained = all.clone().filter(|at| by_hash(*at) == Split::Train);
    let trained: BTreeSet<&str> = trained.map(label).collect();
    let fit = |at: usize| match by_hash(at) {
        Split::HeldOutPair if !trained.contains(label(at)) => Split::Train,
        part => part,
    };
    all.map(fit).collect()
}

impl ImageFolder {
    /// How many things there are by their labels; some may have other words beside it.
    pub fn things(&self) -> usize {
        let labels = self.pictures.concepts.iter().map(|concept| &concept.label);
        labels.collect::<BTreeSet<_>>().len()
    }

    /// What was left out, in words; empty where nothing was.
    pub fn words(&self) -> String {
        let named = self.left_out.iter().take(NAMED);
        let named: Vec<String> = named.map(|(name, why)| format!("{name} ({why})")).collect();
        let more = match self.left_out.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        match named.is_empty() {
            true => String::new(),
            false => format!("skipped: {}{more}", named.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests;
