//! The KV cache of one layer: keys and values of every token read, kept between turns.

use candle_core::{DType, Device, Result, Tensor};

/// Keys and values, each `[1, capacity, kv_heads, head_dim]`, of which the first positions are in
/// use. How many is the model's to know: one length serves all layers.
pub struct Cache {
    keys: Tensor,
    values: Tensor,
    capacity: usize,
}

/// The first allocation; it doubles from there, up to the model's context.
const FIRST: usize = 512;

impl Cache {
    pub fn new(kv_heads: usize, head_dim: usize, context: usize, device: &Device) -> Result<Cache> {
        let capacity = FIRST.min(context);
        let zeros = || Tensor::zeros((1, capacity, kv_heads, head_dim), DType::F32, device);
        Ok(Cache {
            keys: zeros()?,
            values: zeros()?,
            capacity,
        })
    }

    /// Writes `[tokens, kv_heads, head_dim]` at `position` and returns everything up to there,
    /// `[1, position + tokens, kv_heads, head_dim]`, without a copy.
    pub fn write(
        &mut self,
        keys: &Tensor,
        values: &Tensor,
        position: usize,
        context: usize,
    ) -> Result<(Tensor, Tensor)> {
        let len = position + keys.dim(0)?;
        self.reserve(position, len, context)?;
        self.keys
            .slice_set(&keys.unsqueeze(0)?.contiguous()?, 1, position)?;
        self.values
            .slice_set(&values.unsqueeze(0)?.contiguous()?, 1, position)?;
        Ok((self.keys.narrow(1, 0, len)?, self.values.narrow(1, 0, len)?))
    }

    fn reserve(&mut self, used: usize, len: usize, context: usize) -> Result<()> {
        if len <= self.capacity {
            return Ok(());
        }
        let capacity = len.next_power_of_two().min(context).max(len);
        for tensor in [&mut self.keys, &mut self.values] {
            let (_, _, kv_heads, head_dim) = tensor.dims4()?;
            let grown = Tensor::zeros(
                (1, capacity, kv_heads, head_dim),
                DType::F32,
                tensor.device(),
            )?;
            if used > 0 {
                grown.slice_set(&tensor.narrow(1, 0, used)?.contiguous()?, 1, 0)?;
            }
            *tensor = grown;
        }
        self.capacity = capacity;
        Ok(())
    }
}
