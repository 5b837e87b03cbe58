//! BLEU of one sentence, computed like sacrebleu's `sentence_bleu` with the tokenizer `13a`,
//! exponential smoothing and effective order (Post 2018, "A call for clarity in reporting BLEU
//! scores"; Papineni et al. 2002).

use super::{ngram_counts, shared_ngrams};
use std::collections::HashMap;

/// The length in tokens of the longest n-grams that BLEU compares.
const ORDER: usize = 4;

/// The BLEU score, from 0 to 100, of a text with one or more references.
pub fn bleu<R: AsRef<str>>(text: &str, references: &[R]) -> f64 {
    let tokens = tokenize(text.trim_end());
    let references = references.iter();
    let references: Vec<String> = references
        .map(|reference| tokenize(reference.as_ref().trim_end()))
        .collect();
    let tokens: Vec<&str> = tokens.split_whitespace().collect();
    let references: Vec<Vec<&str>> = references
        .iter()
        .map(|reference| reference.split_whitespace().collect())
        .collect();
    let matched: Vec<(usize, usize)> = (1..=ORDER)
        .map(|n| (matches(&tokens, &references, n), ngrams(&tokens, n)))
        .collect();
    if matched.iter().all(|(correct, _)| *correct == 0) {
        return 0.0;
    }
    brevity(tokens.len(), &references) * mean_precision(&matched)
}

fn ngrams(tokens: &[&str], n: usize) -> usize {
    (tokens.len() + 1).saturating_sub(n)
}

/// Counts the n-grams of the text that occur in the references. An n-gram counts at most as often
/// as it occurs in any single reference.
fn matches(tokens: &[&str], references: &[Vec<&str>], n: usize) -> usize {
    let mut most: HashMap<&[&str], usize> = HashMap::new();
    for reference in references {
        for (ngram, count) in ngram_counts(reference, n) {
            let known = most.entry(ngram).or_default();
            *known = count.max(*known);
        }
    }
    shared_ngrams(&ngram_counts(tokens, n), &most)
}

/// The brevity penalty: a factor that lowers the score of a text of `len` tokens if it is shorter
/// than the reference closest in length; otherwise 1.
fn brevity(len: usize, references: &[Vec<&str>]) -> f64 {
    let lengths = references.iter().map(Vec::len);
    let closest = lengths.min_by_key(|reference| (reference.abs_diff(len), *reference));
    match closest {
        Some(closest) if len < closest => (1.0 - closest as f64 / len as f64).exp(),
        _ => 1.0,
    }
}

/// The geometric mean of the n-gram precisions, in percent. `matched` contains, for each n, the
/// number of matching n-grams and the number of all n-grams. Values of n without any n-grams are
/// left out.
fn mean_precision(matched: &[(usize, usize)]) -> f64 {
    let mut smoothing = 1.0;
    let mut logs = Vec::new();
    for (correct, total) in matched.iter().take_while(|(_, total)| *total > 0) {
        let total = *total as f64;
        let precision = match correct {
            0 => {
                smoothing *= 2.0;
                100.0 / (smoothing * total)
            }
            correct => 100.0 * *correct as f64 / total,
        };
        logs.push(precision.ln());
    }
    (logs.iter().sum::<f64>() / logs.len().max(1) as f64).exp()
}

/// Tokenizes a text as mteval-v13a does. Returns the tokens separated by spaces.
fn tokenize(line: &str) -> String {
    let mut line = line
        .replace("<skipped>", "")
        .replace("-\n", "")
        .replace('\n', " ");
    for (entity, character) in [
        ("&quot;", "\""),
        ("&amp;", "&"),
        ("&lt;", "<"),
        ("&gt;", ">"),
    ] {
        line = line.replace(entity, character);
    }
    let line: Vec<char> = format!(" {line} ").chars().collect();
    let line = spaced(&line, is_symbol);
    let line = around_points(&line, false);
    let line = around_points(&line, true);
    after_digits(&line).into_iter().collect()
}

fn is_symbol(c: char) -> bool {
    matches!(c, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/')
}

/// Puts a space before and after each character for which `symbol` is true.
fn spaced(line: &[char], symbol: fn(char) -> bool) -> Vec<char> {
    let spaced = line.iter().flat_map(|c| match symbol(*c) {
        true => vec![' ', *c, ' '],
        false => vec![*c],
    });
    spaced.collect()
}

/// Separates full stops and commas from a neighbouring character that is not a digit. If `before`
/// is set, the full stop or comma comes before that character; otherwise, it comes after.
fn around_points(line: &[char], before: bool) -> Vec<char> {
    let point = |c: char| matches!(c, '.' | ',');
    let mut out = Vec::new();
    let mut at = 0;
    while at < line.len() {
        let next = line.get(at + 1).copied();
        let pair = match (before, next) {
            (false, Some(next)) => !line[at].is_ascii_digit() && point(next),
            (true, Some(next)) => point(line[at]) && !next.is_ascii_digit(),
            (_, None) => false,
        };
        match (pair, next) {
            // As in Python's re.sub, a match does not overlap the one before it.
            (true, Some(next)) if before => out.extend([' ', line[at], ' ', next]),
            (true, Some(next)) => out.extend([line[at], ' ', next, ' ']),
            _ => out.push(line[at]),
        }
        at += 1 + usize::from(pair);
    }
    out
}

/// Puts a space before and after each hyphen that follows a digit.
fn after_digits(line: &[char]) -> Vec<char> {
    let mut out = Vec::new();
    for (at, c) in line.iter().enumerate() {
        let dash = *c == '-' && at > 0 && line[at - 1].is_ascii_digit();
        match dash {
            true => out.extend([' ', '-', ' ']),
            false => out.push(*c),
        }
    }
    out
}
