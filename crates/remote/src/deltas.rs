//! Handles servers that send all text so far with each event, instead of only the new text.

/// Extracts the new text from each piece that a server sends.
///
/// If each of the first three pieces begins with the one before it, the server sends all text so
/// far each time. A second piece that begins with the first is held back until the third.
#[derive(Debug, Default)]
pub struct Deltas {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Fresh,
    /// The first piece, already passed on.
    First(String),
    /// The first piece, and a second one that begins with it.
    Suspect(String, String),
    Plain,
    /// The text so far.
    Whole(String),
}

/// A repeated beginning of at least this many bytes is not taken for a coincidence.
const LONG: usize = 12;

impl Deltas {
    /// The new text in a piece.
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

    /// The text still held back when the answer has ended.
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
