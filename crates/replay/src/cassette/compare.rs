//! Compares the log-probabilities that a model computes for a recorded passage with the recorded
//! ones.

use super::RecordedScore;
use crate::report::{Failure, Verified};
use story::message::{PassageScore, TokenScore, WrittenPassage};

/// The maximum number of tokens listed in the explanation of a failure.
const LISTED: usize = 8;

/// How well a model's log-probabilities agree with the recorded ones.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Agreement {
    /// The number of tokens whose log-probabilities were compared.
    pub compared: usize,
    /// The number of tokens that were only checked for admissibility, because no log-probability
    /// was recorded for them.
    pub unscored: usize,
    /// The sum of the absolute differences between the log-probabilities.
    pub sum: f64,
    /// The largest absolute difference for a single token.
    pub most: f64,
    /// The largest tolerance that was used for the difference of a single token.
    pub tolerance: f64,
}

/// The mean difference of a passage is checked only if at least this many tokens were compared.
const MANY: usize = 16;
/// The maximum mean difference, as a fraction of the tolerance for a single token.
const MEAN: f64 = 0.25;

impl Agreement {
    pub fn add(&mut self, other: Agreement) {
        self.compared += other.compared;
        self.unscored += other.unscored;
        self.sum += other.sum;
        self.most = self.most.max(other.most);
        self.tolerance = self.tolerance.max(other.tolerance);
    }

    /// The mean of the absolute differences between the log-probabilities.
    pub fn mean(&self) -> f64 {
        self.sum / self.compared.max(1) as f64
    }

    /// Converts the agreement to the form used in reports.
    pub fn report(&self) -> Verified {
        // As many digits as a cassette has.
        let rounded = |number: f64| (number * 1e5).round() / 1e5;
        Verified {
            tokens: self.compared,
            unscored: self.unscored,
            mean_difference: rounded(self.mean()),
            largest_difference: rounded(self.most),
            tolerance: self.tolerance,
        }
    }
}

/// One or more adjacent tokens of the new score, ending where a recorded token ends too.
struct Span {
    /// The number of the span's last token, counted from 1.
    number: usize,
    tokens: usize,
    text: String,
    before: Option<f64>,
    now: f64,
    admissible: bool,
    likelier: Option<String>,
}

/// Compares the recorded and the new log-probabilities of a passage's tokens. Returns a failure if
/// a token is not admissible, if a token's log-probability differs by more than the tolerance, or
/// if the mean difference is too large.
pub fn compare(
    passage: &WrittenPassage,
    recorded: Option<&RecordedScore>,
    now: &PassageScore,
    tolerance: f64,
) -> (Agreement, Option<Failure>) {
    let mut spans = spans(passage, recorded, now);
    if let Some(end) = &now.end {
        let before = recorded.and_then(|score| score.end);
        let number = now.tokens.len() + 1;
        let text = "(the end)".to_string();
        spans.push(Span {
            before,
            ..Span::one(number, text, end)
        });
    }
    let mut agreement = Agreement {
        tolerance,
        ..Agreement::default()
    };
    let mut worst = None;
    for span in &spans {
        match span.before {
            None => agreement.unscored += span.tokens,
            Some(_) => {
                agreement.compared += span.tokens;
                agreement.sum += span.difference();
                agreement.most = agreement.most.max(span.difference() / span.tokens as f64);
            }
        }
        if worst.is_none() && !span.agrees(tolerance) {
            worst = Some(span);
        }
    }
    let why = match worst {
        Some(span) => explanation(span, recorded, now, tolerance),
        None if agreement.compared >= MANY && agreement.mean() > tolerance * MEAN => format!(
            "The log-probabilities of the {} tokens differ by {:.4} on average from the recorded ones; the tolerance for the average is {}.",
            agreement.compared,
            agreement.mean(),
            tolerance * MEAN
        ),
        None => return (agreement, None),
    };
    let failure = Failure {
        why,
        expected: Some(passage.text.clone()),
        // If only the average is too large, all differences are listed.
        difference: Some(table(&spans, if worst.is_some() { tolerance } else { 0.0 })),
        ..Failure::default()
    };
    (agreement, Some(failure))
}

impl Span {
    fn one(number: usize, text: String, token: &TokenScore) -> Span {
        Span {
            number,
            tokens: 1,
            text,
            before: None,
            now: token.log_probability,
            admissible: token.admissible != Some(false),
            likelier: token.likelier.clone(),
        }
    }

    fn difference(&self) -> f64 {
        let before = self.before.unwrap_or(self.now);
        match before == self.now {
            // Two infinities are equal.
            true => 0.0,
            false => (before - self.now).abs(),
        }
    }

    fn agrees(&self, tolerance: f64) -> bool {
        self.admissible && self.difference() <= tolerance * self.tokens as f64
    }
}

