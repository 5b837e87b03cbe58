//! Every parameter of the sampler chain, with its default.
//!
//! The parameters are plain data. They are saved with each passage, so that the passage can be
//! reproduced.

use crate::ban::Ban;
use serde::{Deserialize, Serialize};

/// The sequence breakers of the original DRY (textgen PR #5677). A repeat ends at each sequence
/// breaker, so the layout of lines, speech and lists is not penalized.
pub const DRY_BREAKERS: [&str; 4] = ["\n", ":", "\"", "*"];

/// All settings of the sampler chain. The comment of each field says at which value the stage is
/// off. Ranges count tokens back from the end; `-1` is the whole context and `0` is off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sampling {
    /// The number by which the last stage divides the logits. 0 always chooses the most likely
    /// token, and 1 changes nothing.
    pub temperature: f32,
    /// Keep this many of the most likely tokens. 0 is off.
    pub top_k: u32,
    /// Keep the most likely tokens up to this total probability. 1 is off.
    pub top_p: f32,
    /// Keep tokens at least this fraction as likely as the most likely one. 0 is off.
    pub min_p: f32,
    /// Keep the tokens closest to the expected surprise up to this total probability. 1 is off.
    pub typical_p: f32,
    /// Keep logits within this many standard deviations of the highest. 0 is off.
    pub top_n_sigma: f32,
    /// The minimum probability of a top choice for XTC. Above 0.5 is off.
    pub xtc_threshold: f32,
    /// The probability that XTC is applied to a token. 0 is off.
    pub xtc_probability: f32,
    /// The strength of DRY. 0 is off.
    pub dry_multiplier: f32,
    /// The factor by which the DRY penalty grows with each further token of a repeat.
    pub dry_base: f32,
    /// The minimum length in tokens of a repeat that is penalized.
    pub dry_allowed_length: u32,
    /// The number of tokens that DRY looks back.
    pub dry_penalty_last_n: i32,
    /// The sequence breakers of DRY.
    pub dry_sequence_breakers: Vec<String>,
    /// The factor by which tokens in the range become less likely. 1 is off.
    pub repetition_penalty: f32,
    /// The number of tokens that the repetition, presence and frequency penalties look back.
    pub repetition_range: i32,
    /// The amount subtracted once from the logit of every token in the range. 0 is off.
    pub presence_penalty: f32,
    /// The amount subtracted from a token's logit for each occurrence of the token in the range. 0
    /// is off.
    pub frequency_penalty: f32,
    /// The version of mirostat: 2 keeps the surprise near a target instead of truncating; 0 is off.
    pub mirostat: u8,
    /// Mirostat's target surprise in bits.
    pub mirostat_tau: f32,
    /// Mirostat's learning rate.
    pub mirostat_eta: f32,
    /// The seed. None chooses a new seed each time.
    pub seed: Option<u64>,
    /// The maximum number of new tokens.
    pub max_tokens: u32,
    /// The stop sequences: generation stops before any of these texts.
    pub stop: Vec<String>,
    /// Whether to stop at the end of a sentence near `max_tokens` instead of after exactly that
    /// many tokens.
    pub whole_sentences: bool,
    /// Whether to let the model complete an unfinished last word (token healing).
    pub heal: bool,
    /// The number of old passages and lore entries that semantic retrieval puts back into the
    /// context. 0 is off. The setting is called `retrieve`, but journals use the older name
    /// `recall`.
    pub recall: u32,
    /// Banned phrases.
    pub banned_phrases: Vec<Ban>,
}

/// The defaults, which are the "prose" preset.
///
/// The only cut is min-p 0.05. It adapts to the model's certainty, whereas a fixed number of tokens
/// or a fixed total probability leaves too many tokens after "once upon a" and too few at the start
/// of a paragraph. Small models tend to loop. This is left to DRY with its author's recommended
/// values, since the repetition penalty also punishes names and articles. The temperature is 0.8
/// instead of 1, because a model of a hundred million parameters is often uncertain: min-p leaves
/// it many tokens, and the less likely of these are often ungrammatical. For a large model, 1 is
/// fine.
impl Default for Sampling {
    fn default() -> Sampling {
        Sampling {
            temperature: 0.8,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.05,
            typical_p: 1.0,
            top_n_sigma: 0.0,
            xtc_threshold: 0.1,
            xtc_probability: 0.0,
            dry_multiplier: 0.8,
            dry_base: 1.75,
            dry_allowed_length: 2,
            dry_penalty_last_n: -1,
            dry_sequence_breakers: DRY_BREAKERS.map(String::from).to_vec(),
            repetition_penalty: 1.0,
            repetition_range: 360,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            mirostat: 0,
            mirostat_tau: 5.0,
            mirostat_eta: 0.1,
            seed: None,
            max_tokens: 200,
            stop: Vec::new(),
            whole_sentences: true,
            heal: true,
            recall: 0,
            banned_phrases: Vec::new(),
        }
    }
}

