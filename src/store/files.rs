//! Writes files for other programs. Each file is written completely or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The reason why a file was not written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error(
        "{0} already exists; choose another name, or add ! at the end of the line to overwrite it"
    )]
    Taken(PathBuf),
    #[error("The disk is full: {0} was not written; free some space and try again")]
    Full(PathBuf),
    #[error("Cannot write {path}: {source}; choose a file in a writable folder")]
    Io { path: PathBuf, source: io::Error },
}

/// The maximum number of symbolic links to follow, which is also Linux's limit. A longer chain is
/// treated as a loop.
const MAX_LINKS: usize = 40;

/// Writes a file. Replaces an existing file only if `over` is set.
///
/// If `path` is a symbolic link, the link is kept and its target is written. A replaced file keeps
/// its permissions.
pub fn write_file(path: &Path, bytes: &[u8], over: bool) -> Result<(), FileError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::StorageFull => FileError::Full(path.to_path_buf()),
        _ => FileError::Io {
            path: path.to_path_buf(),
            source,
        },
    };
    // A dangling link also counts as existing.
    if fs::symlink_metadata(path).is_ok() && !over {
        return Err(FileError::Taken(path.to_path_buf()));
    }
    let target = follow_links(path).map_err(failed)?;
    let old = fs::metadata(&target).ok();
    // First writes a complete file next to it, so that a full disk does not leave half a file.
    let mut name = target.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    let part = target.with_file_name(name);
    let written = write_part(&part, bytes, old.as_ref());
    let placed = written.and_then(|()| match old.as_ref().is_some_and(has_other_names) {
        true => write_in_place(&target, bytes).and_then(|()| fs::remove_file(&part)),
        false => fs::rename(&part, &target),
    });
    placed.map_err(|source| {
        let _ = fs::remove_file(&part);
        failed(source)
    })
}

/// The path to which a chain of symbolic links leads. The path need not exist.
fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut at = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&at) {
            Ok(to) => at = at.parent().unwrap_or(Path::new("")).join(to),
            Err(_) => return Ok(at),
        }
    }
    Err(io::Error::other("too many links lead to each other"))
}

/// Writes a new file that will replace another file. `old` is the metadata of that other file; the
/// new file gets the same permissions.
fn write_part(part: &Path, bytes: &[u8], old: Option<&fs::Metadata>) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(part)?;
    file.write_all(bytes)?;
    if let Some(old) = old {
        file.set_permissions(old.permissions())?;
    }
    file.sync_all()
}

/// Whether a file has several names (hard links). Such a file must be written in place: if a new
/// file were renamed to one of the names, the other names would still refer to the old file.
fn has_other_names(file: &fs::Metadata) -> bool {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::nlink(file) > 1;
    #[cfg(not(unix))]
    false
}

fn write_in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).truncate(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Returns an unused path in `folder`: the first of `NAME.ENDING`, `NAME-2.ENDING`, … that does not
/// exist yet.
pub fn free_path(folder: &Path, name: &str, ending: &str) -> PathBuf {
    let first = std::iter::once(format!("{name}.{ending}"));
    let others = (2..).map(|n| format!("{name}-{n}.{ending}"));
    let mut paths = first.chain(others).map(|name| folder.join(name));
    paths.find(|path| !path.exists()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_link_stays_and_its_file_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("real"), "old").unwrap();
        symlink("real", at("link")).unwrap();
        symlink(at("link"), at("chain")).unwrap();
        symlink("none", at("dangling")).unwrap();
        for name in ["link", "chain", "dangling"] {
            let refused = write_file(&at(name), b"new", false);
            assert!(matches!(refused, Err(FileError::Taken(_))), "{name}");
            write_file(&at(name), name.as_bytes(), true).unwrap();
            assert!(fs::symlink_metadata(at(name)).unwrap().is_symlink());
            assert_eq!(read(&at(name)), name);
        }
        assert_eq!(
            (read(&at("real")), read(&at("none"))),
            ("chain".into(), "dangling".into())
        );
        symlink("b", at("a")).unwrap();
        symlink("a", at("b")).unwrap();
        assert!(write_file(&at("a"), b"new", true).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 7);
    }

    #[test]
    fn permissions_and_other_names_of_a_file_stay() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("one"), "old").unwrap();
        fs::set_permissions(at("one"), fs::Permissions::from_mode(0o640)).unwrap();
        write_file(&at("one"), b"new", true).unwrap();
        assert_eq!(fs::metadata(at("one")).unwrap().mode() & 0o777, 0o640);
        fs::hard_link(at("one"), at("two")).unwrap();
        write_file(&at("two"), b"both", true).unwrap();
        assert_eq!(
            (read(&at("one")), read(&at("two"))),
            ("both".into(), "both".into())
        );
        write_file(&at("three"), b"own", false).unwrap();
        assert_eq!(fs::metadata(at("three")).unwrap().mode() & 0o777, 0o600);
    }
}
