//! Tests of the whole chain: the order of the stages, and the seed contract.

use super::*;

/// Settings that turn every stage off. The probabilities are then the softmax of the logits.
pub(crate) fn plain() -> Sampling {
    Sampling {
        temperature: 1.0,
        min_p: 0.0,
        dry_multiplier: 0.0,
        ..Sampling::default()
    }
}

pub(crate) fn sampler(sampling: &Sampling, seed: u64) -> Sampler {
    Sampler::new(sampling, seed, SequenceBreakers::none())
}

fn drawn(sampler: &mut Sampler, logits: &[f32], times: usize) -> Vec<u32> {
    (0..times).map(|_| sampler.sample(logits)).collect()
}

/// Returns the logits that correspond to the given probabilities.
fn of(probabilities: &[f64]) -> Vec<f32> {
    probabilities.iter().map(|p| p.ln() as f32).collect()
}

/// Pearson's chi-square statistic, which compares how often each token occurs in `tokens` with the
/// expected `probabilities`.
fn chi_square(tokens: &[u32], probabilities: &[f64]) -> f64 {
    let term = |(token, p): (usize, &f64)| {
        let count = tokens.iter().filter(|t| **t as usize == token).count();
        let expected = p * tokens.len() as f64;
        (count as f64 - expected).powi(2) / expected
    };
    probabilities.iter().enumerate().map(term).sum()
}

#[test]
fn tokens_come_as_often_as_they_are_likely() {
    // For 5 outcomes there are 4 degrees of freedom: the statistic exceeds 18.47 for one seed in a
    // thousand.
    let probabilities = [0.4, 0.3, 0.15, 0.1, 0.05];
    let tokens = drawn(&mut sampler(&plain(), 11), &of(&probabilities), 20_000);
    assert!(chi_square(&tokens, &probabilities) < 18.47);
    // At T = 0.5 probabilities are squared and sum to 0.285.
    let cool = Sampling {
        temperature: 0.5,
        ..plain()
    };
    let squared = probabilities.map(|p| p * p / 0.285);
    let tokens = drawn(&mut sampler(&cool, 12), &of(&probabilities), 20_000);
    assert!(chi_square(&tokens, &squared) < 18.47);
}

#[test]
fn xtc_strikes_as_often_as_it_should() {
    // Half of the time XTC removes the 0.5: then 0.3 and 0.2 become 0.6 and 0.4. So 0.25, 0.15 +
    // 0.3 = 0.45, 0.1 + 0.2 = 0.3. The statistic exceeds 13.82 for one seed in a thousand.
    let sampling = Sampling {
        xtc_threshold: 0.25,
        xtc_probability: 0.5,
        ..plain()
    };
    let tokens = drawn(&mut sampler(&sampling, 13), &of(&[0.5, 0.3, 0.2]), 20_000);
    assert!(chi_square(&tokens, &[0.25, 0.45, 0.3]) < 13.82);
}

#[test]
fn every_draw_takes_two_numbers_whatever_the_settings() {
    let xtc = Sampling {
        xtc_probability: 1.0,
        ..plain()
    };
    let mirostat = Sampling {
        mirostat: 2,
        ..plain()
    };
    let logits = of(&[0.5, 0.3, 0.2]);
    let mut expected = Rng::new(5);
    for _ in 0..6 {
        expected.next_u64();
    }
    for sampling in [plain(), Sampling::greedy(), Sampling::chat(), xtc, mirostat] {
        let mut sampler = sampler(&sampling, 5);
        // Numbers are used even when there is nothing to draw from.
        drawn(&mut sampler, &logits, 2);
        sampler.sample(&[f32::NAN]);
        assert_eq!(sampler.rng, expected);
    }
}

#[test]
fn the_second_number_picks() {
    // The first numbers for seed 42 are 0.8143, 0.3188, 0.9838, 0.7011 (see `rng`): the picks are
    // 0.3188 and 0.7011, and the cumulative probabilities 0.3, 0.5, 1.
    let tokens = drawn(&mut sampler(&plain(), 42), &of(&[0.3, 0.2, 0.5]), 2);
    assert_eq!(tokens, [1, 2]);
}

