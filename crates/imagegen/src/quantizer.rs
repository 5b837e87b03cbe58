//! Finite scalar quantization (Mentzer et al. 2023, "Finite Scalar Quantization: VQ-VAE Made
//! Simple"): converts values to FSQ codes and back.
//!
//! A token consists of a few codes, each with an odd number of levels. If a code has n levels, the
//! code d stands for the value (d - h) / h, where h = (n - 1) / 2. The values range from -1 to 1
//! and include zero.

use super::config::TOKENS;
use candle_core::{Device, Result, Tensor};

/// The FSQ codes of the tokens of one or more pictures, in the order `[batch][64][codes]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FsqCodes(pub Vec<u8>);

/// Converts between values and FSQ codes on a device.
#[derive(Clone, Debug)]
pub struct Quantizer {
    /// For each code, the h in the formula above: (n - 1) / 2 for n levels. The shape is `[codes]`.
    halves: Tensor,
}

impl Quantizer {
    pub fn new(levels: &[usize], device: &Device) -> Result<Quantizer> {
        let halves: Vec<f32> = levels.iter().map(|n| (n - 1) as f32 / 2.0).collect();
        Ok(Quantizer {
            halves: Tensor::new(halves, device)?,
        })
    }

    /// Maps arbitrary numbers `[.., codes]` into the range from -1 to 1 with tanh, and rounds each
    /// to the nearest value that its code can represent. The gradient ignores the rounding.
    pub fn quantize(&self, z: &Tensor) -> Result<Tensor> {
        let bounded = z.tanh()?.broadcast_mul(&self.halves)?;
        let step = (bounded.round()? - &bounded)?.detach();
        (bounded + step)?.broadcast_div(&self.halves)
    }

    /// Converts values to codes, which are returned as floats.
    pub fn codes(&self, values: &Tensor) -> Result<Tensor> {
        let codes = values.broadcast_mul(&self.halves)?;
        codes.broadcast_add(&self.halves)?.round()
    }

    /// Converts the codes of tokens to values `[batch, 64, codes]`.
    pub fn token_values(&self, tokens: &FsqCodes, device: &Device) -> Result<Tensor> {
        let numbers: Vec<f32> = tokens.0.iter().map(|code| f32::from(*code)).collect();
        let codes = self.halves.dim(0)?;
        let shape = (numbers.len() / codes / TOKENS, TOKENS, codes);
        self.values(&Tensor::from_vec(numbers, shape, device)?)
    }

    /// Converts codes, which are given as floats, to values.
    pub fn values(&self, codes: &Tensor) -> Result<Tensor> {
        let centred = codes.broadcast_sub(&self.halves)?;
        centred.broadcast_div(&self.halves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    #[test]
    fn numbers_become_the_nearest_of_their_levels() {
        let quantizer = Quantizer::new(&[5, 3], &Device::Cpu).unwrap();
        // tanh(0.6) = 0.537: of -1, -0.5, 0, 0.5, 1 the nearest is 0.5; of -1, 0, 1 it is 1.
        let z = Tensor::new(&[[0.6f32, 0.6], [-9.0, 0.4]], &Device::Cpu).unwrap();
        let values = quantizer.quantize(&z).unwrap();
        assert_eq!(values.to_vec2::<f32>().unwrap(), [[0.5, 1.0], [-1.0, 0.0]]);
        let codes = quantizer.codes(&values).unwrap();
        assert_eq!(codes.to_vec2::<f32>().unwrap(), [[3.0, 2.0], [0.0, 1.0]]);
        let again = quantizer.values(&codes).unwrap();
        assert_eq!(
            again.to_vec2::<f32>().unwrap(),
            values.to_vec2::<f32>().unwrap()
        );
    }

    #[test]
    fn gradients_go_straight_through() {
        let quantizer = Quantizer::new(&[5], &Device::Cpu).unwrap();
        let z = Var::new(&[[0.3f32]], &Device::Cpu).unwrap();
        let value = quantizer.quantize(&z).unwrap().sum_all().unwrap();
        let gradients = value.backward().unwrap();
        let slope = gradients.get(&z).unwrap().to_vec2::<f32>().unwrap()[0][0];
        // The slope of tanh alone: 1 - tanh(0.3)^2.
        assert!((slope - 0.915_136_9).abs() < 1e-5, "{slope}");
    }
}
