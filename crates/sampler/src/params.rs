//! Every parameter of the sampler chain, with its default.
//!
//! Plain data that is kept with each passage, so that the passage can be made again.

use crate::ban::Ban;
use serde::{Deserialize, Serialize};

/// Where the original DRY stops matching (textgen PR #5677): line ends, speech and lists are
/// allowed to look alike.
pub const DRY_BREAKERS: [&str; 4] = ["\n", ":", "\"", "*"];

/// All that decides how a token is drawn. Each stage has a value at which it does nothing,
/// named below; ranges count tokens back from the end, `-1` is the whole context and `0` is off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sampling {
    /// Divides the logits last of all; 0 takes the best token, always. 1 is neutral.
    pub temperature: f32,
    /// Keep this many of the best tokens. 0 is off.
    pub top_k: u32,
    /// Keep the best tokens until they hold this much probability. 1 is off.
    pub top_p: f32,
    /// Keep tokens at least this fraction as likely as the best. 0 is off.
    pub min_p: f32,
    /// Keep the tokens closest to the expected surprise until they hold this much. 1 is off.
    pub typical_p: f32,
    /// Keep logits within this many standard deviations of the best. 0 is off.
    pub top_n_sigma: f32,
    /// A token this likely counts as a top choice for XTC. Above 0.5 it is off.
    pub xtc_threshold: f32,
    /// How often XTC strikes. 0 is off.
    pub xtc_probability: f32,
    /// Strength of DRY. 0 is off.
    pub dry_multiplier: f32,
    /// Growth of the DRY penalty with each further token of a repeat.
    pub dry_base: f32,
    /// Repeats shorter than this cost nothing.
    pub dry_allowed_length: u32,
    /// How far back DRY looks.
    pub dry_penalty_last_n: i32,
    /// Texts across which DRY never matches.
    pub dry_sequence_breakers: Vec<String>,
    /// Makes tokens of the range less likely, by a factor. 1 is off.
    pub repetition_penalty: f32,
    /// How far back the repetition, presence and frequency penalties look.
    pub repetition_range: i32,
    /// Taken from the logit of every token of the range, once. 0 is off.
    pub presence_penalty: f32,
    /// Taken from the logit of every token of the range, once for each time. 0 is off.
    pub frequency_penalty: f32,
    /// 2 holds the surprise at a target in place of the cuts; 0 is off.
    pub mirostat: u8,
    /// The surprise, in bits, that mirostat steers to.
    pub mirostat_tau: f32,
    /// How fast mirostat corrects itself.
    pub mirostat_eta: f32,
    /// The seed to use, or none for a fresh one each time.
    pub seed: Option<u64>,
    /// At most this many new tokens.
    pub max_tokens: u32,
    /// Stop before any of these texts.
    pub stop: Vec<String>,
    /// Write to the end of the sentence nearest to `max_tokens`, and not to the token.
    pub whole_sentences: bool,
    /// Let the last word of people's text go on, where it may be the beginning of one.
    pub heal: bool,
    /// How many old passages and lore entries semantic retrieval puts back into the context. 0 is
    /// off. The setting is called `retrieve`; journals keep this older name.
    pub recall: u32,
    /// Phrases that are not to be written.
    pub banned_phrases: Vec<Ban>,
}

/// The "prose" preset.
///
/// The cut is min-p 0.05 and nothing else: it follows the model's own certainty, where a fixed
/// count or mass is too wide after "once upon a" and too narrow at a paragraph's start. Looping,
/// the worst habit of small models, is left to DRY at its author's recommended values, since the
/// multiplicative penalty also punishes names and articles. Temperature is 0.8 and not 1: a model
/// of a hundred million parameters is unsure of too much, and what min-p leaves it is still a
/// wide choice of which the lower half is often ungrammatical; 0.8 widens every gap in log odds
/// by a quarter. A large model is well served by 1.
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
    /// The likeliest token every time and nothing else: no cut, no penalty. For measuring and for
    /// comparing machines; small models loop under it.
    pub fn greedy() -> Sampling {
        Sampling {
            temperature: 0.0,
            min_p: 0.0,
            dry_multiplier: 0.0,
            ..Sampling::default()
        }
    }

    /// For instruction-tuned models that answer: the cuts of llama.cpp's default stack, cooler,
    /// because an answer has to be right before it is fresh. DRY stays on but forgives longer
    /// repeats, since an answer has to be able to quote the question.
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
        // Journals of other versions must open.
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
