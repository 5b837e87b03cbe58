//! The perceptual loss: the distance between the features of two pictures (Johnson et al. 2016;
//! Zhang et al. 2018; used in VQ-GANs by Esser et al. 2021). The features are computed by
//! EfficientNet-lite1, a network trained on photographs.
//!
//! Evaluation uses another network, lite0. Feature maps are `[batch, height, width, channels]`.

use super::losses::scalar;
use super::step::Metrics;
use crate::TrainError;
use crate::efficientnet::{
    Block, Dense, Depthwise, LITE1, STEM, Tensors, dense, load_tensors, weights_error,
};
use autograd::contiguous_f32;
use candle_core::{CpuStorage, CustomOp1, D, Device, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::path::Path;
use std::sync::Arc;

/// The number of stages whose features are compared. The features of the last of these stages have
/// a sixteenth of the picture's width and height.
const STAGES: usize = 5;
const TINY: f64 = 1e-6;

/// The first stages of EfficientNet-lite1, and the weight of the loss.
pub struct PerceptualLoss {
    /// The weights of the first convolution: `[32, 3, 3, 3]`.
    stem: Tensor,
    stem_bias: Tensor,
    stages: Vec<Vec<Layer>>,
    weight: f64,
}

/// A block of the network, with its matrices on the device that computes the loss.
struct Layer {
    expand: Option<Matrix>,
    depthwise: Arc<Depthwise>,
    depthwise_bias: Tensor,
    project: Matrix,
    residual: bool,
}

struct Matrix {
    weight: Tensor,
    bias: Tensor,
}

/// Adds the weighted perceptual loss to `loss`, and its value to the metrics. If `perceptual` is
/// None, nothing is added.
pub fn add_perceptual_loss(
    perceptual: Option<&PerceptualLoss>,
    real: &Tensor,
    generated: &Tensor,
    loss: Tensor,
    metrics: &mut Metrics,
) -> Result<Tensor> {
    let Some(perceptual) = perceptual else {
        return Ok(loss);
    };
    let distance = perceptual.distance(real, generated)?;
    metrics.push(("perceptual", scalar(&distance)?));
    loss + (distance * perceptual.weight)?
}

impl PerceptualLoss {
    /// Loads the network from the file `efficientnet-lite1-77cc7160.pth`.
    pub fn load(
        path: &Path,
        device: &Device,
        weight: f64,
    ) -> std::result::Result<PerceptualLoss, TrainError> {
        let network = PerceptualLoss::from_tensors(&load_tensors(path)?, device, weight);
        network.map_err(|why| weights_error(&why))
    }

    fn from_tensors(tensors: &Tensors, device: &Device, weight: f64) -> Result<PerceptualLoss> {
        let (mut at, mut channels) = (0, STEM);
        let mut stages = Vec::new();
        for stage in &LITE1[..STAGES] {
            let mut layers = Vec::new();
            for repeat in 0..stage.repeats {
                let block = Block::read(tensors, at, stage, repeat, channels)?;
                layers.push(Layer::on(block, device)?);
                (at, channels) = (at + 1, stage.channels);
            }
            stages.push(layers);
        }
        let Dense { weight: stem, bias } = dense(tensors, "_conv_stem", "_bn0")?;
        let stem = stem.reshape((3, 3, 3, STEM))?.permute((3, 2, 0, 1))?;
        Ok(PerceptualLoss {
            stem: stem.contiguous()?.to_device(device)?,
            stem_bias: Tensor::new(bias, device)?,
            stages,
            weight,
        })
    }

    /// The weight of the perceptual loss relative to the reconstruction loss.
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// Computes the distance between real and generated pictures, which is 0 if they are the same.
    /// Both tensors are `[batch, 4, size, size]`, premultiplied, from -1 to 1. Only `generated`
    /// receives gradients.
    pub fn distance(&self, real: &Tensor, generated: &Tensor) -> Result<Tensor> {
        feature_distance(&self.features(&real.detach())?, &self.features(generated)?)
    }

    /// Returns the features after the stem and after each stage, starting with the highest
    /// resolution.
    pub fn features(&self, pictures: &Tensor) -> Result<Vec<Tensor>> {
        // The picture on white: premultiplied colour + 1 - opacity; then (byte - 127) / 128, as in
        // the network's training.
        let colour = pictures.narrow(1, 0, 3)?;
        let colour = colour.broadcast_sub(&pictures.narrow(1, 3, 1)?)?;
        let x = colour.affine(255.0 / 256.0, 1.0)?;
        let x = x.pad_with_zeros(2, 0, 1)?.pad_with_zeros(3, 0, 1)?;
        let x = x.conv2d(&self.stem, 0, 2, 1, 1)?;
        let x = x.permute((0, 2, 3, 1))?.contiguous()?;
        let mut x = relu6(&x.broadcast_add(&self.stem_bias)?)?;
        let mut all = vec![x.clone()];
        for stage in &self.stages {
            for layer in stage {
                x = layer.apply(&x)?;
            }
            all.push(x.clone());
        }
        Ok(all)
    }
}

/// Computes the squared distance between the normalized features, averaged over the stages.
pub fn feature_distance(real: &[Tensor], generated: &[Tensor]) -> Result<Tensor> {
    let mut sum = None;
    for (generated, real) in generated.iter().zip(real) {
        let square = (normalized(generated)? - normalized(real)?)?.sqr()?;
        let distance = square.sum(D::Minus1)?.mean_all()?;
        sum = Some(match sum {
            None => distance,
            Some(sum) => (distance + sum)?,
        });
    }
    let sum = sum.ok_or_else(|| candle_core::Error::Msg("no stages".into()))?;
    sum / real.len() as f64
}

impl Layer {
    fn on(block: Block, device: &Device) -> Result<Layer> {
        let matrix = |from: Dense| {
            Ok::<_, candle_core::Error>(Matrix {
                weight: from.weight.to_device(device)?,
                bias: Tensor::new(from.bias, device)?,
            })
        };
        Ok(Layer {
            expand: block.expand.map(matrix).transpose()?,
            depthwise_bias: Tensor::new(block.depthwise.bias.as_slice(), device)?,
            depthwise: Arc::new(block.depthwise),
            project: matrix(block.project)?,
            residual: block.residual,
        })
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let wide = match &self.expand {
            Some(expand) => relu6(&expand.apply(x)?)?,
            None => x.clone(),
        };
        let wide = depthwise(&wide, &self.depthwise)?;
        let wide = relu6(&wide.broadcast_add(&self.depthwise_bias)?)?;
        let y = self.project.apply(&wide)?;
        if self.residual { x + y } else { Ok(y) }
    }
}

impl Matrix {
    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, high, wide, channels) = x.dims4()?;
        let rows = x.reshape((batch * high * wide, channels))?;
        let rows = rows.matmul(&self.weight)?.broadcast_add(&self.bias)?;
        rows.reshape((batch, high, wide, ()))
    }
}

