//! Separates a model's thoughts from its answer, for servers that send both in the same text.

/// The pairs of tags that can enclose a thought at the beginning of a text.
const TAGS: [(&str, &str); 4] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("[THINK]", "[/THINK]"),
];

/// Separates the thought from the answer in a text that arrives in pieces.
#[derive(Debug, Default)]
pub struct Thoughts {
    state: State,
}

/// The part of a text that belongs to the thought, and the part that belongs to the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub thought: String,
    pub answer: String,
}

#[derive(Debug)]
enum State {
    /// The text has just begun. The value is all text so far, which may be part of an opening tag.
    Beginning(String),
    /// The text is within a thought. The values are the thought's closing tag, and text that may be
    /// the beginning of this tag.
    Inside(&'static str, String),
    /// The thought has ended and the answer has not begun. White space here belongs to neither of
    /// them.
    Gap,
    Answer,
}

impl Default for State {
    fn default() -> State {
        State::Beginning(String::new())
    }
}

impl Thoughts {
    /// Adds the next piece of the text. Returns the parts of the thought and the answer that are
    /// now certain; text that may belong to a tag is held back.
    pub fn push(&mut self, piece: &str) -> Said {
        match &mut self.state {
            State::Answer => Said::answer(piece),
            State::Gap => {
                let answer = piece.trim_start();
                if !answer.is_empty() {
                    self.state = State::Answer;
                }
                Said::answer(answer)
            }
            State::Beginning(begun) => {
                begun.push_str(piece);
                let bare = begun.trim_start();
                if let Some((begin, end)) = TAGS.iter().find(|(begin, _)| bare.starts_with(begin)) {
                    let rest = bare[begin.len()..].to_string();
                    self.state = State::Inside(end, String::new());
                    return self.push(&rest);
                }
                if TAGS.iter().any(|(begin, _)| begin.starts_with(bare)) {
                    return Said::default();
                }
                let answer = std::mem::take(begun);
                self.state = State::Answer;
                Said::answer(&answer)
            }
            State::Inside(end, held) => {
                held.push_str(piece);
                if let Some(at) = held.find(*end) {
                    let rest = held.split_off(at)[end.len()..].to_string();
                    let thought = std::mem::take(held);
                    self.state = State::Gap;
                    let said = self.push(&rest);
                    return Said { thought, ..said };
                }
                let certain = held.len() - overlap(held, end);
                let rest = held.split_off(certain);
                Said {
                    thought: std::mem::replace(held, rest),
                    answer: String::new(),
                }
            }
        }
    }

    /// Records that the server sent a thought in a field of its own. All text that the server sends
    /// afterwards is then the answer.
    pub fn thought_apart(&mut self) {
        if matches!(&self.state, State::Beginning(begun) if begun.trim().is_empty()) {
            self.state = State::Gap;
        }
    }

    /// Ends the stream. Returns the text that was held back because it could have been the
    /// beginning of a tag.
    pub fn finish(&mut self) -> Said {
        match std::mem::replace(&mut self.state, State::Answer) {
            State::Beginning(begun) => Said::answer(&begun),
            // Text held back in a thought is only part of its closing tag.
            State::Inside(..) | State::Gap | State::Answer => Said::default(),
        }
    }
}

impl Said {
    fn answer(text: &str) -> Said {
        Said {
            thought: String::new(),
            answer: text.to_string(),
        }
    }

    /// Appends the thought and the answer of `later`, the next piece of the stream.
    pub fn extend(&mut self, later: &Said) {
        self.thought.push_str(&later.thought);
        self.answer.push_str(&later.answer);
    }
}

/// Returns the length in bytes of the longest suffix of `text` that is a proper prefix of `tag`.
fn overlap(text: &str, tag: &str) -> usize {
    let lengths = (1..tag.len()).rev();
    let mut found = lengths.filter(|length| text.ends_with(&tag[..*length]));
    found.next().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pieces: &[&str]) -> (String, String) {
        let (mut thoughts, mut said) = (Thoughts::default(), Said::default());
        for piece in pieces {
            said.extend(&thoughts.push(piece));
        }
        said.extend(&thoughts.finish());
        (said.thought, said.answer)
    }

    #[test]
    fn a_split_anywhere_changes_nothing() {
        for (text, thought, answer) in [
            (
                "<think>\nÄ red < blue?</thin k></think>\n\nRed, I think.",
                "\nÄ red < blue?</thin k>",
                "Red, I think.",
            ),
            (" \n[THINK]x[/THINK]y<think>", "x", "y<think>"),
            ("<thinking>no end", "no end", ""),
            (
                "\n  Once <think>upon</think> a time",
                "",
                "\n  Once <think>upon</think> a time",
            ),
            ("<thirst", "", "<thirst"),
            ("<think></think>", "", ""),
        ] {
            let wanted = (thought.to_string(), answer.to_string());
            for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
                let (one, two) = text.split_at(at);
                assert_eq!(said(&[one, two]), wanted, "{text:?} split at {at}");
            }
            let letters: Vec<String> = text.chars().map(String::from).collect();
            let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
            assert_eq!(said(&letters), wanted, "{text:?} letter by letter");
        }
    }

    #[test]
    fn white_space_after_a_thought_sent_apart_is_no_part_of_the_answer() {
        let mut thoughts = Thoughts::default();
        thoughts.thought_apart();
        assert_eq!(thoughts.push("\n\n").answer, "");
        assert_eq!(thoughts.push("Blue ").answer, "Blue ");
        thoughts.thought_apart();
        assert_eq!(thoughts.push(" it is.").answer, " it is.");
    }
}
