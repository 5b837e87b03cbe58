//! The feed-forward half of a layer: one network for all tokens, or many experts of which each
//! token is sent to a few (Shazeer et al. 2017).

use super::config::{Activation, Config};
use super::weights::{Linear, Weights, forward_many};
use crate::model::ModelError;
use candle_core::{Result as Computed, Tensor};

pub enum Feed {
    Dense(Network),
    Experts(Experts),
}

/// Gate and up from one input, then down: three matrices, or gate and up in one.
pub struct Network {
    gate: Option<Linear>,
    up: Linear,
    down: Linear,
    activation: Activation,
}

pub struct Experts {
    /// How well each expert suits a token.
    router: Linear,
    experts: Vec<Network>,
    /// How many a token is sent to.
    used: usize,
}

impl Feed {
    pub fn load(weights: &Weights, config: &Config, index: usize) -> Result<Feed, ModelError> {
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        let activation = config.activation;
        if weights.has(&name("ffn_gate_inp")) {
            let gates = weights.stacked(&name("ffn_gate_exps"))?.into_iter();
            let ups = weights.stacked(&name("ffn_up_exps"))?.into_iter();
            let downs = weights.stacked(&name("ffn_down_exps"))?.into_iter();
            let network = |((gate, up), down)| Network {
                gate: Some(gate),
                up,
                down,
                activation,
            };
            return Ok(Feed::Experts(Experts {
                router: weights.linear(&name("ffn_gate_inp"))?,
                experts: gates.zip(ups).zip(downs).map(network).collect(),
                used: config.experts_used,
            }));
        }
        let apart = weights.has(&name("ffn_gate"));
        Ok(Feed::Dense(Network {
            gate: apart
                .then(|| weights.linear(&name("ffn_gate")))
                .transpose()?,
            up: weights.linear(&name("ffn_up"))?,
            down: weights.linear(&name("ffn_down"))?,
            activation,
        }))
    }

    pub fn forward(&self, x: &Tensor) -> Computed<Tensor> {
        match self {
            Feed::Dense(network) => network.forward(x),
            Feed::Experts(experts) => experts.forward(x),
        }
    }
}

impl Network {
    fn forward(&self, x: &Tensor) -> Computed<Tensor> {
        let [gate, up] = match &self.gate {
            Some(gate) => forward_many([gate, &self.up], x)?,
            None => {
                let both = self.up.forward(x)?;
                let half = both.dim(1)? / 2;
                [
                    both.narrow(1, 0, half)?.contiguous()?,
                    both.narrow(1, half, half)?.contiguous()?,
                ]
            }
        };
        let gate = match self.activation {
            Activation::Silu => gate.silu()?,
            Activation::Gelu => gate.gelu()?,
        };
        self.down.forward(&(gate * up)?)
    }
}

impl Experts {
    fn forward(&self, x: &Tensor) -> Computed<Tensor> {
        let scores = self.router.forward(x)?;
        let chosen = scores
            .to_vec2::<f32>()?
            .into_iter()
            .map(|row| choose(&row, self.used));
        let chosen: Vec<Vec<(usize, f32)>> = chosen.collect();
        let mut sum = x.zeros_like()?;
        for (index, expert) in self.experts.iter().enumerate() {
            let (mut rows, mut shares) = (Vec::new(), Vec::new());
            for (row, chosen) in chosen.iter().enumerate() {
                if let Some((_, share)) = chosen.iter().find(|(expert, _)| *expert == index) {
                    rows.push(row as u32);
                    shares.push(*share);
                }
            }
            if rows.is_empty() {
                continue;
            }
            let shares = Tensor::from_vec(shares, (rows.len(), 1), x.device())?;
            let rows = Tensor::new(rows, x.device())?;
            let said = expert.forward(&x.index_select(&rows, 0)?)?;
            sum = sum.index_add(&rows, &said.broadcast_mul(&shares)?, 0)?;
        }
        Ok(sum)
    }
}

/// The best experts for a token, and each one's share: a softmax over those that were chosen.
/// Of two that suit equally the first is taken.
fn choose(scores: &[f32], used: usize) -> Vec<(usize, f32)> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    order.truncate(used);
    let best = order.first().map_or(0.0, |index| scores[*index]);
    let weights: Vec<f32> = order
        .iter()
        .map(|index| (scores[*index] - best).exp())
        .collect();
    let sum: f32 = weights.iter().sum();
    let shares = weights.into_iter().map(|weight| weight / sum);
    order.into_iter().zip(shares).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_the_best_experts_in_shares_that_make_one() {
        let chosen = choose(&[0.5, 2.0, 1.0, 2.0], 3);
        let experts: Vec<usize> = chosen.iter().map(|(expert, _)| *expert).collect();
        assert_eq!(experts, [1, 3, 2]);
        let shares: f32 = chosen.iter().map(|(_, share)| share).sum();
        assert!((shares - 1.0).abs() < 1e-6);
        assert!((chosen[0].1 / chosen[2].1 - 1f32.exp()).abs() < 1e-5);
    }
}
