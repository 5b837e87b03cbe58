//! The last step of a tile, which computes the weighted sums of the values.

use super::super::Tile;
use super::{AHEAD, put};
use crate::attention::kv::Heads;
use crate::lanes::{KvElement, Lanes, SCALE_GROUP, WIDTH, prefetch};
use std::ops::Range;

/// The number of positions whose values are widened at a time. These values fit in the L1 cache.
const CHUNK: usize = 4 * WIDTH;

/// Returns the length of the scratch space. It has room for a chunk of widened values and for the
/// partial sums of the rows.
pub(super) fn widened(rows: usize, heads: Heads) -> usize {
    (CHUNK + rows) * heads.width()
}

/// Computes the weighted sums of the values for R rows and a range of dimensions. Returns R.
///
/// # Safety
/// The CPU supports the instructions of `L`, the scores belong to the tile, and nothing else
/// accesses the outputs.
#[inline(always)]
pub(super) unsafe fn weigh_columns<L: Lanes, N: KvElement, const R: usize>(
    tile: &Tile<N>,
    scores: *mut f32,
    row: usize,
    columns: Range<usize>,
) -> usize {
    let mut column = columns.start;
    while column < columns.end {
        // SAFETY: guaranteed by the caller.
        unsafe {
            if columns.end - column >= 4 * WIDTH {
                weigh::<L, N, R, 4>(tile, scores, row, column);
                column += 4 * WIDTH;
            } else if columns.end - column >= 2 * WIDTH {
                weigh::<L, N, R, 2>(tile, scores, row, column);
                column += 2 * WIDTH;
            } else {
                weigh::<L, N, R, 1>(tile, scores, row, column);
                column += WIDTH;
            }
        }
    }
    R
}

/// Computes the weighted sums of the values for R rows and 16 × D dimensions, starting at dimension
/// `column` of the head.
///
/// # Safety
/// The conditions of [`weigh_columns`] apply. The dimensions belong to the head.
#[inline(always)]
unsafe fn weigh<L: Lanes, N: KvElement, const R: usize, const D: usize>(
    tile: &Tile<N>,
    scores: *mut f32,
    first: usize,
    column: usize,
) {
    let Heads { count, dim } = tile.shape.kv;
    let width = tile.shape.kv.width();
    let offset = count * tile.shape.kv.keys() + tile.head * WIDTH * width + column;
    let ahead = AHEAD * tile.shape.kv.block();
    // SAFETY: guaranteed by the caller; values of a block are `[16, width]`.
    unsafe {
        let row: [*const f32; R] =
            std::array::from_fn(|r| scores.add((first + r) * tile.stride()).cast_const());
        let mut acc = [[L::splat(0.0); D]; R];
        for piece in &tile.pieces {
            for index in piece.blocks.clone() {
                let values = piece.kv.block(index).as_ptr().add(offset);
                let scales = piece.kv.scales(index).as_ptr();
                let from = piece.seen.start.max(index * WIDTH);
                for at in from..piece.seen.end.min((index + 1) * WIDTH) {
                    let value = values.add(at % WIDTH * width);
                    let scales =
                        scales.wrapping_add(tile.shape.kv.value_scales(tile.head, at % WIDTH));
                    let value: [L::Vector; D] = std::array::from_fn(|d| {
                        let scale = scales.wrapping_add((column + d * WIDTH) / SCALE_GROUP);
                        prefetch(value.wrapping_add(d * WIDTH + ahead));
                        N::load_shared_scale::<L>(value.add(d * WIDTH), scale)
                    });
                    let place = piece.start + at - tile.base;
                    for r in 0..R {
                        let weight = L::splat(*row[r].add(place));
                        for d in 0..D {
                            acc[r][d] = L::fma(weight, value[d], acc[r][d]);
                        }
                    }
                }
            }
        }
        for (r, acc) in acc.into_iter().enumerate() {
            let norm = L::splat(*row[r].add(tile.stride() - 1));
            for (d, sums) in acc.into_iter().enumerate() {
                let begin = (column + d * WIDTH).min(dim);
                let to = tile.out.add(tile.at(first + r) + begin);
                put::<L>(to, L::mul(sums, norm), WIDTH.min(dim - begin));
            }
        }
    }
}

