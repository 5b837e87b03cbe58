//! Memory for packed weights. It consists of a few large pieces, for which the operating system may
//! use huge pages.
//!
//! All weights are read once per token, and translating their addresses takes time. Huge pages
//! reduce this time. A single matrix is often smaller than a huge page, but a piece with many
//! matrices is larger.

use std::sync::Arc;

use memmap2::{MmapMut, MmapRaw};

use super::LinearError;

const HUGE_PAGE: usize = 2 << 20;
const CHUNK: usize = 32 << 20;
/// The size of a cache line, and of the widest load, in bytes.
pub(super) const ALIGN: usize = 64;

/// Allocates memory for weights. A piece of memory is freed when no weights in it are left.
#[derive(Default)]
pub struct Arena {
    chunk: Option<Arc<MmapRaw>>,
    used: usize,
}

/// A part of an arena that belongs to one matrix. It is aligned to a cache line, and zeroed when
/// new.
pub(super) struct Region {
    chunk: Arc<MmapRaw>,
    start: usize,
    len: usize,
}

impl Arena {
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn take(&mut self, len: usize) -> Result<Region, LinearError> {
        if len > CHUNK / 2 {
            let chunk = map(len)?;
            return Ok(Region {
                chunk,
                start: 0,
                len,
            });
        }
        let chunk = match self.chunk.take() {
            Some(chunk) if self.used + len <= chunk.len() => chunk,
            _ => {
                self.used = 0;
                map(CHUNK)?
            }
        };
        let start = self.used;
        self.used = (start + len).next_multiple_of(ALIGN);
        self.chunk = Some(Arc::clone(&chunk));
        Ok(Region { chunk, start, len })
    }
}

fn map(len: usize) -> Result<Arc<MmapRaw>, LinearError> {
    let bytes = len.max(1).next_multiple_of(HUGE_PAGE);
    let map = MmapMut::map_anon(bytes).map_err(|source| LinearError::Memory { bytes, source })?;
    // This is only advice: a system without huge pages uses small ones.
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    Ok(Arc::new(MmapRaw::from(map)))
}

impl Region {
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: `take` gave this range of the mapping to no other region.
        unsafe { std::slice::from_raw_parts(self.chunk.as_ptr().add(self.start), self.len) }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: `take` gave this range to no other region, and this one is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.chunk.as_mut_ptr().add(self.start), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_aligned_zeroed_and_apart() {
        let mut arena = Arena::new();
        let mut regions: Vec<Region> = [1, 63, 64, 1000, CHUNK, CHUNK / 2, CHUNK / 2, 5]
            .map(|n| arena.take(n).unwrap())
            .into();
        for (i, region) in regions.iter_mut().enumerate() {
            assert_eq!(region.bytes().as_ptr() as usize % ALIGN, 0);
            assert!(region.bytes().iter().all(|&b| b == 0));
            region.bytes_mut().fill(i as u8 + 1);
        }
        drop(arena);
        for (i, region) in regions.iter().enumerate() {
            assert!(region.bytes().iter().all(|&b| b == i as u8 + 1));
        }
    }
}
