//! Decodes the bytes of a file or pipe: UTF-8, or UTF-16 with a byte order mark.

use std::borrow::Cow;

/// The byte order mark, which some editors and PowerShell write at the start of UTF-8 files.
pub const MARK: &str = "\u{feff}";

/// Why bytes could not be decoded. Each message completes a sentence that begins with the name of
/// the source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("is not UTF-8 (at byte {0}); save it as UTF-8, or convert it, for example with iconv")]
    Utf8(usize),
    #[error(
        "is UTF-16 without a byte order mark; convert it to UTF-8, for example with iconv -f {0}"
    )]
    Unmarked(&'static str),
    #[error("is damaged UTF-16; save it as UTF-8")]
    Utf16,
    #[error("is UTF-32; convert it to UTF-8, for example with iconv -f UTF-32")]
    Utf32,
}

/// How text is encoded in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Utf8,
    /// Little-endian: the low byte comes first.
    Utf16Le,
    Utf16Be,
}

impl Encoding {
    /// Returns the encoding that a leading byte order mark indicates, and the length of the mark in
    /// bytes. Without a mark, the encoding is UTF-8 and the length is 0.
    pub fn of_mark(start: &[u8]) -> (Encoding, usize) {
        match start {
            [0xef, 0xbb, 0xbf, ..] => (Encoding::Utf8, 3),
            [0xff, 0xfe, ..] => (Encoding::Utf16Le, 2),
            [0xfe, 0xff, ..] => (Encoding::Utf16Be, 2),
            _ => (Encoding::Utf8, 0),
        }
    }

    /// Returns the UTF-16 code unit stored in two bytes.
    pub fn unit(self, pair: [u8; 2]) -> u16 {
        match self {
            Encoding::Utf16Be => u16::from_be_bytes(pair),
            Encoding::Utf8 | Encoding::Utf16Le => u16::from_le_bytes(pair),
        }
    }
}

/// Decodes UTF-8, or UTF-16 that begins with a byte order mark. The mark is removed.
pub fn decode(bytes: Vec<u8>) -> Result<String, DecodeError> {
    if bytes.starts_with(&[0xff, 0xfe, 0, 0]) || bytes.starts_with(&[0, 0, 0xfe, 0xff]) {
        return Err(DecodeError::Utf32);
    }
    let (encoding, mark) = Encoding::of_mark(&bytes);
    match encoding {
        Encoding::Utf8 => {
            if let Some(name) = unmarked_utf16(&bytes) {
                return Err(DecodeError::Unmarked(name));
            }
            let mut text = String::from_utf8(bytes)
                .map_err(|error| DecodeError::Utf8(error.utf8_error().valid_up_to()))?;
            text.drain(..mark);
            Ok(text)
        }
        Encoding::Utf16Le | Encoding::Utf16Be => {
            let (pairs, rest) = bytes[mark..].as_chunks::<2>();
            let units: Vec<u16> = pairs.iter().map(|pair| encoding.unit(*pair)).collect();
            let text = String::from_utf16(&units).ok();
            text.filter(|_| rest.is_empty()).ok_or(DecodeError::Utf16)
        }
    }
}

/// Replaces CR LF and lone CR line endings with line feeds.
pub fn unix_lines(text: &str) -> Cow<'_, str> {
    match text.contains('\r') {
        true => Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")),
        false => Cow::Borrowed(text),
    }
}

/// Returns the name of the UTF-16 encoding that bytes without a byte order mark seem to use. If
/// every second byte is zero, the bytes are taken to be UTF-16.
pub fn unmarked_utf16(bytes: &[u8]) -> Option<&'static str> {
    let (pairs, _) = bytes[..bytes.len().min(64)].as_chunks::<2>();
    let all = |zero: usize| {
        let fits = |pair: &[u8; 2]| pair[zero] == 0 && pair[1 - zero] != 0;
        pairs.len() >= 2 && pairs.iter().all(fits)
    };
    match (all(1), all(0)) {
        (true, _) => Some("UTF-16LE"),
        (_, true) => Some("UTF-16BE"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn utf16(text: &str, mark: &str, big: bool) -> Vec<u8> {
        let units = mark.encode_utf16().chain(text.encode_utf16());
        let bytes = |unit: u16| match big {
            true => unit.to_be_bytes(),
            false => unit.to_le_bytes(),
        };
        units.flat_map(bytes).collect()
    }

    #[test]
    fn a_mark_is_no_part_of_the_text() {
        let text = |bytes: &[u8]| decode(bytes.to_vec());
        assert_eq!(text(b"\xef\xbb\xbfThe sea").as_deref(), Ok("The sea"));
        assert_eq!(text(b"\xef\xbb\xbf").as_deref(), Ok(""));
        // Only the first is a byte order mark.
        assert_eq!(text("a\u{feff}b".as_bytes()).as_deref(), Ok("a\u{feff}b"));
    }

    #[test]
    fn line_ends_of_other_systems_become_plain_ones() {
        assert_eq!(unix_lines("a\r\nb\rc\n\r\n"), "a\nb\nc\n\n");
        assert!(matches!(unix_lines("a\nb"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_no_utf_8_is_named() {
        let said = |bytes: &[u8]| decode(bytes.to_vec()).unwrap_err();
        assert_eq!(said(b"caf\xe9"), DecodeError::Utf8(3));
        assert_eq!(said(b"\xff\xfea\0b"), DecodeError::Utf16);
        assert_eq!(said(b"\xff\xfe\x00\xd8"), DecodeError::Utf16);
        assert_eq!(said(b"\xff\xfe\0\0a\0\0\0"), DecodeError::Utf32);
        for (big, name) in [(false, "UTF-16LE"), (true, "UTF-16BE")] {
            let bytes = utf16("The lamp", "", big);
            assert_eq!(said(&bytes), DecodeError::Unmarked(name));
        }
        assert_eq!(decode(b"a\0b".to_vec()).as_deref(), Ok("a\0b"));
    }

    proptest! {
        #[test]
        fn marked_text_comes_back_whatever_it_is_stored_as(text in any::<String>(), big in any::<bool>()) {
            prop_assert_eq!(decode(utf16(&text, MARK, big)), Ok(text.clone()));
            prop_assert_eq!(decode(format!("{MARK}{text}").into_bytes()), Ok(text));
        }

        #[test]
        fn any_bytes_are_text_or_a_sentence(bytes in any::<Vec<u8>>()) {
            let _ = decode(bytes).map_err(|error| error.to_string());
        }
    }
}
