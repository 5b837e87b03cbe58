//! Writes and reads PNG files that contain provenance and are marked as machine-generated.
//!
//! Each file has three text chunks. `Software` names the program. `illumine` contains the
//! provenance as JSON. XMP metadata contains IPTC's digital source type (IPTC Photo Metadata
//! Standard 2023.1), which other programs look for.

pub use story::picture::PictureProvenance;

use std::io::Cursor;
use story::picture::{Derivation, Layer};
use tiny_skia::{
    Color, FilterQuality, IntSize, Pixmap, PixmapPaint, PremultipliedColorU8, Transform,
};

/// The reason why a picture cannot be written, or why its provenance cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    #[error("it is not a readable PNG file ({0})")]
    NoPng(String),
    #[error("it has no provenance")]
    NoProvenance,
    #[error("a background must be six hexadecimal digits, for example #f5e6c8")]
    Background,
    #[error("the size must be 16 to {LARGEST} pixels")]
    Size,
}

/// The maximum height of a picture in pixels. A greater height would not improve a 64-pixel
/// drawing.
const LARGEST: u32 = 2048;
/// The maximum length of a provenance chunk in bytes. The chunks that illumine writes are always
/// shorter.
const LONGEST: usize = 1 << 20;
const KEYWORD: &str = "illumine";
const XMP: &str = "XML:com.adobe.xmp";

/// The width and height of a picture in pixels. A scene is twice as wide as it is high.
pub fn size(how: &PictureProvenance) -> (u32, u32) {
    match how.way {
        Derivation::Scene { .. } => (2 * how.size, how.size),
        _ => (how.size, how.size),
    }
}

/// Combines layers into one picture and encodes the picture as a PNG file. `how` is the provenance,
/// which contains the size and the background.
pub fn encode(layers: &[Layer], how: &PictureProvenance) -> Result<Vec<u8>, PictureError> {
    let pixels = compose_layers(layers, how)?;
    let (width, height) = size(how);
    let no_png = |why: png::EncodingError| PictureError::NoPng(why.to_string());
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    let json = serde_json::to_string(how).unwrap_or_default();
    let chunks = [
        ("Software", how.build.clone()),
        (KEYWORD, json),
        (XMP, xmp_packet()),
    ];
    for (keyword, text) in chunks {
        let added = encoder.add_itxt_chunk(keyword.to_string(), text);
        added.map_err(no_png)?;
    }
    let mut writer = encoder.write_header().map_err(no_png)?;
    writer.write_image_data(&pixels).map_err(no_png)?;
    writer.finish().map_err(no_png)?;
    Ok(file)
}

/// The gap between the pictures of a sheet, in pixels.
const GAP: usize = 2;

/// The width and height of a [`sheet`] in pixels.
pub fn sheet_size(rows: &[Vec<Vec<u8>>], size: usize) -> (u32, u32) {
    let wide = rows.iter().map(Vec::len).max().unwrap_or(0) * (size + GAP);
    let high = rows.len() * (size + GAP);
    (wide as u32, high as u32)
}

/// Draws rows of pictures on a white sheet and encodes the sheet as a PNG file.
pub fn sheet(rows: &[Vec<Vec<u8>>], size: usize) -> Result<Vec<u8>, PictureError> {
    let (wide, high) = sheet_size(rows, size);
    let mut sheet = Pixmap::new(wide, high).ok_or(PictureError::Size)?;
    sheet.fill(Color::WHITE);
    let place = |at: usize| (at * (size + GAP)) as i32;
    for (y, row) in rows.iter().enumerate() {
        for (x, pixels) in row.iter().enumerate() {
            let drawn = IntSize::from_wh(size as u32, size as u32)
                .and_then(|size| Pixmap::from_vec(pixels.clone(), size))
                .ok_or(PictureError::Size)?;
            let paint = PixmapPaint::default();
            let still = Transform::identity();
            sheet.draw_pixmap(place(x), place(y), drawn.as_ref(), &paint, still, None);
        }
    }
    let no_png = |why: png::EncodingError| PictureError::NoPng(why.to_string());
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, wide, high);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(no_png)?;
    writer.write_image_data(sheet.data()).map_err(no_png)?;
    writer.finish().map_err(no_png)?;
    Ok(file)
}

