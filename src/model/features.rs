//! What a picture looks like, in 1,280 numbers: EfficientNet-lite0 (Tan and Le 2019; the lite
//! models, Google 2020), trained on photographs by others, read from its PyTorch weights.
//!
//! Pictures are measured by these features, since no network of ours made them. Batch norms are
//! folded into the convolutions; rows are `[height, width, channels]`.

use super::ModelError;
use super::pth::{self, Plain};
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::Path;

/// Numbers of a picture.
pub const WIDTH: usize = 1280;
/// Pixels wide and high of what it looks at: drawings of 64 pixels, twice as large.
pub const SIZE: usize = 128;
/// Repeats, kernel, stride, expansion, channels out of each stage.
const STAGES: [(usize, usize, usize, usize, usize); 7] = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
];
const EPSILON: f32 = 1e-3;

/// The network, in memory.
pub struct Extractor {
    stem: Dense,
    blocks: Vec<Block>,
    head: Dense,
}

/// A convolution of one pixel: a matrix over the channels.
struct Dense {
    /// `[in, out]`.
    weight: Tensor,
    bias: Vec<f32>,
}

/// A convolution of each channel by itself.
struct Depthwise {
    /// `[kernel * kernel, channels]`.
    weight: Vec<f32>,
    bias: Vec<f32>,
    kernel: usize,
    stride: usize,
}

struct Block {
    expand: Option<Dense>,
    depthwise: Depthwise,
    project: Dense,
    residual: bool,
}

/// Rows on their way: `[size * size, channels]`.
struct Rows {
    values: Vec<f32>,
    size: usize,
    channels: usize,
}

type Tensors = HashMap<String, Plain>;

impl Extractor {
    /// Reads `efficientnet-lite0-57934424.pth`.
    pub fn load(path: &Path) -> Result<Extractor, ModelError> {
        let unreadable = |why: String| ModelError::Features(super::clean_key(&why));
        let bytes = std::fs::read(path).map_err(|why| unreadable(why.to_string()))?;
        let tensors = pth::read(&bytes).map_err(|why| unreadable(why.to_string()))?;
        let network = Extractor::from_tensors(&tensors);
        network.map_err(|why| unreadable(why.to_string()))
    }

    fn from_tensors(tensors: &Tensors) -> candle_core::Result<Extractor> {
        let mut blocks = Vec::new();
        let mut channels = 32;
        for (repeats, kernel, stride, expansion, out) in STAGES {
            for repeat in 0..repeats {
                let name = format!("_blocks.{}", blocks.len());
                let stride = if repeat == 0 { stride } else { 1 };
                let expand = (expansion > 1).then(|| {
                    dense(
                        tensors,
                        &format!("{name}._expand_conv"),
                        &format!("{name}._bn0"),
                    )
                });
                let (weight, norm) = (format!("{name}._depthwise_conv"), format!("{name}._bn1"));
                blocks.push(Block {
                    expand: expand.transpose()?,
                    depthwise: depthwise(tensors, &weight, &norm, (kernel, stride))?,
                    project: dense(
                        tensors,
                        &format!("{name}._project_conv"),
                        &format!("{name}._bn2"),
                    )?,
                    residual: stride == 1 && channels == out,
                });
                channels = out;
            }
        }
        Ok(Extractor {
            stem: dense(tensors, "_conv_stem", "_bn0")?,
            blocks,
            head: dense(tensors, "_conv_head", "_bn1")?,
        })
    }

    /// The features of pictures as rows from the top, RGB of 0 to 255, `[SIZE, SIZE, 3]` each, one
    /// after the other: `[pictures, WIDTH]`.
    pub fn of(&self, pictures: &[Vec<f32>]) -> Result<Vec<f32>, ModelError> {
        let rows: Result<Vec<Vec<f32>>, candle_core::Error> = pictures
            .par_iter()
            .map(|picture| self.one(picture))
            .collect();
        Ok(rows?.concat())
    }

