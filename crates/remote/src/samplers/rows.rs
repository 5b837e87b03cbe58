//! The table of sampling settings, with their values and their names on each kind of server.

use super::Flavour;
use sampler::Sampling;
use serde_json::{Value, json};

/// The order in which llama-server is told to run its sampling stages. It does not run stages that
/// are not in the list.
pub(super) const LLAMA_ORDER: [&str; 9] = [
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

/// The order in which KoboldCpp is told to run its sampling stages, by their numbers: penalties,
/// top-k, top-a, typical, tail-free, top-p and min-p, temperature.
pub(super) const KOBOLD_ORDER: [u8; 7] = [6, 0, 1, 4, 3, 2, 5];

/// The settings of KoboldCpp that illumine does not have, each with the value that turns the
/// setting off. These values are sent because the server would otherwise use its own defaults.
pub(super) const KOBOLD_OFF: [(&str, u8); 2] = [("tfs", 1), ("top_a", 0)];

/// One sampling setting with the value to send to a server.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// The name of the setting in illumine.
    pub(super) setting: &'static str,
    /// The value to send, limited to the range that the flavour accepts.
    pub(super) value: Value,
    pub(super) effect: Effect,
    pub(super) names: Names,
}

/// The effect of a setting on the text. The field is true if the setting's current value has an
/// effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The setting excludes unlikely tokens.
    Cut(bool),
    /// The setting makes some tokens less likely.
    Penalty(bool),
    /// The effect need not be checked, because the setting only modifies another setting or because
    /// every server supports it.
    Part,
}

/// The names of one setting on each kind of server. A name is empty if the server does not support
/// the setting.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Names {
    llama_server: &'static str,
    kobold_cpp: &'static str,
    ollama: &'static str,
    llama_cpp_python: &'static str,
    /// The name on vLLM and SGLang.
    vllm: &'static str,
    open_router: &'static str,
    lm_studio: &'static str,
    /// The name on OpenAI, on LiteLLM and on OpenAI-compatible servers of an unknown kind.
    open_ai: &'static str,
    anthropic: &'static str,
    transformers: &'static str,
}

impl Names {
    /// Creates the names of a setting that has the same name on every server.
    const fn same(name: &'static str) -> Names {
        Names {
            llama_server: name,
            kobold_cpp: name,
            ollama: name,
            llama_cpp_python: name,
            vllm: name,
            open_router: name,
            lm_studio: name,
            open_ai: name,
            anthropic: name,
            transformers: name,
        }
    }

    /// Creates the names of a setting that only llama-server and KoboldCpp support, under the same
    /// name.
    const fn llama_and_kobold(name: &'static str) -> Names {
        Names {
            llama_server: name,
            kobold_cpp: name,
            ..Names::same("")
        }
    }

    /// Returns the name of the setting on servers of the given flavour, or None if they do not
    /// support it.
    pub(super) fn on(self, flavour: Flavour) -> Option<&'static str> {
        let name = match flavour {
            Flavour::LlamaServer => self.llama_server,
            Flavour::KoboldCpp => self.kobold_cpp,
            Flavour::Ollama => self.ollama,
            Flavour::LlamaCppPython => self.llama_cpp_python,
            Flavour::Vllm | Flavour::Sglang => self.vllm,
            Flavour::OpenRouter => self.open_router,
            Flavour::LmStudio => self.lm_studio,
            Flavour::OpenAi | Flavour::LiteLlm | Flavour::Compatible => self.open_ai,
            Flavour::Anthropic => self.anthropic,
            // transformers serve refuses unknown fields.
            Flavour::TransformersServe => self.transformers,
        };
        (!name.is_empty()).then_some(name)
    }
}

