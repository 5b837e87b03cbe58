//! Kernels for CPUs: quantized matrix products, attention over a KV cache and the row operations of
//! a Transformer, for each instruction set that a processor may support.
//!
//! **Invariant:** outputs are bit-identical for one row or many, any number of threads and every
//! kernel family. There are no tensors, models or files here.

#![warn(unreachable_pub)]

pub mod attention;
mod family;
mod lanes;
pub mod linear;
pub mod math;
#[cfg(target_arch = "x86_64")]
pub mod tile_registers;

pub use family::KernelFamily;
