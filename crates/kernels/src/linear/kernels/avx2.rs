//! Kernels for AVX2. A register holds 4 columns of 8 rows, which is half the rows of a strip.
//!
//! This file contains the kernels of two families. With VNNI, one instruction multiplies the codes
//! in a register by 4 input codes and adds the products to 8 sums. Without VNNI, an instruction
//! adds the products in pairs as 16-bit integers. Sums are computed in 16 bits as long as codes of
//! the given width cannot cause an overflow, and then in 32 bits.

mod read;

use std::arch::x86_64::*;

use read::{
    BF16, Codes, F16, F16Scale, F16ScaleMin, F32, Floats, Q4, Q5, Q6, Q8, Quad, Scales,
    SuperBlockHalves, SuperBlockMin,
};

use super::super::group::{Group, Part};
use super::super::layout::{CodeBits, FloatKind, Layout, ScaleKind};
use super::super::{BLOCK, STRIP};
use super::{Kernel, Strip};

/// How far ahead of the current address weights are prefetched, in bytes.
const AHEAD: usize = 4096;
/// The number of rows of a strip whose weights are in one register.
const SIDE: usize = 8;

/// A way to multiply codes: with VNNI or with AVX2 alone.
pub(super) trait Dot {
    /// Whether [`Dot::quad`] itself subtracts the zero point of 8-bit codes. If it does, its caller
    /// must not.
    const CENTRES_BYTES: bool;
    /// Computes, for each of 8 rows, the dot product of 16 weight codes (`bits` bits each) and the
    /// 16 input codes at `x`. Returns `sum` plus these dot products.
    ///
    /// # Safety
    /// The processor supports this family's instructions, and sixteen codes can be read at `x`.
    unsafe fn quad(bits: u32, quad: &Quad, x: *const i8, sum: __m256i) -> __m256i;
    /// Calls the function `integer` with this implementation, compiled for the instructions that
    /// the implementation needs.
    ///
    /// # Safety
    /// As for `Kernel`.
    unsafe fn kernel<C: Codes, S: Scales>(strip: &Strip, group: &Group, sums: &mut [[f32; STRIP]]);
}

pub(super) fn kernel<D: Dot>(layout: Layout) -> Kernel {
    match layout {
        Layout::Codes(CodeBits::Four, scales) => with_codes::<D, Q4>(scales),
        Layout::Codes(CodeBits::Five, scales) => with_codes::<D, Q5>(scales),
        Layout::Codes(CodeBits::Six, scales) => with_codes::<D, Q6>(scales),
        Layout::Codes(CodeBits::Eight, scales) => with_codes::<D, Q8>(scales),
        Layout::Floats(FloatKind::F16) => float::<F16>,
        Layout::Floats(FloatKind::BF16) => float::<BF16>,
        Layout::Floats(FloatKind::F32) => float::<F32>,
    }
}

fn with_codes<D: Dot, C: Codes>(scales: ScaleKind) -> Kernel {
    match scales {
        ScaleKind::F16 => D::kernel::<C, F16Scale>,
        ScaleKind::F16Min => D::kernel::<C, F16ScaleMin>,
        ScaleKind::SuperBlockMin => D::kernel::<C, SuperBlockMin>,
        ScaleKind::SuperBlockHalves => D::kernel::<C, SuperBlockHalves>,
    }
}

/// Calls [`Part::quantize`], compiled for AVX2.
///
/// # Safety
/// The processor supports this family's instructions; the part's values can be read, and no other
/// thread uses the part's slices.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn quantize(part: Part, k: usize) {
    part.quantize(k);
}

/// Multiplies codes with AVX-VNNI.
pub(super) struct Vnni;

impl Dot for Vnni {
    const CENTRES_BYTES: bool = false;

    #[inline]
    #[target_feature(enable = "avx2,avxvnni,fma,f16c")]
    unsafe fn quad(_bits: u32, quad: &Quad, x: *const i8, mut sum: __m256i) -> __m256i {
        for (g, codes) in quad.iter().enumerate() {
            // SAFETY: the caller guarantees 16 input codes.
            sum = _mm256_dpbusd_avx_epi32(sum, *codes, unsafe { broadcast(x.add(g * 4)) });
        }
        sum
    }

    #[target_feature(enable = "avx2,avxvnni,fma,f16c")]
    unsafe fn kernel<C: Codes, S: Scales>(strip: &Strip, group: &Group, sums: &mut [[f32; STRIP]]) {
        // SAFETY: guaranteed by the caller.
        unsafe { integer::<Self, C, S>(strip, group, sums) }
    }
}

