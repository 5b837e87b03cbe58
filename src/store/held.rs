//! Holds the files beside the journal open. If the session's folder is deleted, the files' contents
//! survive, and a rescued session still has its pictures.

use super::place::PICTURES;
use super::private::{make_private_dir, open_private};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};

/// The maximum number of files to hold open. Most systems allow a process to have 1,024 files open.
const MOST: usize = 256;

/// The files that are held open, keyed by their path relative to the session's folder.
#[derive(Debug, Default)]
pub(super) struct HeldFiles(BTreeMap<PathBuf, File>);

impl HeldFiles {
    /// Opens the imported cards and the pictures in a session's folder. If there are too many
    /// pictures, only the newest are opened.
    pub(super) fn of(folder: &Path) -> HeldFiles {
        let mut found = files_in(folder, is_card);
        let mut drawn = files_in(&folder.join(PICTURES), is_picture);
        drawn.sort_by_cached_key(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok());
        found.extend(drawn.into_iter().rev());
        let mut held = HeldFiles::default();
        found.iter().for_each(|path| held.hold(folder, path));
        held
    }

    /// Opens a file and holds it open, unless too many files are already open.
    pub(super) fn hold(&mut self, folder: &Path, path: &Path) {
        let Ok(inner) = path.strip_prefix(folder) else {
            return;
        };
        // At the limit, a file can only replace an earlier version of itself.
        if (self.0.len() < MOST || self.0.contains_key(inner))
            && let Ok(file) = File::open(path)
        {
            self.0.insert(inner.to_path_buf(), file);
        }
    }

    /// Copies the held files into a folder. Files that the folder already contains are skipped.
    pub(super) fn restore(&mut self, folder: &Path) {
        let missing = |path: &Path| !folder.join(path).exists();
        for (inner, file) in self.0.iter_mut().filter(|(inner, _)| missing(inner)) {
            let path = folder.join(inner);
            let parent = path.parent().unwrap_or(folder);
            // `sessions check` reports files that could not be written.
            if make_private_dir(parent, true).is_ok() && copy(file, &path).is_err() {
                let _ = fs::remove_file(&path);
            }
        }
    }
}

fn copy(file: &mut File, to: &Path) -> io::Result<()> {
    let mut new = open_private(to, true).map_err(io::Error::other)?;
    file.rewind()?;
    io::copy(file, &mut new)?;
    new.sync_all()
}

/// Whether a file in a session's folder is an imported character card, judged by its name.
pub(super) fn is_card(name: &str) -> bool {
    name.starts_with("card")
}

/// Whether a file in the folder of pictures is a finished picture, judged by its name.
pub(super) fn is_picture(name: &str) -> bool {
    name.ends_with(".png")
}

/// Lists the files in a folder. A file is listed if `wanted` returns true for its name.
pub(super) fn files_in(folder: &Path, wanted: fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| wanted(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect()
}
