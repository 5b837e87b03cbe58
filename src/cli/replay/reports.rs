//! The report files of a run. JSON Lines are appended as cases end. Other formats are written at
//! the end of the run, from a temporary file, so that memory does not grow with the number of
//! cases.

mod format;

pub(super) use format::{Format, has_texts, wanted};

use super::super::environment::now;
use super::super::{Exit, Failed};
use super::json_line;
use base::untrusted::clean_line;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use illumine::store::files;
use replay::report::{self, CaseReport, Entry, RunReport, Texts};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Display;
use std::fs::{File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::TempPath;

/// The reports of a run that is in progress.
pub(super) struct Reports {
    lines: Vec<JsonLines>,
    others: Vec<(Format, PathBuf)>,
    spool: Option<Spool>,
    stable: bool,
    /// The time when the run began; a fixed time in stable reports.
    began: String,
}

/// Everything that is needed to complete the reports at the end of a run.
pub(super) struct Ending<'a> {
    pub(super) run: &'a RunReport,
    /// A function that returns the script and the name of the case with the given index.
    pub(super) names: &'a dyn Fn(usize) -> (String, String),
    pub(super) cases: usize,
    /// The reason why the run stopped early; None if all cases ran.
    pub(super) why: Option<String>,
}

impl Reports {
    /// Opens the report files. A JSON Lines file has a temporary name until [`Reports::begin`] is
    /// called.
    pub(super) fn open(wanted: Vec<(Format, PathBuf)>, stable: bool) -> Result<Reports, Failed> {
        let (lines, others): (Vec<_>, Vec<_>) = wanted
            .into_iter()
            .partition(|(format, _)| *format == Format::JsonLines);
        let opened = lines.into_iter().map(|(_, path)| {
            let opened = JsonLines::open(&path);
            opened.map_err(|error| not_written(&path, &error))
        });
        let lines: Vec<JsonLines> = opened.collect::<Result<_, _>>()?;
        let spool = match others.first() {
            None => None,
            Some((_, path)) => {
                // Beside the report, so that a folder that cannot be written is noticed now.
                let file = tempfile::tempfile_in(folder(path));
                let file = file.map_err(|error| not_written(path, &error))?;
                let pictures = others.iter().any(|(format, _)| *format == Format::Html);
                Some(Spool::new(file, pictures))
            }
        };
        Ok(Reports {
            lines,
            others,
            spool,
            stable,
            began: match stable {
                true => "1970-01-01T00:00:00Z".to_string(),
                false => now(),
            },
        })
    }

    /// Gives each JSON Lines file its final name. This is called only after the cases of an earlier
    /// run have been added, because the new file may replace the file of that run, whose cases must
    /// not be lost if the program is killed.
    pub(super) fn begin(&mut self) -> Result<(), Failed> {
        for lines in &mut self.lines {
            let begun = lines.begin();
            begun.map_err(|error| not_written(&lines.path, &error))?;
        }
        Ok(())
    }

    /// Adds a case to the reports.
    pub(super) fn add(&mut self, index: usize, case: &CaseReport) -> Result<(), Failed> {
        if let Some(spool) = &mut self.spool {
            let path = self.others.first().map(|(_, path)| path.as_path());
            let added = spool.add(index, case);
            added.map_err(|error| not_written(path.unwrap_or(Path::new("")), &error))?;
        }
        if !self.lines.is_empty() {
            let line = json_line(case)?;
            for lines in &mut self.lines {
                let added = lines.add(index, &line);
                added.map_err(|error| not_written(&lines.path, &error))?;
            }
        }
        Ok(())
    }

