//! The types that a tensor in a GGUF file can have: a table of their names and block sizes.
//!
//! Source: ggml.h, `enum ggml_type`, and gguf-py `constants.py`, `GGML_QUANT_SIZES`.
//! [`kernels::linear::Format`] lists the types that illumine's kernels support; a column of this
//! table lists those that candle supports. The other types are listed only so that a file with them
//! can be opened and the error can name them.

use candle_core::quantized::GgmlDType;
use kernels::linear::Format;

/// A tensor type: one row of the table of types.
#[derive(Debug)]
pub struct TensorType {
    /// The number that identifies the type in a file.
    number: u32,
    /// The name of the type in GGML.
    name: &'static str,
    /// The number of values in a block.
    block: usize,
    /// The size of a block, in bytes.
    bytes: usize,
    candle: Option<GgmlDType>,
}

impl PartialEq for TensorType {
    fn eq(&self, other: &TensorType) -> bool {
        self.number == other.number
    }
}

const fn row(
    number: u32,
    name: &'static str,
    block: usize,
    bytes: usize,
    candle: Option<GgmlDType>,
) -> TensorType {
    TensorType {
        number,
        name,
        block,
        bytes,
        candle,
    }
}

#[rustfmt::skip]
static TYPES: [TensorType; 34] = [
    row(0,  "F32",     1,   4,   Some(GgmlDType::F32)),
    row(1,  "F16",     1,   2,   Some(GgmlDType::F16)),
    row(2,  "Q4_0",    32,  18,  Some(GgmlDType::Q4_0)),
    row(3,  "Q4_1",    32,  20,  Some(GgmlDType::Q4_1)),
    row(6,  "Q5_0",    32,  22,  Some(GgmlDType::Q5_0)),
    row(7,  "Q5_1",    32,  24,  Some(GgmlDType::Q5_1)),
    row(8,  "Q8_0",    32,  34,  Some(GgmlDType::Q8_0)),
    row(9,  "Q8_1",    32,  36,  Some(GgmlDType::Q8_1)),
    row(10, "Q2_K",    256, 84,  Some(GgmlDType::Q2K)),
    row(11, "Q3_K",    256, 110, Some(GgmlDType::Q3K)),
    row(12, "Q4_K",    256, 144, Some(GgmlDType::Q4K)),
    row(13, "Q5_K",    256, 176, Some(GgmlDType::Q5K)),
    row(14, "Q6_K",    256, 210, Some(GgmlDType::Q6K)),
    row(15, "Q8_K",    256, 292, Some(GgmlDType::Q8K)),
    row(16, "IQ2_XXS", 256, 66,  None),
    row(17, "IQ2_XS",  256, 74,  None),
    row(18, "IQ3_XXS", 256, 98,  None),
    row(19, "IQ1_S",   256, 50,  None),
    row(20, "IQ4_NL",  32,  18,  None),
    row(21, "IQ3_S",   256, 110, None),
    row(22, "IQ2_S",   256, 82,  None),
    row(23, "IQ4_XS",  256, 136, None),
    row(24, "I8",      1,   1,   None),
    row(25, "I16",     1,   2,   None),
    row(26, "I32",     1,   4,   None),
    row(27, "I64",     1,   8,   None),
    row(28, "F64",     1,   8,   None),
    row(29, "IQ1_M",   256, 56,  None),
    row(30, "BF16",    1,   2,   Some(GgmlDType::BF16)),
    row(34, "TQ1_0",   256, 54,  None),
    row(35, "TQ2_0",   256, 66,  None),
    row(39, "MXFP4",   32,  17,  None),
    row(40, "NVFP4",   64,  36,  None),
    row(41, "Q1_0",    128, 18,  None),
];

impl TensorType {
    /// Returns the type that has the given number in a GGUF file.
    pub(super) fn of(number: u32) -> Option<&'static TensorType> {
        TYPES.iter().find(|row| row.number == number)
    }

    /// Returns the type that corresponds to `format`, a format of illumine's kernels.
    pub fn of_format(format: Format) -> Option<&'static TensorType> {
        TYPES.iter().find(|row| row.format() == Some(format))
    }

    /// Returns the names of the supported types as a list for an error message.
    pub(super) fn supported() -> String {
        let names = TYPES.iter().filter(|row| row.candle.is_some());
        names.map(TensorType::name).collect::<Vec<_>>().join(", ")
    }

    /// The name of the type in GGML.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the number of bytes that `values` values take, or `None` if the values do not fill
    /// whole blocks.
    pub(super) fn bytes_of(&self, values: usize) -> Option<usize> {
        let whole = values.is_multiple_of(self.block);
        (values / self.block)
            .checked_mul(self.bytes)
            .filter(|_| whole)
    }

    /// The corresponding format of illumine's kernels, if the kernels support this type.
    pub fn format(&self) -> Option<Format> {
        Format::from_ggml(self.number)
    }

    /// The corresponding type in candle, if candle supports this type.
    pub fn candle(&self) -> Option<GgmlDType> {
        self.candle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_candle_and_of_the_kernels() {
        for (index, row) in TYPES.iter().enumerate() {
            assert!(index == 0 || TYPES[index - 1].number < row.number);
            if let Some(candle) = row.candle {
                assert_eq!(
                    (row.block, row.bytes),
                    (candle.block_size(), candle.type_size()),
                    "{}",
                    row.name
                );
            }
            if let Some(format) = row.format() {
                assert_eq!(
                    row.bytes_of(512),
                    Some(format.row_bytes(512)),
                    "{}",
                    row.name
                );
                let name = format!("{format:?}");
                assert_eq!(row.name.replace("_K", "K"), name);
            }
        }
    }

    #[test]
    fn every_format_of_the_kernels_has_a_row() {
        for format in Format::all() {
            let mut rows = TYPES.iter().filter(|row| row.format() == Some(format));
            assert!(
                rows.next().is_some_and(|row| row.candle.is_some()),
                "{format:?}"
            );
            assert!(rows.next().is_none());
        }
    }
}
