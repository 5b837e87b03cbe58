//! Converts a network's tensors to and from 8-bit matrices, for weights files.

use super::eight_bit::{SUFFIX, dequantize, quantize, row_bytes};
use super::weights::Weights;
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use kernels::linear::Pool;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Converts every 8-bit matrix to floats under its original name, and leaves the other tensors
/// unchanged.
pub fn dequantize_all(tensors: BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>> {
    let one = |(name, tensor): (String, Tensor)| match name.strip_suffix(SUFFIX) {
        Some(plain) => Ok((plain.to_string(), dequantize(&tensor, tensor.device())?)),
        None => Ok((name, tensor)),
    };
    tensors.into_iter().map(one).collect()
}

/// Converts every matrix that `network` would pack to 8 bits, and leaves the other tensors
/// unchanged.
pub fn quantize_all<N>(
    tensors: BTreeMap<String, Tensor>,
    network: impl FnOnce(&Weights) -> Result<N>,
) -> Result<BTreeMap<String, Tensor>> {
    let pool = Arc::new(Pool::new(1));
    let known: HashMap<String, Tensor> = tensors.clone().into_iter().collect();
    let builder = VarBuilder::from_tensors(known, DType::F32, &Device::Cpu);
    let weights = Weights::packed(builder, pool.clone());
    network(&weights)?;
    let packed = weights.packed_names();
    let one = |(name, tensor): (String, Tensor)| {
        if !packed.contains(&name) {
            return Ok((name, tensor));
        }
        let (outputs, inputs) = tensor.dims2()?;
        let values = tensor
            .to_dtype(DType::F32)?
            .flatten_all()?
            .to_vec1::<f32>()?;
        let blocks = quantize(&values, &pool);
        let stored = Tensor::from_vec(blocks, (outputs, row_bytes(inputs)), &Device::Cpu)?;
        Ok((format!("{name}{SUFFIX}"), stored))
    };
    tensors.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::generator::Generator;
    use crate::weights::Linear;
    use sampler::rng::Rng;

    fn tensor(shape: &[usize], scale: f64, rng: &mut Rng) -> Tensor {
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count)
            .map(|_| (rng.next_normal() * scale) as f32)
            .collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn weights(tensors: &BTreeMap<String, Tensor>, packed: bool) -> Weights<'static> {
        let tensors = tensors.clone().into_iter().collect();
        let builder = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        match packed {
            true => Weights::packed(builder, Arc::new(Pool::new(2))),
            false => Weights::plain(builder),
        }
    }

    /// Tests a usual scale, and a scale so small that quantizing the stored values again would
    /// round it.
    #[test]
    fn a_matrix_stored_in_8_bits_multiplies_as_the_packed_floats_do() {
        let mut rng = Rng::new(1);
        for scale in [1.0, 1e-6] {
            let tensors = BTreeMap::from([
                ("weight".to_string(), tensor(&[48, 64], scale, &mut rng)),
                ("bias".to_string(), tensor(&[48], scale, &mut rng)),
            ]);
            let new = |w: &Weights| Linear::new(w, 64, 48);
            let stored = quantize_all(tensors.clone(), new).unwrap();
            assert_eq!(stored["weight.q8_0"].dims(), [48, 68]);
            assert!(stored.contains_key("bias") && !stored.contains_key("weight"));
            let x = tensor(&[5, 64], 1.0, &mut rng);
            let out = |tensors: &BTreeMap<String, Tensor>, packed| {
                let linear = new(&weights(tensors, packed)).unwrap();
                linear.forward(&x).unwrap().to_vec2::<f32>().unwrap()
            };
            assert_eq!(out(&stored, true), out(&tensors, true));
            let floats = dequantize_all(stored.clone()).unwrap();
            assert_eq!(out(&stored, false), out(&floats, false));
        }
    }

    #[test]
    fn only_matrices_that_are_packed_are_stored_in_8_bits() {
        let json = include_bytes!("../../../tests/reference/illuminator/config.json");
        let config = Config::parse(json).unwrap();
        let bytes = include_bytes!("../../../tests/reference/illuminator/generator.safetensors");
        let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu).unwrap();
        let tensors: BTreeMap<String, Tensor> = tensors.into_iter().collect();
        let new = |w: &Weights| Generator::new(w, &config);
        let stored = quantize_all(tensors.clone(), new).unwrap();
        assert_eq!(stored.len(), tensors.len());
        let names: Vec<&String> = stored
            .keys()
            .filter(|name| name.ends_with(SUFFIX))
            .collect();
        assert!(names.iter().any(|name| name.contains("qkv")), "{names:?}");
        assert!(stored.contains_key("condition.style.weight"));
        assert!(stored.contains_key("conv1.weight"));
        assert!(new(&weights(&stored, true)).is_ok() && new(&weights(&stored, false)).is_ok());
    }

    #[test]
    fn a_damaged_matrix_is_refused() {
        let stored = Tensor::zeros((32, 33), DType::U8, &Device::Cpu).unwrap();
        assert!(dequantize(&stored, &Device::Cpu).is_err());
        let tensors = BTreeMap::from([
            ("weight.q8_0".to_string(), stored),
            (
                "bias".to_string(),
                Tensor::zeros(32, DType::F32, &Device::Cpu).unwrap(),
            ),
        ]);
        assert!(Linear::new(&weights(&tensors, true), 32, 32).is_err());
    }
}
