//! Loads the weights and scales of a strip into registers of 8 rows.

use std::arch::x86_64::*;

/// The codes of 16 columns of 8 rows, as four groups of 4 columns.
pub(super) type Quad = [__m256i; 4];

/// A way of storing weight codes, with the function that decodes 32 columns of a strip.
pub(crate) trait Codes {
    /// The number of bytes that 32 columns of a strip take.
    const BYTES: usize;
    /// The number of bits of a code.
    const BITS: u32;
    /// The code that stands for zero. Used only in formats without minima.
    const ZERO: i32 = 1 << (Self::BITS - 1);
    /// Loads the codes of 8 rows of a block: rows 0 to 7 if `side` is 0, rows 8 to 15 if it is 1.
    /// Returns the first 16 columns and the last 16 columns.
    ///
    /// # Safety
    /// The processor supports this family's instructions, and `quants` points to a block of codes
    /// in this format.
    unsafe fn quads(quants: *const u8, side: usize) -> [Quad; 2];
}

/// A way of storing a block's scales, with the functions that load them.
pub(crate) trait Scales {
    /// Whether the blocks have minima.
    const MINIMA: bool = false;
    /// Whether each half of a block has its own integer scale.
    const HALVES: bool = false;
    /// Loads the scales and the minima of block `b` for 8 rows: rows 0 to 7 if `side` is 0, rows 8
    /// to 15 if it is 1.
    ///
    /// # Safety
    /// The processor supports this family's instructions, and `scales` points to the scales of a
    /// strip that contains block `b`.
    unsafe fn of(scales: *const u8, b: usize, side: usize) -> (__m256, __m256);
    /// Loads the integer scales of block `b`, first for the first 16 columns and then for the last
    /// 16. Returns zeros if `HALVES` is false.
    ///
    /// # Safety
    /// The processor supports this family's instructions, and `scales` points to the scales of a
    /// strip that contains block `b`.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn halves(_scales: *const u8, _b: usize, _side: usize) -> [__m256; 2] {
        [_mm256_setzero_ps(); 2]
    }
}

/// A way of storing weights that are plain floats.
pub(super) trait Floats {
    /// The number of bytes of one weight.
    const BYTES: usize;
    /// Loads the weights of 8 rows of a column: rows 0 to 7 if `side` is 0, rows 8 to 15 if it is
    /// 1.
    ///
    /// # Safety
    /// The processor supports this family's instructions, and sixteen weights can be read.
    unsafe fn column(at: *const u8, side: usize) -> __m256;
}

pub(super) struct Q4;

impl Codes for Q4 {
    const BYTES: usize = 256;
    const BITS: u32 = 4;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn quads(quants: *const u8, side: usize) -> [Quad; 2] {
        let mask = _mm256_set1_epi8(15);
        let mut low = [_mm256_setzero_si256(); 4];
        let mut high = low;
        for (g, (low, high)) in low.iter_mut().zip(&mut high).enumerate() {
            // SAFETY: reads group g of the 32 columns at `quants`.
            let both = unsafe { register(quants.add(g * 64 + side * 32)) };
            *low = _mm256_and_si256(both, mask);
            *high = _mm256_and_si256(_mm256_srli_epi16::<4>(both), mask);
        }
        [low, high]
    }
}

pub(super) struct Q5;

impl Codes for Q5 {
    const BYTES: usize = 320;
    const BITS: u32 = 5;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn quads(quants: *const u8, side: usize) -> [Quad; 2] {
        // SAFETY: reads the 32 columns at `quants`, whose fifth bits follow the nibbles, 4 bytes a
        // side.
        let (mut quads, fifths) = unsafe { (Q4::quads(quants, side), quants.add(256 + side * 4)) };
        for (half, quad) in quads.iter_mut().enumerate() {
            for (g, codes) in quad.iter_mut().enumerate() {
                // SAFETY: as above.
                let fifth = unsafe { fifths.add((half * 4 + g) * 8).cast::<i32>().read() };
                *codes = _mm256_or_si256(*codes, spread(fifth));
            }
        }
        quads
    }
}

/// Expands each of 32 bits to a byte: 16 if the bit is set, otherwise 0.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn spread(bits: i32) -> __m256i {
    let byte = _mm256_set_epi64x(
        0x0303_0303_0303_0303,
        0x0202_0202_0202_0202,
        0x0101_0101_0101_0101,
        0,
    );
    let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
    let bytes = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(bits), byte), bit);
    _mm256_and_si256(_mm256_cmpeq_epi8(bytes, bit), _mm256_set1_epi8(16))
}

pub(super) struct Q6;

impl Codes for Q6 {
    const BYTES: usize = 384;
    const BITS: u32 = 6;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn quads(quants: *const u8, side: usize) -> [Quad; 2] {
        // SAFETY: reads the 32 columns at `quants`, whose high bits follow the nibbles, half by
        // half.
        let (mut quads, pairs) = unsafe { (Q4::quads(quants, side), quants.add(256 + side * 32)) };
        let mask = _mm256_set1_epi8(0x30);
        for (half, quad) in quads.iter_mut().enumerate() {
            // SAFETY: as above.
            let pairs = unsafe { register(pairs.add(half * 64)) };
            let moved = [
                _mm256_slli_epi16::<4>(pairs),
                _mm256_slli_epi16::<2>(pairs),
                pairs,
                _mm256_srli_epi16::<2>(pairs),
            ];
            for (codes, moved) in quad.iter_mut().zip(moved) {
                *codes = _mm256_or_si256(*codes, _mm256_and_si256(moved, mask));
            }
        }
        quads
    }
}

