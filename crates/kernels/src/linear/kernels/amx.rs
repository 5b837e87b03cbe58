//! Kernels for AMX. A matrix register holds 16 rows of 64 bytes, and one instruction multiplies 16
//! rows of input by 16 rows of weights.
//!
//! Only step 1 of the computation described in [`super`] uses the matrix registers. An instruction
//! covers at most 32 columns, which is half of what a register can hold. Thus no sum extends beyond
//! a block, and the float operations that follow are done in their usual order. The compiler does
//! not keep track of the matrix registers, so each piece of assembly names the registers that it
//! uses.
//!
//! Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.

use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::super::group::Group;
use super::super::layout::{CodeBits, FloatKind, Layout, ScaleKind};
use super::super::{BLOCK, STRIP};
use super::avx512vnni::read::{
    Codes, F16Scale, F16ScaleMin, Q4, Q5, Q6, Q8, Scales, SuperBlockHalves, SuperBlockMin,
};
use super::{Strip, Sums, Tiles, Unpacked};
use crate::tile_registers::{self, TileConfig};

/// The number of input rows that one instruction multiplies.
const ROWS: usize = 16;
/// The number of weights in 32 columns of a strip; each takes one byte when unpacked.
const COLUMNS: usize = BLOCK * STRIP;
/// How far ahead of the current address weights are prefetched, in bytes.
const AHEAD: usize = 4096;

/// Returns the kernels for strips of the given layout, or None for plain floats, which AMX does not
/// multiply.
pub(super) fn tiles(layout: Layout) -> Option<Tiles> {
    match layout {
        Layout::Codes(CodeBits::Four, scales) => Some(with_codes::<Q4>(scales)),
        Layout::Codes(CodeBits::Five, scales) => Some(with_codes::<Q5>(scales)),
        Layout::Codes(CodeBits::Six, scales) => Some(with_codes::<Q6>(scales)),
        Layout::Codes(CodeBits::Eight, scales) => Some(with_codes::<Q8>(scales)),
        Layout::Floats(FloatKind::F16 | FloatKind::BF16 | FloatKind::F32) => None,
    }
}

fn with_codes<C: Codes>(scales: ScaleKind) -> Tiles {
    match scales {
        ScaleKind::F16 => of::<C, F16Scale>(),
        ScaleKind::F16Min => of::<C, F16ScaleMin>(),
        ScaleKind::SuperBlockMin => of::<C, SuperBlockMin>(),
        ScaleKind::SuperBlockHalves => of::<C, SuperBlockHalves>(),
    }
}

fn of<C: Codes, S: Scales>() -> Tiles {
    Tiles {
        begin: if S::HALVES {
            configure::<true>
        } else {
            configure::<false>
        },
        end: tile_registers::release,
        unpack: unpack::<C, S>,
        multiply: if S::HALVES {
            multiply::<false, true>
        } else if S::MINIMA {
            multiply::<true, false>
        } else {
            multiply::<false, false>
        },
    }
}

/// Unpacks a strip: converts each weight to one byte, and the scales to floats.
///
/// # Safety
/// The processor supports this family's instructions, and the strip is complete.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
unsafe fn unpack<C: Codes, S: Scales>(strip: &Strip, to: &mut Unpacked) {
    let blocks = strip.quants.len() / C::BYTES;
    to.blocks = blocks;
    to.codes.resize(blocks * COLUMNS);
    to.scales.resize(blocks * STRIP);
    to.minima.resize(if S::MINIMA { blocks * STRIP } else { 0 });
    to.halves
        .resize(if S::HALVES { blocks * 2 * STRIP } else { 0 });
    let zero = _mm512_set1_epi8(if S::MINIMA { 0 } else { C::ZERO as i8 });
    for b in 0..blocks {
        let quants = strip.quants[b * C::BYTES..].as_ptr();
        if strip.cold {
            for line in 0..C::BYTES / 64 {
                let ahead = quants.wrapping_add(AHEAD + line * 64);
                _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
            }
        }
        // SAFETY: block b is within the strip, and every array has a place for it.
        unsafe {
            let codes = to.codes.as_mut_ptr().add(b * COLUMNS);
            for g in 0..4 {
                let (low, high) = C::pair(quants, g);
                let (low, high) = (_mm512_sub_epi8(low, zero), _mm512_sub_epi8(high, zero));
                _mm512_store_si512(codes.add(g * 64).cast(), low);
                _mm512_store_si512(codes.add(g * 64 + 256).cast(), high);
            }
            let (scale, min) = S::of(strip.scales.as_ptr(), b);
            _mm512_store_ps(to.scales.as_mut_ptr().add(b * STRIP), scale);
            if S::MINIMA {
                _mm512_store_ps(to.minima.as_mut_ptr().add(b * STRIP), min);
            }
            if S::HALVES {
                let [first, second] = S::halves(strip.scales.as_ptr(), b);
                let halves = to.halves.as_mut_ptr().add(b * 2 * STRIP);
                _mm512_store_ps(halves, first);
                _mm512_store_ps(halves.add(STRIP), second);
            }
        }
    }
}

