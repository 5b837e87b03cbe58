//! Daily backups. A backup, `<session>/backups/YYYY-MM-DD.jsonl`, is an unchanged copy of the
//! journal, made before the first change of that day.

use super::place::FILE;
use super::private::{make_private_dir, open_private};
use super::rescue::bring_files;
use super::{Journal, Sessions, StoreError};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

const FOLDER: &str = "backups";
const ENDING: &str = ".jsonl";

/// A backup of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The day of the backup, in the form YYYY-MM-DD.
    pub date: String,
    pub bytes: u64,
    path: PathBuf,
}

impl Journal {
    /// Makes the backup for the day `date`, unless it exists already or the journal has not changed
    /// since the last backup. Then removes the oldest backups, so that at most `keep` remain.
    pub fn back_up(&self, date: &str, keep: usize) -> Result<(), StoreError> {
        if keep == 0 || self.read_only().is_some() || !is_date(date) {
            return Ok(());
        }
        let folder = self.folder().join(FOLDER);
        let known = listed(&folder);
        let same = |last: &&Backup| last.date == date || last.bytes == self.written().len() as u64;
        if known.last().filter(same).is_some() {
            return Ok(());
        }
        make_private_dir(&folder, true)?;
        let path = folder.join(format!("{date}{ENDING}"));
        let draft = path.with_extension("part");
        let _ = fs::remove_file(&draft);
        // Not synced: the journal is synced, and the writer should not wait for a second copy.
        let written = open_private(&draft, true)?
            .write_all(self.written())
            .and_then(|()| fs::rename(&draft, &path));
        if let Err(error) = written {
            let _ = fs::remove_file(&draft);
            return Err(StoreError::io("write", &path, error));
        }
        let all = listed(&folder);
        for old in &all[..all.len().saturating_sub(keep)] {
            let _ = fs::remove_file(&old.path);
        }
        Ok(())
    }
}

impl Sessions {
    /// The backups of a session, oldest first.
    pub fn backups(&self, name: &str) -> Result<Vec<Backup>, StoreError> {
        let folder = self.folder(name)?;
        match folder.join(FILE).exists() || folder.join(FOLDER).is_dir() {
            true => Ok(listed(&folder.join(FOLDER))),
            false => Err(StoreError::Unknown(name.to_string())),
        }
    }

    /// Creates a session from a backup, including the pictures. The original session does not
    /// change.
    pub fn restore(&self, name: &str, date: &str, to: Option<&str>) -> Result<Journal, StoreError> {
        let backups = self.backups(name)?;
        let backup = backups.iter().find(|backup| backup.date == date);
        let backup = backup.ok_or_else(|| StoreError::NoBackup {
            name: name.to_string(),
            date: base::untrusted::clean_key(date),
        })?;
        let bytes = fs::read(&backup.path);
        let bytes = bytes.map_err(|error| StoreError::io("read", &backup.path, error))?;
        let journal = match to {
            Some(to) => Journal::create_with(self.root(), &self.new_name(to)?, bytes)?,
            None => self.create_copy(&format!("{}-{date}", self.resolve(name)?), &bytes)?,
        };
        bring_files(&self.folder(name)?, journal.folder());
        Ok(journal)
    }
}

/// The backups in a folder, oldest first.
fn listed(folder: &Path) -> Vec<Backup> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let backup = |path: PathBuf| {
        let name = path.file_name()?.to_str()?;
        let date = name.strip_suffix(ENDING).filter(|date| is_date(date))?;
        let date = date.to_string();
        let bytes = fs::metadata(&path).ok()?.len();
        Some(Backup { date, bytes, path })
    };
    let mut found: Vec<Backup> = entries.filter_map(|entry| backup(entry.path())).collect();
    found.sort_by(|a, b| a.date.cmp(&b.date));
    found
}

/// Whether `text` has the form YYYY-MM-DD.
fn is_date(text: &str) -> bool {
    let form = |(at, byte): (usize, u8)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    text.len() == 10 && text.bytes().enumerate().all(form)
}

#[cfg(test)]
mod tests {
    use super::*;
    use story::{Node, Record};

    fn passage(id: u64) -> Record {
        Record::Node(Node {
            id,
            parent: id.checked_sub(1),
            text: format!("Night {id}. "),
            ..Node::default()
        })
    }

    #[test]
    fn each_day_has_a_copy_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(dir.path());
        let mut journal = sessions.create(Some("s"), "", "1").unwrap();
        for day in 0..5 {
            journal.append(&[passage(day)]).unwrap();
            journal
                .back_up(&format!("2026-11-0{}", day + 1), 3)
                .unwrap();
            // The first backup of the day stays.
            let now = journal.written().len();
            journal
                .append(&[Record::Undo(story::record::StepCount { steps: 0 })])
                .unwrap();
            journal
                .back_up(&format!("2026-11-0{}", day + 1), 3)
                .unwrap();
            let last = sessions.backups("s").unwrap().pop().unwrap();
            assert_eq!(last.bytes, now as u64);
        }
        let dates = |name: &str| -> Vec<String> {
            let all = sessions.backups(name).unwrap();
            all.into_iter().map(|backup| backup.date).collect()
        };
        assert_eq!(dates("s"), ["2026-11-03", "2026-11-04", "2026-11-05"]);
        journal.back_up("2026-11-06", 0).unwrap();
        assert_eq!(dates("s").len(), 3, "none are wanted");
        let restored = sessions.restore("s", "2026-11-04", None).unwrap();
        assert_eq!(restored.name(), "s-2026-11-04");
        let story = sessions.read(restored.name()).unwrap().story;
        assert_eq!(story.nodes().len(), 4);
        assert_eq!(sessions.read("s").unwrap().story.nodes().len(), 5);
        let named = sessions.restore("s", "2026-11-04", Some("old")).unwrap();
        assert_eq!(named.name(), "old");
        let unknown = sessions.restore("s", "2026-10-01", None).unwrap_err();
        assert!(
            unknown.to_string().contains("sessions restore s"),
            "{unknown}"
        );
    }

    #[test]
    fn a_session_that_did_not_change_needs_no_other_copy() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(dir.path());
        let journal = sessions.create(Some("s"), "", "1").unwrap();
        journal.back_up("2026-11-01", 2).unwrap();
        journal.back_up("2026-11-02", 2).unwrap();
        assert_eq!(sessions.backups("s").unwrap().len(), 1);
        assert!(matches!(sessions.backups("t"), Err(StoreError::Unknown(_))));
    }
}
