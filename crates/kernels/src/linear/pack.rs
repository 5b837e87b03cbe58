//! Packs the rows of a GGUF matrix into strips, which a kernel reads from end to end.
//!
//! A strip contains 16 rows of the matrix, with all their columns. First come the scales of all its
//! blocks, then the weights, 32 columns at a time, in 8 groups of 4 columns. A group has 4 bytes
//! for each of the 16 rows: 64 bytes, one register, whose lanes are the rows. The bits of the
//! weights are the same as in the file: if a byte holds two nibbles, the low one belongs to group g
//! and the high one to group g + 4, as in GGML's own order of 32 values. So packing mostly moves
//! 4-byte words.
//!
//! | weights | bytes for 32 columns of 16 rows |
//! |---|---|
//! | 4 bit | 4 x 64: nibbles |
//! | 5 bit | 4 x 64: nibbles, then 8 words of 64 bits: the fifth bits of each group, in byte order |
//! | 6 bit | 4 x 64: nibbles, then 2 x 64: the high bit pairs of groups 0 to 3, then of groups 4 to 7 |
//! | 8 bit | 8 x 64, with the sign bit inverted: 0 to 255 stands for -128 to 127 |
//! | floats | 32 columns of 16 floats |
//!
//! Padding rows of the last strip have scale zero, and their results are never read.

use super::dequantize::{codes_q4k, codes_q5k, codes_q6k, scale_and_min, word};
use super::layout::Layout;
use super::{BLOCK, STRIP};

/// Packs up to 16 rows of blocks of the file into a strip. `pack` packs one block of one row: it
/// writes the scales to its third argument and the weights to its fourth. This function is compiled
/// for the block size of each format.
#[inline(always)]
pub(super) fn strip<const BYTES: usize>(
    block: usize,
    layout: Layout,
    cols: usize,
    source: &[u8],
    strip: &mut [u8],
    pack: impl Fn(&[u8; BYTES], usize, &mut [u8], &mut [u8]),
) {
    let (all_scales, all_quants) = strip.split_at_mut(layout.aligned_scales(cols));
    let quants_bytes = layout.quants() * block / BLOCK;
    let scales_bytes = layout.scales(block);
    for (index, quants) in all_quants.chunks_exact_mut(quants_bytes).enumerate() {
        let scales = &mut all_scales[index * scales_bytes..][..scales_bytes];
        for (row, blocks) in source.chunks_exact(cols / block * BYTES).enumerate() {
            if let Some(block) = blocks[index * BYTES..].first_chunk() {
                pack(block, row, scales, quants);
            }
        }
    }
}

#[inline(always)]
pub(super) fn q4_0(block: &[u8; 18], row: usize, scales: &mut [u8], quants: &mut [u8]) {
    put(scales, row * 2, &block[..2]);
    put_words(quants, row, part::<16>(block, 2));
}

#[inline(always)]
pub(super) fn q4_1(block: &[u8; 20], row: usize, scales: &mut [u8], quants: &mut [u8]) {
    put(scales, row * 2, &block[..2]);
    put(scales, 32 + row * 2, &block[2..4]);
    put_words(quants, row, part::<16>(block, 4));
}

#[inline(always)]
pub(super) fn q5_0(block: &[u8; 22], row: usize, scales: &mut [u8], quants: &mut [u8]) {
    put(scales, row * 2, &block[..2]);
    put_words(quants, row, part::<16>(block, 6));
    put_fifth(quants, row, word(block, 2));
}

#[inline(always)]
pub(super) fn q5_1(block: &[u8; 24], row: usize, scales: &mut [u8], quants: &mut [u8]) {
    put(scales, row * 2, &block[..2]);
    put(scales, 32 + row * 2, &block[2..4]);
    put_words(quants, row, part::<16>(block, 8));
    put_fifth(quants, row, word(block, 4));
}

#[inline(always)]
pub(super) fn q8_0(block: &[u8; 34], row: usize, scales: &mut [u8], quants: &mut [u8]) {
    put(scales, row * 2, &block[..2]);
    let codes: [u8; BLOCK] = std::array::from_fn(|j| block[2 + j] ^ 0x80);
    put_words(quants, row, &codes);
}

#[inline(always)]
pub(super) fn q4k(block: &[u8; 144], row: usize, scales: &mut [u8], quants: &mut [u8]) {
    put_super_scales(scales, row, block);
    for (sub, quants) in quants.chunks_exact_mut(256).enumerate() {
        put_words(quants, row, &nibbles(&codes_q4k(block, sub)));
    }
}

