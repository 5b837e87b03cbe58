//! Stores a session's pictures as `<session>/pictures/<number>.png`. Each file is complete on disk
//! before the journal mentions the picture.

use super::place::PICTURES;
use super::private::{make_private_dir, open_private, sync_dir};
use super::{Journal, Sessions, StoreError};
use base::hash::sha256;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use story::picture::Picture;
use story::{NodeId, Story};

/// The path of a picture's file in a session's folder.
pub fn path(session: &Path, id: NodeId) -> PathBuf {
    session.join(PICTURES).join(Picture::file_name(id))
}

impl Journal {
    /// Saves a picture's file. Returns once the file is safely on disk, so that a record written
    /// afterwards never names a missing file.
    pub fn save_picture(&mut self, id: NodeId, bytes: &[u8]) -> Result<(), StoreError> {
        self.writable()?;
        let path = path(self.folder(), id);
        let folder = self.folder().join(PICTURES);
        if !folder.is_dir() {
            make_private_dir(&folder, true)?;
            sync_dir(self.folder());
        }
        // A file of this name without a record was left by a crash.
        let draft = path.with_extension("part");
        let _ = fs::remove_file(&draft);
        let mut file = open_private(&draft, true)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        drop(file);
        if let Err(error) = written.and_then(|()| fs::rename(&draft, &path)) {
            let _ = fs::remove_file(&draft);
            return Err(StoreError::io("write", &path, error));
        }
        sync_dir(&folder);
        self.hold_open(&path);
        Ok(())
    }
}

impl Sessions {
    /// Checks the picture files of a story. Returns one sentence for each file that is missing,
    /// unreadable or changed.
    pub fn picture_faults(&self, name: &str, story: &Story) -> Result<Vec<String>, StoreError> {
        let folder = self.folder(name)?;
        let fault = |id: NodeId, picture: &Picture| {
            let file = format!("{PICTURES}/{}", Picture::file_name(id));
            match fs::read(path(&folder, id)) {
                Ok(bytes) if sha256(&bytes) == picture.sha256 => None,
                Ok(_) => Some(format!(
                    "picture #{id}: {file} was changed or damaged after it was drawn"
                )),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    Some(format!("picture #{id}: {file} is missing"))
                }
                Err(error) => Some(format!("picture #{id}: cannot read {file} ({error})")),
            }
        };
        let pictures = story.nodes().iter();
        let pictures = pictures.filter_map(|node| Some((node.id, node.picture.as_deref()?)));
        Ok(pictures.filter_map(|(id, it)| fault(id, it)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_picture_is_whole_private_and_where_its_number_says() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(dir.path());
        let mut journal = sessions.create(Some("s"), "", "1").unwrap();
        journal.save_picture(7, b"first").unwrap();
        journal.save_picture(7, b"second").unwrap();
        let path = dir.path().join("s/pictures/7.png");
        assert_eq!(fs::read(&path).unwrap(), b"second");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let others = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(others, 1, "nothing half written stays");
    }
}