/// Returns the spans between the places where both a recorded token and a new token end.
fn spans(
    passage: &WrittenPassage,
    recorded: Option<&RecordedScore>,
    now: &PassageScore,
) -> Vec<Span> {
    let lengths = now.tokens.iter().map(|token| token.bytes);
    let ends_now = ends(lengths, now.lead);
    let (ends_before, lead) = match recorded {
        Some(score) => {
            let lengths = score.tokens.iter().map(|(bytes, _)| *bytes);
            (ends(lengths, score.lead), score.lead)
        }
        None => (Vec::new(), 0),
    };
    let mut found = Vec::new();
    let (mut number, mut start) = (0, before_passage(now.lead));
    let mut before = 0;
    // The sums since the last common end. The tokens before the first one cannot be paired if they
    // start at different places.
    let mut paired = recorded.is_some() && lead == now.lead;
    let (mut sum_before, mut span) = (0.0, None::<Span>);
    while let Some((token, end)) = now.tokens.get(number).zip(ends_now.get(number)) {
        number += 1;
        let own = text_between(passage, start, *end);
        let one = Span::one(number, own.clone(), token);
        start = *end;
        let joined = match span.take() {
            None => one,
            Some(last) => last.joined(one),
        };
        while ends_before.get(before).is_some_and(|other| other <= end) {
            let recorded = recorded.and_then(|score| score.tokens.get(before));
            sum_before += recorded.map_or(0.0, |(_, value)| *value);
            before += 1;
        }
        let common = before > 0 && ends_before.get(before - 1) == Some(end);
        match common || recorded.is_none() {
            true => {
                found.push(Span {
                    before: paired.then_some(sum_before),
                    ..joined
                });
                paired = recorded.is_some();
                sum_before = 0.0;
            }
            false => {
                // The token is named on its own, not only as a part of the span.
                if token.admissible == Some(false) {
                    found.push(Span::one(number, own, token));
                }
                span = Some(Span {
                    admissible: true,
                    ..joined
                });
            }
        }
    }
    found.extend(span);
    found
}

impl Span {
    fn joined(self, next: Span) -> Span {
        Span {
            number: next.number,
            tokens: self.tokens + 1,
            text: self.text + &next.text,
            before: None,
            now: self.now + next.now,
            admissible: self.admissible && next.admissible,
            likelier: self.likelier.or(next.likelier),
        }
    }
}

/// Returns the positions where the tokens' texts end, in bytes from the start of the passage.
/// `lead` is the number of bytes at the start of the first token that belong to the text before the
/// passage.
fn ends(lengths: impl Iterator<Item = usize>, lead: usize) -> Vec<i64> {
    let mut end = before_passage(lead);
    let ends = lengths.map(|bytes| {
        end = end.saturating_add_unsigned(bytes as u64);
        end
    });
    ends.collect()
}

/// Returns the position that lies `lead` bytes before the start of the passage.
fn before_passage(lead: usize) -> i64 {
    i64::try_from(lead).map_or(i64::MIN, |lead| -lead)
}

fn text_between(passage: &WrittenPassage, from: i64, to: i64) -> String {
    let at = |place: i64| (place.max(0) as usize).min(passage.text.len());
    let bytes = passage.text.as_bytes().get(at(from)..at(to));
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

fn explanation(
    span: &Span,
    recorded: Option<&RecordedScore>,
    now: &PassageScore,
    tolerance: f64,
) -> String {
    let likelier = match &span.likelier {
        Some(text) => format!(" The likeliest token here is {text:?}."),
        None => String::new(),
    };
    let (number, text) = (span.number, &span.text);
    let mut why = match span.before {
        _ if !span.admissible => format!(
            "Token {number} of the passage, {text:?}, is not admissible: the settings of the request exclude it (its log-probability is {:.4}).{likelier}",
            span.now
        ),
        before => format!(
            "Token {number} of the passage, {text:?}, has the log-probability {:.4}, but {:.4} was recorded; the tolerance is {tolerance}.{likelier}",
            span.now,
            before.unwrap_or_default()
        ),
    };
    let tokens = recorded.map_or(0, |score| score.prompt_tokens);
    if tokens > 0 && now.prompt_tokens > 0 && tokens != now.prompt_tokens {
        why += &format!(
            " The prompt has {} tokens, but had {tokens} when it was recorded: the chat template or the tokenizer has changed.",
            now.prompt_tokens
        );
    }
    why
}

/// Returns a table of the tokens that disagree, with the recorded and the new log-probability of
/// each.
fn table(spans: &[Span], tolerance: f64) -> String {
    let wrong: Vec<&Span> = spans.iter().filter(|it| !it.agrees(tolerance)).collect();
    let mut text = format!("{:>5}  {:>9}  {:>9}  text\n", "token", "recorded", "now");
    for span in wrong.iter().take(LISTED) {
        let before = span.before.map_or("-".to_string(), |it| format!("{it:.4}"));
        let note = if span.admissible {
            ""
        } else {
            "  (not admissible)"
        };
        text += &format!(
            "{:>5}  {before:>9}  {:>9.4}  {:?}{note}\n",
            span.number, span.now, span.text
        );
    }
    let more = wrong.len().saturating_sub(LISTED);
    match more {
        0 => text.trim_end().to_string(),
        more => format!("{text}and {more} more of {} tokens", spans.len()),
    }
}
