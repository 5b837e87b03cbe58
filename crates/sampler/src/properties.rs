//! Property tests of the samplers with random settings and logits, including invalid ones.

use super::params::random::{any_number, any_sampling};
use super::tests::{plain, sampler};
use super::{SampledToken, Sampling, candidates};
use proptest::prelude::*;

/// The ids of the tokens that remain after top-k, then top-p, then min-p. They are computed
/// directly from the definitions, by sorting all probabilities.
fn left_by_definition(logits: &[f32], sampling: &Sampling) -> Vec<u32> {
    let mut left: Vec<(u32, f64)> = (0..)
        .zip(logits.iter().map(|z| f64::from(*z).exp()))
        .collect();
    left.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if sampling.top_k > 0 {
        left.truncate(sampling.top_k as usize);
    }
    if sampling.top_p < 1.0 {
        let total: f64 = left.iter().map(|(_, p)| p).sum();
        let mut before = 0.0;
        left.retain(|(_, p)| {
            let stays = before == 0.0 || before < f64::from(sampling.top_p) * total;
            before += p;
            stays
        });
    }
    let least = left[0].1 * f64::from(sampling.min_p);
    left.retain(|(_, p)| *p >= least);
    let mut ids: Vec<u32> = left.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids
}

proptest! {
    /// Tests that sampling chooses the same token if all logits except the `sufficient_top_k`
    /// highest are `-inf`. Devices that return only the highest logits rely on this.
    #[test]
    fn the_best_settle_what_is_drawn(
        any in any_sampling(), top_k in 0u32..8, seed in any::<u64>(),
        history in prop::collection::vec(0u32..30, 0..12),
        logits in prop::collection::vec(any_number(), 1..40),
    ) {
        let sampling = Sampling { top_k, dry_multiplier: 0.0, mirostat: 0, top_n_sigma: 0.0, ..any };
        let mut all = sampler(&sampling, seed);
        history.iter().for_each(|token| all.accept(*token));
        let mut best = all.clone();
        let Some(count) = all.sufficient_top_k() else { return Ok(()) };
        let mut clean = Vec::new();
        candidates::clean(&logits, &mut clean);
        let mut order = clean.clone();
        order.sort_by(|a, b| b.total_cmp(a));
        let worst = order.get(count - 1).copied().unwrap_or(f32::NEG_INFINITY);
        // If logits are tied at the limit, the choice is ambiguous: such cases are skipped.
        prop_assume!(order.get(count).is_none_or(|next| *next < worst));
        let told: Vec<f32> = clean
            .iter()
            .map(|logit| if *logit >= worst { *logit } else { f32::NEG_INFINITY })
            .collect();
        prop_assert_eq!(all.sample_with(&logits), best.sample_with(&told));
    }
}

proptest! {
    #[test]
    fn nothing_panics_and_no_token_is_invented(
        sampling in any_sampling(),
        logits in prop::collection::vec(any_number(), 0..50),
        history in prop::collection::vec(prop_oneof![0u32..6, any::<u32>()], 0..40),
    ) {
        let mut sampler = sampler(&sampling, 3).protect_from_xtc([1, 2]);
        history.iter().for_each(|token| sampler.accept(*token));
        let possible = |logit: &f32| !logit.is_nan() && *logit != f32::NEG_INFINITY;
        for _ in 0..3 {
            let choice = sampler.sample_with(&logits);
            if logits.iter().any(possible) {
                prop_assert!(possible(&logits[choice.token as usize]));
                prop_assert!(choice.kept > 0);
                prop_assert!(choice.probability > 0.0 && choice.probability <= 1.0 + 1e-12);
            } else {
                prop_assert_eq!(choice, SampledToken::none());
            }
            sampler.accept(choice.token);
        }
    }

    #[test]
    fn the_cuts_leave_what_their_definitions_leave(
        values in prop::collection::vec(-60i8..60, 1..200), top_k in 0u32..30,
        top_p in prop_oneof![Just(1.0f32), 0.011f32..0.99], min_p in 0.0013f32..0.9,
    ) {
        let logits: Vec<f32> = values.iter().map(|v| f32::from(*v) / 7.0).collect();
        let sampling = Sampling { top_k, top_p, min_p, ..plain() };
        let mut sampler = sampler(&sampling, 1);
        sampler.sample(&logits);
        prop_assert_eq!(candidates::tokens(&sampler.items), left_by_definition(&logits, &sampling));
    }

    #[test]
    fn which_id_a_logit_has_makes_no_difference_to_what_is_left(
        logits in prop::collection::hash_set(-9000i32..9000, 1..80), sampling in any_sampling(),
        turn in 0usize..80,
    ) {
        // Distinct logits, since ids decide between equal ones; XTC and mirostat are included.
        let logits: Vec<f32> = logits.iter().map(|v| *v as f32 / 1000.0).collect();
        let mut turned = logits.clone();
        turned.rotate_left(turn % logits.len());
        let left = |logits: &[f32]| {
            let mut sampler = sampler(&sampling, 3);
            sampler.sample(logits);
            let mut left: Vec<f32> = sampler.items.iter().map(|item| item.logit).collect();
            left.sort_by(f32::total_cmp);
            left
        };
        prop_assert_eq!(left(&logits), left(&turned));
    }
}
