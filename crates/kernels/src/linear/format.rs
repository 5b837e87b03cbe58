//! The quantization formats: a table with one row per format, which describes the format's blocks
//! in a GGUF file and the strips into which blocks are packed.
//!
//! A kernel depends only on the format's [`Layout`]: how wide the codes are and how the scales are
//! stored. So a new format that fits an existing layout needs only a row in the table, a function
//! in `dequantize.rs` and a function in `pack.rs`. Only new codes or scales need code in
//! `kernels/`.

use CodeBits::{Eight, Five, Four, Six};
use ScaleKind::{F16Min, SuperBlockHalves, SuperBlockMin};

use super::layout::{CodeBits, FloatKind, Layout, ScaleKind};
use super::{LinearError, dequantize, pack};

/// One row of the table of formats: everything that is specific to one format.
pub(super) struct Spec {
    pub format: Format,
    /// The number that identifies the format in a GGUF file.
    pub ggml: u32,
    /// The number of values in a block of the file. Plain floats have no blocks, so 32 floats count
    /// as one block.
    pub block: usize,
    /// The size of a block of the file, in bytes.
    pub bytes: usize,
    /// The byte offsets of the half-float scales within a block of the file.
    pub half_floats: &'static [usize],
    pub layout: Layout,
    /// Converts one block of the file to floats, and writes the floats to a slice.
    pub dequantize: fn(&[u8], &mut [f32]),
    /// Packs up to 16 rows of the file into a strip. The first argument is the number of columns.
    pub pack: fn(usize, &[u8], &mut [u8]),
}

/// Defines the enum `Format` and the table of formats. Each packing function takes a block as
/// `&[u8; $bytes]`, and is compiled for that size.
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
                const LAYOUT: Layout = Layout::$layout($($part),+);
                pack::strip::<$bytes>($block, LAYOUT, cols, rows, strip, pack::$function);
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
    /// Returns every format, in the order of the table.
    pub fn all() -> impl Iterator<Item = Format> {
        SPECS.iter().map(|spec| spec.format)
    }

    /// The size of a block of the file, in bytes.
    pub fn block_bytes(self) -> usize {
        self.spec().bytes
    }

    /// The byte offsets of the half-float scales within a block of the file.
    pub fn half_floats(self) -> &'static [usize] {
        self.spec().half_floats
    }

    /// Returns the format that has the given type number in a GGUF file.
    pub fn from_ggml(number: u32) -> Option<Format> {
        SPECS
            .iter()
            .find(|spec| spec.ggml == number)
            .map(|spec| spec.format)
    }

    /// The number of bytes that a row of `cols` values takes in the file.
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

/// Dequantizes row `row` of the GGUF matrix `data` to `out`. The matrix is `[n, k]`, stored in
/// `format`; `out` is `[k]`.
pub fn dequantize_row(
    format: Format,
    data: &[u8],
    row: usize,
    k: usize,
    out: &mut [f32],
) -> Result<(), LinearError> {
    let spec = format.spec();
    let bytes = format.row_bytes(k);
    if bytes == 0 || !k.is_multiple_of(spec.block) {
        return Err(LinearError::Columns {
            format,
            rows: 1,
            cols: k,
            block: spec.block,
        });
    }
    if out.len() != k {
        return Err(LinearError::Shape {
            what: "a row of weights",
            want: k,
            have: out.len(),
        });
    }
    let blocks = data.chunks_exact(bytes).nth(row).ok_or(LinearError::Row {
        row,
        rows: data.len() / bytes,
    })?;
    for (block, values) in blocks
        .chunks_exact(spec.bytes)
        .zip(out.chunks_exact_mut(spec.block))
    {
        (spec.dequantize)(block, values);
    }
    Ok(())
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
