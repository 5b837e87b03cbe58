//! Operations of training whose gradients are written out, for a CPU whose matrix registers
//! multiply bfloat16: there candle's own, operation by operation in floats, are several times
//! slower.
//!
//! Everything takes and gives floats; products are rounded to bfloat16 on their way in and summed
//! up in floats. A result depends on nothing but its input, however many threads there are.

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

/// Whether this processor multiplies so, and the system lets it.
pub fn is_supported() -> bool {
    #[cfg(target_arch = "x86_64")]
    return amx::is_supported();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Other processors never come here.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn add(_: View, _: View, _: &mut [f32], _: usize) {}

/// A matrix whose rows or columns are to be summed over: `along` numbers of each of `count`.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub numbers: &'a [f32],
    pub count: usize,
    pub depth: usize,
    pub order: Order,
    /// How far apart rows lie.
    pub stride: usize,
}

/// What lies beside each other in a [`View`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The numbers that are summed over: `[count, along]`.
    RowMajor,
    /// `[along, count]`.
    ColumnMajor,
}

/// The numbers of what lies one after the other.
pub fn contiguous_f32<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let apart = || Error::Msg("numbers that lie one after the other are wanted".into());
    let (from, to) = layout.contiguous_offsets().ok_or_else(apart)?;
    Ok(&storage.as_slice::<f32>()?[from..to])
}

/// What `work` makes of a tensor's numbers.
fn with<T>(x: &Tensor, work: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    match &*storage {
        candle_core::Storage::Cpu(storage) => work(contiguous_f32(storage, layout)?),
        _ => Err(Error::Msg("this is for a CPU".into())),
    }
}