/// Returns the register shapes for multiplying `columns` columns. Registers 0 to 3 hold sums, 4 and
/// 5 hold input, 6 and 7 hold weights.
const fn shapes(columns: u8) -> TileConfig {
    let (bytes, quads) = (columns as u16, columns / 4);
    TileConfig::new(
        [64, 64, 64, 64, bytes, bytes, 64, 64],
        [16, 16, 16, 16, 16, 16, quads, quads],
    )
}

static WHOLE: TileConfig = shapes(32);
/// The register shapes for formats whose blocks are multiplied in two halves of 16 columns.
static HALVES: TileConfig = shapes(16);

/// Configures the matrix registers: for halves of blocks if `IN_HALVES` is true, otherwise for
/// whole blocks.
///
/// # Safety
/// The processor has the registers, and the system permits this process to use them.
unsafe fn configure<const IN_HALVES: bool>() {
    let shapes = if IN_HALVES { &HALVES } else { &WHOLE };
    // SAFETY: the processor has the registers.
    unsafe { tile_registers::load_config(shapes) };
}

/// The number of products to compute before they are scaled and summed as floats. It is more than
/// one because alternating between the two kinds of work is slow, but small enough that the
/// products fit in the L1 cache.
const PHASE: usize = 4;

/// The integer sums of each product of a phase, for 16 rows of input and 16 rows of weights.
#[repr(align(64))]
struct Products([[[i32; STRIP]; ROWS]; PHASE]);

/// Pointers to 32 columns of one or two groups of input rows (`x`) and of one or two strips (`w`).
struct Pieces {
    x: [*const i8; 2],
    w: [*const i8; 2],
}

/// Runs assembly instructions. Their inputs are the pointers of [`Pieces`] in rsi, rdi, rdx and
/// rcx, the row strides of `x` and `w` in r8 and r9, and the destination in r10. The destination
/// has one [`Products`] per group and strip, 4,096 bytes apart.
macro_rules! run {
    ($pieces:expr, $to:expr, $($line:expr),*) => {
        asm!(
            $($line),*,
            in("rsi") $pieces.x[0],
            in("rdi") $pieces.x[1],
            in("rdx") $pieces.w[0],
            in("rcx") $pieces.w[1],
            in("r8") BLOCK,
            in("r9") 64usize,
            in("r10") $to,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, preserves_flags),
        )
    };
}

/// The instructions that compute one product and store its sums.
macro_rules! product {
    ($sum:literal, $x:literal, $w:literal, $place:literal) => {
        concat!(
            "tilezero tmm",
            $sum,
            "\n",
            "tdpbssd tmm",
            $sum,
            ", tmm",
            $x,
            ", tmm",
            $w,
            "\n",
            "tilestored [r10 + r9 + ",
            $place,
            "], tmm",
            $sum,
        )
    };
}

/// Computes the products of one block of columns for GROUPS groups and STRIPS strips. Each register
/// that is loaded is used for up to two products.
///
/// # Safety
/// [`configure`] was called, the pieces are complete, and `to` has space for 16 by 16 sums per
/// product.
#[inline(always)]
unsafe fn products<const GROUPS: usize, const STRIPS: usize>(pieces: &Pieces, to: *mut i32) {
    // SAFETY: the caller guarantees 16 x 32 bytes of input and 8 x 64 of weights in each piece; 16
    // x 64 bytes are written per product.
    unsafe {
        match (GROUPS, STRIPS) {
            (1, 1) => run!(
                pieces,
                to,
                "tileloadd tmm4, [rsi + r8]",
                "tileloadd tmm6, [rdx + r9]",
                product!(0, 4, 6, 0)
            ),
            (1, _) => run!(
                pieces,
                to,
                "tileloadd tmm4, [rsi + r8]",
                "tileloadd tmm6, [rdx + r9]",
                product!(0, 4, 6, 0),
                "tileloadd tmm7, [rcx + r9]",
                product!(1, 4, 7, 4096)
            ),
            (_, 1) => run!(
                pieces,
                to,
                "tileloadd tmm4, [rsi + r8]",
                "tileloadd tmm6, [rdx + r9]",
                product!(0, 4, 6, 0),
                "tileloadd tmm5, [rdi + r8]",
                product!(2, 5, 6, 8192)
            ),
            _ => run!(
                pieces,
                to,
                "tileloadd tmm4, [rsi + r8]",
                "tileloadd tmm6, [rdx + r9]",
                product!(0, 4, 6, 0),
                "tileloadd tmm7, [rcx + r9]",
                product!(1, 4, 7, 4096),
                "tileloadd tmm5, [rdi + r8]",
                product!(2, 5, 6, 8192),
                product!(3, 5, 7, 12288)
            ),
        }
    }
}

