//! The table of settings, and how each kind of value is parsed.
//!
//! A new setting is one row here and one field of [`Sampling`](super::Sampling). A parser accepts
//! only values that the samplers can handle, and leaves the field unchanged otherwise.

use super::setting::{Setting, key};
use sampler::Ban;

/// Every setting, in the order in which help lists them.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "temperature",
        aliases: &["temp", "t"],
        args: "a number from 0 to 5 (0 is greedy)",
        help: "sampling temperature: lower is more predictable, higher more varied",
        off: Some("1"),
        get: |s| s.temperature.to_string(),
        set: |s, v| real(&mut s.temperature, v, 0.0, 5.0),
    },
    Setting {
        name: "top_k",
        aliases: &["k"],
        args: "a whole number, 0 or more (0 is off)",
        help: "sample from the k most likely tokens",
        off: Some("0"),
        get: |s| s.top_k.to_string(),
        set: |s, v| count(&mut s.top_k, v, 0, u32::MAX),
    },
    Setting {
        name: "min_p",
        aliases: &[],
        args: "a number from 0 to 1 (0 is off)",
        help: "drop tokens below this fraction of the most likely token's probability",
        off: Some("0"),
        get: |s| s.min_p.to_string(),
        set: |s, v| real(&mut s.min_p, v, 0.0, 1.0),
    },
    Setting {
        name: "top_p",
        aliases: &["nucleus"],
        args: "a number from 0 to 1 (1 is off)",
        help: "sample from the most likely tokens with this total probability (nucleus)",
        off: Some("1"),
        get: |s| s.top_p.to_string(),
        set: |s, v| real(&mut s.top_p, v, 0.0, 1.0),
    },
    Setting {
        name: "typical_p",
        aliases: &["typical", "typ_p"],
        args: "a number from 0 to 1 (1 is off)",
        help: "locally typical sampling: keep tokens near the expected surprise, up to this total probability",
        off: Some("1"),
        get: |s| s.typical_p.to_string(),
        set: |s, v| real(&mut s.typical_p, v, 0.0, 1.0),
    },
    Setting {
        name: "top_n_sigma",
        aliases: &["nsigma"],
        args: "a number from 0 to 100 (0 is off)",
        help: "keep logits within this many standard deviations of the highest",
        off: Some("0"),
        get: |s| s.top_n_sigma.to_string(),
        set: |s, v| real(&mut s.top_n_sigma, v, 0.0, 100.0),
    },
    Setting {
        name: "xtc_threshold",
        aliases: &["xtc_t"],
        args: "a number from 0 to 1 (above 0.5 is off)",
        help: "XTC: the probability from which a token counts as a top choice",
        off: None,
        get: |s| s.xtc_threshold.to_string(),
        set: |s, v| real(&mut s.xtc_threshold, v, 0.0, 1.0),
    },
    Setting {
        name: "xtc_probability",
        aliases: &["xtc", "xtc_p"],
        args: "a number from 0 to 1 (0 is off)",
        help: "XTC: how often to remove all top choices except the least likely",
        off: Some("0"),
        get: |s| s.xtc_probability.to_string(),
        set: |s, v| real(&mut s.xtc_probability, v, 0.0, 1.0),
    },
    Setting {
        name: "dry_multiplier",
        aliases: &["dry"],
        args: "a number from 0 to 100 (0 is off)",
        help: "DRY: strength of the penalty on verbatim repeats",
        off: Some("0"),
        get: |s| s.dry_multiplier.to_string(),
        set: |s, v| real(&mut s.dry_multiplier, v, 0.0, 100.0),
    },
    Setting {
        name: "dry_base",
        aliases: &[],
        args: "a number from 1 to 10",
        help: "DRY: growth of the penalty with each further token of a repeat",
        off: None,
        get: |s| s.dry_base.to_string(),
        set: |s, v| real(&mut s.dry_base, v, 1.0, 10.0),
    },
    Setting {
        name: "dry_allowed_length",
        aliases: &["dry_length"],
        args: "a whole number from 1 to 1000",
        help: "DRY: shortest repeat, in tokens, that is penalized",
        off: None,
        get: |s| s.dry_allowed_length.to_string(),
        set: |s, v| count(&mut s.dry_allowed_length, v, 1, 1000),
    },
    Setting {
        name: "dry_penalty_last_n",
        aliases: &["dry_range"],
        args: "a number of tokens, all or -1 for the whole context, or 0 for off",
        help: "DRY: how many tokens to look back for repeats",
        off: Some("0"),
        get: |s| s.dry_penalty_last_n.to_string(),
        set: |s, v| range(&mut s.dry_penalty_last_n, v),
    },
    Setting {
        name: "dry_sequence_breakers",
        aliases: &["dry_breakers", "breakers"],
        args: r#"a text, or a list such as ["\n", ":"]; none may be empty"#,
        help: "DRY: texts that end a repeat",
        off: Some("[]"),
        get: |s| list(&s.dry_sequence_breakers),
        set: |s, v| texts(&mut s.dry_sequence_breakers, v),
    },
    Setting {
        name: "repetition_penalty",
        aliases: &["rep_pen", "repeat_penalty"],
        args: "a number from 0.1 to 10 (1 is off)",
        help: "penalize tokens already used, by this factor",
        off: Some("1"),
        get: |s| s.repetition_penalty.to_string(),
        set: |s, v| real(&mut s.repetition_penalty, v, 0.1, 10.0),
    },
    Setting {
        name: "repetition_range",
        aliases: &["rep_pen_range", "repeat_last_n", "penalty_last_n"],
        args: "a number of tokens, all or -1 for the whole context, or 0 for off",
        help: "how many tokens the repetition, presence and frequency penalties look back",
        off: Some("0"),
        get: |s| s.repetition_range.to_string(),
        set: |s, v| range(&mut s.repetition_range, v),
    },
    Setting {
        name: "presence_penalty",
        aliases: &["pres_pen"],
        args: "a number from -10 to 10 (0 is off)",
        help: "amount subtracted once from the logit of every token already used",
        off: Some("0"),
        get: |s| s.presence_penalty.to_string(),
        set: |s, v| real(&mut s.presence_penalty, v, -10.0, 10.0),
    },
    Setting {
        name: "frequency_penalty",
        aliases: &["freq_pen"],
        args: "a number from -10 to 10 (0 is off)",
        help: "amount subtracted from a token's logit for each time it was used",
        off: Some("0"),
        get: |s| s.frequency_penalty.to_string(),
        set: |s, v| real(&mut s.frequency_penalty, v, -10.0, 10.0),
    },
    Setting {
        name: "mirostat",
        aliases: &[],
        args: "0 (off) or 2",
        help: "mirostat 2: keep the surprise of the output near a target, instead of removing tokens",
        off: Some("0"),
        get: |s| s.mirostat.to_string(),
        set: |s, v| mirostat(&mut s.mirostat, v),
    },
    Setting {
        name: "mirostat_tau",
        aliases: &["tau", "mirostat_ent"],
        args: "a number from 0 to 20",
        help: "mirostat: target surprise, in bits",
        off: None,
        get: |s| s.mirostat_tau.to_string(),
        set: |s, v| real(&mut s.mirostat_tau, v, 0.0, 20.0),
    },
    Setting {
        name: "mirostat_eta",
        aliases: &["eta", "mirostat_lr"],
        args: "a number from 0 to 1",
        help: "mirostat: learning rate",
        off: None,
        get: |s| s.mirostat_eta.to_string(),
        set: |s, v| real(&mut s.mirostat_eta, v, 0.0, 1.0),
    },
    Setting {
        name: "seed",
        aliases: &[],
        args: "a whole number, or random",
        help: "random seed; the same seed gives the same text",
        off: Some("random"),
        get: |s| {
            s.seed
                .map_or_else(|| "random".into(), |seed| seed.to_string())
        },
        set: |s, v| seed(&mut s.seed, v),
    },
    Setting {
        name: "max_tokens",
        aliases: &["tokens", "n", "n_predict", "max_new_tokens", "max_length"],
        args: "a whole number from 1 to 1000000",
        help: "maximum number of new tokens",
        off: None,
        get: |s| s.max_tokens.to_string(),
        set: |s, v| count(&mut s.max_tokens, v, 1, 1_000_000),
    },
    Setting {
        name: "stop",
        aliases: &["stops", "stop_sequences"],
        args: r#"a text, or a list such as ["THE END", "\n\n"]; none may be empty"#,
        help: "stop sequences: stop before any of these texts",
        off: Some("[]"),
        get: |s| list(&s.stop),
        set: |s, v| texts(&mut s.stop, v),
    },
    Setting {
        name: "whole_sentences",
        aliases: &["finish"],
        args: "on or off",
        help: "end on a sentence, as close to max_tokens as possible",
        off: Some("false"),
        get: |s| on_off(s.whole_sentences),
        set: |s, v| switch(&mut s.whole_sentences, v),
    },
    Setting {
        name: "heal",
        aliases: &["token_healing"],
        args: "on or off",
        help: "token healing: complete a word that you left unfinished",
        off: Some("false"),
        get: |s| on_off(s.heal),
        set: |s, v| switch(&mut s.heal, v),
    },
    Setting {
        name: "retrieve",
        aliases: &["retrieval", "recall", "semantic_recall"],
        args: "a whole number from 0 to 16 (0 is off)",
        help: "retrieve this many old passages and lore entries that are relevant to the story's end",
        off: Some("0"),
        get: |s| s.recall.to_string(),
        set: |s, v| count(&mut s.recall, v, 0, 16),
    },
    Setting {
        name: "banned_phrases",
        aliases: &["bans", "banned_tokens", "antislop"],
        args: r#"a phrase, a /regex/, or a list such as ["a testament to", "/shivers? down/"]"#,
        help: "phrases never to write; /ban adds one",
        off: Some("[]"),
        get: |s| {
            list(
                &s.banned_phrases
                    .iter()
                    .map(Ban::to_string)
                    .collect::<Vec<_>>(),
            )
        },
        set: |s, v| bans(&mut s.banned_phrases, v),
    },
];

