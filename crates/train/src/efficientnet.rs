//! Describes the stages of the lite EfficientNets (Tan and Le 2019; Google 2020), which were
//! trained on photographs. Loads their convolutions from PyTorch weights, with the batch norms
//! folded in.
//!
//! `features` evaluates pictures with lite0; `perceptual` trains with lite1.

use super::TrainError;
use super::pth::{self, PlainTensor};
use candle_core::{Device, Tensor};
use std::collections::HashMap;
use std::fmt::Display;
use std::path::Path;

/// A stage of consecutive blocks. Only the first block may differ from the others, in its stride
/// and its number of input channels.
pub struct Stage {
    pub repeats: usize,
    kernel: usize,
    stride: usize,
    expansion: usize,
    /// The number of output channels.
    pub channels: usize,
}

/// Creates a stage from its numbers, which are in the same order as in the paper's tables: repeats,
/// kernel, stride, expansion, channels.
const fn stage(numbers: [usize; 5]) -> Stage {
    let [repeats, kernel, stride, expansion, channels] = numbers;
    Stage {
        repeats,
        kernel,
        stride,
        expansion,
        channels,
    }
}

/// The number of channels after the first convolution, before the first stage.
pub const STEM: usize = 32;

pub const LITE0: [Stage; 7] = [
    stage([1, 3, 1, 1, 16]),
    stage([2, 3, 2, 6, 24]),
    stage([2, 5, 2, 6, 40]),
    stage([3, 3, 2, 6, 80]),
    stage([3, 5, 1, 6, 112]),
    stage([4, 5, 2, 6, 192]),
    stage([1, 3, 1, 6, 320]),
];

/// The stages of the deeper lite1. Every stage except the first and the last has more blocks than
/// the same stage of lite0.
pub const LITE1: [Stage; 7] = [
    stage([1, 3, 1, 1, 16]),
    stage([3, 3, 2, 6, 24]),
    stage([3, 5, 2, 6, 40]),
    stage([4, 3, 2, 6, 80]),
    stage([4, 5, 1, 6, 112]),
    stage([5, 5, 2, 6, 192]),
    stage([1, 3, 1, 6, 320]),
];

const EPSILON: f32 = 1e-3;

/// A 1 × 1 convolution (3 × 3 in the stem), stored as a matrix.
pub struct Dense {
    /// The weights: `[in, out]`. In the stem, the input dimension runs over the 9 taps, row by row,
    /// and over the channels within each tap.
    pub weight: Tensor,
    pub bias: Vec<f32>,
}

/// A depthwise convolution.
#[derive(Clone)]
pub struct Depthwise {
    /// The weights: `[kernel * kernel, channels]`.
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    pub kernel: usize,
    pub stride: usize,
}

pub struct Block {
    pub expand: Option<Dense>,
    pub depthwise: Depthwise,
    pub project: Dense,
    pub residual: bool,
}

/// The tensors of a file of weights, by name.
pub type Tensors = HashMap<String, PlainTensor>;

/// Loads a file of weights.
pub fn load_tensors(path: &Path) -> Result<Tensors, TrainError> {
    let bytes = std::fs::read(path).map_err(|why| weights_error(&why))?;
    pth::parse(&bytes).map_err(|why| weights_error(&why))
}

pub fn weights_error(why: &dyn Display) -> TrainError {
    TrainError::Features(base::untrusted::clean_key(&why.to_string()))
}

impl Depthwise {
    /// The number of pixels of padding before the first pixel. If the total padding is odd, the
    /// padding after the last pixel is one pixel larger, as in TensorFlow.
    pub fn padding_before(&self, size: usize) -> usize {
        ((self.output_size(size) - 1) * self.stride + self.kernel).saturating_sub(size) / 2
    }

    /// The width and height of the output for an input of `size` pixels.
    pub fn output_size(&self, size: usize) -> usize {
        size.div_ceil(self.stride)
    }
}

impl Block {
    /// Loads a block. `at` is the index of the block in the network, `repeat` is its index in its
    /// stage, and `channels` is its number of input channels.
    pub fn read(
        tensors: &Tensors,
        at: usize,
        stage: &Stage,
        repeat: usize,
        channels: usize,
    ) -> candle_core::Result<Block> {
        let named = |part: &str| format!("_blocks.{at}.{part}");
        let dense = |weight: &str, norm: &str| dense(tensors, &named(weight), &named(norm));
        let stride = if repeat == 0 { stage.stride } else { 1 };
        let expand = (stage.expansion > 1).then(|| dense("_expand_conv", "_bn0"));
        let (weight, norm) = (named("_depthwise_conv"), named("_bn1"));
        Ok(Block {
            expand: expand.transpose()?,
            depthwise: depthwise(tensors, &weight, &norm, stage.kernel, stride)?,
            project: dense("_project_conv", "_bn2")?,
            residual: stride == 1 && channels == stage.channels,
        })
    }
}

fn named<'a>(tensors: &'a Tensors, name: &str) -> candle_core::Result<&'a PlainTensor> {
    let found = tensors.get(name);
    found.ok_or_else(|| candle_core::Error::Msg(format!("it has no {name}")))
}

/// Converts a batch norm to a factor and an offset for each channel.
fn folded_batch_norm(tensors: &Tensors, norm: &str) -> candle_core::Result<(Vec<f32>, Vec<f32>)> {
    let part = |name: &str| named(tensors, &format!("{norm}.{name}"));
    let (weight, bias) = (part("weight")?, part("bias")?);
    let (mean, variance) = (part("running_mean")?, part("running_var")?);
    let pairs = weight.values.iter().zip(&variance.values);
    let scale: Vec<f32> = pairs.map(|(w, v)| w / (v + EPSILON).sqrt()).collect();
    let terms = bias.values.iter().zip(&mean.values).zip(&scale);
    let term = terms.map(|((b, m), s)| b - m * s).collect();
    Ok((scale, term))
}

/// Converts a convolution's weights `[out, in, high, wide]` to a matrix `[high * wide * in, out]`,
/// with the batch norm folded in.
pub fn dense(tensors: &Tensors, weight: &str, norm: &str) -> candle_core::Result<Dense> {
    let (scale, bias) = folded_batch_norm(tensors, norm)?;
    let weight = named(tensors, &format!("{weight}.weight"))?;
    let [out, channels, high, wide] = weight.shape[..] else {
        return Err(candle_core::Error::Msg(
            "a convolution has the wrong shape".into(),
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
    kernel: usize,
    stride: usize,
) -> candle_core::Result<Depthwise> {
    let (scale, bias) = folded_batch_norm(tensors, norm)?;
    let weight = named(tensors, &format!("{weight}.weight"))?;
    let channels = scale.len();
    let taps = kernel * kernel;
    if weight.values.len() != taps * channels {
        return Err(candle_core::Error::Msg(
            "a convolution has the wrong shape".into(),
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
