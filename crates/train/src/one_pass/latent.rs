//! Latents: creates random latents, moves latents, and encodes and decodes them.

use imagegen::encoded::EncodedPicture;
use sampler::rng::Rng;
use std::f64::consts::FRAC_PI_2;

/// Encodes a latent as the bits of its numbers in big-endian order.
pub fn encoded_latent(z: &[f32]) -> EncodedPicture {
    EncodedPicture(z.iter().flat_map(|x| x.to_bits().to_be_bytes()).collect())
}

/// Returns the latent of an encoded picture, or None if the picture does not consist of exactly
/// `latent` finite numbers.
pub fn decoded_latent(picture: &EncodedPicture, latent: usize) -> Option<Vec<f32>> {
    let (numbers, rest) = picture.0.as_chunks::<4>();
    let z: Vec<f32> = numbers
        .iter()
        .map(|bytes| f32::from_be_bytes(*bytes))
        .collect();
    let fits = z.len() == latent && rest.is_empty() && z.iter().all(|x| x.is_finite());
    fits.then_some(z)
}

/// Returns a normally distributed latent from each random stream, multiplied by the temperature. A
/// temperature below 1 yields latents that are closer to zero.
pub fn random_latents(rngs: &mut [Rng], latent: usize, temperature: f64) -> Vec<Vec<f32>> {
    let one = |rng: &mut Rng| (rng.next_normal() * temperature) as f32;
    let all = |rng: &mut Rng| (0..latent).map(|_| one(rng)).collect();
    rngs.iter_mut().map(all).collect()
}

/// Moves the latent `z` by `amount` (0 to 1) towards the latent `other` along an arc, so that
/// normally distributed latents remain normally distributed.
pub fn moved(z: &[f32], other: &[f32], amount: f64) -> Vec<f32> {
    let angle = amount.clamp(0.0, 1.0) * FRAC_PI_2;
    let (stay, go) = (libm::cos(angle) as f32, libm::sin(angle) as f32);
    let pairs = z.iter().zip(other);
    pairs.map(|(z, other)| stay * z + go * other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_latent_keeps_its_variance() {
        let mut rng = Rng::new(1);
        let mut normal = || {
            (0..20_000)
                .map(|_| rng.next_normal() as f32)
                .collect::<Vec<f32>>()
        };
        let (z, other) = (normal(), normal());
        assert_eq!(moved(&z, &other, 0.0), z);
        let variance = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32;
        let half = variance(&moved(&z, &other, 0.5));
        assert!((half - 1.0).abs() < 0.03, "{half}");
    }

    #[test]
    fn a_latent_is_spelled_and_read_again_and_nothing_else_is() {
        let z = vec![1.0, -0.3];
        let encoded = encoded_latent(&z);
        assert_eq!(encoded.to_hex(), "3f800000be99999a");
        let read = |text: &str| decoded_latent(&EncodedPicture::from_hex(text)?, 2);
        assert_eq!(read(&encoded.to_hex()), Some(z));
        assert_eq!(decoded_latent(&encoded, 3), None);
        for wrong in ["", "3f800000", "3f800000+e99999a", "3f8000007fc00000"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
