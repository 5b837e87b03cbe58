//! Translates the sampling settings to the names that each flavour uses.
//!
//! Every setting that a flavour supports is always sent. Otherwise, a server would silently use its
//! own default, for example a repetition penalty of 1.1.

mod rows;

use super::flavour::{Flavour, Protocol};
use rows::{Effect, KOBOLD_OFF, KOBOLD_ORDER, LLAMA_ORDER, rows};
use sampler::Sampling;
use serde_json::{Map, Value, json};

/// Returns the fields of a request that contain the sampling settings.
pub(crate) fn fields(
    flavour: Flavour,
    protocol: Protocol,
    sampling: &Sampling,
    seed: u64,
    context: usize,
) -> Map<String, Value> {
    let mut fields = Map::new();
    for row in rows(flavour, sampling, context) {
        // Anthropic's newer models accept temperature or top_p, but not both.
        let left_out = flavour == Flavour::Anthropic && row.effect == Effect::Cut(false);
        if let Some(name) = row.names.on(flavour).filter(|_| !left_out) {
            fields.insert(name.to_string(), row.value);
        }
    }
    if protocol == Protocol::LlamaText {
        fields.insert("samplers".into(), json!(LLAMA_ORDER));
    }
    if protocol == Protocol::KoboldText {
        fields.insert("sampler_order".into(), json!(KOBOLD_ORDER));
        for (name, value) in KOBOLD_OFF {
            fields.insert(name.into(), json!(value));
        }
        fields.insert("sampler_seed".into(), json!(seed % 999_999 + 1));
    } else if protocol != Protocol::AnthropicChat {
        // Servers store a seed in 32 bits, and some take the highest value to mean "random".
        fields.insert("seed".into(), json!(seed & 0x7fff_ffff));
    }
    fields
}

/// Returns the names of the settings that would have an effect on the text but are not supported by
/// the flavour.
pub fn ignored(flavour: Flavour, sampling: &Sampling) -> Vec<&'static str> {
    // At temperature 0, sampling is greedy, so cuts have no effect.
    let greedy = sampling.temperature <= 0.0;
    let names = rows(flavour, sampling, 0).into_iter().filter_map(|row| {
        let on = match row.effect {
            Effect::Cut(on) => on && !greedy,
            Effect::Penalty(on) => on,
            Effect::Part => false,
        };
        (on && row.names.on(flavour).is_none()).then_some(row.setting)
    });
    names.collect()
}

/// Returns the names of all settings that the flavour does not support, whatever their values.
pub fn unsupported(flavour: Flavour) -> Vec<&'static str> {
    let rows = rows(flavour, &Sampling::default(), 0).into_iter();
    let missing = rows.filter(|row| row.effect != Effect::Part);
    let missing = missing.filter(|row| row.names.on(flavour).is_none());
    missing.map(|row| row.setting).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn neutral_values_are_sent_since_servers_have_hidden_defaults() {
        let sent = fields(
            Flavour::LlamaCppPython,
            Protocol::OpenAiText,
            &Sampling::greedy(),
            u64::MAX,
            2048,
        );
        assert_eq!(sent["repeat_penalty"], json!(1.0));
        assert_eq!(sent["top_k"], json!(0));
        assert_eq!(sent["seed"], json!(0x7fff_ffff));
        let llama = fields(
            Flavour::LlamaServer,
            Protocol::LlamaText,
            &Sampling::default(),
            7,
            2048,
        );
        assert_eq!(llama["min_p"], json!(0.05));
        assert_eq!(llama["top_n_sigma"], json!(-1));
        assert_eq!(llama["repeat_last_n"], json!(360));
        assert_eq!(llama["dry_penalty_last_n"], json!(2048));
        let bare = Sampling {
            repetition_range: -1,
            dry_sequence_breakers: Vec::new(),
            top_k: 0,
            ..Sampling::default()
        };
        let llama = fields(Flavour::LlamaServer, Protocol::LlamaText, &bare, 7, 2048);
        assert_eq!(llama["repeat_last_n"], json!(2048));
        assert_ne!(llama["dry_sequence_breakers"], json!([]));
        let sglang = fields(Flavour::Sglang, Protocol::OpenAiChat, &bare, 7, 2048);
        assert_eq!(sglang["top_k"], json!(-1));
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
        let sent = fields(Flavour::Anthropic, Protocol::AnthropicChat, &hot, 1, 2048);
        assert_eq!(sent["temperature"], json!(1.0));
        assert!(!sent.contains_key("seed") && !sent.contains_key("top_p"));
    }

    #[test]
    fn every_field_of_the_samplers_has_a_row_under_its_own_name() {
        // Sent elsewhere in the request, or applied by illumine.
        const OTHERS: [&str; 7] = [
            "seed",
            "max_tokens",
            "stop",
            "whole_sentences",
            "heal",
            "recall",
            "banned_phrases",
        ];
        let sampling = Sampling::default();
        let json = serde_json::to_value(&sampling).unwrap();
        let fields: BTreeSet<&str> = json.as_object().unwrap().keys().map(|it| &**it).collect();
        let rows = rows(Flavour::LlamaServer, &sampling, 0);
        let named: BTreeSet<&str> = rows.iter().map(|row| row.setting).chain(OTHERS).collect();
        assert_eq!(named, fields);
        assert_eq!(rows.len() + OTHERS.len(), fields.len());
    }

    #[test]
    fn what_a_server_never_takes_is_known_before_any_value_is_set() {
        let kobold = unsupported(Flavour::KoboldCpp);
        assert!(kobold.contains(&"frequency_penalty") && !kobold.contains(&"typical_p"));
        let llama = unsupported(Flavour::LlamaServer);
        let own = ["min_p", "dry_multiplier", "mirostat", "frequency_penalty"];
        assert!(own.iter().all(|setting| !llama.contains(setting)));
        let hosted = unsupported(Flavour::Anthropic);
        assert!(hosted.contains(&"mirostat") && !hosted.contains(&"top_k"));
        for flavour in Flavour::ALL {
            let never = unsupported(flavour);
            let sampling = Sampling::default();
            let now = ignored(flavour, &sampling);
            assert!(now.iter().all(|name| never.contains(name)), "{flavour:?}");
        }
    }
}
