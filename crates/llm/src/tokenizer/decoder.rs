//! A streaming detokenizer, which returns every character as soon as the character's last byte has
//! arrived.

/// A streaming decoder of UTF-8. It retains the bytes of an incomplete character, which are at most
/// three.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    pending: Vec<u8>,
}

impl Decoder {
    /// Adds the bytes of a token, and returns the characters that are now complete. Invalid bytes
    /// become U+FFFD.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut text = String::new();
        loop {
            match std::str::from_utf8(&self.pending) {
                Ok(whole) => {
                    text.push_str(whole);
                    self.pending.clear();
                    return text;
                }
                Err(error) => {
                    let (whole, rest) = self.pending.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(whole));
                    let Some(wrong) = error.error_len() else {
                        self.pending = rest.to_vec();
                        return text;
                    };
                    text.push('\u{fffd}');
                    self.pending = rest[wrong..].to_vec();
                }
            }
        }
    }

    /// Whether the bytes so far end within a character.
    pub fn is_mid_character(&self) -> bool {
        !self.pending.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_four_byte_emoji_comes_whole() {
        let mut decoder = Decoder::default();
        let bytes = "🦀".as_bytes();
        assert_eq!(decoder.push(&bytes[..1]), "");
        assert_eq!(decoder.push(&bytes[1..3]), "");
        assert!(decoder.is_mid_character());
        assert_eq!(decoder.push(&bytes[3..]), "🦀");
    }

    #[test]
    fn a_full_stop_is_not_held_back() {
        assert_eq!(Decoder::default().push(b"end."), "end.");
    }

    #[test]
    fn broken_bytes_do_not_stop_what_follows() {
        assert_eq!(Decoder::default().push(b"a\xffb"), "a\u{fffd}b");
        let mut decoder = Decoder::default();
        assert_eq!(decoder.push(b"\xf0\x9f"), "");
        assert_eq!(decoder.push(b"x"), "\u{fffd}x");
    }

    proptest! {
        #[test]
        fn any_text_cut_anywhere_is_itself(text in any::<String>(), step in 1usize..5) {
            let mut decoder = Decoder::default();
            let pieces = text.as_bytes().chunks(step).map(|bytes| decoder.push(bytes));
            prop_assert_eq!(pieces.collect::<String>(), text);
        }

        #[test]
        fn no_bytes_panic_or_wait_for_more_than_a_character(bytes in any::<Vec<u8>>()) {
            let mut decoder = Decoder::default();
            for byte in bytes {
                decoder.push(&[byte]);
                prop_assert!(decoder.pending.len() <= 3);
            }
        }
    }
}
