//! Loads a folder of the user's own pictures as a dataset.
//!
//! The captions of a picture come from a table in the folder, from a text file beside the picture,
//! or from the picture's file name. Styles are named after subfolders. A picture that is not square
//! gets transparent bands, like the shipped drawings, since cropping might remove what the caption
//! describes. Nothing in the folder is changed. Files that cannot be used are skipped and listed.

use super::captions::{CaptionTable, DEFAULT_STYLE, from_file_name, from_text_file, style_name};
use super::dataset::{Concept, Dataset};
use super::split::{Split, split_of};
use super::{DataError, progress};
use base::progress::Observer;
use base::untrusted::clean_line;
use imagegen::picture_file::{self, PictureFileError};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The minimum number of training pictures. With fewer pictures, every batch would contain
/// duplicates.
pub const MIN_PICTURES: usize = 8;
/// The maximum number of pictures, which limits the use of memory.
const MAX_PICTURES: usize = 100_000;
/// The maximum number of styles, which limits the size of the tables that have a row per style.
const MAX_STYLES: usize = 256;
/// Pictures are held out only if the dataset has at least this many labels.
const MIN_CONCEPTS: usize = 20;
/// The maximum depth of subfolders.
const MAX_DEPTH: usize = 8;
/// The maximum number of skipped files that are listed by name.
const LISTED: usize = 3;
/// The extensions of picture files. They include formats that cannot be decoded but that a user may
/// expect to work.
const EXTENSIONS: [&str; 13] = [
    "png", "jpg", "jpeg", "gif", "webp", "bmp", "tif", "tiff", "heic", "heif", "avif", "jxl", "svg",
];

/// The names of the sample sheets that a training run writes next to its checkpoints.
const SAMPLE_SHEETS: [&str; 4] = ["reconstruct.png", "tokens.png", "paint.png", "refine.png"];

/// The dataset made from a folder, and the skipped files with the reason for each.
#[derive(Debug)]
pub struct ImageFolder {
    pub pictures: Dataset,
    pub skipped: Vec<(String, String)>,
}

/// A picture file in the folder.
#[derive(Debug)]
struct PictureFile {
    /// The path relative to the folder, with `/` as the separator.
    name: String,
    path: PathBuf,
}

/// A picture file with its captions and style.
struct CaptionedFile {
    found: PictureFile,
    captions: Vec<String>,
    style: String,
}

/// Loads all pictures of a folder and its subfolders, and scales them to `size` pixels in width and
/// height.
pub fn read(folder: &Path, size: u32, observer: &dyn Observer) -> Result<ImageFolder, DataError> {
    let mut files = Vec::new();
    walk(folder, "", 0, &mut files)?;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    if files.is_empty() {
        return Err(DataError::NoPictures(folder.into()));
    }
    if files.len() > MAX_PICTURES {
        return Err(DataError::TooMany(
            folder.into(),
            files.len(),
            "pictures",
            MAX_PICTURES,
        ));
    }
    let mut table = CaptionTable::read(folder)?;
    let mut skipped = Vec::new();
    let mut described = Vec::new();
    for found in files {
        match caption(found, &mut table) {
            Ok(picture) => described.push(picture),
            Err(name) => skipped.push((name, "no caption".to_string())),
        }
    }
    let missing = format!("{} lists it, but it does not exist", table.name);
    let missing = table.rows.into_keys().map(|name| (name, missing.clone()));
    skipped.extend(missing);
    let mut taken = Vec::new();
    let all = described.len();
    let mut rest = described.into_iter().peekable();
    while rest.peek().is_some() {
        progress(observer, "Reading pictures", all - rest.len(), all)?;
        let some: Vec<CaptionedFile> = rest.by_ref().take(64).collect();
        let some = some.into_par_iter().map(|own| {
            let pixels = pixels(&own.found.path, size);
            (own, pixels)
        });
        for (own, pixels) in some.collect::<Vec<_>>() {
            match pixels {
                Ok(pixels) => taken.push((own, pixels)),
                Err(why) => skipped.push((own.found.name, why)),
            }
        }
    }
    progress(observer, "Reading pictures", all, all)?;
    skipped.sort();
    skipped
        .iter_mut()
        .for_each(|(name, _)| *name = clean_line(name));
    assemble(folder, taken, size, skipped)
}

