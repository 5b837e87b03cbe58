//! Scores a passage that was written earlier. This needs a server that reports the probabilities of
//! a prompt's tokens: the text before the passage and the passage itself are sent as the prompt.

use super::Remote;
use super::alternatives::after;
use super::asking::Wish;
use crate::engine::backend::{Failure, Listener};
use crate::engine::text::build;
use base::untrusted::clean;
use remote::{EchoedToken, Kind, Prompt, Turn, ask_echo, decode_echo};
use sampler::Sampling;
use story::message::{PassageScore, TextRequest, TokenScore, WrittenPassage};

/// The number of most likely tokens to request for each position. Some servers refuse larger
/// numbers.
const MOST: usize = 20;

/// Scores the tokens of a passage: how likely each is for the model, and whether the samplers could
/// choose it. Returns None if stopped.
pub fn score(
    remote: &Remote,
    request: &TextRequest,
    passage: &WrittenPassage,
    slack: f64,
    listener: &dyn Listener,
) -> Result<Option<PassageScore>, Failure> {
    let flavour = remote.flavour();
    if !flavour.echoes() {
        return Err(Failure::engine(format!(
            "{} cannot compute the probabilities of a text that is already written; use vLLM or a local model, or play the cassette with --cassette",
            flavour.name()
        )));
    }
    let fitted = build(remote, request)?;
    let space = if fitted.space_is_there { " " } else { "" };
    let wish = Wish {
        prompt: with_passage(fitted.prompt, &format!("{space}{}", passage.text)),
        seed: request.seed,
        most: 1,
        likely: MOST,
        bias: Vec::new(),
        choices: 1,
        stream: false,
    };
    let mut call = remote.call(request, wish);
    ask_echo(&mut call.body, MOST);
    let stopped = || listener.is_cancelled();
    let answer = match remote.client.post(call.path, &call.body, &stopped) {
        Ok(answer) => answer,
        Err(error) if error.kind == Kind::Stopped => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let tokens = decode_echo(&answer).ok_or_else(|| remote.client.error(Kind::Garbage))?;
    let scored = of_passage(&tokens, request, passage, slack);
    let scored = scored.ok_or_else(|| {
        Failure::engine("The server splits the recorded text into tokens that do not spell it")
    })?;
    Ok(Some(scored))
}

/// The prompt with the passage at its end. In a conversation, the passage becomes an unfinished
/// message of the model, so that the template does not close it.
fn with_passage(prompt: Prompt, passage: &str) -> Prompt {
    match prompt {
        Prompt::Text(text) => Prompt::Text(text + passage),
        Prompt::Turns { mut turns, open } => {
            match turns.last_mut().filter(|_| open) {
                Some(last) => last.text += passage,
                None => turns.push(Turn {
                    role: "assistant",
                    text: passage.to_string(),
                }),
            }
            Prompt::Turns { turns, open: true }
        }
    }
}

/// Returns the scores of the last tokens of the prompt, which should spell the passage; None if
/// they do not.
fn of_passage(
    tokens: &[EchoedToken],
    request: &TextRequest,
    passage: &WrittenPassage,
    slack: f64,
) -> Option<PassageScore> {
    let wanted = passage.text.as_str();
    let mut first = tokens.len();
    let mut spelled = String::new();
    while spelled.len() < wanted.len() {
        first = first.checked_sub(1)?;
        spelled.insert_str(0, &tokens[first].text);
    }
    if !spelled.ends_with(wanted) {
        return None;
    }
    let scores = tokens[first..].iter().map(|token| TokenScore {
        bytes: token.text.len(),
        log_probability: token.log_probability.unwrap_or_default(),
        admissible: admissible(token, request, slack).filter(|_| !passage.rewound),
        likelier: likelier(token),
    });
    Some(PassageScore {
        prompt_tokens: 0,
        lead: spelled.len() - wanted.len(),
        tokens: scores.collect(),
        end: None,
    })
}

/// Whether the samplers could choose the token, judged by the most likely tokens; None if this
/// cannot be decided. Penalties are ignored: they depend on the tokens of the story, which only the
/// server has.
fn admissible(token: &EchoedToken, request: &TextRequest, slack: f64) -> Option<bool> {
    let found = unpenalized(token, request, slack)?;
    (found || !penalizes(&request.sampling)).then_some(found)
}

/// Whether the settings make some tokens less likely because they occurred before.
fn penalizes(sampling: &Sampling) -> bool {
    let repeats = sampling.repetition_penalty != 1.0 || sampling.dry_multiplier > 0.0;
    repeats || sampling.presence_penalty != 0.0 || sampling.frequency_penalty != 0.0
}

/// Whether the samplers could choose the token if no token were penalized.
fn unpenalized(token: &EchoedToken, request: &TextRequest, slack: f64) -> Option<bool> {
    let own = token.log_probability? + slack;
    let mut likely = token.likely.clone();
    let sampling = &request.sampling;
    let highest = likely.first()?.log_probability;
    match likely.iter_mut().find(|one| one.text == token.text) {
        Some(found) => {
            found.log_probability = own;
            let shares = after(sampling, request.seed, &likely);
            let place = likely.iter().position(|one| one.text == token.text)?;
            shares.get(place).map(|share| *share > 0.0)
        }
        // All that is known is that it is less likely than these.
        None if is_below_min_p(sampling, own - highest) => Some(false),
        None => None,
    }
}

fn is_below_min_p(sampling: &Sampling, below: f64) -> bool {
    let cuts = sampling.mirostat != 2 && sampling.min_p > 0.0;
    cuts && below < f64::from(sampling.min_p).ln()
}

/// The text of the most likely token at the position of `token`; None if `token` itself is the most
/// likely.
fn likelier(token: &EchoedToken) -> Option<String> {
    let first = token.likely.first()?;
    (first.text != token.text).then(|| clean(&first.text).into_owned())
}
