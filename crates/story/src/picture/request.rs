//! The messages about drawing that the studio's thread and the engine's thread exchange.

use super::{Derivation, PictureProvenance};
use crate::NodeId;
use crate::text_request::TextRequest;

/// A request for one or more pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct PictureRequest {
    /// The id of the first picture.
    pub node: NodeId,
    pub task: PictureTask,
    pub style: StyleChoice,
    /// The seeds; one picture is drawn for each.
    pub seeds: Vec<u64>,
    /// The sampling temperature. For this field and the next three, None means the default of the
    /// weights.
    pub temperature: Option<f64>,
    pub guidance: Option<f64>,
    pub retrieval_strength: Option<f64>,
    pub steps: Option<usize>,
    pub size: u32,
    pub background: Option<String>,
    /// Whether to enlarge the pictures with the upscaler.
    pub enlarged: bool,
    /// The SHA-256 of the weights that must be used; None if any weights may be used.
    pub weights: Option<String>,
    /// The program's name and version.
    pub build: String,
}

impl PictureRequest {
    /// Returns the request that reproduces the picture with the provenance `how`.
    pub fn reproduce(how: &PictureProvenance) -> PictureRequest {
        let base = |tokens: &String| SourcePicture {
            provenance: Some(PictureProvenance {
                tokens: tokens.clone(),
                ..how.clone()
            }),
            file: Vec::new(),
            name: String::new(),
        };
        let given = || PromptSource::Given(how.prompt.clone());
        PictureRequest {
            node: 0,
            task: match &how.way {
                Derivation::Prompt => PictureTask::Prompt(given()),
                Derivation::Scene { .. } => PictureTask::Scene(given()),
                Derivation::Vary { tokens, amount } => PictureTask::Vary {
                    of: base(tokens),
                    amount: *amount,
                },
                Derivation::Restyle { tokens } => PictureTask::Restyle {
                    of: base(tokens),
                    words: Some(how.prompt.clone()),
                },
                Derivation::Lerp { other, at } => PictureTask::Lerp {
                    from: PromptOrPicture::Picture(Box::new(how.clone())),
                    to: PromptOrPicture::Picture(Box::new(PictureProvenance {
                        prompt: other.prompt.clone(),
                        style: other.style.clone(),
                        seed: other.seed,
                        ..how.clone()
                    })),
                    at: vec![*at],
                },
            },
            style: match &how.style {
                // Each end of an interpolation has its own style.
                _ if matches!(how.way, Derivation::Lerp { .. }) => StyleChoice::Default,
                Some(style) => StyleChoice::Named(style.clone()),
                None => StyleChoice::Any,
            },
            seeds: vec![how.seed],
            temperature: Some(how.temperature),
            guidance: Some(how.guidance),
            retrieval_strength: Some(how.retrieval_strength),
            steps: Some(how.steps),
            size: how.size,
            background: how.background.clone(),
            enlarged: how.enlarged,
            weights: Some(how.weights.clone()),
            build: how.build.clone(),
        }
    }

    /// Returns `count` (at least 2) evenly spaced positions from 0 to 1.
    pub fn lerp_positions(count: usize) -> Vec<f64> {
        let last = count.max(2) - 1;
        (0..=last).map(|n| n as f64 / last as f64).collect()
    }
}

/// The task of a picture request: how its pictures are made, and from which sources.
#[derive(Clone, Debug, PartialEq)]
pub enum PictureTask {
    Prompt(PromptSource),
    Scene(PromptSource),
    /// Vary a picture by predicting some of its tokens again. `amount` determines how many.
    Vary {
        of: SourcePicture,
        amount: f64,
    },
    /// Interpolate between `from` and `to`, with one picture for each position in `at`. Position 0
    /// is `from`; position 1 is `to`.
    Lerp {
        from: PromptOrPicture,
        to: PromptOrPicture,
        at: Vec<f64>,
    },
    /// Keep half of the tokens of the picture `of`, and predict the other half with the
    /// conditioning of `with`.
    Mix {
        of: SourcePicture,
        with: PromptOrPicture,
    },
    /// Redraw a picture with the prompt `words`, or with the picture's own prompt if `words` is
    /// None.
    Restyle {
        of: SourcePicture,
        words: Option<String>,
    },
}

/// The source of a picture's prompt: a given text, or a passage.
#[derive(Clone, Debug, PartialEq)]
pub enum PromptSource {
    Given(String),
    /// A passage. The text model, if there is one, describes the passage in one line.
    Passage {
        text: String,
        ask: Box<TextRequest>,
    },
}

/// An existing picture: its file, and its provenance if known.
#[derive(Clone, Debug, PartialEq)]
pub struct SourcePicture {
    pub provenance: Option<PictureProvenance>,
    pub file: Vec<u8>,
    /// The file's name, which serves as the prompt if no other prompt is known.
    pub name: String,
}

/// A prompt or an existing picture.
#[derive(Clone, Debug, PartialEq)]
pub enum PromptOrPicture {
    Prompt(String),
    Picture(Box<PictureProvenance>),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum StyleChoice {
    /// The source picture's style; without a source picture, the first style of the weights.
    #[default]
    Default,
    /// No particular style: the model decides.
    Any,
    /// Every style: one picture for each combination of a style and a seed.
    All,
    Named(String),
}

impl StyleChoice {
    pub fn parse(name: &str) -> StyleChoice {
        match name.to_lowercase().as_str() {
            "any" => StyleChoice::Any,
            "all" => StyleChoice::All,
            _ => StyleChoice::Named(name.to_string()),
        }
    }
}

/// A drawn picture: its layers from back to front, and its provenance.
#[derive(Clone, Debug, PartialEq)]
pub struct DrawnPicture {
    pub layers: Vec<Layer>,
    pub provenance: PictureProvenance,
}

/// A square layer of a picture. The pixels are premultiplied RGBA, `size * size * 4` bytes, in rows
/// from top to bottom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    pub size: usize,
    pub pixels: Vec<u8>,
}
