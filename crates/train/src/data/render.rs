//! Rasterizes SVG icons identically on every machine. A drawing is fitted into a square and
//! centred; its pixels are premultiplied RGBA.
//!
//! These rules are part of the dataset: a change to any rule would change the model's training
//! pictures.

use resvg::{tiny_skia, usvg};

/// An icon of an icon set: the body of the SVG document, and the view box.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    pub body: String,
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

/// Renders an icon, `size` pixels wide and high. Returns `size * size * 4` premultiplied bytes in
/// rows from top to bottom, or None if the body is not valid SVG, the icon has no extent or every
/// pixel is empty.
pub fn render(drawing: &Drawing, size: u32) -> Option<Vec<u8>> {
    let longest = drawing.width.max(drawing.height);
    if !(longest.is_finite() && drawing.width > 0.0 && drawing.height > 0.0) {
        return None;
    }
    let tree = usvg::Tree::from_str(&svg_document(drawing), &usvg::Options::default()).ok()?;
    let mut pixels = tiny_skia::Pixmap::new(size, size)?;
    let scale = f64::from(size) / longest;
    let middle = |extent: f64| ((f64::from(size) - extent * scale) / 2.0) as f32;
    let fit = tiny_skia::Transform::from_scale(scale as f32, scale as f32)
        .post_translate(middle(drawing.width), middle(drawing.height));
    resvg::render(&tree, fit, &mut pixels.as_mut());
    let pixels = pixels.take();
    pixels.iter().any(|byte| *byte != 0).then_some(pixels)
}

/// Returns a complete SVG document for the icon, in which `currentColor` is replaced by black.
fn svg_document(drawing: &Drawing) -> String {
    let Drawing {
        left,
        top,
        width,
        height,
        ..
    } = drawing;
    let body = drawing.body.replace("currentColor", "black");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" \
         width=\"{width}\" height=\"{height}\" viewBox=\"{left} {top} {width} {height}\">{body}</svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing(body: &str) -> Drawing {
        Drawing {
            body: body.into(),
            left: 0.0,
            top: 0.0,
            width: 2.0,
            height: 1.0,
        }
    }

    #[test]
    fn a_wide_drawing_is_centred_between_two_empty_bands() {
        let pixels = render(&drawing("<path d=\"M0 0h2v1h-2z\" fill=\"#f00\"/>"), 4).unwrap();
        let row = |y: usize| &pixels[y * 16..y * 16 + 16];
        assert_eq!(row(0), [0; 16]);
        assert_eq!(row(1), [255, 0, 0, 255].repeat(4));
        assert_eq!(row(2), [255, 0, 0, 255].repeat(4));
        assert_eq!(row(3), [0; 16]);
    }

    #[test]
    fn half_transparent_paint_is_premultiplied() {
        let body = "<path d=\"M0 0h2v1h-2z\" fill=\"#fff\" fill-opacity=\".5\"/>";
        let pixels = render(&drawing(body), 4).unwrap();
        let pixel = &pixels[16..20];
        assert_eq!(pixel[0], pixel[3], "white times its opacity: {pixel:?}");
        assert!((126..=129).contains(&pixel[3]), "{pixel:?}");
    }

    #[test]
    fn the_readers_colour_is_black() {
        let pixels = render(
            &drawing("<path d=\"M0 0h2v1h-2z\" fill=\"currentColor\"/>"),
            4,
        );
        assert_eq!(pixels.unwrap()[16..20], [0, 0, 0, 255]);
    }

    #[test]
    fn what_is_no_drawing_is_none() {
        assert_eq!(render(&drawing("<path d="), 4), None);
        assert_eq!(render(&drawing("<path d=\"M0 0\"/>"), 4), None);
        let mut flat = drawing("<path d=\"M0 0h2v1h-2z\"/>");
        flat.height = 0.0;
        assert_eq!(render(&flat, 4), None);
    }
}
