//! Quantizes the input of a product: to int8 in blocks of 32, laid out for the kernels.
//!
//! As in GGML, a block's scale is d = max |x| / 127 and its codes are round(x / d), so no code is
//! -128; unlike in GGML, d stays an f32. Each block also stores d times the sum of its codes, which
//! is needed for weight formats with minima, and the sum of the codes in each of its halves, which
//! is needed for formats whose codes have a zero point.
//!
//! Rows are divided into full groups, which have as many rows as the kernels take at once (16 or
//! 8), and the remaining rows into groups of 8, 4, 2 and 1. A group is stored block by block with
//! its rows side by side, so that a kernel finds them at fixed distances from one pointer.
//!
//! Rows that must first be computed (as a norm or an activation) are computed and quantized a few
//! at a time, so that they stay in a core's own cache in between.

use std::cell::RefCell;

use super::activations::{Activations, Source};
use super::group::{GROUP, Part};
use super::kernels::quantizer;
use super::{Aligned, BLOCK, KernelFamily, Pool};

/// The minimum number of input rows for which the threads share the work of quantizing.
const SHARE: usize = 16;

/// Which forms of the input the kernels need. This depends on the weights.
#[derive(Clone, Copy)]
pub(super) struct Forms {
    /// Whether kernels read 8-bit codes, because some of the weights are quantized.
    pub codes: bool,
    /// Whether kernels read the values themselves, because some of the weights are plain floats.
    pub values: bool,
}

#[cfg(test)]
impl Forms {
    pub(super) const CODES: Forms = Forms {
        codes: true,
        values: false,
    };
}

/// The slices of an `Activations` that hold [`GROUP`] consecutive rows, or fewer rows at the end.
struct Place<'a> {
    /// The index of the first row in these slices.
    first: usize,
    /// The number of rows in these slices.
    rows: usize,
    computed: &'a mut [f32],
    codes: &'a mut [i8],
    scales: &'a mut [f32],
    sums: &'a mut [f32],
    totals: &'a mut [[i32; 2]],
}

thread_local! {
    /// A buffer for rows that are computed and then quantized. It is retained to avoid allocations.
    static ROWS: RefCell<Aligned<f32>> = RefCell::default();
}

impl Activations {
    /// Stores `m` rows of `k` values from `source` in the given forms.
    pub(super) fn quantize(
        &mut self,
        pool: &Pool,
        source: Source,
        m: usize,
        k: usize,
        forms: Forms,
    ) {
        let kept = forms.values && matches!(source, Source::Computed(_));
        self.computed.resize(if kept { m * k } else { 0 });
        self.reserve(pool, if forms.codes { m } else { 0 }, k);
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
            if forms.codes {
                // SAFETY: the processor supports the pool's family.
                unsafe { quantizer(pool.family())(part, k) };
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

    /// Allocates the buffers for `m` quantized rows of `k` values.
    pub(super) fn reserve(&mut self, pool: &Pool, m: usize, k: usize) {
        self.blocks = k / BLOCK;
        self.most = pool.family().group_rows();
        self.codes.resize(m * k);
        self.scales.resize(m * self.blocks, 0.0);
        self.sums.resize(m * self.blocks, 0.0);
        self.totals.resize(m * self.blocks, [0; 2]);
    }

    /// Splits the buffers into one [`Place`] for every [`GROUP`] rows. The last place may have
    /// fewer rows.
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

    /// Returns the destination for rows that several threads quantize, one block of columns at a
    /// time.
    pub(super) fn target(&mut self) -> Target {
        Target {
            blocks: self.blocks,
            codes: self.codes.as_mut_ptr(),
            scales: self.scales.as_mut_ptr(),
            sums: self.sums.as_mut_ptr(),
            totals: self.totals.as_mut_ptr(),
        }
    }
}

/// Pointers to the buffers of an `Activations`, to which several threads write quantized rows.
pub(super) struct Target {
    blocks: usize,
    codes: *mut i8,
    scales: *mut f32,
    sums: *mut f32,
    totals: *mut [i32; 2],
}

// SAFETY: each thread writes to its own blocks; see `Target::quantize`.
unsafe impl Sync for Target {}

impl Target {
    /// Quantizes one block of 32 columns for several rows, the first of which is `row`. `block` is
    /// the index of the block, and `values` contains its values, `[rows, 32]`.
    ///
    /// # Safety
    /// The buffers have space for these rows, and nothing else accesses this block of the rows.
    pub(super) unsafe fn quantize(
        &self,
        family: KernelFamily,
        values: &[f32],
        row: usize,
        block: usize,
    ) {
        let group = (values.len() / BLOCK).min(GROUP);
        for (index, values) in values.chunks_exact(group * BLOCK).enumerate() {
            let at = (row + index * GROUP) * self.blocks + block * group;
            // SAFETY: guaranteed by the caller; a group's values of one block are contiguous. The
            // processor supports the pool's family.
            unsafe {
                let part = Part {
                    most: group,
                    values,
                    codes: std::slice::from_raw_parts_mut(self.codes.add(at * BLOCK), values.len()),
                    scales: std::slice::from_raw_parts_mut(self.scales.add(at), group),
                    sums: std::slice::from_raw_parts_mut(self.sums.add(at), group),
                    totals: std::slice::from_raw_parts_mut(self.totals.add(at), group),
                };
                quantizer(family)(part, BLOCK);
            }
        }
    }
}

/// Removes the first `len` items from `rest` and returns them. If there are fewer items, removes
/// all of them and returns an empty slice.
fn front<'a, T>(rest: &mut &'a mut [T], len: usize) -> &'a mut [T] {
    let (front, after) = std::mem::take(rest)
        .split_at_mut_checked(len)
        .unwrap_or_default();
    *rest = after;
    front
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
        activations.quantize(&Pool::new(1), source, 11, 64, Forms::CODES);
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
            activations.quantize(&Pool::new(1), Source::Rows(&values), 1, 32, Forms::CODES);
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
                Forms::CODES,
            );
            assert!(activations.codes.iter().all(|&code| code == 0));
            assert_eq!((activations.sums[0], activations.totals[0]), (0.0, [0; 2]));
        }
    }
}
