//! What crosses between the writer's thread and the worker's when pictures are drawn.

use super::{Provenance, Way};
use crate::NodeId;
use crate::message::TextRequest;

/// Pictures that are asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct PictureRequest {
    /// The number that the first of them will have.
    pub node: NodeId,
    pub subject: Subject,
    pub style: Style,
    /// One picture for each.
    pub seeds: Vec<u64>,
    /// None for those that the model draws best with.
    pub temperature: Option<f64>,
    pub guidance: Option<f64>,
    pub recall: Option<f64>,
    pub steps: Option<usize>,
    pub size: u32,
    pub background: Option<String>,
    /// Enlarged by a network rather than smoothly.
    pub enlarged: bool,
    /// Names the program.
    pub build: String,
}

impl PictureRequest {
    /// Asks for the picture that was made in this way.
    pub fn again(how: &Provenance) -> PictureRequest {
        let base = |tokens: &String| Source {
            how: Some(Provenance {
                tokens: tokens.clone(),
                ..how.clone()
            }),
            file: Vec::new(),
            name: String::new(),
        };
        let given = || Words::Given(how.prompt.clone());
        PictureRequest {
            node: 0,
            subject: match &how.way {
                Way::Words => Subject::Words(given()),
                Way::Scene { .. } => Subject::Scene(given()),
                Way::Vary { tokens, amount } => Subject::Vary {
                    of: base(tokens),
                    amount: *amount,
                },
                Way::Restyle { tokens } => Subject::Restyle {
                    of: base(tokens),
                    words: Some(how.prompt.clone()),
                },
                Way::Lerp { other, at } => Subject::Lerp {
                    from: Sight::Picture(Box::new(how.clone())),
                    to: Sight::Picture(Box::new(Provenance {
                        prompt: other.prompt.clone(),
                        style: other.style.clone(),
                        seed: other.seed,
                        ..how.clone()
                    })),
                    at: vec![*at],
                },
            },
            style: match &how.style {
                // The ends of a way have styles of their own.
                _ if matches!(how.way, Way::Lerp { .. }) => Style::Usual,
                Some(style) => Style::Named(style.clone()),
                None => Style::Any,
            },
            seeds: vec![how.seed],
            temperature: Some(how.temperature),
            guidance: Some(how.guidance),
            recall: Some(how.recall),
            steps: Some(how.steps),
            size: how.size,
            background: how.background.clone(),
            enlarged: how.enlarged,
            build: how.build.clone(),
        }
    }

    /// So many places from one end to the other, both among them.
    pub fn places(count: usize) -> Vec<f64> {
        let last = count.max(2) - 1;
        (0..=last).map(|n| n as f64 / last as f64).collect()
    }
}

/// What the pictures are made from.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    Words(Words),
    Scene(Words),
    /// A share of a picture's tokens written anew.
    Vary {
        of: Source,
        amount: f64,
    },
    /// Pictures at these places between two: 0 is the first, 1 the other.
    Lerp {
        from: Sight,
        to: Sight,
        at: Vec<f64>,
    },
    /// Half of the tokens of one; the rest, and all that leads them, of the other.
    Mix {
        of: Source,
        with: Sight,
    },
    /// A picture redrawn; its own words, or these.
    Restyle {
        of: Source,
        words: Option<String>,
    },
}

/// The words of a picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Words {
    Given(String),
    /// A passage, which the text model describes in a line where there is one.
    Passage {
        text: String,
        ask: Box<TextRequest>,
    },
}

/// A picture that is there: how it was made, if that is known, and its file.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub how: Option<Provenance>,
    pub file: Vec<u8>,
    /// What the file is called, for want of other words.
    pub name: String,
}

/// Something that has words: a prompt, or a picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Sight {
    Prompt(String),
    Picture(Box<Provenance>),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum Style {
    /// The first of the weights', or the picture's own.
    #[default]
    Usual,
    /// Left to the model.
    Any,
    /// Every one, for each seed.
    All,
    Named(String),
}

impl Style {
    pub fn named(name: &str) -> Style {
        match name.to_lowercase().as_str() {
            "any" => Style::Any,
            "all" => Style::All,
            _ => Style::Named(name.to_string()),
        }
    }
}

/// A picture that was drawn: its layers from the back to the front, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    pub layers: Vec<Layer>,
    pub how: Provenance,
}

/// Rows from the top, premultiplied RGBA, `size * size * 4` bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    pub size: usize,
    pub pixels: Vec<u8>,
}
