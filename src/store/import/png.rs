//! Reads and writes character cards in the text chunks `chara` and `ccv3` of PNG files. Also reads
//! NovelAI's lorebooks from the text chunk `naidata`.
//!
//! Chunks have the format of the PNG specification (third edition, 5.3): length, type, data, CRC.
//! The picture is not decoded. So the pixels stay unchanged, and a card can be read even if the
//! pixels are damaged. Lengths are checked against the size of the file, and the size of
//! decompressed data is limited.

use super::{ImportError, LARGEST_CARD};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flate2::read::ZlibDecoder;
use std::io::Read;

pub const SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1a\n";

/// Base64 that can also be decoded if the padding is missing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// One chunk of a PNG file: its type, its data, and the byte offsets of its start and end in the
/// file.
struct Chunk<'a> {
    kind: &'a [u8],
    data: &'a [u8],
    from: usize,
    to: usize,
}

/// The cards and lorebooks in a PNG file. Each is either JSON or the reason why it cannot be
/// decoded. Cards in the newest format come first.
#[derive(Default)]
pub struct Found {
    pub cards: Vec<Result<Vec<u8>, ImportError>>,
    /// NovelAI's lorebooks.
    pub books: Vec<Result<Vec<u8>, ImportError>>,
    /// Whether the file is cut off after the last complete chunk.
    pub torn: bool,
}

/// Extracts the JSON of the cards and lorebooks in a PNG file.
pub fn extract(bytes: &[u8]) -> Result<Found, ImportError> {
    let (mut newer, mut found) = (Vec::new(), Found::default());
    let (chunks, torn) = parse_chunks(bytes)?;
    for chunk in &chunks {
        match keyword(chunk).map(<[u8]>::to_ascii_lowercase).as_deref() {
            Some(b"ccv3") => newer.push(decode(chunk)),
            Some(b"chara") => found.cards.push(decode(chunk)),
            Some(b"naidata") => found.books.push(decode(chunk)),
            _ => {}
        }
    }
    newer.append(&mut found.cards);
    found.cards = newer;
    found.torn = torn;
    match found.cards.is_empty() && found.books.is_empty() {
        true if torn => Err(ImportError::Png),
        true => Err(ImportError::NoCard),
        false => Ok(found),
    }
}

/// Decodes the JSON in a text chunk. The chunk contains either plain JSON or base64 in the standard
/// or the URL-safe alphabet.
fn decode(chunk: &Chunk) -> Result<Vec<u8>, ImportError> {
    let text = chunk_text(chunk)?;
    let begins = text.iter().position(|byte| !byte.is_ascii_whitespace());
    if begins
        .is_some_and(|at| text[at..].starts_with(b"{") || text[at..].starts_with(b"\xef\xbb\xbf{"))
    {
        return Ok(match String::from_utf8(text) {
            Ok(text) => text.into_bytes(),
            // The specification says that such a chunk is Latin-1.
            Err(error) => {
                let letters = error.into_bytes().into_iter().map(char::from);
                letters.collect::<String>().into_bytes()
            }
        });
    }
    let plain: Vec<u8> = text
        .into_iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            byte => byte,
        })
        .collect();
    BASE64.decode(plain).map_err(|_| ImportError::Base64)
}

/// Replaces the cards in a PNG file with one card, which is given in both the V2 and the V3 format.
pub fn replace_cards(bytes: &[u8], v2: &[u8], v3: &[u8]) -> Result<Vec<u8>, ImportError> {
    let mut out = SIGNATURE.to_vec();
    for chunk in parse_chunks(bytes)?.0 {
        let keyword = keyword(&chunk).map(<[u8]>::to_ascii_lowercase);
        let card = matches!(keyword.as_deref(), Some(b"chara" | b"ccv3"));
        if !card && chunk.kind != b"IEND" {
            out.extend(&bytes[chunk.from..chunk.to]);
        }
    }
    for (keyword, card) in [("chara", v2), ("ccv3", v3)] {
        let data = [keyword.as_bytes(), b"\0", BASE64.encode(card).as_bytes()].concat();
        out.extend(encode_chunk(b"tEXt", &data));
    }
    out.extend(encode_chunk(b"IEND", b""));
    Ok(out)
}

