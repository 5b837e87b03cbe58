//! Downloads npm packages with the installed npm, and extracts files from the packages.
//!
//! npm is used because it finds the registry, the mirrors and the user's settings. This module
//! verifies no checksums; its callers do.

use base::progress::{Cancelled, Observer};
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Why a package could not be downloaded.
#[derive(Debug)]
pub enum NpmError {
    /// npm could not be started, presumably because it is not installed.
    Missing,
    /// npm failed. The text is the last line that npm wrote to standard error.
    Failed(String),
    Cancelled(Cancelled),
}

/// The maximum size of a package member, in bytes.
const LARGEST: u64 = 256 << 20;

/// Returns the file name of a package's archive. The package name in it lacks the `@` of a scope,
/// and has `-` instead of `/`.
pub fn file_name(package: &str, version: &str) -> String {
    let name = package.trim_start_matches('@').replace('/', "-");
    format!("{name}-{version}.tgz")
}

/// Has npm write a package's archive into the folder, and returns the archive's path. The observer
/// may cancel the download.
pub fn pack(
    package: &str,
    version: &str,
    folder: &Path,
    observer: &dyn Observer,
) -> Result<PathBuf, NpmError> {
    let mut child = Command::new("npm")
        .args(["pack", "--silent", "--ignore-scripts"])
        .arg(format!("{package}@{version}"))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|_| NpmError::Missing)?;
    let lost = |why: io::Error| NpmError::Failed(why.to_string());
    loop {
        match child.try_wait().map_err(lost)? {
            Some(status) if status.success() => return Ok(folder.join(file_name(package, version))),
            Some(_) => return Err(NpmError::Failed(last_words(&mut child))),
            None => {}
        }
        if let Err(cancelled) = observer.check() {
            let _ = child.kill();
            let _ = child.wait();
            return Err(NpmError::Cancelled(cancelled));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn last_words(child: &mut Child) -> String {
    let mut said = Vec::new();
    if let Some(pipe) = child.stderr.take() {
        let _ = pipe.take(1 << 16).read_to_end(&mut said);
    }
    let said = String::from_utf8_lossy(&said);
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    last.unwrap_or("it gave no reason")
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect()
}

/// Returns the bytes of a file in the package, or an error if the file is missing or the archive is
/// damaged.
pub fn member(archive: &Path, name: &str) -> io::Result<Vec<u8>> {
    let mut files = tar::Archive::new(GzDecoder::new(File::open(archive)?));
    let wanted = Path::new("package").join(name);
    for entry in files.entries()? {
        let entry = entry?;
        if entry.path()? == wanted && entry.size() <= LARGEST {
            let mut bytes = Vec::new();
            entry.take(LARGEST).read_to_end(&mut bytes)?;
            return Ok(bytes);
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    #[test]
    fn archives_are_named_as_npm_names_them() {
        assert_eq!(
            file_name("@iconify-json/noto", "1.2.9"),
            "iconify-json-noto-1.2.9.tgz"
        );
        assert_eq!(
            file_name("emojibase-data", "17.0.0"),
            "emojibase-data-17.0.0.tgz"
        );
    }

    #[test]
    fn a_member_is_read_and_a_missing_or_cut_off_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tgz");
        let file = File::create(&path).unwrap();
        let mut builder = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(2);
        header.set_mode(0o644);
        header.set_cksum();
        let name = "package/en/data.json";
        builder.append_data(&mut header, name, &b"[]"[..]).unwrap();
        builder.into_inner().unwrap().finish().unwrap();
        assert_eq!(member(&path, "en/data.json").unwrap(), b"[]");
        assert!(member(&path, "icons.json").is_err());
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(member(&path, "en/data.json").is_err());
    }
}
