//! Measures as promptfoo 0.123 defines them. These definitions differ from the usual ones. They are
//! needed so that the thresholds in promptfoo's files keep their meaning.

use super::{ngram_counts, shared_ngrams};
use fancy_regex::{Captures, Regex};
use std::sync::LazyLock;

/// The length in words of the longest n-grams that BLEU and GLEU count.
const ORDER: usize = 4;
/// The precision that replaces a precision of 0 in BLEU.
const SMALLEST: f64 = 1e-7;

/// Counts the words of a text, which are separated by white space.
pub fn word_count(text: &str) -> usize {
    text.split_whitespace().count()
}

/// Computes the Levenshtein distance in UTF-16 code units, which JavaScript counts as characters.
pub fn levenshtein(a: &str, b: &str) -> usize {
    let units = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
    strsim::generic_levenshtein(&Units(units(a)), &Units(units(b)))
}

struct Units(Vec<u16>);

impl<'a> IntoIterator for &'a Units {
    type Item = u16;
    type IntoIter = std::iter::Copied<std::slice::Iter<'a, u16>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().copied()
    }
}

/// Computes BLEU, from 0 to 1. Words are compared in lower case, and a precision of 0 is replaced
/// by a small number. For each n, only the reference that shares the most n-grams with the text is
/// used.
pub fn bleu<R: AsRef<str>>(text: &str, references: &[R]) -> f64 {
    let text = text.to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() {
        return 0.0;
    }
    let references: Vec<String> = references
        .iter()
        .map(|reference| reference.as_ref().to_lowercase())
        .collect();
    let references: Vec<Vec<&str>> = references.iter().map(|it| split(it)).collect();
    let logs: Vec<f64> = (1..=ORDER.min(words.len()))
        .map(|n| {
            let counts = ngram_counts(&words, n);
            let shared = references
                .iter()
                .map(|reference| shared_ngrams(&counts, &ngram_counts(reference, n)));
            let shared = shared.max().unwrap_or(0);
            let precision = shared as f64 / (words.len() + 1 - n) as f64;
            match shared {
                0 => SMALLEST.ln(),
                _ => precision.ln(),
            }
        })
        .collect();
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    brevity(words.len(), &references) * mean.exp()
}

/// Splits a text into words. As in JavaScript, an empty text is split into one empty word.
fn split(text: &str) -> Vec<&str> {
    match text.trim() {
        "" => vec![""],
        text => text.split_whitespace().collect(),
    }
}

fn brevity(len: usize, references: &[Vec<&str>]) -> f64 {
    let lengths = references.iter().map(Vec::len);
    let closest = lengths.min_by_key(|reference| (reference.abs_diff(len), *reference));
    match closest {
        Some(closest) if len <= closest => (1.0 - closest as f64 / len as f64).exp(),
        _ => 1.0,
    }
}

/// Computes GLEU, from 0 to 1 ("Google BLEU", Wu et al. 2016): the smaller of precision and recall
/// over all n-grams. If there are several references, the highest value counts.
pub fn gleu<R: AsRef<str>>(text: &str, references: &[R]) -> f64 {
    let text = text.to_lowercase();
    let words = gleu_words(&text);
    let score = |reference: &R| {
        let reference = reference.as_ref().to_lowercase();
        let others = gleu_words(&reference);
        let ngrams = |words: &[&str], n: usize| (words.len() + 1).saturating_sub(n);
        let (mut shared, mut of_text, mut of_reference) = (0, 0, 0);
        for n in 1..=ORDER {
            shared += shared_ngrams(&ngram_counts(&words, n), &ngram_counts(&others, n));
            of_text += ngrams(&words, n);
            of_reference += ngrams(&others, n);
        }
        shared as f64 / of_text.max(of_reference).max(1) as f64
    };
    references.iter().map(score).fold(0.0, f64::max)
}

/// Splits a text into words and removes the periods at their ends. Returns no words if the text
/// contains nothing but periods and white space.
fn gleu_words(text: &str) -> Vec<&str> {
    let words = text.split_whitespace().map(|it| it.trim_end_matches('.'));
    let words: Vec<&str> = words.collect();
    match words.iter().all(|word| word.is_empty()) {
        true => Vec::new(),
        false => words,
    }
}

/// Computes the F-measure of ROUGE-1, from 0 to 1. Both texts are converted to lower case and split
/// into tokens as in the Penn Treebank.
pub fn rouge_n(text: &str, reference: &str) -> f64 {
    let (text, reference) = (
        treebank_tokens(&text.to_lowercase()),
        treebank_tokens(&reference.to_lowercase()),
    );
    let text: Vec<&str> = text.iter().map(String::as_str).collect();
    let reference: Vec<&str> = reference.iter().map(String::as_str).collect();
    let shared = shared_ngrams(&ngram_counts(&text, 1), &ngram_counts(&reference, 1));
    match shared {
        0 => 0.0,
        shared => {
            let precision = shared as f64 / text.len() as f64;
            let recall = shared as f64 / reference.len() as f64;
            2.0 * precision * recall / (precision + recall)
        }
    }
}

/// Patterns and their replacements, which put spaces around punctuation. They are applied in the
/// order listed. The last two put a space at the start and at the end of the text.
const PUNCTUATION: &[(&str, &str)] = &[
    (r"\.{3}", " ... "),
    (r"[:,](?!\p{Nd})", " ${0} "),
    (r"[;@#$%&]", " ${0} "),
    (
        r"([^.])(?<!\b[A-Za-z]\.[A-Za-z])(\.)([\])}>'\s]*)$",
        "${1} ${2}${3} ",
    ),
    (r"[?!]", " ${0} "),
    (r"[\]\[(){}<>]", " ${0} "),
    (r"--", " -- "),
    (r"^", " "),
    (r"$", " "),
];

