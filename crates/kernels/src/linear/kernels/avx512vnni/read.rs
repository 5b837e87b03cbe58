//! Loads the weights and scales of a strip into registers of 16 rows.

use std::arch::x86_64::*;

/// A way of storing weight codes, with the function that decodes them.
pub(crate) trait Codes {
    /// The number of bytes that 32 columns of a strip take.
    const BYTES: usize;
    /// The code that stands for zero. Used only in formats without minima.
    const ZERO: i32;
    /// Loads the codes of two groups of 4 columns: group `g`, which must be less than 4, and group
    /// `g + 4`.
    ///
    /// # Safety
    /// The processor supports this family's instructions, and `quants` points to a block of codes
    /// in this format.
    unsafe fn pair(quants: *const u8, g: usize) -> (__m512i, __m512i);
}

/// A way of storing a block's scales, with the functions that load them.
pub(crate) trait Scales {
    /// Whether the blocks have minima.
    const MINIMA: bool = false;
    /// Whether each half of a block has its own integer scale.
    const HALVES: bool = false;
    /// Loads the scales and the minima of block `b` for all 16 rows.
    ///
    /// # Safety
    /// The processor supports this family's instructions, and `scales` points to the scales of a
    /// strip that contains block `b`.
    unsafe fn of(scales: *const u8, b: usize) -> (__m512, __m512);
    /// Loads the integer scales of block `b`, first for the first 16 columns and then for the last
    /// 16. Returns zeros if `HALVES` is false.
    ///
    /// # Safety
    /// The processor supports this family's instructions, and `scales` points to the scales of a
    /// strip that contains block `b`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
    unsafe fn halves(_scales: *const u8, _b: usize) -> [__m512; 2] {
        [_mm512_setzero_ps(); 2]
    }
}

/// A way of storing weights that are plain floats.
pub(crate) trait Floats {
    /// The number of bytes of one weight.
    const BYTES: usize;
    /// Loads the weights of a column, one for each of the 16 rows.
    ///
    /// # Safety
    /// The processor supports this family's instructions, and sixteen weights can be read.
    unsafe fn column(at: *const u8) -> __m512;
}

pub(crate) struct Q4;

impl Codes for Q4 {
    const BYTES: usize = 256;
    const ZERO: i32 = 8;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
    unsafe fn pair(quants: *const u8, g: usize) -> (__m512i, __m512i) {
        // SAFETY: reads group g of the 32 columns at `quants`.
        let both = unsafe { _mm512_loadu_si512(quants.add(g * 64).cast()) };
        let mask = _mm512_set1_epi8(15);
        (
            _mm512_and_si512(both, mask),
            _mm512_and_si512(_mm512_srli_epi16::<4>(both), mask),
        )
    }
}

pub(crate) struct Q5;

impl Codes for Q5 {
    const BYTES: usize = 320;
    const ZERO: i32 = 16;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
    unsafe fn pair(quants: *const u8, g: usize) -> (__m512i, __m512i) {
        // SAFETY: reads group g of the 32 columns at `quants`, whose fifth bits follow the nibbles.
        let ((low, high), fifth) = unsafe { (Q4::pair(quants, g), quants.add(256).cast::<u64>()) };
        // SAFETY: as above.
        let (first, second) = unsafe { (fifth.add(g).read(), fifth.add(g + 4).read()) };
        let bit = _mm512_set1_epi8(16);
        (
            _mm512_mask_add_epi8(low, first, low, bit),
            _mm512_mask_add_epi8(high, second, high, bit),
        )
    }
}

pub(crate) struct Q6;

impl Codes for Q6 {
    const BYTES: usize = 384;
    const ZERO: i32 = 32;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
    unsafe fn pair(quants: *const u8, g: usize) -> (__m512i, __m512i) {
        // SAFETY: reads group g of the 32 columns at `quants`, whose high bits follow the nibbles.
        let ((low, high), first, second) = unsafe {
            let pairs = quants.add(256);
            (
                Q4::pair(quants, g),
                _mm512_loadu_si512(pairs.cast()),
                _mm512_loadu_si512(pairs.add(64).cast()),
            )
        };
        (
            _mm512_or_si512(low, bit_pairs(first, g)),
            _mm512_or_si512(high, bit_pairs(second, g)),
        )
    }
}

