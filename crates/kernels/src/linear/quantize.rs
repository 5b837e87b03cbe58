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

use std::cell::RefCell;

use super::kernels::TILE;
use super::{Aligned, BLOCK, KernelFamily, Pool};

/// The most rows that a group has.
pub(super) const GROUP: usize = 16;
/// Rows from which on quantizing is worth handing out.
const SHARE: usize = 16;

/// Where the rows of an input `[m, k]` come from.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    Rows(&'a [f32]),
    /// Row `i` is what this writes.
    Computed(&'a (dyn Fn(usize, &mut [f32]) + Sync)),
}

/// The quantized rows of one input `[m, k]`.
#[derive(Default)]
pub(super) struct Activations {
    blocks: usize,
    /// Rows of a whole group.
    most: usize,
    /// The rows themselves, where they were made here and floats multiply them.
    computed: Aligned<f32>,
    codes: Aligned<i8>,
    scales: Vec<f32>,
    sums: Vec<f32>,
    totals: Vec<[i32; 2]>,
}

/// Rows that a kernel multiplies together. All but `values` are `[blocks, rows, ..]`.
#[derive(Clone, Copy)]
pub(super) struct Group<'a> {
    /// 1, 2, 4, 8 or 16; 32 are two whole groups of 16.
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
    /// Its first row, and how many there are.
    first: usize,
    rows: usize,
    computed: &'a mut [f32],
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

thread_local! {
    /// Rows that are made and quantized in one go, kept for their memory.
    static ROWS: RefCell<Aligned<f32>> = RefCell::default();
}

impl Activations {
    /// Reads `m` rows of `k` values, and quantizes them where integers multiply them; `floats` says
    /// that their values are multiplied, too.
    pub fn quantize(
        &mut self,
        pool: &Pool,
        source: Source,
        m: usize,
        k: usize,
        (integers, floats): (bool, bool),
    ) {
        let kept = floats && matches!(source, Source::Computed(_));
        self.computed.resize(if kept { m * k } else { 0 });
        self.reserve(pool, if integers { m } else { 0 }, k);
        let most = self.most;
        let quantize = |place: Place, values: &[f32]| {
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
        let read = |mut place: Place| {
            let (first, numbers) = (place.first, place.rows * k);
            let make = |make: &dyn Fn(usize, &mut [f32]), rows: &mut [f32]| {
                for (i, row) in rows.chunks_exact_mut(k).enumerate() {
                    make(first + i, row);
                }
            };
            match source {
                Source::Rows(values) => quantize(place, &values[first * k..][..numbers]),
                Source::Computed(how) if kept => {
                    let computed = std::mem::take(&mut place.computed);
                    make(how, computed);
                    quantize(place, computed);
                }
                Source::Computed(how) => ROWS.with_borrow_mut(|rows| {
                    if rows.len() < numbers {
                        rows.resize(numbers);
                    }
                    make(how, &mut rows[..numbers]);
                    quantize(place, &rows[..numbers]);
                }),
            }
        };
        let places = self.places(m, k);
        if m < SHARE || pool.threads() == 1 {
            places.into_iter().for_each(read);
        } else {
            pool.each(places, read);
        }
    }

    /// Makes room for `m` quantized rows of `k` values.
    pub fn reserve(&mut self, pool: &Pool, m: usize, k: usize) {
        self.blocks = k / BLOCK;
        self.most = pool.family().group();
        self.codes.resize(m * k);
        self.scales.resize(m * self.blocks, 0.0);
        self.sums.resize(m * self.blocks, 0.0);
        self.totals.resize(m * self.blocks, [0; 2]);
    }

    /// Places of [`GROUP`] rows each, and one with what is left.
    fn places(&mut self, m: usize, k: usize) -> Vec<Place<'_>> {
        let (mut computed, mut codes) = (&mut self.computed[..], &mut self.codes[..]);
        let (mut scales, mut sums) = (self.scales.as_mut_slice(), self.sums.as_mut_slice());
        let mut totals = self.totals.as_mut_slice();
        let mut places = Vec::with_capacity(m.div_ceil(GROUP));
        for first in (0..m).step_by(GROUP) {
            let rows = GROUP.min(m - first);
            let values = rows * k;
            places.push(Place {
                first,
                rows,
                computed: front(&mut computed, values),
                codes: front(&mut codes, values),
                scales: front(&mut scales, values / BLOCK),
                sums: front(&mut sums, values / BLOCK),
                totals: front(&mut totals, values / BLOCK),
            });
        }
        places
    }