/// Multiplies codes with AVX2 alone.
pub(super) struct Avx2Only;

impl Dot for Avx2Only {
    const CENTRES_BYTES: bool = true;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn quad(bits: u32, quad: &Quad, x: *const i8, sum: __m256i) -> __m256i {
        let ones = _mm256_set1_epi16(1);
        let mut pairs = [_mm256_setzero_si256(); 4];
        for (g, codes) in quad.iter().enumerate() {
            // SAFETY: the caller guarantees 16 input codes.
            let x = unsafe { broadcast(x.add(g * 4)) };
            pairs[g] = if bits == 8 {
                // The instruction multiplies unsigned by signed, so the weight's sign moves to the
                // input.
                let weight = _mm256_xor_si256(*codes, _mm256_set1_epi8(-128));
                _mm256_maddubs_epi16(_mm256_abs_epi8(weight), _mm256_sign_epi8(x, weight))
            } else {
                _mm256_maddubs_epi16(*codes, x)
            };
        }
        // Each lane sums two products: at most 2 * 127 times 15, 31, 63 or 128, of 32767.
        let [a, b, c, d] = pairs;
        let quads = match bits {
            4 | 5 => _mm256_madd_epi16(
                _mm256_add_epi16(_mm256_add_epi16(a, b), _mm256_add_epi16(c, d)),
                ones,
            ),
            6 => {
                let (ab, cd) = (_mm256_add_epi16(a, b), _mm256_add_epi16(c, d));
                _mm256_add_epi32(_mm256_madd_epi16(ab, ones), _mm256_madd_epi16(cd, ones))
            }
            _ => {
                let ab = _mm256_add_epi32(_mm256_madd_epi16(a, ones), _mm256_madd_epi16(b, ones));
                let cd = _mm256_add_epi32(_mm256_madd_epi16(c, ones), _mm256_madd_epi16(d, ones));
                _mm256_add_epi32(ab, cd)
            }
        };
        _mm256_add_epi32(sum, quads)
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn kernel<C: Codes, S: Scales>(strip: &Strip, group: &Group, sums: &mut [[f32; STRIP]]) {
        // SAFETY: guaranteed by the caller.
        unsafe { integer::<Self, C, S>(strip, group, sums) }
    }
}

/// Multiplies a strip of codes by a group of input rows. This function and everything that it calls
/// are always inlined, so that they are compiled for the same instructions as the caller.
///
/// # Safety
/// As for `Kernel`.
#[inline(always)]
unsafe fn integer<D: Dot, C: Codes, S: Scales>(
    strip: &Strip,
    group: &Group,
    sums: &mut [[f32; STRIP]],
) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match group.rows {
            1 => integer_rows::<D, C, S, 1>(strip, group, sums),
            2 => integer_rows::<D, C, S, 2>(strip, group, sums),
            4 => integer_rows::<D, C, S, 4>(strip, group, sums),
            _ => integer_rows::<D, C, S, 8>(strip, group, sums),
        }
    }
}

