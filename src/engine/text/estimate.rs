//! Estimates the number of tokens in a text, for sources that cannot count tokens.

/// Estimates the number of tokens in a text. A token is assumed to have about four letters of Latin
/// script, or one or two characters of any other script.
pub fn estimate(text: &str) -> usize {
    sevenths(text).div_ceil(7).max(1)
}

/// The estimated length of a text, in sevenths of a token.
fn sevenths(text: &str) -> usize {
    let sevenths = |c: char| if c.is_ascii() { 2 } else { 6 };
    text.chars().map(sevenths).sum()
}

/// Estimates the number of tokens in a text that arrives in pieces. Fractions of a token are
/// carried over to the next piece, so that rounding errors do not add up.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunningEstimate {
    /// The fraction of a token that has not been counted yet, in sevenths.
    rest: usize,
}

impl RunningEstimate {
    /// Adds a piece of text, and returns the number of tokens by which the estimate grows.
    pub fn add(&mut self, piece: &str) -> usize {
        let all = self.rest + sevenths(piece);
        self.rest = all % 7;
        all / 7
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_rather_high_than_low() {
        let english = "Once upon a time, in a lighthouse by the sea,";
        assert!((12..20).contains(&estimate(english)));
        assert!(estimate("灯台の光") >= 4);
        let mut pieces = RunningEstimate::default();
        let words = english.split_inclusive(' ');
        let total: usize = words.map(|word| pieces.add(word)).sum();
        assert!((total..=total + 1).contains(&estimate(english)), "{total}");
    }
}
