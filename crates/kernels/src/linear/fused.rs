//! Fuses the first two matrix products of a gated feed-forward network: combines them element by
//! element, and quantizes the result for the third product while it is still in a core's own cache.

use std::ops::Range;
use std::sync::MutexGuard;

use super::activations::{Activations, Source};
use super::matmul::{
    Input, StripPair, Write, check, multiply, passes, quantize_input, units, with_scratch,
};
use super::quantize::Target;
use super::{BLOCK, LinearError, Packed, Pool};

/// A function that is called with `a`, `b` and `out`, and computes each `out[i]` from `a[i]` and
/// `b[i]`.
pub type Combine<'a> = &'a (dyn Fn(&[f32], &[f32], &mut [f32]) + Sync);

/// The combination of two products `[m, n]`, quantized and ready to be multiplied by a matrix `[..,
/// n]`.
pub struct FusedPair<'a> {
    pool: &'a Pool,
    scratch: MutexGuard<'a, [Activations; 2]>,
    m: usize,
    n: usize,
}

/// Whether the products of the matrices `halves` can be combined and used as the input of the
/// matrix `down`.
pub fn can_fuse(halves: [&Packed; 2], down: &Packed) -> bool {
    let [a, b] = halves.map(|half| (half.format(), half.rows(), half.cols()));
    a == b && a.1 == down.cols() && !down.format().is_float()
}

/// Computes `combine(x * halves[0]^T, x * halves[1]^T)` and quantizes the result, 32 columns at a
/// time, so that neither product is ever stored in full as floats.
pub fn fused_pair<'a>(
    pool: &'a Pool,
    halves: [&Packed; 2],
    combine: Combine,
    x: Source,
    m: usize,
) -> Result<FusedPair<'a>, LinearError> {
    let [n, other] = halves.map(Packed::rows);
    check("a half", halves[1].cols(), halves[0].cols())?;
    check(
        "the format of a half",
        halves[1].format() as usize,
        halves[0].format() as usize,
    )?;
    check("a half", other, n)?;
    check("a half in whole blocks", n, n / BLOCK * BLOCK)?;
    let mut scratch = pool.scratch();
    let [first, second] = &mut *scratch;
    let input = quantize_input(pool, first, &halves, x, m)?;
    second.reserve(pool, m, n);
    let (target, blocks) = (second.target(), n / BLOCK);
    let units = units(pool).min(blocks);
    pool.run(units, &|unit| {
        for rows in passes(m, input.k) {
            for block in blocks * unit / units..blocks * (unit + 1) / units {
                // SAFETY: shapes match, and this block of columns is the unit's own.
                unsafe { fuse_block(pool, &input, halves, combine, block, &rows, &target) };
            }
        }
    });
    Ok(FusedPair {
        pool,
        scratch,
        m,
        n,
    })
}

/// Computes, combines and quantizes 32 columns of the two products.
///
/// # Safety
/// Nothing else accesses these columns, and shapes match.
unsafe fn fuse_block(
    pool: &Pool,
    input: &Input,
    halves: [&Packed; 2],
    combine: Combine,
    block: usize,
    rows: &Range<usize>,
    target: &Target,
) {
    let [left, right] = halves;
    let strips = block * 2..block * 2 + 2;
    with_scratch(|scratch| {
        let (mine, yours) = scratch.unpacked.split_at_mut(2);
        let [a, b, both] = &mut scratch.sums;
        let left = StripPair::new(pool, left, strips.clone(), rows, mine);
        let right = StripPair::new(pool, right, strips, rows, yours);
        input.each(rows, |row, group| {
            let (cold, numbers) = (row == rows.start, group.rows * BLOCK);
            // SAFETY: guaranteed by the caller.
            unsafe {
                left.multiply(&group, cold, a);
                right.multiply(&group, cold, b);
                let (a, b) = (&a.numbers()[..numbers], &b.numbers()[..numbers]);
                combine(a, b, &mut both.numbers_mut()[..numbers]);
                target.quantize(pool.family(), &both.numbers()[..numbers], row, block);
            }
        });
    });
}

impl FusedPair<'_> {
    /// Multiplies the combined products by the matrix `down`. `out` is `[m, down.rows()]`.
    pub fn times(self, down: &Packed, out: &mut [f32], write: Write) -> Result<(), LinearError> {
        check("a row of the combined products", down.cols(), self.n)?;
        check("an output", out.len(), self.m * down.rows())?;
        let input = Input {
            activations: &self.scratch[1],
            x: Source::Rows(&[]),
            m: self.m,
            k: self.n,
        };
        multiply(self.pool, &input, &[down], &mut [out], write);
        Ok(())
    }

    /// The number of rows of the combined products.
    pub fn rows(&self) -> usize {
        self.m
    }
}
