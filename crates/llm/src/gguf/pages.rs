//! Pages of a mapped file that need not stay in memory.

use memmap2::Mmap;
use std::ops::Range;

/// Lets go of the pages that lie wholly in `bytes`: only a wish, and they come back when read.
#[cfg(unix)]
pub fn release(map: &Mmap, bytes: Range<usize>) {
    const PAGE: usize = 4096;
    // Whole pages alone: those at the ends hold other tensors, too.
    let (first, end) = (bytes.start.next_multiple_of(PAGE), bytes.end / PAGE * PAGE);
    if first < end {
        let advice = memmap2::UncheckedAdvice::DontNeed;
        // SAFETY: a mapped file that is never written to: its pages come back as they were.
        let _ = unsafe { map.unchecked_advise_range(advice, first, end - first) };
    }
}

#[cfg(not(unix))]
pub fn release(_map: &Mmap, _bytes: Range<usize>) {}