    /// Completes the report files.
    pub(super) fn finish(self, ending: &Ending) -> Result<(), Failed> {
        let last = json_line(ending.run)?;
        for lines in self.lines {
            let path = lines.path.clone();
            let finished = lines.finish(&last, self.stable);
            finished.map_err(|error| not_written(&path, &error))?;
        }
        let Some(spool) = self.spool else {
            return Ok(());
        };
        for (format, path) in self.others {
            let entries = (0..ending.cases).map(|index| match spool.read(index) {
                Some(case) => Entry::Ran(Box::new(case)),
                None => {
                    let (file, case) = (ending.names)(index);
                    Entry::NotRun { file, case }
                }
            });
            let text = match format {
                Format::Junit => report::junit(ending.run, entries),
                Format::Tap => Ok(tap(entries, ending)),
                Format::Html => Ok(html(entries, ending)),
                Format::Inspect | Format::Samples => {
                    let cases = || (0..ending.cases).filter_map(|index| spool.read(index));
                    let written = match format {
                        Format::Inspect => stream(&path, |out| {
                            report::write_eval_log(out, ending.run, cases, &self.began)
                        }),
                        _ => stream(&path, |out| samples(out, cases())),
                    };
                    written.map_err(|error| not_written(&path, &error))?;
                    continue;
                }
                Format::JsonLines => continue,
            };
            let text = text.map_err(|error| not_written(&path, &error))?;
            let written = files::write_file(&path, text.as_bytes(), true);
            written.map_err(|error| Failed::new(Exit::Engine, error))?;
        }
        Ok(())
    }
}

/// Writes a file piece by piece, under a temporary name until it is complete.
fn stream(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let (file, unnamed) = new_file(path)?;
    let mut out = BufWriter::new(&file);
    write(&mut out)?;
    out.flush()?;
    drop(out);
    file.sync_data()?;
    Ok(unnamed.persist(path)?)
}

/// Writes the cases in the format that lm-evaluation-harness uses for samples.
fn samples(
    out: &mut impl Write,
    cases: impl Iterator<Item = CaseReport>,
) -> Result<(), Box<dyn Error>> {
    for (number, case) in cases.enumerate() {
        writeln!(out, "{}", report::sample_line(number, &case))?;
    }
    Ok(())
}

/// Creates a temporary file in the folder of `path`; the caller renames it to `path` later.
fn new_file(path: &Path) -> std::io::Result<(File, TempPath)> {
    let mut new = tempfile::Builder::new();
    // As for any new file; the user's mask removes what it removes.
    let new = new.permissions(Permissions::from_mode(0o666));
    Ok(new.tempfile_in(folder(path))?.into_parts())
}

/// Returns the folder of a file.
fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

fn not_written(path: &Path, error: &dyn Display) -> Failed {
    let path = clean_line(&path.display().to_string());
    let why = format!("Cannot write the report {path} ({error}); choose another file or folder");
    Failed::new(Exit::Engine, why)
}

fn tap(entries: impl Iterator<Item = Entry>, ending: &Ending) -> String {
    let mut text = report::tap_plan(ending.run, ending.cases);
    for (at, entry) in entries.enumerate() {
        if let Entry::Ran(case) = entry {
            text += &report::tap_case(at + 1, &case);
        }
    }
    if let Some(why) = &ending.why {
        text += &report::tap_bail(why);
    }
    text
}

fn html(entries: impl Iterator<Item = Entry>, ending: &Ending) -> String {
    let mut text = report::html_start(ending.run);
    let mut file = String::new();
    for entry in entries {
        if let Entry::Ran(case) = entry {
            if case.file != file {
                text += &report::html_script(&case.file);
                file.clone_from(&case.file);
            }
            text += &report::html_case(&case);
        }
    }
    text + report::html_end()
}

/// A file of JSON Lines, and the position of each case's line in the file.
struct JsonLines {
    path: PathBuf,
    file: File,
    /// The temporary name of the file; None once the file has its final name.
    unnamed: Option<TempPath>,
    places: Vec<(usize, u64, usize)>,
    length: u64,
}

impl JsonLines {
    fn open(path: &Path) -> std::io::Result<JsonLines> {
        let (file, unnamed) = new_file(path)?;
        Ok(JsonLines {
            path: path.to_path_buf(),
            file,
            unnamed: Some(unnamed),
            places: Vec::new(),
            length: 0,
        })
    }

    fn begin(&mut self) -> std::io::Result<()> {
        match self.unnamed.take() {
            Some(unnamed) => Ok(unnamed.persist(&self.path)?),
            None => Ok(()),
        }
    }

