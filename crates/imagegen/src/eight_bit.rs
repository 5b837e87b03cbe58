//! 8-bit matrices, which consist of GGML's Q8_0 blocks, and their form in weights files.
//!
//! On a CPU the matrices of a network are packed to 8 bits. Weights files may also store the
//! matrices in this form. A matrix `[outputs, inputs]` named `weight` is then stored as a u8 tensor
//! `weight.q8_0` of `[outputs, inputs / 32 * 34]`, with the same blocks that packing the floats
//! would produce. Both forms of the weights therefore draw bit-identical pictures on a CPU.

use candle_core::{Device, Error, Result, Tensor};
use kernels::linear::Pool;

/// The suffix that marks the name of a matrix stored in 8 bits.
pub const SUFFIX: &str = ".q8_0";

/// The number of inputs in a block. All of them share one scale.
pub const BLOCK: usize = 32;

/// The size of a block in bytes: a half-precision scale, then a signed byte for each input.
const BYTES: usize = 2 + BLOCK;

/// Returns the size in bytes of a row with this many inputs.
pub fn row_bytes(inputs: usize) -> usize {
    inputs / BLOCK * BYTES
}

/// Whether a matrix with this many inputs and outputs is packed.
pub fn fits(inputs: usize, outputs: usize) -> bool {
    inputs.is_multiple_of(BLOCK) && outputs >= BLOCK
}

/// Converts values to Q8_0 blocks.
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

/// Converts a stored matrix to floats `[outputs, inputs]` on the given device.
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
