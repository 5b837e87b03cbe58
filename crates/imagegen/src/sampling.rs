//! Writes a picture's tokens with the token Transformer, round after round, in an order that is spread
//! over the whole picture ([`super::spread`]).
//!
//! Which tokens come next does not depend on how sure the model is of them: it is surest of what is
//! empty, and pictures that begin with that stay so. What is remembered pulls: a digit is the less likely
//! the further it is from that of the remembered token at its place (as in kNN-LM, Khandelwal et al. 2020,
//! near ones have a share of the chance; digits are steps on a scale, so near is told digit by digit).
//! Where the model is sure it has its way, elsewhere the remembered drawing does. Plain numbers and one
//! stream of chance a picture, so that a picture does not depend on those that are drawn beside it.

use super::code_head::CodeHead;
use super::conditioning::Conditioning;
use super::config::TOKENS;
use super::halton::spread_from;
use super::layers::Dropout;
use super::retrieval_index::RetrievedExamples;
use super::tokens::{FsqCodes, TokenTransformer};
use candle_core::{Error, Result, Tensor};
use sampler::rng::Rng;

/// How tokens are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Rounds; in each some tokens become known for good.
    pub steps: usize,
    /// 0 takes the likeliest digit; 1 draws as the model was trained.
    pub temperature: f64,
    /// How strongly words and style pull: 1 is as trained, 0 not at all.
    pub guidance: f64,
    /// How strongly what is remembered pulls: how much less likely (in nats) a digit is for each step
    /// that it is away from the remembered one; 0 not at all.
    pub recall: f64,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling {
            steps: 8,
            temperature: 0.3,
            guidance: 2.0,
            recall: 3.0,
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
            && (0.0..=20.0).contains(&sampling.recall)
            && (-20.0..=20.0).contains(&sampling.guidance);
        sound.then_some(sampling)
    }
}

/// Tokens that are given from the start, such as those of a picture that is varied.
pub struct Given<'a> {
    pub tokens: &'a FsqCodes,
    /// `[batch * 64]`.
    pub known: &'a [bool],
}

