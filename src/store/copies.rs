//! Conflicting copies. A sync program leaves such a copy in a session's folder when two machines
//! have written to the same session.

use super::place::FILE;
use super::recover::{Recovered, recover_journal};
use super::rescue::bring_files;
use super::{Journal, Sessions, StoreError};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use story::Story;

/// A copy of a session's journal that a sync program left in the session's folder or in a copy of
/// the folder.
#[derive(Debug)]
pub struct ConflictingCopy {
    pub path: PathBuf,
    pub recovered: Recovered,
}

/// The passages in which two stories differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// The texts of the passages that are only in the first story.
    pub first: Vec<String>,
    pub second: Vec<String>,
}

/// The paths of the conflicting copies beside a journal, sorted by name.
///
/// Each sync program uses a different form of name: `journal (Ann's conflicted copy
/// 2026-11-01).jsonl`, `journal.sync-conflict-20261101-120000-ABCDEFG.jsonl`,
/// `journal-LAPTOP.jsonl`, `journal 2.jsonl`. All these names contain the name and the extension of
/// the journal.
pub(super) fn paths(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_copy = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let partial = name.starts_with(['.', '~']) || name.ends_with(".tmp") || name.ends_with('~');
        let named = name.contains("journal") && name.contains(".jsonl");
        name != FILE && named && !partial && path.is_file()
    };
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_copy).collect();
    found.sort();
    found
}

/// The paths of the journals in copies of a session's whole folder. Such a copy has a name like
/// `novel (Ann's conflicted copy 2026-11-01)`, which is not a valid session name.
fn folders(root: &Path, name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let is_copy = |folder: &str| {
        let rest = folder.strip_prefix(name);
        rest.is_some_and(|rest| rest.trim_start().starts_with(['(', '[']))
    };
    let copies = entries.filter(|entry| is_copy(&entry.file_name().to_string_lossy()));
    let journals = copies.map(|entry| entry.path().join(FILE));
    let mut found: Vec<PathBuf> = journals.filter(|path| path.is_file()).collect();
    found.sort();
    found
}

impl Sessions {
    /// The paths of all conflicting copies of a session.
    fn copy_paths(&self, name: &str) -> Result<Vec<PathBuf>, StoreError> {
        let name = self.resolve(name)?;
        let mut found = paths(&self.root().join(&name));
        found.extend(folders(self.root(), &name));
        Ok(found)
    }

    /// Reads the conflicting copies of a session.
    pub fn conflicting_copies(&self, name: &str) -> Result<Vec<ConflictingCopy>, StoreError> {
        let read = |path: PathBuf| {
            let bytes = fs::read(&path).map_err(|error| StoreError::io("read", &path, error))?;
            let recovered = recover_journal(&bytes);
            Ok(ConflictingCopy { path, recovered })
        };
        self.copy_paths(name)?.into_iter().map(read).collect()
    }

    /// The number of conflicting copies of a session.
    pub fn copy_count(&self, name: &str) -> usize {
        self.copy_paths(name).map_or(0, |paths| paths.len())
    }

    /// Creates a session from the conflicting copy `number` (counted from 1), including the
    /// pictures. The conflicting copy is not moved or changed.
    pub fn open_copy(
        &self,
        name: &str,
        number: usize,
        to: Option<&str>,
    ) -> Result<Journal, StoreError> {
        let found = self.copy_paths(name)?;
        let path = number.checked_sub(1).and_then(|at| found.get(at));
        let path = path.ok_or_else(|| StoreError::NoCopy {
            name: name.to_string(),
            number,
        })?;
        let bytes = fs::read(path).map_err(|error| StoreError::io("read", path, error))?;
        let journal = match to {
            Some(to) => Journal::create_with(self.root(), &self.new_name(to)?, bytes)?,
            None => self.create_copy(&format!("{}-copy", self.resolve(name)?), &bytes)?,
        };
        // A copy of the folder contains its own pictures.
        let own = path.parent().map(Path::to_path_buf);
        own.into_iter()
            .chain([self.folder(name)?])
            .for_each(|from| bring_files(&from, journal.folder()));
        Ok(journal)
    }

    /// Creates a session from a journal at any path. The session is named `to`. If `to` is None, it
    /// is named `own`, followed by a number if that name is taken. If the journal is in a session's
    /// folder, the pictures are copied too. Returns None if not even the first record can be
    /// parsed.
    pub fn import_journal(
        &self,
        path: &Path,
        to: Option<&str>,
        own: &str,
    ) -> Result<Option<(Journal, Recovered)>, StoreError> {
        let bytes = fs::read(path).map_err(|error| StoreError::io("read", path, error))?;
        let recovered = recover_journal(&bytes);
        if recovered.records == 0 {
            return Ok(None);
        }
        let journal = match to {
            Some(to) => Journal::create_with(self.root(), &self.new_name(to)?, bytes)?,
            None => self.create_copy(own, &bytes)?,
        };
        if let Some(folder) = path.parent().filter(|folder| folder.join(FILE).is_file()) {
            bring_files(folder, journal.folder());
        }
        Ok(Some((journal, recovered)))
    }
}