/// Computes the weighted sums of the values for all rows, one chunk of positions at a time. The
/// values of a chunk are widened only once for all rows. Between chunks, the partial sums of the
/// rows are kept in memory.
///
/// # Safety
/// The conditions of [`weigh_columns`] apply. `wide` has room for a chunk of values and for the
/// partial sums of the rows.
#[inline(always)]
pub(super) unsafe fn weigh_many<L: Lanes, N: KvElement>(
    tile: &Tile<N>,
    scores: *mut f32,
    wide: &mut [f32],
    columns: Range<usize>,
) {
    let Heads { count, dim } = tile.shape.kv;
    let width = tile.shape.kv.width();
    let offset = count * tile.shape.kv.keys() + tile.head * WIDTH * width + columns.start;
    let (values, sums) = wide.split_at_mut(CHUNK * columns.len());
    let sums = &mut sums[..tile.rows * columns.len()];
    sums.fill(0.0);
    for piece in &tile.pieces {
        let mut first = piece.seen.start;
        while first < piece.seen.end {
            let end = piece.seen.end.min((first / CHUNK + 1) * CHUNK);
            // SAFETY: guaranteed by the caller; values of a block are `[16, width]`.
            unsafe {
                for at in first..end {
                    let (block, lane) = (at / WIDTH, at % WIDTH);
                    let from = piece.kv.block(block)[offset + lane * width..].as_ptr();
                    let scales = piece.kv.scales(block).as_ptr();
                    let scales = scales.wrapping_add(tile.shape.kv.value_scales(tile.head, lane));
                    let to = values[(at - first) * columns.len()..].as_mut_ptr();
                    let mut column = 0;
                    while column < columns.len() {
                        let scale = scales.wrapping_add((columns.start + column) / SCALE_GROUP);
                        let value = N::load_shared_scale::<L>(from.add(column), scale);
                        L::store(to.add(column), value);
                        column += WIDTH;
                    }
                }
                let place = piece.start + first - tile.base;
                let mut row = 0;
                while row < tile.rows {
                    let rows = match tile.rows - row {
                        6.. => 6,
                        3.. => 3,
                        rest => rest,
                    };
                    let seen = (tile.end(row + rows - 1) - tile.base).saturating_sub(place);
                    let count = seen.min(end - first);
                    let chunk = Chunk { place, count };
                    let sums = sums[row * columns.len()..].as_mut_ptr();
                    let scores = scores.add(row * tile.stride()).cast_const();
                    let (values, len) = (values.as_ptr(), columns.len());
                    match rows {
                        6 => add_chunk::<L, 6>(scores, tile.stride(), chunk, values, sums, len),
                        3 => add_chunk::<L, 3>(scores, tile.stride(), chunk, values, sums, len),
                        2 => add_chunk::<L, 2>(scores, tile.stride(), chunk, values, sums, len),
                        _ => add_chunk::<L, 1>(scores, tile.stride(), chunk, values, sums, len),
                    }
                    row += rows;
                }
            }
            first = end;
        }
    }
    for (row, sums) in sums.chunks_exact(columns.len()).enumerate() {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let norm = L::splat(*scores.add((row + 1) * tile.stride() - 1));
            for (at, sums) in sums.chunks_exact(WIDTH).enumerate() {
                let begin = (columns.start + at * WIDTH).min(dim);
                let to = tile.out.add(tile.at(row) + begin);
                let product = L::mul(L::load(sums.as_ptr()), norm);
                put::<L>(to, product, WIDTH.min(dim - begin));
            }
        }
    }
}

/// A range of positions, as it applies to one row of scores.
#[derive(Clone, Copy)]
struct Chunk {
    /// The index of the first position's score in the row.
    place: usize,
    /// The number of positions in the range that the row sees.
    count: usize,
}

/// Multiplies a chunk of values `[positions, len]` by the scores of R rows, and adds the products
/// to the rows' sums `[R, len]`.
///
/// # Safety
/// The conditions of [`weigh_columns`] apply. The chunk must lie within the scores of each row.
#[inline(always)]
unsafe fn add_chunk<L: Lanes, const R: usize>(
    scores: *const f32,
    stride: usize,
    chunk: Chunk,
    values: *const f32,
    sums: *mut f32,
    len: usize,
) {
    let mut column = 0;
    while column < len {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let (values, sums) = (values.add(column), sums.add(column));
            if len - column >= 4 * WIDTH {
                add_columns::<L, R, 4>(scores, stride, chunk, values, sums, len);
                column += 4 * WIDTH;
            } else if len - column >= 2 * WIDTH {
                add_columns::<L, R, 2>(scores, stride, chunk, values, sums, len);
                column += 2 * WIDTH;
            } else {
                add_columns::<L, R, 1>(scores, stride, chunk, values, sums, len);
                column += WIDTH;
            }
        }
    }
}

/// Does what [`add_chunk`] does, for 16 × D columns.
///
/// # Safety
/// The conditions of [`add_chunk`] apply. The columns belong to the head.
#[inline(always)]
unsafe fn add_columns<L: Lanes, const R: usize, const D: usize>(
    scores: *const f32,
    stride: usize,
    chunk: Chunk,
    values: *const f32,
    sums: *mut f32,
    len: usize,
) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let mut acc = [[L::splat(0.0); D]; R];
        for (r, row) in acc.iter_mut().enumerate() {
            for (d, sum) in row.iter_mut().enumerate() {
                *sum = L::load(sums.add(r * len + d * WIDTH));
            }
        }
        for at in 0..chunk.count {
            let value: [L::Vector; D] =
                std::array::from_fn(|d| L::load(values.add(at * len + d * WIDTH)));
            for (r, row) in acc.iter_mut().enumerate() {
                let weight = L::splat(*scores.add(r * stride + chunk.place + at));
                for (sum, value) in row.iter_mut().zip(&value) {
                    *sum = L::fma(weight, *value, *sum);
                }
            }
        }
        for (r, row) in acc.iter().enumerate() {
            for (d, sum) in row.iter().enumerate() {
                L::store(sums.add(r * len + d * WIDTH), *sum);
            }
        }
    }
}
