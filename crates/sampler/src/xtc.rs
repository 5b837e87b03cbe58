//! XTC ("exclude top choices"): sometimes removes all likely tokens except the least likely of
//! them.
//!
//! XTC removes clichés, whereas the other stages remove nonsense, so XTC comes last. The caller
//! provides the random number and the protected tokens.

use super::candidates::{Candidate, better};
use super::temperature::weigh;

/// Applies XTC if `draw` is below `probability`. Of the tokens with a probability of at least
/// `threshold`, only the least likely stays. If several are equally unlikely, the one with the
/// highest id stays.
///
/// p-e-w, text-generation-webui PR #6335. As in that pull request, nothing is removed if a
/// `protected` token (newline or end of text) would be removed. Otherwise, paragraphs and stories
/// would seldom end.
pub(crate) fn xtc(
    items: &mut Vec<Candidate>,
    threshold: f32,
    probability: f32,
    draw: f64,
    protected: &[u32],
) {
    let struck = draw < f64::from(probability) && threshold >= 0.0;
    if !struck || items.len() < 2 {
        return;
    }
    let least = f64::from(threshold) * weigh(items, 1.0);
    let top = |item: &&Candidate| item.weight >= least;
    let Some(last) = items
        .iter()
        .filter(top)
        .max_by(|a, b| better(a, b))
        .copied()
    else {
        return;
    };
    let goes = |item: &Candidate| item.weight >= least && item.token != last.token;
    let lost = |item: &Candidate| goes(item) && protected.contains(&item.token);
    if !items.iter().any(lost) {
        items.retain(|item| !goes(item));
    }
}

#[cfg(test)]
mod tests {
    use super::super::candidates::{tokens, with_probabilities};
    use super::*;

    fn left(probabilities: &[f64], threshold: f32, probability: f32, draw: f64) -> Vec<u32> {
        let mut items = with_probabilities(probabilities);
        xtc(&mut items, threshold, probability, draw, &[]);
        tokens(&items)
    }

    #[test]
    fn all_top_choices_but_the_least_likely_go() {
        // At 0.1 or more: tokens 1 (0.4), 3 (0.3) and 0 (0.15). Token 0 is the least likely.
        let probabilities = [0.15, 0.4, 0.08, 0.3, 0.07];
        assert_eq!(left(&probabilities, 0.1, 1.0, 0.5), [0, 2, 4]);
        // At 0.35 or more: only one, so nothing is removed.
        assert_eq!(left(&probabilities, 0.35, 1.0, 0.5), [0, 1, 2, 3, 4]);
        // At 0.45 or more: none.
        assert_eq!(left(&probabilities, 0.45, 1.0, 0.5), [0, 1, 2, 3, 4]);
        // At 0: all tokens, so only the least likely stays.
        assert_eq!(left(&probabilities, 0.0, 1.0, 0.5), [4]);
    }

    #[test]
    fn it_strikes_when_the_draw_is_below_the_probability() {
        let probabilities = [0.6, 0.4];
        assert_eq!(left(&probabilities, 0.1, 0.5, 0.499), [1]);
        assert_eq!(left(&probabilities, 0.1, 0.5, 0.5), [0, 1]);
        // Probability 0 means never, 1 always, since draws are in [0, 1).
        assert_eq!(left(&probabilities, 0.1, 0.0, 0.0), [0, 1]);
        assert_eq!(left(&probabilities, 0.1, 1.0, 0.999_999), [1]);
    }

    #[test]
    fn above_a_half_it_is_off_because_two_cannot_both_reach_it() {
        assert_eq!(left(&[0.501, 0.499], 0.501, 1.0, 0.0), [0, 1]);
    }

    #[test]
    fn of_equals_the_highest_id_stays() {
        assert_eq!(left(&[0.25, 0.25, 0.25, 0.25], 0.2, 1.0, 0.0), [3]);
    }

    #[test]
    fn one_token_is_left_alone_and_so_are_odd_values() {
        assert_eq!(left(&[1.0], 0.1, 1.0, 0.0), [0]);
        assert_eq!(left(&[0.6, 0.4], f32::NAN, 1.0, 0.0), [0, 1]);
        assert_eq!(left(&[0.6, 0.4], 0.1, f32::NAN, 0.0), [0, 1]);
    }

    #[test]
    fn protected_tokens_call_it_off() {
        let mut items = with_probabilities(&[0.5, 0.3, 0.2]);
        xtc(&mut items, 0.1, 1.0, 0.0, &[9, 1]);
        assert_eq!(tokens(&items), [0, 1, 2]);
        // Token 2 would have stayed in any case.
        xtc(&mut items, 0.1, 1.0, 0.0, &[2]);
        assert_eq!(tokens(&items), [2]);
    }
}
