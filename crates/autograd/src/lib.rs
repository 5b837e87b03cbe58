//! Training operations with hand-written gradients, for CPUs whose matrix registers (AMX) multiply
//! bfloat16. On these CPUs, candle computes the same results in f32, one operation at a time, which
//! takes several times as long.
//!
//! Inputs and outputs are f32. The operands of a matrix product are rounded to bfloat16, and their
//! products are summed in f32. A result depends only on its input, not on the number of threads.

// Only tests may read the environment; the library receives settings as arguments (clippy.toml).
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod affine;
#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
mod norm;
#[cfg(target_arch = "x86_64")]
mod product;
mod squared;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod tiles;

pub use affine::{affine, matmul, matmul_transposed};
pub use attention::attend;
pub use norm::modulated_norm;
pub use squared::squared_relu;

use candle_core::{CpuStorage, Error, Layout, Result, Tensor};

#[cfg(target_arch = "x86_64")]
use product::add;

/// Whether the CPU has the AMX and AVX-512 instructions that this crate uses, and the operating
/// system enables the matrix registers.
pub fn is_supported() -> bool {
    #[cfg(target_arch = "x86_64")]
    return amx::is_supported();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Stands in for `product::add` on CPUs other than x86-64. It is never called there, because
/// [`is_supported`] returns false.
///
/// # Safety
/// Always safe, since the function does nothing.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn add(_: View, _: View, _: &mut [f32], _: usize) {}

/// One operand of a matrix product: `count` vectors of `depth` numbers. The product sums over
/// `depth`.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub numbers: &'a [f32],
    pub count: usize,
    pub depth: usize,
    pub order: Order,
    /// The distance between the starts of two consecutive rows, counted in numbers.
    pub stride: usize,
}

/// Which dimension of a [`View`] is contiguous.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The summed dimension is contiguous. The matrix is `[count, depth]`.
    RowMajor,
    /// The dimension that is not summed is contiguous. The matrix is `[depth, count]`.
    ColumnMajor,
}

/// Returns the values of a contiguous f32 tensor, or an error for any other tensor.
pub fn contiguous_f32<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let apart = || Error::Msg("the tensor must be contiguous".into());
    let (from, to) = layout.contiguous_offsets().ok_or_else(apart)?;
    Ok(&storage.as_slice::<f32>()?[from..to])
}

/// Calls `work` with the values of `x` in contiguous order.
fn with<T>(x: &Tensor, work: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    match &*storage {
        candle_core::Storage::Cpu(storage) => work(contiguous_f32(storage, layout)?),
        _ => Err(Error::Msg("this operation runs only on a CPU".into())),
    }
}