/// Scales the features at each position to unit length.
fn normalized(x: &Tensor) -> Result<Tensor> {
    let length = (x.sqr()?.sum_keepdim(D::Minus1)? + TINY)?.sqrt()?;
    x.broadcast_div(&length)
}

/// Clamps all values to the range from 0 to 6 (ReLU6).
fn relu6(x: &Tensor) -> Result<Tensor> {
    x.relu()? - (x - 6.0)?.relu()?
}

/// Applies a depthwise convolution without its bias.
fn depthwise(x: &Tensor, by: &Arc<Depthwise>) -> Result<Tensor> {
    match x.device() {
        Device::Cpu => x.contiguous()?.apply_op1(DepthwiseForward(by.clone())),
        Device::Cuda(_) | Device::Metal(_) => depthwise_by_taps(x, by),
    }
}

/// Does the same as [`depthwise`], but with tensor operations only, for devices other than the CPU.
fn depthwise_by_taps(x: &Tensor, by: &Depthwise) -> Result<Tensor> {
    let (batch, size, _, channels) = x.dims4()?;
    let (small, before, stride) = (by.output_size(size), by.padding_before(size), by.stride);
    // Padded to whole strides, enough for the last step of each tap.
    let room = (size + by.kernel).next_multiple_of(stride);
    let mut padded = x.clone();
    for side in [1, 2] {
        padded = padded.pad_with_zeros(side, before, room - size - before)?;
    }
    let steps = room / stride;
    let strided = padded.reshape(&[batch, steps, stride, steps, stride, channels])?;
    let mut sum: Option<Tensor> = None;
    for tap in 0..by.kernel * by.kernel {
        let (row, column) = (tap / by.kernel, tap % by.kernel);
        let own = strided.narrow(2, row % stride, 1)?;
        let own = own.narrow(4, column % stride, 1)?;
        let own = own.narrow(1, row / stride, small)?;
        let own = own.narrow(3, column / stride, small)?;
        let own = own.reshape((batch, small, small, channels))?;
        let weight = Tensor::new(&by.weight[tap * channels..][..channels], x.device())?;
        let own = own.broadcast_mul(&weight)?;
        sum = Some(match sum {
            None => own,
            Some(sum) => (sum + own)?,
        });
    }
    sum.ok_or_else(|| candle_core::Error::Msg("a convolution without taps".into()))
}

/// Calls `at` for each tap of the convolution that lies inside the picture, with the index of the
/// tap and the position that the tap reads.
fn for_each_tap(by: &Depthwise, size: usize, place: usize, mut at: impl FnMut(usize, usize)) {
    let (small, before) = (by.output_size(size), by.padding_before(size));
    let (y, x) = (place / small, place % small);
    for tap in 0..by.kernel * by.kernel {
        let find = |place: usize, off: usize| {
            let at = (place * by.stride + off).checked_sub(before)?;
            (at < size).then_some(at)
        };
        let (row, column) = (find(y, tap / by.kernel), find(x, tap % by.kernel));
        if let (Some(row), Some(column)) = (row, column) {
            at(tap, row * size + column);
        }
    }
}

