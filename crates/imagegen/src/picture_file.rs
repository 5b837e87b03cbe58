//! Decodes picture files (PNG, JPEG, GIF, WebP) and scales them for the encoder and the terminal. A
//! file is untrusted: its dimensions are checked before its pixels are decoded.

use super::Picture;
use super::config::CHANNELS;
use image::imageops::{FilterType, resize};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, Rgba, RgbaImage};
use std::io::Cursor;

/// The maximum size of a file to decode, in bytes.
pub const MAX_FILE_BYTES: usize = 64 << 20;
/// The maximum size of a picture to decode, in pixels. It is enough for a high-resolution camera.
const MAX_PIXELS: u64 = 64_000_000;
/// The maximum number of bytes that decoding may allocate.
const MAX_ALLOCATION: u64 = 512 << 20;

/// Why a file cannot be decoded. Each message is a clause in which "it" refers to the file.
#[derive(Debug, thiserror::Error)]
pub enum PictureFileError {
    #[error("it is larger than {} MB", MAX_FILE_BYTES >> 20)]
    TooLarge,
    #[error("it has more than {} million pixels", MAX_PIXELS / 1_000_000)]
    TooManyPixels,
    #[error("it is not a readable PNG, JPEG, GIF or WebP picture")]
    Unreadable,
}

/// Decodes the picture in a file and scales it to fit a square of `size` pixels. The remaining part
/// of the square is transparent.
pub fn decode_square(file: &[u8], size: usize) -> Result<Picture, PictureFileError> {
    let whole = premultiplied(decode(file)?);
    let side = size as u32;
    let longer = whole.width().max(whole.height()).max(1);
    let scaled = |length: u32| {
        let scaled = u64::from(length) * u64::from(side);
        ((scaled + u64::from(longer) / 2) / u64::from(longer)).max(1) as u32
    };
    let (width, height) = (scaled(whole.width()), scaled(whole.height()));
    let small = match (width, height) == whole.dimensions() {
        true => whole,
        false => resize(&whole, width, height, FilterType::CatmullRom),
    };
    let mut square = RgbaImage::new(side, side);
    let (x, y) = ((side - width) / 2, (side - height) / 2);
    image::imageops::replace(&mut square, &small, x.into(), y.into());
    let mut pixels = square.into_raw();
    // The filter can overshoot and leave a colour above its opacity.
    for pixel in pixels.chunks_exact_mut(CHANNELS) {
        let opacity = pixel[CHANNELS - 1];
        pixel.iter_mut().for_each(|c| *c = (*c).min(opacity));
    }
    Ok(Picture { size, pixels })
}

/// Scales a picture in premultiplied colours, so that the colours of transparent pixels do not
/// bleed into their neighbours.
pub fn scale(picture: &RgbaImage, width: u32, height: u32) -> RgbaImage {
    let whole = premultiplied(picture.clone());
    let mut small = resize(&whole, width, height, FilterType::Triangle);
    for Rgba([red, green, blue, opacity]) in small.pixels_mut() {
        for colour in [red, green, blue] {
            let straight = u16::from(*colour) * 255 / u16::from((*opacity).max(1));
            *colour = straight.min(255) as u8;
        }
    }
    small
}

/// Scales a picture for half-cell rendering, in which each pixel must be either opaque or fully
/// transparent.
pub fn scale_with_hard_edges(picture: &RgbaImage, width: u32, height: u32) -> RgbaImage {
    /// The minimum opacity (0 to 255) of a pixel that counts as opaque.
    const SEEN: u8 = 110;
    let mut small = scale(picture, width, height);
    for Rgba([.., opacity]) in small.pixels_mut() {
        *opacity = if *opacity >= SEEN { 255 } else { 0 };
    }
    small
}

/// Decodes a file to RGBA that is not premultiplied.
pub fn decode(file: &[u8]) -> Result<RgbaImage, PictureFileError> {
    if file.len() > MAX_FILE_BYTES {
        return Err(PictureFileError::TooLarge);
    }
    let reader = || {
        let reader = ImageReader::new(Cursor::new(file)).with_guessed_format();
        let mut reader = reader.map_err(|_| PictureFileError::Unreadable)?;
        let mut limits = Limits::default();
        limits.max_alloc = Some(MAX_ALLOCATION);
        reader.limits(limits);
        Ok(reader)
    };
    let size = reader()?.into_dimensions();
    let (width, height) = size.map_err(|_| PictureFileError::Unreadable)?;
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(PictureFileError::TooManyPixels);
    }
    let read = || {
        let mut decoder = reader().ok()?.into_decoder().ok()?;
        // Cameras record the orientation and leave the pixels unrotated.
        let up = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let fits = decoder.total_bytes() <= MAX_ALLOCATION;
        let mut picture = fits.then(|| DynamicImage::from_decoder(decoder))?.ok()?;
        picture.apply_orientation(up);
        Some(picture.into_rgba8())
    };
    read().ok_or(PictureFileError::Unreadable)
}

/// Decodes a file for a terminal whose background is unknown. A picture that is very dark or very
/// bright on average might be invisible in the terminal, so it is drawn on a paper-coloured
/// background.
pub fn decode_for_terminal(file: &[u8]) -> Result<RgbaImage, PictureFileError> {
    const PAPER: [u16; 3] = [0xf2, 0xe8, 0xd5];
    let mut picture = decode(file)?;
    let (mut sum, mut count) = (0u64, 0u64);
    for Rgba([red, green, blue, opacity]) in picture.pixels() {
        let [red, green, blue] = [red, green, blue].map(|colour| u64::from(*colour));
        // Rec. 601, in thousandths.
        sum += u64::from(*opacity) * (299 * red + 587 * green + 114 * blue);
        count += u64::from(*opacity) * 1000;
    }
    let bright = sum.checked_div(count);
    if bright.is_none_or(|bright| (60..=235).contains(&bright)) {
        return Ok(picture);
    }
    for Rgba([red, green, blue, opacity]) in picture.pixels_mut() {
        let own = u16::from(std::mem::replace(opacity, 255));
        for (colour, paper) in [red, green, blue].into_iter().zip(PAPER) {
            *colour = ((u16::from(*colour) * own + paper * (255 - own) + 127) / 255) as u8;
        }
    }
    Ok(picture)
}

