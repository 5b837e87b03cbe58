//! Kernels. A kernel multiplies one strip of weights by a group of input rows, which yields 16
//! outputs for each input row.
//!
//! A kernel family contains, for one instruction set, a kernel for every format. The results of all
//! families are bit-identical, because every kernel computes an output in the same steps, for one
//! block of 32 columns after another:
//!
//! 1. `dot` = sum of weight code (minus its zero point) times input code, exact in an i32;
//! 2. `acc = fma(weight scale * input scale, dot, acc)`, the product rounded to f32;
//! 3. formats with minima: `acc = fma(min, input sum, acc)`.
//!
//! In Q4K and Q5K, each block has a scale, which is the product of a half float and a 6-bit integer
//! and is exact in f32. In Q6K, each half of a block has its own integer scale: the dot product of
//! each half is multiplied by the half's scale, and `dot` is the sum of the two results. This sum
//! is below 2^24, so it is exact too. For plain floats, the only step is `acc = fma(weight, input,
//! acc)`, repeated for each column.
//!
//! A family with matrix registers ([`amx`]) first unpacks the strip's codes to bytes, then does
//! step 1 for 16 rows of input at a time. Groups of fewer than 16 rows are multiplied by the
//! kernels of AVX-512 with VNNI.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
mod portable;

use super::group::{Group, Part};
use super::layout::Layout;
use super::{Aligned, STRIP, TILE};
use crate::family::KernelFamily;

/// A strip: 16 packed rows of weights.
pub(super) struct Strip<'a> {
    /// The packed scales of all blocks of the strip.
    pub scales: &'a [u8],
    /// The packed weights of all blocks of the strip.
    pub quants: &'a [u8],
    /// Whether the kernel should prefetch, because this strip has not been read yet in the current
    /// pass.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "portable code cannot prefetch")
    )]
    pub cold: bool,
}

/// A function that multiplies a strip by a group of input rows. It writes the results to its last
/// argument, which is `[rows, 16]`.
///
/// # Safety
/// The processor supports the family's instructions, and the strip and the group have the same
/// number of columns.
pub(super) type Kernel = unsafe fn(&Strip, &Group, &mut [[f32; STRIP]]);

/// The results for up to 32 input rows and a pair of strips: `[rows, 2, 16]`.
#[repr(align(64))]
pub(super) struct Sums(pub [[[f32; STRIP]; 2]; TILE]);

/// The functions of a kernel family that unpacks strips before it multiplies them. `multiply` takes
/// one or two strips, and 16 or 32 input rows in consecutive groups of 16. All functions are safe
/// if the processor supports the family's instructions, and if `multiply` is called between `begin`
/// and `end` with unpacked strips.
pub(super) struct Tiles {
    /// Called by a thread before its first strip.
    pub begin: unsafe fn(),
    /// Called by a thread after its last strip.
    pub end: unsafe fn(),
    pub unpack: unsafe fn(&Strip, &mut Unpacked),
    pub multiply: unsafe fn(&[Unpacked], &Group, &mut Sums),
}

/// A strip that was unpacked: each weight takes one byte, and the scales are floats.
#[derive(Default)]
pub(super) struct Unpacked {
    pub blocks: usize,
    /// The codes minus their zero points: `[blocks, 8 groups, 16 rows, 4 columns]`.
    pub codes: Aligned<i8>,
    /// The scales, `[blocks, rows]`. The minima have the same shape, if the format has minima.
    pub scales: Aligned<f32>,
    pub minima: Aligned<f32>,
    /// The integer scales of the two halves of each block, `[blocks, 2, rows]`. Empty if the format
    /// has none.
    pub halves: Aligned<f32>,
}

impl Default for Sums {
    fn default() -> Sums {
        Sums([[[0.0; STRIP]; 2]; TILE])
    }
}

impl Sums {
    /// The sums as a flat slice, row by row.
    pub(super) fn numbers(&self) -> &[f32] {
        self.0.as_flattened().as_flattened()
    }

    pub(super) fn numbers_mut(&mut self) -> &mut [f32] {
        self.0.as_flattened_mut().as_flattened_mut()
    }
}

/// Returns the family's kernel for strips of the given layout.
#[cfg(target_arch = "x86_64")]
pub(super) fn kernel(family: KernelFamily, layout: Layout) -> Kernel {
    match family {
        KernelFamily::Amx | KernelFamily::Avx512Vnni => avx512vnni::kernel(layout),
        KernelFamily::AvxVnni => avx2::kernel::<avx2::Vnni>(layout),
        KernelFamily::Avx2 => avx2::kernel::<avx2::Avx2Only>(layout),
        KernelFamily::Portable => portable::kernel(layout),
    }
}

/// Returns the family's functions that unpack and multiply strips of the given layout, or None if
/// the family has none for this layout.
#[cfg(target_arch = "x86_64")]
pub(super) fn tiles(family: KernelFamily, layout: Layout) -> Option<Tiles> {
    match family {
        KernelFamily::Amx => amx::tiles(layout),
        _ => None,
    }
}

/// Returns the family's function that quantizes inputs. Calling it is safe if the processor
/// supports the family's instructions.
#[cfg(target_arch = "x86_64")]
pub(super) fn quantizer(family: KernelFamily) -> unsafe fn(Part, usize) {
    match family {
        KernelFamily::Amx | KernelFamily::Avx512Vnni => avx512vnni::quantize,
        KernelFamily::AvxVnni | KernelFamily::Avx2 => avx2::quantize,
        KernelFamily::Portable => portable::quantize,
    }
}

/// Returns the portable kernel for strips of the given layout.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn kernel(_family: KernelFamily, layout: Layout) -> Kernel {
    portable::kernel(layout)
}

/// Returns None, because no portable kernel unpacks strips before it multiplies them.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn tiles(_family: KernelFamily, _layout: Layout) -> Option<Tiles> {
    None
}

/// Returns the portable function that quantizes inputs. Calling it is safe on every processor.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn quantizer(_family: KernelFamily) -> unsafe fn(Part, usize) {
    portable::quantize
}
