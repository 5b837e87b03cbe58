//! From words to pictures: encoder and illuminator together.
//!
//! Knows no session and no file but the weights'.

use crate::model::ModelError;
use crate::model::device;
use crate::model::encoder::SentenceEncoder;
use crate::model::gan::concepts::{LOW, Match};
use crate::model::gan::sampling::Sampling;
use crate::model::gan::{Drawn, Illuminator, Order};
use std::path::Path;

/// All that it takes to draw, in memory.
pub struct Artist {
    pub encoder: SentenceEncoder,
    pub illuminator: Illuminator,
    /// What computes: pictures are the same for the same.
    pub backend: String,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Commission {
    pub prompt: String,
    /// One of the weights' styles; None leaves it to the model.
    pub style: Option<String>,
    /// One picture for each.
    pub seeds: Vec<u64>,
    pub sampling: Sampling,
}

/// Why nothing was drawn; each a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DrawError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("There is nothing to draw: give some words, as in \"a red dragon asleep\"")]
    NoWords,
    #[error("No style is called '{0}'; there are {1}")]
    Style(String, String),
}

impl Artist {
    /// Reads the encoder's file and the folder of weights.
    pub fn load(
        encoder: &Path,
        weights: &Path,
        choice: device::Choice,
        threads: usize,
    ) -> Result<Artist, ModelError> {
        let device = device::open(choice)?;
        Ok(Artist {
            encoder: SentenceEncoder::load(encoder, &device)?,
            illuminator: Illuminator::load(weights, &device, threads)?,
            backend: device::name(&device),
        })
    }

    /// Draws; `go_on` is asked between rounds, and false ends it with None.
    pub fn draw(
        &self,
        commission: &Commission,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Drawn>, DrawError> {
        if commission.prompt.trim().is_empty() {
            return Err(DrawError::NoWords);
        }
        let style = commission.style.as_ref().map(|name| self.style(name));
        let order = Order {
            embedding: self.encoder.embed(&commission.prompt)?,
            style: style.transpose()?,
            seeds: commission.seeds.clone(),
            sampling: commission.sampling,
        };
        Ok(self.illuminator.draw(&order, go_on)?)
    }

    fn style(&self, name: &str) -> Result<u32, DrawError> {
        let styles = || self.illuminator.config.styles.join(", ");
        let short =
            || crate::story::untrusted::clean_line(&name.chars().take(40).collect::<String>());
        let found = self.illuminator.style(name);
        found.ok_or_else(|| DrawError::Style(short(), styles()))
    }
}

/// What a picture shows, in words: "dragon 0.74, bed 0.51", or that nothing known was asked for.
pub fn said(concepts: &[Match]) -> String {
    let name = |found: &Match| format!("{} {:.2}", found.label, found.similarity);
    let near: Vec<String> = concepts
        .iter()
        .take(3)
        .filter(|found| found.similarity >= LOW)
        .map(name)
        .collect();
    match (near.is_empty(), concepts.first()) {
        (false, _) => near.join(", "),
        (true, Some(first)) => format!(
            "nothing that I know; the nearest is {}, and the picture may show anything",
            name(first)
        ),
        (true, None) => "nothing that I know".to_string(),
    }
}