    /// The group that begins at `row` of the input, with `rest` rows from there on; two where both
    /// are whole and large.
    pub fn group<'a>(&'a self, source: Source<'a>, k: usize, row: usize, rest: usize) -> Group<'a> {
        let rows = match self.most == GROUP && rest >= TILE {
            true => TILE,
            false => group_rows(rest, self.most),
        };
        let values = match source {
            Source::Rows(values) => values,
            Source::Computed(_) => &self.computed,
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
            values: values.get(row * k..(row + rows) * k).unwrap_or_default(),
        }
    }

    /// Where rows go that are quantized a block of columns at a time.
    pub fn target(&mut self) -> Target {
        Target {
            blocks: self.blocks,
            codes: self.codes.as_mut_ptr(),
            scales: self.scales.as_mut_ptr(),
            sums: self.sums.as_mut_ptr(),
            totals: self.totals.as_mut_ptr(),
        }
    }
}

impl<'a> Group<'a> {
    /// The group of up to [`GROUP`] rows that begins at `row`.
    pub fn part(&self, row: usize) -> Group<'a> {
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

/// Room for quantized rows, to be written to by many threads.
pub(super) struct Target {
    blocks: usize,
    codes: *mut i8,
    scales: *mut f32,
    sums: *mut f32,
    totals: *mut [i32; 2],
}

// SAFETY: threads write to blocks of their own; see `Target::quantize`.
unsafe impl Sync for Target {}

impl Target {
    /// Quantizes block `block` of the rows of a group, `[rows, 32]`, that begins at `row`.
    ///
    /// # Safety
    /// There is room for the group, and nobody else has this block of it.
    pub unsafe fn quantize(&self, family: KernelFamily, values: &[f32], row: usize, block: usize) {
        let group = (values.len() / BLOCK).min(GROUP);
        for (index, values) in values.chunks_exact(group * BLOCK).enumerate() {
            let at = (row + index * GROUP) * self.blocks + block * group;
            // SAFETY: the caller's; a group's numbers of one block lie together. A pool has a
            // family that this processor has.
            unsafe {
                let part = Part {
                    most: group,
                    values,
                    codes: std::slice::from_raw_parts_mut(self.codes.add(at * BLOCK), values.len()),
                    scales: std::slice::from_raw_parts_mut(self.scales.add(at), group),
                    sums: std::slice::from_raw_parts_mut(self.sums.add(at), group),
                    totals: std::slice::from_raw_parts_mut(self.totals.add(at), group),
                };
                family.quantizer()(part, BLOCK);
            }
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
        self.quantize_with(k, quantize_block);
    }

    /// The same with another way for a block, which must give the same: its scale, and the sums of
    /// the codes of both halves.
    #[inline(always)]
    pub fn quantize_with(
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

/// Added to a small float, 1.5 * 2^23 leaves it rounded, ties to even, in the low bits.
pub(super) const ROUND: f32 = 12_582_912.0;
/// What is no larger becomes zero.
pub(super) const SMALL: f32 = 1e-30;

/// Quantizes 32 values: their scale, and the sums of the codes of both halves.
///
/// Values too small to matter become zero; where one is infinite or no number, the scale is too,
/// and so will be the product. Loop after loop, because compilers find vectors in that.
#[inline(always)]
fn quantize_block(values: &[f32; BLOCK], codes: &mut [i8; BLOCK]) -> (f32, [i32; 2]) {
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
        activations.quantize(&Pool::new(1), source, 11, 64, (true, false));
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
            activations.quantize(&Pool::new(1), Source::Rows(&values), 1, 32, (true, false));
            assert!(!activations.scales[0].is_finite());
            assert_eq!(activations.codes[..], [0; 32]);
        }
    }

    #[test]
    fn nothing_becomes_nothing() {
        let mut activations = Activations::default();
        for small in [0.0, f32::MIN_POSITIVE / 8.0, 1e-31] {
            activations.quantize(
                &Pool::new(1),
                Source::Rows(&[small; 32]),
                1,
                32,
                (true, false),
            );
            assert!(activations.codes.iter().all(|&code| code == 0));
            assert_eq!((activations.sums[0], activations.totals[0]), (0.0, [0; 2]));
        }
    }
}
