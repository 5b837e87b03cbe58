//! Kernels: 16 outputs of up to 8 rows of input, for one strip of weights.
//!
//! A family is a set of instructions; each has a kernel for every format. All give the same bits,
//! because all do this, block after block of 32 columns, for every output on its own:
//!
//! 1. `dot` = sum of weight code (its zero point taken off) times input code, exact in an i32;
//! 2. `acc = fma(weight scale * input scale, dot, acc)`, the product rounded to f32;
//! 3. formats with minima: `acc = fma(min, input sum, acc)`.
//!
//! Q4K and Q5K have a scale for each block: the product of a half float and 6 bits, exact in f32.
//! Q6K has two: `dot` is then the sum of either half's dot times its integer scale, which is below
//! 2^24 and so exact too. Plain floats take `acc = fma(weight, input, acc)`, column after column.
//!
//! A family with matrix registers (AMX) would be one more file here: a group of 4 columns by 16
//! rows is already what its tiles hold, and 32 columns are half of one.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
mod portable;

use super::quantize::{Group, Part};
use super::{Format, STRIP};

/// 16 rows of weights.
pub(super) struct Strip<'a> {
    /// Scales.
    pub head: &'a [u8],
    /// Weights.
    pub body: &'a [u8],
    /// Not read yet in this pass, so worth asking for ahead.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "portable code cannot ask")
    )]
    pub cold: bool,
}

/// Multiplies a strip with a group of rows: `sums` is `[rows, 16]`.
///
/// Safe where the processor has the family's instructions, and strip and group have the same
/// number of columns.
pub(super) type Kernel = unsafe fn(&Strip, &Group, &mut [[f32; STRIP]]);

/// A set of instructions that kernels are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// AVX-512 with VNNI: Intel from Ice Lake, AMD from Zen 4.
    Avx512Vnni,
    /// AVX2 with VNNI: Intel without AVX-512 from Alder Lake.
    AvxVnni,
    /// AVX2 with FMA: x86 from about 2013.
    Avx2,
    /// Whatever the compiler makes of it.
    Portable,
}

impl Family {
    /// Every family, the best first.
    pub const ALL: [Family; 4] = [
        Family::Avx512Vnni,
        Family::AvxVnni,
        Family::Avx2,
        Family::Portable,
    ];

    /// The best family of this processor.
    pub fn best() -> Family {
        Self::ALL
            .into_iter()
            .find(|family| family.is_here())
            .unwrap_or(Family::Portable)
    }
}

#[cfg(target_arch = "x86_64")]
impl Family {
    /// Whether this processor has the instructions.
    pub fn is_here(self) -> bool {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        match self {
            Family::Avx512Vnni => {
                avx2 && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vnni")
            }
            Family::AvxVnni => avx2 && is_x86_feature_detected!("avxvnni"),
            Family::Avx2 => avx2,
            Family::Portable => true,
        }
    }

    pub(super) fn kernel(self, format: Format) -> Kernel {
        match self {
            Family::Avx512Vnni => avx512vnni::kernel(format),
            Family::AvxVnni => avx2::kernel::<avx2::Vnni>(format),
            Family::Avx2 => avx2::kernel::<avx2::Plain>(format),
            Family::Portable => portable::kernel(format),
        }
    }

    /// The function that quantizes inputs; safe where the processor has the instructions.
    pub(super) fn quantizer(self) -> unsafe fn(Part, usize) {
        match self {
            Family::Avx512Vnni => avx512vnni::quantize,
            Family::AvxVnni | Family::Avx2 => avx2::quantize,
            Family::Portable => portable::quantize,
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Family {
    /// Whether this processor has the instructions.
    pub fn is_here(self) -> bool {
        self == Family::Portable
    }

    pub(super) fn kernel(self, format: Format) -> Kernel {
        portable::kernel(format)
    }

    /// The function that quantizes inputs; safe everywhere.
    pub(super) fn quantizer(self) -> unsafe fn(Part, usize) {
        portable::quantize
    }
}