/// Multiplies a strip of codes by M input rows.
///
/// # Safety
/// As for `Kernel`; the group has M rows or more.
#[inline(always)]
unsafe fn integer_rows<D: Dot, C: Codes, S: Scales, const M: usize>(
    strip: &Strip,
    group: &Group,
    sums: &mut [[f32; STRIP]],
) {
    let blocks = strip.quants.len() / C::BYTES;
    let (scales, mut quants) = (strip.scales.as_ptr(), strip.quants.as_ptr());
    let mut codes = group.codes.as_ptr();
    // SAFETY: block b is within strip and group, which have the same number of blocks.
    unsafe {
        let mut acc = [[_mm256_setzero_ps(); 2]; M];
        if strip.cold {
            prefetch(scales, strip.scales.len());
        }
        for b in 0..blocks {
            if strip.cold {
                prefetch(quants, C::BYTES);
            }
            for side in 0..2 {
                let quads = C::quads(quants, side);
                let (scale, min) = S::of(scales, b, side);
                let halves = S::halves(scales, b, side);
                for (i, acc) in acc.iter_mut().enumerate() {
                    let at = b * M + i;
                    let mut zero = [_mm256_setzero_si256(); 2];
                    if !(S::MINIMA || D::CENTRES_BYTES && C::BITS == 8) {
                        let totals = group.totals.get_unchecked(at);
                        zero = [
                            _mm256_set1_epi32(-C::ZERO * totals[0]),
                            _mm256_set1_epi32(-C::ZERO * totals[1]),
                        ];
                    }
                    let x = codes.add(i * BLOCK);
                    let first = D::quad(C::BITS, &quads[0], x, zero[0]);
                    let value = if S::HALVES {
                        let second = D::quad(C::BITS, &quads[1], x.add(16), zero[1]);
                        let second = _mm256_mul_ps(_mm256_cvtepi32_ps(second), halves[1]);
                        _mm256_fmadd_ps(_mm256_cvtepi32_ps(first), halves[0], second)
                    } else {
                        let first = _mm256_add_epi32(first, zero[1]);
                        _mm256_cvtepi32_ps(D::quad(C::BITS, &quads[1], x.add(16), first))
                    };
                    let scale =
                        _mm256_mul_ps(scale, _mm256_set1_ps(*group.scales.get_unchecked(at)));
                    acc[side] = _mm256_fmadd_ps(scale, value, acc[side]);
                    if S::MINIMA {
                        acc[side] = _mm256_fmadd_ps(
                            min,
                            _mm256_set1_ps(*group.sums.get_unchecked(at)),
                            acc[side],
                        );
                    }
                }
            }
            quants = quants.add(C::BYTES);
            codes = codes.add(M * BLOCK);
        }
        for (acc, sums) in acc.iter().zip(sums) {
            _mm256_storeu_ps(sums.as_mut_ptr(), acc[0]);
            _mm256_storeu_ps(sums[SIDE..].as_mut_ptr(), acc[1]);
        }
    }
}

/// Prefetches `bytes` bytes, starting `AHEAD` bytes after `start`. An invalid address is harmless.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn prefetch(start: *const u8, bytes: usize) {
    let ahead = start.wrapping_add(AHEAD).cast::<i8>();
    for line in 0..bytes / 64 {
        _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_byte_add(line * 64));
    }
}

/// Loads four input codes and copies them to all eight rows of a register.
///
/// # Safety
/// The processor supports this family's instructions, and four codes can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn broadcast(codes: *const i8) -> __m256i {
    // SAFETY: the caller guarantees four codes.
    _mm256_set1_epi32(unsafe { codes.cast::<i32>().read_unaligned() })
}

/// Multiplies a strip of plain floats by a group of input rows.
///
/// # Safety
/// As for `Kernel`.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn float<W: Floats>(strip: &Strip, group: &Group, sums: &mut [[f32; STRIP]]) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match group.rows {
            1 => float_rows::<W, 1>(strip, group, sums),
            2 => float_rows::<W, 2>(strip, group, sums),
            4 => float_rows::<W, 4>(strip, group, sums),
            _ => float_rows::<W, 8>(strip, group, sums),
        }
    }
}

/// Multiplies a strip of plain floats by M input rows.
///
/// # Safety
/// As for `Kernel`; the group has M rows or more.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn float_rows<W: Floats, const M: usize>(
    strip: &Strip,
    group: &Group,
    sums: &mut [[f32; STRIP]],
) {
    let cols = strip.quants.len() / (W::BYTES * STRIP);
    let mut acc = [[_mm256_setzero_ps(); 2]; M];
    for (b, block) in strip
        .quants
        .chunks_exact(W::BYTES * STRIP * BLOCK)
        .enumerate()
    {
        if strip.cold {
            prefetch(block.as_ptr(), block.len());
        }
        for (c, column) in block.chunks_exact(W::BYTES * STRIP).enumerate() {
            // SAFETY: a column has 16 weights.
            let column = unsafe { [W::column(column.as_ptr(), 0), W::column(column.as_ptr(), 1)] };
            for (i, acc) in acc.iter_mut().enumerate() {
                // SAFETY: the group has M rows of as many columns as the strip.
                let value = _mm256_set1_ps(unsafe {
                    *group.values.get_unchecked(i * cols + b * BLOCK + c)
                });
                acc[0] = _mm256_fmadd_ps(column[0], value, acc[0]);
                acc[1] = _mm256_fmadd_ps(column[1], value, acc[1]);
            }
        }
    }
    for (acc, sums) in acc.iter().zip(sums) {
        // SAFETY: the array has 16 floats.
        unsafe {
            _mm256_storeu_ps(sums.as_mut_ptr(), acc[0]);
            _mm256_storeu_ps(sums[SIDE..].as_mut_ptr(), acc[1]);
        }
    }
}
