//! A gated short convolution in attention's place: most layers of LFM2 (Liquid AI 2025; the
//! layout is that of `Lfm2ShortConv` in the published modeling_lfm2.py).

use super::cache::Cache;
use super::config::Config;
use super::weights::{Linear, Weights};
use crate::model::ModelError;
use candle_core::{D, Result as Computed, Tensor};

pub struct Convolution {
    /// To gates before and after, and what they gate: `[3 * hidden, hidden]`.
    input: Linear,
    output: Linear,
    /// One weight a channel for a token and for each of those before it, oldest first.
    taps: Vec<Tensor>,
    /// The gated rows of all tokens, after zeros for those before the first: so a story can be
    /// cut back to any token.
    rows: Cache,
}

impl Convolution {
    /// The convolution of a layer that has one.
    pub fn load(
        weights: &Weights,
        config: &Config,
        index: usize,
    ) -> Result<Option<Convolution>, ModelError> {
        let name = |part: &str| format!("blk.{index}.shortconv.{part}.weight");
        if !weights.has(&name("conv")) {
            return Ok(None);
        }
        let kernel = weights.matrix(&name("conv"))?;
        let (channels, width) = kernel.dims2()?;
        if channels != config.hidden || width == 0 {
            return Err(weights.missing(&name("conv")));
        }
        let tap = |at: usize| {
            kernel
                .narrow(D::Minus1, at, 1)?
                .reshape(channels)?
                .contiguous()
        };
        let most = config.context + width - 1;
        Ok(Some(Convolution {
            input: weights.linear(&name("in_proj"))?,
            output: weights.linear(&name("out_proj"))?,
            taps: (0..width).map(tap).collect::<Computed<_>>()?,
            rows: Cache::new(most, 1, channels, weights.device())?,
        }))
    }

    /// `x` `[tokens, hidden]`, whose first token stands at `position`, to the same shape.
    pub fn forward(&mut self, x: &Tensor, position: usize) -> Computed<Tensor> {
        let (tokens, hidden) = x.dims2()?;
        let all = self.input.forward(x)?;
        let part = |at: usize| all.narrow(1, at * hidden, hidden);
        let gated = (part(0)? * part(2)?)?;
        let before = self.taps.len() - 1;
        let rows = self.rows.write(&gated.unsqueeze(1)?, before + position)?;
        let rows = rows.reshape(((), hidden))?;
        let tap =
            |(at, tap): (usize, &Tensor)| rows.narrow(0, position + at, tokens)?.broadcast_mul(tap);
        let mut taps = self.taps.iter().enumerate().map(tap);
        let first = taps.next().unwrap_or_else(|| gated.zeros_like())?;
        let sum = taps.try_fold(first, |sum, tap| sum + tap?)?;
        self.output.forward(&(part(1)? * sum)?)
    }
}