impl Sampling {
    /// The preset that always chooses the most likely token, with no truncation and no penalty. It
    /// is meant for benchmarks and for comparing machines; small models loop with it.
    pub fn greedy() -> Sampling {
        Sampling {
            temperature: 0.0,
            min_p: 0.0,
            dry_multiplier: 0.0,
            ..Sampling::default()
        }
    }

    /// The preset for instruction-tuned models. It uses the truncation of llama.cpp's default
    /// chain, and a lower temperature, because an answer must be right before it is original. DRY
    /// stays on but allows longer repeats, since an answer must be able to quote the question.
    pub fn chat() -> Sampling {
        Sampling {
            temperature: 0.6,
            top_k: 40,
            top_p: 0.95,
            dry_allowed_length: 4,
            max_tokens: 400,
            ..Sampling::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_unknown_fields_are_no_error() {
        // Journals of other versions must still open.
        let sampling: Sampling =
            serde_json::from_str(r#"{"temperature":0.5,"from_the_future":1}"#).unwrap();
        let expected = Sampling {
            temperature: 0.5,
            ..Sampling::default()
        };
        assert_eq!(sampling, expected);
    }

    #[test]
    fn json_gives_back_what_it_took() {
        let sampling = Sampling {
            seed: Some(u64::MAX),
            stop: vec!["THE END\n".into()],
            ..Sampling::chat()
        };
        let json = serde_json::to_string(&sampling).unwrap();
        assert_eq!(serde_json::from_str::<Sampling>(&json).unwrap(), sampling);
    }

    #[test]
    fn greedy_is_the_bare_argmax() {
        let greedy = Sampling::greedy();
        assert_eq!(greedy.temperature, 0.0);
        assert_eq!(
            (greedy.dry_multiplier, greedy.repetition_penalty),
            (0.0, 1.0)
        );
    }
}

/// Random settings for property tests.
#[cfg(test)]
pub(crate) mod random {
    use super::Sampling;
    use proptest::prelude::*;

    pub(crate) fn any_number() -> impl Strategy<Value = f32> {
        prop_oneof![
            4 => -2.0f32..6.0,
            1 => any::<f32>(),
            1 => prop::sample::select(vec![0.0, 1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
        ]
    }

    prop_compose! {
        /// Generates settings such as a broken file might contain.
        pub(crate) fn any_sampling()(
            n in prop::collection::vec(any_number(), 14),
            top_k in prop_oneof![0u32..5, any::<u32>()],
            allowed in prop_oneof![0u32..4, any::<u32>()],
            ranges in prop::array::uniform2(prop_oneof![-2i32..9, any::<i32>()]),
            mirostat in 0u8..4,
        ) -> Sampling {
            Sampling {
                temperature: n[0], top_p: n[1], min_p: n[2], typical_p: n[3], top_n_sigma: n[4],
                xtc_threshold: n[5], xtc_probability: n[6], dry_multiplier: n[7], dry_base: n[8],
                repetition_penalty: n[9], presence_penalty: n[10], frequency_penalty: n[11],
                mirostat_tau: n[12], mirostat_eta: n[13], top_k, dry_allowed_length: allowed,
                dry_penalty_last_n: ranges[0], repetition_range: ranges[1], mirostat,
                // These take no part in sampling. They are spelled out so that a new parameter cannot
                // be forgotten here.
                dry_sequence_breakers: Vec::new(), seed: None, max_tokens: 0, stop: Vec::new(),
                whole_sentences: false, heal: false, recall: 0, banned_phrases: Vec::new(),
            }
        }
    }
}
