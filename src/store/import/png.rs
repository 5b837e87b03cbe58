//! Reads and writes character cards in PNG files: the text chunks `chara` and `ccv3`.
//!
//! Chunks follow the PNG specification (third edition, 5.3): length, type, data, CRC. The picture
//! is not decoded, so its pixels are unchanged. Lengths are checked against the file's size,
//! checksums are verified, and decompressed data is limited in size.

use super::{ImportError, LARGEST_CARD};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flate2::read::ZlibDecoder;
use std::io::Read;

pub const SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1a\n";

/// Base64 that accepts missing padding, as other programs do.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// One chunk: its type, and the positions of the chunk and of its data in the file.
struct Chunk<'a> {
    kind: &'a [u8],
    data: &'a [u8],
    from: usize,
    to: usize,
}

/// Extracts the card's JSON from a PNG file; the newer version if there are two.
pub fn extract_card(bytes: &[u8]) -> Result<Vec<u8>, ImportError> {
    let (mut newer, mut older) = (None, None);
    for chunk in parse_chunks(bytes)? {
        let Some(keyword) = keyword(&chunk) else {
            continue;
        };
        match keyword.to_ascii_lowercase().as_slice() {
            b"ccv3" if newer.is_none() => newer = Some(chunk_text(&chunk)?),
            b"chara" if older.is_none() => older = Some(chunk_text(&chunk)?),
            _ => {}
        }
    }
    let encoded = newer.or(older).ok_or(ImportError::NoCard)?;
    let plain: Vec<u8> = encoded
        .into_iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    BASE64.decode(plain).map_err(|_| ImportError::Base64)
}

/// Replaces the cards in a PNG file.
pub fn replace_cards(bytes: &[u8], v2: &[u8], v3: &[u8]) -> Result<Vec<u8>, ImportError> {
    let mut out = SIGNATURE.to_vec();
    for chunk in parse_chunks(bytes)? {
        let keyword = keyword(&chunk).map(<[u8]>::to_ascii_lowercase);
        if matches!(keyword.as_deref(), Some(b"chara" | b"ccv3")) {
            continue;
        }
        if chunk.kind == b"IEND" {
            for (keyword, card) in [("chara", v2), ("ccv3", v3)] {
                let data = [keyword.as_bytes(), b"\0", BASE64.encode(card).as_bytes()].concat();
                out.extend(encode_chunk(b"tEXt", &data));
            }
        }
        out.extend(&bytes[chunk.from..chunk.to]);
    }
    Ok(out)
}

/// A plain grey picture for a card that has none.
pub fn blank_picture(width: u32, height: u32) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    // Eight bits, grey.
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

fn parse_chunks(bytes: &[u8]) -> Result<Vec<Chunk<'_>>, ImportError> {
    let broken = || ImportError::Png;
    if !bytes.starts_with(SIGNATURE) {
        return Err(broken());
    }
    let mut chunks = Vec::new();
    let mut from = SIGNATURE.len();
    loop {
        let head = bytes.get(from..from + 8).ok_or_else(broken)?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let kind = &head[4..8];
        let end = from.checked_add(8 + length).ok_or_else(broken)?;
        let data = bytes.get(from + 8..end).ok_or_else(broken)?;
        let sum = bytes.get(end..end + 4).ok_or_else(broken)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(kind);
        crc.update(data);
        if crc.finalize().to_be_bytes() != sum {
            return Err(broken());
        }
        let to = end + 4;
        chunks.push(Chunk {
            kind,
            data,
            from,
            to,
        });
        if kind == b"IEND" {
            return Ok(chunks);
        }
        from = to;
    }
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

    /// Inserts a chunk before the end of a picture.
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

    #[test]
    fn cards_go_in_and_come_out_and_the_picture_stays() {
        let once = replace_cards(&blank_picture(4, 4), b"{\"v\":2}", b"{\"v\":3}").unwrap();
        assert_eq!(extract_card(&once).unwrap(), b"{\"v\":3}");
        let twice = replace_cards(&once, b"{}", b"[]").unwrap();
        assert_eq!(extract_card(&twice).unwrap(), b"[]");
        assert_eq!(
            parse_chunks(&twice).unwrap().len(),
            5,
            "the old cards are gone"
        );
        let older = with(b"tEXt", b"Chara\0e30");
        assert_eq!(extract_card(&older).unwrap(), b"{}");
    }

    #[test]
    fn compressed_text_is_read() {
        let data = [b"chara\0\0".to_vec(), packed(b"e30=")].concat();
        assert_eq!(extract_card(&with(b"zTXt", &data)).unwrap(), b"{}");
        let data = [b"ccv3\0\x01\0en\0\0".to_vec(), packed(b"e30=")].concat();
        assert_eq!(extract_card(&with(b"iTXt", &data)).unwrap(), b"{}");
        assert_eq!(
            extract_card(&with(b"iTXt", b"ccv3\0\0\0\0\0e30=")).unwrap(),
            b"{}"
        );
    }

    #[test]
    fn damage_is_said_and_a_bomb_does_not_go_off() {
        let whole = with(b"tEXt", b"chara\0e30=");
        for cut in 0..whole.len() {
            assert!(extract_card(&whole[..cut]).is_err(), "cut at {cut}");
        }
        let mut flipped = whole.clone();
        let at = whole.len() - 20;
        flipped[at] ^= 1;
        assert!(matches!(extract_card(&flipped), Err(ImportError::Png)));
        let bomb = [b"chara\0\0".to_vec(), packed(&vec![b'A'; 64 << 20])].concat();
        assert!(matches!(
            extract_card(&with(b"zTXt", &bomb)),
            Err(ImportError::Large)
        ));
        assert!(matches!(
            extract_card(&with(b"tEXt", b"chara\0!!")),
            Err(ImportError::Base64)
        ));
        assert!(matches!(
            extract_card(&blank_picture(4, 4)),
            Err(ImportError::NoCard)
        ));
    }
}
