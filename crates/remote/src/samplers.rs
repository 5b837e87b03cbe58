//! The sampling settings under each flavour's names.
//!
//! Every setting that a flavour takes is always sent; otherwise a server would silently use its own
//! default, such as a repetition penalty of 1.1.

use super::flavour::{Flavour, Protocol};
use sampler::Sampling;
use serde_json::{Map, Value, json};

/// A setting, and its name in requests.
type Row = (&'static str, &'static str);

/// Settings that nearly every server takes.
const COMMON: [Row; 4] = [
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
];

const LLAMA: &[Row] = &[
    ("top_k", "top_k"),
    ("min_p", "min_p"),
    ("typical_p", "typical_p"),
    ("top_n_sigma", "top_n_sigma"),
    ("xtc_probability", "xtc_probability"),
    ("xtc_threshold", "xtc_threshold"),
    ("dry_multiplier", "dry_multiplier"),
    ("dry_base", "dry_base"),
    ("dry_allowed_length", "dry_allowed_length"),
    ("dry_penalty_last_n", "dry_penalty_last_n"),
    ("dry_sequence_breakers", "dry_sequence_breakers"),
    ("repetition_penalty", "repeat_penalty"),
    ("repetition_range", "repeat_last_n"),
    ("mirostat", "mirostat"),
    ("mirostat_tau", "mirostat_tau"),
    ("mirostat_eta", "mirostat_eta"),
];

const LLAMA_CPP_PYTHON: &[Row] = &[
    ("top_k", "top_k"),
    ("min_p", "min_p"),
    ("repetition_penalty", "repeat_penalty"),
    ("mirostat", "mirostat_mode"),
    ("mirostat_tau", "mirostat_tau"),
    ("mirostat_eta", "mirostat_eta"),
];

const VLLM: &[Row] = &[
    ("top_k", "top_k"),
    ("min_p", "min_p"),
    ("repetition_penalty", "repetition_penalty"),
];

const OLLAMA: &[Row] = &[
    ("top_k", "top_k"),
    ("min_p", "min_p"),
    ("typical_p", "typical_p"),
    ("repetition_penalty", "repeat_penalty"),
    ("repetition_range", "repeat_last_n"),
    ("mirostat", "mirostat"),
    ("mirostat_tau", "mirostat_tau"),
    ("mirostat_eta", "mirostat_eta"),
];

const KOBOLD: &[Row] = &[
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("presence_penalty", "presence_penalty"),
    ("top_k", "top_k"),
    ("min_p", "min_p"),
    ("typical_p", "typical"),
    ("top_n_sigma", "nsigma"),
    ("xtc_probability", "xtc_probability"),
    ("xtc_threshold", "xtc_threshold"),
    ("dry_multiplier", "dry_multiplier"),
    ("dry_base", "dry_base"),
    ("dry_allowed_length", "dry_allowed_length"),
    ("dry_penalty_last_n", "dry_penalty_last_n"),
    ("dry_sequence_breakers", "dry_sequence_breakers"),
    ("repetition_penalty", "rep_pen"),
    ("repetition_range", "rep_pen_range"),
    ("mirostat", "mirostat"),
    ("mirostat_tau", "mirostat_tau"),
    ("mirostat_eta", "mirostat_eta"),
];

const LM_STUDIO: &[Row] = &[
    ("top_k", "top_k"),
    ("min_p", "min_p"),
    ("repetition_penalty", "repeat_penalty"),
];

const OPEN_ROUTER: &[Row] = VLLM;