pub(super) struct Q8;

impl Codes for Q8 {
    const BYTES: usize = 512;
    const BITS: u32 = 8;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn quads(quants: *const u8, side: usize) -> [Quad; 2] {
        let mut quads = [[_mm256_setzero_si256(); 4]; 2];
        for g in 0..8 {
            // SAFETY: reads group g of the 32 columns at `quants`.
            quads[g / 4][g % 4] = unsafe { register(quants.add(g * 64 + side * 32)) };
        }
        quads
    }
}

pub(super) struct F16Scale;

impl Scales for F16Scale {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn of(scales: *const u8, b: usize, side: usize) -> (__m256, __m256) {
        // SAFETY: block b has 16 half floats.
        (
            unsafe { f16_values(scales.add(b * 32), side) },
            _mm256_setzero_ps(),
        )
    }
}

pub(super) struct F16ScaleMin;

impl Scales for F16ScaleMin {
    const MINIMA: bool = true;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn of(scales: *const u8, b: usize, side: usize) -> (__m256, __m256) {
        // SAFETY: block b has twice 16 half floats.
        unsafe {
            (
                f16_values(scales.add(b * 64), side),
                f16_values(scales.add(b * 64 + 32), side),
            )
        }
    }
}

pub(super) struct SuperBlockMin;

impl Scales for SuperBlockMin {
    const MINIMA: bool = true;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn of(scales: *const u8, b: usize, side: usize) -> (__m256, __m256) {
        // SAFETY: block b of 8 has a byte for its scale and one for its minimum in each row.
        unsafe {
            let (scales, sub) = (scales.add(b / 8 * 320), b % 8);
            let scale = _mm256_mul_ps(
                f16_values(scales, side),
                bytes(scales.add(64 + sub * 16), side),
            );
            (
                scale,
                _mm256_mul_ps(
                    f16_values(scales.add(32), side),
                    bytes(scales.add(192 + sub * 16), side),
                ),
            )
        }
    }
}

pub(super) struct SuperBlockHalves;

impl Scales for SuperBlockHalves {
    const HALVES: bool = true;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn of(scales: *const u8, b: usize, side: usize) -> (__m256, __m256) {
        // SAFETY: every 8 blocks have 16 half floats.
        (
            unsafe { f16_values(scales.add(b / 8 * 288), side) },
            _mm256_setzero_ps(),
        )
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn halves(scales: *const u8, b: usize, side: usize) -> [__m256; 2] {
        // SAFETY: each half of block b of 8 has a byte in each row.
        unsafe {
            let scales = scales.add(b / 8 * 288 + 32 + b % 8 * 32);
            [bytes(scales, side), bytes(scales.add(16), side)]
        }
    }
}

pub(super) struct F16;

impl Floats for F16 {
    const BYTES: usize = 2;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn column(at: *const u8, side: usize) -> __m256 {
        // SAFETY: the caller guarantees 16 weights.
        unsafe { f16_values(at, side) }
    }
}

pub(super) struct BF16;

impl Floats for BF16 {
    const BYTES: usize = 2;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn column(at: *const u8, side: usize) -> __m256 {
        // SAFETY: the caller guarantees 16 weights.
        let bits = _mm256_cvtepu16_epi32(unsafe { _mm_loadu_si128(at.add(side * 16).cast()) });
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))
    }
}

pub(super) struct F32;

impl Floats for F32 {
    const BYTES: usize = 4;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn column(at: *const u8, side: usize) -> __m256 {
        // SAFETY: the caller guarantees 16 weights.
        unsafe { _mm256_loadu_ps(at.add(side * 32).cast()) }
    }
}

/// Loads 32 bytes.
///
/// # Safety
/// The processor supports this family's instructions, and 32 bytes can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn register(at: *const u8) -> __m256i {
    // SAFETY: the caller guarantees 32 bytes.
    unsafe { _mm256_loadu_si256(at.cast()) }
}

/// Loads 8 of 16 half floats as floats: the first 8 if `side` is 0, the last 8 if it is 1.
///
/// # Safety
/// The processor supports this family's instructions, and sixteen half floats can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn f16_values(at: *const u8, side: usize) -> __m256 {
    // SAFETY: the caller guarantees 32 bytes.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(at.add(side * 16).cast()) })
}

/// Loads 8 of 16 signed bytes as floats: the first 8 if `side` is 0, the last 8 if it is 1.
///
/// # Safety
/// The processor supports this family's instructions, and sixteen bytes can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn bytes(at: *const u8, side: usize) -> __m256 {
    // SAFETY: the caller guarantees 16 bytes.
    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(unsafe {
        _mm_loadl_epi64(at.add(side * 8).cast())
    }))
}
