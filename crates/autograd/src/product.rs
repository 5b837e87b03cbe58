//! Multiplies two f32 matrices in bfloat16, and sums the products in f32.

use super::View;
use super::amx;
use super::tiles::{DEPTH, SIDE, Side, Tiles};
use kernels::tile_registers;
use rayon::prelude::*;

/// The maximum depth of a block, chosen so that a block fits a core's second-level cache.
const DEEP: usize = 32 * DEPTH;
/// The number of rows that one call of `amx::add` multiplies, and also the number of columns.
const BOTH: usize = 2 * SIDE;
/// A product with fewer results than this is computed by a single thread.
const FEW: usize = 128 * 128;

/// Computes the dot product of every row with every column, and adds it to `out` `[rows, columns]`.
/// `stride` is the distance between the starts of two rows of `out`, counted in numbers.
///
/// The order of summation depends only on the depth.
///
/// # Safety
///
/// The CPU must satisfy [`super::is_supported`].
pub unsafe fn add(rows: View, columns: View, out: &mut [f32], stride: usize) {
    let (high, depth) = (rows.count, rows.depth);
    for from in (0..depth).step_by(DEEP) {
        let range = (from, depth.min(from + DEEP));
        let width = columns.count;
        // SAFETY: guaranteed by the caller.
        let (rows, columns) = unsafe {
            let rows = Tiles::of(rows, Side::Rows, range);
            (rows, Tiles::of(columns, Side::Columns, range))
        };
        let one = |(at, out): (usize, &mut [f32])| {
            let high = BOTH.min(high - at * BOTH);
            // SAFETY: guaranteed by the caller.
            unsafe { strip((&rows, 2 * at), (&columns, width), out, (high, stride)) };
        };
        match high * width < FEW {
            true => out.chunks_mut(BOTH * stride).enumerate().for_each(one),
            false => out.par_chunks_mut(BOTH * stride).enumerate().for_each(one),
        }
    }
}

/// Computes up to 32 rows of the result.
///
/// # Safety
/// The conditions of [`add`] apply. In addition, nothing else may access these rows of the result.
unsafe fn strip(
    (rows, at): (&Tiles, usize),
    (columns, width): (&Tiles, usize),
    out: &mut [f32],
    (high, stride): (usize, usize),
) {
    let own = [rows.strip(at), rows.strip(at + 1)];
    let mut part = [0f32; BOTH * BOTH];
    // SAFETY: guaranteed by the caller.
    unsafe { amx::begin() };
    for other in (0..columns.strips).step_by(2) {
        let both = [columns.strip(other), columns.strip(other + 1)];
        let first = other * SIDE;
        let wide = BOTH.min(width - first);
        let out = &mut out[first..];
        if high == BOTH && wide == BOTH && out.len() >= (BOTH - 1) * stride + BOTH {
            // SAFETY: the strips have the same depth, and the pointer is to 32 by 32 sums.
            unsafe { amx::add(own, both, rows.steps, out.as_mut_ptr(), 4 * stride) };
            continue;
        }
        for (part, out) in part.chunks_mut(BOTH).zip(out.chunks(stride)).take(high) {
            part[..wide].copy_from_slice(&out[..wide]);
        }
        // SAFETY: as above.
        unsafe { amx::add(own, both, rows.steps, part.as_mut_ptr(), 4 * BOTH) };
        for (part, out) in part.chunks(BOTH).zip(out.chunks_mut(stride)).take(high) {
            out[..wide].copy_from_slice(&part[..wide]);
        }
    }
    // SAFETY: guaranteed by the caller.
    unsafe { tile_registers::release() };
}
