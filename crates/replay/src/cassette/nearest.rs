//! Finds the recorded request most similar to a request without a recorded answer, and explains how
//! the two requests differ.

use super::question::{AskedPassage, Kind, Question};
use crate::report::Failure;
use base::hash::fnv1a;
use serde_json::Value;
use std::cmp::Reverse;
use story::diff::{DiffSpan, diff_words, format_marked};

/// The maximum number of recorded requests that are compared with a request word by word.
const FINALISTS: usize = 12;
/// The number of characters of unchanged text that are shown on each side of a change.
const AROUND: usize = 60;

/// A summary of a request, used to find similar requests quickly.
#[derive(Clone, Copy, Default)]
pub(super) struct Sketch {
    kind: Option<Kind>,
    /// A SimHash of the prompt's words (Charikar 2002). The hashes of similar texts differ in only
    /// a few bits.
    words: u64,
    /// A hash of the first requested passage's settings, without its context and seed.
    rest: u64,
    seed: u64,
}

impl Sketch {
    pub(super) fn new(question: &Question) -> Sketch {
        let prompt = question.prompt();
        let mut balance = [0i32; 64];
        let mut before = 0;
        for word in prompt.split_whitespace() {
            // Pairs of words, so that their order counts.
            let hash = fnv1a(word);
            let pair = base::hash::split_mix(hash, before);
            for bits in [base::hash::split_mix(hash, 0), pair] {
                for (bit, balance) in balance.iter_mut().enumerate() {
                    *balance += if bits >> bit & 1 == 1 { 1 } else { -1 };
                }
            }
            before = hash;
        }
        let bits = balance.iter().enumerate();
        let words = bits.fold(0, |words, (bit, balance)| {
            words | (u64::from(*balance > 0) << bit)
        });
        let first = question.requests.first();
        let rest = first.map_or(0, |asked| fnv1a(&settings_text(asked)));
        Sketch {
            kind: Some(question.kind),
            words,
            rest,
            seed: first.map_or(0, |asked| asked.seed),
        }
    }
}

/// Returns all fields of a requested passage except its context and seed, as JSON.
fn settings_text(asked: &AskedPassage) -> String {
    let without = AskedPassage {
        context: Vec::new(),
        seed: 0,
        ..asked.clone()
    };
    serde_json::to_string(&without).unwrap_or_default()
}

/// Returns the indices of the recorded requests that are most similar to `question`. The most
/// similar request comes first.
pub(super) fn finalists(question: &Question, sketches: &[Sketch]) -> Vec<usize> {
    let own = Sketch::new(question);
    let mut order: Vec<usize> = (0..sketches.len())
        .filter(|number| sketches[*number].kind == own.kind)
        .collect();
    let distance = |number: &usize| {
        let other = &sketches[*number];
        let bits = (other.words ^ own.words).count_ones();
        (
            bits,
            other.rest != own.rest,
            other.seed != own.seed,
            *number,
        )
    };
    if order.len() > FINALISTS {
        order.select_nth_unstable_by_key(FINALISTS, distance);
        order.truncate(FINALISTS);
    }
    order.sort_by_key(distance);
    order
}

/// Returns the recorded request that differs least from `question`, with its line number in the
/// cassette.
pub(super) fn nearest(
    question: &Question,
    recorded: Vec<(usize, Question)>,
) -> Option<(usize, Question)> {
    let prompt = question.prompt();
    let likeness = |(_, other): &(usize, Question)| {
        let other_prompt = other.prompt();
        let same = shared_ends(&prompt, &other_prompt);
        let changed = prompt.len().max(other_prompt.len()) - same;
        (changed, settings_changes(question, other).len())
    };
    recorded.into_iter().min_by_key(likeness)
}

/// Returns the number of bytes that two texts share at their starts, plus the number that they
/// share at their ends.
fn shared_ends(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let pairs = a.iter().zip(b);
    let start = pairs.take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[start..], &b[start..]);
    let ends = a.iter().rev().zip(b.iter().rev());
    start + ends.take_while(|(a, b)| a == b).count()
}

