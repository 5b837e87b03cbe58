//! A gated short convolution, which most layers of LFM2 have in place of attention (Liquid AI
//! 2025). The layout is the same as that of `Lfm2ShortConv` in the published modeling_lfm2.py.

use super::config::Config;
use super::linear::{Input, Linear};
use super::matrix::{Buffer, Matrix};
use super::norm::Norm;
use super::tensor_cache::TensorCache;
use super::weights::Weights;
use crate::branch::{Branch, BranchState, Positions};
use crate::error::ModelError;
use candle_core::{D, Result as Computed, Tensor};

pub struct Convolution {
    /// A matrix `[3 * hidden, hidden]`. It computes, from each row, the gate before the
    /// convolution, the gate after the convolution, and the values to be gated.
    input: Linear,
    output: Linear,
    hidden: usize,
    /// The weights of the convolution. There is one weight per channel for each earlier token
    /// within reach, from the oldest to the latest, and for the current token.
    taps: Taps,
}

/// The weights of the convolution (taps), and the gated rows of all evaluated tokens. All rows are
/// stored, so that the story can be cut at any token.
enum Taps {
    Host {
        taps: Vec<Vec<f32>>,
        /// The gated rows, `[tokens, channels]`.
        rows: Vec<f32>,
    },
    /// The weights and rows on a GPU. The first token's row is preceded by rows of zeros.
    Device {
        taps: Vec<Tensor>,
        rows: TensorCache,
    },
}

impl Convolution {
    /// Loads the convolution of layer `index`; returns `None` if the layer has no convolution.
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
        let taps = (0..width).map(tap).collect::<Computed<Vec<_>>>()?;
        let most = config.context + width - 1;
        Ok(Some(Convolution {
            input: weights.linear(&name("in_proj"))?,
            output: weights.linear(&name("out_proj"))?,
            hidden: channels,
            taps: match weights.on_host() {
                true => Taps::Host {
                    taps: taps.iter().map(Tensor::to_vec1).collect::<Computed<_>>()?,
                    rows: Vec::new(),
                },
                false => Taps::Device {
                    taps,
                    rows: TensorCache::new(most, 1, channels, weights.device())?,
                },
            },
        }))
    }

    /// Computes the convolution of `norm(x)` and adds it to `x`, which is `[tokens, hidden]`.
    pub fn forward(
        &mut self,
        x: Matrix,
        norm: &Norm,
        after: Option<&Norm>,
        positions: &mut Positions,
        layer: usize,
    ) -> Computed<Matrix> {
        let [all] = Linear::forward_many([&self.input], Input::Normed(&x, norm))?;
        let out = match (&mut self.taps, all) {
            (Taps::Host { taps, rows }, Matrix::Host(all)) => {
                Matrix::Host(on_host(taps, rows, &all, self.hidden, positions, layer)?)
            }
            (Taps::Device { taps, rows }, all) => {
                let Positions::Sequence(position) = positions else {
                    candle_core::bail!("branches are supported on CPUs only")
                };
                Matrix::Device(on_device(
                    taps,
                    rows,
                    &all.tensor()?,
                    self.hidden,
                    *position,
                )?)
            }
            _ => candle_core::bail!("rows of a convolution are on another device"),
        };
        self.output.add_to(Input::Plain(&out), after, x)
    }

    /// Returns the state of this layer in a new, empty branch. Returns `None` if the layer is not
    /// on a CPU.
    pub fn branch(&self) -> Option<BranchState> {
        match &self.taps {
            Taps::Host { .. } => Some(BranchState::Convolution(Vec::new())),
            Taps::Device { .. } => None,
        }
    }

    /// Copies the rows of a branch's own tokens into this layer's rows.
    pub fn adopt(&mut self, branch: &Branch, layer: usize) {
        if let (Taps::Host { rows, .. }, BranchState::Convolution(own)) =
            (&mut self.taps, &branch.layers[layer])
        {
            rows.truncate(branch.shared * self.hidden);
            rows.extend(own);
        }
    }

    /// The gated rows, `[tokens, channels]`, and the number of channels. `None` if the layer is not
    /// on a CPU.
    pub fn rows(&self) -> Option<(&Vec<f32>, usize)> {
        match &self.taps {
            Taps::Host { rows, .. } => Some((rows, self.hidden)),
            Taps::Device { .. } => None,
        }
    }

    pub fn rows_mut(&mut self) -> Option<(&mut Vec<f32>, usize)> {
        match &mut self.taps {
            Taps::Host { rows, .. } => Some((rows, self.hidden)),
            Taps::Device { .. } => None,
        }
    }
}

fn on_host(
    taps: &[Vec<f32>],
    rows: &mut Vec<f32>,
    all: &Buffer,
    hidden: usize,
    positions: &mut Positions,
    layer: usize,
) -> Computed<Buffer> {
    let mut out = Buffer::rows(all.tokens(), hidden);
    for token in 0..all.tokens() {
        let [before, after, x] = [0, 1, 2].map(|part| &all.row(token)[part * hidden..][..hidden]);
        let gated = before.iter().zip(x).map(|(gate, x)| gate * x);
        let position = positions.of(token);
        let out = out.row_mut(token);
        match positions {
            Positions::Sequence(_) => {
                rows.truncate(position * hidden);
                rows.extend(gated);
                convolve(
                    taps,
                    |index| &rows[index * hidden..][..hidden],
                    position,
                    out,
                );
            }
            Positions::Branches(branches, places) => {
                let branch = &mut branches[places[token].branch];
                let shared = branch.shared;
                let BranchState::Convolution(own) = &mut branch.layers[layer] else {
                    candle_core::bail!("the branch belongs to a different model")
                };
                own.truncate((position - shared) * hidden);
                own.extend(gated);
                let row = |index: usize| match index.checked_sub(shared) {
                    Some(index) => &own[index * hidden..][..hidden],
                    None => &rows[index * hidden..][..hidden],
                };
                convolve(taps, row, position, out);
            }
        }
        out.iter_mut()
            .zip(after)
            .for_each(|(out, gate)| *out *= gate);
    }
    Ok(out)
}

/// Computes the weighted sum of the row at `position` and the rows before it. Positions before the
/// first token count as zeros.
fn convolve<'a>(
    taps: &[Vec<f32>],
    row: impl Fn(usize) -> &'a [f32],
    position: usize,
    out: &mut [f32],
) {
    out.fill(0.0);
    for (tap, weights) in taps.iter().enumerate() {
        if let Some(index) = (position + tap + 1).checked_sub(taps.len()) {
            let terms = weights.iter().zip(row(index));
            out.iter_mut()
                .zip(terms)
                .for_each(|(out, (weight, x))| *out += weight * x);
        }
    }
}

fn on_device(
    taps: &[Tensor],
    rows: &mut TensorCache,
    all: &Tensor,
    hidden: usize,
    position: usize,
) -> Computed<Tensor> {
    let tokens = all.dim(0)?;
    let part = |at: usize| all.narrow(1, at * hidden, hidden);
    let gated = (part(0)? * part(2)?)?;
    let rows = rows.write(&gated.unsqueeze(1)?, taps.len() - 1 + position)?;
    let rows = rows.reshape(((), hidden))?;
    let tap =
        |(at, tap): (usize, &Tensor)| rows.narrow(0, position + at, tokens)?.broadcast_mul(tap);
    let mut taps = taps.iter().enumerate().map(tap);
    let first = taps.next().unwrap_or_else(|| gated.zeros_like())?;
    let sum = taps.try_fold(first, |sum, tap| sum + tap?)?;
    part(1)? * sum
}
