//! Finds line breaks in scripts without spaces between words, such as Thai, Lao, Khmer and Burmese.
//!
//! Unicode's line-breaking algorithm leaves such scripts to a dictionary or a model. ICU's LSTM
//! models are small and find the same words as browsers do.

use icu_segmenter::LineSegmenter;
use icu_segmenter::options::LineBreakOptions;
use unicode_linebreak::{BreakClass, break_property};

/// Returns the byte offsets after `from` at which a line may break in text without spaces.
///
/// A break can depend on the whole stretch of text without spaces. If `from` lies inside such a
/// stretch, the stretch is therefore analysed from its beginning.
pub fn breaks(text: &str, from: usize) -> Vec<usize> {
    if !text[from..].chars().any(is_complex) {
        return Vec::new();
    }
    let before = text[..from].char_indices().rev();
    let stretch = before.take_while(|(_, c)| is_complex(*c)).last();
    let mut at = stretch.map_or(from, |(at, _)| at);
    let segmenter = LineSegmenter::new_lstm(LineBreakOptions::default());
    let mut found = Vec::new();
    while at < text.len() {
        let rest = &text[at..];
        let complex = rest.find(|c| !is_complex(c)).unwrap_or(rest.len());
        let inside = segmenter.segment_str(&rest[..complex]);
        let inside = inside.filter(|end| (1..complex).contains(end));
        found.extend(inside.map(|end| at + end).filter(|end| *end > from));
        at += complex;
        at += text[at..].find(is_complex).unwrap_or(text.len() - at);
    }
    found
}

/// Whether a character belongs to a script without spaces between words (class SA of UAX #14).
fn is_complex(c: char) -> bool {
    break_property(c.into()) == BreakClass::ComplexContext
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        let ends = breaks(text, 0);
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let ends = ends.iter().copied().chain([text.len()]);
        starts.zip(ends).map(|(from, to)| &text[from..to]).collect()
    }

    #[test]
    fn words_without_spaces_are_found() {
        assert_eq!(words("ภาษาไทยสวยงาม"), ["ภาษา", "ไทย", "สวย", "งาม"]);
        assert!(words("ພາສາລາວ").len() > 1);
        assert!(words("ខ្ញុំចូលចិត្តអានសៀវភៅ").len() > 1);
        assert!(breaks("The sea, 海。", 0).is_empty());
    }

    #[test]
    fn a_place_does_not_depend_on_where_the_search_begins() {
        let text = "Sea ภาษาไทยสวยงามมาก (ทะเล) กว้างใหญ่";
        let all = breaks(text, 0);
        assert!(all.len() > 4);
        for from in text.char_indices().map(|(at, _)| at) {
            let later: Vec<usize> = all.iter().copied().filter(|at| *at > from).collect();
            assert_eq!(breaks(text, from), later);
        }
    }
}
