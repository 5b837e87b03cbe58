//! The kernels for processors without a kernel family of their own: plain Rust, written so that
//! compilers can vectorize it.

use half::bf16;

use super::super::group::{GROUP, Group, Part};
use super::super::layout::{CodeBits, FloatKind, Layout, ScaleKind};
use super::super::{BLOCK, STRIP};
use super::{Kernel, Strip};

/// An array with one value for each of the 16 rows of a strip.
type Lanes<T> = [T; STRIP];
/// The codes of 16 columns of a strip, stored as 4 groups of 4 columns; each group has 4 codes per
/// row. A code takes 16 bits, because processors with small vector registers multiply 16-bit
/// integers and add the products in pairs.
type HalfCodes = [i16; 16 * STRIP];

/// A way of storing weight codes, with the function that decodes 32 columns of a strip.
trait Codes {
    /// The number of bytes that 32 columns of a strip take.
    const BYTES: usize;
    /// The code that stands for zero. Used only in formats without minima.
    const ZERO: i32;
    fn decode(quants: &[u8], halves: &mut [HalfCodes; 2]);
}

/// The scales and minima of one block, for each row of a strip.
struct Block {
    scale: Lanes<f32>,
    min: Option<Lanes<f32>>,
    /// The integer scales of the first 16 and the last 16 columns, if the format has them.
    halves: Option<[Lanes<i32>; 2]>,
}

/// A function that loads the scales and minima of block `b` from the scales of a strip.
type Scales = fn(scales: &[u8], b: usize) -> Block;

pub(super) fn kernel(layout: Layout) -> Kernel {
    match layout {
        Layout::Codes(CodeBits::Four, scales) => with_codes::<Q4>(scales),
        Layout::Codes(CodeBits::Five, scales) => with_codes::<Q5>(scales),
        Layout::Codes(CodeBits::Six, scales) => with_codes::<Q6>(scales),
        Layout::Codes(CodeBits::Eight, scales) => with_codes::<Q8>(scales),
        Layout::Floats(FloatKind::F16) => {
            |strip, group, sums| float(strip, group, sums, half_float)
        }
        Layout::Floats(FloatKind::BF16) => {
            |strip, group, sums| float(strip, group, sums, |at| bf16::from_le_bytes(at).to_f32())
        }
        Layout::Floats(FloatKind::F32) => {
            |strip, group, sums| float(strip, group, sums, f32::from_le_bytes)
        }
    }
}

fn with_codes<C: Codes>(scales: ScaleKind) -> Kernel {
    match scales {
        ScaleKind::F16 => |strip, group, sums| integer::<C>(strip, group, sums, f16_scale),
        ScaleKind::F16Min => |strip, group, sums| integer::<C>(strip, group, sums, f16_scale_min),
        ScaleKind::SuperBlockMin => {
            |strip, group, sums| integer::<C>(strip, group, sums, super_block_min)
        }
        ScaleKind::SuperBlockHalves => {
            |strip, group, sums| integer::<C>(strip, group, sums, super_block_halves)
        }
    }
}

pub(super) fn quantize(part: Part, k: usize) {
    part.quantize(k);
}

fn integer<C: Codes>(strip: &Strip, group: &Group, sums: &mut [Lanes<f32>], scales: Scales) {
    let mut acc = [[0.0; STRIP]; GROUP];
    let mut codes = [[0; 16 * STRIP]; 2];
    for (b, quants) in strip.quants.chunks_exact(C::BYTES).enumerate() {
        C::decode(quants, &mut codes);
        let block = scales(strip.scales, b);
        for (i, acc) in acc[..group.rows].iter_mut().enumerate() {
            let at = b * group.rows + i;
            let (inputs, _) = group.codes[at * BLOCK..][..BLOCK].as_chunks();
            let mut dots = [dot(&codes[0], &inputs[0]), dot(&codes[1], &inputs[1])];
            if block.min.is_none() {
                for (dots, total) in dots.iter_mut().zip(group.totals[at]) {
                    dots.iter_mut().for_each(|dot| *dot -= C::ZERO * total);
                }
            }
            if let Some(halves) = &block.halves {
                for (dots, scales) in dots.iter_mut().zip(halves) {
                    dots.iter_mut()
                        .zip(scales)
                        .for_each(|(dot, scale)| *dot *= scale);
                }
            }
            for row in 0..STRIP {
                let dot = (dots[0][row] + dots[1][row]) as f32;
                acc[row] = (block.scale[row] * group.scales[at]).mul_add(dot, acc[row]);
            }
            if let Some(min) = &block.min {
                for row in 0..STRIP {
                    acc[row] = min[row].mul_add(group.sums[at], acc[row]);
                }
            }
        }
    }
    sums[..group.rows].copy_from_slice(&acc[..group.rows]);
}

/// Computes, for each row of a strip, the dot product of 16 weight codes and 16 input codes.
#[inline(always)]
fn dot(codes: &HalfCodes, input: &[i8; 16]) -> Lanes<i32> {
    let mut pairs = [0; 2 * STRIP];
    for (group, x) in codes
        .as_chunks::<{ 4 * STRIP }>()
        .0
        .iter()
        .zip(input.as_chunks::<4>().0)
    {
        let x = [x.map(i16::from); STRIP];
        let x = x.as_flattened();
        for (j, pair) in pairs.iter_mut().enumerate() {
            let (a, b) = (j * 2, j * 2 + 1);
            *pair += i32::from(group[a]) * i32::from(x[a]) + i32::from(group[b]) * i32::from(x[b]);
        }
    }
    std::array::from_fn(|row| pairs[row * 2] + pairs[row * 2 + 1])
}