    fn one(&self, picture: &[f32]) -> candle_core::Result<Vec<f32>> {
        let mut rows = clamp(self.stem.apply(&patches(picture))?);
        for block in &self.blocks {
            rows = block.apply(rows)?;
        }
        let rows = clamp(self.head.apply(&rows)?);
        let pixels = (rows.size * rows.size) as f32;
        let mut mean = vec![0f32; rows.channels];
        for row in rows.values.chunks_exact(rows.channels) {
            mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        mean.iter_mut().for_each(|sum| *sum /= pixels);
        Ok(mean)
    }
}

impl Block {
    fn apply(&self, rows: Rows) -> candle_core::Result<Rows> {
        let wide = match &self.expand {
            Some(expand) => &clamp(expand.apply(&rows)?),
            None => &rows,
        };
        let mut out = self.project.apply(&clamp(self.depthwise.apply(wide)))?;
        if self.residual {
            let pairs = out.values.iter_mut().zip(&rows.values);
            pairs.for_each(|(sum, x)| *sum += x);
        }
        Ok(out)
    }
}

impl Dense {
    fn apply(&self, rows: &Rows) -> candle_core::Result<Rows> {
        let count = rows.size * rows.size;
        let x = Tensor::from_slice(&rows.values, (count, rows.channels), &Device::Cpu)?;
        let mut values = x.matmul(&self.weight)?.flatten_all()?.to_vec1::<f32>()?;
        let channels = self.bias.len();
        for row in values.chunks_exact_mut(channels) {
            row.iter_mut()
                .zip(&self.bias)
                .for_each(|(x, bias)| *x += bias);
        }
        Ok(Rows {
            values,
            size: rows.size,
            channels,
        })
    }
}

impl Depthwise {
    /// As TensorFlow pads: what is missing is split, the odd one after.
    fn apply(&self, rows: &Rows) -> Rows {
        let (size, channels, kernel) = (rows.size, rows.channels, self.kernel);
        let small = size.div_ceil(self.stride);
        let before = ((small - 1) * self.stride + kernel).saturating_sub(size) / 2;
        let mut values = Vec::with_capacity(small * small * channels);
        for y in 0..small {
            for x in 0..small {
                let from = values.len();
                values.extend_from_slice(&self.bias);
                let out = &mut values[from..];
                for tap in 0..kernel * kernel {
                    let at = |place: usize, off: usize| {
                        let at = (place * self.stride + off).checked_sub(before)?;
                        (at < size).then_some(at)
                    };
                    let (row, column) = (at(y, tap / kernel), at(x, tap % kernel));
                    let (Some(row), Some(column)) = (row, column) else {
                        continue;
                    };
                    let own = &rows.values[(row * size + column) * channels..][..channels];
                    let weights = &self.weight[tap * channels..][..channels];
                    for ((out, x), weight) in out.iter_mut().zip(own).zip(weights) {
                        *out += x * weight;
                    }
                }
            }
        }
        Rows {
            values,
            size: small,
            channels,
        }
    }
}

/// ReLU6.
fn clamp(mut rows: Rows) -> Rows {
    rows.values.iter_mut().for_each(|x| *x = x.clamp(0.0, 6.0));
    rows
}

/// The stem's convolution of 3 × 3 pixels, every second one, as rows of 27 numbers.
fn patches(picture: &[f32]) -> Rows {
    let size = SIZE / 2;
    let mut values = Vec::with_capacity(size * size * 27);
    for y in 0..size {
        for x in 0..size {
            for tap in 0..9 {
                let (row, column) = (y * 2 + tap / 3, x * 2 + tap % 3);
                for channel in 0..3 {
                    let inside = row < SIZE && column < SIZE;
                    let place = (row * SIZE + column) * 3 + channel;
                    // What the network was trained on: -1 to 1.
                    values.push(if inside {
                        (picture[place] - 127.0) / 128.0
                    } else {
                        0.0
                    });
                }
            }
        }
    }
    Rows {
        values,
        size,
        channels: 27,
    }
}

fn named<'a>(tensors: &'a Tensors, name: &str) -> candle_core::Result<&'a Plain> {
    let found = tensors.get(name);
    found.ok_or_else(|| candle_core::Error::Msg(format!("it has no {name}")))
}

/// What a batch norm does to each channel: a factor, and a term.
fn folded(tensors: &Tensors, norm: &str) -> candle_core::Result<(Vec<f32>, Vec<f32>)> {
    let part = |name: &str| named(tensors, &format!("{norm}.{name}"));
    let (weight, bias) = (part("weight")?, part("bias")?);
    let (mean, variance) = (part("running_mean")?, part("running_var")?);
    let pairs = weight.values.iter().zip(&variance.values);
    let scale: Vec<f32> = pairs.map(|(w, v)| w / (v + EPSILON).sqrt()).collect();
    let terms = bias.values.iter().zip(&mean.values).zip(&scale);
    let term = terms.map(|((b, m), s)| b - m * s).collect();
    Ok((scale, term))
}

/// A convolution's weights `[out, in, high, wide]` as a matrix `[high * wide * in, out]`.
fn dense(tensors: &Tensors, weight: &str, norm: &str) -> candle_core::Result<Dense> {
    let (scale, bias) = folded(tensors, norm)?;
    let weight = named(tensors, &format!("{weight}.weight"))?;
    let [out, channels, high, wide] = weight.shape[..] else {
        return Err(candle_core::Error::Msg(
            "a convolution has another shape".into(),
        ));
    };
    let taps = high * wide;
    let mut matrix = vec![0f32; taps * channels * out];
    for (o, own) in weight.values.chunks_exact(channels * taps).enumerate() {
        for (at, value) in own.iter().enumerate() {
            let (channel, tap) = (at / taps, at % taps);
            matrix[(tap * channels + channel) * out + o] = value * scale[o];
        }
    }
    Ok(Dense {
        weight: Tensor::from_vec(matrix, (taps * channels, out), &Device::Cpu)?,
        bias,
    })
}

fn depthwise(
    tensors: &Tensors,
    weight: &str,
    norm: &str,
    (kernel, stride): (usize, usize),
) -> candle_core::Result<Depthwise> {
    let (scale, bias) = folded(tensors, norm)?;
    let weight = named(tensors, &format!("{weight}.weight"))?;
    let channels = scale.len();
    let taps = kernel * kernel;
    if weight.values.len() != taps * channels {
        return Err(candle_core::Error::Msg(
            "a convolution has another shape".into(),
        ));
    }
    let mut own = vec![0f32; taps * channels];
    for (channel, values) in weight.values.chunks_exact(taps).enumerate() {
        for (tap, value) in values.iter().enumerate() {
            own[tap * channels + channel] = value * scale[channel];
        }
    }
    Ok(Depthwise {
        weight: own,
        bias,
        kernel,
        stride,
    })
}
