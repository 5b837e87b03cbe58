//! The upscaler, which enlarges pictures to four times their width and height. It is "ESRGAN slim"
//! from the npm package @upscalerjs/esrgan-slim 1.0.0 (MIT), a small residual dense network (Wang
//! et al. 2018, after Zhang et al. 2018), trained on photographs by its authors.
//!
//! The graph follows the package's `model.json`: twelve convolutions, with a fourfold
//! nearest-neighbour enlargement before the last. Values range from 0 to 255.

use crate::ImageError;
use candle_core::{Device, Result, Tensor};
use std::path::Path;

/// The factor by which the upscaler multiplies the width and the height of a picture.
pub const SCALE: usize = 4;

/// The layers in the order of the weights file. Each has a name, the side of its kernel, and its
/// numbers of input and output channels. For each layer, the weights file contains the kernel
/// `[side, side, in, out]` and then the bias, as little-endian f32.
const LAYERS: [(&str, usize, usize, usize); 12] = [
    ("F_0", 3, 64, 64),
    ("F_1_1", 3, 64, 4),
    ("F_2_1", 3, 64, 4),
    ("F_m1", 3, 3, 64),
    ("GFF_1", 1, 128, 64),
    ("GFF_2", 3, 64, 64),
    ("LFF_1", 1, 68, 64),
    ("LFF_2", 1, 68, 64),
    ("SR", 3, 48, 3),
    ("UPN1", 5, 64, 64),
    ("UPN2", 3, 64, 32),
    ("UPN3", 3, 32, 48),
];

/// The upscaler's network, with its weights.
pub struct Upscaler {
    layers: Vec<Convolution>,
    device: Device,
}

struct Convolution {
    /// The kernel of the convolution, `[out, in, side, side]`.
    kernel: Tensor,
    /// The bias of the convolution, `[1, out, 1, 1]`.
    bias: Tensor,
    side: usize,
}

impl Upscaler {
    /// Loads the package's `models/x4/group1-shard1of1.bin` onto a device.
    pub fn load(path: &Path, device: &Device) -> std::result::Result<Upscaler, ImageError> {
        let unreadable = |why: String| ImageError::Upscaler(base::untrusted::clean_key(&why));
        let bytes = std::fs::read(path).map_err(|why| unreadable(why.to_string()))?;
        let network = Upscaler::parse(&bytes, device);
        network.map_err(|why| unreadable(why.to_string()))
    }

    fn parse(bytes: &[u8], device: &Device) -> Result<Upscaler> {
        let numbers: Vec<f32> = bytes
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
            .collect();
        let needed = |(_, side, channels, out): &(&str, usize, usize, usize)| {
            side * side * channels * out + out
        };
        let all: usize = LAYERS.iter().map(needed).sum();
        if numbers.len() != all || bytes.len() != all * 4 {
            let why = format!("it has {} bytes, not {}", bytes.len(), all * 4);
            return Err(candle_core::Error::Msg(why));
        }
        let mut rest = &numbers[..];
        let mut take = |count: usize, shape: &[usize]| {
            let (own, after) = rest.split_at(count);
            rest = after;
            Tensor::from_slice(own, shape, device)
        };
        let mut layers = Vec::new();
        for (_, side, channels, out) in LAYERS {
            let count = side * side * channels * out;
            let kernel = take(count, &[side, side, channels, out])?;
            layers.push(Convolution {
                kernel: kernel.permute((3, 2, 0, 1))?.contiguous()?,
                bias: take(out, &[1, out, 1, 1])?,
                side,
            });
        }
        Ok(Upscaler {
            layers,
            device: device.clone(),
        })
    }

    /// Upscales a square picture of `size` by `size` pixels to `SCALE * size` by `SCALE * size`
    /// pixels. The pixels are premultiplied RGBA, with rows from top to bottom. The network
    /// upscales the opacity separately, as a grey picture.
    pub fn upscale(&self, pixels: &[u8], size: usize) -> std::result::Result<Vec<u8>, ImageError> {
        let places = size * size;
        let plane = |channel: usize| pixels.iter().skip(channel).step_by(4);
        let colours = (0..3).flat_map(plane);
        let opacity = (0..3).flat_map(|_| plane(3));
        let input: Vec<f32> = colours.chain(opacity).map(|v| f32::from(*v)).collect();
        let input = Tensor::from_vec(input, (2, 3, size, size), &self.device)?;
        let out = self.forward(&input)?.flatten_all()?.to_vec1::<f32>()?;
        let places = places * SCALE * SCALE;
        let whole = |value: f32| value.clamp(0.0, 255.0).round() as u8;
        let (colours, opacity) = out.split_at(3 * places);
        let pixel = |at: usize| {
            let sum: f32 = (0..3).map(|channel| opacity[channel * places + at]).sum();
            let opaque = whole(sum / 3.0);
            // A premultiplied colour is never more than its opacity.
            let colour = |channel: usize| whole(colours[channel * places + at]).min(opaque);
            [colour(0), colour(1), colour(2), opaque]
        };
        Ok((0..places).flat_map(pixel).collect())
    }

    /// Upscales pictures `[batch, 3, height, width]` to `[batch, 3, 4 height, 4 width]`. The values
    /// range from 0 to 255.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let apply = |name: &str, x: &Tensor| self.named(name)?.apply(x);
        let first = apply("F_m1", x)?;
        let dense = |x: &Tensor, narrow: &str, fused: &str| {
            let found = apply(narrow, x)?.relu()?;
            apply(fused, &Tensor::cat(&[x, &found], 1)?)? + x
        };
        let one = dense(&apply("F_0", &first)?, "F_1_1", "LFF_1")?;
        let two = dense(&one, "F_2_1", "LFF_2")?;
        let fused = apply("GFF_1", &Tensor::cat(&[&one, &two], 1)?)?;
        let x = (apply("GFF_2", &fused)? + first)?;
        let x = apply("UPN1", &x)?.relu()?;
        let x = apply("UPN2", &x)?.relu()?;
        let x = apply("UPN3", &x)?;
        let (_, _, height, width) = x.dims4()?;
        apply("SR", &x.upsample_nearest2d(height * SCALE, width * SCALE)?)
    }

    fn named(&self, name: &str) -> Result<&Convolution> {
        let at = LAYERS.iter().position(|layer| layer.0 == name);
        let found = at.and_then(|at| self.layers.get(at));
        found.ok_or_else(|| candle_core::Error::Msg(format!("there is no {name}")))
    }
}

impl Convolution {
    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        x.conv2d(&self.kernel, self.side / 2, 1, 1, 1)?
            .broadcast_add(&self.bias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_length_is_refused() {
        for length in [0, 4, 933_803, 933_808] {
            let why = Upscaler::parse(&vec![0; length], &Device::Cpu)
                .err()
                .unwrap();
            assert!(why.to_string().contains("933804"), "{why}");
        }
    }

    #[test]
    fn a_picture_becomes_four_times_as_wide_and_high() {
        let network = Upscaler::parse(&vec![0; 933_804], &Device::Cpu).unwrap();
        let pixels = network.upscale(&[9, 8, 7, 200].repeat(6 * 6), 6).unwrap();
        assert_eq!(pixels, vec![0; 24 * 24 * 4], "zero weights give zeros");
    }
}
