//! Scores a passage that was written earlier, if the server reports the probabilities of a prompt:
//! the prompt is then the text before the passage together with the passage.

use super::Remote;
use super::alternatives::after;
use super::asking::Wish;
use crate::engine::backend::{Failure, Listener};
use crate::engine::text::build;
use base::untrusted::clean;
use remote::{EchoedToken, Kind, Prompt, Turn, ask_echo, decode_echo};
use sampler::Sampling;
use story::message::{PassageScore, TextRequest, TokenScore, WrittenPassage};

/// The number of likely tokens to request for each position; some servers refuse more.
const MOST: usize = 20;

/// How likely the model finds the tokens of a passage; None if stopped.
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

/// The prompt with the passage at its end. In a conversation, the passage is a message that the
/// model has begun, so that the template does not end it.
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

/// The scores of the last tokens, which spell the passage; None if they do not.
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

/// Whether the samplers could choose the token, as far as the most likely tokens tell. Penalties are
/// not known: they need the tokens of the story, which only the server has. So if a setting penalizes
/// tokens, a token that seems to be excluded may be admissible, because the penalty fell on those that
/// are likelier.
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

/// The most likely token, if it is another one.
fn likelier(token: &EchoedToken) -> Option<String> {
    let first = token.likely.first()?;
    (first.text != token.text).then(|| clean(&first.text).into_owned())
}
