//! The losses of the phase `refine`, and the inputs of the critic.

use crate::losses::reconstruction_loss;
use candle_core::{Result, Tensor};
use candle_nn::loss::cross_entropy;

/// How much the weight of a picture's reconstruction loss is reduced if all its tokens are sampled.
/// Sampled tokens show the same concept as the real picture, but not necessarily the same drawing.
const SAMPLED_DISCOUNT: f64 = 0.2;
/// The critic's input consists of features from these stages of the perceptual network.
const CRITIC_STAGES: [usize; 3] = [2, 3, 5];

/// Computes the reconstruction loss with a lower weight for pictures with more sampled tokens.
/// `sampled` contains the share of sampled tokens of each picture.
pub fn discounted_reconstruction(
    real: &Tensor,
    generated: &Tensor,
    sampled: &[f32],
) -> Result<Tensor> {
    let weights = sampled
        .iter()
        .map(|share| 1.0 - SAMPLED_DISCOUNT as f32 * share);
    let shape = (sampled.len(), 1, 1, 1);
    let weights = Tensor::from_vec(weights.collect(), shape, real.device())?;
    reconstruction_loss(
        &real.broadcast_mul(&weights)?,
        &generated.broadcast_mul(&weights)?,
    )
}

/// The conditioning of a batch in which the text `[batch, width]` or the style `[batch]` of each
/// picture belongs to another picture.
pub struct Mismatched {
    pub text: Tensor,
    pub style: Tensor,
}

/// Gives each picture in the first half of a batch the text of another picture, and each picture in
/// the second half the style of another picture. If the two styles happen to be the same, the loss
/// compares a real score with itself and has no gradient.
pub fn mismatched(text: &Tensor, style: &Tensor) -> Result<Mismatched> {
    let half = style.dim(0)? / 2;
    let halves = |first: &Tensor, second: &Tensor| {
        let rest = second.dim(0)? - half;
        Tensor::cat(
            &[first.narrow(0, 0, half)?, second.narrow(0, half, rest)?],
            0,
        )
    };
    Ok(Mismatched {
        text: halves(&text.roll(1, 0)?, text)?,
        style: halves(style, &style.roll(1, 0)?)?,
    })
}

/// Computes the cross-entropy of choosing each picture's own caption among all captions of the
/// batch. `logits` is `[batch, batch]`.
pub fn contrastive_loss(logits: &Tensor) -> Result<Tensor> {
    let own = Tensor::arange(0u32, logits.dim(0)? as u32, logits.device())?;
    cross_entropy(logits, &own)
}

pub fn critic_features(features: &[Tensor]) -> Vec<Tensor> {
    CRITIC_STAGES.map(|stage| features[stage].clone()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn half_of_a_batch_is_shown_beside_other_words_and_half_beside_another_style() {
        let cpu = &Device::Cpu;
        let text = Tensor::new(&[[0f32], [1.0], [2.0], [3.0], [4.0]], cpu).unwrap();
        let style = Tensor::new(&[5u32, 6, 7, 8, 9], cpu).unwrap();
        let other = mismatched(&text, &style).unwrap();
        let text = other.text.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(text, [4.0, 0.0, 2.0, 3.0, 4.0]);
        assert_eq!(other.style.to_vec1::<u32>().unwrap(), [5, 6, 6, 7, 8]);
    }
}