    fn add(&mut self, index: usize, line: &str) -> std::io::Result<()> {
        self.file.write_all(line.as_bytes())?;
        self.places.push((index, self.length, line.len()));
        self.length += line.len() as u64;
        Ok(())
    }

    /// Adds the last line, which describes the whole run. In a stable report, this also sorts the
    /// cases into the order of the scripts.
    fn finish(mut self, last: &str, stable: bool) -> Result<(), Box<dyn std::error::Error>> {
        self.file.write_all(last.as_bytes())?;
        if !stable || self.places.is_sorted() {
            return Ok(self.file.sync_data()?);
        }
        self.places.sort_unstable();
        let mut text = Vec::new();
        for (_, offset, length) in &self.places {
            text.extend(read(&self.file, *offset, *length)?);
        }
        text.extend(last.as_bytes());
        Ok(files::write_file(&self.path, &text, true)?)
    }
}

/// A temporary file with the cases of a run, from which reports are written at the end.
pub(super) struct Spool {
    file: File,
    places: BTreeMap<usize, (u64, usize)>,
    length: u64,
    /// Whether the pictures of the cases are stored too.
    pictures: bool,
}

/// A case, with its pictures in base64.
#[derive(Serialize, Deserialize)]
struct Spooled {
    case: CaseReport,
    texts: Texts,
    pictures: Vec<String>,
}

impl Spool {
    pub(super) fn new(file: File, pictures: bool) -> Spool {
        Spool {
            file,
            places: BTreeMap::new(),
            length: 0,
            pictures,
        }
    }

    pub(super) fn add(&mut self, index: usize, case: &CaseReport) -> std::io::Result<()> {
        let pictures = case.pictures.iter().filter(|_| self.pictures);
        let spooled = Spooled {
            texts: case.texts.clone(),
            pictures: pictures.map(|bytes| STANDARD.encode(bytes)).collect(),
            case: case.clone(),
        };
        let bytes = serde_json::to_vec(&spooled)?;
        self.file.write_all(&bytes)?;
        self.places.insert(index, (self.length, bytes.len()));
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Returns the case with this index; None if the case did not run.
    pub(super) fn read(&self, index: usize) -> Option<CaseReport> {
        let (offset, length) = self.places.get(&index)?;
        let bytes = read(&self.file, *offset, *length).ok()?;
        let spooled: Spooled = serde_json::from_slice(&bytes).ok()?;
        let pictures = spooled.pictures.iter();
        let pictures = pictures.filter_map(|text| Some(STANDARD.decode(text).ok()?.into()));
        Some(CaseReport {
            pictures: pictures.collect(),
            texts: spooled.texts,
            ..spooled.case
        })
    }
}

fn read(file: &File, offset: u64, length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stable_file_is_in_the_order_of_the_scripts_whatever_ended_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, "earlier").unwrap();
        for (stable, expected) in [
            (true, "\"a\"\n\"b\"\n\"c\"\n0\n"),
            (false, "\"b\"\n\"c\"\n\"a\"\n0\n"),
        ] {
            let before = std::fs::read(&path).unwrap();
            let mut lines = JsonLines::open(&path).unwrap();
            lines.add(1, "\"b\"\n").unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), before);
            lines.begin().unwrap();
            lines.add(2, "\"c\"\n").unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "\"b\"\n\"c\"\n");
            lines.add(0, "\"a\"\n").unwrap();
            lines.finish("0\n", stable).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        }
    }

    #[test]
    fn the_cases_come_back_with_their_pictures() {
        let mut spool = Spool::new(tempfile::tempfile().unwrap(), true);
        let case = CaseReport {
            case: "é".to_string(),
            pictures: vec![[1, 2, 3].into()],
            ..CaseReport::default()
        };
        spool.add(4, &case).unwrap();
        spool.add(2, &CaseReport::default()).unwrap();
        assert_eq!(spool.read(4), Some(case));
        assert_eq!(spool.read(2), Some(CaseReport::default()));
        assert_eq!(spool.read(0), None);
    }
}
