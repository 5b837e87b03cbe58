//! The inner loops that process a tile step by step, compiled for the registers of each kernel
//! family.

mod values;

use super::{Step, Tile};
use crate::attention::kv::Heads;
use crate::lanes::{KvElement, Lanes, Portable, SCALE_GROUP, WIDTH, prefetch};
use crate::linear::KernelFamily;
use crate::math::softmax;
use std::ops::Range;

/// A function that performs one step of a tile. Its second parameter points to the tile's scores,
/// `[rows, stride]`. Its third parameter is scratch space for widened keys and values, whose length
/// is the result of [`widened`].
///
/// # Safety
/// The processor supports the family's instructions, and nothing else accesses the memory to which
/// the function writes.
pub(super) type StepFn<N> = unsafe fn(&Tile<N>, *mut f32, &mut [f32], Step);

/// The number of blocks between the block in use and the block to prefetch. In successive blocks,
/// the keys or values of one head are not adjacent, so the hardware prefetcher misses them.
pub(super) const AHEAD: usize = 4;

/// The minimum number of rows for which keys and values are widened to floats before use.
const MANY: usize = 12;

/// Returns the length of the scratch space. It has room for two widened blocks of keys, or for a
/// chunk of widened values and the partial sums.
pub(super) fn widened(rows: usize, heads: Heads) -> usize {
    match rows < MANY {
        true => 0,
        false => (2 * heads.keys()).max(values::widened(rows, heads)),
    }
}

/// Returns the step function that is compiled for the widest registers of a kernel family.
pub(super) fn step_fn<N: KvElement>(family: KernelFamily) -> StepFn<N> {
    #[cfg(target_arch = "x86_64")]
    {
        use crate::lanes::{Avx2, Avx512};
        /// Calls [`run`], compiled for AVX-512.
        ///
        /// # Safety
        /// The conditions of [`StepFn`] apply.
        #[target_feature(enable = "avx512f,fma,f16c")]
        unsafe fn avx512<N: KvElement>(
            tile: &Tile<N>,
            scores: *mut f32,
            wide: &mut [f32],
            step: Step,
        ) {
            // SAFETY: guaranteed by the caller.
            unsafe { run::<Avx512, N>(tile, scores, wide, step) }
        }
        /// Calls [`run`], compiled for AVX2.
        ///
        /// # Safety
        /// The conditions of [`StepFn`] apply.
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn avx2<N: KvElement>(
            tile: &Tile<N>,
            scores: *mut f32,
            wide: &mut [f32],
            step: Step,
        ) {
            // SAFETY: guaranteed by the caller.
            unsafe { run::<Avx2, N>(tile, scores, wide, step) }
        }
        match family {
            KernelFamily::Amx | KernelFamily::Avx512Vnni => return avx512::<N>,
            KernelFamily::AvxVnni | KernelFamily::Avx2 => return avx2::<N>,
            KernelFamily::Portable => {}
        }
    }
    let _ = family;
    run::<Portable, N>
}

/// Performs one step of a tile. `scores` is `[rows, stride]`.
///
/// # Safety
/// The processor supports the instructions of `L`, and nothing else accesses the memory to which
/// the step writes.
#[inline(always)]
unsafe fn run<L: Lanes, N: KvElement>(
    tile: &Tile<N>,
    scores: *mut f32,
    wide: &mut [f32],
    step: Step,
) {
    let many = N::NARROW && tile.rows >= MANY;
    // SAFETY: guaranteed by the caller; blocks, rows and columns are the tile's own.
    unsafe {
        match step {
            Step::Scores(blocks) => score_blocks::<L, N>(tile, scores, wide, blocks),
            Step::Softmax(rows) => rows.for_each(|row| softmax_row(tile, scores, row)),
            Step::Values(columns) if many => {
                values::weigh_many::<L, N>(tile, scores, wide, columns)
            }
            Step::Values(columns) => {
                let mut row = 0;
                while row < tile.rows {
                    let first = columns.clone();
                    row += match tile.rows - row {
                        6.. => values::weigh_columns::<L, N, 6>(tile, scores, row, first),
                        3.. => values::weigh_columns::<L, N, 3>(tile, scores, row, first),
                        2 => values::weigh_columns::<L, N, 2>(tile, scores, row, first),
                        _ => values::weigh_columns::<L, N, 1>(tile, scores, row, first),
                    };
                }
            }
        }
    }
}