/// Returns a plain grey PNG file, for a card that has no picture.
pub fn blank_picture(width: u32, height: u32) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    // Eight bits per pixel, greyscale.
    header.extend([8, 0, 0, 0, 0]);
    let row = std::iter::once(0).chain(std::iter::repeat_n(96, width as usize));
    let rows: Vec<u8> = row
        .cycle()
        .take((width as usize + 1) * height as usize)
        .collect();
    let mut encoder = flate2::read::ZlibEncoder::new(&rows[..], flate2::Compression::best());
    let mut pixels = Vec::new();
    // Reads from memory cannot fail.
    let _ = encoder.read_to_end(&mut pixels);
    [
        SIGNATURE.to_vec(),
        encode_chunk(b"IHDR", &header),
        encode_chunk(b"IDAT", &pixels),
        encode_chunk(b"IEND", b""),
    ]
    .concat()
}

/// Parses the chunks of a PNG file. Also returns whether the file is cut off; if so, only the
/// chunks before the cut are returned.
fn parse_chunks(bytes: &[u8]) -> Result<(Vec<Chunk<'_>>, bool), ImportError> {
    if !bytes.starts_with(SIGNATURE) {
        return Err(ImportError::Png);
    }
    let mut chunks = Vec::new();
    let mut from = SIGNATURE.len();
    while let Some(chunk) = chunk_at(bytes, from) {
        from = chunk.to;
        let end = chunk.kind == b"IEND";
        chunks.push(chunk);
        if end {
            return Ok((chunks, false));
        }
    }
    Ok((chunks, true))
}

/// The chunk at byte `from`; None if the file ends inside the chunk or the type is invalid. The
/// checksum is ignored, since a card is usable if its JSON is complete.
fn chunk_at(bytes: &[u8], from: usize) -> Option<Chunk<'_>> {
    let head = bytes.get(from..from + 8)?;
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let kind = &head[4..8];
    let end = from.checked_add(8 + length)?;
    let data = bytes.get(from + 8..end)?;
    let to = end + 4;
    bytes.get(end..to)?;
    kind.iter().all(u8::is_ascii_alphabetic).then_some(Chunk {
        kind,
        data,
        from,
        to,
    })
}

fn keyword<'a>(chunk: &Chunk<'a>) -> Option<&'a [u8]> {
    let has_text = matches!(chunk.kind, b"tEXt" | b"zTXt" | b"iTXt");
    let data = chunk.data;
    let end = data.iter().take(80).position(|byte| *byte == 0)?;
    has_text.then(|| &data[..end])
}

/// Decodes the text of a text chunk, which may be compressed.
fn chunk_text(chunk: &Chunk) -> Result<Vec<u8>, ImportError> {
    let end = chunk.data.iter().position(|byte| *byte == 0);
    let rest = end.map_or(&[][..], |end| &chunk.data[end + 1..]);
    match chunk.kind {
        b"tEXt" => bounded_text(rest),
        // One byte for the compression method; only one method exists.
        b"zTXt" => inflate(rest.get(1..).unwrap_or_default()),
        // A compression flag, the method, then a language and a translated keyword.
        _ => {
            let (packed, rest) = rest.split_first().ok_or(ImportError::Png)?;
            let mut parts = rest
                .get(1..)
                .unwrap_or_default()
                .splitn(3, |byte| *byte == 0);
            let text = parts.nth(2).ok_or(ImportError::Png)?;
            match packed {
                0 => bounded_text(text),
                _ => inflate(text),
            }
        }
    }
}

fn bounded_text(text: &[u8]) -> Result<Vec<u8>, ImportError> {
    match text.len() as u64 > LARGEST_CARD {
        true => Err(ImportError::Large),
        false => Ok(text.to_vec()),
    }
}

fn inflate(packed: &[u8]) -> Result<Vec<u8>, ImportError> {
    let mut text = Vec::new();
    let read = ZlibDecoder::new(packed)
        .take(LARGEST_CARD + 1)
        .read_to_end(&mut text);
    read.map_err(|_| ImportError::Png)?;
    match text.len() as u64 > LARGEST_CARD {
        true => Err(ImportError::Large),
        false => Ok(text),
    }
}