#[test]
fn the_temperature_comes_after_the_cuts() {
    // At T = 1 the second has 0.05 of the best and is removed at min_p 0.06; if the temperature
    // came first it would have sqrt(0.05) = 0.22 of it, and stay.
    let sampling = Sampling {
        temperature: 2.0,
        min_p: 0.06,
        ..plain()
    };
    let choice = sampler(&sampling, 1).sample_with(&[0.0, 0.05f32.ln()]);
    assert_eq!((choice.token, choice.kept, choice.probability), (0, 1, 1.0));
}

#[test]
fn top_k_comes_before_top_p_and_top_p_before_min_p() {
    // Of 0.4, 0.3, 0.2, 0.1 top-k leaves two, as 0.571 and 0.429: for 0.55 the first is enough,
    // while of all four it would take two.
    let sampling = Sampling {
        top_k: 2,
        top_p: 0.55,
        ..plain()
    };
    let logits = of(&[0.4, 0.3, 0.2, 0.1]);
    assert_eq!(sampler(&sampling, 1).sample_with(&logits).kept, 1);
    // Min-p 0.6 alone would leave two (0.3 is 0.75 of the best); had it come first, those would
    // be 0.571 and 0.429 again and top-p 0.55 would leave one. Top-p first leaves two.
    let sampling = Sampling {
        top_p: 0.55,
        min_p: 0.6,
        ..plain()
    };
    assert_eq!(sampler(&sampling, 1).sample_with(&logits).kept, 2);
}

#[test]
fn penalties_come_before_the_cuts() {
    // Token 0 is the best by 1, and loses 3 for being used: it falls out of a top-k of 1.
    let sampling = Sampling {
        presence_penalty: 3.0,
        top_k: 1,
        ..plain()
    };
    let mut sampler = sampler(&sampling, 1);
    assert_eq!(sampler.sample(&[2.0, 1.0]), 0);
    sampler.accept(0);
    assert_eq!(sampler.sample(&[2.0, 1.0]), 1);
}

#[test]
fn greedy_takes_the_best_after_dry() {
    let sampling = Sampling {
        temperature: 0.0,
        ..Sampling::default()
    };
    let mut sampler = sampler(&sampling, 1);
    let logits = [1.0, 0.5, 2.0, 2.0];
    assert_eq!(sampler.sample(&logits), 2);
    // "0 1 2 0 1": 2 would be a repeat, L = 2, so it loses 0.8; the equally likely 3 is now best.
    for token in [0, 1, 2, 0, 1] {
        sampler.accept(token);
    }
    assert_eq!(sampler.sample(&logits), 3);
}

#[test]
fn nothing_to_choose_from_says_so() {
    for logits in [&[][..], &[f32::NAN, f32::NEG_INFINITY]] {
        for sampling in [plain(), Sampling::greedy(), Sampling::chat()] {
            assert_eq!(
                sampler(&sampling, 1).sample_with(logits),
                SampledToken::none()
            );
        }
    }
    // NaN rules out one token, not all.
    assert_eq!(sampler(&plain(), 1).sample(&[f32::NAN, -3.0]), 1);
    assert_eq!(sampler(&plain(), 1).sample(&[1.0, f32::INFINITY]), 1);
}

#[test]
fn a_clone_goes_on_as_the_original() {
    let mut one = sampler(&Sampling::default(), 9);
    let logits = of(&[0.4, 0.3, 0.3]);
    drawn(&mut one, &logits, 3);
    let mut other = one.clone();
    assert_eq!(drawn(&mut one, &logits, 20), drawn(&mut other, &logits, 20));
}

#[test]
fn the_log_probability_is_of_the_whole_vocabulary() {
    // ln 0.3 = -1.203973.
    let logits = of(&[0.5, 0.3, 0.2]);
    assert!((log_probability(&logits, 1) + 1.203_973).abs() < 1e-6);
    assert_eq!(log_probability(&[f32::NAN, 7.0], 0), f64::NEG_INFINITY);
    assert_eq!(log_probability(&[f32::NAN, 7.0], 1), 0.0);
    assert_eq!(log_probability(&[], 3), f64::NEG_INFINITY);
}
