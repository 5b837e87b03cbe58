//! Decodes pictures and computes their perceptual hashes.
//!
//! The hash is the usual 64-bit one ("pHash"). The picture is reduced to 32 by 32 grey pixels and
//! cosine-transformed; each bit says whether one of the 64 lowest frequencies is above their
//! median. The hashes of similar pictures differ in few bits.

use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageReader, Limits};
use std::f64::consts::PI;
use std::io::Cursor;

/// The width and height in pixels of the grey picture that is transformed.
const SIDE: usize = 32;
/// The number of frequencies in each direction that the hash uses.
const LOW: usize = 8;
/// The maximum width and height, in pixels, of a picture that is decoded.
const LARGEST: u32 = 8192;

/// Decodes a picture file.
pub fn decode(bytes: &[u8]) -> Result<DynamicImage, String> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let mut reader = reader.map_err(|error| error.to_string())?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST);
    limits.max_image_height = Some(LARGEST);
    reader.limits(limits);
    reader.decode().map_err(|error| error.to_string())
}

/// Computes the perceptual hash of a picture.
pub fn perceptual_hash(picture: &DynamicImage) -> u64 {
    // Transparent pixels count as white, as on paper.
    let mut paper = image::RgbaImage::from_pixel(
        picture.width(),
        picture.height(),
        image::Rgba([255, 255, 255, 255]),
    );
    imageops::overlay(&mut paper, &picture.to_rgba8(), 0, 0);
    let grey = DynamicImage::ImageRgba8(paper).to_luma8();
    let small = imageops::resize(&grey, SIDE as u32, SIDE as u32, FilterType::Triangle);
    let pixel = |x: usize, y: usize| f64::from(small.get_pixel(x as u32, y as u32).0[0]);
    let wave =
        |k: usize, at: usize| (PI * k as f64 * (2 * at + 1) as f64 / (2 * SIDE) as f64).cos();
    let mut frequencies = Vec::with_capacity(LOW * LOW);
    for v in 0..LOW {
        for u in 0..LOW {
            let row = |y: usize| (0..SIDE).map(|x| pixel(x, y) * wave(u, x)).sum::<f64>();
            frequencies.push((0..SIDE).map(|y| row(y) * wave(v, y)).sum::<f64>());
        }
    }
    let mut sorted = frequencies.clone();
    sorted.sort_by(f64::total_cmp);
    let median = f64::midpoint(sorted[LOW * LOW / 2 - 1], sorted[LOW * LOW / 2]);
    let bits = frequencies.iter().enumerate();
    bits.fold(0, |hash, (at, value)| {
        hash | u64::from(*value > median) << at
    })
}

/// The number of bits, of 64, in which two perceptual hashes differ.
pub fn distance(a: u64, b: u64) -> u32 {
    (a ^ b).count_ones()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};

    fn disc(side: u32, x: f32, shade: u8) -> DynamicImage {
        let half = side as f32;
        DynamicImage::ImageRgb8(RgbImage::from_fn(side, side, |px, py| {
            let far = (px as f32 / half - x).hypot(py as f32 / half - 0.5);
            Rgb(if far < 0.2 { [shade; 3] } else { [240; 3] })
        }))
    }

    #[test]
    fn a_scaled_or_lighter_picture_is_near_and_another_is_far() {
        let hash = perceptual_hash(&disc(128, 0.3, 20));
        assert!(distance(hash, perceptual_hash(&disc(64, 0.3, 20))) <= 4);
        assert!(distance(hash, perceptual_hash(&disc(128, 0.3, 60))) <= 4);
        assert!(distance(hash, perceptual_hash(&disc(128, 0.7, 20))) > 10);
    }

    #[test]
    fn a_file_that_is_no_picture_is_an_error() {
        assert!(decode(b"no picture").is_err());
    }
}