fn encode_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = crc32fast::Hasher::new();
    crc.update(kind);
    crc.update(data);
    [
        &(data.len() as u32).to_be_bytes(),
        &kind[..],
        data,
        &crc.finalize().to_be_bytes(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Returns a blank picture with the given chunk inserted before the end.
    fn with(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let blank = blank_picture(4, 4);
        let end = blank.len() - 12;
        [&blank[..end], &encode_chunk(kind, data), &blank[end..]].concat()
    }

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Default::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn first(bytes: &[u8]) -> Result<Vec<u8>, ImportError> {
        extract(bytes)?.cards.remove(0)
    }

    #[test]
    fn cards_go_in_and_come_out_and_the_picture_stays() {
        let once = replace_cards(&blank_picture(4, 4), b"{\"v\":2}", b"{\"v\":3}").unwrap();
        assert_eq!(first(&once).unwrap(), b"{\"v\":3}");
        let twice = replace_cards(&once, b"{}", b"[]").unwrap();
        assert_eq!(first(&twice).unwrap(), b"[]");
        let chunks = parse_chunks(&twice).unwrap().0;
        assert_eq!(chunks.len(), 5, "the old cards are gone");
        let older = with(b"tEXt", b"Chara\0e30");
        assert_eq!(first(&older).unwrap(), b"{}");
        let torn = &older[..older.len() - 12];
        assert!(
            replace_cards(torn, b"{}", b"{}")
                .unwrap()
                .ends_with(&older[older.len() - 12..])
        );
    }

    #[test]
    fn every_way_of_writing_a_card_into_a_chunk_is_read() {
        let json = "{\"name\":\"Zoë >?~ø\"}".as_bytes();
        let coded = BASE64.encode(json);
        assert!(coded.contains(['+', '/']));
        let safe = coded.replace('+', "-").replace('/', "_");
        let wrapped = format!("{}\r\n{}\n", &coded[..8], &coded[8..]);
        for text in [&coded, &safe, &wrapped, coded.trim_end_matches('=')] {
            let data = [b"chara\0", text.as_bytes()].concat();
            assert_eq!(first(&with(b"tEXt", &data)).unwrap(), json);
            let data = [b"chara\0\0".to_vec(), packed(text.as_bytes())].concat();
            assert_eq!(first(&with(b"zTXt", &data)).unwrap(), json);
            let data = [b"ccv3\0\x01\0en\0\0".to_vec(), packed(text.as_bytes())].concat();
            assert_eq!(first(&with(b"iTXt", &data)).unwrap(), json);
            let data = [b"ccv3\0\0\0\0\0", text.as_bytes()].concat();
            assert_eq!(first(&with(b"iTXt", &data)).unwrap(), json);
        }
        let raw = [b"chara\0\0\0\0\0", json].concat();
        assert_eq!(first(&with(b"iTXt", &raw)).unwrap(), json);
        let latin = b"chara\0{\"name\":\"Zo\xeb >?~\xf8\"}";
        assert_eq!(first(&with(b"tEXt", latin)).unwrap(), json);
    }

    #[test]
    fn damage_beside_the_card_costs_nothing() {
        let whole = with(b"tEXt", b"chara\0e30=");
        let held = whole.len() - 12;
        for cut in 0..held {
            assert!(extract(&whole[..cut]).is_err(), "cut at {cut}");
        }
        for cut in held..whole.len() {
            assert_eq!(first(&whole[..cut]).unwrap(), b"{}", "cut at {cut}");
        }
        let trailing = [&whole[..], &[0; 40]].concat();
        assert_eq!(first(&trailing).unwrap(), b"{}");
        let mut pixels = whole.clone();
        pixels[50] ^= 1;
        assert_eq!(first(&pixels).unwrap(), b"{}");
    }

    #[test]
    fn damage_is_said_and_a_bomb_does_not_go_off() {
        let bomb = [b"chara\0\0".to_vec(), packed(&vec![b'A'; 64 << 20])].concat();
        assert!(matches!(
            first(&with(b"zTXt", &bomb)),
            Err(ImportError::Large)
        ));
        let none = first(&with(b"tEXt", b"chara\0!!"));
        assert!(matches!(none, Err(ImportError::Base64)));
        assert!(matches!(
            extract(&blank_picture(4, 4)),
            Err(ImportError::NoCard)
        ));
        let mut claims = blank_picture(4, 4);
        claims.truncate(claims.len() - 12);
        claims.extend(b"\xff\xff\xff\xfftEXtchara\0e30=");
        assert!(matches!(extract(&claims), Err(ImportError::Png)));
    }
}
