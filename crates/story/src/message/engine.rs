//! An engine's description of the loaded model and of its own capabilities.

use serde::{Deserialize, Serialize};

/// The loaded model, for the status line and for provenance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelInfo {
    pub name: String,
    pub sha256: String,
    pub architecture: String,
    /// The device (`cpu`, `cuda:0` or `metal`) and the kernel family. Results depend on both.
    pub backend: String,
    /// The size of the model's context in tokens.
    pub context: usize,
    pub vocabulary: usize,
    /// Whether the model file contains a chat template.
    pub chat: bool,
    pub load_ms: f64,
    /// A remark about the model file, for the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The names of settings that the engine cannot apply.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cannot: Vec<String>,
}

impl ModelInfo {
    /// Whether the model runs in this process and not on a model server.
    pub fn is_local(&self) -> bool {
        !self.backend.contains("://")
    }
}

/// What an engine can do with the loaded model, and which of its answers are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// Whether the engine can list the tokens that could come next, with their probabilities.
    pub alternatives: bool,
    /// Whether the engine can report the parts of a prompt.
    pub explain: bool,
    /// Whether the engine can prefill a prompt before a request to continue it.
    pub prefetch: bool,
    /// Whether the KV cache can be saved to disk and restored.
    pub warm_cache: bool,
    /// Whether the engine guarantees that no banned phrase appears.
    pub banned_phrases: bool,
    /// Whether the same request always produces the same text, regardless of earlier requests.
    pub reproducible: bool,
    /// Whether tokens are counted by the model's own tokenizer rather than estimated.
    pub exact_token_counts: bool,
}

impl Capabilities {
    /// Returns a sentence that tells the writer which answers are inexact; None if all are exact.
    pub fn caveats(&self) -> Option<String> {
        let all = [
            (self.reproducible, "one seed may give different texts"),
            (self.banned_phrases, "banned phrases may appear"),
            (self.exact_token_counts, "token counts are estimates"),
        ];
        let inexact: Vec<&str> = all
            .iter()
            .filter(|(exact, _)| !exact)
            .map(|(_, what)| *what)
            .collect();
        (!inexact.is_empty()).then(|| format!("With this engine {}", inexact.join("; ")))
    }

    /// Returns capabilities with everything supported and exact.
    pub fn all() -> Capabilities {
        Capabilities {
            alternatives: true,
            explain: true,
            prefetch: true,
            warm_cache: true,
            banned_phrases: true,
            reproducible: true,
            exact_token_counts: true,
        }
    }
}
