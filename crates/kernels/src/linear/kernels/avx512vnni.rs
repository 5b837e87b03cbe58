//! Kernels for AVX-512 with VNNI. A register holds 4 columns of 16 rows. One instruction multiplies
//! the codes in a register by 4 input codes and adds the products to 16 sums.
//!
//! The weights are read once for up to 8 rows of input. With a single input row, memory bandwidth
//! is the bottleneck, so the kernels prefetch data a few kilobytes ahead.

pub(super) mod read;

use std::arch::x86_64::*;

use read::{
    BF16, Codes, F16, F16Scale, F16ScaleMin, F32, Floats, Q4, Q5, Q6, Q8, Scales, SuperBlockHalves,
    SuperBlockMin,
};

use super::super::group::{Group, Part, ROUND, SMALL};
use super::super::layout::{CodeBits, FloatKind, Layout, ScaleKind};
use super::super::{BLOCK, STRIP};
use super::{Kernel, Strip};

/// How far ahead of the current address weights are prefetched, in bytes.
const AHEAD: usize = 4096;

pub(super) fn kernel(layout: Layout) -> Kernel {
    match layout {
        Layout::Codes(CodeBits::Four, scales) => with_codes::<Q4>(scales),
        Layout::Codes(CodeBits::Five, scales) => with_codes::<Q5>(scales),
        Layout::Codes(CodeBits::Six, scales) => with_codes::<Q6>(scales),
        Layout::Codes(CodeBits::Eight, scales) => with_codes::<Q8>(scales),
        Layout::Floats(FloatKind::F16) => float::<F16>,
        Layout::Floats(FloatKind::BF16) => float::<BF16>,
        Layout::Floats(FloatKind::F32) => float::<F32>,
    }
}

fn with_codes<C: Codes>(scales: ScaleKind) -> Kernel {
    match scales {
        ScaleKind::F16 => integer::<C, F16Scale>,
        ScaleKind::F16Min => integer::<C, F16ScaleMin>,
        ScaleKind::SuperBlockMin => integer::<C, SuperBlockMin>,
        ScaleKind::SuperBlockHalves => integer::<C, SuperBlockHalves>,
    }
}

/// Quantizes a part like [`Part::quantize`], with code written for AVX-512.
///
/// # Safety
/// The processor supports this family's instructions; the part's values can be read, and no other
/// thread uses the part's slices.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
pub(super) unsafe fn quantize(part: Part, k: usize) {
    part.quantize_with(k, |values, codes| quantize_block(values, codes));
}

/// Quantizes a block in two registers, with the same results as [`Part::quantize`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
fn quantize_block(values: &[f32; BLOCK], codes: &mut [i8; BLOCK]) -> (f32, [i32; 2]) {
    // SAFETY: the 32 values fill two registers.
    let (a, b) = unsafe {
        let values = values.as_ptr();
        (_mm512_loadu_ps(values), _mm512_loadu_ps(values.add(16)))
    };
    let bits = |x: __m512| _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(i32::MAX));
    let peak = f32::from_bits(_mm512_reduce_max_epu32(_mm512_max_epu32(bits(a), bits(b))));
    if !peak.is_finite() {
        *codes = [0; BLOCK];
        return (peak, [0; 2]);
    }
    let inverse = _mm512_set1_ps(if peak > SMALL { 127.0 / peak } else { 0.0 });
    let round = _mm512_set1_ps(ROUND);
    let whole = |x: __m512| {
        let shifted = _mm512_castps_si512(_mm512_add_ps(_mm512_mul_ps(x, inverse), round));
        _mm512_cvtepi32_epi8(_mm512_sub_epi32(shifted, _mm512_castps_si512(round)))
    };
    let both = _mm256_set_m128i(whole(b), whole(a));
    // SAFETY: there is space for the 32 codes.
    unsafe { _mm256_storeu_si256(codes.as_mut_ptr().cast(), both) };
    // Sums four codes at a time, then the four adjacent sums of each half.
    let codes = _mm512_castsi256_si512(both);
    let fours = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1), codes);
    let fours = _mm512_castsi512_si256(fours);
    let twos = _mm256_add_epi32(fours, _mm256_shuffle_epi32::<0b01_00_11_10>(fours));
    let ones = _mm256_add_epi32(twos, _mm256_shuffle_epi32::<0b10_11_00_01>(twos));
    let totals = [
        _mm256_extract_epi32::<0>(ones),
        _mm256_extract_epi32::<4>(ones),
    ];
    (peak / 127.0, totals)
}

/// Multiplies a strip of codes by a group of input rows.
///
/// # Safety
/// As for `Kernel`.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
unsafe fn integer<C: Codes, S: Scales>(strip: &Strip, group: &Group, sums: &mut [[f32; STRIP]]) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match group.rows {
            1 => integer_rows::<C, S, 1>(strip, group, sums),
            2 => integer_rows::<C, S, 2>(strip, group, sums),
            4 => integer_rows::<C, S, 4>(strip, group, sums),
            _ => integer_rows::<C, S, 8>(strip, group, sums),
        }
    }
}

