//! Pictures as tokens, by an encoder that is trained no more.

use super::batches::numbers;
use super::data::dataset::Dataset;
use super::variables::{Tensors, fixed};
use candle_core::{Device, Result};
use imagegen::config::Config;
use imagegen::encoder::Encoder;
use imagegen::quantizer::Quantizer;

/// Pictures that are read at once.
const SOME: usize = 64;

pub struct PictureTokenizer {
    encoder: Encoder,
    pub quantizer: Quantizer,
    device: Device,
}

impl PictureTokenizer {
    pub fn new(encoder: &Tensors, config: &Config, device: &Device) -> Result<PictureTokenizer> {
        Ok(PictureTokenizer {
            encoder: fixed(encoder, device, |weights| {
                Encoder::new(&weights.with_autograd(), config)
            })?,
            quantizer: Quantizer::new(&config.levels, device)?,
            device: device.clone(),
        })
    }

    /// The digits `[64][digits]` of each of the pictures, as it is or flipped. `tell` hears how many
    /// are read.
    pub fn read(
        &self,
        pictures: &Dataset,
        which: &[usize],
        flip: bool,
        tell: &mut dyn FnMut(usize),
    ) -> Result<Vec<Vec<u8>>> {
        let mut all = Vec::with_capacity(which.len());
        for some in which.chunks(SOME) {
            let pictures = numbers(pictures, some, &vec![flip; some.len()], &self.device)?;
            let values = self.quantizer.quantize(&self.encoder.forward(&pictures)?)?;
            let digits = self.quantizer.codes(&values)?.flatten_from(1)?;
            let rows = digits.to_vec2::<f32>()?.into_iter();
            all.extend(rows.map(|row| row.into_iter().map(|digit| digit as u8).collect()));
            tell(all.len());
        }
        Ok(all)
    }
}
