//! DRY ("don't repeat yourself"): lowers the logit of a token that would continue a verbatim
//! repeat. The penalty grows with the length of the repeat.
//!
//! Source: p-e-w, text-generation-webui PR #5677. The linear-time algorithm follows koboldcpp PR
//! #982 (pi6am). Repeats of single words are left to the other penalties.

pub use super::sequence_breakers::SequenceBreakers;

use crate::params::Sampling;

/// The DRY stage: its settings, its sequence breakers, and the state at the end of the text.
#[derive(Clone, Debug)]
pub struct Dry {
    multiplier: f64,
    base: f64,
    allowed: usize,
    /// The number of tokens to look back; None for the whole context.
    range: Option<usize>,
    breakers: SequenceBreakers,
    /// The last bytes of the text, which may contain the beginning of a sequence breaker.
    tail: Vec<u8>,
    /// The number of tokens after the last sequence breaker.
    unbroken: usize,
    /// The result of [`matches`], stored here so that its memory is reused.
    matches: Vec<usize>,
    /// Each token with the length of its longest match, stored here so that the memory is reused.
    longest: Vec<(u32, usize)>,
}

impl Dry {
    pub fn new(sampling: &Sampling, breakers: SequenceBreakers) -> Dry {
        Dry {
            multiplier: f64::from(sampling.dry_multiplier),
            base: f64::from(sampling.dry_base),
            // A match has at least one token, as in the original.
            allowed: (sampling.dry_allowed_length as usize).max(1),
            range: usize::try_from(sampling.dry_penalty_last_n).ok(),
            breakers,
            tail: Vec::new(),
            unbroken: 0,
            matches: Vec::new(),
            longest: Vec::new(),
        }
    }

    /// Whether DRY is off. It is off if its multiplier or its range is 0 or, as in llama.cpp, if
    /// its base is below 1.
    pub(super) fn off(&self) -> bool {
        let sane = self.multiplier.is_finite() && self.base.is_finite();
        !sane || self.multiplier == 0.0 || self.base < 1.0 || self.range == Some(0)
    }

    /// Records the next token of the text.
    pub fn accept(&mut self, token: u32) {
        match self.breakers.ends(&mut self.tail, token) {
            true => self.unbroken = 0,
            false => self.unbroken += 1,
        }
    }

    /// Lowers the logit z of each token that would continue a repeat. A repeat is an earlier
    /// occurrence of the tokens at the end of the text, with no sequence breaker among them. If the
    /// longest repeat that the token would continue has L tokens and L ≥ allowed, z becomes
    ///
    /// z − multiplier · base^(L − allowed)
    ///
    /// A token that contains a sequence breaker is never penalized. `history` ends with the last
    /// accepted token.
    pub fn apply(&mut self, history: &[u32], logits: &mut [f32]) {
        if self.off() || self.unbroken < self.allowed {
            return;
        }
        let range = self.range.unwrap_or(usize::MAX).min(history.len());
        let window = &history[history.len() - range..];
        matches(window, &mut self.matches);
        self.collect(window);
        let largest = largest_exponent(self.base);
        for (token, length) in &self.longest {
            let Some(logit) = logits.get_mut(*token as usize) else {
                continue;
            };
            if *logit == f32::NEG_INFINITY || self.breakers.holds(*token) {
                continue;
            }
            let exponent = ((length - self.allowed) as f64).min(largest);
            let penalty = self.multiplier * libm::pow(self.base, exponent);
            let lowered = f64::from(*logit) - penalty;
            // A penalty never rules a token out.
            *logit = lowered.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
        }
    }

    /// For each token that followed a match in `window`, finds the length of the longest match that
    /// it followed.
    fn collect(&mut self, window: &[u32]) {
        self.longest.clear();
        for (ago, length) in self.matches.iter().enumerate().skip(1) {
            let length = (*length).min(self.unbroken);
            if length >= self.allowed {
                self.longest.push((window[window.len() - ago], length));
            }
        }
        let longer_first = |(token, length): &(u32, usize)| (*token, usize::MAX - *length);
        self.longest.sort_unstable_by_key(longer_first);
        self.longest.dedup_by_key(|(token, _)| *token);
    }
}

