//! Kernels for CPUs: quantized matrix products, attention over a KV cache and the row operations of
//! a Transformer, for each instruction set that a processor may support.
//!
//! **Invariant:** outputs are bit-identical for any number of rows, any number of threads and every
//! kernel family. This crate contains no tensors or models, and accesses no files.

#![warn(unreachable_pub)]

pub mod attention;
mod family;
mod lanes;
pub mod linear;
pub mod math;
#[cfg(target_arch = "x86_64")]
pub mod tile_registers;

pub use family::KernelFamily;
