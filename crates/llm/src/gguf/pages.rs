//! Releases memory pages of a mapped file.

use memmap2::Mmap;
use std::ops::Range;

/// Advises the system to evict the memory pages that lie entirely within the range `bytes`. The
/// system loads the pages again when they are read.
#[cfg(unix)]
pub fn release(map: &Mmap, bytes: Range<usize>) {
    const PAGE: usize = 4096;
    // Only whole pages: a partial page at either end also holds other tensors.
    let (first, end) = (bytes.start.next_multiple_of(PAGE), bytes.end / PAGE * PAGE);
    if first < end {
        let advice = memmap2::UncheckedAdvice::DontNeed;
        // SAFETY: the mapped file is never written to, so evicted pages are reloaded unchanged.
        let _ = unsafe { map.unchecked_advise_range(advice, first, end - first) };
    }
}

#[cfg(not(unix))]
pub fn release(_map: &Mmap, _bytes: Range<usize>) {}