/// Fills `lengths`. Entry k is the length of the longest common suffix of the window and the window
/// without its last k tokens; entry 0 is the length of the window. In `a b x a b`, entry 3 is 2,
/// because without `x a b` the window also ends with `a b`.
///
/// This is the Z-algorithm (Gusfield, "Algorithms on Strings, Trees and Sequences", 1997, section
/// 1.4), applied to the reversed window. It takes linear time, since every token is matched at most
/// once.
fn matches(window: &[u32], lengths: &mut Vec<usize>) {
    let n = window.len();
    let back = |ago: usize| window[n - 1 - ago];
    lengths.clear();
    lengths.push(n);
    // The match that reaches furthest into the past, from `near` up to but excluding `far`.
    let (mut near, mut far) = (0usize, 0usize);
    for ago in 1..n {
        // Inside it, the length is known from the end of the window, as far as the match reaches.
        let mut length = match far.checked_sub(ago) {
            Some(known) => lengths[ago - near].min(known),
            None => 0,
        };
        while ago + length < n && back(length) == back(ago + length) {
            length += 1;
        }
        if ago + length > far {
            (near, far) = (ago, ago + length);
        }
        lengths.push(length);
    }
}

/// The largest exponent to which `base` can be raised without exceeding the range of f32, as in
/// koboldcpp and llama.cpp; 0 if there is no limit.
fn largest_exponent(base: f64) -> f64 {
    let exponent = libm::log(f64::from(f32::MAX)) / libm::log(base);
    if exponent.is_finite() { exponent } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns each letter that DRY penalizes after `text`, with the change of its logit. Each
    /// letter is one token.
    fn penalties(sampling: &Sampling, text: &str, breakers: &[&str]) -> Vec<(char, f32)> {
        let vocabulary = (0..128).map(|byte| (u32::from(byte), vec![byte]));
        let breakers: Vec<String> = breakers.iter().map(|s| s.to_string()).collect();
        let mut dry = Dry::new(sampling, SequenceBreakers::new(vocabulary, &breakers));
        let history: Vec<u32> = text.bytes().map(u32::from).collect();
        history.iter().for_each(|token| dry.accept(*token));
        let mut logits = [0.0; 128];
        dry.apply(&history, &mut logits);
        let lowered = logits
            .iter()
            .enumerate()
            .filter(|(_, logit)| **logit != 0.0);
        lowered
            .map(|(token, logit)| (token as u8 as char, *logit))
            .collect()
    }

    /// DRY settings that make all penalties exact numbers: multiplier 0.5, base 2 and allowed
    /// length 2.
    fn halves() -> Sampling {
        Sampling {
            dry_multiplier: 0.5,
            dry_base: 2.0,
            ..Sampling::default()
        }
    }

    #[test]
    fn the_penalty_grows_with_the_match() {
        // "abc" was followed by d: L = 3, 0.5 * 2^(3-2) = 1.
        assert_eq!(penalties(&halves(), "abcdxabc", &["|"]), [('d', -1.0)]);
        // "ab" was followed by c: L = 2, 0.5 * 2^0 = 0.5.
        assert_eq!(penalties(&halves(), "abcdxab", &["|"]), [('c', -0.5)]);
        // "a" alone is below the allowed length.
        assert_eq!(penalties(&halves(), "abcdxa", &["|"]), []);
    }

    #[test]
    fn the_longest_match_counts_for_each_token() {
        // The text ends in "abc". "abc" was followed by c (L = 3), a lone "c" by b (L = 1, too
        // short), "bc" by y (L = 2).
        let expected = [('c', -1.0), ('y', -0.5)];
        assert_eq!(penalties(&halves(), "abccbcyabc", &["|"]), expected);
        // x followed both "abc" and "zbc": only the longer, L = 3, counts.
        assert_eq!(penalties(&halves(), "abcxzbcxabc", &["|"]), [('x', -1.0)]);
    }

    #[test]
    fn a_loop_counts_the_overlap() {
        // "aaaa": three tokens back the match is one token long, two back it is two, one back
        // three. a: L = 3, 0.5 * 2 = 1.
        assert_eq!(penalties(&halves(), "aaaa", &["|"]), [('a', -1.0)]);
    }

    #[test]
    fn matches_stop_at_a_breaker() {
        // Without breakers "a|bc" (L = 4) was followed by d: 0.5 * 2^2 = 2.
        assert_eq!(penalties(&halves(), "a|bcdxa|bc", &[]), [('d', -2.0)]);
        // Across "|" nothing matches: L = 2.
        assert_eq!(penalties(&halves(), "a|bcdxa|bc", &["|"]), [('d', -0.5)]);
        // One token after a breaker is too few, and after a breaker nothing is penalized.
        assert_eq!(penalties(&halves(), "a|bcdxa|b", &["|"]), []);
        assert_eq!(penalties(&halves(), "abc|dxabc|", &["|"]), []);
        // A breaker that continued a match is not penalized itself.
        assert_eq!(penalties(&halves(), "abc|xabc", &["|"]), []);
    }

    #[test]
    fn breakers_spread_over_tokens_stop_matches_too() {
        // "##" is two tokens here. Without the breaker, "a##bc" L = 5, 0.5 * 2^3 = 4.
        assert_eq!(penalties(&halves(), "a##bcdxa##bc", &[]), [('d', -4.0)]);
        assert_eq!(penalties(&halves(), "a##bcdxa##bc", &["##"]), [('d', -0.5)]);
        // A single "#" is not a breaker: "a#bc" L = 4.
        assert_eq!(penalties(&halves(), "a#bcdxa#bc", &["##"]), [('d', -2.0)]);
    }

    #[test]
    fn settings_have_their_say() {
        let with = |change: fn(&mut Sampling)| {
            let mut sampling = halves();
            change(&mut sampling);
            penalties(&sampling, "abcdxabc", &["|"])
        };
        assert_eq!(with(|s| s.dry_multiplier = 0.0), []);
        assert_eq!(with(|s| s.dry_multiplier = f32::NAN), []);
        assert_eq!(with(|s| s.dry_base = 0.5), []);
        // Base 1: the penalty does not grow.
        assert_eq!(with(|s| s.dry_base = 1.0), [('d', -0.5)]);
        // Allowed 3: 0.5 * 2^0; allowed 4: nothing; 0 is as good as 1: 0.5 * 2^2 = 2.
        assert_eq!(with(|s| s.dry_allowed_length = 3), [('d', -0.5)]);
        assert_eq!(with(|s| s.dry_allowed_length = 4), []);
        assert_eq!(with(|s| s.dry_allowed_length = 0), [('d', -2.0)]);
        // The window "bcdxabc" holds only "bc" of the earlier text; "cdxabc" only "c".
        assert_eq!(with(|s| s.dry_penalty_last_n = 7), [('d', -0.5)]);
        assert_eq!(with(|s| s.dry_penalty_last_n = 6), []);
        assert_eq!(with(|s| s.dry_penalty_last_n = 0), []);
    }

    #[test]
    fn endless_repeats_stay_finite() {
        let [(_, lowered)] = penalties(&halves(), &"a".repeat(3000), &[])[..] else {
            panic!("one token repeats");
        };
        // 0.5 * 2^127.99 at most, for 2^128 is beyond f32.
        assert!(lowered.is_finite() && lowered < -8e37, "{lowered}");
    }

    proptest! {
        #[test]
        fn matches_are_what_they_are_called(window in prop::collection::vec(0u32..3, 1..60)) {
            let mut lengths = Vec::new();
            matches(&window, &mut lengths);
            for ago in 1..window.len() {
                let earlier = window[..window.len() - ago].iter().rev();
                let same = earlier.zip(window.iter().rev()).take_while(|(a, b)| a == b);
                prop_assert_eq!(lengths[ago], same.count());
            }
        }
    }
}