fn on_off(on: bool) -> String {
    (if on { "on" } else { "off" }).to_string()
}

fn switch(field: &mut bool, value: &str) -> Option<()> {
    *field = match key(value).as_str() {
        "on" | "true" | "yes" | "1" => true,
        "off" | "false" | "no" | "0" => false,
        _ => return None,
    };
    Some(())
}

fn bans(field: &mut Vec<Ban>, value: &str) -> Option<()> {
    let mut phrases = Vec::new();
    texts(&mut phrases, value)?;
    let bans: Option<Vec<Ban>> = phrases.iter().map(|text| Ban::parse(text).ok()).collect();
    *field = bans?;
    Some(())
}

/// Parses a finite number in an inclusive range.
fn real(field: &mut f32, value: &str, low: f32, high: f32) -> Option<()> {
    let number: f32 = value.parse().ok()?;
    // NaN and infinity are in no range; adding zero turns -0 into 0.
    (low..=high)
        .contains(&number)
        .then(|| *field = number + 0.0)
}

fn count(field: &mut u32, value: &str, low: u32, high: u32) -> Option<()> {
    let number: u32 = value.parse().ok()?;
    (low..=high).contains(&number).then(|| *field = number)
}

fn range(field: &mut i32, value: &str) -> Option<()> {
    let number: i32 = match key(value).as_str() {
        "all" => -1,
        _ => value.parse().ok()?,
    };
    (number >= -1).then(|| *field = number)
}

