//! The encoded form of a picture, and its conversion to the text that is stored in provenance.

use super::quantizer::FsqCodes;

/// The bytes from which, together with the conditioning, a picture was generated. In the token
/// design, each byte is an FSQ code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedPicture(pub Vec<u8>);

impl From<FsqCodes> for EncodedPicture {
    fn from(codes: FsqCodes) -> EncodedPicture {
        EncodedPicture(codes.0)
    }
}

impl EncodedPicture {
    /// Formats the bytes in hexadecimal.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Parses the text that [`EncodedPicture::to_hex`] writes. Returns None for any other text.
    pub fn from_hex(text: &str) -> Option<EncodedPicture> {
        let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits || !text.len().is_multiple_of(2) {
            return None;
        }
        let byte = |at: usize| u8::from_str_radix(&text[2 * at..][..2], 16).ok();
        let bytes: Option<Vec<u8>> = (0..text.len() / 2).map(byte).collect();
        bytes.map(EncodedPicture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_spelled_and_parsed_again_and_nothing_else_is() {
        let encoded = EncodedPicture(vec![0, 6, 255]);
        assert_eq!(encoded.to_hex(), "0006ff");
        assert_eq!(EncodedPicture::from_hex("0006ff"), Some(encoded));
        for wrong in ["0", "+1", "0x", "000é"] {
            assert_eq!(EncodedPicture::from_hex(wrong), None, "{wrong}");
        }
    }
}