/// Explains that the cassette `name` has no answer to a request. `found` is the nearest recorded
/// request, with its line number.
pub(super) fn miss(name: &str, question: &Question, found: Option<(usize, Question)>) -> Failure {
    let Some((line, recorded)) = found else {
        let why =
            format!("The cassette {name} has no answer to this request, nor to a similar one.");
        return Failure {
            why,
            actual: Some(shortened(&question.prompt())),
            ..Failure::default()
        };
    };
    let (before, now) = (recorded.prompt(), question.prompt());
    let settings = settings_changes(question, &recorded);
    let mut changed: Vec<&str> = settings.iter().map(|(name, _)| name.as_str()).collect();
    let mut difference = String::new();
    if before != now {
        changed.insert(0, "the prompt");
        difference += &format!("prompt: {}\n", marked(&before, &now));
    }
    for (name, change) in &settings {
        difference += &format!("{name}: {change}\n");
    }
    if changed.is_empty() {
        changed.push("the parts or the tokens of the prompt, whose text is the same");
    }
    Failure {
        why: format!(
            "The cassette {name} has no answer to this request. The nearest recorded request (line {line}) differs in {}.",
            listed(&changed)
        ),
        difference: Some(difference.trim_end().to_string()).filter(|it| !it.is_empty()),
        ..Failure::default()
    }
}

/// Merges two texts into one, marks the changes, and shortens long unchanged parts.
fn marked(before: &str, now: &str) -> String {
    let mut spans = diff_words(before, now);
    let last = spans.len().saturating_sub(1);
    for (at, span) in spans.iter_mut().enumerate() {
        if let DiffSpan::Both(text) = span {
            *text = around(text, at > 0, at < last);
        }
    }
    format_marked(&spans)
}

/// Shortens an unchanged text to the characters next to a change. `after_change` says whether a
/// change precedes the text, and `before_change` whether a change follows it.
fn around(text: &str, after_change: bool, before_change: bool) -> String {
    let length = text.chars().count();
    let start = if after_change { AROUND } else { 0 };
    let end = if before_change { AROUND } else { 0 };
    if length <= start + end + 1 {
        return text.to_string();
    }
    let head: String = text.chars().take(start).collect();
    let tail: String = text.chars().skip(length - end).collect();
    format!("{head}…{tail}")
}

fn shortened(text: &str) -> String {
    around(text, true, true)
}

/// Returns the name of each field that differs, except the prompt, with its recorded and its new
/// value.
fn settings_changes(question: &Question, recorded: &Question) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut add = |name: &str, before: Option<&Value>, now: Option<&Value>| {
        if before != now {
            let change = format!("[-{}-]{{+{}+}}", shown(before), shown(now));
            found.push((name.to_string(), change));
        }
    };
    let counts = [recorded, question].map(|it| Value::from(it.requests.len()));
    add("number of passages", Some(&counts[0]), Some(&counts[1]));
    let models = [recorded, question].map(|it| Value::from(it.model.as_str()));
    add("model", Some(&models[0]), Some(&models[1]));
    let pairs = recorded.requests.iter().zip(&question.requests);
    let pair = pairs.into_iter().find(|(before, now)| before != now);
    let Some((before, now)) = pair else {
        return found;
    };
    let fields = |asked: &AskedPassage| match serde_json::to_value(asked) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (before, now) = (fields(before), fields(now));
    let settings = |fields: &serde_json::Map<String, Value>| match fields.get("settings") {
        Some(Value::Object(settings)) => settings.clone(),
        _ => serde_json::Map::new(),
    };
    let (settings_before, settings_now) = (settings(&before), settings(&now));
    for (before, now) in [(&settings_before, &settings_now), (&before, &now)] {
        let mut names: Vec<&String> = before.keys().chain(now.keys()).collect();
        names.sort();
        names.dedup();
        names.retain(|name| !["context", "settings"].contains(&name.as_str()));
        for name in names {
            add(name, before.get(name), now.get(name));
        }
    }
    // What the writer set comes before what follows from it.
    found.sort_by_key(|(name, _)| Reverse(settings_now.contains_key(name)));
    found
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None => "off".to_string(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => shortened(&value.to_string()),
    }
}

/// Joins the items as in a sentence: "a", "a and b", "a, b and c".
fn listed(items: &[&str]) -> String {
    match items {
        [] => String::new(),
        [only] => only.to_string(),
        [before @ .., last] => format!("{} and {last}", before.join(", ")),
    }
}
