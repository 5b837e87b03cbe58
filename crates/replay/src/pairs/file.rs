//! A file of pairs, to which choices are appended.

use super::Pair;
use crate::files;
use base::untrusted::clean_key;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The maximum size of a file of pairs in bytes.
const LARGEST: u64 = 1 << 30;

/// An open file of pairs. While it is open, no other process can open it to add choices.
#[derive(Debug)]
pub struct PairFile {
    path: PathBuf,
    file: File,
    /// The pairs that were in the file when it was opened.
    earlier: Vec<Pair>,
    /// The offset of each pair that this process added.
    added: Vec<u64>,
    length: u64,
}

impl PairFile {
    /// Reads the pairs of a file, which has one pair per line.
    pub fn read(path: &Path) -> Result<Vec<Pair>, String> {
        let (pairs, _) = parse(path, &files::read(path, LARGEST)?)?;
        Ok(pairs)
    }

    /// Opens or creates a file to append pairs to. If the last line is incomplete because the
    /// program was killed while writing it, removes that line. Nothing else in the file is removed.
    pub fn open(path: &Path) -> Result<PairFile, String> {
        let failed = |error: std::io::Error| {
            let name = clean_key(&path.to_string_lossy());
            match error.kind() {
                ErrorKind::WouldBlock => {
                    format!(
                        "Another process is adding choices to {name}; end it, or choose another file with --pairs"
                    )
                }
                _ => format!("Cannot write {name} ({error}); choose another file with --pairs"),
            }
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).map_err(failed)?;
        file.try_lock().map_err(|why| failed(why.into()))?;
        let mut bytes = Vec::new();
        let read = (&mut file).take(LARGEST).read_to_end(&mut bytes);
        read.map_err(failed)?;
        let (earlier, sound) = parse(path, &bytes)?;
        let mut length = sound as u64;
        if length < bytes.len() as u64 {
            file.set_len(length).map_err(failed)?;
        }
        file.seek(SeekFrom::Start(length)).map_err(failed)?;
        if bytes[..sound].last().is_some_and(|byte| *byte != b'\n') {
            file.write_all(b"\n").map_err(failed)?;
            length += 1;
        }
        Ok(PairFile {
            path: path.to_path_buf(),
            file,
            earlier,
            added: Vec::new(),
            length,
        })
    }

    /// The pairs that were in the file when it was opened.
    pub fn earlier(&self) -> &[Pair] {
        &self.earlier
    }

    /// Appends a pair, and returns when the pair is on the disk.
    pub fn add(&mut self, pair: &Pair) -> Result<(), String> {
        let line = serde_json::to_string(pair).map_err(|error| error.to_string())? + "\n";
        self.write(line.as_bytes())?;
        self.added.push(self.length);
        self.length += line.len() as u64;
        Ok(())
    }

    /// Removes the last pair that this process added. Returns false if there is none.
    pub fn take_back(&mut self) -> Result<bool, String> {
        let Some(from) = self.added.pop() else {
            return Ok(false);
        };
        self.length = from;
        self.cut()?;
        Ok(true)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let written = self.file.write_all(bytes);
        let synced = written.and_then(|()| self.file.sync_data());
        synced.map_err(|error| {
            // A part of the line may be in the file.
            let _ = self.cut();
            let path = clean_key(&self.path.to_string_lossy());
            format!("Cannot write {path} ({error}); free some space")
        })
    }

    fn cut(&mut self) -> Result<(), String> {
        let cut = self.file.set_len(self.length);
        let placed = cut.and_then(|()| self.file.seek(SeekFrom::Start(self.length)));
        placed.map(|_| ()).map_err(|error| {
            let path = clean_key(&self.path.to_string_lossy());
            format!("Cannot change {path}: {error}")
        })
    }
}

/// Parses the lines of a file. Returns the pairs, and the length of the file in bytes, not counting
/// an incomplete last line.
fn parse(path: &Path, bytes: &[u8]) -> Result<(Vec<Pair>, usize), String> {
    let (mut pairs, mut sound) = (Vec::new(), 0);
    for (at, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let blank = line.iter().all(u8::is_ascii_whitespace);
        match serde_json::from_slice(line) {
            Ok(pair) => pairs.push(pair),
            Err(_) if blank => {}
            // The program was killed while it wrote this line.
            Err(_) if !line.ends_with(b"\n") && line.starts_with(b"{\"prompt\":") => {
                return Ok((pairs, sound));
            }
            Err(error) => {
                let path = clean_key(&path.to_string_lossy());
                return Err(format!(
                    "{path}:{}: The line is not a pair with prompt, chosen and rejected ({error}); choose a file of pairs",
                    at + 1
                ));
            }
        }
        sound += line.len();
    }
    Ok((pairs, sound))
}

#[cfg(test)]
mod tests {
    use super::super::tests::offer;
    use super::super::{Pair, Winner};
    use super::*;
    use std::fs;

    #[test]
    fn pairs_are_appended_taken_back_and_never_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pairs.jsonl");
        // A pair of another program, without a line break at its end.
        let theirs = "{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"r\",\"more\":1}";
        fs::write(&path, theirs).unwrap();
        let mut file = PairFile::open(&path).unwrap();
        assert_eq!((file.earlier().len(), file.earlier()[0].train), (1, true));
        let busy = PairFile::open(&path).unwrap_err();
        assert!(busy.contains("Another process"), "{busy}");
        let pair = |text| offer(text, " b").pair(Winner::A, Pair::default());
        for text in [" one", " two", " three"] {
            file.add(&pair(text)).unwrap();
        }
        assert_eq!(file.take_back(), Ok(true));
        file.add(&pair(" four")).unwrap();
        let read = PairFile::read(&path).unwrap();
        let chosen: Vec<String> = read.iter().map(|pair| pair.chosen.text()).collect();
        assert_eq!(chosen, ["c", " one", " two", " four"]);
        for _ in 0..3 {
            assert_eq!(file.take_back(), Ok(true));
        }
        assert_eq!(file.take_back(), Ok(false));
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{theirs}\n"));
    }

    #[test]
    fn an_incomplete_last_line_is_removed_and_a_wrong_file_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pairs.jsonl");
        let mut file = PairFile::open(&path).unwrap();
        let pair = offer(" a", " b").pair(Winner::Tie, Pair::default());
        file.add(&pair).unwrap();
        drop(file);
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}{}", &whole[..40])).unwrap();
        assert_eq!(PairFile::open(&path).unwrap().earlier(), [pair]);
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);
        let notes = format!("{whole}notes\n");
        fs::write(&path, &notes).unwrap();
        let why = PairFile::open(&path).unwrap_err();
        assert!(
            why.contains("a.pairs.jsonl:2: The line is not a pair"),
            "{why}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), notes);
    }
}