fn premultiplied(mut picture: RgbaImage) -> RgbaImage {
    for Rgba([red, green, blue, opacity]) in picture.pixels_mut() {
        for colour in [red, green, blue] {
            *colour = ((u16::from(*colour) * u16::from(*opacity) + 127) / 255) as u8;
        }
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::ImageFormat;

    fn file(picture: &RgbaImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let picture = DynamicImage::from(picture.clone());
        let picture = match format {
            ImageFormat::Jpeg => picture.to_rgb8().into(),
            _ => picture,
        };
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn every_format_is_read_and_scaled_into_a_square() {
        let wide = RgbaImage::from_pixel(200, 100, Rgba([200, 100, 0, 255]));
        for format in [
            ImageFormat::Png,
            ImageFormat::Jpeg,
            ImageFormat::Gif,
            ImageFormat::WebP,
        ] {
            let picture = decode_square(&file(&wide, format), 64).unwrap();
            let at = |x: usize, y: usize| &picture.pixels[(y * 64 + x) * 4..][..4];
            assert_eq!(at(32, 2), [0; 4], "{format:?}");
            let middle = at(32, 32);
            assert!(
                middle[0].abs_diff(200) < 6 && middle[3] == 255,
                "{format:?}: {middle:?}"
            );
        }
        let faint = RgbaImage::from_pixel(64, 64, Rgba([255, 255, 255, 128]));
        let picture = decode_square(&file(&faint, ImageFormat::Png), 64).unwrap();
        assert_eq!(picture.pixels[..4], [128; 4]);
    }

    #[test]
    fn a_camera_that_was_held_upright_gives_an_upright_picture() {
        let mut wide = RgbaImage::from_pixel(64, 32, Rgba([0, 0, 200, 255]));
        (0..32 * 32).for_each(|at| wide.put_pixel(at % 32, at / 32, Rgba([200, 0, 0, 255])));
        let plain = file(&wide, ImageFormat::Jpeg);
        // Exif 2.32: one field, 0x0112 (orientation), with one short: 6, so the first row is on the
        // right.
        let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let mut noted = plain[..2].to_vec();
        noted.extend([0xff, 0xe1, 0, exif.len() as u8 + 2]);
        noted.extend(exif);
        noted.extend(&plain[2..]);
        let turned = decode(&noted).unwrap();
        assert_eq!(turned.dimensions(), (32, 64));
        let red = |y: u32| turned.get_pixel(16, y).0[0] > 150;
        assert!(red(8) && !red(56), "the left side is at the top");
        assert_eq!(decode(&plain).unwrap().dimensions(), (64, 32));
    }

    #[test]
    fn what_is_transparent_does_not_darken_what_is_not() {
        let mut picture = RgbaImage::new(4, 4);
        (0..8).for_each(|at| picture.put_pixel(at % 2, at / 2, Rgba([200, 0, 0, 255])));
        for pixel in scale(&picture, 3, 3)
            .pixels()
            .filter(|pixel| pixel.0[3] > 20)
        {
            assert!(pixel.0[0].abs_diff(200) < 4, "{pixel:?}");
        }
    }

    #[test]
    fn what_would_not_be_seen_lies_on_paper() {
        let retrieved = |colour: [u8; 4]| {
            let mut picture = RgbaImage::new(2, 1);
            picture.put_pixel(0, 0, Rgba(colour));
            let retrieved = decode_for_terminal(&file(&picture, ImageFormat::Png)).unwrap();
            [0, 1].map(|x| retrieved.get_pixel(x, 0).0)
        };
        assert_eq!(
            retrieved([0, 0, 0, 255]),
            [[0, 0, 0, 255], [0xf2, 0xe8, 0xd5, 255]]
        );
        assert_eq!(retrieved([255, 255, 250, 255])[1], [0xf2, 0xe8, 0xd5, 255]);
        assert_eq!(retrieved([200, 60, 60, 255]), [[200, 60, 60, 255], [0; 4]]);
        assert_eq!(retrieved([0; 4]), [[0; 4], [0; 4]]);
    }

    #[test]
    fn what_is_no_picture_or_too_large_is_said() {
        let whole = file(&RgbaImage::new(40, 40), ImageFormat::Png);
        for end in 0..whole.len() - 12 {
            assert!(decode_square(&whole[..end], 64).is_err(), "cut at {end}");
        }
        // A header that claims 100,000 by 100,000 pixels, with a corrected checksum.
        let mut huge = whole.clone();
        huge[16..20].copy_from_slice(&100_000u32.to_be_bytes());
        huge[20..24].copy_from_slice(&100_000u32.to_be_bytes());
        let sum = crc32fast::hash(&huge[12..29]);
        huge[29..33].copy_from_slice(&sum.to_be_bytes());
        assert!(matches!(
            decode_square(&huge, 64),
            Err(PictureFileError::TooManyPixels)
        ));
        assert!(decode_square(b"no picture at all", 64).is_err());
        assert!(matches!(
            decode(&vec![0; MAX_FILE_BYTES + 1]),
            Err(PictureFileError::TooLarge)
        ));
    }
}
