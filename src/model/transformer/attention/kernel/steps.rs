//! What is done to a tile: the inner loops, in the registers of a family.

use super::super::super::lanes::{Lanes, Number, Portable, WIDTH};
use super::super::super::math::softmax;
use super::super::kv::Heads;
use super::{Step, Tile};
use crate::model::linear::Family;
use std::ops::Range;

/// A step for a tile whose scores, `[rows, stride]`, are at the pointer.
///
/// Safe where the processor has the family's instructions, and nobody else what the step writes.
pub type Run<N> = unsafe fn(&Tile<N>, *mut f32, Step);

/// The steps with the best registers of a family.
pub fn step_of<N: Number>(family: Family) -> Run<N> {
    #[cfg(target_arch = "x86_64")]
    {
        use super::super::super::lanes::{Avx2, Avx512};
        #[target_feature(enable = "avx512f,fma,f16c")]
        unsafe fn avx512<N: Number>(tile: &Tile<N>, scores: *mut f32, step: Step) {
            // SAFETY: the caller's.
            unsafe { run::<Avx512, N>(tile, scores, step) }
        }
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn avx2<N: Number>(tile: &Tile<N>, scores: *mut f32, step: Step) {
            // SAFETY: the caller's.
            unsafe { run::<Avx2, N>(tile, scores, step) }
        }
        match family {
            Family::Amx | Family::Avx512Vnni => return avx512::<N>,
            Family::AvxVnni | Family::Avx2 => return avx2::<N>,
            Family::Portable => {}
        }
    }
    let _ = family;
    run::<Portable, N>
}

/// Does a step. `scores` is `[rows, stride]`.
///
/// Safe where nobody else has what the step writes.
#[inline(always)]
unsafe fn run<L: Lanes, N: Number>(tile: &Tile<N>, scores: *mut f32, step: Step) {
    // SAFETY: the caller's; blocks, rows and columns are the tile's own.
    unsafe {
        match step {
            Step::Scores(blocks) => score_blocks::<L, N>(tile, scores, blocks),
            Step::Softmax(rows) => rows.for_each(|row| soften(tile, scores, row)),
            Step::Values(columns) => {
                let mut row = 0;
                while row < tile.rows {
                    let first = columns.clone();
                    row += match tile.rows - row {
                        6.. => weigh_columns::<L, N, 6>(tile, scores, row, first),
                        3.. => weigh_columns::<L, N, 3>(tile, scores, row, first),
                        2 => weigh_columns::<L, N, 2>(tile, scores, row, first),
                        _ => weigh_columns::<L, N, 1>(tile, scores, row, first),
                    };
                }
            }
        }
    }
}

/// The keys of a block, where their scores go, and how many of them count.
type Keys<N> = (*const N, usize, usize);

#[inline(always)]
unsafe fn score_blocks<L: Lanes, N: Number>(
    tile: &Tile<N>,
    scores: *mut f32,
    wanted: Range<usize>,
) {
    let mut before = 0;
    for piece in &tile.pieces {
        let begin =
            piece.blocks.start + wanted.start.saturating_sub(before).min(piece.blocks.len());
        let end = piece.blocks.start + wanted.end.saturating_sub(before).min(piece.blocks.len());
        before += piece.blocks.len();
        let block = |index: usize| {
            let keys = &piece.kv.block(index)[tile.head * tile.shape.kv.keys()..];
            (
                keys.as_ptr(),
                piece.start + index * WIDTH - tile.base,
                WIDTH.min(piece.seen.end - index * WIDTH),
            )
        };
        // SAFETY: the keys of a block are `[dim, 16]`; every row has room for its scores.
        unsafe {
            let mut index = begin;
            while index + 1 < end {
                score_rows::<L, N, 2>(tile, scores, [block(index), block(index + 1)]);
                index += 2;
            }
            if index < end {
                score_rows::<L, N, 1>(tile, scores, [block(index)]);
            }
        }
    }
}

#[inline(always)]
unsafe fn score_rows<L: Lanes, N: Number, const B: usize>(
    tile: &Tile<N>,
    scores: *mut f32,
    blocks: [Keys<N>; B],
) {
    let mut row = 0;
    while row < tile.rows {
        // SAFETY: the caller's.
        row += unsafe {
            match tile.rows - row {
                6.. => score::<L, N, B, 6>(tile, scores, row, blocks),
                3.. => score::<L, N, B, 3>(tile, scores, row, blocks),
                2 => score::<L, N, B, 2>(tile, scores, row, blocks),
                _ => score::<L, N, B, 1>(tile, scores, row, blocks),
            }
        };
    }
}

