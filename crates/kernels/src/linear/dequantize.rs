//! Computes the values of quantized blocks in files, as GGML defines them. The values are used for
//! the token embeddings, whose rows are looked up one at a time, and as the reference in tests of
//! packing and kernels.

use half::{bf16, f16};

use super::BLOCK;

/// Reads the half float at byte offset `at` of a block.
fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Reads the 32 bits at byte offset `at` of a block.
pub(super) fn word(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// Returns nibble `j` of the 32 nibbles in 16 bytes. The low nibbles of all the bytes come first,
/// then the high nibbles.
fn nibble(bytes: &[u8], j: usize) -> u8 {
    if j < 16 {
        bytes[j] & 15
    } else {
        bytes[j - 16] >> 4
    }
}

pub(super) fn q4_0(block: &[u8], out: &mut [f32]) {
    let d = half(block, 0);
    for (j, value) in out.iter_mut().enumerate() {
        *value = (f32::from(nibble(&block[2..], j)) - 8.0) * d;
    }
}

pub(super) fn q4_1(block: &[u8], out: &mut [f32]) {
    let (d, min) = (half(block, 0), half(block, 2));
    for (j, value) in out.iter_mut().enumerate() {
        *value = f32::from(nibble(&block[4..], j)) * d + min;
    }
}

pub(super) fn q5_0(block: &[u8], out: &mut [f32]) {
    let (d, fifth) = (half(block, 0), word(block, 2));
    for (j, value) in out.iter_mut().enumerate() {
        let code = nibble(&block[6..], j) | ((fifth >> j & 1) as u8) << 4;
        *value = (f32::from(code) - 16.0) * d;
    }
}

pub(super) fn q5_1(block: &[u8], out: &mut [f32]) {
    let (d, min, fifth) = (half(block, 0), half(block, 2), word(block, 4));
    for (j, value) in out.iter_mut().enumerate() {
        let code = nibble(&block[8..], j) | ((fifth >> j & 1) as u8) << 4;
        *value = f32::from(code) * d + min;
    }
}

pub(super) fn q8_0(block: &[u8], out: &mut [f32]) {
    let d = half(block, 0);
    for (value, &code) in out.iter_mut().zip(&block[2..]) {
        *value = f32::from(code as i8) * d;
    }
}

pub(super) fn q4k(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half(block, 0), half(block, 2));
    for (sub, values) in out.chunks_exact_mut(BLOCK).enumerate() {
        let (scale, min) = scale_and_min(&block[4..16], sub);
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        for (value, code) in values.iter_mut().zip(codes_q4k(block, sub)) {
            *value = scale * f32::from(code) - min;
        }
    }
}

pub(super) fn q5k(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half(block, 0), half(block, 2));
    for (sub, values) in out.chunks_exact_mut(BLOCK).enumerate() {
        let (scale, min) = scale_and_min(&block[4..16], sub);
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        for (value, code) in values.iter_mut().zip(codes_q5k(block, sub)) {
            *value = scale * f32::from(code) - min;
        }
    }
}

pub(super) fn q6k(block: &[u8], out: &mut [f32]) {
    let d = half(block, 208);
    for (sub, values) in out.chunks_exact_mut(BLOCK).enumerate() {
        for (j, code) in codes_q6k(block, sub).into_iter().enumerate() {
            let scale = block[192 + sub * 2 + j / 16] as i8;
            values[j] = d * f32::from(scale) * (f32::from(code) - 32.0);
        }
    }
}

pub(super) fn f16(block: &[u8], out: &mut [f32]) {
    for (j, value) in out.iter_mut().enumerate() {
        *value = half(block, j * 2);
    }
}

pub(super) fn bf16(block: &[u8], out: &mut [f32]) {
    for (j, value) in out.iter_mut().enumerate() {
        *value = bf16::from_le_bytes([block[j * 2], block[j * 2 + 1]]).to_f32();
    }
}

pub(super) fn f32(block: &[u8], out: &mut [f32]) {
    for (j, value) in out.iter_mut().enumerate() {
        *value = f32::from_bits(word(block, j * 4));
    }
}

/// Returns the 6-bit scale and the 6-bit minimum of part `sub` (32 values) of a Q4K or Q5K block.
pub(super) fn scale_and_min(scales: &[u8], sub: usize) -> (u8, u8) {
    if sub < 4 {
        (scales[sub] & 63, scales[sub + 4] & 63)
    } else {
        let (low, high) = (scales[sub + 4], [scales[sub - 4] >> 6, scales[sub] >> 6]);
        (low & 15 | high[0] << 4, low >> 4 | high[1] << 4)
    }
}

/// Returns the 32 codes, from 0 to 15, of part `sub` of a Q4K block.
pub(super) fn codes_q4k(block: &[u8], sub: usize) -> [u8; BLOCK] {
    let bytes = &block[16 + sub / 2 * 32..][..32];
    let shift = sub % 2 * 4;
    std::array::from_fn(|j| bytes[j] >> shift & 15)
}

/// Returns the 32 codes, from 0 to 31, of part `sub` of a Q5K block.
pub(super) fn codes_q5k(block: &[u8], sub: usize) -> [u8; BLOCK] {
    let fifth = &block[16..48];
    let bytes = &block[48 + sub / 2 * 32..][..32];
    let shift = sub % 2 * 4;
    std::array::from_fn(|j| bytes[j] >> shift & 15 | (fifth[j] >> sub & 1) << 4)
}

/// Returns the 32 codes, from 0 to 63, of part `sub` of a Q6K block.
pub(super) fn codes_q6k(block: &[u8], sub: usize) -> [u8; BLOCK] {
    let (part, quarter) = (sub / 4, sub % 4);
    let low = &block[part * 64 + quarter % 2 * 32..][..32];
    let high = &block[128 + part * 32..][..32];
    let shift = quarter / 2 * 4;
    std::array::from_fn(|j| low[j] >> shift & 15 | (high[j] >> (quarter * 2) & 3) << 4)
}