/// Converts the keys of a block to floats, and writes them to `to` `[dim, 16]`.
///
/// # Safety
/// The processor supports the instructions of `L`, and `dim` times 16 floats may be written at
/// `to`.
#[inline(always)]
unsafe fn widen_keys<L: Lanes, N: KvElement>(keys: Keys<N>, to: *mut f32, dim: usize) {
    let mut d = 0;
    while d < dim {
        // SAFETY: guaranteed by the caller.
        unsafe { L::store(to.add(d * WIDTH), keys.column::<L>(d)) };
        d += 1;
    }
}

/// The keys of one head in one block.
#[derive(Clone, Copy)]
struct Keys<N> {
    numbers: *const N,
    scales: *const f32,
    /// The distance, in elements, from `numbers` to the keys to prefetch.
    ahead: usize,
    /// The index, in a row of scores, of the score for the first key.
    place: usize,
    /// The number of keys that are valid.
    count: usize,
}

impl<N: KvElement> Keys<N> {
    /// Loads the numbers of dimension `d` of all 16 keys.
    ///
    /// # Safety
    /// The processor supports the instructions of `L`, and `d` is below the size of a head.
    #[inline(always)]
    unsafe fn column<L: Lanes>(&self, d: usize) -> L::Vector {
        let scales = self.scales.wrapping_add(d / SCALE_GROUP * WIDTH);
        // SAFETY: guaranteed by the caller; the pointer to the scales is not read if there are
        // none.
        unsafe { N::load::<L>(self.numbers.add(d * WIDTH), scales) }
    }
}

/// Computes the scores of a range of blocks, two blocks at a time.
///
/// # Safety
/// The conditions of [`run`] apply.
#[inline(always)]
unsafe fn score_blocks<L: Lanes, N: KvElement>(
    tile: &Tile<N>,
    scores: *mut f32,
    wide: &mut [f32],
    wanted: Range<usize>,
) {
    let size = tile.shape.kv.keys();
    let mut before = 0;
    for piece in &tile.pieces {
        let begin =
            piece.blocks.start + wanted.start.saturating_sub(before).min(piece.blocks.len());
        let end = piece.blocks.start + wanted.end.saturating_sub(before).min(piece.blocks.len());
        before += piece.blocks.len();
        let block = |index: usize| {
            let heads = piece.kv.heads();
            let scales = piece.kv.scales(index).as_ptr();
            Keys {
                numbers: piece.kv.block(index)[tile.head * size..][..size].as_ptr(),
                scales: scales.wrapping_add(heads.key_scales(tile.head)),
                ahead: AHEAD * heads.block(),
                place: piece.start + index * WIDTH - tile.base,
                count: WIDTH.min(piece.seen.end - index * WIDTH),
            }
        };
        // SAFETY: the keys of a block are `[dim, 16]`; every row has room for its scores.
        unsafe {
            let mut index = begin;
            while index + 1 < end {
                let blocks = [block(index), block(index + 1)];
                if N::NARROW && tile.rows >= MANY {
                    let (first, second) = wide[..2 * size].split_at_mut(size);
                    let widened = [first.as_mut_ptr(), second.as_mut_ptr()];
                    for (keys, to) in blocks.into_iter().zip(widened) {
                        widen_keys::<L, N>(keys, to, tile.shape.kv.dim);
                    }
                    let blocks: [Keys<f32>; 2] = std::array::from_fn(|b| Keys {
                        numbers: widened[b].cast_const(),
                        scales: std::ptr::null(),
                        ahead: 0,
                        place: blocks[b].place,
                        count: blocks[b].count,
                    });
                    score_rows::<L, N, f32, 2>(tile, scores, blocks);
                } else {
                    score_rows::<L, N, N, 2>(tile, scores, blocks);
                }
                index += 2;
            }
            if index < end {
                score_rows::<L, N, N, 1>(tile, scores, [block(index)]);
            }
        }
    }
}

