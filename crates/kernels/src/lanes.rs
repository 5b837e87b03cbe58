//! Vectors of sixteen floats in a kernel family's registers.
//!
//! Every operation (loading, storing, multiplying, fused multiply-add) has bit-identical results in
//! every family. The same is therefore true of code that uses only these operations.

use crate::linear::Pod;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

/// Operations on 16 floats, implemented for each kernel family. They are safe if the processor
/// supports the family's instructions and the pointers are valid for 16 elements.
pub trait Lanes {
    type Vector: Copy;
    /// Returns a vector of sixteen floats that all have the same value.
    ///
    /// # Safety
    /// The processor supports the instructions of this type.
    unsafe fn splat(value: f32) -> Self::Vector;
    /// Loads sixteen floats.
    ///
    /// # Safety
    /// The processor supports the instructions of this type, and sixteen floats can be read at
    /// `at`.
    unsafe fn load(at: *const f32) -> Self::Vector;
    /// Loads sixteen half floats and converts them to floats.
    ///
    /// # Safety
    /// The processor supports the instructions of this type, and sixteen numbers can be read at
    /// `at`.
    unsafe fn load_f16(at: *const u16) -> Self::Vector;
    /// Loads sixteen signed bytes and converts them to floats.
    ///
    /// # Safety
    /// The processor supports the instructions of this type, and sixteen numbers can be read at
    /// `at`.
    unsafe fn load_i8(at: *const i8) -> Self::Vector;
    /// Computes `a * b + c` with a single rounding.
    ///
    /// # Safety
    /// The processor supports the instructions of this type.
    unsafe fn fma(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// Computes `a * b`.
    ///
    /// # Safety
    /// The processor supports the instructions of this type.
    unsafe fn mul(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Stores sixteen floats.
    ///
    /// # Safety
    /// The processor supports the instructions of this type, and sixteen floats may be written at
    /// `at`.
    unsafe fn store(at: *mut f32, value: Self::Vector);
}

pub(crate) const WIDTH: usize = 16;

/// Prefetches the cache line at this address; an invalid address is harmless.
#[inline(always)]
pub(crate) fn prefetch<N>(at: *const N) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 processor supports this, and it reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    let _ = at;
}

/// An element of the KV cache: a float, or an integer code that shares a scale with other codes.
pub trait KvElement: Pod + Send + Sync + 'static {
    /// Whether converting an element to a float costs more than loading it. If so, each element is
    /// converted only once for many rows.
    const NARROW: bool;
    /// Whether elements of this type have scales.
    const SCALED: bool = false;
    /// Rounds each of `values` to the nearest element and writes the elements to `to`. Returns the
    /// common scale of the elements.
    fn quantize(values: &[f32], to: &mut [Self]) -> f32;
    /// Loads sixteen elements with sixteen contiguous scales, one for each element.
    ///
    /// # Safety
    /// The processor supports the instructions of `L`, and sixteen numbers and as many scales can
    /// be read.
    unsafe fn load<L: Lanes>(at: *const Self, scales: *const f32) -> L::Vector;
    /// Loads sixteen elements that have a common scale.
    ///
    /// # Safety
    /// The processor supports the instructions of `L`; sixteen numbers and one scale can be read.
    unsafe fn load_shared_scale<L: Lanes>(at: *const Self, scale: *const f32) -> L::Vector;
}

/// The number of elements that have a common scale, if the element type has scales.
pub(crate) const SCALE_GROUP: usize = 32;

impl KvElement for f32 {
    const NARROW: bool = false;

    fn quantize(values: &[f32], to: &mut [f32]) -> f32 {
        to.copy_from_slice(values);
        1.0
    }

    #[inline(always)]
    unsafe fn load<L: Lanes>(at: *const f32, _: *const f32) -> L::Vector {
        // SAFETY: guaranteed by the caller.
        unsafe { L::load(at) }
    }

    #[inline(always)]
    unsafe fn load_shared_scale<L: Lanes>(at: *const f32, _: *const f32) -> L::Vector {
        // SAFETY: guaranteed by the caller.
        unsafe { L::load(at) }
    }
}

/// A half float, stored as its bits.
impl KvElement for u16 {
    const NARROW: bool = true;

    fn quantize(values: &[f32], to: &mut [u16]) -> f32 {
        let to: &mut [half::f16] = to.reinterpret_cast_mut();
        to.convert_from_f32_slice(values);
        1.0
    }

    #[inline(always)]
    unsafe fn load<L: Lanes>(at: *const u16, _: *const f32) -> L::Vector {
        // SAFETY: guaranteed by the caller.
        unsafe { L::load_f16(at) }
    }

    #[inline(always)]
    unsafe fn load_shared_scale<L: Lanes>(at: *const u16, _: *const f32) -> L::Vector {
        // SAFETY: guaranteed by the caller.
        unsafe { L::load_f16(at) }
    }
}

/// An 8-bit code, as in GGML's Q8_0. Every 32 codes have a common scale, max |x| / 127, which is
/// stored as an f32.
impl KvElement for i8 {
    const NARROW: bool = true;
    const SCALED: bool = true;