/// Returns a row for every setting, with the value to send to servers of the given flavour.
/// `context` is the size of the model's context in tokens.
pub(super) fn rows(flavour: Flavour, sampling: &Sampling, context: usize) -> Vec<Row> {
    // Names every field, so that a new field without a row does not compile.
    let Sampling {
        temperature,
        top_k,
        top_p,
        min_p,
        typical_p,
        top_n_sigma,
        xtc_threshold,
        xtc_probability,
        dry_multiplier,
        dry_base,
        dry_allowed_length,
        dry_penalty_last_n,
        dry_sequence_breakers,
        repetition_penalty,
        repetition_range,
        presence_penalty,
        frequency_penalty,
        mirostat,
        mirostat_tau,
        mirostat_eta,
        seed: _,
        max_tokens: _,
        stop: _,
        whole_sentences: _,
        heal: _,
        recall: _,
        banned_phrases: _,
    } = sampling;
    let kobold = flavour == Flavour::KoboldCpp;
    let hottest = match flavour {
        Flavour::Anthropic => 1.0,
        Flavour::OpenAi | Flavour::OpenRouter => 2.0,
        _ => f32::MAX,
    };
    let sigma = match flavour {
        Flavour::LlamaServer if *top_n_sigma <= 0.0 => json!(-1),
        _ => number(*top_n_sigma),
    };
    let whole = |range: i32| match flavour {
        // llama-server refuses negative ranges, and reserves memory for the whole range.
        Flavour::LlamaServer if range < 0 => i32::try_from(context).unwrap_or(i32::MAX),
        Flavour::KoboldCpp if range < 0 => 1_000_000,
        _ => range,
    };
    // For KoboldCpp, 0 means the whole context.
    let dry_range = match kobold {
        true => (*dry_penalty_last_n).max(0),
        false => whole(*dry_penalty_last_n),
    };
    let range = whole(*repetition_range);
    let breakers = match flavour {
        // llama-server refuses an empty list; no text contains this breaker.
        Flavour::LlamaServer if dry_sequence_breakers.is_empty() => json!(["\u{1}"]),
        _ => json!(dry_sequence_breakers),
    };
    let top = match flavour {
        // SGLang refuses 0.
        Flavour::Vllm | Flavour::Sglang if *top_k == 0 => json!(-1),
        _ => json!(top_k),
    };
    vec![
        Row {
            setting: "temperature",
            value: number(temperature.min(hottest)),
            effect: Effect::Part,
            names: Names::same("temperature"),
        },
        Row {
            setting: "top_k",
            value: top,
            effect: Effect::Cut(*top_k > 0),
            names: Names {
                open_ai: "",
                transformers: "",
                ..Names::same("top_k")
            },
        },
        Row {
            setting: "top_p",
            value: number(*top_p),
            effect: Effect::Cut(*top_p < 1.0),
            names: Names::same("top_p"),
        },
        Row {
            setting: "min_p",
            value: number(*min_p),
            effect: Effect::Cut(*min_p > 0.0),
            names: Names {
                open_ai: "",
                anthropic: "",
                transformers: "",
                ..Names::same("min_p")
            },
        },
        Row {
            setting: "typical_p",
            value: number(*typical_p),
            effect: Effect::Cut(*typical_p < 1.0),
            names: Names {
                llama_server: "typical_p",
                kobold_cpp: "typical",
                ollama: "typical_p",
                ..Names::default()
            },
        },
        Row {
            setting: "top_n_sigma",
            value: sigma,
            effect: Effect::Cut(*top_n_sigma > 0.0),
            names: Names {
                llama_server: "top_n_sigma",
                kobold_cpp: "nsigma",
                ..Names::default()
            },
        },
        Row {
            setting: "xtc_probability",
            value: number(*xtc_probability),
            effect: Effect::Cut(*xtc_probability > 0.0 && *xtc_threshold <= 0.5),
            names: Names::llama_and_kobold("xtc_probability"),
        },
        Row {
            setting: "xtc_threshold",
            value: number(*xtc_threshold),
            effect: Effect::Part,
            names: Names::llama_and_kobold("xtc_threshold"),
        },
        Row {
            setting: "dry_multiplier",
            value: number(*dry_multiplier),
            effect: Effect::Penalty(*dry_multiplier > 0.0),
            names: Names::llama_and_kobold("dry_multiplier"),
        },
        Row {
            setting: "dry_base",
            value: number(*dry_base),
            effect: Effect::Part,
            names: Names::llama_and_kobold("dry_base"),
        },
        Row {
            setting: "dry_allowed_length",
            value: json!(dry_allowed_length),
            effect: Effect::Part,
            names: Names::llama_and_kobold("dry_allowed_length"),
        },
        Row {
            setting: "dry_penalty_last_n",
            value: json!(dry_range),
            effect: Effect::Part,
            names: Names::llama_and_kobold("dry_penalty_last_n"),
        },
        Row {
            setting: "dry_sequence_breakers",
            value: breakers,
            effect: Effect::Part,
            names: Names::llama_and_kobold("dry_sequence_breakers"),
        },
        Row {
            setting: "repetition_penalty",
            value: number(*repetition_penalty),
            effect: Effect::Penalty(*repetition_penalty != 1.0),
            names: Names {
                llama_server: "repeat_penalty",
                kobold_cpp: "rep_pen",
                ollama: "repeat_penalty",
                llama_cpp_python: "repeat_penalty",
                vllm: "repetition_penalty",
                open_router: "repetition_penalty",
                lm_studio: "repeat_penalty",
                ..Names::default()
            },
        },
        Row {
            setting: "repetition_range",
            value: json!(range),
            effect: Effect::Part,
            names: Names {
                llama_server: "repeat_last_n",
                kobold_cpp: "rep_pen_range",
                ollama: "repeat_last_n",
                ..Names::default()
            },
        },
        Row {
            setting: "presence_penalty",
            value: number(*presence_penalty),
            effect: Effect::Penalty(*presence_penalty != 0.0),
            names: Names {
                anthropic: "",
                transformers: "",
                ..Names::same("presence_penalty")
            },
        },
        Row {
            setting: "frequency_penalty",
            value: number(*frequency_penalty),
            effect: Effect::Penalty(*frequency_penalty != 0.0),
            names: Names {
                kobold_cpp: "",
                anthropic: "",
                transformers: "",
                ..Names::same("frequency_penalty")
            },
        },
        Row {
            setting: "mirostat",
            value: json!(mirostat),
            effect: Effect::Cut(*mirostat > 0),
            names: Names {
                llama_server: "mirostat",
                kobold_cpp: "mirostat",
                ollama: "mirostat",
                llama_cpp_python: "mirostat_mode",
                ..Names::default()
            },
        },
        Row {
            setting: "mirostat_tau",
            value: number(*mirostat_tau),
            effect: Effect::Part,
            names: Names {
                llama_server: "mirostat_tau",
                kobold_cpp: "mirostat_tau",
                ollama: "mirostat_tau",
                llama_cpp_python: "mirostat_tau",
                ..Names::default()
            },
        },
        Row {
            setting: "mirostat_eta",
            value: number(*mirostat_eta),
            effect: Effect::Part,
            names: Names {
                llama_server: "mirostat_eta",
                kobold_cpp: "mirostat_eta",
                ollama: "mirostat_eta",
                llama_cpp_python: "mirostat_eta",
                ..Names::default()
            },
        },
    ]
}

/// Converts a number to JSON in its shortest decimal form, for example 0.05 instead of
/// 0.05000000074505806.
fn number(value: f32) -> Value {
    let short: f64 = value.to_string().parse().unwrap_or_default();
    json!(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_with_a_row_is_not_turned_off_for_kobold_cpp() {
        let rows = rows(Flavour::KoboldCpp, &Sampling::default(), 0);
        let mut names = rows
            .iter()
            .filter_map(|row| row.names.on(Flavour::KoboldCpp));
        let off = KOBOLD_OFF.map(|(name, _)| name);
        let both = names.find(|name| off.contains(name));
        assert_eq!(both, None, "it has a row, so remove it from KOBOLD_OFF");
    }
}
