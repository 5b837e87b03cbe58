//! Packing: from the rows of a GGUF matrix into strips that a kernel reads from end to end.
//!
//! A strip is 16 rows wide and as long as the matrix has columns. First come the scales of all its
//! blocks, then the weights, 32 columns after 32 columns. Within those, a group is 4 columns of
//! the 16 rows, 4 bytes a row: 64 bytes, one register, whose lanes are the rows. Weights keep the
//! bits they have in the file: where a byte holds two nibbles, group g is low and group g + 4 high,
//! which is GGML's own order within 32 values. So packing is mostly the moving of 4-byte words.
//!
//! | weights | bytes for 32 columns of 16 rows |
//! |---|---|
//! | 4 bit | 4 x 64 of nibbles |
//! | 5 bit | the same, then 8 words of 64 bits: the fifth bits of each group, in byte order |
//! | 6 bit | the same, then 2 x 64: the high bit pairs of groups 0 to 3, of groups 4 to 7 |
//! | 8 bit | 8 x 64, the sign bit inverted: 0 to 255 stands for -128 to 127 |
//! | floats | 32 columns of 16 floats |
//!
//! Rows that fill up the last strip have zero for a scale, and nobody reads what they give.

use super::arena::{ALIGN, Arena, Region};
use super::dequantize::{codes_q4k, codes_q5k, codes_q6k, scale_and_min, word};
use super::{BLOCK, Format, LinearError, Pool, STRIP};

/// A weight matrix, ready to be multiplied.
pub struct Packed {
    format: Format,
    rows: usize,
    cols: usize,
    region: Region,
}