/// Scores of R rows for 16 positions in each of B blocks.
#[inline(always)]
unsafe fn score<L: Lanes, N: Number, const B: usize, const R: usize>(
    tile: &Tile<N>,
    scores: *mut f32,
    first: usize,
    blocks: [Keys<N>; B],
) -> usize {
    let dim = tile.shape.kv.dim;
    let scale = (dim as f32).sqrt().recip();
    // SAFETY: the caller's.
    unsafe {
        let q: [*const f32; R] = std::array::from_fn(|r| tile.q[tile.at(first + r)..].as_ptr());
        let mut acc = [[L::splat(0.0); B]; R];
        for d in 0..dim {
            let keys: [L::Vector; B] =
                std::array::from_fn(|b| N::read::<L>(blocks[b].0.add(d * WIDTH)));
            for r in 0..R {
                let x = L::splat(*q[r].add(d));
                for b in 0..B {
                    acc[r][b] = L::fma(x, keys[b], acc[r][b]);
                }
            }
        }
        for (r, acc) in acc.into_iter().enumerate() {
            let row = scores.add((first + r) * tile.stride());
            for (sums, (_, place, count)) in acc.into_iter().zip(blocks) {
                put::<L>(row.add(place), L::mul(sums, L::splat(scale)), count);
            }
        }
    }
    R
}

/// Stores the first `count` numbers.
#[inline(always)]
unsafe fn put<L: Lanes>(to: *mut f32, values: L::Vector, count: usize) {
    // SAFETY: the caller's.
    unsafe {
        if count == WIDTH {
            return L::store(to, values);
        }
        let mut numbers = [0f32; WIDTH];
        L::store(numbers.as_mut_ptr(), values);
        to.copy_from_nonoverlapping(numbers.as_ptr(), count);
    }
}

/// A row's softmax; nothing for what it does not see.
#[inline(always)]
unsafe fn soften<N: Number>(tile: &Tile<N>, scores: *mut f32, row: usize) {
    let end = tile.position + row / tile.group() + 1;
    let first = end.saturating_sub(tile.shape.window).max(tile.base);
    // SAFETY: the caller's.
    let scores =
        unsafe { std::slice::from_raw_parts_mut(scores.add(row * tile.stride()), tile.stride()) };
    let sum = softmax(&mut scores[first - tile.base..end - tile.base]);
    scores[..first - tile.base].fill(0.0);
    scores[end - tile.base..].fill(0.0);
    scores[tile.stride() - 1] = sum.recip();
}

#[inline(always)]
unsafe fn weigh_columns<L: Lanes, N: Number, const R: usize>(
    tile: &Tile<N>,
    scores: *mut f32,
    row: usize,
    columns: Range<usize>,
) -> usize {
    let mut column = columns.start;
    while column < columns.end {
        // SAFETY: the caller's.
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

/// Weighted values of R rows, 16 D numbers of a head from `column` on.
#[inline(always)]
unsafe fn weigh<L: Lanes, N: Number, const R: usize, const D: usize>(
    tile: &Tile<N>,
    scores: *mut f32,
    first: usize,
    column: usize,
) {
    let Heads { count, dim } = tile.shape.kv;
    let width = tile.shape.kv.width();
    let offset = count * tile.shape.kv.keys() + tile.head * WIDTH * width + column;
    // SAFETY: the caller's; values of a block are `[16, width]`.
    unsafe {
        let row: [*const f32; R] =
            std::array::from_fn(|r| scores.add((first + r) * tile.stride()).cast_const());
        let mut acc = [[L::splat(0.0); D]; R];
        for piece in &tile.pieces {
            for index in piece.blocks.clone() {
                let values = piece.kv.block(index).as_ptr().add(offset);
                let from = piece.seen.start.max(index * WIDTH);
                for at in from..piece.seen.end.min((index + 1) * WIDTH) {
                    let value = values.add(at % WIDTH * width);
                    let value: [L::Vector; D] =
                        std::array::from_fn(|d| N::read::<L>(value.add(d * WIDTH)));
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
