//! Keys, values or convolution inputs of all evaluated tokens, as a growing tensor on the device.

use candle_core::{DType, Device, Result, Tensor};

/// One row per token, `[1, capacity, parts, width]`. The model tracks how many are in use, since
/// all layers have the same length.
pub struct TensorCache {
    rows: Tensor,
    capacity: usize,
    max_tokens: usize,
}

/// How many tokens the first allocation holds; it doubles as needed, up to `max_tokens`.
const FIRST: usize = 512;

impl TensorCache {
    pub fn new(
        max_tokens: usize,
        parts: usize,
        width: usize,
        device: &Device,
    ) -> Result<TensorCache> {
        let capacity = FIRST.min(max_tokens);
        Ok(TensorCache {
            rows: Tensor::zeros((1, capacity, parts, width), DType::F32, device)?,
            capacity,
            max_tokens,
        })
    }

    /// Writes `rows`, `[tokens, parts, width]`, at `position`. Returns all rows up to the last one
    /// written, `[1, position + tokens, parts, width]`, without a copy.
    pub fn write(&mut self, rows: &Tensor, position: usize) -> Result<Tensor> {
        let len = position + rows.dim(0)?;
        self.reserve(position, len)?;
        let rows = rows.unsqueeze(0)?.contiguous()?;
        self.rows.slice_set(&rows, 1, position)?;
        self.rows.narrow(1, 0, len)
    }

    fn reserve(&mut self, used: usize, len: usize) -> Result<()> {
        if len <= self.capacity {
            return Ok(());
        }
        let capacity = len.next_power_of_two().min(self.max_tokens).max(len);
        let (_, _, parts, width) = self.rows.dims4()?;
        let grown = Tensor::zeros((1, capacity, parts, width), DType::F32, self.rows.device())?;
        if used > 0 {
            let kept = self.rows.narrow(1, 0, used)?.contiguous()?;
            grown.slice_set(&kept, 1, 0)?;
        }
        self.rows = grown;
        self.capacity = capacity;
        Ok(())
    }
}
