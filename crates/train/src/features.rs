//! Computes the features used to evaluate pictures. The features are 1,280 numbers from
//! EfficientNet-lite0 (Tan and Le 2019; the lite models, Google 2020), which was trained on
//! photographs and whose weights come from PyTorch.
//!
//! illumine's own networks do not influence these features. Batch norms are folded into the
//! convolutions. Feature maps are stored as `[height, width, channels]`.

use super::TrainError;
use super::efficientnet::{
    Block, Dense, Depthwise, LITE0, STEM, Tensors, dense, load_tensors, weights_error,
};
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use std::path::Path;

/// The number of features of a picture.
pub const WIDTH: usize = 1280;
/// The width and height of the network's input in pixels. Drawings of 64 pixels are enlarged to
/// twice their size.
pub const SIZE: usize = 128;

/// EfficientNet-lite0, ready to compute features.
pub struct FeatureExtractor {
    stem: Dense,
    blocks: Vec<Block>,
    head: Dense,
}

/// The features at each position of a picture: `[size * size, channels]`.
struct FeatureMap {
    values: Vec<f32>,
    size: usize,
    channels: usize,
}

impl FeatureExtractor {
    /// Loads the network from the file `efficientnet-lite0-57934424.pth`.
    pub fn load(path: &Path) -> Result<FeatureExtractor, TrainError> {
        let network = FeatureExtractor::from_tensors(&load_tensors(path)?);
        network.map_err(|why| weights_error(&why))
    }

    fn from_tensors(tensors: &Tensors) -> candle_core::Result<FeatureExtractor> {
        let mut channels = STEM;
        let mut blocks = Vec::new();
        for stage in &LITE0 {
            for repeat in 0..stage.repeats {
                let block = Block::read(tensors, blocks.len(), stage, repeat, channels)?;
                blocks.push(block);
                channels = stage.channels;
            }
        }
        Ok(FeatureExtractor {
            stem: dense(tensors, "_conv_stem", "_bn0")?,
            head: dense(tensors, "_conv_head", "_bn1")?,
            blocks,
        })
    }

    /// Returns the features `[pictures, WIDTH]` of pictures. Each picture is `[SIZE, SIZE, 3]`, RGB
    /// from 0 to 255, in rows from top to bottom.
    pub fn features(&self, pictures: &[Vec<f32>]) -> Result<Vec<f32>, TrainError> {
        let rows: Result<Vec<Vec<f32>>, candle_core::Error> = pictures
            .par_iter()
            .map(|picture| self.picture_features(picture))
            .collect();
        Ok(rows?.concat())
    }

    fn picture_features(&self, picture: &[f32]) -> candle_core::Result<Vec<f32>> {
        let mut rows = relu6(self.stem.apply(&patches(picture))?);
        for block in &self.blocks {
            rows = block.apply(rows)?;
        }
        let rows = relu6(self.head.apply(&rows)?);
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
    fn apply(&self, rows: FeatureMap) -> candle_core::Result<FeatureMap> {
        let wide = match &self.expand {
            Some(expand) => &relu6(expand.apply(&rows)?),
            None => &rows,
        };
        let mut out = self.project.apply(&relu6(self.depthwise.apply(wide)))?;
        if self.residual {
            let pairs = out.values.iter_mut().zip(&rows.values);
            pairs.for_each(|(sum, x)| *sum += x);
        }
        Ok(out)
    }
}

impl Dense {
    fn apply(&self, rows: &FeatureMap) -> candle_core::Result<FeatureMap> {
        let count = rows.size * rows.size;
        let x = Tensor::from_slice(&rows.values, (count, rows.channels), &Device::Cpu)?;
        let mut values = x.matmul(&self.weight)?.flatten_all()?.to_vec1::<f32>()?;
        let channels = self.bias.len();
        for row in values.chunks_exact_mut(channels) {
            row.iter_mut()
                .zip(&self.bias)
                .for_each(|(x, bias)| *x += bias);
        }
        Ok(FeatureMap {
            values,
            size: rows.size,
            channels,
        })
    }
}

impl Depthwise {
    /// Applies the convolution with TensorFlow's padding: the padding is equal on opposite sides,
    /// but if the total is odd, the right and the bottom side get one pixel more.
    fn apply(&self, rows: &FeatureMap) -> FeatureMap {
        let (size, channels, kernel) = (rows.size, rows.channels, self.kernel);
        let (small, before) = (self.output_size(size), self.padding_before(size));
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
        FeatureMap {
            values,
            size: small,
            channels,
        }
    }
}

/// Clamps all values to the range from 0 to 6 (ReLU6).
fn relu6(mut rows: FeatureMap) -> FeatureMap {
    rows.values.iter_mut().for_each(|x| *x = x.clamp(0.0, 6.0));
    rows
}

/// Returns the input patches of the stem's 3 × 3 convolution with stride 2, each as a row of 27
/// numbers.
fn patches(picture: &[f32]) -> FeatureMap {
    let size = SIZE / 2;
    let mut values = Vec::with_capacity(size * size * 27);
    for y in 0..size {
        for x in 0..size {
            for tap in 0..9 {
                let (row, column) = (y * 2 + tap / 3, x * 2 + tap % 3);
                for channel in 0..3 {
                    let inside = row < SIZE && column < SIZE;
                    let place = (row * SIZE + column) * 3 + channel;
                    // The range that the network was trained on: -1 to 1.
                    values.push(if inside {
                        (picture[place] - 127.0) / 128.0
                    } else {
                        0.0
                    });
                }
            }
        }
    }
    FeatureMap {
        values,
        size,
        channels: 27,
    }
}