/// How many values per picture a convolution reads (`from`) and writes (`to`).
struct Lengths {
    from: usize,
    to: usize,
}

/// A depthwise convolution on the CPU. Its input is `[batch, size, size, channels]`; its output is
/// `[batch, small, small, channels]`, where `small` is the output size.
struct DepthwiseForward(Arc<Depthwise>);

/// The gradient of [`DepthwiseForward`] for inputs that are `size` wide and high.
struct DepthwiseBackward {
    by: Arc<Depthwise>,
    size: usize,
}

impl CustomOp1 for DepthwiseForward {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, size, _, channels) = layout.shape().dims4()?;
        let by = self.0.as_ref();
        let small = by.output_size(size);
        let lengths = Lengths {
            from: size * size * channels,
            to: small * small * channels,
        };
        let values = each_picture(storage, layout, lengths, |source, values| {
            for (place, out) in values.chunks_exact_mut(channels).enumerate() {
                for_each_tap(by, size, place, |tap, at| {
                    let weight = &by.weight[tap * channels..][..channels];
                    let own = &source[at * channels..][..channels];
                    for ((out, x), weight) in out.iter_mut().zip(own).zip(weight) {
                        *out += x * weight;
                    }
                });
            }
        })?;
        Ok((values, (batch, small, small, channels).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let back = DepthwiseBackward {
            by: self.0.clone(),
            size: x.dim(1)?,
        };
        gradient.contiguous()?.apply_op1_no_bwd(&back).map(Some)
    }
}

impl CustomOp1 for DepthwiseBackward {
    fn name(&self) -> &'static str {
        "depthwise-back"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, small, _, channels) = layout.shape().dims4()?;
        let (by, size) = (self.by.as_ref(), self.size);
        let lengths = Lengths {
            from: small * small * channels,
            to: size * size * channels,
        };
        let values = each_picture(storage, layout, lengths, |source, values| {
            for (place, gradient) in source.chunks_exact(channels).enumerate() {
                for_each_tap(by, size, place, |tap, at| {
                    let weight = &by.weight[tap * channels..][..channels];
                    let own = &mut values[at * channels..][..channels];
                    for ((out, g), weight) in own.iter_mut().zip(gradient).zip(weight) {
                        *out += g * weight;
                    }
                });
            }
        })?;
        Ok((values, (batch, size, size, channels).into()))
    }
}

/// Calls `work` for each picture of a batch, with the picture's `lengths.from` values and a zeroed
/// slice of `lengths.to` values for the result.
fn each_picture(
    storage: &CpuStorage,
    layout: &Layout,
    lengths: Lengths,
    work: impl Fn(&[f32], &mut [f32]) + Sync,
) -> Result<CpuStorage> {
    let source = contiguous_f32(storage, layout)?;
    let mut values = vec![0f32; source.len() / lengths.from * lengths.to];
    let both = source
        .par_chunks(lengths.from)
        .zip(values.par_chunks_mut(lengths.to));
    both.for_each(|(source, values)| work(source, values));
    Ok(CpuStorage::F32(values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    fn numbers(count: usize, step: f32) -> Vec<f32> {
        (0..count).map(|at| (at as f32 * step).sin()).collect()
    }

    #[test]
    fn the_kernel_is_the_sum_of_its_taps_and_so_are_its_gradients() {
        for (size, kernel, stride) in [(8, 3, 1), (8, 3, 2), (8, 5, 1), (8, 5, 2), (5, 3, 2)] {
            let channels = 3;
            let by = Arc::new(Depthwise {
                weight: numbers(kernel * kernel * channels, 0.7),
                bias: Vec::new(),
                kernel,
                stride,
            });
            let x = numbers(2 * size * size * channels, 0.3);
            let x = Tensor::from_vec(x, (2, size, size, channels), &Device::Cpu).unwrap();
            let x = Var::from_tensor(&x).unwrap();
            let fast = depthwise(&x, &by).unwrap();
            let slow = depthwise_by_taps(&x, &by).unwrap();
            assert_eq!(fast.dims(), slow.dims(), "{size} {kernel} {stride}");
            let pull = numbers(fast.elem_count(), 0.9);
            let pull = Tensor::from_vec(pull, fast.shape(), &Device::Cpu).unwrap();
            let gradient = |y: &Tensor| {
                let loss = (y * &pull).unwrap().sum_all().unwrap();
                loss.backward().unwrap().get(&x).unwrap().clone()
            };
            for (a, b) in [(&fast, &slow), (&gradient(&fast), &gradient(&slow))] {
                let apart = (a - b).unwrap().abs().unwrap().max_all().unwrap();
                let apart = apart.to_scalar::<f32>().unwrap();
                assert!(apart < 1e-4, "{size} {kernel} {stride}: {apart}");
            }
        }
    }
}
