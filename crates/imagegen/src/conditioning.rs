//! What a picture is to be, and what the networks make of it.

use super::layers::leaky_relu;
use super::weights::{Linear, Weights};
use candle_core::{Result, Tensor};
use candle_nn::Init;

/// Words, style and flip to one vector.
pub struct ConditionEncoder {
    style: Tensor,
    flip: Tensor,
    none: Tensor,
    first: Linear,
    mid: Linear,
    out: Linear,
    styles: usize,
}

/// What a picture is to be: `text` `[batch, width]` (centred embeddings), and for each picture
/// its style (None: any) and whether it is flipped.
#[derive(Clone)]
pub struct Conditioning {
    pub text: Tensor,
    pub style: Vec<Option<u32>>,
    pub flip: Vec<bool>,
}

impl Conditioning {
    /// `[batch]`: rows of a table of styles, whose last row stands for any.
    pub fn styles(&self, any: usize) -> Result<Tensor> {
        let row = |style: &Option<u32>| style.unwrap_or(any as u32);
        let rows: Vec<u32> = self.style.iter().map(row).collect();
        Tensor::new(rows, self.text.device())
    }

    /// `[batch]`: rows of a table of flips.
    pub fn flips(&self) -> Result<Tensor> {
        let rows: Vec<u32> = self.flip.iter().map(|flip| u32::from(*flip)).collect();
        Tensor::new(rows, self.text.device())
    }

    pub fn len(&self) -> usize {
        self.style.len()
    }

    pub fn is_empty(&self) -> bool {
        self.style.is_empty()
    }
}

impl ConditionEncoder {
    pub fn new(
        weights: &Weights,
        text: usize,
        styles: usize,
        width: usize,
    ) -> Result<ConditionEncoder> {
        const STYLE: usize = 64;
        const FLIP: usize = 8;
        let inputs = text + STYLE + FLIP;
        Ok(ConditionEncoder {
            style: weights.table(styles + 1, STYLE, "style", 1.0)?,
            flip: weights.table(2, FLIP, "flip", 1.0)?,
            none: weights.get(&[text], "none", Init::Const(0.0))?,
            first: Linear::new(&weights.pp("in_"), inputs, width)?,
            mid: Linear::new(&weights.pp("mid"), width, width)?,
            out: Linear::new(&weights.pp("out"), width, width)?,
            styles,
        })
    }

    /// `[batch, width]`.
    pub fn forward(&self, conditioning: &Conditioning) -> Result<Tensor> {
        let style = self
            .style
            .index_select(&conditioning.style_rows(self.styles)?, 0)?;
        let flip = self.flip.index_select(&conditioning.flip_rows()?, 0)?;
        let x = Tensor::cat(&[&conditioning.text, &style, &flip], 1)?;
        let x = leaky_relu(&self.first.forward(&x)?)?;
        let x = leaky_relu(&self.mid.forward(&x)?)?;
        leaky_relu(&self.out.forward(&x)?)
    }

    /// `[width of text]`: stands in place of words that are not given.
    pub fn none(&self) -> &Tensor {
        &self.none
    }
}