/// Compares the passages of two stories. The order of the passages does not matter.
pub fn difference(first: &Story, second: &Story) -> Difference {
    Difference {
        first: only_in(first, second),
        second: only_in(second, first),
    }
}

/// The texts of passages that `other` does not contain. A text that `other` contains fewer times
/// than `story` is listed once for each missing occurrence.
fn only_in(story: &Story, other: &Story) -> Vec<String> {
    let mut known: HashMap<&str, usize> = HashMap::new();
    for node in other.nodes() {
        *known.entry(&node.text).or_default() += 1;
    }
    let written = story.nodes().iter().filter(|node| !node.text.is_empty());
    let unknown = written.filter(|node| match known.get_mut(node.text.as_str()) {
        Some(left) if *left > 0 => {
            *left -= 1;
            false
        }
        _ => true,
    });
    unknown.map(|node| node.text.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use story::{Node, Record};

    fn passage(id: u64, text: &str) -> Record {
        Record::Node(Node {
            id,
            parent: id.checked_sub(1),
            text: text.to_string(),
            ..Node::default()
        })
    }

    /// Creates a session with a conflicting copy of its journal in the file `file`. The journal and
    /// the copy end in different passages.
    fn conflict(file: &str) -> (tempfile::TempDir, Sessions) {
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(dir.path());
        let mut journal = sessions.create(Some("s"), "", "1").unwrap();
        journal.append(&[passage(0, "The ferry left.")]).unwrap();
        let copy = journal.folder().join(file);
        fs::copy(journal.path(), &copy).unwrap();
        journal.append(&[passage(1, "Nobody waved.")]).unwrap();
        let added = super::super::journal::lines(&[passage(1, "A dog barked.")]).unwrap();
        let whole = [fs::read(&copy).unwrap(), added].concat();
        fs::write(&copy, whole).unwrap();
        (dir, sessions)
    }

    #[test]
    fn copies_of_every_sync_program_are_found_compared_and_opened() {
        for file in [
            "journal (Ann's conflicted copy 2026-11-01).jsonl",
            "journal.sync-conflict-20261101-120000-ABCDEFG.jsonl",
            "journal-LAPTOP.jsonl",
            "journal 2.jsonl",
            "journal (conflicted copy 2026-11-01 120000).jsonl",
            "journal (1).jsonl",
            "Copy of journal.jsonl",
        ] {
            let (dir, sessions) = conflict(file);
            let found = sessions.conflicting_copies("s").unwrap();
            assert_eq!(found.len(), 1, "{file}");
            assert_eq!(sessions.list().unwrap()[0].copies, 1, "{file}");
            let story = sessions.read("s").unwrap().story;
            let compared = difference(&story, &found[0].recovered.story);
            assert_eq!(compared.first, ["Nobody waved."]);
            assert_eq!(compared.second, ["A dog barked."]);
            let before = fs::read(&found[0].path).unwrap();
            let journal = sessions.open_copy("s", 1, None).unwrap();
            assert_eq!(journal.name(), "s-copy");
            assert_eq!(fs::read(journal.path()).unwrap(), before);
            assert_eq!(fs::read(dir.path().join("s").join(file)).unwrap(), before);
        }
    }

    #[test]
    fn a_copy_of_the_whole_folder_is_one() {
        let (dir, sessions) = conflict("journal 2.jsonl");
        let (own, copy) = (
            dir.path().join("s"),
            dir.path().join("s (Ann's conflicted copy)"),
        );
        fs::create_dir(&copy).unwrap();
        fs::rename(own.join("journal 2.jsonl"), copy.join(FILE)).unwrap();
        drop(sessions.create(Some("s 2"), "", "1").unwrap());
        let found = sessions.conflicting_copies("s").unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (sessions.copy_count("s"), sessions.copy_count("s 2")),
            (1, 0)
        );
        let listed = sessions.list().unwrap();
        let row = listed.iter().find(|one| one.name == "s").unwrap();
        assert_eq!((row.copies, listed.len()), (1, 2));
        let journal = sessions.open_copy("s", 1, Some("anns")).unwrap();
        assert_eq!(journal.written(), fs::read(copy.join(FILE)).unwrap());
    }

    #[test]
    fn other_files_of_a_session_are_no_copies() {
        let (dir, sessions) = conflict("journal 2.jsonl");
        let folder = dir.path().join("s");
        fs::remove_file(folder.join("journal 2.jsonl")).unwrap();
        for name in ["torn-1.txt", ".syncthing.journal.jsonl.tmp", "card.json"] {
            fs::write(folder.join(name), "x").unwrap();
        }
        assert!(sessions.conflicting_copies("s").unwrap().is_empty());
        assert!(matches!(
            sessions.open_copy("s", 1, None),
            Err(StoreError::NoCopy { number: 1, .. })
        ));
    }

    #[test]
    fn passages_are_counted_and_not_only_known() {
        let story = |texts: &[&str]| {
            let mut story = Story::default();
            for (id, text) in (0..).zip(texts) {
                story.apply(&passage(id, text)).unwrap();
            }
            story
        };
        let compared = difference(&story(&["a", "a", ""]), &story(&["a"]));
        assert_eq!(
            (compared.first, compared.second),
            (vec!["a".to_string()], vec![])
        );
    }
}
