//! The rows that pass through the layers: in plain memory on a CPU, in a tensor on other devices.

use candle_core::{Device, Result, Tensor};
use kernels::linear::Aligned;
use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// The rows of all tokens of a forward pass, `[tokens, width]`.
pub enum Matrix {
    Host(Buffer),
    Device(Tensor),
}

/// A vector of weights, such as a bias or the weight of a norm, stored both as a list and as a
/// tensor.
pub struct Vector {
    pub values: Vec<f32>,
    pub tensor: Tensor,
}

/// Rows in plain memory. When a buffer is dropped, its memory is reused for later buffers, since
/// every layer needs buffers of the same sizes.
#[derive(Default)]
pub struct Buffer {
    values: Aligned<f32>,
    width: usize,
}

thread_local! {
    static FREE: RefCell<Vec<Aligned<f32>>> = const { RefCell::new(Vec::new()) };
}
/// The maximum number of free buffers whose memory is retained for reuse.
const KEPT: usize = 16;

impl Buffer {
    /// Returns a buffer for `tokens` rows of `width` values. The values are arbitrary: zeros, or
    /// what an earlier buffer contained.
    pub fn rows(tokens: usize, width: usize) -> Buffer {
        let len = tokens * width;
        let mut values = FREE.with_borrow_mut(|free| {
            let fits = |values: &Aligned<f32>| values.capacity().wrapping_sub(len);
            let best = (0..free.len()).min_by_key(|index| fits(&free[*index]));
            best.map(|index| free.swap_remove(index))
                .unwrap_or_default()
        });
        values.resize(len);
        Buffer { values, width }
    }

    pub fn zeros(tokens: usize, width: usize) -> Buffer {
        let mut buffer = Buffer::rows(tokens, width);
        buffer.fill(0.0);
        buffer
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn tokens(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    pub fn row(&self, token: usize) -> &[f32] {
        &self.values[token * self.width..][..self.width]
    }

    pub fn row_mut(&mut self, token: usize) -> &mut [f32] {
        &mut self.values[token * self.width..][..self.width]
    }

    pub fn tensor(&self) -> Result<Tensor> {
        let shape = (self.tokens(), self.width);
        Tensor::from_slice(self, shape, &Device::Cpu)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        // A thread that is ending has already dropped its list.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < KEPT && values.capacity() > 0 {
                free.push(values);
            }
        });
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}

impl Matrix {
    pub fn tokens(&self) -> Result<usize> {
        match self {
            Matrix::Host(buffer) => Ok(buffer.tokens()),
            Matrix::Device(tensor) => tensor.dim(0),
        }
    }

    /// Returns the last row.
    pub fn last(self) -> Result<Matrix> {
        match self {
            Matrix::Host(buffer) => {
                let mut last = Buffer::rows(1, buffer.width());
                last.copy_from_slice(buffer.row(buffer.tokens() - 1));
                Ok(Matrix::Host(last))
            }
            Matrix::Device(tensor) => {
                let tokens = tensor.dim(0)?;
                Ok(Matrix::Device(tensor.narrow(0, tokens - 1, 1)?))
            }
        }
    }

    /// Returns the rows with these indices, which must be in ascending order without repeats.
    pub fn select(self, rows: &[usize]) -> Result<Matrix> {
        match self {
            Matrix::Host(buffer) if buffer.tokens() == rows.len() => Ok(Matrix::Host(buffer)),
            Matrix::Host(buffer) => {
                let mut some = Buffer::rows(rows.len(), buffer.width());
                for (to, from) in rows.iter().enumerate() {
                    some.row_mut(to).copy_from_slice(buffer.row(*from));
                }
                Ok(Matrix::Host(some))
            }
            Matrix::Device(tensor) => {
                let rows: Vec<u32> = rows.iter().map(|row| *row as u32).collect();
                let rows = Tensor::new(rows, tensor.device())?;
                Ok(Matrix::Device(tensor.index_select(&rows, 0)?))
            }
        }
    }

    pub fn into_vec(self) -> Result<Vec<f32>> {
        match self {
            Matrix::Host(buffer) => Ok(buffer.to_vec()),
            Matrix::Device(tensor) => tensor.flatten_all()?.to_vec1(),
        }
    }

    pub fn tensor(&self) -> Result<Tensor> {
        match self {
            Matrix::Host(buffer) => buffer.tensor(),
            Matrix::Device(tensor) => Ok(tensor.clone()),
        }
    }

    pub fn copy(&self) -> Result<Matrix> {
        Ok(match self {
            Matrix::Host(buffer) => {
                let mut copy = Buffer::rows(buffer.tokens(), buffer.width());
                copy.copy_from_slice(buffer);
                Matrix::Host(copy)
            }
            Matrix::Device(tensor) => Matrix::Device(tensor.clone()),
        })
    }

    pub fn zeros_like(&self) -> Result<Matrix> {
        Ok(match self {
            Matrix::Host(buffer) => Matrix::Host(Buffer::zeros(buffer.tokens(), buffer.width())),
            Matrix::Device(tensor) => Matrix::Device(tensor.zeros_like()?),
        })
    }

    pub fn times(self, scale: f64) -> Result<Matrix> {
        Ok(match self {
            Matrix::Host(mut buffer) => {
                buffer.iter_mut().for_each(|x| *x *= scale as f32);
                Matrix::Host(buffer)
            }
            Matrix::Device(tensor) => Matrix::Device((tensor * scale)?),
        })
    }

    /// Adds `other` element by element and returns the sum.
    pub fn plus(self, other: Matrix) -> Result<Matrix> {
        match (self, other) {
            (Matrix::Host(mut x), Matrix::Host(y)) => {
                x.iter_mut().zip(y.iter()).for_each(|(x, y)| *x += y);
                Ok(Matrix::Host(x))
            }
            (x, y) => Ok(Matrix::Device((x.tensor()? + y.tensor()?)?)),
        }
    }
}

/// Copies a tensor to plain memory.
pub fn on_host(x: &Tensor) -> Result<Matrix> {
    let (tokens, width) = x.dims2()?;
    let mut rows = Buffer::rows(tokens, width);
    rows.copy_from_slice(&x.flatten_all()?.to_vec1::<f32>()?);
    Ok(Matrix::Host(rows))
}
