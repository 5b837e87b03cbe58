//! Groups of input rows: a kernel multiplies up to 16 rows of quantized input together. This module
//! also contains the rule by which 32 values are quantized.

use super::BLOCK;

/// The maximum number of rows in a group.
pub(super) const GROUP: usize = 16;

/// Rows of input that a kernel multiplies together. Every array except `values` is stored as
/// `[blocks, rows, ..]`.
#[derive(Clone, Copy)]
pub(super) struct Group<'a> {
    /// The number of rows: 1, 2, 4, 8 or 16, or 32 for two full groups of 16.
    pub rows: usize,
    pub codes: &'a [i8],
    pub scales: &'a [f32],
    /// For each block and row, the block's scale times the sum of the block's codes.
    pub sums: &'a [f32],
    /// For each block and row, the sum of the first 16 codes and the sum of the last 16 codes.
    pub totals: &'a [[i32; 2]],
    /// The input values before quantization, `[rows, k]`.
    pub values: &'a [f32],
}

/// Input rows to quantize, and the slices to which their codes, scales and sums are written.
pub(super) struct Part<'a> {
    /// The number of rows in a full group.
    pub most: usize,
    pub values: &'a [f32],
    pub codes: &'a mut [i8],
    pub scales: &'a mut [f32],
    pub sums: &'a mut [f32],
    pub totals: &'a mut [[i32; 2]],
}

/// Returns the number of rows of the next group. `rest` is the number of rows that are left; `most`
/// is the number of rows in a full group.
pub(super) fn group_rows(rest: usize, most: usize) -> usize {
    match rest {
        _ if rest >= most => most,
        8.. => 8,
        4.. => 4,
        2.. => 2,
        _ => rest,
    }
}

impl<'a> Group<'a> {
    /// Returns the part of this group that begins at row `row` and has up to [`GROUP`] rows.
    pub(super) fn part(&self, row: usize) -> Group<'a> {
        let rows = GROUP.min(self.rows - row);
        let cut = |len: usize| len / self.rows * row..len / self.rows * (row + rows);
        Group {
            rows,
            codes: &self.codes[cut(self.codes.len())],
            scales: &self.scales[cut(self.scales.len())],
            sums: &self.sums[cut(self.sums.len())],
            totals: &self.totals[cut(self.totals.len())],
            values: &self.values[cut(self.values.len())],
        }
    }
}

impl Part<'_> {
    /// Quantizes the part's rows, which have `k` values each. This function is inlined, so that it
    /// is compiled for the same instructions as its caller.
    #[inline(always)]
    pub(super) fn quantize(self, k: usize) {
        self.quantize_with(k, quantize_block);
    }

    /// Like [`Part::quantize`], but quantizes each block with the function `block`, which must
    /// return the same scale and the same two sums of codes as `quantize_block`.
    #[inline(always)]
    pub(super) fn quantize_with(
        self,
        k: usize,
        block: impl Fn(&[f32; BLOCK], &mut [i8; BLOCK]) -> (f32, [i32; 2]),
    ) {
        let (m, blocks) = (self.values.len() / k, k / BLOCK);
        let (values, _) = self.values.as_chunks::<BLOCK>();
        let (codes, _) = self.codes.as_chunks_mut::<BLOCK>();
        let mut row = 0;
        while row < m {
            let rows = group_rows(m - row, self.most);
            for i in 0..rows {
                for b in 0..blocks {
                    let at = row * blocks + b * rows + i;
                    let (scale, totals) = block(&values[(row + i) * blocks + b], &mut codes[at]);
                    self.scales[at] = scale;
                    self.sums[at] = scale * (totals[0] + totals[1]) as f32;
                    self.totals[at] = totals;
                }
            }
            row += rows;
        }
    }
}

/// 1.5 * 2^23. Adding it to a small float rounds the small float to an integer (ties to even) and
/// leaves the integer in the low bits of the sum.
pub(super) const ROUND: f32 = 12_582_912.0;
/// If no value of a block has a larger magnitude than this, all codes of the block are zero.
pub(super) const SMALL: f32 = 1e-30;

/// Quantizes 32 values. Returns their scale, the sum of the first 16 codes and the sum of the last
/// 16 codes.
///
/// If no value exceeds [`SMALL`], all codes are zero. If a value is infinite or NaN, the scale is
/// infinite or NaN, and so are the products computed with it. The work is split into several loops,
/// so that compilers can vectorize each of them.
#[inline(always)]
fn quantize_block(values: &[f32; BLOCK], codes: &mut [i8; BLOCK]) -> (f32, [i32; 2]) {
    // Without their sign, floats sort like their bits; NaN comes last.
    let mut peak = 0;
    for value in values {
        peak = peak.max(value.to_bits() & 0x7fff_ffff);
    }
    let peak = f32::from_bits(peak);
    if !peak.is_finite() {
        *codes = [0; BLOCK];
        return (peak, [0; 2]);
    }
    let inverse = if peak > SMALL { 127.0 / peak } else { 0.0 };
    let mut whole = [0; BLOCK];
    for (value, code) in values.iter().zip(&mut whole) {
        *code = (value * inverse + ROUND).to_bits() as i32 - ROUND.to_bits() as i32;
    }
    let mut totals = [0; 2];
    for (half, total) in whole.as_chunks::<16>().0.iter().zip(&mut totals) {
        for code in half {
            *total += code;
        }
    }
    for (code, whole) in codes.iter_mut().zip(whole) {
        *code = whole as i8;
    }
    (peak / 127.0, totals)
}
