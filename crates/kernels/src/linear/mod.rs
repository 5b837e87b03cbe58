//! Linear layers on the CPU. The weights of a GGUF file are kept in the file's own precision.
//!
//! A weight matrix `[n, k]` (n outputs, k inputs) is packed once into strips of 16 rows (`pack`);
//! the input is quantized once per call to int8 blocks of 32 (`quantize`); a kernel of the best
//! family that this processor has (`kernels`) multiplies the two. A single token reads every weight
//! once, so its speed is limited by memory bandwidth; the tokens of a prompt share each decoded
//! block, so their speed is limited by the integer units.
//!
//! **Invariant:** outputs are bit-identical for one row or many, any number of threads and every
//! kernel family. Integer dot products are exact, and the few float operations after them have a
//! fixed order, documented in `kernels`.
//!
//! Bytes and floats come in, floats go out; there are no tensors, models or files here.

mod activations;
mod aligned;
mod arena;
mod dequantize;
mod format;
mod fused;
mod group;
mod kernels;
mod layout;
mod matmul;
mod pack;
mod packed;
mod pool;
mod quantize;

pub use crate::family::KernelFamily;
pub use activations::Source;
pub use aligned::{Aligned, Pod};
pub use arena::Arena;
pub use format::{Format, dequantize_row};
pub use fused::{Combine, FusedPair, can_fuse, fused_pair};
pub use matmul::{Write, matmul};
pub use packed::Packed;
pub use pool::Pool;

/// The number of rows in a strip, which is also the number of outputs that a kernel computes for
/// each input row.
const STRIP: usize = 16;
/// The number of columns in a block. The inputs of a block share one scale.
const BLOCK: usize = 32;

/// The maximum number of input rows that may be multiplied together by a pair of unpacked strips.
const TILE: usize = 32;

/// An error in the shapes or the bytes of a matrix, or a lack of memory.
#[derive(Debug, thiserror::Error)]
pub enum LinearError {
    #[error(
        "{format:?} weights of {rows} x {cols}: the columns must come in whole blocks of {block}"
    )]
    Columns {
        format: Format,
        rows: usize,
        cols: usize,
        block: usize,
    },
    #[error("{format:?} weights of {rows} x {cols} need {want} bytes; there are {have}")]
    Bytes {
        format: Format,
        rows: usize,
        cols: usize,
        want: usize,
        have: usize,
    },
    #[error("row {row} of {rows}")]
    Row { row: usize, rows: usize },
    #[error("{what} has {have} values, {want} expected")]
    Shape {
        what: &'static str,
        want: usize,
        have: usize,
    },
    #[error("no memory for {bytes} bytes of weights")]
    Memory {
        bytes: usize,
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests;
