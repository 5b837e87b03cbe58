//! Rewrites a session whose journal was removed, moved, replaced or cut while it was open.
//!
//! The program still has every record, so the new journal is complete. Any file that took the
//! journal's place is left as it is.

use super::held::{files_in, is_card, is_picture};
use super::names::numbered;
use super::place::{Misplaced, PICTURES, whereabouts};
use super::private::{make_private_dir, sync_dir};
use super::{Journal, StoreError};
use std::fs;
use std::path::{Path, PathBuf};

impl Journal {
    /// Writes all records to a new journal. The session retains its name if the name is free, and
    /// otherwise gets a numbered name. Returns the new journal and a sentence for the writer.
    pub(super) fn rescue(&self, why: &Misplaced) -> Result<(Journal, String), StoreError> {
        let root = self.folder().parent().unwrap_or(Path::new("."));
        let moved = whereabouts(self.file(), root).filter(|folder| folder != self.folder());
        let begun = match why {
            Misplaced::Gone => self.begin_again(root),
            Misplaced::Replaced | Misplaced::Twin | Misplaced::Cut(_) | Misplaced::Changed => {
                self.begin_beside(root)
            }
        };
        let rescued = begun.map_err(|source| StoreError::Lost {
            what: self.what_happened(why, moved.as_deref()),
            source: Box::new(source),
        })?;
        let sources = moved.iter().map(PathBuf::as_path).chain([self.folder()]);
        sources
            .filter(|from| *from != rescued.folder())
            .for_each(|from| bring_files(from, rescued.folder()));
        let path = rescued.path();
        let path = path.display();
        let what = self.what_happened(why, moved.as_deref());
        let said = match rescued.name() == self.name() {
            true => format!("{what}; the whole story was written to a new file, {path}"),
            false => format!(
                "{what}; the whole story was written to a new session, {}, in {path}, and the other file was left as it is",
                rescued.name()
            ),
        };
        Ok((rescued, said))
    }

    /// Creates the new journal under the session's name. If the name has been taken meanwhile,
    /// creates a session with a numbered name.
    fn begin_again(&self, root: &Path) -> Result<Journal, StoreError> {
        let begun = match self.folder().is_dir() {
            true => Journal::begin(self.folder(), self.name(), self.written().to_vec()),
            false => Journal::create_with(root, self.name(), self.written().to_vec()),
        };
        match begun {
            Err(StoreError::Taken(_)) => self.begin_beside(root),
            begun => begun,
        }
    }

    fn begin_beside(&self, root: &Path) -> Result<Journal, StoreError> {
        let mut number = 2;
        loop {
            let name = numbered(self.name(), number);
            match Journal::create_with(root, &name, self.written().to_vec()) {
                Err(StoreError::Taken(_)) => number += 1,
                begun => return begun,
            }
        }
    }

    fn what_happened(&self, why: &Misplaced, moved: Option<&Path>) -> String {
        let name = self.name();
        match (why, moved) {
            (Misplaced::Gone, Some(to)) => format!(
                "The folder of the session {name} was moved to {} while it was open",
                to.display()
            ),
            (Misplaced::Gone, None) => {
                format!("The journal of the session {name} was removed while it was open")
            }
            (Misplaced::Replaced | Misplaced::Twin, _) => format!(
                "The journal of the session {name} was replaced by another file while it was open, perhaps by a sync program"
            ),
            (Misplaced::Cut(bytes), _) => format!(
                "The journal of the session {name} was cut to {bytes} bytes by another program while it was open"
            ),
            (Misplaced::Changed, _) => format!(
                "The journal of the session {name} was changed by another program while it was open"
            ),
        }
    }
}

/// Copies a session's pictures and imported cards from one folder to another. Skips files that are
/// missing or that the other folder already contains.
pub(super) fn bring_files(from: &Path, to: &Path) {
    let (old, new) = (from.join(PICTURES), to.join(PICTURES));
    if old.is_dir() && make_private_dir(&new, true).is_ok() {
        copy_missing(&files_in(&old, is_picture), &new);
    }
    copy_missing(&files_in(from, is_card), to);
    sync_dir(to);
}