/// Returns bits `2 * g` and `2 * g + 1` of every byte, moved to bits 4 and 5. `g` is at most 3.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
fn bit_pairs(bytes: __m512i, g: usize) -> __m512i {
    let moved = match g {
        0 => _mm512_slli_epi16::<4>(bytes),
        1 => _mm512_slli_epi16::<2>(bytes),
        2 => bytes,
        _ => _mm512_srli_epi16::<2>(bytes),
    };
    _mm512_and_si512(moved, _mm512_set1_epi8(0x30))
}

pub(crate) struct Q8;

impl Codes for Q8 {
    const BYTES: usize = 512;
    const ZERO: i32 = 128;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
    unsafe fn pair(quants: *const u8, g: usize) -> (__m512i, __m512i) {
        // SAFETY: reads groups g and g + 4 of the 32 columns at `quants`.
        unsafe {
            let low = quants.add(g * 64);
            (
                _mm512_loadu_si512(low.cast()),
                _mm512_loadu_si512(low.add(256).cast()),
            )
        }
    }
}

pub(crate) struct F16Scale;

impl Scales for F16Scale {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
    unsafe fn of(scales: *const u8, b: usize) -> (__m512, __m512) {
        // SAFETY: block b has 16 half floats.
        (
            unsafe { f16_values(scales.add(b * 32)) },
            _mm512_setzero_ps(),
        )
    }
}

pub(crate) struct F16ScaleMin;

impl Scales for F16ScaleMin {
    const MINIMA: bool = true;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
    unsafe fn of(scales: *const u8, b: usize) -> (__m512, __m512) {
        // SAFETY: block b has twice 16 half floats.
        unsafe {
            (
                f16_values(scales.add(b * 64)),
                f16_values(scales.add(b * 64 + 32)),
            )
        }
    }
}

pub(crate) struct SuperBlockMin;

impl Scales for SuperBlockMin {
    const MINIMA: bool = true;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
    unsafe fn of(scales: *const u8, b: usize) -> (__m512, __m512) {
        // SAFETY: block b of 8 has a byte for its scale and one for its minimum in each row.
        unsafe {
            let (scales, sub) = (scales.add(b / 8 * 320), b % 8);
            let scale = _mm512_mul_ps(f16_values(scales), bytes(scales.add(64 + sub * 16)));
            (
                scale,
                _mm512_mul_ps(
                    f16_values(scales.add(32)),
                    bytes(scales.add(192 + sub * 16)),
                ),
            )
        }
    }
}

pub(crate) struct SuperBlockHalves;

impl Scales for SuperBlockHalves {
    const HALVES: bool = true;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
    unsafe fn of(scales: *const u8, b: usize) -> (__m512, __m512) {
        // SAFETY: every 8 blocks have 16 half floats.
        (
            unsafe { f16_values(scales.add(b / 8 * 288)) },
            _mm512_setzero_ps(),
        )
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
    unsafe fn halves(scales: *const u8, b: usize) -> [__m512; 2] {
        // SAFETY: each half of block b of 8 has a byte in each row.
        unsafe {
            let scales = scales.add(b / 8 * 288 + 32 + b % 8 * 32);
            [bytes(scales), bytes(scales.add(16))]
        }
    }
}

/// Loads 16 half floats as floats.
///
/// # Safety
/// The processor supports this family's instructions, and sixteen half floats can be read.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
unsafe fn f16_values(at: *const u8) -> __m512 {
    // SAFETY: the caller guarantees 32 bytes.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(at.cast()) })
}

/// Loads 16 signed bytes as floats.
///
/// # Safety
/// The processor supports this family's instructions, and sixteen bytes can be read.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
unsafe fn bytes(at: *const u8) -> __m512 {
    // SAFETY: the caller guarantees 16 bytes.
    _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(unsafe { _mm_loadu_si128(at.cast()) }))
}

pub(crate) struct F16;

impl Floats for F16 {
    const BYTES: usize = 2;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
    unsafe fn column(at: *const u8) -> __m512 {
        // SAFETY: the caller guarantees 16 weights.
        unsafe { f16_values(at) }
    }
}

pub(crate) struct BF16;

impl Floats for BF16 {
    const BYTES: usize = 2;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
    unsafe fn column(at: *const u8) -> __m512 {
        // SAFETY: the caller guarantees 16 weights.
        let bits = _mm512_cvtepu16_epi32(unsafe { _mm256_loadu_si256(at.cast()) });
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits))
    }
}

pub(crate) struct F32;

impl Floats for F32 {
    const BYTES: usize = 4;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
    unsafe fn column(at: *const u8) -> __m512 {
        // SAFETY: the caller guarantees 16 weights.
        unsafe { _mm512_loadu_ps(at.cast()) }
    }
}
