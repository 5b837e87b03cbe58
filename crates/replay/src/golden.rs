//! Goldens: passages of earlier runs, with which new passages are compared. Each golden is a file
//! beside the script, so that version control shows how it changes.

use base::decode::{decode, unix_lines};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The maximum length of a golden's name, in bytes.
const LONGEST: usize = 80;

/// Checks that the name of a golden is a valid file name on every operating system.
pub fn check_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.#".contains(c);
    let sound = !name.is_empty() && name.len() <= LONGEST && !name.starts_with('.');
    match sound && name.chars().all(fits) {
        true => Ok(()),
        false => Err(
            "A golden's name consists of letters, digits and the characters - _ . #, and does not start with a dot"
                .to_string(),
        ),
    }
}

/// The goldens of one script. Each golden is the file `goldens/<script>/<name>.txt`.
#[derive(Clone, Debug)]
pub struct Goldens {
    folder: PathBuf,
    /// Whether to save the new text as the golden if the golden is missing or differs from it.
    update: bool,
}

/// The result of comparing a golden with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    Same,
    /// The golden was missing or differed from the text, and the text was saved as the golden.
    Written,
    /// The text differs from the golden; the value is the golden's text.
    Different(String),
    Missing,
}

impl Goldens {
    /// Returns the goldens of the script at `path`. `update` says whether a text is saved as the
    /// golden if the golden is missing or differs from it.
    pub fn of(path: &Path, update: bool) -> Goldens {
        let script = path.file_stem().unwrap_or_default();
        Goldens {
            folder: path.with_file_name("goldens").join(script),
            update,
        }
    }

    /// The path of the file that contains the golden called `name`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.txt"))
    }

    /// Compares a text with its golden. If goldens are being updated and the golden is missing or
    /// differs from the text, saves the text as the golden.
    pub fn compare(&self, name: &str, text: &str) -> Result<Comparison, String> {
        let path = self.path(name);
        let known = match fs::read(&path) {
            Ok(bytes) => {
                let known = decode(bytes);
                let known = known.map_err(|error| format!("{} {error}", path.display()))?;
                let known = unix_lines(&known).into_owned();
                Some(known.strip_suffix('\n').unwrap_or(&known).to_string())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(format!("Cannot read {}: {error}", path.display())),
        };
        match known {
            Some(known) if known == text => Ok(Comparison::Same),
            _ if self.update => {
                self.write(name, text)?;
                Ok(Comparison::Written)
            }
            Some(known) => Ok(Comparison::Different(known)),
            None => Ok(Comparison::Missing),
        }
    }

    /// Writes a golden.
    pub fn write(&self, name: &str, text: &str) -> Result<(), String> {
        write_whole(&self.path(name), format!("{text}\n").as_bytes())
    }

    /// Whether goldens that are missing or differ from the new text are being updated.
    pub(crate) fn update(&self) -> bool {
        self.update
    }
}

/// Writes a golden file. The bytes are written to a temporary file first, which is renamed once it
/// is complete.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("Cannot write {}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, bytes).map_err(failed)?;
    fs::rename(&new, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_golden_is_missing_then_written_then_compared() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("night.illum");
        let update = Goldens::of(&script, true);
        let compare = Goldens::of(&script, false);
        assert_eq!(compare.compare("a", "x\n"), Ok(Comparison::Missing));
        assert_eq!(update.compare("a", " one\n\n"), Ok(Comparison::Written));
        assert_eq!(update.compare("a", " one\n\n"), Ok(Comparison::Same));
        assert_eq!(compare.compare("a", " one\n\n"), Ok(Comparison::Same));
        let other = Comparison::Different(" one\n\n".to_string());
        assert_eq!(compare.compare("a", " one\n"), Ok(other));
        let path = folder.path().join("goldens/night/a.txt");
        assert_eq!(update.path("a"), path);
        fs::write(&path, " one\r\n\r\n\r\n").unwrap();
        assert_eq!(compare.compare("a", " one\n\n"), Ok(Comparison::Same));
    }

    #[test]
    fn a_name_stays_in_its_folder() {
        for name in ["", "../x", "a/b", ".hidden", "a\\b", "é", &"x".repeat(81)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        assert_eq!(check_name("opening-2_b.c#1"), Ok(()));
    }
}