/// Reads the provenance from a PNG file.
pub fn provenance(file: &[u8]) -> Result<PictureProvenance, PictureError> {
    let limits = png::Limits { bytes: 64 << 20 };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(file), limits);
    decoder.set_ignore_text_chunk(false);
    let reader = decoder.read_info();
    let reader = reader.map_err(|why| PictureError::NoPng(why.to_string()))?;
    let chunks = &reader.info().utf8_text;
    let own = chunks.iter().find(|chunk| chunk.keyword == KEYWORD);
    let text = own.and_then(|chunk| chunk.get_text().ok());
    let text = text.filter(|text| text.len() <= LONGEST);
    let how = text.and_then(|text| serde_json::from_str(&text).ok());
    how.ok_or(PictureError::NoProvenance)
}

/// Combines layers into one picture, smoothly enlarged to the requested size. Returns RGBA pixels
/// with straight (not premultiplied) alpha.
fn compose_layers(layers: &[Layer], how: &PictureProvenance) -> Result<Vec<u8>, PictureError> {
    if !(16..=LARGEST).contains(&how.size) {
        return Err(PictureError::Size);
    }
    let (width, height) = size(how);
    let mut sheet = Pixmap::new(width, height).ok_or(PictureError::Size)?;
    if let Some(background) = &how.background {
        sheet.fill(parse_colour(background)?);
    }
    let positions = match how.way {
        Derivation::Scene { .. } => scene_positions(layers.len(), height as f32),
        _ => {
            let whole = LayerPosition {
                left: 0.0,
                top: 0.0,
                side: height as f32,
            };
            vec![whole; layers.len()]
        }
    };
    for (layer, position) in layers.iter().zip(positions) {
        draw_layer(&mut sheet, layer, position)?;
    }
    let straight = |pixel: &PremultipliedColorU8| {
        let colour = pixel.demultiply();
        [colour.red(), colour.green(), colour.blue(), colour.alpha()]
    };
    Ok(sheet.pixels().iter().flat_map(straight).collect())
}

/// The position and side length of a square layer in a picture, in pixels.
#[derive(Clone, Copy)]
struct LayerPosition {
    left: f32,
    top: f32,
    side: f32,
}

/// The positions of a scene's layers. The first layer is the backdrop, which covers the whole scene
/// and extends beyond its top and bottom. The other layers stand side by side on one line.
fn scene_positions(layers: usize, height: f32) -> Vec<LayerPosition> {
    let mut positions = vec![LayerPosition {
        left: 0.0,
        top: -0.5 * height,
        side: 2.0 * height,
    }];
    let subjects = layers.saturating_sub(1);
    let side = match subjects {
        0 | 1 => 0.78,
        2 => 0.7,
        _ => 0.62,
    } * height;
    let free = 2.0 * height / subjects.max(1) as f32;
    positions.extend((0..subjects).map(|at| LayerPosition {
        left: (at as f32 + 0.5) * free - side / 2.0,
        top: 0.97 * height - side,
        side,
    }));
    positions
}

fn draw_layer(
    sheet: &mut Pixmap,
    layer: &Layer,
    LayerPosition { left, top, side }: LayerPosition,
) -> Result<(), PictureError> {
    let own = layer.size as u32;
    let drawn = IntSize::from_wh(own, own)
        .and_then(|size| Pixmap::from_vec(layer.pixels.clone(), size))
        .ok_or(PictureError::Size)?;
    let scale = side / own as f32;
    let quality = match (scale, left, top) {
        (1.0, 0.0, 0.0) => FilterQuality::Nearest,
        _ => FilterQuality::Bicubic,
    };
    let paint = PixmapPaint {
        quality,
        ..PixmapPaint::default()
    };
    let place = Transform::from_scale(scale, scale).post_translate(left, top);
    sheet.draw_pixmap(0, 0, drawn.as_ref(), &paint, place, None);
    Ok(())
}

