//! The contents of a GGUF file: metadata values and tensors.

use super::tensor_type::TensorType;
use std::ops::Range;

/// The position of a tensor's blocks. `shape` is in row-major order, slowest-varying dimension
/// first.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    pub shape: Vec<usize>,
    pub kind: &'static TensorType,
    pub(super) bytes: Range<usize>,
}

/// A value of the metadata; texts and arrays stay in the mapped file.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Text(Range<usize>),
    Array(Array),
}

/// An array in the mapped file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Array {
    /// The type of the elements, as a number.
    pub element: u32,
    pub count: usize,
    /// Where the array begins in the file.
    pub at: usize,
}

impl Value {
    pub(super) fn unsigned(&self) -> Option<u64> {
        match self {
            Value::Unsigned(value) => Some(*value),
            Value::Signed(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }
}
