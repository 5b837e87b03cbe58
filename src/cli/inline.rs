//! Shows pictures between lines of text, with the terminal's graphics protocol or as half-block
//! characters.

use super::{echo, environment};
use image::{DynamicImage, RgbaImage, imageops};
use imagegen::picture_file::{decode_for_terminal, scale, scale_with_hard_edges};
use std::io::{IsTerminal, stdout};

/// The width of a square picture, in terminal cells.
const WIDE: u32 = 32;
/// The width of a sheet of several pictures, in terminal cells.
const SHEET: u32 = 60;
/// The width and height of a picture on a sheet, in pixels.
const SMALL: u32 = 128;
/// The gap between two pictures on a sheet, in pixels.
const GAP: u32 = 8;

/// Whether standard output can show pictures.
pub fn can() -> bool {
    stdout().is_terminal() && environment::colour() && !echo::in_background()
}

/// Shows one picture, or several pictures on a sheet. A failure is ignored, since the caller also
/// describes the pictures in words.
pub fn show<T: AsRef<[u8]>>(files: &[T]) {
    let pictures = files
        .iter()
        .filter_map(|file| decode_for_terminal(file.as_ref()).ok());
    let pictures: Vec<RgbaImage> = pictures.collect();
    let (sheet, cells) = match <[RgbaImage; 1]>::try_from(pictures) {
        Ok([one]) => {
            let wide = WIDE * one.width() / one.height().max(1);
            (one, wide.min(2 * WIDE))
        }
        Err(several) if several.is_empty() => return,
        Err(several) => (sheet(&several), SHEET),
    };
    let (columns, _) = viuer::terminal_size();
    let cells = cells.min(u32::from(columns.max(4)));
    let _off = echo::off();
    let sheet = match in_blocks() {
        true => scale_with_hard_edges(&sheet, cells, 2 * rows(&sheet, cells)),
        false => sheet,
    };
    let config = viuer::Config {
        transparent: true,
        absolute_offset: false,
        width: Some(cells),
        ..viuer::Config::default()
    };
    let _ = viuer::print(&DynamicImage::ImageRgba8(sheet), &config);
}

/// Whether pictures are shown as half-block characters, because the terminal supports no graphics
/// protocol. Such pictures are scaled in this module, since the `viuer` library would draw nearly
/// transparent pixels as opaque.
fn in_blocks() -> bool {
    !viuer::is_iterm_supported() && viuer::get_kitty_support() == viuer::KittySupport::None
}

/// Returns how many terminal rows a picture needs if it is `columns` cells wide. A cell is twice as
/// high as it is wide.
fn rows(picture: &RgbaImage, columns: u32) -> u32 {
    let (width, height) = picture.dimensions();
    (columns * height).div_ceil(2 * width.max(1)).max(1)
}

/// Arranges pictures on a sheet, row by row from the top left.
fn sheet(pictures: &[RgbaImage]) -> RgbaImage {
    let columns = match pictures.len() as u32 {
        count @ 0..=5 => count,
        6..=9 => 3,
        10..=16 => 4,
        _ => 8,
    };
    let rows = (pictures.len() as u32).div_ceil(columns.max(1));
    let place = |at: u32| at * (SMALL + GAP);
    let mut sheet = RgbaImage::new(place(columns) - GAP, place(rows) - GAP);
    for (at, picture) in (0..).zip(pictures) {
        let longer = picture.width().max(picture.height()).max(1);
        let fit = |side: u32| (side * SMALL / longer).max(1);
        let size = (fit(picture.width()), fit(picture.height()));
        let small = scale(picture, size.0, size.1);
        let (x, y) = (place(at % columns), place(at / columns));
        imageops::replace(&mut sheet, &small, x.into(), y.into());
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgba;

    #[test]
    fn a_sheet_has_a_place_for_each_picture() {
        let colours = (0..9).map(|n| Rgba([n * 20, 0, 0, 255]));
        let pictures: Vec<_> = colours.map(|c| RgbaImage::from_pixel(64, 64, c)).collect();
        let sheet = sheet(&pictures);
        assert_eq!(sheet.dimensions(), (3 * 136 - 8, 3 * 136 - 8));
        assert_eq!(sheet.get_pixel(136 + 64, 136 + 64).0, [80, 0, 0, 255]);
        assert_eq!(sheet.get_pixel(131, 64).0[3], 0);
    }

    #[test]
    fn a_picture_of_cells_keeps_its_shape() {
        assert_eq!(rows(&RgbaImage::new(64, 64), 32), 16);
        assert_eq!(rows(&RgbaImage::new(400, 130), 60), 10);
        assert_eq!(rows(&RgbaImage::new(64, 1), 4), 1);
    }
}
