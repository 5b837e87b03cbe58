//! Decoding: samples a picture's tokens in several decoding steps, in a fixed order that is spread
//! over the whole picture (`super::halton`).
//!
//! The order does not depend on the model's confidence. The model is most confident about empty
//! areas, and a picture that starts with empty areas stays empty. A retrieved example biases the
//! logits (as in kNN-LM, Khandelwal et al. 2020): the further a code value is from the example's
//! code, the more its probability is lowered. Codes are steps on a scale, so the distance is
//! measured for each code separately. A confident model overrides the bias. Every picture has its
//! own random stream, so that the picture does not depend on the other pictures drawn at the same
//! time.

use super::code_head::CodeHead;
use super::conditioning::Conditioning;
use super::config::TOKENS;
use super::halton::halton_order;
use super::layers::Dropout;
use super::quantizer::FsqCodes;
use super::retrieval_index::RetrievedExamples;
use super::tokens::TokenTransformer;
use candle_core::{Error, Result, Tensor};
use sampler::rng::Rng;

/// Sampling settings of the token Transformer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// The number of decoding steps. Each step fixes some of the tokens.
    pub steps: usize,
    /// The sampling temperature. 0 is greedy, and 1 samples from the distribution that the model
    /// has learned.
    pub temperature: f64,
    /// The classifier-free guidance scale. 1 uses only the conditional logits, and 0 only the
    /// unconditional logits.
    pub guidance: f64,
    /// The retrieval strength: the amount subtracted from a code's logit for each step of distance
    /// from the retrieved example's code. 0 turns the bias off.
    pub retrieval_strength: f64,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling {
            steps: 8,
            temperature: 0.3,
            guidance: 2.0,
            retrieval_strength: 3.0,
        }
    }
}

impl Sampling {
    /// Returns the default settings with the given values in place of the defaults. Returns None if
    /// a value is out of range.
    pub fn with(
        [temperature, guidance, retrieval_strength]: [Option<f64>; 3],
        steps: Option<usize>,
    ) -> Option<Sampling> {
        let usual = Sampling::default();
        let sampling = Sampling {
            steps: steps.unwrap_or(usual.steps).clamp(1, 64),
            temperature: temperature.unwrap_or(usual.temperature),
            guidance: guidance.unwrap_or(usual.guidance),
            retrieval_strength: retrieval_strength.unwrap_or(usual.retrieval_strength),
        };
        let sound = (0.0..=10.0).contains(&sampling.temperature)
            && (0.0..=20.0).contains(&sampling.retrieval_strength)
            && (-20.0..=20.0).contains(&sampling.guidance);
        sound.then_some(sampling)
    }
}

/// Tokens that are known before sampling, such as the unchanged tokens of a variation.
pub struct KnownTokens<'a> {
    pub tokens: &'a FsqCodes,
    /// Whether each token is known, `[batch * 64]`.
    pub known: &'a [bool],
}

/// Samples the tokens of `conditioning.len()` pictures. Picture n is sampled with `rngs[n]` and the
/// examples `retrieved[n]`; `retrieved` may be empty. `keep_going` is called before each decoding
/// step. If it returns false, the result is None.
pub fn generate_tokens(
    model: &TokenTransformer,
    conditioning: &Conditioning,
    sampling: &Sampling,
    rngs: &mut [Rng],
    given: Option<KnownTokens>,
    retrieved: &[RetrievedExamples],
    keep_going: &mut dyn FnMut() -> bool,
) -> Result<Option<FsqCodes>> {
    let (batch, codes) = (conditioning.len(), model.codes_per_token());
    let guided = sampling.guidance != 1.0;
    let doubled;
    let rows = match guided {
        true => {
            doubled = with_and_without_text(model, conditioning)?;
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
            FsqCodes(vec![0; batch * TOKENS * codes]),
            vec![false; batch * TOKENS],
        ),
    };
    if tokens.0.len() != batch * TOKENS * codes || known.len() != batch * TOKENS {
        return Err(Error::Msg(
            "the given tokens do not match the pictures".into(),
        ));
    }
    let head = model.code_head()?;
    let chances: Vec<f64> = rngs.iter_mut().map(Rng::next_f64).collect();
    let examples = prepared.sample_example(retrieved, &chances)?;
    let mut ahead: Vec<Vec<usize>> = known
        .chunks(TOKENS)
        .zip(&mut *rngs)
        .map(masked_places)
        .collect();
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
            let new = ahead.len().saturating_sub(masked_after(*unknown, left));
            next.extend(ahead.drain(..new).map(|place| picture * TOKENS + place));
        }
        // With many steps, the first ones have no tokens to fix.
        if next.is_empty() {
            continue;
        }
        let all = FsqCodes(tokens.0.repeat(copies));
        let hidden = model.hidden(&prepared, &all, &known.repeat(copies), &Dropout::None)?;
        let drafted = sample_tokens(model, &head, (&hidden, &next), &examples, sampling, rngs)?;
        for (place, own) in next.into_iter().zip(drafted) {
            tokens.0[place * codes..][..codes].copy_from_slice(&own);
            known[place] = true;
        }
    }
    Ok(Some(tokens))
}

