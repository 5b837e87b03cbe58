//! Computes the features of real pictures, and of pictures drawn with the same concepts and styles.

use super::{Evaluation, PicturesError, Target};
use base::progress::Observer;
use imagegen::{ImageSpec, Picture};
use train::features::{SIZE, WIDTH};
use train::measures::Features;

impl Evaluation<'_> {
    pub(super) fn features_of_real(
        &self,
        some: &[usize],
        observer: &dyn Observer,
    ) -> Result<Features, PicturesError> {
        let size = self.pictures.size as usize;
        let picture = |at: &usize| extractor_input(self.pictures.picture(*at), size);
        self.features(
            some.len(),
            observer,
            "Real pictures processed",
            &mut |from, to| Ok(some[from..to].iter().map(picture).collect()),
        )
    }

    pub(super) fn features_of_drawn(
        &self,
        like: &[usize],
        observer: &dyn Observer,
    ) -> Result<Features, PicturesError> {
        self.features(like.len(), observer, "Pictures drawn", &mut |from, to| {
            let mut some = Vec::new();
            for (at, like) in like[from..to].iter().enumerate() {
                let seed = self.settings.seed.wrapping_add((from + at) as u64);
                let drawn = match self.settings.redrawn {
                    None => self.draw(self.label(*like), vec![seed])?,
                    Some(share) => self.redraw(*like, share, seed)?,
                };
                some.extend(
                    drawn
                        .iter()
                        .map(|picture| extractor_input(&picture.pixels, picture.size)),
                );
            }
            Ok(some)
        })
    }

    #[allow(clippy::type_complexity)]
    fn features(
        &self,
        count: usize,
        observer: &dyn Observer,
        what: &str,
        some: &mut dyn FnMut(usize, usize) -> Result<Vec<Vec<f32>>, PicturesError>,
    ) -> Result<Features, PicturesError> {
        const STEP: usize = 32;
        let mut values = Vec::with_capacity(count * WIDTH);
        for from in (0..count).step_by(STEP) {
            observer.progress(what, from as u64, Some(count as u64));
            observer.check()?;
            let pictures = some(from, (from + STEP).min(count))?;
            values.extend(self.extractor.features(&pictures)?);
        }
        Ok(Features::new(WIDTH, &values))
    }

    pub(super) fn draw(
        &self,
        asked: Target,
        seeds: Vec<u64>,
    ) -> Result<Vec<Picture>, PicturesError> {
        let spec = self.order(asked, seeds)?;
        let drawn = self.pipeline.illuminator.draw(&spec, &mut || true)?;
        Ok(drawn.map(|drawn| drawn.pictures).unwrap_or_default())
    }

    fn order(&self, asked: Target, seeds: Vec<u64>) -> Result<ImageSpec, PicturesError> {
        let style = &self.pictures.styles[asked.style as usize];
        let mut spec = self
            .pipeline
            .image_spec(self.words(asked.concept), style, seeds)?;
        spec.sampling = self.settings.sampling;
        Ok(spec)
    }

    /// Predicts some of a real picture's tokens again, and decodes the picture. `share` is the
    /// share of tokens that are predicted again.
    fn redraw(&self, at: usize, share: f64, seed: u64) -> Result<Vec<Picture>, PicturesError> {
        let illuminator = &self.pipeline.illuminator;
        let code = illuminator.encode(&Picture {
            size: self.pictures.size as usize,
            pixels: self.pictures.picture(at).to_vec(),
        })?;
        let spec = self.order(self.label(at), vec![seed])?;
        let drawn = illuminator.vary(&spec, &code, share, &mut || true)?;
        Ok(drawn.map(|drawn| drawn.pictures).unwrap_or_default())
    }
}

/// Converts a picture to the input of the feature extractor: RGB from 0 to 255 on a white
/// background, at the size that the extractor expects.
pub(super) fn extractor_input(pixels: &[u8], size: usize) -> Vec<f32> {
    let on_white = |at: usize, channel: usize| {
        let pixel = &pixels[at * 4..][..4];
        f32::from(pixel[channel]) + 255.0 - f32::from(pixel[3])
    };
    let place = |out: usize| {
        // Pixel centres are aligned.
        let at = (out as f32 + 0.5) * size as f32 / SIZE as f32 - 0.5;
        let low = at.floor().max(0.0) as usize;
        (
            low,
            (low + 1).min(size - 1),
            (at - low as f32).clamp(0.0, 1.0),
        )
    };
    let mut all = Vec::with_capacity(SIZE * SIZE * 3);
    for y in 0..SIZE {
        let (top, bottom, down) = place(y);
        for x in 0..SIZE {
            let (left, right, along) = place(x);
            for channel in 0..3 {
                let at = |row: usize, column: usize| on_white(row * size + column, channel);
                let above = at(top, left) * (1.0 - along) + at(top, right) * along;
                let below = at(bottom, left) * (1.0 - along) + at(bottom, right) * along;
                all.push(above * (1.0 - down) + below * down);
            }
        }
    }
    all
}