/// Parses `#rrggbb`, with or without the `#`.
fn parse_colour(name: &str) -> Result<Color, PictureError> {
    let digits = name.strip_prefix('#').unwrap_or(name);
    let sound = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u32::from_str_radix(digits, 16).ok().filter(|_| sound);
    let [_, red, green, blue] = number.ok_or(PictureError::Background)?.to_be_bytes();
    Ok(Color::from_rgba8(red, green, blue, 255))
}

/// The XMP packet, which states that a trained algorithm made the picture.
fn xmp_packet() -> String {
    let source = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia";
    format!(
        "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\
         <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\
         <rdf:Description rdf:about=\"\" \
         xmlns:Iptc4xmpExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\" \
         Iptc4xmpExt:DigitalSourceType=\"{source}\"/></rdf:RDF></x:xmpmeta>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn how() -> PictureProvenance {
        PictureProvenance {
            prompt: "a red dragon, „asleep“ 🐉".into(),
            concepts: vec![("dragon".into(), 0.74)],
            style: Some("noto".into()),
            seed: u64::MAX,
            steps: 8,
            temperature: 0.9,
            guidance: 2.5,
            retrieval_strength: 0.007,
            size: 64,
            background: None,
            enlarged: false,
            weights: "00".repeat(32),
            backend: "cpu".into(),
            build: "illumine 0.1.0".into(),
            tokens: "04".into(),
            way: Derivation::Prompt,
        }
    }

    /// Returns one layer of half-transparent red.
    fn red() -> Vec<Layer> {
        vec![Layer {
            size: 64,
            pixels: [128, 0, 0, 128].repeat(64 * 64),
        }]
    }

    fn pixels(file: &[u8]) -> Vec<u8> {
        let mut reader = png::Decoder::new(Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        pixels
    }

    #[test]
    fn a_file_says_how_it_was_made_and_by_what() {
        let file = encode(&red(), &how()).unwrap();
        assert_eq!(provenance(&file).unwrap(), how());
        let text = String::from_utf8_lossy(&file);
        assert!(text.contains("digitalsourcetype/trainedAlgorithmicMedia"));
        assert_eq!(
            file,
            encode(&red(), &how()).unwrap(),
            "always the same bytes"
        );
    }

    #[test]
    fn colours_are_straight_and_lie_on_the_background_where_one_is_asked_for() {
        assert_eq!(
            pixels(&encode(&red(), &how()).unwrap())[..4],
            [255, 0, 0, 128]
        );
        let mut on_white = how();
        on_white.background = Some("#ffffff".into());
        on_white.size = 128;
        let pixels = pixels(&encode(&red(), &on_white).unwrap());
        assert_eq!(pixels.len(), 128 * 128 * 4);
        let middle = &pixels[(64 * 128 + 64) * 4..][..4];
        assert_eq!(middle, [255, 127, 127, 255]);
    }

    #[test]
    fn a_scene_is_wide_and_its_subjects_stand_before_its_backdrop() {
        let plain = |colour: [u8; 4]| Layer {
            size: 64,
            pixels: colour.repeat(64 * 64),
        };
        let layers = [plain([0, 0, 200, 255]), plain([200, 0, 0, 255])];
        let parts = vec!["sea".to_string(), "ship".to_string()];
        let how = PictureProvenance {
            way: Derivation::Scene { parts },
            ..how()
        };
        let pixels = pixels(&encode(&layers, &how).unwrap());
        assert_eq!(pixels.len(), 128 * 64 * 4);
        let at = |x: usize, y: usize| &pixels[(y * 128 + x) * 4..][..4];
        assert_eq!(at(2, 60), [0, 0, 200, 255]);
        assert_eq!(at(64, 32), [200, 0, 0, 255]);
        assert_eq!(at(64, 2), [0, 0, 200, 255]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |change: fn(&mut PictureProvenance)| {
            let mut how = how();
            change(&mut how);
            encode(&red(), &how).unwrap_err().to_string()
        };
        assert!(refused(|how| how.size = 1_000_000).contains("pixels"));
        assert!(refused(|how| how.background = Some("#é1".into())).contains("hexadecimal"));
        assert!(provenance(b"no picture").is_err());
        let file = encode(&red(), &how()).unwrap();
        for end in (0..file.len()).step_by(37) {
            let _ = provenance(&file[..end]);
        }
    }
}