/// The settings that a flavour takes: the common ones, and its own.
fn rows(flavour: Flavour) -> impl Iterator<Item = &'static Row> {
    let (common, own): (&[Row], &[Row]) = match flavour {
        Flavour::LlamaServer => (&COMMON, LLAMA),
        Flavour::LlamaCppPython => (&COMMON, LLAMA_CPP_PYTHON),
        Flavour::Vllm | Flavour::Sglang => (&COMMON, VLLM),
        // This server refuses unknown fields.
        Flavour::TransformersServe => (&COMMON[..2], &[]),
        Flavour::Ollama => (&COMMON, OLLAMA),
        Flavour::KoboldCpp => (&[], KOBOLD),
        Flavour::LmStudio => (&COMMON, LM_STUDIO),
        Flavour::OpenRouter => (&COMMON, OPEN_ROUTER),
        Flavour::Anthropic => (&COMMON[..2], &[("top_k", "top_k")]),
        Flavour::LiteLlm | Flavour::OpenAi | Flavour::Compatible => (&COMMON, &[]),
    };
    common.iter().chain(own)
}

/// The sampling fields of a request.
pub(crate) fn fields(
    flavour: Flavour,
    protocol: Protocol,
    sampling: &Sampling,
    seed: u64,
) -> Map<String, Value> {
    let mut fields = Map::new();
    for (setting, name) in rows(flavour) {
        if let Some(value) = wire_value(flavour, setting, sampling) {
            fields.insert(name.to_string(), value);
        }
    }
    if protocol == Protocol::LlamaText {
        let order = [
            "penalties",
            "dry",
            "top_n_sigma",
            "top_k",
            "typ_p",
            "top_p",
            "min_p",
            "xtc",
            "temperature",
        ];
        fields.insert("samplers".into(), json!(order));
    }
    if protocol == Protocol::KoboldText {
        // Penalties, top-k, top-a, typical, tail-free, top-p and min-p, temperature.
        fields.insert("sampler_order".into(), json!([6, 0, 1, 4, 3, 2, 5]));
        fields.insert("tfs".into(), json!(1));
        fields.insert("top_a".into(), json!(0));
        fields.insert("sampler_seed".into(), json!(seed % 999_999 + 1));
    } else if protocol != Protocol::AnthropicChat {
        // Servers store a seed in 32 bits, and some take the highest value to mean "random".
        fields.insert("seed".into(), json!(seed & 0x7fff_ffff));
    }
    fields
}

/// The settings that would have an effect but that the flavour does not support.
pub fn ignored(flavour: Flavour, sampling: &Sampling) -> Vec<&'static str> {
    let heads: [(&'static str, bool); 11] = [
        ("top_k", sampling.top_k > 0),
        ("top_p", sampling.top_p < 1.0),
        ("min_p", sampling.min_p > 0.0),
        ("typical_p", sampling.typical_p < 1.0),
        ("top_n_sigma", sampling.top_n_sigma > 0.0),
        (
            "xtc_probability",
            sampling.xtc_probability > 0.0 && sampling.xtc_threshold <= 0.5,
        ),
        ("dry_multiplier", sampling.dry_multiplier > 0.0),
        ("repetition_penalty", sampling.repetition_penalty != 1.0),
        ("presence_penalty", sampling.presence_penalty != 0.0),
        ("frequency_penalty", sampling.frequency_penalty != 0.0),
        ("mirostat", sampling.mirostat > 0),
    ];
    let taken = |name: &str| rows(flavour).any(|(setting, _)| *setting == name);
    heads
        .into_iter()
        // At temperature 0, sampling is greedy, so truncation has no effect.
        .filter(|(name, _)| sampling.temperature > 0.0 || !is_cut(name))
        .filter(|(name, on)| *on && !taken(name))
        .map(|(name, _)| name)
        .collect()
}

fn is_cut(name: &str) -> bool {
    [
        "top_k",
        "top_p",
        "min_p",
        "typical_p",
        "top_n_sigma",
        "xtc_probability",
        "mirostat",
    ]
    .contains(&name)
}