fn copy_missing(files: &[PathBuf], to: &Path) {
    for file in files {
        let Some(target) = file.file_name().map(|name| to.join(name)) else {
            continue;
        };
        // `sessions check` reports files that could not be copied.
        if !target.exists() && fs::copy(file, &target).is_err() {
            let _ = fs::remove_file(&target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Recovered, Sessions};
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use story::record::{Change, HeadMove, Step, StepCount, StepKind};
    use story::{Node, Record, Settings};

    fn passage(id: u64, text: &str) -> [Record; 2] {
        let node = Node {
            id,
            parent: id.checked_sub(1),
            text: text.to_string(),
            ..Node::default()
        };
        let (to, why) = (Some(id), StepKind::Write);
        [Record::Node(node), Record::Head(HeadMove { to, why })]
    }

    struct Desk {
        dir: tempfile::TempDir,
        sessions: Sessions,
        journal: Journal,
    }

    impl Desk {
        /// Creates a session with a passage, an undone step, changed settings and a picture file.
        fn new() -> Desk {
            let dir = tempfile::tempdir().unwrap();
            let sessions = Sessions::new(dir.path().join("sessions"));
            let mut journal = sessions.create(Some("tide"), "", "1").unwrap();
            let settings = Settings {
                system: "Slowly.".to_string(),
                ..Settings::default()
            };
            journal.append(&[Record::Settings(settings)]).unwrap();
            journal.append(&passage(0, "The tide came in.")).unwrap();
            let mark = Change::Mark {
                name: "shore".to_string(),
                node: Some(0),
            };
            let (why, changes) = (StepKind::Mark, vec![mark]);
            journal
                .append(&[Record::Step(Step { why, changes })])
                .unwrap();
            journal
                .append(&[Record::Undo(StepCount { steps: 1 })])
                .unwrap();
            journal.sync().unwrap();
            journal.save_picture(7, b"drawn").unwrap();
            Desk {
                dir,
                sessions,
                journal,
            }
        }

        fn path(&self, of: &str) -> PathBuf {
            self.sessions.root().join(of)
        }

        /// Appends a passage, and returns the notices about the file.
        fn writes_on(&mut self) -> String {
            let next = passage(1, "It took the boat.");
            self.journal.append(&next).unwrap();
            self.journal.sync().unwrap();
            self.journal.take_news().join("\n")
        }

        /// Checks that the session `name` is complete and locked, and that the open journal belongs
        /// to it.
        fn is_whole(&self, name: &str) {
            assert_eq!(self.journal.name(), name);
            assert_eq!(self.journal.path(), self.path(name).join("journal.jsonl"));
            let found = self.sessions.read(name).unwrap();
            assert_eq!(text(&found), "The tide came in.It took the boat.");
            assert_eq!(found.story.steps(), (2, 0));
            assert_eq!(found.settings.unwrap().system, "Slowly.");
            assert_eq!((found.torn, found.read_only_reason), (0, None));
            let busy = self.sessions.open(name).unwrap_err();
            assert!(matches!(busy, StoreError::Busy(_)), "{busy}");
        }
    }

    fn text(found: &Recovered) -> String {
        let path = found.story.path();
        path.iter().map(|passage| passage.text).collect()
    }

    #[test]
    fn a_folder_that_was_removed_comes_again() {
        let mut desk = Desk::new();
        fs::remove_dir_all(desk.path("tide")).unwrap();
        let said = desk.writes_on();
        assert!(said.contains("was removed"), "{said}");
        assert!(said.contains(&desk.journal.path().display().to_string()));
        desk.is_whole("tide");
        let picture = desk.path("tide/pictures/7.png");
        assert_eq!(fs::read(&picture).unwrap(), b"drawn");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&desk.path("tide")), 0o700);
        assert_eq!(mode(&desk.journal.path()), 0o600);
        assert_eq!(mode(&picture), 0o600);
    }

    #[test]
    fn pictures_of_an_opened_session_come_again_each_time_its_folder_is_removed() {
        let mut desk = Desk::new();
        fs::write(desk.path("tide/card.png"), b"a face").unwrap();
        drop(desk.journal);
        desk.journal = desk.sessions.open("tide").unwrap().0;
        for id in [8, 9] {
            desk.journal.save_picture(id, &[id as u8]).unwrap();
            fs::remove_dir_all(desk.path("tide")).unwrap();
            desk.journal.ensure_place().unwrap();
        }
        let there = |name: &str| fs::read(desk.path("tide").join(name)).unwrap();
        assert_eq!(there("pictures/7.png"), b"drawn");
        assert_eq!(there("pictures/8.png"), [8]);
        assert_eq!(there("pictures/9.png"), [9]);
        assert_eq!(there("card.png"), b"a face");
    }

    #[test]
    fn a_journal_removed_from_its_folder_comes_again_beside_its_pictures() {
        let mut desk = Desk::new();
        fs::remove_file(desk.journal.path()).unwrap();
        let said = desk.writes_on();
        assert!(said.contains("was removed"), "{said}");
        desk.is_whole("tide");
        assert!(desk.path("tide/pictures/7.png").is_file());
    }

    #[test]
    fn a_folder_that_was_moved_leaves_a_whole_session_and_its_pictures() {
        let mut desk = Desk::new();
        fs::rename(desk.path("tide"), desk.path("moved")).unwrap();
        let before = fs::read(desk.path("moved/journal.jsonl")).unwrap();
        let said = desk.writes_on();
        assert!(said.contains("was moved to"), "{said}");
        desk.is_whole("tide");
        assert_eq!(fs::read(desk.path("moved/journal.jsonl")).unwrap(), before);
        assert_eq!(
            fs::read(desk.path("tide/pictures/7.png")).unwrap(),
            b"drawn"
        );
        // The moved session is no longer locked.
        drop(desk.sessions.open("moved").unwrap());
    }

    #[test]
    fn the_whole_sessions_folder_gone_comes_again() {
        let mut desk = Desk::new();
        fs::remove_dir_all(desk.sessions.root()).unwrap();
        desk.writes_on();
        desk.is_whole("tide");
    }

    #[test]
    fn what_takes_the_place_of_a_journal_is_left_alone() {
        type Change = fn(&Path, &[u8]);
        let replace: fn(&Path, &[u8]) = |path, bytes| {
            let other = path.with_extension("other");
            fs::write(&other, bytes).unwrap();
            fs::rename(&other, path).unwrap();
        };
        let older: Change = |path, whole| {
            let other = path.with_extension("other");
            fs::write(&other, &whole[..whole.len() / 2]).unwrap();
            fs::rename(&other, path).unwrap();
        };
        let nothing: Change = |path, _| fs::write(path, b"").unwrap();
        let shorter: Change = |path, whole| fs::write(path, &whole[..whole.len() - 9]).unwrap();
        let longer: Change = |path, whole| fs::write(path, [whole, b"{}\n"].concat()).unwrap();
        let in_place: Change = |path, whole| fs::write(path, vec![b'x'; whole.len()]).unwrap();
        let folder: Change = |path, _| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        };
        let cases: [(&str, Change); 6] = [
            ("older", older),
            ("nothing", nothing),
            ("shorter", shorter),
            ("longer", longer),
            ("in place", in_place),
            ("folder", folder),
        ];
        for (case, change) in cases {
            let mut desk = Desk::new();
            let path = desk.journal.path();
            // Lets the file system's clock advance.
            std::thread::sleep(std::time::Duration::from_millis(20));
            change(&path, &fs::read(&path).unwrap());
            let there = fs::read(&path).ok();
            let said = desk.writes_on();
            assert!(
                said.contains("a new session, tide-2, in "),
                "{case}: {said}"
            );
            desk.is_whole("tide-2");
            assert_eq!(fs::read(&path).ok(), there, "{case}");
            let picture = fs::read(desk.path("tide-2/pictures/7.png"));
            assert_eq!(picture.unwrap(), b"drawn", "{case}");
        }
        let mut desk = Desk::new();
        let path = desk.journal.path();
        let len = fs::metadata(&path).unwrap().len() as usize;
        replace(&path, &vec![b'x'; len]);
        assert!(desk.writes_on().contains("replaced by another file"));
        desk.is_whole("tide-2");
        assert_eq!(fs::read(&path).unwrap(), vec![b'x'; len]);
    }

    #[test]
    fn a_file_with_the_same_bytes_is_written_on() {
        let mut desk = Desk::new();
        let path = desk.journal.path();
        let other = path.with_extension("other");
        fs::copy(&path, &other).unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(desk.writes_on(), "");
        desk.is_whole("tide");
    }

    #[test]
    fn a_touched_file_is_no_other() {
        let mut desk = Desk::new();
        let file = fs::File::options().append(true).open(desk.journal.path());
        let then = std::time::SystemTime::UNIX_EPOCH;
        file.unwrap().set_modified(then).unwrap();
        assert_eq!(desk.writes_on(), "");
        desk.is_whole("tide");
    }

    #[test]
    fn taken_names_are_passed_over() {
        let mut desk = Desk::new();
        drop(desk.sessions.create(Some("tide-2"), "", "1").unwrap());
        fs::write(desk.journal.path(), b"").unwrap();
        desk.writes_on();
        desk.is_whole("tide-3");
    }

    #[test]
    fn what_cannot_be_written_anew_is_an_error_and_stays_in_memory() {
        let mut desk = Desk::new();
        // Not even root can create a folder below a file.
        fs::rename(desk.sessions.root(), desk.dir.path().join("away")).unwrap();
        fs::write(desk.sessions.root(), b"a file").unwrap();
        let next = passage(1, "It took the boat.");
        for _ in 0..2 {
            let lost = desk.journal.append(&next).unwrap_err();
            assert!(matches!(lost, StoreError::Lost { .. }), "{lost}");
            assert!(desk.journal.ensure_place().is_err());
        }
        fs::remove_file(desk.sessions.root()).unwrap();
        let said = desk.writes_on();
        assert!(said.contains("was moved to"), "{said}");
        desk.is_whole("tide");
    }
}
