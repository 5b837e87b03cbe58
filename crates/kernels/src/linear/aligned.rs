//! Vectors that are aligned to cache lines, so that no wide load or store crosses the border
//! between two lines.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// Types for which any bit pattern is valid ("plain old data").
pub trait Pod: Copy + Default {}
impl Pod for i8 {}
impl Pod for u16 {}
impl Pod for f32 {}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A vector aligned to a cache line.
pub struct Aligned<N> {
    lines: Vec<Line>,
    len: usize,
    numbers: PhantomData<N>,
}

impl<N> Default for Aligned<N> {
    fn default() -> Self {
        Aligned {
            lines: Vec::new(),
            len: 0,
            numbers: PhantomData,
        }
    }
}

impl<N: Pod> Aligned<N> {
    /// Sets the length to `len`. New elements are zero, or have the values that they had when the
    /// vector was last longer.
    pub fn resize(&mut self, len: usize) {
        let lines = (len * size_of::<N>()).div_ceil(64);
        if self.lines.len() < lines {
            self.lines.resize(lines, Line([0; 64]));
        }
        self.len = len;
    }

    /// The maximum length of the vector without a new allocation.
    pub fn capacity(&self) -> usize {
        self.lines.len() * 64 / size_of::<N>()
    }
}

impl<N: Pod> Deref for Aligned<N> {
    type Target = [N];

    fn deref(&self) -> &[N] {
        // SAFETY: the lines have this many bytes, all initialized, and any bit pattern is a valid
        // N.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<N: Pod> DerefMut for Aligned<N> {
    fn deref_mut(&mut self) -> &mut [N] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_at_a_line_and_keeps_what_it_holds() {
        let mut numbers: Aligned<f32> = Aligned::default();
        for len in [1, 17, 5000] {
            numbers.resize(len);
            assert_eq!((numbers.as_ptr() as usize % 64, numbers.len()), (0, len));
            numbers[len - 1] = len as f32;
        }
        assert_eq!((numbers[0], numbers[16], numbers[1]), (1.0, 17.0, 0.0));
        numbers.resize(2);
        assert_eq!(numbers[..], [1.0, 0.0]);
        assert!(numbers.capacity() >= 5000);
    }
}