#[inline(always)]
pub(super) fn q5k(block: &[u8; 176], row: usize, scales: &mut [u8], quants: &mut [u8]) {
    put_super_scales(scales, row, block);
    for (sub, quants) in quants.chunks_exact_mut(320).enumerate() {
        let codes = codes_q5k(block, sub);
        put_words(quants, row, &nibbles(&codes));
        let fifth = codes
            .iter()
            .enumerate()
            .map(|(j, code)| u32::from(code >> 4) << j);
        put_fifth(quants, row, fifth.sum());
    }
}

/// Packs a Q6K block. Its scales are a half float for the whole block and a signed byte for every
/// 16 columns.
#[inline(always)]
pub(super) fn q6k(block: &[u8; 210], row: usize, scales: &mut [u8], quants: &mut [u8]) {
    put(scales, row * 2, &block[208..210]);
    for (half, scale) in block[192..208].iter().enumerate() {
        scales[32 + half * 16 + row] = *scale;
    }
    for (sub, quants) in quants.chunks_exact_mut(384).enumerate() {
        let codes = codes_q6k(block, sub);
        put_words(quants, row, &nibbles(&codes));
        let pairs: [u8; 8] = std::array::from_fn(|j| {
            let group = |g: usize| codes[j / 4 * 16 + g * 4 + j % 4] >> 4 << (g * 2);
            group(0) | group(1) | group(2) | group(3)
        });
        put_words(&mut quants[256..], row, &pairs);
    }
}

#[inline(always)]
pub(super) fn f16(block: &[u8; 64], row: usize, _scales: &mut [u8], quants: &mut [u8]) {
    for (column, value) in block.chunks_exact(2).enumerate() {
        put(quants, column * 32 + row * 2, value);
    }
}

/// Packs a block of bfloat16 in the same way as [`f16`], because both formats have two bytes per
/// value.
#[inline(always)]
pub(super) fn bf16(block: &[u8; 64], row: usize, scales: &mut [u8], quants: &mut [u8]) {
    f16(block, row, scales, quants);
}

#[inline(always)]
pub(super) fn f32(block: &[u8; 128], row: usize, _scales: &mut [u8], quants: &mut [u8]) {
    for (column, value) in block.chunks_exact(4).enumerate() {
        put(quants, column * 64 + row * 4, value);
    }
}

/// Packs the scales of a Q4K or Q5K block: two half floats, then 8 scales and 8 minima, each of
/// which is a signed byte. GGML subtracts minima but our kernels add them, so the minima are
/// negated here.
fn put_super_scales(scales: &mut [u8], row: usize, block: &[u8]) {
    put(scales, row * 2, &block[..2]);
    put(scales, 32 + row * 2, &block[2..4]);
    for sub in 0..8 {
        let (scale, min) = scale_and_min(&block[4..16], sub);
        scales[64 + sub * 16 + row] = scale;
        scales[192 + sub * 16 + row] = min.wrapping_neg();
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Writes `words`, one word of 4 bytes per group, to row `row` of a strip's weights.
#[inline(always)]
fn put_words<const N: usize>(quants: &mut [u8], row: usize, words: &[u8; N]) {
    let (groups, _) = quants.as_chunks_mut::<64>();
    for (group, word) in groups.iter_mut().zip(words.as_chunks::<4>().0) {
        group.as_chunks_mut::<4>().0[row % STRIP] = *word;
    }
}

/// Returns the N bytes of a block that begin at byte `at`.
#[inline(always)]
fn part<const N: usize>(block: &[u8], at: usize) -> &[u8; N] {
    let part = block[at..].first_chunk();
    part.unwrap_or(&[0; N])
}

/// Writes the fifth bits of the 32 codes of row `row`, 4 bits per group. They are stored after the
/// nibbles of the block.
fn put_fifth(quants: &mut [u8], row: usize, bits: u32) {
    for (group, mask) in quants[256..].chunks_exact_mut(8).enumerate() {
        mask[row / 2] |= ((bits >> (group * 4) & 15) as u8) << (row % 2 * 4);
    }
}

/// Packs the low four bits of 32 codes, two codes per byte, in GGML's order.
fn nibbles(codes: &[u8; BLOCK]) -> [u8; 16] {
    std::array::from_fn(|j| codes[j] & 15 | (codes[j + 16] & 15) << 4)
}