/// Patterns and their replacements, which split contractions into two tokens.
const CONTRACTIONS: &[(&str, &str)] = &[
    (r"([^'])' ", "${1} ' "),
    (r"'([sSmMdD]) ", " '${1} "),
    (r"('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", " ${1} "),
    (r"(?i)(?<!\w)(can)(not)(?!\w)", " ${1} ${2} "),
    (r"(?i)(?<!\w)(d)('ye)(?!\w)", " ${1} ${2} "),
    (r"(?i)(?<!\w)(gim)(me)(?!\w)", " ${1} ${2} "),
    (r"(?i)(?<!\w)(gon)(na)(?!\w)", " ${1} ${2} "),
    (r"(?i)(?<!\w)(got)(ta)(?!\w)", " ${1} ${2} "),
    (r"(?i)(?<!\w)(lem)(me)(?!\w)", " ${1} ${2} "),
    (r"(?i)(?<!\w)(more)('n)(?!\w)", " ${1} ${2} "),
    (r"(?i)(?<!\w)(wan)(na)(?= )(?!\w)", " ${1} ${2} "),
    (r"(?i)(?<!\w)('t)(is)(?!\w)", " ${1} ${2} "),
    (r"(?i)(?<!\w)('t)(was)(?!\w)", " ${1} ${2} "),
];

/// A pattern, and the replacement for each match.
type Rule = (Regex, &'static str);

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let rules = PUNCTUATION.iter().chain(CONTRACTIONS);
    rules
        .filter_map(|(pattern, put)| Some((Regex::new(pattern).ok()?, *put)))
        .collect()
});

static QUOTES: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"``|''|""#).ok());
static OPENS_AFTER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[\s\p{P}<]$").ok());
static BRACKET_BEFORE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[\s\p{Ps}<]$").ok());
static WORD_AFTER: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[\p{L}\p{N}\p{Sc}\p{Ps}]").ok());

/// Splits a text into tokens in the same way as js-rouge's `treeBankTokenize`, which promptfoo
/// uses.
fn treebank_tokens(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut text = directed_quotes(&words.join(" "));
    for (pattern, put) in RULES.iter() {
        let replaced = pattern.try_replacen(&text, 0, *put);
        // A pattern that takes too long changes nothing.
        if let Ok(replaced) = replaced {
            text = replaced.into_owned();
        }
    }
    text.split(' ')
        .filter(|token| !token.is_empty())
        .map(str::to_string)
        .collect()
}

/// Replaces each opening quotation mark with two backticks, and each closing one with two
/// apostrophes.
fn directed_quotes(text: &str) -> String {
    let Some(quotes) = QUOTES.as_ref() else {
        return text.to_string();
    };
    let mut inside = false;
    let directed = quotes.try_replacen(text, 0, |found: &Captures<str>| {
        let (quote, at) = found
            .get(0)
            .map_or(("", 0), |found| (found.as_str(), found.start()));
        inside = opens(text, quote, at, inside);
        match inside {
            true => " `` ",
            false => " '' ",
        }
    });
    directed.map_or_else(|_| text.to_string(), std::borrow::Cow::into_owned)
}

/// Whether the quotation mark `quote` at byte `at` of the text opens a quotation. `inside` says
/// whether an earlier quotation is still open.
fn opens(text: &str, quote: &str, at: usize, inside: bool) -> bool {
    if quote == "``" {
        return true;
    }
    let matches = |regex: &LazyLock<Option<Regex>>, text: &str| {
        let regex = regex.as_ref();
        regex.is_some_and(|regex| regex.is_match(text).unwrap_or(false))
    };
    let (before, after) = (&text[..at], &text[at + quote.len()..]);
    let bounded = !after.is_empty() || at == 0 || matches(&BRACKET_BEFORE, before);
    let opening = at == 0 || before.ends_with("``") || matches(&OPENS_AFTER, before);
    let ended = before.ends_with(['.', '!', '?']);
    let paired = || {
        let next = ["``", "''", "\""].into_iter();
        let next = next.filter_map(|quote| Some((after.find(quote)?, quote)));
        let next = next.min_by_key(|(at, _)| *at);
        at > 0 && matches(&WORD_AFTER, after) && next.is_some_and(|(_, quote)| quote == "''")
    };
    bounded && !inside && opening && !ended && (quote == "\"" || paired())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_valid() {
        assert_eq!(RULES.len(), PUNCTUATION.len() + CONTRACTIONS.len());
        for pattern in [&QUOTES, &OPENS_AFTER, &BRACKET_BEFORE, &WORD_AFTER] {
            assert!(pattern.is_some());
        }
    }

    #[test]
    fn words_are_split_as_in_the_treebank() {
        for (text, tokens) in [
            ("don't stop.", "do n't stop ."),
            ("the keeper's \"lamp\"", "the keeper 's `` lamp ''"),
            (
                "it cost 3,5 at 12:30, they said",
                "it cost 3,5 at 12:30 , they said",
            ),
            ("i cannot (yet) go...", "i can not ( yet ) go ..."),
        ] {
            assert_eq!(treebank_tokens(text).join(" "), tokens);
        }
    }

    #[test]
    fn a_pair_of_surrogates_counts_twice() {
        assert_eq!(levenshtein("a😀", "a"), 2);
        assert_eq!(word_count(" one-two\tthree "), 2);
    }
}