/// Multiplies a strip of codes by M input rows.
///
/// # Safety
/// As for `Kernel`; the group has M rows or more.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
unsafe fn integer_rows<C: Codes, S: Scales, const M: usize>(
    strip: &Strip,
    group: &Group,
    sums: &mut [[f32; STRIP]],
) {
    let blocks = strip.quants.len() / C::BYTES;
    let (scales, mut quants) = (strip.scales.as_ptr(), strip.quants.as_ptr());
    let mut codes = group.codes.as_ptr();
    let mut acc = [_mm512_setzero_ps(); M];
    if strip.cold {
        prefetch(scales, strip.scales.len());
    }
    for b in 0..blocks {
        if strip.cold {
            prefetch(quants, C::BYTES);
        }
        // SAFETY: block b is within strip and group, which have the same number of blocks.
        unsafe {
            let mut dot = [[_mm512_setzero_si512(); 2]; M];
            if !S::MINIMA {
                for (i, dot) in dot.iter_mut().enumerate() {
                    let [a, b] = *group.totals.get_unchecked(b * M + i);
                    let [a, b] = if S::HALVES { [a, b] } else { [a + b, 0] };
                    *dot = [
                        _mm512_set1_epi32(-C::ZERO * a),
                        _mm512_set1_epi32(-C::ZERO * b),
                    ];
                }
            }
            for g in 0..4 {
                let (low, high) = C::pair(quants, g);
                for (i, dot) in dot.iter_mut().enumerate() {
                    let x = codes.add(i * BLOCK + g * 4);
                    dot[0] = _mm512_dpbusd_epi32(dot[0], low, broadcast(x));
                    let second = usize::from(S::HALVES);
                    dot[second] = _mm512_dpbusd_epi32(dot[second], high, broadcast(x.add(16)));
                }
            }
            let (scale, min) = S::of(scales, b);
            let halves = S::halves(scales, b);
            for i in 0..M {
                let mut value = _mm512_cvtepi32_ps(dot[i][0]);
                if S::HALVES {
                    let second = _mm512_mul_ps(_mm512_cvtepi32_ps(dot[i][1]), halves[1]);
                    value = _mm512_fmadd_ps(value, halves[0], second);
                }
                let at = b * M + i;
                let scale = _mm512_mul_ps(scale, _mm512_set1_ps(*group.scales.get_unchecked(at)));
                acc[i] = _mm512_fmadd_ps(scale, value, acc[i]);
                if S::MINIMA {
                    acc[i] =
                        _mm512_fmadd_ps(min, _mm512_set1_ps(*group.sums.get_unchecked(at)), acc[i]);
                }
            }
            quants = quants.add(C::BYTES);
            codes = codes.add(M * BLOCK);
        }
    }
    for (acc, sums) in acc.iter().zip(sums) {
        // SAFETY: the array has 16 floats.
        unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), *acc) };
    }
}

/// Prefetches `bytes` bytes, starting `AHEAD` bytes after `start`. An invalid address is harmless.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
fn prefetch(start: *const u8, bytes: usize) {
    let ahead = start.wrapping_add(AHEAD).cast::<i8>();
    for line in 0..bytes / 64 {
        _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_byte_add(line * 64));
    }
}

/// Loads four input codes and copies them to all 16 rows of a register.
///
/// # Safety
/// The processor supports this family's instructions, and four codes can be read.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
unsafe fn broadcast(codes: *const i8) -> __m512i {
    // SAFETY: the caller guarantees four codes.
    _mm512_set1_epi32(unsafe { codes.cast::<i32>().read_unaligned() })
}

/// Multiplies a strip of plain floats by a group of input rows.
///
/// # Safety
/// As for `Kernel`.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
unsafe fn float<W: Floats>(strip: &Strip, group: &Group, sums: &mut [[f32; STRIP]]) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match group.rows {
            1 => float_rows::<W, 1>(strip, group, sums),
            2 => float_rows::<W, 2>(strip, group, sums),
            4 => float_rows::<W, 4>(strip, group, sums),
            8 => float_rows::<W, 8>(strip, group, sums),
            _ => float_rows::<W, 16>(strip, group, sums),
        }
    }
}

/// Multiplies a strip of plain floats by M input rows.
///
/// # Safety
/// As for `Kernel`; the group has M rows or more.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
unsafe fn float_rows<W: Floats, const M: usize>(
    strip: &Strip,
    group: &Group,
    sums: &mut [[f32; STRIP]],
) {
    let cols = strip.quants.len() / (W::BYTES * STRIP);
    let mut acc = [_mm512_setzero_ps(); M];
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
            let column = unsafe { W::column(column.as_ptr()) };
            for (i, acc) in acc.iter_mut().enumerate() {
                // SAFETY: the group has M rows of as many columns as the strip.
                let value = unsafe { *group.values.get_unchecked(i * cols + b * BLOCK + c) };
                *acc = _mm512_fmadd_ps(column, _mm512_set1_ps(value), *acc);
            }
        }
    }
    for (acc, sums) in acc.iter().zip(sums) {
        // SAFETY: the array has 16 floats.
        unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), *acc) };
    }
}
