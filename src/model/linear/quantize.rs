//! The input of a product, quantized: int8 in blocks of 32, laid out for the kernels.
//!
//! As GGML does it, a block's scale is d = max |x| / 127 and its codes are round(x / d), so never
//! -128; unlike there, d stays an f32. Beside it go d times the sum of the codes, which a weight
//! format with minima is multiplied with, and the plain sums of both halves of the block, for
//! formats whose codes have a zero point.
//!
//! Rows lie in groups of as many as the kernels take at once (16 or 8), then 8, 4, 2 and 1 as the
//! rest demands: block by block, the rows of a group side by side, so that a kernel finds them at
//! fixed distances from one pointer.
//!
//! Where rows are made on the way (a norm, an activation), they are made and quantized a few at a
//! time, so that what lies between stays in a core's own cache.

use super::{Aligned, BLOCK, Pool};

/// The most rows that a kernel takes at once.
pub(super) const GROUP: usize = 16;
/// Rows from which on quantizing is worth handing out.
const SHARE: usize = 16;

/// Where the rows of an input `[m, k]` come from.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    Rows(&'a [f32]),
    /// Row `i` is what this writes.
    Made(&'a (dyn Fn(usize, &mut [f32]) + Sync)),
}

/// The quantized rows of one input `[m, k]`.
#[derive(Default)]
pub(super) struct Activations {
    blocks: usize,
    /// Rows of a whole group.
    most: usize,
    /// The rows themselves, where they were made here.
    made: Aligned<f32>,
    codes: Aligned<i8>,
    scales: Vec<f32>,
    sums: Vec<f32>,
    totals: Vec<[i32; 2]>,
}

/// Rows that a kernel multiplies together. All but `values` are `[blocks, rows, ..]`.
#[derive(Clone, Copy)]
pub(super) struct Group<'a> {
    /// 1, 2, 4, 8 or 16; for kernels that take several whole groups, a multiple of 16.
    pub rows: usize,
    pub codes: &'a [i8],
    pub scales: &'a [f32],
    /// Scale times sum of codes.
    pub sums: &'a [f32],
    /// Sums of the codes of either half of a block.
    pub totals: &'a [[i32; 2]],
    /// The input itself, `[rows, k]`.
    pub values: &'a [f32],
}

/// The part of an `Activations` that belongs to some whole groups.
struct Place<'a> {
    /// Its first row.
    first: usize,
    made: &'a mut [f32],
    codes: &'a mut [i8],
    scales: &'a mut [f32],
    sums: &'a mut [f32],
    totals: &'a mut [[i32; 2]],
}

/// The same with the rows that go there.
pub(super) struct Part<'a> {
    /// Rows of a whole group.
    most: usize,
    values: &'a [f32],
    codes: &'a mut [i8],
    scales: &'a mut [f32],
    sums: &'a mut [f32],
    totals: &'a mut [[i32; 2]],
}

/// How many rows the group has that begins where `rest` rows are left, of groups of up to `most`.
fn group_rows(rest: usize, most: usize) -> usize {
    match rest {
        _ if rest >= most => most,
        8.. => 8,
        4.. => 4,
        2.. => 2,
        _ => rest,
    }
}

impl Activations {
    /// Reads `m` rows of `k` values, and quantizes them where integers multiply them.
    pub fn read(&mut self, pool: &Pool, source: Source, m: usize, k: usize, integers: bool) {
        let made = match source {
            Source::Rows(_) => 0,
            Source::Made(_) => m * k,
        };
        let codes = if integers { m * k } else { 0 };
        self.blocks = k / BLOCK;
        self.most = pool.family().group();
        self.made.resize(made);
        self.codes.resize(codes);
        self.scales.resize(codes / BLOCK, 0.0);
        self.sums.resize(codes / BLOCK, 0.0);
        self.totals.resize(codes / BLOCK, [0; 2]);
        let most = self.most;
        let read = |place: Place| {
            let rows = (place.codes.len() / k).max(place.made.len() / k);
            let values = match source {
                Source::Rows(values) => &values[place.first * k..][..rows * k],
                Source::Made(make) => {
                    for (i, row) in place.made.chunks_exact_mut(k).enumerate() {
                        make(place.first + i, row);
                    }
                    &*place.made
                }
            };
            let part = Part {
                most,
                values,
                codes: place.codes,
                scales: place.scales,
                sums: place.sums,
                totals: place.totals,
            };
            if integers {
                // SAFETY: a pool has a family that this processor has.
                unsafe { pool.family().quantizer()(part, k) };
            }
        };
        if m < SHARE || pool.threads() == 1 {
            self.places(m, k, m).into_iter().for_each(read);
        } else {
            pool.each(self.places(m, k, GROUP), read);
        }
    }

