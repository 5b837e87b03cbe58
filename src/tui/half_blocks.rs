//! Draws pictures as half-block characters: two pixels per cell, in any terminal that has colours.
//!
//! Most of a drawing is transparent, but the half-blocks of ratatui-image lose transparency. The
//! half-blocks of this module let the terminal's background show through.

use image::{Rgba, RgbaImage};
use imagegen::picture_file::scale_with_hard_edges;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;
use story::NodeId;

/// A picture, and the size in cells at which it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PictureSlot {
    pub node: NodeId,
    pub width: u16,
    pub height: u16,
}

pub struct HalfBlocks {
    width: u16,
    height: u16,
    /// The colours of the upper and the lower pixel of each cell, row by row; None is transparent.
    cells: Vec<[Option<Color>; 2]>,
}

impl HalfBlocks {
    pub fn new(picture: &RgbaImage, frame: PictureSlot, all_colours: bool) -> HalfBlocks {
        let (width, height) = (frame.width.max(1), frame.height.max(1));
        let (columns, rows) = (u32::from(width), 2 * u32::from(height));
        let small = scale_with_hard_edges(picture, columns, rows);
        let colour = |x: u32, y: u32| {
            let Rgba([red, green, blue, opacity]) = *small.get_pixel(x, y);
            (opacity > 0).then(|| match all_colours {
                true => Color::Rgb(red, green, blue),
                false => Color::Indexed(nearest_colour(red, green, blue)),
            })
        };
        let cells = (0..u32::from(height))
            .flat_map(|y| (0..columns).map(move |x| (x, y)))
            .map(|(x, y)| [colour(x, 2 * y), colour(x, 2 * y + 1)])
            .collect();
        HalfBlocks {
            width,
            height,
            cells,
        }
    }

    /// Draws the rows of the picture that lie inside `area`. The first row of the picture is `top`
    /// rows below the top of the area (above it if `top` is negative).
    pub fn draw(&self, area: Rect, top: i32, buffer: &mut Buffer) {
        for row in 0..self.height {
            let y = i32::from(row) + top;
            if y < 0 || y >= i32::from(area.height) {
                continue;
            }
            for column in 0..self.width.min(area.width) {
                let at = usize::from(row) * usize::from(self.width) + usize::from(column);
                let place = (area.x + column, area.y + y as u16);
                let Some(cell) = buffer.cell_mut(place) else {
                    continue;
                };
                let (symbol, ink, ground) = match self.cells[at] {
                    [None, None] => (" ", Color::Reset, Color::Reset),
                    [Some(upper), None] => ("▀", upper, Color::Reset),
                    [None, Some(lower)] => ("▄", lower, Color::Reset),
                    [Some(upper), Some(lower)] => ("▀", upper, lower),
                };
                cell.set_symbol(symbol).set_fg(ink).set_bg(ground);
            }
        }
    }
}

/// Returns the index of the nearest colour in the 256-colour palette: one of its 6 × 6 × 6 colour
/// cube or one of its greys.
fn nearest_colour(red: u8, green: u8, blue: u8) -> u8 {
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let step = |value: u8| {
        let near = (0..6).min_by_key(|at| STEPS[*at].abs_diff(value));
        near.unwrap_or(0)
    };
    let [r, g, b] = [step(red), step(green), step(blue)];
    let apart = |colour: [u8; 3]| {
        let pairs = colour.into_iter().zip([red, green, blue]);
        pairs
            .map(|(one, other)| u32::from(one.abs_diff(other)).pow(2))
            .sum::<u32>()
    };
    let mean = (u32::from(red) + u32::from(green) + u32::from(blue)) / 3;
    let grey = (mean.saturating_sub(3) / 10).min(23) as u8;
    let shade = 8 + 10 * grey;
    match apart([shade; 3]) < apart([STEPS[r], STEPS[g], STEPS[b]]) {
        true => 232 + grey,
        false => (16 + 36 * r + 6 * g + b) as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(width: u16, height: u16) -> PictureSlot {
        PictureSlot {
            node: 0,
            width,
            height,
        }
    }

    #[test]
    fn what_is_transparent_shows_the_terminal_behind_it() {
        let mut picture = RgbaImage::new(2, 4);
        picture.put_pixel(0, 0, Rgba([255, 0, 0, 255]));
        picture.put_pixel(1, 1, Rgba([0, 255, 0, 255]));
        picture.put_pixel(0, 2, Rgba([0, 0, 255, 255]));
        picture.put_pixel(0, 3, Rgba([9, 9, 9, 255]));
        let area = Rect::new(0, 0, 2, 2);
        let mut buffer = Buffer::empty(area);
        HalfBlocks::new(&picture, frame(2, 2), true).draw(area, 0, &mut buffer);
        let cell = |x, y| {
            let cell = &buffer[(x, y)];
            (cell.symbol().to_string(), cell.fg, cell.bg)
        };
        let (red, green) = (Color::Rgb(255, 0, 0), Color::Rgb(0, 255, 0));
        assert_eq!(cell(0, 0), ("▀".to_string(), red, Color::Reset));
        assert_eq!(cell(1, 0), ("▄".to_string(), green, Color::Reset));
        let (blue, dark) = (Color::Rgb(0, 0, 255), Color::Rgb(9, 9, 9));
        assert_eq!(cell(0, 1), ("▀".to_string(), blue, dark));
        assert_eq!(cell(1, 1).0, " ");
    }

    #[test]
    fn rows_outside_the_area_are_left_out() {
        let picture = RgbaImage::from_pixel(1, 8, Rgba([255, 0, 0, 255]));
        let blocks = HalfBlocks::new(&picture, frame(1, 4), true);
        let mut buffer = Buffer::empty(Rect::new(0, 0, 1, 6));
        blocks.draw(Rect::new(0, 2, 1, 3), -2, &mut buffer);
        let drawn = |y| buffer[(0, y)].symbol() == "▀";
        assert_eq!(
            [0, 1, 2, 3, 4, 5].map(drawn),
            [false, false, true, true, false, false]
        );
    }

    #[test]
    fn colours_are_rounded_to_those_that_there_are() {
        assert_eq!(nearest_colour(255, 0, 0), 196);
        assert_eq!(nearest_colour(0, 0, 0), 16);
        assert_eq!(nearest_colour(128, 128, 128), 244);
        assert_eq!(nearest_colour(255, 255, 255), 231);
    }
}
