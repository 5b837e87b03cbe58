//! The layouts of strips: how wide the codes are and which scales they have.

use super::BLOCK;
use super::arena::ALIGN;

/// The layout of a strip of 16 rows: all that a kernel needs to know about a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Integers, multiplied by quantized inputs.
    Codes(CodeBits, ScaleKind),
    /// Floats, multiplied by float inputs.
    Floats(FloatKind),
}

/// The width of a code. If the scales have no minima, the middle code stands for zero.
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
    /// A half float per 32 columns.
    F16,
    /// A half float per 32 columns, and another one for the minimum, which is added.
    F16Min,
    /// Per 256 columns, two half floats, then 8 scales and 8 minima, a signed byte each.
    SuperBlockMin,
    /// Per 256 columns, a half float, then a signed byte for each 16 columns.
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
    /// Bytes of the weights in 32 columns of a strip.
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

    /// Bytes of the scales of `columns` columns of a strip.
    pub(super) const fn scales(self, columns: usize) -> usize {
        match self {
            Layout::Codes(_, ScaleKind::F16) => columns / BLOCK * 32,
            Layout::Codes(_, ScaleKind::F16Min) => columns / BLOCK * 64,
            Layout::Codes(_, ScaleKind::SuperBlockMin) => columns / 256 * 320,
            Layout::Codes(_, ScaleKind::SuperBlockHalves) => columns / 256 * 288,
            Layout::Floats(_) => 0,
        }
    }

    /// Bytes of the scales, with the padding that aligns the weights after them.
    pub(super) const fn aligned_scales(self, columns: usize) -> usize {
        self.scales(columns).next_multiple_of(ALIGN)
    }

    /// Bytes of a strip of `columns` columns.
    pub(super) const fn strip(self, columns: usize) -> usize {
        self.aligned_scales(columns) + columns / BLOCK * self.quants()
    }
}