fn seed(field: &mut Option<u64>, value: &str) -> Option<()> {
    *field = match key(value).as_str() {
        "random" => None,
        _ => Some(value.parse().ok()?),
    };
    Some(())
}

fn mirostat(field: &mut u8, value: &str) -> Option<()> {
    let number: u8 = value.parse().ok()?;
    matches!(number, 0 | 2).then(|| *field = number)
}

/// Parses a JSON list of strings, a JSON string, or plain text with the escapes `\n`, `\t` and
/// `\\`.
fn texts(field: &mut Vec<String>, value: &str) -> Option<()> {
    let texts: Vec<String> = match value.chars().next()? {
        '[' if value.len() > 1 => serde_json::from_str(value).ok()?,
        '"' if value.len() > 1 => vec![serde_json::from_str(value).ok()?],
        _ => vec![unescape(value)],
    };
    // An empty text would match everywhere.
    let usable = texts.iter().all(|text| !text.is_empty());
    usable.then(|| *field = texts)
}

fn list(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| quote(text)).collect();
    format!("[{}]", quoted.join(","))
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let meant = match (c, rest.as_str().as_bytes().first()) {
            ('\\', Some(b'n')) => Some('\n'),
            ('\\', Some(b't')) => Some('\t'),
            ('\\', Some(b'\\')) => Some('\\'),
            _ => None,
        };
        if meant.is_some() {
            rest.next();
        }
        plain.push(meant.unwrap_or(c));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_must_be_finite_and_in_range() {
        let mut field = 0.5;
        for value in [
            "NaN", "inf", "-inf", "1e39", "5.1", "-0.1", "", "0,8", "1 2",
        ] {
            assert_eq!(real(&mut field, value, 0.0, 5.0), None, "{value}");
        }
        assert_eq!(field, 0.5);
        assert_eq!(real(&mut field, "-0", 0.0, 5.0), Some(()));
        assert_eq!(field.to_string(), "0");
        let mut field = 1;
        for value in ["-1", "4294967296", "1.5", "0"] {
            assert_eq!(count(&mut field, value, 1, 9), None, "{value}");
        }
        let mut field = 7;
        assert_eq!(range(&mut field, "-2"), None);
        assert_eq!((range(&mut field, "all"), field), (Some(()), -1));
    }

    #[test]
    fn seed_random_unsets() {
        let mut field = Some(3);
        assert_eq!(seed(&mut field, "-1"), None);
        assert_eq!(field, Some(3));
        assert_eq!(seed(&mut field, "18446744073709551615"), Some(()));
        assert_eq!(field, Some(u64::MAX));
        assert_eq!((seed(&mut field, "Random"), field), (Some(()), None));
    }

    #[test]
    fn texts_come_bare_quoted_or_as_a_list() {
        let mut field = Vec::new();
        for (value, expected) in [
            ("THE END", vec!["THE END"]),
            (r"\n\n", vec!["\n\n"]),
            (r"a\\n\x\", vec![r"a\n\x\"]),
            ("\"", vec!["\""]),
            ("[", vec!["["]),
            (r#"" end""#, vec![" end"]),
            (r#"["\n", ":"]"#, vec!["\n", ":"]),
            ("[]", vec![]),
        ] {
            assert_eq!(texts(&mut field, value), Some(()), "{value}");
            assert_eq!(field, expected);
        }
        for value in ["", "[1]", r#"["a", ""]"#, r#""open"#, r#""""#] {
            assert_eq!(texts(&mut field, value), None, "{value}");
        }
    }
}
