//! Writes a picture's tokens with the token Transformer, round after round, in an order that is spread
//! over the whole picture ([`super::spread`]).
//!
//! Which tokens come next does not depend on how sure the model is of them: it is surest of what is
//! empty, and pictures that begin with that stay so. Where it is very unsure of a token, the one that is
//! remembered at its place stands (as in kNN-LM, Khandelwal et al. 2020, where what is remembered has a
//! share of the chance): what follows is written to fit. Plain numbers and one stream of chance a picture, so that a picture does not depend on those
//! that are drawn beside it.

use super::condition::Wish;
use super::config::TOKENS;
use super::digits::DigitNetwork;
use super::layers::Drop;
use super::memory::Shown;
use super::spread::spread_from;
use super::tokens::{Digits, TokenTransformer};
use crate::model::sampler::rng::Rng;
use candle_core::{Error, Result, Tensor};

/// How tokens are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Rounds; in each some tokens become known for good.
    pub steps: usize,
    /// 0 takes the likeliest digit; 1 draws as the model was trained.
    pub temperature: f64,
    /// How strongly words and style pull: 1 is as trained, 0 not at all.
    pub guidance: f64,
    /// A token that is less likely than this gives way to the one remembered at its place: at 0 none
    /// does, at 1 all.
    pub recall: f64,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling {
            steps: 8,
            temperature: 0.3,
            guidance: 2.0,
            recall: 0.06,
        }
    }
}

impl Sampling {
    /// As is usual, but for what is given; None where that cannot be.
    pub fn with(
        [temperature, guidance, recall]: [Option<f64>; 3],
        steps: Option<usize>,
    ) -> Option<Sampling> {
        let usual = Sampling::default();
        let sampling = Sampling {
            steps: steps.unwrap_or(usual.steps).clamp(1, 64),
            temperature: temperature.unwrap_or(usual.temperature),
            guidance: guidance.unwrap_or(usual.guidance),
            recall: recall.unwrap_or(usual.recall),
        };
        let sound = (0.0..=10.0).contains(&sampling.temperature)
            && (0.0..=1.0).contains(&sampling.recall)
            && (-20.0..=20.0).contains(&sampling.guidance);
        sound.then_some(sampling)
    }
}

/// Tokens that are given from the start, such as those of a picture that is varied.
pub struct Given<'a> {
    pub tokens: &'a Digits,
    /// `[batch * 64]`.
    pub known: &'a [bool],
}

