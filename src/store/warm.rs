//! Saves a KV cache next to a session's journal, as `<session>/warm.kv`.
//!
//! The file contains a line of JSON that names the model and build, then the tokens (u32,
//! little-endian), then the KV cache. A saved cache only saves time, so a damaged cache, or a cache
//! from another model or build, is ignored.

use super::{StoreError, journal::Journal};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use story::message::WarmCache;

const FILE: &str = "warm.kv";
/// The maximum size in bytes of a cache file that is loaded.
const LARGEST: u64 = 16 << 30;

#[derive(Serialize, Deserialize)]
struct Header {
    v: u32,
    build: String,
    model_sha256: String,
    tokens: usize,
    bytes: usize,
}

impl Journal {
    /// Saves the KV cache, replacing the previous one. Returns the size of the file in bytes.
    pub fn save_warm_cache(&self, build: &str, warm: &WarmCache) -> Result<u64, StoreError> {
        let header = Header {
            v: 1,
            build: build.to_string(),
            model_sha256: warm.model_sha256.clone(),
            tokens: warm.ids.len(),
            bytes: warm.bytes.len(),
        };
        let (path, draft) = (self.folder().join(FILE), self.folder().join("warm.part"));
        let mut whole = serde_json::to_vec(&header).unwrap_or_default();
        whole.push(b'\n');
        whole.extend(warm.ids.iter().flat_map(|id| id.to_le_bytes()));
        whole.extend(&warm.bytes);
        let _ = fs::remove_file(&draft);
        let written = super::private::open_private(&draft, true)?
            .write_all(&whole)
            .and_then(|()| fs::rename(&draft, &path));
        if let Err(error) = written {
            let _ = fs::remove_file(&draft);
            return Err(StoreError::io("write", &path, error));
        }
        Ok(whole.len() as u64)
    }

    /// Loads the saved KV cache. Returns None if the cache is incomplete or was saved by another
    /// build.
    pub fn load_warm_cache(&self, build: &str) -> Option<WarmCache> {
        let path = self.folder().join(FILE);
        let small = fs::metadata(&path).is_ok_and(|meta| meta.len() <= LARGEST);
        let whole = fs::read(&path).ok().filter(|_| small)?;
        let line = whole.iter().position(|byte| *byte == b'\n')?;
        let header: Header = serde_json::from_slice(&whole[..line]).ok()?;
        let rest = &whole[line + 1..];
        let ids = header.tokens.checked_mul(4)?;
        let fits = header.v == 1 && header.build == build;
        if !fits || rest.len() != ids.checked_add(header.bytes)? {
            return None;
        }
        let (ids, bytes) = rest.split_at(ids);
        let (ids, _) = ids.as_chunks::<4>();
        Some(WarmCache {
            model_sha256: header.model_sha256,
            ids: ids.iter().map(|id| u32::from_le_bytes(*id)).collect(),
            bytes: bytes.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sessions;
    use super::*;

    #[test]
    fn what_was_kept_comes_back_and_what_is_damaged_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Sessions::new(dir.path())
            .create(Some("s"), "", "1")
            .unwrap();
        let warm = WarmCache {
            model_sha256: "ab".to_string(),
            ids: vec![1, 70_000],
            bytes: vec![b'\n', 7, 9],
        };
        assert_eq!(journal.load_warm_cache("1"), None);
        journal.save_warm_cache("1", &warm).unwrap();
        assert_eq!(journal.load_warm_cache("1").as_ref(), Some(&warm));
        assert_eq!(journal.load_warm_cache("2"), None, "of another build");
        let path = dir.path().join("s/warm.kv");
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(journal.load_warm_cache("1"), None, "cut at {cut}");
        }
    }
}
