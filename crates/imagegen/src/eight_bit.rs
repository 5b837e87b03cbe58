//! 8-bit matrices: GGML's Q8_0 blocks, and their form in weights files.
//!
//! On a CPU the matrices of a network are packed to 8 bits. Weights may also store them in this
//! form: a matrix `[outputs, inputs]` named `weight` is then a u8 tensor `weight.q8_0` of
//! `[outputs, inputs / 32 * 34]`, with the same blocks that packing the floats would produce.
//! Pictures on a CPU are therefore bit-identical.

use super::weights::Weights;
use candle_core::{DType, Device, Error, Result, Tensor};
use candle_nn::VarBuilder;
use kernels::linear::Pool;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The suffix in the name of a matrix stored in 8 bits.
pub const SUFFIX: &str = ".q8_0";

/// How many inputs share a scale.
pub const BLOCK: usize = 32;

/// How many bytes a block has: its scale in half precision, then a signed byte for each input.
const BYTES: usize = 2 + BLOCK;

/// The number of bytes of a row with this many inputs.
pub fn row_bytes(inputs: usize) -> usize {
    inputs / BLOCK * BYTES
}

/// Whether a matrix of these sizes is packed.
pub fn fits(inputs: usize, outputs: usize) -> bool {
    inputs.is_multiple_of(BLOCK) && outputs >= BLOCK
}

/// Converts values to blocks.
pub fn quantize(values: &[f32], pool: &Pool) -> Vec<u8> {
    let blocks = values.len() / BLOCK;
    let mut bytes = vec![0; blocks * BYTES];
    let share = blocks.div_ceil(pool.threads()).max(1);
    let parts = bytes
        .chunks_mut(share * BYTES)
        .zip(values.chunks(share * BLOCK));
    pool.each(parts.collect(), |(bytes, values)| {
        for (bytes, block) in bytes
            .chunks_exact_mut(BYTES)
            .zip(values.chunks_exact(BLOCK))
        {
            quantize_block(block, bytes);
        }
    });
    bytes
}

fn quantize_block(block: &[f32], bytes: &mut [u8]) {
    let (scale, codes) = bytes.split_at_mut(2);
    let largest = block.iter().fold(0f32, |most, x| most.max(x.abs()));
    let by = half::f16::from_f32(largest / 127.0);
    scale.copy_from_slice(&by.to_le_bytes());
    let inverse = match by.to_f32() {
        0.0 => 0.0,
        by => by.recip(),
    };
    // Rounds to nearest: adding so large a number drops the fraction.
    const ROUND: f32 = (3u32 << 22) as f32;
    let code = |x: &f32| ((x * inverse).clamp(-127.0, 127.0) + ROUND - ROUND) as i8 as u8;
    codes
        .iter_mut()
        .zip(block)
        .for_each(|(to, x)| *to = code(x));
}

/// A stored matrix as floats `[outputs, inputs]`, on a device.
pub fn dequantize(stored: &Tensor, device: &Device) -> Result<Tensor> {
    let (outputs, bytes) = stored.dims2()?;
    if !bytes.is_multiple_of(BYTES) {
        return Err(Error::Msg(format!(
            "{bytes} bytes are not rows of 8-bit blocks"
        )));
    }
    let blocks = stored.flatten_all()?.to_vec1::<u8>()?;
    let value = |block: &[u8]| {
        let scale = half::f16::from_le_bytes([block[0], block[1]]).to_f32();
        let codes: Vec<f32> = block[2..]
            .iter()
            .map(|x| scale * f32::from(*x as i8))
            .collect();
        codes
    };
    let values: Vec<f32> = blocks.chunks_exact(BYTES).flat_map(value).collect();
    Tensor::from_vec(values, (outputs, bytes / BYTES * BLOCK), device)
}

/// The tensors, with every 8-bit matrix as floats under its original name.
pub fn dequantize_all(tensors: BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>> {
    let one = |(name, tensor): (String, Tensor)| match name.strip_suffix(SUFFIX) {
        Some(plain) => Ok((plain.to_string(), dequantize(&tensor, tensor.device())?)),
        None => Ok((name, tensor)),
    };
    tensors.into_iter().map(one).collect()
}

/// The tensors, with the matrices that `network` packs stored in 8 bits and the others unchanged.
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

    /// The scale is so small that requantizing the stored values would round it.
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
