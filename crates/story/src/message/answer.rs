//! An engine's answers: alternatives, the report on the context, and statistics.

use crate::NodeId;
use crate::node::SharedRequest;
use crate::sentence::excerpt;
use serde::{Deserialize, Serialize};

/// A possible next token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    pub id: u32,
    pub text: String,
    /// The token's probability before the sampler chain.
    pub before: f64,
    /// The token's probability after the sampler chain; 0 if the chain removed it.
    pub after: f64,
}

/// The prompt part by part, exactly as sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContextReport {
    pub segments: Vec<Segment>,
    /// The total number of tokens.
    pub tokens: usize,
    /// The size of the model's context in tokens.
    pub holds: usize,
    /// The number of tokens that were already in the KV cache.
    pub reused: usize,
    /// The number of tokens that were dropped from the beginning of the story.
    pub dropped: usize,
    /// The titles of the lore entries that were dropped.
    pub lore: Vec<String>,
}

impl std::fmt::Display for ContextReport {
    /// Writes a line for each part, with the number of its tokens, its kind and its first words.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{} of {} tokens, {} of them reused",
            self.tokens, self.holds, self.reused
        )?;
        if self.dropped > 0 {
            writeln!(
                f,
                "Left out: the oldest {} tokens of the story",
                self.dropped
            )?;
        }
        for segment in self
            .segments
            .iter()
            .filter(|segment| segment.label != "joint")
        {
            let text = excerpt(&segment.text, 60);
            writeln!(f, "{:>6}  {:<16} {text}", segment.tokens, segment.label)?;
        }
        for title in &self.lore {
            writeln!(f, "Left out: lore {title} (over the lore budget)")?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    pub label: String,
    pub text: String,
    pub tokens: usize,
}

/// Statistics of one passage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PassageStats {
    pub prompt_tokens: usize,
    pub reused: usize,
    pub dropped: usize,
    /// The place at which the story in the prompt starts, if the story's beginning was cut off.
    #[serde(skip)]
    pub begins: Option<(NodeId, usize)>,
    pub prefill_ms: f64,
    pub new_tokens: usize,
    /// The number of accepted draft tokens among the new tokens.
    #[serde(rename = "guessed")]
    pub accepted_drafts: usize,
    pub decode_ms: f64,
    #[serde(skip)]
    pub prompt_ids: Vec<u32>,
    /// Set if one request to a model server generated this passage together with others.
    #[serde(skip)]
    pub shared: Option<SharedRequest>,
}

impl PassageStats {
    /// Prefill speed in tokens per second, not counting reused tokens.
    pub fn prefill_tps(&self) -> f64 {
        per_second(
            self.prompt_tokens.saturating_sub(self.reused),
            self.prefill_ms,
        )
    }

    pub fn decode_tps(&self) -> f64 {
        per_second(self.new_tokens, self.decode_ms)
    }
}

fn per_second(count: usize, ms: f64) -> f64 {
    if ms > 0.0 {
        count as f64 * 1000.0 / ms
    } else {
        0.0
    }
}