    fn quantize(values: &[f32], to: &mut [i8]) -> f32 {
        let peak = values
            .iter()
            .fold(0f32, |peak, value| peak.max(value.abs()));
        let inverse = if peak > 1e-30 { 127.0 / peak } else { 0.0 };
        for (to, value) in to.iter_mut().zip(values) {
            *to = (value * inverse).round_ties_even() as i8;
        }
        peak / 127.0
    }

    #[inline(always)]
    unsafe fn load<L: Lanes>(at: *const i8, scales: *const f32) -> L::Vector {
        // SAFETY: guaranteed by the caller.
        unsafe { L::mul(L::load_i8(at), L::load(scales)) }
    }

    #[inline(always)]
    unsafe fn load_shared_scale<L: Lanes>(at: *const i8, scale: *const f32) -> L::Vector {
        // SAFETY: guaranteed by the caller.
        unsafe { L::mul(L::load_i8(at), L::splat(*scale)) }
    }
}

/// Portable code that the compiler vectorizes.
pub(crate) struct Portable;

impl Lanes for Portable {
    type Vector = [f32; WIDTH];

    #[inline(always)]
    unsafe fn splat(value: f32) -> [f32; WIDTH] {
        [value; WIDTH]
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> [f32; WIDTH] {
        // SAFETY: guaranteed by the caller.
        unsafe { at.cast::<[f32; WIDTH]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_f16(at: *const u16) -> [f32; WIDTH] {
        // SAFETY: guaranteed by the caller.
        let bits = unsafe { at.cast::<[u16; WIDTH]>().read_unaligned() };
        bits.map(|bits| half::f16::from_bits(bits).to_f32())
    }

    #[inline(always)]
    unsafe fn load_i8(at: *const i8) -> [f32; WIDTH] {
        // SAFETY: guaranteed by the caller.
        unsafe { at.cast::<[i8; WIDTH]>().read() }.map(f32::from)
    }

    #[inline(always)]
    unsafe fn fma(a: [f32; WIDTH], b: [f32; WIDTH], c: [f32; WIDTH]) -> [f32; WIDTH] {
        std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
    }

    #[inline(always)]
    unsafe fn mul(a: [f32; WIDTH], b: [f32; WIDTH]) -> [f32; WIDTH] {
        std::array::from_fn(|lane| a[lane] * b[lane])
    }

    #[inline(always)]
    unsafe fn store(at: *mut f32, value: [f32; WIDTH]) {
        // SAFETY: guaranteed by the caller.
        unsafe { at.cast::<[f32; WIDTH]>().write_unaligned(value) }
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Lanes;
    use std::arch::x86_64::*;

    pub(crate) struct Avx512;

    impl Lanes for Avx512 {
        type Vector = __m512;

        #[inline]
        #[target_feature(enable = "avx512f")]
        unsafe fn splat(value: f32) -> __m512 {
            _mm512_set1_ps(value)
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        unsafe fn load(at: *const f32) -> __m512 {
            // SAFETY: guaranteed by the caller.
            unsafe { _mm512_loadu_ps(at) }
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        unsafe fn load_f16(at: *const u16) -> __m512 {
            // SAFETY: guaranteed by the caller.
            _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(at.cast()) })
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        unsafe fn load_i8(at: *const i8) -> __m512 {
            // SAFETY: guaranteed by the caller.
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(unsafe { _mm_loadu_si128(at.cast()) }))
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
            _mm512_fmadd_ps(a, b, c)
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        unsafe fn mul(a: __m512, b: __m512) -> __m512 {
            _mm512_mul_ps(a, b)
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        unsafe fn store(at: *mut f32, value: __m512) {
            // SAFETY: guaranteed by the caller.
            unsafe { _mm512_storeu_ps(at, value) }
        }
    }

    pub(crate) struct Avx2;

    impl Lanes for Avx2 {
        type Vector = [__m256; 2];

        #[inline]
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn splat(value: f32) -> [__m256; 2] {
            [_mm256_set1_ps(value); 2]
        }

        #[inline]
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn load(at: *const f32) -> [__m256; 2] {
            // SAFETY: guaranteed by the caller.
            unsafe { [_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(8))] }
        }

        #[inline]
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn load_f16(at: *const u16) -> [__m256; 2] {
            // SAFETY: guaranteed by the caller.
            let (low, high) = unsafe {
                let at = at.cast::<__m128i>();
                (_mm_loadu_si128(at), _mm_loadu_si128(at.add(1)))
            };
            [_mm256_cvtph_ps(low), _mm256_cvtph_ps(high)]
        }

        #[inline]
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn load_i8(at: *const i8) -> [__m256; 2] {
            // SAFETY: guaranteed by the caller.
            let both = unsafe { _mm_loadu_si128(at.cast()) };
            [
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(both)),
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128::<8>(both))),
            ]
        }

        #[inline]
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn fma(a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
            [
                _mm256_fmadd_ps(a[0], b[0], c[0]),
                _mm256_fmadd_ps(a[1], b[1], c[1]),
            ]
        }

        #[inline]
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn mul(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])]
        }

        #[inline]
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn store(at: *mut f32, value: [__m256; 2]) {
            // SAFETY: guaranteed by the caller.
            unsafe {
                _mm256_storeu_ps(at, value[0]);
                _mm256_storeu_ps(at.add(8), value[1]);
            }
        }
    }
}
