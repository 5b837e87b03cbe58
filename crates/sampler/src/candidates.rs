//! The candidate tokens, which are selected according to a model's logits.
//!
//! Between stages, the candidates are in ascending order of id, so that sums over them are added in
//! the same order on every machine. This module does not depend on the settings.

use std::cmp::Ordering;

/// A candidate token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub token: u32,
    pub logit: f32,
    /// The candidate's weight in the current stage; see [`super::temperature::weigh`].
    pub weight: f64,
}

/// The number of logits in a block. The compiler turns the comparisons within a block into vector
/// instructions.
const BLOCK: usize = 16;

/// The logit floor that excludes no token.
pub(crate) const ALL: f64 = f64::NEG_INFINITY;

/// Orders candidates from best to worst: by descending logit and, if the logits are equal, by
/// ascending id.
pub(crate) fn better(a: &Candidate, b: &Candidate) -> Ordering {
    let by_logit = b.logit.partial_cmp(&a.logit).unwrap_or(Ordering::Equal);
    by_logit.then(a.token.cmp(&b.token))
}

/// Copies the logits, replacing values that would break later arithmetic. A NaN becomes `-inf`,
/// which rules the token out, and `+inf` becomes the largest finite number.
pub(crate) fn clean(logits: &[f32], copy: &mut Vec<f32>) {
    copy.clear();
    copy.extend(logits.iter().map(|&logit| match logit {
        logit if logit <= f32::MAX => logit,
        logit if logit.is_nan() => f32::NEG_INFINITY,
        _ => f32::MAX,
    }));
}

/// The highest of the given cleaned logits; `-inf` if there are none.
pub(crate) fn highest(logits: &[f32]) -> f32 {
    let higher = |a: f32, b: f32| if b > a { b } else { a };
    let (blocks, rest) = logits.as_chunks::<BLOCK>();
    let mut lanes = [f32::NEG_INFINITY; BLOCK];
    for block in blocks {
        for (lane, logit) in lanes.iter_mut().zip(block) {
            *lane = higher(*lane, *logit);
        }
    }
    let both = lanes.iter().chain(rest);
    both.fold(f32::NEG_INFINITY, |high, logit| higher(high, *logit))
}

/// The token with the highest logit; if several are equal, the one with the lowest id. None if
/// every token is ruled out.
pub(crate) fn best(logits: &[f32]) -> Option<u32> {
    let high = highest(logits);
    if high == f32::NEG_INFINITY {
        return None;
    }
    let index = logits.iter().position(|logit| *logit == high)?;
    u32::try_from(index).ok()
}

/// Fills `items` with the `limit` tokens that have the highest logits, in order of id. Only tokens
/// with a logit of at least `floor` are included. A `limit` of 0 includes all of them. Tokens that
/// are ruled out are never included.
///
/// If there is a limit, the list is reduced to the best tokens whenever it becomes too long, and
/// the floor is raised to the lowest logit in the list. One pass over the logits is therefore
/// enough.
pub(crate) fn gather(logits: &[f32], floor: f64, limit: usize, items: &mut Vec<Candidate>) {
    items.clear();
    let mut floor = round_up(floor);
    let full = match limit {
        0 => usize::MAX,
        _ => limit.saturating_mul(2).max(512),
    };
    for (number, block) in logits.chunks(BLOCK).enumerate() {
        if !block
            .iter()
            .fold(false, |any, logit| any | (*logit >= floor))
        {
            continue;
        }
        for (token, &logit) in (number * BLOCK..).zip(block) {
            if logit >= floor {
                let token = token as u32;
                let weight = 0.0;
                items.push(Candidate {
                    token,
                    logit,
                    weight,
                });
            }
        }
        if items.len() >= full {
            keep_best(items, limit);
            floor = items.iter().fold(f32::MAX, |low, item| low.min(item.logit));
        }
    }
    if limit > 0 {
        keep_best(items, limit);
    }
    items.sort_unstable_by_key(|item| item.token);
}

