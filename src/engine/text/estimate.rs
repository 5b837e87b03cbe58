//! Estimates how many tokens a text has, for sources that cannot count them.

/// Estimates the number of tokens in a text: a token is about four letters of Latin script, or one
/// or two of any other.
pub fn estimate(text: &str) -> usize {
    sevenths(text).div_ceil(7).max(1)
}

/// The estimated length of a text, in sevenths of a token.
fn sevenths(text: &str) -> usize {
    let sevenths = |c: char| if c.is_ascii() { 2 } else { 6 };
    text.chars().map(sevenths).sum()
}

/// Estimates the number of tokens in a text that arrives in pieces. Fractions of a token carry over
/// to the next piece, so that rounding does not add up.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunningEstimate {
    /// The fraction of a token not yet counted, in sevenths.
    rest: usize,
}

impl RunningEstimate {
    /// The number of tokens that another piece adds.
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
