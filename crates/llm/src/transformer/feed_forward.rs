//! The feed-forward part of a layer: either a single network for all tokens or a mixture of experts
//! (Shazeer et al. 2017).

use super::config::{Activation, Config};
use super::linear::{Input, Linear};
use super::matrix::{Buffer, Matrix};
use super::norm::Norm;
use super::weights::Weights;
use crate::error::ModelError;
use candle_core::{Result as Computed, Tensor};
use kernels::linear::FusedPair;

pub enum FeedForward {
    Dense(GatedMlp),
    Experts(Experts),
}

/// A gated feed-forward network. The gate and up matrices multiply the same input. Their two
/// products are combined, and the down matrix multiplies the result.
pub struct GatedMlp {
    gate: Linear,
    up: Linear,
    down: Linear,
    activation: Activation,
}

pub struct Experts {
    /// The matrix that computes the score of each expert for a token.
    router: Linear,
    experts: Vec<GatedMlp>,
    /// The number of experts to which a token is routed.
    used: usize,
}

impl FeedForward {
    pub fn load(
        weights: &Weights,
        config: &Config,
        index: usize,
    ) -> Result<FeedForward, ModelError> {
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        let activation = config.activation;
        if weights.has(&name("ffn_gate_inp")) {
            let gates = weights.stacked(&name("ffn_gate_exps"))?.into_iter();
            let ups = weights.stacked(&name("ffn_up_exps"))?.into_iter();
            let downs = weights.stacked(&name("ffn_down_exps"))?.into_iter();
            let network = |((gate, up), down)| GatedMlp {
                gate,
                up,
                down,
                activation,
            };
            return Ok(FeedForward::Experts(Experts {
                router: weights.linear(&name("ffn_gate_inp"))?,
                experts: gates.zip(ups).zip(downs).map(network).collect(),
                used: config.experts_used,
            }));
        }
        let [gate, up] = match weights.has(&name("ffn_gate")) {
            true => [
                weights.linear(&name("ffn_gate"))?,
                weights.linear(&name("ffn_up"))?,
            ],
            false => weights.halves(&name("ffn_up"))?,
        };
        Ok(FeedForward::Dense(GatedMlp {
            gate,
            up,
            down: weights.linear(&name("ffn_down"))?,
            activation,
        }))
    }

    /// Computes the network's output for `norm(x)` and adds it to `x`, which is `[tokens, hidden]`.
    pub fn forward(&self, x: Matrix, norm: &Norm, after: Option<&Norm>) -> Computed<Matrix> {
        match self {
            FeedForward::Dense(network) => {
                if let Some(fused) = network.fused(Input::Normed(&x, norm)) {
                    return network.down.add_fused_to(fused?, after, x);
                }
                let [gate, up] = network.halves(Input::Normed(&x, norm))?;
                network
                    .down
                    .add_to(Input::Gated(network.activation, &gate, &up), after, x)
            }
            FeedForward::Experts(experts) => {
                // The norm is needed twice: by the router and by the experts.
                let normed = norm.forward(x.copy()?)?;
                let output = experts.forward(&normed)?;
                x.plus(match after {
                    Some(after) => after.forward(output)?,
                    None => output,
                })
            }
        }
    }
}

impl GatedMlp {
    fn halves(&self, x: Input) -> Computed<[Matrix; 2]> {
        Linear::forward_many([&self.gate, &self.up], x)
    }

    fn fused(&self, x: Input) -> Option<Computed<FusedPair<'_>>> {
        Linear::fused(&self.gate, &self.up, &self.down, self.activation, x)
    }

    fn forward(&self, x: &Matrix) -> Computed<Matrix> {
        if let Some(fused) = self.fused(Input::Plain(x)) {
            return self.down.fused_product(fused?);
        }
        let [gate, up] = self.halves(Input::Plain(x))?;
        let [out] = Linear::forward_many([&self.down], Input::Gated(self.activation, &gate, &up))?;
        Ok(out)
    }
}

impl Experts {
    fn forward(&self, x: &Matrix) -> Computed<Matrix> {
        let [scores] = Linear::forward_many([&self.router], Input::Plain(x))?;
        let (tokens, experts) = (x.tokens()?, self.experts.len());
        let scores = scores.into_vec()?;
        let chosen = scores
            .chunks_exact(experts)
            .map(|row| choose(row, self.used));
        let chosen: Vec<Vec<(usize, f32)>> = chosen.collect();
        let mut sum = x.zeros_like()?;
        for (index, expert) in self.experts.iter().enumerate() {
            let share = |row: usize| {
                let share = chosen[row].iter().find(|(expert, _)| *expert == index);
                share.map(|(_, share)| (row, *share))
            };
            let sent: Vec<(usize, f32)> = (0..tokens).filter_map(share).collect();
            if !sent.is_empty() {
                sum = add(sum, expert.forward(&gather(x, &sent)?)?, &sent)?;
            }
        }
        Ok(sum)
    }
}

/// Returns the rows that are routed to an expert. `sent` contains the index of each such row and
/// the expert's share of the row's result.
fn gather(x: &Matrix, sent: &[(usize, f32)]) -> Computed<Matrix> {
    match x {
        Matrix::Host(x) => {
            let mut rows = Buffer::rows(sent.len(), x.width());
            for (to, (row, _)) in sent.iter().enumerate() {
                rows.row_mut(to).copy_from_slice(x.row(*row));
            }
            Ok(Matrix::Host(rows))
        }
        Matrix::Device(x) => {
            let rows: Vec<u32> = sent.iter().map(|(row, _)| *row as u32).collect();
            let rows = Tensor::new(rows, x.device())?;
            Ok(Matrix::Device(x.index_select(&rows, 0)?))
        }
    }
}

/// Adds an expert's output rows to `sum`, each multiplied by the expert's share of that row's
/// result.
fn add(sum: Matrix, said: Matrix, sent: &[(usize, f32)]) -> Computed<Matrix> {
    match (sum, said) {
        (Matrix::Host(mut sum), Matrix::Host(said)) => {
            for (from, (row, share)) in sent.iter().enumerate() {
                let terms = sum.row_mut(*row).iter_mut().zip(said.row(from));
                terms.for_each(|(sum, said)| *sum += said * share);
            }
            Ok(Matrix::Host(sum))
        }
        (sum, said) => {
            let (sum, said) = (sum.tensor()?, said.tensor()?);
            let (rows, shares): (Vec<u32>, Vec<f32>) = sent
                .iter()
                .map(|(row, share)| (*row as u32, *share))
                .unzip();
            let shares = Tensor::from_vec(shares, (sent.len(), 1), sum.device())?;
            let rows = Tensor::new(rows, sum.device())?;
            let sum = sum.index_add(&rows, &said.broadcast_mul(&shares)?, 0)?;
            Ok(Matrix::Device(sum))
        }
    }
}

/// Chooses the `used` experts with the highest scores for a token. Returns the index and the share
/// of each; the shares are the softmax of the chosen scores. Between two experts with equal scores,
/// the first is chosen.
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
