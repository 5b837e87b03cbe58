//! The form in which the journal stores pictures: the checksum of the file, the size and the
//! provenance.

use super::NodeId;
use crate::sentence::excerpt;
use serde::{Deserialize, Serialize};

/// A picture in the story tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// The SHA-256 of the picture's file in hexadecimal.
    pub sha256: String,
    /// The width in pixels.
    pub width: u32,
    /// The height in pixels.
    pub height: u32,
    /// The id of the first version of this picture; None if this picture is the first version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<NodeId>,
    #[serde(rename = "how")]
    pub provenance: PictureProvenance,
}

impl Picture {
    /// Returns the file name of picture `id` in the session's folder of pictures. The name depends
    /// only on `id`, so no journal can refer to a file outside that folder.
    pub fn file_name(id: NodeId) -> String {
        format!("{id}.png")
    }
}

/// The provenance of a picture: everything needed to reproduce it byte for byte with the same
/// weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PictureProvenance {
    pub prompt: String,
    /// The labels of the concepts nearest to the prompt, each with its cosine similarity to the
    /// prompt.
    pub concepts: Vec<(String, f32)>,
    pub style: Option<String>,
    pub seed: u64,
    pub steps: usize,
    pub temperature: f64,
    pub guidance: f64,
    /// How strongly each retrieved example biased the logits.
    #[serde(default, rename = "recall")]
    pub retrieval_strength: f64,
    /// The height in pixels. The width is the same, except for a scene.
    pub size: u32,
    /// The background colour as `#rrggbb`; None if the background is transparent.
    pub background: Option<String>,
    /// Whether the upscaler enlarged the picture fourfold before it was resized.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub enlarged: bool,
    /// The SHA-256 of the weights.
    pub weights: String,
    pub backend: String,
    pub build: String,
    /// The encoded picture, from which other pictures can be made. The token design stores the FSQ
    /// codes, with two hexadecimal digits each; the one-pass design stores the numbers of the
    /// latent, with eight digits each. Empty for a scene.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tokens: String,
    #[serde(default, skip_serializing_if = "Derivation::is_prompt")]
    pub way: Derivation,
}

/// What a picture was made from: its prompt alone, other pictures as well, or the parts of a scene.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Derivation {
    #[default]
    #[serde(rename = "words")]
    Prompt,
    /// A variation of another picture: some of that picture's tokens were predicted again.
    Vary { tokens: String, amount: f64 },
    /// An interpolation between the prompt, style and seed of this provenance (`at` = 0) and the
    /// prompt, style and seed of `other` (`at` = 1).
    Lerp { other: Box<LerpTarget>, at: f64 },
    /// Another picture, redrawn from its tokens with this provenance's prompt and style.
    Restyle { tokens: String },
    /// A scene: a backdrop and the subjects in front of it. `parts` are their prompts, starting
    /// with the backdrop.
    Scene { parts: Vec<String> },
}

/// The target of an interpolation: its prompt, style and seed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LerpTarget {
    pub prompt: String,
    pub style: Option<String>,
    pub seed: u64,
}

impl Derivation {
    fn is_prompt(&self) -> bool {
        *self == Derivation::Prompt
    }
}

impl PictureProvenance {
    /// A title for lists and for people who cannot see the picture.
    pub fn title(&self) -> String {
        let words = excerpt(self.prompt.trim(), 200);
        let words = match words.as_str() {
            "" => "a picture",
            words => words,
        };
        match &self.way {
            Derivation::Lerp { other, at } if *at > 0.0 => {
                let other = excerpt(other.prompt.trim(), 200);
                match *at < 1.0 {
                    true => format!("{words}, {:.0} % of the way to {other}", at * 100.0),
                    false => other,
                }
            }
            _ => words.to_string(),
        }
    }

    /// Returns the matched concepts as text, as in "dragon 0.74, bed 0.51", or a note that no
    /// concept matched.
    pub fn concept_summary(&self) -> String {
        describe_concepts(&self.concepts)
    }
}

/// Formats concepts with their similarities.
pub fn describe_concepts(concepts: &[(String, f32)]) -> String {
    let name = |(label, near): &(String, f32)| format!("{label} {near:.2}");
    let near = concepts
        .iter()
        .filter(|(_, near)| *near >= base::KNOWN_SIMILARITY)
        .take(3);
    let near: Vec<String> = near.map(name).collect();
    match (near.is_empty(), concepts.first()) {
        (false, _) => near.join(", "),
        (true, Some(first)) => format!(
            "no known concept; the nearest is {}, so the picture may show anything",
            name(first)
        ),
        (true, None) => "no known concept".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concepts_are_said_and_a_low_match_plainly() {
        let found = |label: &str, near| (label.to_string(), near);
        assert_eq!(
            describe_concepts(&[found("dragon", 0.74), found("bed", 0.31)]),
            "dragon 0.74"
        );
        let low = describe_concepts(&[found("bed", 0.2)]);
        assert!(
            low.contains("no known concept") && low.contains("bed 0.20"),
            "{low}"
        );
        assert_eq!(describe_concepts(&[]), "no known concept");
    }
}
