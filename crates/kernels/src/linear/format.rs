//! The weight formats: one table of the layout of a block in a GGUF file and in a strip, and of the
//! number that GGUF gives the format.
//!
//! A new format is a row here, a `dequantize` and a packer for its file block, and an arm in the
//! `kernel` function of each family.

use super::{dequantize, pack};

/// The quantization format of a weight matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
    F16,
    BF16,
    F32,
}

/// A row of the table.
pub(super) struct Spec {
    pub format: Format,
    /// The number of this type in a GGUF file.
    pub ggml: u32,
    /// Values of a file block (plain floats, whose block is one value, are taken 32 at a time).
    pub block: usize,
    /// Bytes of a file block.
    pub bytes: usize,
    /// Bytes that a strip keeps for the scales of one file block of each of its 16 rows.
    pub scales: usize,
    /// Bytes that a strip keeps for 32 columns of its 16 rows.
    pub quants: usize,
    /// Writes the values of a file block.
    pub dequantize: fn(&[u8], &mut [f32]),
    /// Writes up to 16 rows, of so many columns, into a strip.
    pub pack: fn(usize, &[u8], &mut [u8]),
}

#[rustfmt::skip]
static SPECS: [Spec; 11] = [
    Spec { format: Format::Q4_0, ggml: 2,  block: 32,  bytes: 18,  scales: 32,  quants: 256,  dequantize: dequantize::q4_0, pack: pack::q4_0 },
    Spec { format: Format::Q4_1, ggml: 3,  block: 32,  bytes: 20,  scales: 64,  quants: 256,  dequantize: dequantize::q4_1, pack: pack::q4_1 },
    Spec { format: Format::Q5_0, ggml: 6,  block: 32,  bytes: 22,  scales: 32,  quants: 320,  dequantize: dequantize::q5_0, pack: pack::q5_0 },
    Spec { format: Format::Q5_1, ggml: 7,  block: 32,  bytes: 24,  scales: 64,  quants: 320,  dequantize: dequantize::q5_1, pack: pack::q5_1 },
    Spec { format: Format::Q8_0, ggml: 8,  block: 32,  bytes: 34,  scales: 32,  quants: 512,  dequantize: dequantize::q8_0, pack: pack::q8_0 },
    Spec { format: Format::Q4K,  ggml: 12, block: 256, bytes: 144, scales: 320, quants: 256,  dequantize: dequantize::q4k,  pack: pack::q4k },
    Spec { format: Format::Q5K,  ggml: 13, block: 256, bytes: 176, scales: 320, quants: 320,  dequantize: dequantize::q5k,  pack: pack::q5k },
    Spec { format: Format::Q6K,  ggml: 14, block: 256, bytes: 210, scales: 288, quants: 384,  dequantize: dequantize::q6k,  pack: pack::q6k },
    Spec { format: Format::F16,  ggml: 1,  block: 32,  bytes: 64,  scales: 0,   quants: 1024, dequantize: dequantize::f16,  pack: pack::f16 },
    Spec { format: Format::BF16, ggml: 30, block: 32,  bytes: 64,  scales: 0,   quants: 1024, dequantize: dequantize::bf16, pack: pack::f16 },
    Spec { format: Format::F32,  ggml: 0,  block: 32,  bytes: 128, scales: 0,   quants: 2048, dequantize: dequantize::f32,  pack: pack::f32 },
];

impl Format {
    /// Every format, in the order of the table.
    pub fn all() -> impl Iterator<Item = Format> {
        SPECS.iter().map(|spec| spec.format)
    }

    /// Bytes of a block in the file.
    pub fn block_bytes(self) -> usize {
        self.spec().bytes
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

    /// Plain floats are multiplied with float inputs; all else with quantized ones.
    pub(super) fn is_float(self) -> bool {
        matches!(self, Format::F16 | Format::BF16 | Format::F32)
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
