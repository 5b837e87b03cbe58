//! The quantization formats: one table of their blocks in a GGUF file, and of the strips that
//! blocks are packed into.
//!
//! Kernels depend only on [`Layout`]s: how wide the codes are and which scales they have. So a new
//! format that fits one of these needs only a row here, a function in `dequantize.rs` and another
//! in `pack.rs`. Only new codes or scales need code in `kernels/`.

use CodeBits::{Eight, Five, Four, Six};
use ScaleKind::{F16Min, SuperBlockHalves, SuperBlockMin};

use super::{BLOCK, dequantize, pack};

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

/// The scales of a row in a strip.
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
}

/// A row of the table.
pub(super) struct Spec {
    pub format: Format,
    /// The number of this type in a GGUF file.
    pub ggml: u32,
    /// The number of values in a file block; plain floats, which have no blocks, count as blocks of
    /// 32.
    pub block: usize,
    /// Bytes of a file block.
    pub bytes: usize,
    /// The byte offsets of a file block's half-float scales.
    pub half_floats: &'static [usize],
    pub layout: Layout,
    /// Writes the values of a file block.
    pub dequantize: fn(&[u8], &mut [f32]),
    /// Packs up to 16 rows of the given number of columns into a strip.
    pub pack: fn(usize, &[u8], &mut [u8]),
}

/// Defines the enum and the table. Each packer takes `&[u8; bytes]` and is compiled for that size.
macro_rules! formats {
    ($($name:ident: $ggml:literal, $block:literal, $bytes:literal, $half_floats:expr,
       $layout:ident($($part:expr),+), $function:ident;)*) => {
        /// The quantization format of a weight matrix.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Format { $($name,)* }

        static SPECS: &[Spec] = &[$(Spec {
            format: Format::$name,
            ggml: $ggml,
            block: $block,
            bytes: $bytes,
            half_floats: &$half_floats,
            layout: Layout::$layout($($part),+),
            dequantize: dequantize::$function,
            pack: |cols, rows, strip| {
                pack::strip::<$bytes>(Format::$name, cols, rows, strip, pack::$function);
            },
        },)*];
    };
}

#[rustfmt::skip]
formats! {
    // ggml.h's number; values and bytes of a file block; its half floats; the strip's layout; the
    // function in `dequantize` and `pack`.
    Q4_0: 2,  32,  18,  [0],    Codes(Four,  ScaleKind::F16),   q4_0;
    Q4_1: 3,  32,  20,  [0, 2], Codes(Four,  F16Min),           q4_1;
    Q5_0: 6,  32,  22,  [0],    Codes(Five,  ScaleKind::F16),   q5_0;
    Q5_1: 7,  32,  24,  [0, 2], Codes(Five,  F16Min),           q5_1;
    Q8_0: 8,  32,  34,  [0],    Codes(Eight, ScaleKind::F16),   q8_0;
    Q4K:  12, 256, 144, [0, 2], Codes(Four,  SuperBlockMin),    q4k;
    Q5K:  13, 256, 176, [0, 2], Codes(Five,  SuperBlockMin),    q5k;
    Q6K:  14, 256, 210, [208],  Codes(Six,   SuperBlockHalves), q6k;
    F16:  1,  32,  64,  [],     Floats(FloatKind::F16),         f16;
    BF16: 30, 32,  64,  [],     Floats(FloatKind::BF16),        bf16;
    F32:  0,  32,  128, [],     Floats(FloatKind::F32),         f32;
}

impl Format {
    /// Every format, in the order of the table.
    pub fn all() -> impl Iterator<Item = Format> {
        SPECS.iter().map(|spec| spec.format)
    }

    /// Bytes of a block in the file.
    pub fn block_bytes(self) -> usize {
        self.spec().bytes
    }

    /// The byte offsets of a file block's half-float scales.
    pub fn half_floats(self) -> &'static [usize] {
        self.spec().half_floats
    }

    /// The format with this type number in a GGUF file.
    pub fn from_ggml(number: u32) -> Option<Format> {
        SPECS
            .iter()
            .find(|spec| spec.ggml == number)
            .map(|spec| spec.format)
    }

    /// Bytes of one row of `cols` values in the file.
    pub fn row_bytes(self, cols: usize) -> usize {
        cols / self.spec().block * self.spec().bytes
    }

    pub(super) fn layout(self) -> Layout {
        self.spec().layout
    }

    /// Whether the weights are plain floats, which are multiplied by float inputs; weights in all
    /// other formats are multiplied by quantized inputs.
    pub(super) fn is_float(self) -> bool {
        matches!(self.layout(), Layout::Floats(_))
    }

    pub(super) fn spec(self) -> &'static Spec {
        &SPECS[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (index, spec) in SPECS.iter().enumerate() {
            assert_eq!(spec.format as usize, index);
            assert_eq!(Format::from_ggml(spec.ggml), Some(spec.format));
        }
    }
}
