//! The picture file that a script names for a comparison. It is a golden: it can be missing, and a
//! new picture can take its place.

use super::{Bound, Finding, NewPicture, Observed};
use crate::golden::Goldens;
use crate::measure::picture;
use base::untrusted::clean_key;
use std::fmt;
use std::path::{Component, Path, PathBuf};

/// A picture file with which drawn pictures are compared.
#[derive(Clone)]
pub struct PictureFile {
    /// The name of the file, as written in the script.
    name: String,
    path: PathBuf,
    /// The perceptual hash of the file's picture; None if the file is missing.
    hash: Option<u64>,
}

// The folder of the file is left out, because the digest of a case is the same in every folder.
impl fmt::Debug for PictureFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PictureFile({:?}, {:?})", self.name, self.hash)
    }
}

impl PictureFile {
    /// Returns the picture file called `name` in `folder`. `hash` is the perceptual hash of its
    /// picture, or None if the file is missing.
    pub(super) fn new(name: &str, folder: &Path, hash: Option<u64>) -> PictureFile {
        PictureFile {
            name: name.to_string(),
            path: folder.join(name),
            hash,
        }
    }

    /// Whether illumine may write a file with this name. It must be a PNG file in the script's
    /// folder or in one of its subfolders.
    pub(super) fn may_be_written(name: &str) -> bool {
        let path = Path::new(name);
        let inside = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
        let png = |end: &std::ffi::OsStr| end.eq_ignore_ascii_case("png");
        path.components().all(inside) && path.extension().is_some_and(png)
    }

    pub(super) fn is_missing(&self) -> bool {
        self.hash.is_none()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the number of bits in which the perceptual hash of the picture in `bytes` differs from
    /// the hash of the file.
    pub(super) fn distance(&self, bytes: &[u8]) -> Result<f64, String> {
        let path = clean_key(&self.path.to_string_lossy());
        let hash = self
            .hash
            .ok_or_else(|| format!("There is no {path} yet; --update-golden writes it."))?;
        let hash_of_drawn = picture::perceptual_hash(&picture::decode(bytes)?);
        Ok(f64::from(picture::distance(hash_of_drawn, hash)))
    }

    /// Completes the finding of a comparison. A finding that passed is returned unchanged, and so
    /// is one for a file that is not a golden. Otherwise, if goldens are being updated, writes the
    /// drawn picture to the file and returns a finding that passed; if not, adds the drawn picture
    /// to the finding.
    pub(super) fn settle(
        &self,
        finding: Finding,
        bound: Bound,
        seen: &Observed,
        goldens: &Goldens,
    ) -> Finding {
        let Some(drawn) = seen.pictures.last() else {
            return finding;
        };
        // A picture that is expected to differ is no golden.
        let golden = Self::may_be_written(&self.name) && bound.allows(0.0);
        if finding.passed || !golden {
            return finding;
        }
        let new = NewPicture {
            name: self.name.clone(),
            path: self.path.clone(),
            bytes: drawn.clone(),
        };
        if !goldens.update() {
            return Finding {
                picture: Some(new),
                ..finding
            };
        }
        match new.write() {
            Ok(()) => Finding {
                remark: Some(format!("wrote {}", clean_key(&self.path.to_string_lossy()))),
                ..Finding::passed()
            },
            Err(why) => Finding::failed(format!("{why}.")),
        }
    }
}