/// Returns the lowest finite f32 that is not below `floor`.
fn round_up(floor: f64) -> f32 {
    let nearest = (floor as f32).max(f32::MIN);
    match f64::from(nearest) < floor {
        true => nearest.next_up(),
        false => nearest,
    }
}

/// Removes all candidates except the `count` best, which are left in no particular order.
fn keep_best(items: &mut Vec<Candidate>, count: usize) {
    if (1..items.len()).contains(&count) {
        items.select_nth_unstable_by(count - 1, better);
        items.truncate(count);
    }
}

/// Creates candidates for the tokens 0, 1, 2, … with the given logits.
#[cfg(test)]
pub(crate) fn candidates(logits: &[f32]) -> Vec<Candidate> {
    let mut items = Vec::new();
    gather(logits, ALL, 0, &mut items);
    items
}

/// Creates candidates for the tokens 0, 1, 2, … with the given probabilities.
#[cfg(test)]
pub(crate) fn with_probabilities(probabilities: &[f64]) -> Vec<Candidate> {
    let logits: Vec<f32> = probabilities.iter().map(|p| p.ln() as f32).collect();
    candidates(&logits)
}

/// The token ids of the candidates.
#[cfg(test)]
pub(crate) fn tokens(items: &[Candidate]) -> Vec<u32> {
    items.iter().map(|item| item.token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INF: f32 = f32::INFINITY;

    #[test]
    fn cleaning_rules_out_nan_and_tames_infinity() {
        let mut copy = vec![9.0; 3];
        clean(&[f32::NAN, INF, -INF, -1.5], &mut copy);
        assert_eq!(copy, [-INF, f32::MAX, -INF, -1.5]);
    }

    #[test]
    fn the_best_of_equals_is_the_lowest_id() {
        assert_eq!(best(&[1.0, 3.0, 3.0, 2.0]), Some(1));
        assert_eq!(best(&[-0.0, 0.0]), Some(0));
        assert_eq!(best(&[-INF; 20]), None);
        assert_eq!(best(&[]), None);
    }

    #[test]
    fn gathering_keeps_the_floor_and_the_limit() {
        let logits = [1.0, -INF, 3.0, 2.0, 3.0, 2.0];
        let mut items = Vec::new();
        gather(&logits, ALL, 0, &mut items);
        assert_eq!(tokens(&items), [0, 2, 3, 4, 5]);
        gather(&logits, 2.0, 0, &mut items);
        assert_eq!(tokens(&items), [2, 3, 4, 5]);
        // Of the two 2.0s the lower id counts as better.
        gather(&logits, ALL, 3, &mut items);
        assert_eq!(tokens(&items), [2, 3, 4]);
        gather(&logits, ALL, 99, &mut items);
        assert_eq!(items.len(), 5);
    }

    #[test]
    fn the_floor_is_not_rounded_down() {
        // Between 1 and the next f32, 1 + 2^-23.
        assert_eq!(round_up(1.0 + 1e-9), 1.0 + f32::EPSILON);
        assert_eq!(round_up(1.0), 1.0);
        assert_eq!((round_up(ALL), round_up(f64::NAN)), (f32::MIN, f32::MIN));
    }

    proptest! {
        #[test]
        fn gathering_with_a_limit_is_sorting_and_cutting(
            // Few distinct values, so that ties are common and the list overflows.
            values in prop::collection::vec(-4i8..4, 0..3000), limit in 1usize..40,
        ) {
            let logits: Vec<f32> = values.iter().map(|v| f32::from(*v)).collect();
            let mut expected: Vec<u32> = (0..logits.len() as u32).collect();
            expected.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]));
            expected.truncate(limit);
            expected.sort_unstable();
            let mut items = Vec::new();
            gather(&logits, ALL, limit, &mut items);
            prop_assert_eq!(tokens(&items), expected);
        }

        #[test]
        fn the_highest_is_the_maximum(logits in prop::collection::vec(-9e9f32..9e9, 0..70)) {
            let expected = logits.iter().copied().fold(-INF, f32::max);
            prop_assert_eq!(highest(&logits), expected);
        }
    }
}
