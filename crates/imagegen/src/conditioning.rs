//! The inputs that steer a picture (prompt embedding, style, horizontal flip), and the network that
//! encodes them as one vector.

use super::layers::leaky_relu;
use super::weights::{Linear, Weights};
use candle_core::{Result, Tensor};
use candle_nn::Init;

/// Encodes conditioning as one vector.
pub struct ConditionEncoder {
    style: Tensor,
    flip: Tensor,
    none: Tensor,
    first: Linear,
    mid: Linear,
    out: Linear,
    styles: usize,
}

/// The inputs that steer each picture of a batch. `text` `[batch, width]` contains the normalized
/// prompt embeddings, `style` each picture's style (None for any style), and `flip` whether each
/// picture is flipped horizontally.
#[derive(Clone)]
pub struct Conditioning {
    pub text: Tensor,
    pub style: Vec<Option<u32>>,
    pub flip: Vec<bool>,
}

impl Conditioning {
    /// Returns each picture's row in the style table, `[batch]`. `any` is the last row, which
    /// stands for any style.
    pub fn style_rows(&self, any: usize) -> Result<Tensor> {
        let row = |style: &Option<u32>| style.unwrap_or(any as u32);
        let rows: Vec<u32> = self.style.iter().map(row).collect();
        Tensor::new(rows, self.text.device())
    }

    /// Returns each picture's row in the flip table, `[batch]`.
    pub fn flip_rows(&self) -> Result<Tensor> {
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
            style: weights.embedding_table(styles + 1, STYLE, "style", 1.0)?,
            flip: weights.embedding_table(2, FLIP, "flip", 1.0)?,
            none: weights.get(&[text], "none", Init::Const(0.0))?,
            first: Linear::new(&weights.pp("in_"), inputs, width)?,
            mid: Linear::new(&weights.pp("mid"), width, width)?,
            out: Linear::new(&weights.pp("out"), width, width)?,
            styles,
        })
    }

    /// Computes the condition vectors, `[batch, width]`.
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

    /// The null text embedding `[width of text]`, which is used if there is no prompt.
    pub fn null_text(&self) -> &Tensor {
        &self.none
    }
}
