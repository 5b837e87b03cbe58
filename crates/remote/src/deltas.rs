//! Supports servers whose events contain all text written so far instead of only the new text.

/// Extracts the new text from each piece that a server sends.
///
/// If the second piece begins with the first and the third piece begins with the second, the server
/// sends all text so far in each piece. If the second piece begins with the first, it is held back
/// until the third piece arrives.
#[derive(Debug, Default)]
pub struct Deltas {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Fresh,
    /// The server has sent one piece, which [`Deltas::push`] has returned.
    First(String),
    /// The server has sent two pieces, and the second begins with the first. The second piece is
    /// held back.
    Suspect(String, String),
    Plain,
    /// Each piece contains all text so far. The value is this text.
    Whole(String),
}

/// If the second piece repeats a first piece of at least this many bytes at its beginning, the
/// repetition is not considered a coincidence.
const LONG: usize = 12;

impl Deltas {
    /// Returns the text in `piece` that is new.
    pub fn push(&mut self, piece: &str) -> String {
        if piece.is_empty() {
            return String::new();
        }
        let grows = |before: &str| piece.len() > before.len() && piece.starts_with(before);
        let (state, new) = match std::mem::take(&mut self.state) {
            State::Fresh => (State::First(piece.to_string()), piece.to_string()),
            State::First(first) if grows(&first) => {
                (State::Suspect(first, piece.to_string()), String::new())
            }
            State::Suspect(first, second) => match piece.starts_with(&second) {
                true => (
                    State::Whole(piece.to_string()),
                    piece[first.len()..].to_string(),
                ),
                false => (State::Plain, second + piece),
            },
            State::First(_) | State::Plain => (State::Plain, piece.to_string()),
            State::Whole(before) => match piece.strip_prefix(before.as_str()) {
                Some(new) => (State::Whole(piece.to_string()), new.to_string()),
                None => (State::Whole(before), String::new()),
            },
        };
        self.state = state;
        new
    }

    /// Returns the text that was still held back when the answer ended.
    pub fn finish(&mut self) -> String {
        match std::mem::take(&mut self.state) {
            State::Suspect(first, second) if first.len() >= LONG => {
                second[first.len()..].to_string()
            }
            State::Suspect(_, second) => second,
            State::Fresh | State::First(_) | State::Plain | State::Whole(_) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pieces: &[&str]) -> String {
        let mut deltas = Deltas::default();
        let mut text: String = pieces.iter().map(|piece| deltas.push(piece)).collect();
        text.push_str(&deltas.finish());
        text
    }

    #[test]
    fn all_text_so_far_is_told_from_new_text() {
        assert_eq!(
            text(&["Once", "Once upon", "Once upon a", "Once upon a"]),
            "Once upon a"
        );
        assert_eq!(text(&["ha", "haha", "!"]), "hahaha!");
        assert_eq!(text(&[" I", " Iceland", " is"]), " I Iceland is");
        assert_eq!(text(&["", "ho", "ho", "ho"]), "hohoho");
        assert_eq!(
            text(&["The lighthouse", "The lighthouse stood."]),
            "The lighthouse stood."
        );
    }
}