/// Multiplies a strip of plain floats by a group of input rows. A weight takes W bytes; `value`
/// converts these bytes to an f32.
fn float<const W: usize>(
    strip: &Strip,
    group: &Group,
    sums: &mut [Lanes<f32>],
    value: fn([u8; W]) -> f32,
) {
    let (weights, _) = strip.quants.as_chunks::<W>();
    let cols = weights.len() / STRIP;
    let mut acc = [[0.0; STRIP]; GROUP];
    for (c, column) in weights.chunks_exact(STRIP).enumerate() {
        let column: Lanes<f32> = std::array::from_fn(|row| value(column[row]));
        for (i, acc) in acc[..group.rows].iter_mut().enumerate() {
            let x = group.values[i * cols + c];
            for row in 0..STRIP {
                acc[row] = column[row].mul_add(x, acc[row]);
            }
        }
    }
    sums[..group.rows].copy_from_slice(&acc[..group.rows]);
}

struct Q4;

impl Codes for Q4 {
    const BYTES: usize = 256;
    const ZERO: i32 = 8;

    fn decode(quants: &[u8], [low, high]: &mut [HalfCodes; 2]) {
        for ((byte, low), high) in quants.iter().zip(low).zip(high) {
            *low = i16::from(byte & 15);
            *high = i16::from(byte >> 4);
        }
    }
}

struct Q5;

impl Codes for Q5 {
    const BYTES: usize = 320;
    const ZERO: i32 = 16;

    fn decode(quants: &[u8], halves: &mut [HalfCodes; 2]) {
        let (nibbles, fifths) = quants.split_at(256);
        Q4::decode(nibbles, halves);
        for (half, fifths) in halves.iter_mut().zip(fifths.chunks_exact(32)) {
            for (codes, fifth) in half.chunks_exact_mut(8).zip(fifths) {
                for (j, code) in codes.iter_mut().enumerate() {
                    *code |= i16::from(fifth >> j & 1) << 4;
                }
            }
        }
    }
}

struct Q6;

impl Codes for Q6 {
    const BYTES: usize = 384;
    const ZERO: i32 = 32;

    fn decode(quants: &[u8], halves: &mut [HalfCodes; 2]) {
        let (nibbles, pairs) = quants.split_at(256);
        Q4::decode(nibbles, halves);
        for (half, pairs) in halves.iter_mut().zip(pairs.chunks_exact(64)) {
            for (g, codes) in half.chunks_exact_mut(64).enumerate() {
                for (code, pair) in codes.iter_mut().zip(pairs) {
                    *code |= i16::from(pair >> (g * 2) & 3) << 4;
                }
            }
        }
    }
}

struct Q8;

impl Codes for Q8 {
    const BYTES: usize = 512;
    const ZERO: i32 = 128;

    fn decode(quants: &[u8], halves: &mut [HalfCodes; 2]) {
        for (half, bytes) in halves.iter_mut().zip(quants.chunks_exact(256)) {
            half.iter_mut()
                .zip(bytes)
                .for_each(|(code, byte)| *code = i16::from(*byte));
        }
    }
}

fn f16_scale(scales: &[u8], b: usize) -> Block {
    Block {
        scale: f16_values(&scales[b * 32..]),
        min: None,
        halves: None,
    }
}

fn f16_scale_min(scales: &[u8], b: usize) -> Block {
    let scales = &scales[b * 64..];
    Block {
        scale: f16_values(scales),
        min: Some(f16_values(&scales[32..])),
        halves: None,
    }
}

fn super_block_min(scales: &[u8], b: usize) -> Block {
    let (scales, sub) = (&scales[b / 8 * 320..], b % 8);
    let times = |f16_values: Lanes<f32>, at: usize| {
        std::array::from_fn(|row| f16_values[row] * f32::from(scales[at + row] as i8))
    };
    let (scale, min) = (
        times(f16_values(scales), 64 + sub * 16),
        times(f16_values(&scales[32..]), 192 + sub * 16),
    );
    Block {
        scale,
        min: Some(min),
        halves: None,
    }
}

fn super_block_halves(scales: &[u8], b: usize) -> Block {
    let (scales, sub) = (&scales[b / 8 * 288..], b % 8);
    let bytes = |half: usize| {
        std::array::from_fn(|row| i32::from(scales[32 + (sub * 2 + half) * 16 + row] as i8))
    };
    Block {
        scale: f16_values(scales),
        min: None,
        halves: Some([bytes(0), bytes(1)]),
    }
}

/// Loads 16 half floats as floats.
fn f16_values(bytes: &[u8]) -> Lanes<f32> {
    let (bytes, _) = bytes.as_chunks();
    std::array::from_fn(|row| half_float(bytes[row]))
}

/// Converts a half float to an f32 without branches. The half float's bits, placed in an f32,
/// represent a number that is 2^112 times too small, which is then multiplied by 2^112.
#[inline(always)]
fn half_float(bytes: [u8; 2]) -> f32 {
    let bits = u32::from(u16::from_le_bytes(bytes));
    let size = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits(0x7780_0000);
    let special = if bits & 0x7c00 == 0x7c00 {
        0x7f80_0000
    } else {
        0
    };
    f32::from_bits(size.to_bits() | special | (bits & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_floats_are_what_they_are() {
        for bits in 0..=u16::MAX {
            let (ours, theirs) = (
                half_float(bits.to_le_bytes()),
                half::f16::from_bits(bits).to_f32(),
            );
            assert!(ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan());
        }
    }
}