/// Draws the tokens of `wish.len()` pictures, picture n with chance from `rngs[n]` and, where any
/// are shown, `shown[n]` before its eyes. `go_on` is asked before each round; false ends it with None.
pub fn write(
    model: &TokenTransformer,
    wish: &Wish,
    sampling: &Sampling,
    rngs: &mut [Rng],
    given: Option<Given>,
    shown: &[Shown],
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Option<Digits>> {
    let (batch, digits) = (wish.len(), model.digits());
    let guided = sampling.guidance != 1.0;
    let doubled;
    let rows = match guided {
        true => {
            doubled = with_and_without(model, wish)?;
            &doubled
        }
        false => wish,
    };
    let copies = rows.len() / batch.max(1);
    let mut beside = shown.to_vec();
    if !shown.is_empty() {
        beside.resize(rows.len(), Shown::new());
    }
    let prepared = model.prepare(rows, &beside)?;
    let (mut tokens, mut known) = match given {
        Some(given) => (given.tokens.clone(), given.known.to_vec()),
        None => (
            Digits(vec![0; batch * TOKENS * digits]),
            vec![false; batch * TOKENS],
        ),
    };
    if tokens.0.len() != batch * TOKENS * digits || known.len() != batch * TOKENS {
        return Err(Error::Msg(
            "the tokens given do not fit the pictures".into(),
        ));
    }
    let by = model.digit_network()?;
    let chances: Vec<f64> = rngs.iter_mut().map(Rng::next_f64).collect();
    let remembered = prepared.one_of(shown, &chances)?;
    let mut ahead: Vec<Vec<usize>> = known.chunks(TOKENS).zip(&mut *rngs).map(ahead).collect();
    let unknown: Vec<usize> = ahead.iter().map(Vec::len).collect();
    for step in 0..sampling.steps.max(1) {
        if !go_on() {
            return Ok(None);
        }
        if ahead.iter().all(Vec::is_empty) {
            break;
        }
        let left = 1.0 - (step + 1) as f64 / sampling.steps.max(1) as f64;
        let mut next = Vec::new();
        for (picture, (ahead, unknown)) in ahead.iter_mut().zip(&unknown).enumerate() {
            let new = ahead.len().saturating_sub(still_unknown(*unknown, left));
            next.extend(ahead.drain(..new).map(|place| picture * TOKENS + place));
        }
        // Of many rounds the first ones have nothing to write.
        if next.is_empty() {
            continue;
        }
        let all = Digits(tokens.0.repeat(copies));
        let hidden = model.hidden(&prepared, &all, &known.repeat(copies), &Drop::None)?;
        for one in draft(model, &by, (&hidden, &next), sampling, rngs)? {
            let at = one.place * digits..(one.place + 1) * digits;
            let other = remembered[one.place / TOKENS].filter(|_| one.sure < sampling.recall.ln());
            let start = one.place % TOKENS * digits;
            let own = other.map_or(&one.digits[..], |other| &other.0[start..][..digits]);
            tokens.0[at].copy_from_slice(own);
            known[one.place] = true;
        }
    }
    Ok(Some(tokens))
}

/// Rows with words and style, then the same rows without.
fn with_and_without(model: &TokenTransformer, wish: &Wish) -> Result<Wish> {
    let none = model
        .no_words()
        .unsqueeze(0)?
        .broadcast_as(wish.text.shape())?;
    Ok(Wish {
        text: Tensor::cat(&[&wish.text, &none.contiguous()?], 0)?,
        style: [wish.style.clone(), vec![None; wish.len()]].concat(),
        flip: wish.flip.repeat(2),
    })
}

/// The places of a picture that are not known, in the order in which they are written.
fn ahead((known, rng): (&[bool], &mut Rng)) -> Vec<usize> {
    let first = (rng.next_f64() * TOKENS as f64) as usize;
    spread_from(first).filter(|place| !known[*place]).collect()
}

/// A token as it was drafted.
struct Drafted {
    /// `[batch * 64]` counts them.
    place: usize,
    digits: Vec<u8>,
    /// The log probability of all digits together.
    sure: f64,
}

/// Drafts the tokens of some places. Chance is taken in their order, so that it does not matter how
/// many threads there are.
fn draft(
    model: &TokenTransformer,
    by: &DigitNetwork,
    (hidden, places): (&Tensor, &[usize]),
    sampling: &Sampling,
    rngs: &mut [Rng],
) -> Result<Vec<Drafted>> {
    let guided = hidden.dim(0)? > rngs.len();
    let all = hidden.flatten_to(1)?;
    let rows = |from: usize| {
        let rows: Vec<u32> = places.iter().map(|at| (from + at) as u32).collect();
        all.index_select(&Tensor::new(rows, all.device())?, 0)
    };
    let read = match guided {
        false => rows(0)?,
        true => Tensor::cat(&[rows(0)?, rows(rngs.len() * TOKENS)?], 0)?,
    };
    let mut heads = model.heads(&read)?.flatten_all()?.to_vec1::<f32>()?;
    let (with, without) = heads.split_at_mut(places.len() * by.width());
    let mut free = without.chunks_exact_mut(by.width());
    let tokens = with.chunks_exact_mut(by.width()).zip(places);
    let tokens: Vec<_> = tokens
        .map(|(given, place)| {
            let chances = by.levels.iter().map(|_| rngs[place / TOKENS].next_f64());
            (*place, chances.collect::<Vec<f64>>(), given, free.next())
        })
        .collect();
    let mut drafted: Vec<Option<Drafted>> = tokens.iter().map(|_| None).collect();
    let both: Vec<_> = tokens.into_iter().zip(&mut drafted).collect();
    let one = |((place, chances, given, free), out): (Asked, &mut Option<Drafted>)| {
        *out = Some(drawn(by, sampling, (place, &chances), given, free));
    };
    match model.pool() {
        Some(pool) => pool.each(both, one),
        None => both.into_iter().for_each(one),
    }
    Ok(drafted.into_iter().flatten().collect())
}

/// A token to be drafted: its place, chance for each digit, and what the Transformer hands over of
/// it, with words and without.
type Asked<'a> = (usize, Vec<f64>, &'a mut [f32], Option<&'a mut [f32]>);

/// A token's digits, one after the other.
fn drawn(
    by: &DigitNetwork,
    sampling: &Sampling,
    (place, chances): (usize, &[f64]),
    given: &mut [f32],
    mut free: Option<&mut [f32]>,
) -> Drafted {
    let (mut row, mut other) = (Vec::new(), Vec::new());
    let mut drafted = Drafted {
        place,
        digits: Vec::with_capacity(chances.len()),
        sure: 0.0,
    };
    for (at, chance) in chances.iter().enumerate() {
        by.logits(given, at, &mut row);
        if let Some(free) = &free {
            by.logits(free, at, &mut other);
            for (x, free) in row.iter_mut().zip(&other) {
                *x = free + sampling.guidance * (*x - free);
            }
        }
        log_softmax(&mut row);
        let digit = pick(&row, sampling.temperature, *chance);
        drafted.sure += row[digit];
        drafted.digits.push(digit as u8);
        by.tell(given, at, digit);
        if let Some(free) = &mut free {
            by.tell(free, at, digit);
        }
    }
    drafted
}

/// How many of the tokens unknown at the start are still so when `left` of the rounds are to come:
/// most at first (the cosine schedule of MaskGIT), one less at least.
fn still_unknown(unknown: usize, left: f64) -> usize {
    let still = (std::f64::consts::FRAC_PI_2 * (1.0 - left)).cos();
    let still = if left <= 0.0 {
        0.0
    } else {
        still * unknown as f64
    };
    (still as usize).min(unknown.saturating_sub(1))
}

fn log_softmax(row: &mut [f64]) {
    let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row.iter().map(|x| libm::exp(x - most)).sum();
    let all = most + libm::log(sum);
    row.iter_mut().for_each(|x| *x -= all);
}

/// A choice by its log probabilities, sharpened by `temperature`.
fn pick(row: &[f64], temperature: f64, chance: f64) -> usize {
    let best = (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]));
    if temperature <= 1e-3 {
        return best.unwrap_or(0);
    }
    let mut sharp: Vec<f64> = row.iter().map(|x| x / temperature).collect();
    log_softmax(&mut sharp);
    let mut below = 0.0;
    for (at, x) in sharp.iter().enumerate() {
        below += libm::exp(*x);
        if chance < below {
            return at;
        }
    }
    best.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_tokens_are_known_at_first_and_all_at_last() {
        let still: Vec<usize> = (1..=4)
            .map(|step| still_unknown(64, 1.0 - step as f64 / 4.0))
            .collect();
        // 64 cos(90° n / 4).
        assert_eq!(still, [59, 45, 24, 0]);
        assert_eq!((still_unknown(0, 0.5), still_unknown(1, 0.9)), (0, 0));
    }

    #[test]
    fn digits_are_drawn_by_their_probabilities_and_temperature_sharpens() {
        let mut row = [0.1f64.ln(), 0.9f64.ln()];
        log_softmax(&mut row);
        let mut rng = Rng::new(1);
        let mut share = |temperature| {
            let drawn = (0..10_000).map(|_| pick(&row, temperature, rng.next_f64()));
            drawn.sum::<usize>() as f64 / 10_000.0
        };
        assert!((share(1.0) - 0.9).abs() < 0.01);
        // 0.9^2 / (0.9^2 + 0.1^2) = 0.988.
        assert!((share(0.5) - 0.988).abs() < 0.005);
        assert_eq!(share(0.0), 1.0);
    }
}