/// A setting's value within the range that the flavour takes; `None` if it must not be sent.
fn wire_value(flavour: Flavour, setting: &str, s: &Sampling) -> Option<Value> {
    let kobold = flavour == Flavour::KoboldCpp;
    let value = match setting {
        "temperature" => {
            let highest = match flavour {
                Flavour::Anthropic => 1.0,
                Flavour::OpenAi | Flavour::OpenRouter => 2.0,
                _ => f32::MAX,
            };
            number(s.temperature.min(highest))
        }
        // Anthropic's newer models take either temperature or top_p, not both.
        "top_p" if flavour == Flavour::Anthropic && s.top_p >= 1.0 => return None,
        "top_k" if flavour == Flavour::Anthropic && s.top_k == 0 => return None,
        "top_p" => number(s.top_p),
        "top_k" => json!(s.top_k),
        "min_p" => number(s.min_p),
        "typical_p" => number(s.typical_p),
        "top_n_sigma" if flavour == Flavour::LlamaServer && s.top_n_sigma <= 0.0 => json!(-1),
        "top_n_sigma" => number(s.top_n_sigma),
        "xtc_probability" => number(s.xtc_probability),
        "xtc_threshold" => number(s.xtc_threshold),
        "dry_multiplier" => number(s.dry_multiplier),
        "dry_base" => number(s.dry_base),
        "dry_allowed_length" => json!(s.dry_allowed_length),
        // For KoboldCpp, 0 means the whole context.
        "dry_penalty_last_n" if kobold => json!(s.dry_penalty_last_n.max(0)),
        "dry_penalty_last_n" => json!(s.dry_penalty_last_n),
        "dry_sequence_breakers" => json!(s.dry_sequence_breakers),
        "repetition_penalty" => number(s.repetition_penalty),
        "repetition_range" if kobold && s.repetition_range < 0 => json!(1_000_000),
        "repetition_range" => json!(s.repetition_range),
        "presence_penalty" => number(s.presence_penalty),
        "frequency_penalty" => number(s.frequency_penalty),
        "mirostat" => json!(s.mirostat),
        "mirostat_tau" => number(s.mirostat_tau),
        "mirostat_eta" => number(s.mirostat_eta),
        _ => return None,
    };
    Some(value)
}

/// The number as a person would write it: 0.05, not 0.05000000074505806.
fn number(value: f32) -> Value {
    let short: f64 = value.to_string().parse().unwrap_or_default();
    json!(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neutral_values_are_sent_since_servers_have_hidden_defaults() {
        let sent = fields(
            Flavour::LlamaCppPython,
            Protocol::OpenAiText,
            &Sampling::greedy(),
            u64::MAX,
        );
        assert_eq!(sent["repeat_penalty"], json!(1.0));
        assert_eq!(sent["top_k"], json!(0));
        assert_eq!(sent["seed"], json!(0x7fff_ffff));
        let llama = fields(
            Flavour::LlamaServer,
            Protocol::LlamaText,
            &Sampling::default(),
            7,
        );
        assert_eq!(llama["min_p"], json!(0.05));
        assert_eq!(llama["top_n_sigma"], json!(-1));
        assert_eq!(llama["repeat_last_n"], json!(360));
    }

    #[test]
    fn what_a_server_cannot_honour_is_named_only_if_it_would_do_something() {
        let prose = Sampling::default();
        assert!(ignored(Flavour::LlamaServer, &prose).is_empty());
        assert_eq!(ignored(Flavour::Vllm, &prose), ["dry_multiplier"]);
        assert_eq!(
            ignored(Flavour::OpenAi, &prose),
            ["min_p", "dry_multiplier"]
        );
        assert!(ignored(Flavour::OpenAi, &Sampling::greedy()).is_empty());
    }

    #[test]
    fn a_service_with_a_narrow_range_gets_no_value_outside_it() {
        let hot = Sampling {
            temperature: 1.5,
            ..Sampling::default()
        };
        let sent = fields(Flavour::Anthropic, Protocol::AnthropicChat, &hot, 1);
        assert_eq!(sent["temperature"], json!(1.0));
        assert!(!sent.contains_key("seed") && !sent.contains_key("top_p"));
    }
}
