//! Downloads, verifies and opens the dataset's npm packages.

use super::sets::{EMOJIBASE, ICON_SETS, SCOPE};
use super::{DataError, progress};
use base::progress::Observer;
use hub::npm::{self, NpmError};
use std::path::{Path, PathBuf};

/// A verified package archive.
#[derive(Clone, Debug)]
pub struct Archive {
    pub path: PathBuf,
}

impl Archive {
    /// Reads the file `member` of the package.
    pub fn read(&self, member: &str) -> Result<Vec<u8>, DataError> {
        let damaged = |_| DataError::Damaged(self.path.clone(), member.to_string());
        npm::member(&self.path, member).map_err(damaged)
    }
}

/// A package: its name, version, and the SHA-256 of its archive.
struct Package {
    name: String,
    version: &'static str,
    sha256: &'static str,
}

impl Package {
    fn file(&self) -> String {
        npm::file_name(&self.name, self.version)
    }
}

fn packages() -> Vec<Package> {
    let drawings = ICON_SETS.iter().map(|set| Package {
        name: format!("{SCOPE}/{}", set.package),
        version: set.version,
        sha256: set.sha256,
    });
    let (name, version, sha256) = EMOJIBASE;
    let words = Package {
        name: name.to_string(),
        version,
        sha256,
    };
    drawings.chain([words]).collect()
}

/// Returns the archives of all packages in `folder`, in the order of [`ICON_SETS`], followed by
/// emojibase. Missing archives are downloaded with npm. The SHA-256 of each archive is checked.
pub fn fetch(folder: &Path, observer: &dyn Observer) -> Result<Vec<Archive>, DataError> {
    std::fs::create_dir_all(folder).map_err(|why| DataError::Disk(folder.into(), why))?;
    let packages = packages();
    let mut archives = Vec::new();
    for (number, package) in packages.iter().enumerate() {
        let what = format!("Downloading {}", package.name);
        progress(observer, &what, number, packages.len())?;
        let path = folder.join(package.file());
        if !path.is_file() {
            download(package, folder, observer)?;
        }
        let bytes = std::fs::read(&path).map_err(|why| DataError::Disk(path.clone(), why))?;
        let found = base::hash::sha256(&bytes);
        if found != package.sha256 {
            return Err(DataError::Changed(path, found));
        }
        archives.push(Archive { path });
    }
    Ok(archives)
}

/// Downloads a package's archive with npm.
fn download(package: &Package, folder: &Path, observer: &dyn Observer) -> Result<(), DataError> {
    let packed = npm::pack(&package.name, package.version, folder, observer);
    packed.map(|_| ()).map_err(|why| match why {
        NpmError::Missing => DataError::NoNpm,
        NpmError::Failed(why) => DataError::Npm(package.name.clone(), why),
        NpmError::Cancelled(cancelled) => cancelled.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::progress::Unobserved;
    #[test]
    fn an_archive_that_is_not_the_one_meant_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(packages()[0].file());
        std::fs::write(&path, b"other").unwrap();
        let why = fetch(folder.path(), &Unobserved).unwrap_err();
        assert!(matches!(why, DataError::Changed(at, _) if at == path));
    }
}
