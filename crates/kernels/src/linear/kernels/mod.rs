//! Kernels: each computes 16 outputs for up to 8 rows of input from one strip of weights.
//!
//! A family is an instruction set, with a kernel for every format. All give the same bits, because
//! all compute each output in the same way, one block of 32 columns after another:
//!
//! 1. `dot` = sum of weight code (minus its zero point) times input code, exact in an i32;
//! 2. `acc = fma(weight scale * input scale, dot, acc)`, the product rounded to f32;
//! 3. formats with minima: `acc = fma(min, input sum, acc)`.
//!
//! Q4K and Q5K have a scale for each block: the product of a half float and 6 bits, exact in f32.
//! Q6K has a scale for each half: `dot` is then the sum of each half's dot times its integer scale,
//! which is below 2^24 and so exact too. For plain floats, the only step is
//! `acc = fma(weight, input, acc)`, one column after another.
//!
//! A family with matrix registers ([`amx`]) first unpacks the strip's codes to bytes, then does
//! step 1 for 16 rows of input at a time. It leaves groups of fewer than 16 rows to the family that
//! it builds on.

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

/// 16 rows of weights.
pub(super) struct Strip<'a> {
    /// The scales of all blocks.
    pub scales: &'a [u8],
    /// The weights of all blocks.
    pub quants: &'a [u8],
    /// Whether the strip has not been read yet in this pass, so that prefetching it pays off.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "portable code cannot prefetch")
    )]
    pub cold: bool,
}

/// Multiplies a strip by a group of input rows: `sums` is `[rows, 16]`.
///
/// # Safety
/// The processor supports the family's instructions, and the strip and the group have the same
/// number of columns.
pub(super) type Kernel = unsafe fn(&Strip, &Group, &mut [[f32; STRIP]]);

/// The results of a pair of strips for some input rows: `[rows, 2, 16]`.
#[repr(align(64))]
pub(super) struct Sums(pub [[[f32; STRIP]; 2]; TILE]);

/// The kernels of a family that unpacks strips before it multiplies them. `multiply` takes one or
/// two strips, and 16 or 32 rows in consecutive groups of 16. All are safe if the processor
/// supports the family's instructions and `multiply` runs between `begin` and `end`, with unpacked
/// strips.
pub(super) struct Tiles {
    /// Called by a thread before its first strip.
    pub begin: unsafe fn(),
    /// Called by a thread after its last strip.
    pub end: unsafe fn(),
    pub unpack: unsafe fn(&Strip, &mut Unpacked),
    pub multiply: unsafe fn(&[Unpacked], &Group, &mut Sums),
}

/// A strip with a byte for each weight and floats for scales.
#[derive(Default)]
pub(super) struct Unpacked {
    pub blocks: usize,
    /// The codes minus their zero points: `[blocks, 8 groups, 16 rows, 4 columns]`.
    pub codes: Aligned<i8>,
    /// Scales and minima, `[blocks, rows]` each.
    pub scales: Aligned<f32>,
    pub minima: Aligned<f32>,
    /// The integer scales of the halves of a block, `[blocks, 2, rows]`, if any.
    pub halves: Aligned<f32>,
}

impl Default for Sums {
    fn default() -> Sums {
        Sums([[[0.0; STRIP]; 2]; TILE])
    }
}

impl Sums {
    /// All sums, row by row.
    pub(super) fn numbers(&self) -> &[f32] {
        self.0.as_flattened().as_flattened()
    }

    pub(super) fn numbers_mut(&mut self) -> &mut [f32] {
        self.0.as_flattened_mut().as_flattened_mut()
    }
}

/// The kernel of a family for strips of a layout.
#[cfg(target_arch = "x86_64")]
pub(super) fn kernel(family: KernelFamily, layout: Layout) -> Kernel {
    match family {
        KernelFamily::Amx | KernelFamily::Avx512Vnni => avx512vnni::kernel(layout),
        KernelFamily::AvxVnni => avx2::kernel::<avx2::Vnni>(layout),
        KernelFamily::Avx2 => avx2::kernel::<avx2::Avx2Only>(layout),
        KernelFamily::Portable => portable::kernel(layout),
    }
}

/// The kernels of a family that unpack strips of a layout first, if it has any.
#[cfg(target_arch = "x86_64")]
pub(super) fn tiles(family: KernelFamily, layout: Layout) -> Option<Tiles> {
    match family {
        KernelFamily::Amx => amx::tiles(layout),
        _ => None,
    }
}

/// The function that quantizes inputs; safe if the processor supports the family's instructions.
#[cfg(target_arch = "x86_64")]
pub(super) fn quantizer(family: KernelFamily) -> unsafe fn(Part, usize) {
    match family {
        KernelFamily::Amx | KernelFamily::Avx512Vnni => avx512vnni::quantize,
        KernelFamily::AvxVnni | KernelFamily::Avx2 => avx2::quantize,
        KernelFamily::Portable => portable::quantize,
    }
}

/// The kernel for strips of a layout.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn kernel(_family: KernelFamily, layout: Layout) -> Kernel {
    portable::kernel(layout)
}

/// Returns None: no portable kernel unpacks strips first.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn tiles(_family: KernelFamily, _layout: Layout) -> Option<Tiles> {
    None
}

/// The function that quantizes inputs; safe everywhere.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn quantizer(_family: KernelFamily) -> unsafe fn(Part, usize) {
    portable::quantize
}