impl Packed {
    /// Packs `data`, the blocks of a GGUF matrix `[rows, cols]` in `format`, row after row.
    pub fn pack(
        arena: &mut Arena,
        pool: &Pool,
        format: Format,
        data: &[u8],
        rows: usize,
        cols: usize,
    ) -> Result<Packed, LinearError> {
        let spec = format.spec();
        if cols == 0 || !cols.is_multiple_of(spec.block) {
            return Err(LinearError::Columns {
                format,
                rows,
                cols,
                block: spec.block,
            });
        }
        let (want, have) = (rows * format.row_bytes(cols), data.len());
        if want != have {
            return Err(LinearError::Bytes {
                format,
                rows,
                cols,
                want,
                have,
            });
        }
        let bytes = strip_bytes(format, cols);
        let mut region = arena.take(rows.div_ceil(STRIP) * bytes)?;
        let sources = data.chunks(STRIP * format.row_bytes(cols));
        let strips = region
            .bytes_mut()
            .chunks_exact_mut(bytes)
            .zip(sources)
            .collect();
        pool.each(strips, |(strip, source)| {
            pack_strip(format, cols, source, strip)
        });
        Ok(Packed {
            format,
            rows,
            cols,
            region,
        })
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// Outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The memory it takes.
    pub fn bytes(&self) -> usize {
        self.region.bytes().len()
    }

    pub(super) fn strips(&self) -> usize {
        self.rows.div_ceil(STRIP)
    }

    pub(super) fn strip_bytes(&self) -> usize {
        strip_bytes(self.format, self.cols)
    }

    /// The scales and the weights of a strip.
    pub(super) fn strip(&self, index: usize) -> (&[u8], &[u8]) {
        let bytes = self.strip_bytes();
        self.region.bytes()[index * bytes..][..bytes].split_at(head_bytes(self.format, self.cols))
    }
}

fn head_bytes(format: Format, cols: usize) -> usize {
    (cols / format.spec().block * format.spec().head).next_multiple_of(ALIGN)
}

fn strip_bytes(format: Format, cols: usize) -> usize {
    head_bytes(format, cols) + cols / BLOCK * format.spec().body
}

/// Packs up to 16 rows of file blocks.
fn pack_strip(format: Format, cols: usize, source: &[u8], strip: &mut [u8]) {
    let spec = format.spec();
    let (heads, bodies) = strip.split_at_mut(head_bytes(format, cols));
    let body_bytes = spec.body * spec.block / BLOCK;
    for (index, body) in bodies.chunks_exact_mut(body_bytes).enumerate() {
        let head = &mut heads[index * spec.head..][..spec.head];
        for (row, blocks) in source.chunks_exact(format.row_bytes(cols)).enumerate() {
            (spec.pack)(&blocks[index * spec.bytes..][..spec.bytes], row, head, body);
        }
    }
}

pub(super) fn q4_0(block: &[u8], row: usize, head: &mut [u8], body: &mut [u8]) {
    put(head, row * 2, &block[..2]);
    put_words(body, row, &block[2..18]);
}

pub(super) fn q4_1(block: &[u8], row: usize, head: &mut [u8], body: &mut [u8]) {
    put(head, row * 2, &block[..2]);
    put(head, 32 + row * 2, &block[2..4]);
    put_words(body, row, &block[4..20]);
}

pub(super) fn q5_0(block: &[u8], row: usize, head: &mut [u8], body: &mut [u8]) {
    put(head, row * 2, &block[..2]);
    put_words(body, row, &block[6..22]);
    put_fifth(body, row, word(block, 2));
}

pub(super) fn q5_1(block: &[u8], row: usize, head: &mut [u8], body: &mut [u8]) {
    put(head, row * 2, &block[..2]);
    put(head, 32 + row * 2, &block[2..4]);
    put_words(body, row, &block[8..24]);
    put_fifth(body, row, word(block, 4));
}

pub(super) fn q8_0(block: &[u8], row: usize, head: &mut [u8], body: &mut [u8]) {
    put(head, row * 2, &block[..2]);
    let codes: [u8; BLOCK] = std::array::from_fn(|j| block[2 + j] ^ 0x80);
    put_words(body, row, &codes);
}

pub(super) fn q4k(block: &[u8], row: usize, head: &mut [u8], body: &mut [u8]) {
    put_super_scales(head, row, block);
    for (sub, body) in body.chunks_exact_mut(256).enumerate() {
        put_words(body, row, &nibbles(&codes_q4k(block, sub)));
    }
}

pub(super) fn q5k(block: &[u8], row: usize, head: &mut [u8], body: &mut [u8]) {
    put_super_scales(head, row, block);
    for (sub, body) in body.chunks_exact_mut(320).enumerate() {
        let codes = codes_q5k(block, sub);
        put_words(body, row, &nibbles(&codes));
        let fifth = codes
            .iter()
            .enumerate()
            .map(|(j, code)| u32::from(code >> 4) << j);
        put_fifth(body, row, fifth.sum());
    }
}

/// Scales: the block's half float, then for each 16 columns a signed byte.
pub(super) fn q6k(block: &[u8], row: usize, head: &mut [u8], body: &mut [u8]) {
    put(head, row * 2, &block[208..210]);
    for (half, scale) in block[192..208].iter().enumerate() {
        head[32 + half * 16 + row] = *scale;
    }
    for (sub, body) in body.chunks_exact_mut(384).enumerate() {
        let codes = codes_q6k(block, sub);
        put_words(body, row, &nibbles(&codes));
        let pairs: [u8; 8] = std::array::from_fn(|j| {
            let group = |g: usize| codes[j / 4 * 16 + g * 4 + j % 4] >> 4 << (g * 2);
            group(0) | group(1) | group(2) | group(3)
        });
        put_words(&mut body[256..], row, &pairs);
    }
}

pub(super) fn f16(block: &[u8], row: usize, _head: &mut [u8], body: &mut [u8]) {
    for (column, value) in block.chunks_exact(2).enumerate() {
        put(body, column * 32 + row * 2, value);
    }
}

pub(super) fn f32(block: &[u8], row: usize, _head: &mut [u8], body: &mut [u8]) {
    for (column, value) in block.chunks_exact(4).enumerate() {
        put(body, column * 64 + row * 4, value);
    }
}

/// Scales of Q4K and Q5K: the block's two half floats, then 8 scales and 8 minima, a signed
/// byte each; GGML subtracts the minima, which are therefore negated here.
fn put_super_scales(head: &mut [u8], row: usize, block: &[u8]) {
    put(head, row * 2, &block[..2]);
    put(head, 32 + row * 2, &block[2..4]);
    for sub in 0..8 {
        let (scale, min) = scale_and_min(&block[4..16], sub);
        head[64 + sub * 16 + row] = scale;
        head[192 + sub * 16 + row] = min.wrapping_neg();
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Puts the 4-byte words of a row into their groups.
fn put_words(body: &mut [u8], row: usize, words: &[u8]) {
    for (group, word) in body.chunks_exact_mut(64).zip(words.chunks_exact(4)) {
        put(group, row * 4, word);
    }
}

/// Puts the fifth bits of a row's 32 values behind the nibbles, 4 bits a group.
fn put_fifth(body: &mut [u8], row: usize, bits: u32) {
    for (group, mask) in body[256..].chunks_exact_mut(8).enumerate() {
        mask[row / 2] |= ((bits >> (group * 4) & 15) as u8) << (row % 2 * 4);
    }
}

/// The low four bits of 32 codes, two to a byte as GGML has them.
fn nibbles(codes: &[u8; BLOCK]) -> [u8; 16] {
    std::array::from_fn(|j| codes[j] & 15 | (codes[j + 16] & 15) << 4)
}
