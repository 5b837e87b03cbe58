//! The keys, values or convolution inputs of all evaluated tokens, in a tensor on the device. The
//! tensor grows as needed.

use candle_core::{DType, Device, Result, Tensor};

/// A cache with one row per token, `[1, capacity, parts, width]`. The model counts the rows in use,
/// since the count is the same in all layers.
pub struct TensorCache {
    rows: Tensor,
    capacity: usize,
    max_tokens: usize,
}

/// The initial capacity in tokens. The capacity doubles as needed, up to `max_tokens`.
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

    /// Writes `rows`, which are `[tokens, parts, width]`, to the cache, starting at `position`.
    /// Returns all rows up to the last row written, `[1, position + tokens, parts, width]`, without
    /// copying them.
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
