//! Random weights in every format, for the tests of this crate and of crates that read GGUF files.

use super::Format;

/// A linear congruential generator. It produces the same sequence on every machine.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    pub(crate) fn float(&mut self) -> f32 {
        self.next() as f32 / (1u32 << 30) as f32 - 1.0
    }
}

/// Returns the blocks of a random matrix `[n, k]` in `format`, with scales of a sensible size.
pub(crate) fn weights(format: Format, n: usize, k: usize, random: &mut Random) -> Vec<u8> {
    let mut data: Vec<u8> = (0..n * format.row_bytes(k))
        .map(|_| random.next() as u8)
        .collect();
    for block in data.chunks_exact_mut(format.block_bytes()) {
        for &at in format.half_floats() {
            let scale = half::f16::from_f32(random.float() / 100.0);
            block[at..at + 2].copy_from_slice(&scale.to_le_bytes());
        }
        match format {
            Format::F16 => floats(block, |x| half::f16::from_f32(x).to_le_bytes(), random),
            Format::BF16 => floats(block, |x| half::bf16::from_f32(x).to_le_bytes(), random),
            Format::F32 => floats(block, f32::to_le_bytes, random),
            _ => {}
        }
    }
    data
}

fn floats<const W: usize>(block: &mut [u8], bytes: fn(f32) -> [u8; W], random: &mut Random) {
    for value in block.chunks_exact_mut(W) {
        value.copy_from_slice(&bytes(random.float()));
    }
}
