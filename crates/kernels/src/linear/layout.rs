//! The layouts of strips. A layout determines how wide the codes are and how the scales are stored.

use super::BLOCK;
use super::arena::ALIGN;

/// The layout of a strip of 16 rows, which is all that a kernel needs to know about a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Integer weights, which are multiplied by quantized inputs.
    Codes(CodeBits, ScaleKind),
    /// Float weights, which are multiplied by float inputs.
    Floats(FloatKind),
}

/// The number of bits of a code. In formats without minima, the middle code stands for zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CodeBits {
    Four,
    Five,
    Six,
    Eight,
}

/// How the scales of a row are stored in a strip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScaleKind {
    /// For every 32 columns, a half float: the scale.
    F16,
    /// For every 32 columns, two half floats: the scale, and the minimum, which is added to each
    /// scaled code.
    F16Min,
    /// For every 256 columns, two half floats, then 8 scales and 8 minima, each of which is a
    /// signed byte.
    SuperBlockMin,
    /// For every 256 columns, a half float, then a signed byte for every 16 columns.
    SuperBlockHalves,
}

/// The type of weights that are not quantized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FloatKind {
    F16,
    BF16,
    F32,
}

impl Layout {
    /// The size of the weights in 32 columns of a strip, in bytes.
    pub(super) const fn quants(self) -> usize {
        match self {
            Layout::Codes(CodeBits::Four, _) => 256,
            Layout::Codes(CodeBits::Five, _) => 320,
            Layout::Codes(CodeBits::Six, _) => 384,
            Layout::Codes(CodeBits::Eight, _) => 512,
            Layout::Floats(FloatKind::F16 | FloatKind::BF16) => 1024,
            Layout::Floats(FloatKind::F32) => 2048,
        }
    }

    /// The size of the scales in `columns` columns of a strip, in bytes.
    pub(super) const fn scales(self, columns: usize) -> usize {
        match self {
            Layout::Codes(_, ScaleKind::F16) => columns / BLOCK * 32,
            Layout::Codes(_, ScaleKind::F16Min) => columns / BLOCK * 64,
            Layout::Codes(_, ScaleKind::SuperBlockMin) => columns / 256 * 320,
            Layout::Codes(_, ScaleKind::SuperBlockHalves) => columns / 256 * 288,
            Layout::Floats(_) => 0,
        }
    }

    /// The size in bytes of the scales in `columns` columns of a strip, including the padding that
    /// aligns the weights after the scales.
    pub(super) const fn aligned_scales(self, columns: usize) -> usize {
        self.scales(columns).next_multiple_of(ALIGN)
    }

    /// The size of a strip of `columns` columns, in bytes.
    pub(super) const fn strip(self, columns: usize) -> usize {
        self.aligned_scales(columns) + columns / BLOCK * self.quants()
    }
}