    /// Places of `rows` rows each, which must be whole groups, and one with what is left.
    fn places(&mut self, m: usize, k: usize, rows: usize) -> Vec<Place<'_>> {
        let (mut made, mut codes) = (&mut self.made[..], &mut self.codes[..]);
        let (mut scales, mut sums) = (self.scales.as_mut_slice(), self.sums.as_mut_slice());
        let mut totals = self.totals.as_mut_slice();
        let mut places = Vec::with_capacity(m.div_ceil(rows.max(1)));
        for first in (0..m).step_by(rows.max(1)) {
            let values = rows.min(m - first) * k;
            places.push(Place {
                first,
                made: front(&mut made, values),
                codes: front(&mut codes, values),
                scales: front(&mut scales, values / BLOCK),
                sums: front(&mut sums, values / BLOCK),
                totals: front(&mut totals, values / BLOCK),
            });
        }
        places
    }

    /// The group that begins at `row` of the input, with `rest` rows from there on.
    pub fn group<'a>(&'a self, source: Source<'a>, k: usize, row: usize, rest: usize) -> Group<'a> {
        self.rows(source, k, row, group_rows(rest, self.most))
    }

    /// Whole groups that follow each other, `rows` in all; or one that is smaller.
    pub fn rows<'a>(&'a self, source: Source<'a>, k: usize, row: usize, rows: usize) -> Group<'a> {
        let values = match source {
            Source::Rows(values) => values,
            Source::Made(_) => &self.made,
        };
        let span = row * self.blocks..(row + rows) * self.blocks;
        Group {
            rows,
            codes: self
                .codes
                .get(span.start * BLOCK..span.end * BLOCK)
                .unwrap_or_default(),
            scales: self.scales.get(span.clone()).unwrap_or_default(),
            sums: self.sums.get(span.clone()).unwrap_or_default(),
            totals: self.totals.get(span).unwrap_or_default(),
            values: &values[row * k..(row + rows) * k],
        }
    }
}

/// Cuts the first `len` items off, or all where there are fewer.
fn front<'a, T>(rest: &mut &'a mut [T], len: usize) -> &'a mut [T] {
    let (front, after) = std::mem::take(rest)
        .split_at_mut_checked(len)
        .unwrap_or_default();
    *rest = after;
    front
}

impl Part<'_> {
    /// Quantizes the part; inlined, so that a caller with more instructions makes use of them.
    #[inline(always)]
    pub fn quantize(self, k: usize) {
        let (m, blocks) = (self.values.len() / k, k / BLOCK);
        let (values, _) = self.values.as_chunks::<BLOCK>();
        let (codes, _) = self.codes.as_chunks_mut::<BLOCK>();
        let mut row = 0;
        while row < m {
            let rows = group_rows(m - row, self.most);
            for i in 0..rows {
                for b in 0..blocks {
                    let at = row * blocks + b * rows + i;
                    let (scale, totals) =
                        quantize_block(&values[(row + i) * blocks + b], &mut codes[at]);
                    self.scales[at] = scale;
                    self.sums[at] = scale * (totals[0] + totals[1]) as f32;
                    self.totals[at] = totals;
                }
            }
            row += rows;
        }
    }
}

/// Quantizes 32 values: their scale, and the sums of the codes of both halves.
///
/// Values too small to matter become zero; where one is infinite or no number, the scale is too,
/// and so will be the product. Loop after loop, because compilers find vectors in that.
#[inline(always)]
fn quantize_block(values: &[f32; BLOCK], codes: &mut [i8; BLOCK]) -> (f32, [i32; 2]) {
    // Added to a small float, 1.5 * 2^23 leaves it rounded, ties to even, in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const SMALL: f32 = 1e-30;
    // Without their sign, floats are in the order of their bits; what is no number comes last.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_nearest_and_sums_are_theirs() {
        let values: Vec<f32> = (0..11 * 64)
            .map(|i| ((i * 37 % 101) as f32 - 50.0) / 7.0)
            .collect();
        let mut activations = Activations::default();
        let source = Source::Rows(&values);
        activations.read(&Pool::new(1), source, 11, 64, true);
        let mut row = 0;
        while row < 11 {
            let group = activations.group(source, 64, row, 11 - row);
            for (index, codes) in group.codes.chunks(BLOCK).enumerate() {
                let (block, i) = (index / group.rows, index % group.rows);
                let input = &group.values[i * 64 + block * BLOCK..][..BLOCK];
                let scale = group.scales[index];
                let error = |(x, &c): (&f32, &i8)| (x - scale * f32::from(c)).abs();
                assert!(
                    input
                        .iter()
                        .zip(codes)
                        .map(error)
                        .all(|error| error <= scale * 0.501)
                );
                assert!(codes.iter().any(|c| c.abs() == 127));
                let total: i32 = codes.iter().map(|&c| i32::from(c)).sum();
                assert_eq!(total, group.totals[index].iter().sum::<i32>());
                assert_eq!(scale * total as f32, group.sums[index]);
            }
            row += group.rows;
        }
    }

    #[test]
    fn what_is_no_number_stays_so() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut values = [1.0; 32];
            values[7] = bad;
            let mut activations = Activations::default();
            activations.read(&Pool::new(1), Source::Rows(&values), 1, 32, true);
            assert!(!activations.scales[0].is_finite());
            assert_eq!(activations.codes[..], [0; 32]);
        }
    }

    #[test]
    fn nothing_becomes_nothing() {
        let mut activations = Activations::default();
        for small in [0.0, f32::MIN_POSITIVE / 8.0, 1e-31] {
            activations.read(&Pool::new(1), Source::Rows(&[small; 32]), 1, 32, true);
            assert!(activations.codes.iter().all(|&code| code == 0));
            assert_eq!((activations.sums[0], activations.totals[0]), (0.0, [0; 2]));
        }
    }
}
