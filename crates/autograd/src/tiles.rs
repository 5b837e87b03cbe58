//! Matrices cut into bfloat16 tiles for the matrix registers.
//!
//! A row tile holds 16 rows of 32 numbers. A column tile holds 32 numbers from each of 16 columns.
//! It is stored as 16 rows, each with a pair of numbers for every column. A tile that extends
//! beyond the matrix is padded with zeros.

use super::{Order, View};
use rayon::prelude::*;
use std::arch::x86_64::*;

/// The number of rows in a row tile, and of columns in a column tile.
pub const SIDE: usize = 16;
/// The length of each row of a row tile, and of each column of a column tile.
pub const DEPTH: usize = 32;
/// How many numbers a tile holds.
pub const TILE: usize = SIDE * DEPTH;

/// Fewer tiles than this are all cut by a single thread.
const FEW: usize = 64;

/// Whether a tile belongs to the left operand of a matrix product (rows) or to the right (columns).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Rows,
    Columns,
}

/// A tile, aligned to cache lines.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub struct Tile([u16; TILE]);

/// One operand of a matrix product, cut into strips of 16 rows or columns. Each strip has as many
/// tiles as it takes to cover the depth.
pub struct Tiles {
    tiles: Vec<Tile>,
    /// The number of strips, which is always even.
    pub strips: usize,
    pub steps: usize,
    order: Order,
}

impl Tiles {
    /// Cuts the range `from..to` of the summed dimension into tiles.
    ///
    /// # Safety
    ///
    /// The CPU must satisfy [`super::is_supported`].
    pub unsafe fn of(view: View, side: Side, (from, to): (usize, usize)) -> Tiles {
        let steps = (to - from).div_ceil(DEPTH);
        let strips = view.count.div_ceil(2 * SIDE) * 2;
        let mut tiles = vec![Tile([0; TILE]); strips * steps];
        // In memory order, so that the numbers are read sequentially.
        let inner = match view.order {
            Order::RowMajor => steps,
            Order::ColumnMajor => strips,
        };
        let some = |(outer, tiles): (usize, &mut [Tile])| {
            for (inner, tile) in tiles.iter_mut().enumerate() {
                let (strip, step) = match view.order {
                    Order::RowMajor => (outer, inner),
                    Order::ColumnMajor => (inner, outer),
                };
                let deep = (from + step * DEPTH, to);
                // SAFETY: guaranteed by the caller.
                unsafe { cut(view, side, strip * SIDE, deep, tile) };
            }
        };
        match tiles.len() < FEW {
            true => tiles.chunks_mut(inner).enumerate().for_each(some),
            false => tiles.par_chunks_mut(inner).enumerate().for_each(some),
        }
        Tiles {
            tiles,
            strips,
            steps,
            order: view.order,
        }
    }

    /// Returns a pointer to the first tile of a strip, and the distance in bytes from one tile of
    /// the strip to the next.
    pub fn strip(&self, at: usize) -> (*const Tile, usize) {
        let (first, jump) = match self.order {
            Order::RowMajor => (at * self.steps, 1),
            Order::ColumnMajor => (at, self.strips),
        };
        (&raw const self.tiles[first], jump * size_of::<Tile>())
    }
}

