//! Reads the case file. One scan finds all rows; each row is loaded later, when its request is
//! sent.
//!
//! Only the positions of the rows are held in memory, so a million cases need little memory.

use super::row::Row;
use crate::cli::shard::Shard;
use crate::cli::{Exit, Failed};
use base::hash::fnv1a;
use base::untrusted::{clean_key, clean_line};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, stdin};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The maximum length of a row in bytes. No model's context is long enough for such a row.
const LONGEST: u64 = 16 << 20;
/// The maximum size of standard input in bytes. Standard input is held in memory as a whole.
const MOST_PIPED: u64 = 1 << 30;
/// The maximum number of unused fields that are reported.
const NAMED: usize = 12;

/// The rows of a case file.
pub struct CaseFile {
    source: Source,
    pub rows: Vec<Place>,
    /// The names of fields that occur in the rows but that illumine does not use.
    pub unused: BTreeSet<String>,
}

enum Source {
    File(File),
    Piped(Vec<u8>),
}

/// A row's position in the case file, the hash of the row's id, and the row's model.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    offset: u64,
    len: u32,
    pub line: u32,
    /// The hash of the row's id.
    pub hash: u64,
    /// The index of the row's model. Models are numbered in the order in which they first appear; 0
    /// is the model chosen by flags.
    model: u32,
}

impl CaseFile {
    /// Finds the rows of the file at `path`, or of standard input if `path` is `-`. Duplicate ids
    /// are an error.
    pub fn open(path: &Path) -> Result<CaseFile, Failed> {
        let shown = clean_line(&path.display().to_string());
        let failed = |error: std::io::Error| {
            let why =
                format!("Cannot read the cases in {shown} ({error}); give another file to --each");
            Failed::new(Exit::Usage, why)
        };
        let source = match path == Path::new("-") {
            true => Source::Piped(piped().map_err(failed)?),
            false => Source::File(File::open(path).map_err(failed)?),
        };
        let mut file = CaseFile {
            source,
            rows: Vec::new(),
            unused: BTreeSet::new(),
        };
        let found = match &file.source {
            Source::File(cases) => find_rows(BufReader::with_capacity(1 << 18, cases)),
            Source::Piped(bytes) => find_rows(Cursor::new(bytes)),
        };
        let (rows, unused) = found.map_err(failed)?;
        (file.rows, file.unused) = (rows, unused);
        file.refuse_twins()?;
        // Cases are grouped by model, so that each local model is loaded only once.
        file.rows.sort_by_key(|row| row.model);
        Ok(file)
    }

    /// Loads and parses the row at a position in the case file.
    pub fn row(&self, place: Place) -> Row {
        match self.bytes(place) {
            Ok(bytes) => Row::parse(&bytes, place.line as usize),
            Err(error) => Row {
                id: format!("line-{}", place.line).into(),
                case: Err(format!(
                    "Line {} cannot be read again ({error}); do not change the case file during a run",
                    place.line
                )),
                unused: Vec::new(),
            },
        }
    }

    /// Removes the rows outside `shard`, and then the rows whose hash is in `done`. Returns how
    /// many rows were removed because their hash is in `done`.
    pub fn keep(&mut self, shard: Option<&Shard>, done: &HashSet<u64>) -> usize {
        if let Some(shard) = shard {
            self.rows.retain(|row| shard.has(row.hash));
        }
        let before = self.rows.len();
        self.rows.retain(|row| !done.contains(&row.hash));
        before - self.rows.len()
    }

    fn bytes(&self, place: Place) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; place.len as usize];
        match &self.source {
            Source::File(file) => file.read_exact_at(&mut bytes, place.offset)?,
            Source::Piped(all) => {
                let from = place.offset as usize;
                bytes.copy_from_slice(&all[from..from + place.len as usize]);
            }
        }
        Ok(bytes)
    }

    fn refuse_twins(&self) -> Result<(), Failed> {
        let mut seen: HashMap<u64, usize> = HashMap::with_capacity(self.rows.len());
        for (at, place) in self.rows.iter().enumerate() {
            if let Some(first) = seen.insert(place.hash, at) {
                let id = clean_key(&self.row(*place).key());
                let why = format!(
                    "Lines {} and {} of the cases both have the id \"{id}\"; change one of them",
                    self.rows[first].line, place.line
                );
                return Err(Failed::new(Exit::Usage, why));
            }
        }
        Ok(())
    }
}

fn piped() -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stdin()
        .lock()
        .take(MOST_PIPED + 1)
        .read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MOST_PIPED {
        true => Err(std::io::Error::other(
            "standard input is longer than 1 GB, so put the cases in a file",
        )),
        false => Ok(bytes),
    }
}