/// Computes the scores of all the tile's rows for the positions in B blocks.
///
/// # Safety
/// The conditions of [`run`] apply. The blocks belong to the tile.
#[inline(always)]
unsafe fn score_rows<L: Lanes, N: KvElement, K: KvElement, const B: usize>(
    tile: &Tile<N>,
    scores: *mut f32,
    blocks: [Keys<K>; B],
) {
    let mut row = 0;
    while row < tile.rows {
        let rows = match tile.rows - row {
            6.. => 6,
            3.. => 3,
            rest => rest,
        };
        // Skips blocks beyond the positions that these rows see: softmax sets their scores to zero.
        if blocks[0].place < tile.end(row + rows - 1) - tile.base {
            // SAFETY: guaranteed by the caller.
            unsafe {
                match rows {
                    6 => score::<L, N, K, B, 6>(tile, scores, row, blocks),
                    3 => score::<L, N, K, B, 3>(tile, scores, row, blocks),
                    2 => score::<L, N, K, B, 2>(tile, scores, row, blocks),
                    _ => score::<L, N, K, B, 1>(tile, scores, row, blocks),
                }
            }
        }
        row += rows;
    }
}

/// Computes the scores of R rows, starting at row `first`, for the 16 positions in each of B
/// blocks.
///
/// # Safety
/// The conditions of [`run`] apply. The rows and blocks belong to the tile.
#[inline(always)]
unsafe fn score<L: Lanes, N: KvElement, K: KvElement, const B: usize, const R: usize>(
    tile: &Tile<N>,
    scores: *mut f32,
    first: usize,
    blocks: [Keys<K>; B],
) {
    let dim = tile.shape.kv.dim;
    let scale = (dim as f32).sqrt().recip();
    // SAFETY: guaranteed by the caller.
    unsafe {
        let q: [*const f32; R] = std::array::from_fn(|r| tile.q[tile.at(first + r)..].as_ptr());
        let mut acc = [[L::splat(0.0); B]; R];
        for d in 0..dim {
            let keys: [L::Vector; B] = std::array::from_fn(|b| {
                prefetch(blocks[b].numbers.wrapping_add(d * WIDTH + blocks[b].ahead));
                blocks[b].column::<L>(d)
            });
            for r in 0..R {
                let x = L::splat(*q[r].add(d));
                for b in 0..B {
                    acc[r][b] = L::fma(x, keys[b], acc[r][b]);
                }
            }
        }
        for (r, acc) in acc.into_iter().enumerate() {
            let row = scores.add((first + r) * tile.stride());
            for (sums, keys) in acc.into_iter().zip(blocks) {
                put::<L>(
                    row.add(keys.place),
                    L::mul(sums, L::splat(scale)),
                    keys.count,
                );
            }
        }
    }
}

/// Stores the first `count` numbers of a vector at `to`.
///
/// # Safety
/// The processor supports the instructions of `L`, and `count` floats may be written at `to`.
#[inline(always)]
pub(super) unsafe fn put<L: Lanes>(to: *mut f32, values: L::Vector, count: usize) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        if count == WIDTH {
            return L::store(to, values);
        }
        let mut numbers = [0f32; WIDTH];
        L::store(numbers.as_mut_ptr(), values);
        to.copy_from_nonoverlapping(numbers.as_ptr(), count);
    }
}

/// Computes the softmax of a row of scores, without the division by the sum. Masked positions
/// become zero.
///
/// # Safety
/// `scores` contains the row, and nothing else accesses it.
#[inline(always)]
unsafe fn softmax_row<N: KvElement>(tile: &Tile<N>, scores: *mut f32, row: usize) {
    let end = tile.end(row);
    let first = end.saturating_sub(tile.shape.window).max(tile.base);
    // SAFETY: guaranteed by the caller.
    let scores =
        unsafe { std::slice::from_raw_parts_mut(scores.add(row * tile.stride()), tile.stride()) };
    let sum = softmax(&mut scores[first - tile.base..end - tile.base]);
    scores[..first - tile.base].fill(0.0);
    scores[end - tile.base..].fill(0.0);
    scores[tile.stride() - 1] = sum.recip();
}