/// Multiplies one or two strips by one or two groups of 16 input rows.
///
/// # Safety
/// [`configure`] was called; strips and group have the same number of columns.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
unsafe fn multiply<const MINIMA: bool, const IN_HALVES: bool>(
    strips: &[Unpacked],
    group: &Group,
    out: &mut Sums,
) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match (group.rows / ROWS, strips.len()) {
            (1, 1) => tile::<MINIMA, IN_HALVES, 1, 1>(strips, group, out),
            (1, _) => tile::<MINIMA, IN_HALVES, 1, 2>(strips, group, out),
            (_, 1) => tile::<MINIMA, IN_HALVES, 2, 1>(strips, group, out),
            _ => tile::<MINIMA, IN_HALVES, 2, 2>(strips, group, out),
        }
    }
}

/// Multiplies STRIPS strips by GROUPS groups of 16 input rows, one phase at a time.
///
/// # Safety
/// As for [`multiply`]; the rows and strips are within `group` and `strips`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
unsafe fn tile<
    const MINIMA: bool,
    const IN_HALVES: bool,
    const GROUPS: usize,
    const STRIPS: usize,
>(
    strips: &[Unpacked],
    group: &Group,
    out: &mut Sums,
) {
    let blocks = strips[0].blocks;
    let halves = if IN_HALVES { 2 } else { 1 };
    let mut sums = [const { MaybeUninit::<Products>::uninit() }; 4];
    // Plain loops: with iterators the compiler does not inline every call.
    let mut first = 0;
    while first < blocks {
        let end = blocks.min(first + PHASE / halves);
        let mut at = 0;
        while at < (end - first) * halves {
            let (b, half) = (first + at / halves, at % halves);
            // SAFETY: every group and every strip has block b, and the phase has a place for it.
            unsafe {
                let x = group.codes.as_ptr().add(b * ROWS * BLOCK + half * 16);
                let w = b * COLUMNS + half * 256;
                let pieces = Pieces {
                    x: [x, x.add((GROUPS - 1) * blocks * ROWS * BLOCK)],
                    w: [
                        strips[0].codes.as_ptr().add(w),
                        strips[STRIPS - 1].codes.as_ptr().add(w),
                    ],
                };
                let to = sums.as_mut_ptr().cast::<i32>().add(at * ROWS * STRIP);
                products::<GROUPS, STRIPS>(&pieces, to);
            }
            at += 1;
        }
        let mut product = 0;
        while product < GROUPS * STRIPS {
            let (g, s) = (product / STRIPS, product % STRIPS);
            // SAFETY: the products of this phase have been computed.
            unsafe {
                let sums = sums[g * 2 + s].assume_init_ref();
                let rows = out.0.as_mut_ptr().add(g * ROWS);
                let start = g * blocks * ROWS;
                add_up::<MINIMA, IN_HALVES>(sums, &strips[s], group, start, first..end, rows, s);
            }
            product += 1;
        }
        first = end;
    }
}

/// Scales the products of the blocks `blocks` and adds them to the sums in `out`, for 16 input rows
/// and one strip. For the first blocks, the sums start from zero. `start` is the index of the first
/// scale of these input rows.
///
/// # Safety
/// As for [`multiply`]; the group has the scales of 16 rows from `start` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
unsafe fn add_up<const MINIMA: bool, const IN_HALVES: bool>(
    products: &Products,
    strip: &Unpacked,
    group: &Group,
    start: usize,
    blocks: Range<usize>,
    out: *mut [[f32; STRIP]; 2],
    side: usize,
) {
    let halves = if IN_HALVES { 2 } else { 1 };
    // SAFETY: `out` has 16 rows of two strips; every array has the blocks of the phase, or 16 rows
    // of each.
    unsafe {
        let place = |i: usize| (*out.add(i))[side].as_mut_ptr();
        let mut acc = [_mm512_setzero_ps(); ROWS];
        if blocks.start > 0 {
            acc = std::array::from_fn(|i| _mm512_load_ps(place(i)));
        }
        let mut b = blocks.start;
        while b < blocks.end {
            let at = b - blocks.start;
            let load = |half: usize, i: usize| {
                let sums = products.0[at * halves + half][i].as_ptr();
                _mm512_cvtepi32_ps(_mm512_load_si512(sums.cast()))
            };
            let scale = _mm512_load_ps(strip.scales.as_ptr().add(b * STRIP));
            for (i, acc) in acc.iter_mut().enumerate() {
                let mut value = load(0, i);
                if IN_HALVES {
                    let halves = strip.halves.as_ptr().add(b * 2 * STRIP);
                    let second = _mm512_mul_ps(load(1, i), _mm512_load_ps(halves.add(STRIP)));
                    value = _mm512_fmadd_ps(value, _mm512_load_ps(halves), second);
                }
                let row = start + b * ROWS + i;
                let input = _mm512_set1_ps(*group.scales.get_unchecked(row));
                *acc = _mm512_fmadd_ps(_mm512_mul_ps(scale, input), value, *acc);
                if MINIMA {
                    let min = _mm512_load_ps(strip.minima.as_ptr().add(b * STRIP));
                    let sum = _mm512_set1_ps(*group.sums.get_unchecked(row));
                    *acc = _mm512_fmadd_ps(min, sum, *acc);
                }
            }
            b += 1;
        }
        for (i, acc) in acc.into_iter().enumerate() {
            _mm512_store_ps(place(i), acc);
        }
    }
}