type Found = (Vec<Place>, BTreeSet<String>);

fn find_rows(mut lines: impl BufRead) -> std::io::Result<Found> {
    const BOM: &[u8] = b"\xef\xbb\xbf";
    let (mut rows, mut unused) = (Vec::new(), BTreeSet::new());
    let mut models: HashMap<Option<String>, u32> = [(None, 0)].into();
    let (mut offset, mut number, mut line) = (0u64, 0u32, Vec::new());
    loop {
        line.clear();
        let read = (&mut lines).take(LONGEST).read_until(b'\n', &mut line)? as u64;
        if read == 0 {
            return Ok((rows, unused));
        }
        number += 1;
        let (begin, mut len) = (offset, read);
        offset += read;
        let whole = line.ends_with(b"\n") || read < LONGEST;
        if !whole {
            // The rest of the row is skipped, so the row is not valid JSON and will be refused.
            offset += skip_line(&mut lines)?;
            len = LONGEST.min(1 << 16);
        }
        let text = match number == 1 {
            true => line.strip_prefix(BOM).unwrap_or(&line),
            false => &line,
        };
        let skipped = (line.len() - text.len()) as u64;
        if text.trim_ascii().is_empty() {
            continue;
        }
        let row = Row::parse(
            &text[..text.len().min((len - skipped) as usize)],
            number as usize,
        );
        if unused.len() < NAMED {
            unused.extend(row.unused.iter().cloned());
        }
        let next = models.len() as u32;
        let hash = fnv1a(&row.key());
        let model = row.case.map_or(None, |case| case.model);
        let model = *models.entry(model).or_insert(next);
        rows.push(Place {
            offset: begin + skipped,
            len: (len - skipped) as u32,
            line: number,
            hash,
            model,
        });
    }
}

fn skip_line(lines: &mut impl BufRead) -> std::io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = lines.fill_buf()?;
        let (len, ends) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        lines.consume(len);
        skipped += len as u64;
        if ends {
            return Ok(skipped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(text: &[u8]) -> Result<CaseFile, Failed> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        CaseFile::open(file.path())
    }

    #[test]
    fn rows_are_found_and_read_again() {
        let text = "\u{feff}{\"id\":\"a\",\"prompt\":\"x\"}\r\n\n{\"prompt\":\"y\",\"model\":\"m\"}\nbad\n{\"id\":2,\"prompt\":\"é\"}";
        let file = file(text.as_bytes()).unwrap();
        let lines: Vec<u32> = file.rows.iter().map(|row| row.line).collect();
        assert_eq!(
            lines,
            [1, 4, 5, 3],
            "the cases of a model follow each other"
        );
        let keys: Vec<String> = file.rows.iter().map(|row| file.row(*row).key()).collect();
        assert_eq!(keys, ["a", "line-4", "2", "line-3"]);
        assert!(file.row(file.rows[1]).case.is_err() && file.row(file.rows[2]).case.is_ok());
    }

    #[test]
    fn two_rows_with_one_id_are_refused_with_both_lines() {
        let twins = "{\"id\":7,\"prompt\":\"x\"}\n{\"id\":\"a\",\"prompt\":\"x\"}\n{\"id\":\"7\",\"prompt\":\"y\"}\n";
        let why = file(twins.as_bytes()).err().unwrap().why;
        assert!(
            why.contains("Lines 1 and 3") && why.contains("\"7\""),
            "{why}"
        );
    }

    #[test]
    fn a_row_of_any_length_is_one_row() {
        let mut text = vec![b'x'; LONGEST as usize + 5];
        text.extend(b"\n{\"id\":\"b\",\"prompt\":\"y\"}\n");
        let file = file(&text).unwrap();
        assert_eq!(file.rows.len(), 2);
        assert!(file.row(file.rows[0]).case.is_err());
        assert_eq!(
            (file.row(file.rows[1]).key().as_str(), file.rows[1].line),
            ("b", 2)
        );
    }

    #[test]
    fn parts_and_finished_cases_are_left_out() {
        let rows: String = (0..100)
            .map(|n| format!("{{\"id\":{n},\"prompt\":\"x\"}}\n"))
            .collect();
        let mut file = file(rows.as_bytes()).unwrap();
        let shard = Shard::find(Some("1/2"), |_| None).unwrap();
        let all = HashSet::new();
        file.keep(shard.as_ref(), &all);
        let half = file.rows.len();
        assert!((30..70).contains(&half), "{half}");
        let done = HashSet::from([file.rows[0].hash]);
        assert_eq!(file.keep(None, &done), 1);
        assert_eq!(file.rows.len(), half - 1);
    }
}
