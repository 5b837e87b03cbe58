//! The contents of a GGUF file: metadata values and tensors.

use super::tensor_type::TensorType;
use std::ops::Range;

/// The shape, type and location of a tensor. `shape` is in row-major order: the slowest-varying
/// dimension comes first.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    pub shape: Vec<usize>,
    pub kind: &'static TensorType,
    pub(super) bytes: Range<usize>,
}

/// A metadata value. Strings and arrays remain in the mapped file; the value contains only their
/// location.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Text(Range<usize>),
    Array(Array),
}

/// The location of an array in the mapped file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Array {
    /// The number that identifies the type of the elements.
    pub element: u32,
    pub count: usize,
    /// The byte offset in the file at which the array's elements begin.
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
