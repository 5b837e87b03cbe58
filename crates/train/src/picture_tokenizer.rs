//! Encodes pictures as tokens with a frozen encoder.

use super::TrainError;
use super::batches::pixels;
use super::data::dataset::Dataset;
use super::variables::{Tensors, frozen};
use base::progress::Observer;
use candle_core::{Device, Result};
use imagegen::config::Config;
use imagegen::encoder::Encoder;
use imagegen::quantizer::Quantizer;

/// The number of pictures that are encoded in one batch.
const BATCH_SIZE: usize = 64;

pub struct PictureTokenizer {
    encoder: Encoder,
    pub quantizer: Quantizer,
    device: Device,
}

impl PictureTokenizer {
    pub fn new(encoder: &Tensors, config: &Config, device: &Device) -> Result<PictureTokenizer> {
        Ok(PictureTokenizer {
            encoder: frozen(encoder, device, |weights| {
                Encoder::new(&weights.with_autograd(), config)
            })?,
            quantizer: Quantizer::new(&config.levels, device)?,
            device: device.clone(),
        })
    }

    /// Encodes the pictures at `index`, flipped if `flip` is true. Returns the FSQ codes
    /// `[64][codes]` of each picture.
    pub fn encode(
        &self,
        pictures: &Dataset,
        index: &[usize],
        flip: bool,
        observer: &dyn Observer,
    ) -> std::result::Result<Vec<Vec<u8>>, TrainError> {
        let total = index.len() as u64;
        let mut all = Vec::with_capacity(index.len());
        for some in index.chunks(BATCH_SIZE) {
            observer.check()?;
            let pictures = pixels(pictures, some, &vec![flip; some.len()], &self.device)?;
            let values = self.quantizer.quantize(&self.encoder.forward(&pictures)?)?;
            let digits = self.quantizer.codes(&values)?.flatten_from(1)?;
            let rows = digits.to_vec2::<f32>()?.into_iter();
            all.extend(rows.map(|row| row.into_iter().map(|digit| digit as u8).collect()));
            observer.progress("Encoding pictures", all.len() as u64, Some(total));
        }
        Ok(all)
    }
}