/// Lists the picture files of a folder and its subfolders, without following links to folders. In a
/// folder with a training run, the run's sample sheets are left out.
fn walk(
    folder: &Path,
    above: &str,
    depth: usize,
    files: &mut Vec<PictureFile>,
) -> Result<(), DataError> {
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
        if own.starts_with('.') || (run && SAMPLE_SHEETS.contains(&own.as_str())) {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if depth < MAX_DEPTH {
                walk(&path, &format!("{name}/"), depth + 1, files)?;
            }
        } else if ends(&path, &EXTENSIONS) && path.is_file() {
            files.push(PictureFile { name, path });
        }
    }
    Ok(())
}

/// Finds the captions and the style of a picture, and removes the picture's row from the table. If
/// there are no captions, the error is the picture's name.
fn caption(found: PictureFile, table: &mut CaptionTable) -> Result<CaptionedFile, String> {
    let row = table.rows.remove(&found.name).unwrap_or_default();
    let stem = found.path.file_stem().unwrap_or_default().to_string_lossy();
    let mut captions = row.captions;
    if captions.is_empty() {
        captions = from_text_file(&found.path);
    }
    if captions.is_empty() {
        captions = from_file_name(&stem);
    }
    if captions.is_empty() {
        return Err(found.name);
    }
    let folder = found
        .name
        .split_once('/')
        .and_then(|(first, _)| style_name(first));
    let style = row
        .style
        .or(folder)
        .unwrap_or_else(|| DEFAULT_STYLE.to_string());
    Ok(CaptionedFile {
        found,
        captions,
        style,
    })
}

/// Loads a picture's pixels. The error is a reason why the file cannot be used, worded to complete
/// a sentence.
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

/// Combines pictures, captions and splits into a dataset. Pictures with the same captions become
/// one concept.
fn assemble(
    folder: &Path,
    taken: Vec<(CaptionedFile, Vec<u8>)>,
    size: u32,
    skipped: Vec<(String, String)>,
) -> Result<ImageFolder, DataError> {
    let styles: BTreeSet<&String> = taken.iter().map(|(own, _)| &own.style).collect();
    let styles: Vec<String> = styles.into_iter().cloned().collect();
    if styles.len() > MAX_STYLES {
        return Err(DataError::TooMany(
            folder.into(),
            styles.len(),
            "styles",
            MAX_STYLES,
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
    pictures.split = splits(&pictures);
    let trained = pictures.split.iter().filter(|part| **part == Split::Train);
    let trained = trained.count();
    let made = ImageFolder { pictures, skipped };
    if trained >= MIN_PICTURES {
        return Ok(made);
    }
    let words = made.skipped_summary();
    let words = if words.is_empty() {
        words
    } else {
        format!("; {words}")
    };
    Err(DataError::TooFew(
        folder.into(),
        trained,
        MIN_PICTURES,
        words,
    ))
}

/// Returns the split of each picture. As for the shipped drawings, a hash of the names determines
/// the split, with two exceptions. A pair of a concept and a style is held out only if training
/// includes the concept in another style. If there are only a few concepts, such as ten animals,
/// nothing is held out.
fn splits(pictures: &Dataset) -> Vec<Split> {
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
    if things.len() < MIN_CONCEPTS {
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
    /// The number of different labels. Concepts with different captions may have the same label.
    pub fn label_count(&self) -> usize {
        let labels = self.pictures.concepts.iter().map(|concept| &concept.label);
        labels.collect::<BTreeSet<_>>().len()
    }

    /// Returns a text that lists the skipped files, or an empty text if no files were skipped.
    pub fn skipped_summary(&self) -> String {
        let named = self.skipped.iter().take(LISTED);
        let named: Vec<String> = named.map(|(name, why)| format!("{name} ({why})")).collect();
        let more = match self.skipped.len().saturating_sub(LISTED) {
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