/// Fills a zeroed tile from the 16 rows or columns that start at index `first`. The tile takes the
/// numbers `from..to` of each row or column, or the first 32 of them if there are more.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn cut(view: View, side: Side, first: usize, (from, to): (usize, usize), tile: &mut Tile) {
    let count = SIDE.min(view.count.saturating_sub(first));
    let deep = DEPTH.min(to - from);
    let numbers = view.numbers.as_ptr();
    let out = tile.0.as_mut_ptr().cast::<__m512i>();
    // Row-major rows and column-major columns are copied as they are; the other two cases
    // transpose pairs.
    let natural = match view.order {
        Order::RowMajor => {
            for row in 0..count {
                // SAFETY: reads `deep` numbers of a row of the matrix; masked values are not read.
                unsafe {
                    let own = numbers.add((first + row) * view.stride + from);
                    let low = _mm512_maskz_loadu_ps(lowest(deep), own);
                    let high = lowest(deep.saturating_sub(SIDE));
                    let high = _mm512_maskz_loadu_ps(high, own.wrapping_add(SIDE));
                    let both = _mm512_cvtne2ps_pbh(high, low);
                    _mm512_store_si512(
                        out.add(row),
                        std::mem::transmute::<__m512bh, __m512i>(both),
                    );
                }
            }
            Side::Rows
        }
        Order::ColumnMajor => {
            // SAFETY: 32 numbers are read from an array of 32.
            let mingled = unsafe { _mm512_loadu_si512(MINGLED.as_ptr().cast()) };
            for pair in 0..deep.div_ceil(2) {
                let odd_too = lowest(if 2 * pair + 1 < deep { count } else { 0 });
                // SAFETY: reads `count` numbers of one or two rows; masked values are not read.
                unsafe {
                    let own = numbers.add((from + 2 * pair) * view.stride + first);
                    let even = _mm512_maskz_loadu_ps(lowest(count), own);
                    let odd = _mm512_maskz_loadu_ps(odd_too, own.wrapping_add(view.stride));
                    let both = _mm512_cvtne2ps_pbh(odd, even);
                    let both = std::mem::transmute::<__m512bh, __m512i>(both);
                    let both = _mm512_permutexvar_epi16(mingled, both);
                    _mm512_store_si512(out.add(pair), both);
                }
            }
            Side::Columns
        }
    };
    if natural != side && count > 0 {
        transpose(tile);
    }
}

/// The permutation that interleaves the first sixteen numbers of a row with the last sixteen.
static MINGLED: [u16; DEPTH] = {
    let mut order = [0; DEPTH];
    let mut at = 0;
    while at < DEPTH {
        order[at] = (at / 2 + at % 2 * SIDE) as u16;
        at += 1;
    }
    order
};

/// Returns a 16-bit mask whose lowest `count` bits are set.
fn lowest(count: usize) -> u16 {
    match count {
        0..SIDE => (1 << count) - 1,
        _ => u16::MAX,
    }
}

/// Transposes a `[16, 16]` matrix of pairs of numbers in four steps. The blocks that a step
/// exchanges are twice as large as in the step before.
#[target_feature(enable = "avx512f")]
fn transpose(tile: &mut Tile) {
    let at = tile.0.as_mut_ptr().cast::<__m512i>();
    // SAFETY: a tile is as long as sixteen registers and aligned like them.
    let rows: [__m512i; SIDE] =
        std::array::from_fn(|row| unsafe { _mm512_load_si512(at.add(row)) });
    let pairs: [__m512i; SIDE] = std::array::from_fn(|n| match n % 2 {
        0 => _mm512_unpacklo_epi32(rows[n], rows[n + 1]),
        _ => _mm512_unpackhi_epi32(rows[n - 1], rows[n]),
    });
    // For the four rows from 4 r on, the columns 4 c + n of each quarter c, for n in 0..4.
    let fours: [__m512i; SIDE] = std::array::from_fn(|at| {
        let (four, n) = (at / 4 * 4, at % 4);
        let (low, high) = (pairs[four + n / 2], pairs[four + 2 + n / 2]);
        match n % 2 {
            0 => _mm512_unpacklo_epi64(low, high),
            _ => _mm512_unpackhi_epi64(low, high),
        }
    });
    for n in 0..4 {
        let [a, b, c, d] = [fours[n], fours[4 + n], fours[8 + n], fours[12 + n]];
        let (first, second) = (
            _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b),
            _mm512_shuffle_i32x4::<0b10_00_10_00>(c, d),
        );
        let (third, fourth) = (
            _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b),
            _mm512_shuffle_i32x4::<0b11_01_11_01>(c, d),
        );
        // SAFETY: writes rows 0 to 15 of the tile.
        unsafe {
            let store = |row: usize, x| _mm512_store_si512(at.add(row), x);
            store(n, _mm512_shuffle_i32x4::<0b10_00_10_00>(first, second));
            store(8 + n, _mm512_shuffle_i32x4::<0b11_01_11_01>(first, second));
            store(4 + n, _mm512_shuffle_i32x4::<0b10_00_10_00>(third, fourth));
            store(12 + n, _mm512_shuffle_i32x4::<0b11_01_11_01>(third, fourth));
        }
    }
}