/// Doubles the batch: returns the conditioning of each picture, followed by the same conditioning
/// without text and style.
fn with_and_without_text(
    model: &TokenTransformer,
    conditioning: &Conditioning,
) -> Result<Conditioning> {
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

/// Returns the indices of a picture's masked tokens in decoding order.
fn masked_places((known, rng): (&[bool], &mut Rng)) -> Vec<usize> {
    let first = (rng.next_f64() * TOKENS as f64) as usize;
    halton_order(first).filter(|place| !known[*place]).collect()
}

/// Samples the tokens at the given `places`, and returns each token's codes. Random numbers are
/// drawn in the order of the places, so that the result does not depend on the number of threads.
fn sample_tokens(
    model: &TokenTransformer,
    head: &CodeHead,
    (hidden, places): (&Tensor, &[usize]),
    examples: &[Option<&FsqCodes>],
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
    let (with, without) = heads.split_at_mut(places.len() * head.width());
    let mut unconditional = without.chunks_exact_mut(head.width());
    let tokens = with.chunks_exact_mut(head.width()).zip(places);
    let tokens: Vec<_> = tokens
        .map(|(conditional, place)| {
            let chances = head.levels.iter().map(|_| rngs[place / TOKENS].next_f64());
            let own = place % TOKENS * head.levels.len();
            let other = examples[place / TOKENS].map(|all| &all.0[own..][..head.levels.len()]);
            (
                chances.collect::<Vec<f64>>(),
                other,
                conditional,
                unconditional.next(),
            )
        })
        .collect();
    let mut drafted = vec![Vec::new(); tokens.len()];
    let both: Vec<_> = tokens.into_iter().zip(&mut drafted).collect();
    let one = |((chances, other, conditional, unconditional), out): (TokenDraft, &mut Vec<u8>)| {
        *out = sample_codes(
            head,
            sampling,
            (&chances, other),
            conditional,
            unconditional,
        );
    };
    match model.pool() {
        Some(pool) => pool.each(both, one),
        None => both.into_iter().for_each(one),
    }
    Ok(drafted)
}

/// The data from which a token is sampled: a random number for each code, the codes of the
/// example's token, and the conditional and unconditional inputs of the code head.
type TokenDraft<'a> = (
    Vec<f64>,
    Option<&'a [u8]>,
    &'a mut [f32],
    Option<&'a mut [f32]>,
);

/// Samples a token's codes one after the other.
fn sample_codes(
    head: &CodeHead,
    sampling: &Sampling,
    (chances, example): (&[f64], Option<&[u8]>),
    conditional: &mut [f32],
    mut unconditional: Option<&mut [f32]>,
) -> Vec<u8> {
    let (mut row, mut other) = (Vec::new(), Vec::new());
    let mut codes = Vec::with_capacity(chances.len());
    for (at, chance) in chances.iter().enumerate() {
        head.logits(conditional, at, &mut row);
        if let Some(unconditional) = &unconditional {
            head.logits(unconditional, at, &mut other);
            for (x, unconditional) in row.iter_mut().zip(&other) {
                *x = unconditional + sampling.guidance * (*x - unconditional);
            }
        }
        if let Some(example) = example {
            bias_towards(&mut row, example[at], sampling.retrieval_strength);
        }
        let code = sample_index(&row, sampling.temperature, *chance);
        codes.push(code as u8);
        head.apply(conditional, at, code);
        if let Some(unconditional) = &mut unconditional {
            head.apply(unconditional, at, code);
        }
    }
    codes
}

/// Lowers the logit of each code value by `strength` times the value's distance from the example's
/// code.
fn bias_towards(row: &mut [f64], examples: u8, strength: f64) {
    for (code, x) in row.iter_mut().enumerate() {
        *x -= strength * code.abs_diff(usize::from(examples)) as f64;
    }
}

/// Returns the number of tokens that are still masked when the share `left` of the decoding steps
/// remains. `unknown` is the number of tokens masked at the start. The schedule is MaskGIT's cosine
/// schedule, but even the first step fixes at least one token.
fn masked_after(unknown: usize, left: f64) -> usize {
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

/// Samples an index from logits at a temperature. `chance` is a random number from 0 to 1.
fn sample_index(row: &[f64], temperature: f64, chance: f64) -> usize {
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
            .map(|step| masked_after(64, 1.0 - step as f64 / 4.0))
            .collect();
        // 64 cos(90° n / 4).
        assert_eq!(still, [59, 45, 24, 0]);
        assert_eq!((masked_after(0, 0.5), masked_after(1, 0.9)), (0, 0));
    }

    #[test]
    fn the_bias_grows_with_the_distance_to_the_retrieved_code() {
        let mut row = [0.0, 1.0, 5.0, 0.5];
        bias_towards(&mut row, 1, 3.0);
        // A confident model overrides the bias, but not at twice the strength.
        assert_eq!(row, [-3.0, 1.0, 2.0, -5.5]);
        bias_towards(&mut row, 1, 3.0);
        assert_eq!(row, [-6.0, 1.0, -1.0, -11.5]);
    }

    #[test]
    fn digits_are_drawn_by_their_probabilities_and_temperature_sharpens() {
        let mut row = [0.1f64.ln(), 0.9f64.ln()];
        log_softmax(&mut row);
        let mut rng = Rng::new(1);
        let mut share = |temperature| {
            let drawn = (0..10_000).map(|_| sample_index(&row, temperature, rng.next_f64()));
            drawn.sum::<usize>() as f64 / 10_000.0
        };
        assert!((share(1.0) - 0.9).abs() < 0.01);
        // 0.9^2 / (0.9^2 + 0.1^2) = 0.988.
        assert!((share(0.5) - 0.988).abs() < 0.005);
        assert_eq!(share(0.0), 1.0);
    }
}
