//! Text files as other programs write them: UTF-8 or UTF-16, and three kinds of line ends.

use std::borrow::Cow;

/// Why bytes are no text: half a sentence that says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    #[error(
        "neither UTF-8 nor UTF-16 (at byte {0}), but perhaps Latin-1 or Windows-1252; save it as UTF-8"
    )]
    Unknown(usize),
    #[error("damaged UTF-16; save it as UTF-8")]
    Utf16,
    #[error("UTF-32; save it as UTF-8")]
    Utf32,
}

/// Decodes a text file: UTF-8, or UTF-16 in either byte order, with or without a byte order mark.
/// The mark is removed, and every line ends with `\n`.
pub fn decode(bytes: Vec<u8>) -> Result<String, TextError> {
    let text = match &bytes[..] {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Err(TextError::Utf32),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes)?,
        // Two letters of ASCII in UTF-16 tell its byte order without a mark.
        [a, 0, b, 0, ..] if *a != 0 && *b != 0 => utf16(&bytes, u16::from_le_bytes)?,
        [0, a, 0, b, ..] if *a != 0 && *b != 0 => utf16(&bytes, u16::from_be_bytes)?,
        _ => String::from_utf8(bytes)
            .map_err(|error| TextError::Unknown(error.utf8_error().valid_up_to()))?,
    };
    let text = match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_string(),
        None => text,
    };
    Ok(match unix_line_ends(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(text) => text,
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, TextError> {
    let pairs = bytes.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err(TextError::Utf16);
    }
    let units = pairs.map(|pair| unit([pair[0], pair[1]]));
    let text: Result<String, _> = char::decode_utf16(units).collect();
    text.map_err(|_| TextError::Utf16)
}

/// The text with `\n` in place of `\r\n` and of `\r` alone.
pub fn unix_line_ends(text: &str) -> Cow<'_, str> {
    match text.contains('\r') {
        true => Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn units(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    }

    #[test]
    fn every_encoding_and_line_end_gives_the_same_text() {
        let said = "Él\nsaw 灯 👩‍🚀\n";
        let windows = said.replace('\n', "\r\n");
        let mac = said.replace('\n', "\r");
        for text in [said, &windows, &mac] {
            let marked = format!("\u{feff}{text}");
            assert_eq!(decode(text.as_bytes().to_vec()).unwrap(), said);
            assert_eq!(decode(marked.as_bytes().to_vec()).unwrap(), said);
            for unit in [u16::to_le_bytes, u16::to_be_bytes] {
                assert_eq!(decode(units(&marked, unit)).unwrap(), said);
            }
        }
        assert_eq!(
            decode(units("{\"a\": 1}", u16::to_be_bytes)).unwrap(),
            "{\"a\": 1}"
        );
    }

    #[test]
    fn other_encodings_are_named() {
        assert_eq!(decode(b"na\xefve".to_vec()), Err(TextError::Unknown(2)));
        assert_eq!(decode(b"\xff\xfea".to_vec()), Err(TextError::Utf16));
        assert_eq!(decode(b"\xff\xfe\x00\xd8".to_vec()), Err(TextError::Utf16));
        assert_eq!(
            decode(b"\xff\xfe\0\0a\0\0\0".to_vec()),
            Err(TextError::Utf32)
        );
        assert!(
            TextError::Unknown(2)
                .to_string()
                .contains("save it as UTF-8")
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_text_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(decode(bytes).map_or(true, |text| !text.contains('\r')));
        }
    }
}
