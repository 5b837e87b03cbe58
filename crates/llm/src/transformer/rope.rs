//! Rotary position embeddings (Su et al. 2021). The tables are extended as the story grows.

use super::config::{Config, Rope};
use crate::families::RopeLayout;
use candle_core::{Device, Result, Tensor};

/// The cosines and sines of the rotation angles for the positions computed so far, `[positions, dim
/// / 2]` each.
pub struct RopeTables {
    /// The cosines and sines in pairs, for CPUs.
    turns: Vec<(f32, f32)>,
    on_host: bool,
    rope: Rope,
    base: f64,
    /// The per-frequency divisors of Llama 3 and Phi 3, `[dim / 2]`.
    divisors: Option<Vec<f32>>,
    device: Device,
    cos: Tensor,
    sin: Tensor,
    len: usize,
}

impl RopeTables {
    pub fn new(
        rope: &Rope,
        base: f64,
        divisors: Option<Vec<f32>>,
        device: &Device,
        on_host: bool,
    ) -> Result<RopeTables> {
        let empty = Tensor::zeros((1, rope.dim / 2), candle_core::DType::F32, device)?;
        Ok(RopeTables {
            turns: Vec::new(),
            on_host,
            rope: rope.clone(),
            base,
            divisors: divisors.filter(|divisors| divisors.len() == rope.dim / 2),
            device: device.clone(),
            cos: empty.clone(),
            sin: empty,
            len: 0,
        })
    }

    /// Returns the RoPE tables for layers with a sliding window, or None if RoPE's base is the same
    /// in all layers.
    pub fn local(config: &Config, device: &Device, on_host: bool) -> Option<Result<RopeTables>> {
        let base = config.window.as_ref()?.rope_base?;
        let plain = Rope {
            factor: 1.0,
            attn_factor: 1.0,
            ..config.rope.clone()
        };
        Some(RopeTables::new(&plain, base, None, device, on_host))
    }

    /// Extends the tables so that they contain all positions below `len`.
    pub fn grow(&mut self, len: usize) -> Result<()> {
        if len <= self.len {
            return Ok(());
        }
        let len = len.next_power_of_two();
        let half = self.rope.dim / 2;
        let turn = |i: usize| {
            let divisor = self
                .divisors
                .as_ref()
                .map_or(1.0, |divisors| divisors[i] as f64);
            let exponent = (2 * i) as f64 / self.rope.dim as f64;
            self.base.powf(-exponent) / divisor / self.rope.factor
        };
        let turns: Vec<f64> = (0..half).map(turn).collect();
        let size = self.rope.attn_factor;
        let turn = |(at, turn): (usize, &f64)| {
            let (sin, cos) = (at as f64 * turn).sin_cos();
            ((cos * size) as f32, (sin * size) as f32)
        };
        let from = self.turns.len() / half.max(1);
        let new = (from..len).flat_map(|at| turns.iter().map(move |turn| (at, turn)));
        self.turns.extend(new.map(turn));
        if !self.on_host {
            let (cos, sin): (Vec<f32>, Vec<f32>) = self.turns.iter().copied().unzip();
            self.cos = Tensor::from_vec(cos, (len, half), &self.device)?;
            self.sin = Tensor::from_vec(sin, (len, half), &self.device)?;
        }
        self.len = len;
        Ok(())
    }

    /// Returns the cosines and the sines for the positions below `len`, `[len, dim / 2]` each. Only
    /// tables on a device other than the CPU have these tensors.
    pub fn tensors(&self, len: usize) -> Result<(Tensor, Tensor)> {
        Ok((self.cos.narrow(0, 0, len)?, self.sin.narrow(0, 0, len)?))
    }

    /// Rotates one head of the token at `position`, on a CPU.
    pub fn turn(&self, head: &mut [f32], position: usize) {
        let half = self.rope.dim / 2;
        let turns = &self.turns[position * half..][..half];
        match self.rope.layout {
            RopeLayout::HalfSplit => {
                let (first, second) = head[..self.rope.dim].split_at_mut(half);
                for ((x, y), (cos, sin)) in first.iter_mut().zip(second).zip(turns) {
                    (*x, *y) = (*x * cos - *y * sin, *x * sin + *y * cos);
                }
            }
            RopeLayout::Interleaved => {
                let (pairs, _) = head[..self.rope.dim].as_chunks_mut::<2>();
                for ([x, y], (cos, sin)) in pairs.iter_mut().zip(turns) {
                    (*x, *y) = (*x * cos - *y * sin, *x * sin + *y * cos);
                }
            }
        }
    }

    /// Rotates all heads of `x`, which is `[tokens, heads, head_dim]`. The first token is at
    /// `position`.
    pub fn apply(&self, x: &Tensor, position: usize) -> Result<Tensor> {
        let (tokens, _, head_dim) = x.dims3()?;
        let cos = self.cos.narrow(0, position, tokens)?;
        let sin = self.sin.narrow(0, position, tokens)?;
        if self.rope.dim < head_dim {
            let turned = x.narrow(2, 0, self.rope.dim)?.contiguous()?;
            let rest = x.narrow(2, self.rope.dim, head_dim - self.rope.dim)?;
            return Tensor::cat(&[&self.turned(&turned, &cos, &sin)?, &rest], 2);
        }
        self.turned(&x.contiguous()?, &cos, &sin)
    }

    fn turned(&self, x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
        match self.rope.layout {
            RopeLayout::HalfSplit => {
                candle_nn::rotary_emb::rope_thd(&x.unsqueeze(0)?, cos, sin)?.squeeze(0)
            }
            RopeLayout::Interleaved => {
                let by_head = x.transpose(0, 1)?.contiguous()?.unsqueeze(0)?;
                let turned = candle_nn::rotary_emb::rope_i(&by_head, cos, sin)?;
                turned.squeeze(0)?.transpose(0, 1)?.contiguous()
            }
        }
    }
}