/// Draws the tokens of `wish.len()` pictures, picture n with chance from `rngs[n]` and, where any
/// are shown, `shown[n]` before its eyes. `go_on` is asked before each round; false ends it with None.
pub fn write(
    model: &TokenTransformer,
    conditioning: &Conditioning,
    sampling: &Sampling,
    rngs: &mut [Rng],
    given: Option<Given>,
    retrieved: &[RetrievedExamples],
    keep_going: &mut dyn FnMut() -> bool,
) -> Result<Option<FsqCodes>> {
    let (batch, digits) = (conditioning.len(), model.codes_per_token());
    let guided = sampling.guidance != 1.0;
    let doubled;
    let rows = match guided {
        true => {
            doubled = with_and_without(model, conditioning)?;
            &doubled
        }
        false => conditioning,
    };
    let copies = rows.len() / batch.max(1);
    let mut beside = retrieved.to_vec();
    if !retrieved.is_empty() {
        beside.resize(rows.len(), RetrievedExamples::new());
    }
    let prepared = model.prepare(rows, &beside)?;
    let (mut tokens, mut known) = match given {
        Some(given) => (given.tokens.clone(), given.known.to_vec()),
        None => (
            FsqCodes(vec![0; batch * TOKENS * digits]),
            vec![false; batch * TOKENS],
        ),
    };
    if tokens.0.len() != batch * TOKENS * digits || known.len() != batch * TOKENS {
        return Err(Error::Msg(
            "the tokens given do not fit the pictures".into(),
        ));
    }
    let by = model.code_head()?;
    let chances: Vec<f64> = rngs.iter_mut().map(Rng::next_f64).collect();
    let remembered = prepared.one_of(retrieved, &chances)?;
    let mut ahead: Vec<Vec<usize>> = known.chunks(TOKENS).zip(&mut *rngs).map(ahead).collect();
    let unknown: Vec<usize> = ahead.iter().map(Vec::len).collect();
    for step in 0..sampling.steps.max(1) {
        if !keep_going() {
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
        let all = FsqCodes(tokens.0.repeat(copies));
        let hidden = model.hidden(&prepared, &all, &known.repeat(copies), &Dropout::None)?;
        let drafted = draft(model, &by, (&hidden, &next), &remembered, sampling, rngs)?;
        for (place, own) in next.into_iter().zip(drafted) {
            tokens.0[place * digits..][..digits].copy_from_slice(&own);
            known[place] = true;
        }
    }
    Ok(Some(tokens))
}

/// Rows with words and style, then the same rows without.
fn with_and_without(model: &TokenTransformer, conditioning: &Conditioning) -> Result<Conditioning> {
    let none = model
        .null_text()
        .unsqueeze(0)?
        .broadcast_as(conditioning.text.shape())?;
    Ok(Conditioning {
        text: Tensor::cat(&[&conditioning.text, &none.contiguous()?], 0)?,
        style: [conditioning.style.clone(), vec![None; conditioning.len()]].concat(),
        flip: conditioning.flip.repeat(2),
    })
}

/// The places of a picture that are not known, in the order in which they are written.
fn ahead((known, rng): (&[bool], &mut Rng)) -> Vec<usize> {
    let first = (rng.next_f64() * TOKENS as f64) as usize;
    spread_from(first).filter(|place| !known[*place]).collect()
}

/// Drafts the tokens of some places, each as its digits, with what is remembered of each picture. Chance
/// is taken in their order, so that it does not matter how many threads there are.
fn draft(
    model: &TokenTransformer,
    by: &CodeHead,
    (hidden, places): (&Tensor, &[usize]),
    remembered: &[Option<&FsqCodes>],
    sampling: &Sampling,
    rngs: &mut [Rng],
) -> Result<Vec<Vec<u8>>> {
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
    let mut heads = model.head_inputs(&read)?.flatten_all()?.to_vec1::<f32>()?;
    let (with, without) = heads.split_at_mut(places.len() * by.width());
    let mut free = without.chunks_exact_mut(by.width());
    let tokens = with.chunks_exact_mut(by.width()).zip(places);
    let tokens: Vec<_> = tokens
        .map(|(given, place)| {
            let chances = by.levels.iter().map(|_| rngs[place / TOKENS].next_f64());
            let own = place % TOKENS * by.levels.len();
            let other = remembered[place / TOKENS].map(|all| &all.0[own..][..by.levels.len()]);
            (chances.collect::<Vec<f64>>(), other, given, free.next())
        })
        .collect();
    let mut drafted = vec![Vec::new(); tokens.len()];
    let both: Vec<_> = tokens.into_iter().zip(&mut drafted).collect();
    let one = |((chances, other, given, free), out): (Asked, &mut Vec<u8>)| {
        *out = drawn(by, sampling, (&chances, other), given, free);
    };
    match model.pool() {
        Some(pool) => pool.each(both, one),
        None => both.into_iter().for_each(one),
    }
    Ok(drafted)
}

/// A token to be drafted: chance for each digit, the digits that are remembered at its place, and what
/// the Transformer hands over of it, with words and without.
type Asked<'a> = (
    Vec<f64>,
    Option<&'a [u8]>,
    &'a mut [f32],
    Option<&'a mut [f32]>,
);

/// A token's digits, one after the other.
fn drawn(
    by: &CodeHead,
    sampling: &Sampling,
    (chances, remembered): (&[f64], Option<&[u8]>),
    given: &mut [f32],
    mut free: Option<&mut [f32]>,
) -> Vec<u8> {
    let (mut row, mut other) = (Vec::new(), Vec::new());
    let mut digits = Vec::with_capacity(chances.len());
    for (at, chance) in chances.iter().enumerate() {
        by.logits(given, at, &mut row);
        if let Some(free) = &free {
            by.logits(free, at, &mut other);
            for (x, free) in row.iter_mut().zip(&other) {
                *x = free + sampling.guidance * (*x - free);
            }
        }
        if let Some(remembered) = remembered {
            pull(&mut row, remembered[at], sampling.recall);
        }
        let digit = pick(&row, sampling.temperature, *chance);
        digits.push(digit as u8);
        by.tell(given, at, digit);
        if let Some(free) = &mut free {
            by.tell(free, at, digit);
        }
    }
    digits
}

/// Makes what is away from a remembered digit less likely, by `strength` for each step.
fn pull(row: &mut [f64], remembered: u8, strength: f64) {
    for (digit, x) in row.iter_mut().enumerate() {
        *x -= strength * digit.abs_diff(usize::from(remembered)) as f64;
    }
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

/// A choice by logits, sharpened by `temperature`.
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
    fn what_is_remembered_pulls_the_more_the_further_away_a_digit_is() {
        let mut row = [0.0, 1.0, 5.0, 0.5];
        pull(&mut row, 1, 3.0);
        // A model that is sure has its way, at twice the strength no more.
        assert_eq!(row, [-3.0, 1.0, 2.0, -5.5]);
        pull(&mut row, 1, 3.0);
        assert_eq!(row, [-6.0, 1.0, -1.0, -11.5]);
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
