//! The pieces that the networks are made of.
//!
//! Every operation has a gradient in candle. Where none is wanted (the tensors carry no
//! operations) fused operations without gradients take their place, and matrices may be packed
//! for illumine's own kernels.

use crate::model::linear::{self, Arena, Format, Packed, Pool};
use candle_core::{D, Error, Result, Tensor};
use candle_nn::{Init, VarBuilder, ops};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// Where a network's tensors come from, and how its matrices are to be kept.
#[derive(Clone)]
pub struct Weights<'a> {
    tensors: VarBuilder<'a>,
    packing: Option<Packing>,
}

/// For drawing on a CPU: matrices of 8 bits, for illumine's own kernels.
#[derive(Clone)]
struct Packing {
    pool: Arc<Pool>,
    arena: Rc<RefCell<Arena>>,
}

impl<'a> Weights<'a> {
    /// Tensors as they are: for training, and for devices other than a CPU.
    pub fn plain(tensors: VarBuilder<'a>) -> Weights<'a> {
        Weights {
            tensors,
            packing: None,
        }
    }

    /// Matrices packed to 8 bits.
    pub fn packed(tensors: VarBuilder<'a>, pool: Arc<Pool>) -> Weights<'a> {
        let arena = Rc::default();
        Weights {
            tensors,
            packing: Some(Packing { pool, arena }),
        }
    }

    /// What lies below `name`.
    pub fn below(&self, name: impl ToString) -> Weights<'a> {
        Weights {
            tensors: self.tensors.pp(name),
            packing: self.packing.clone(),
        }
    }

    /// A tensor, made by `init` where training begins.
    pub fn get(&self, shape: &[usize], name: &str, init: Init) -> Result<Tensor> {
        self.tensors.get_with_hints(shape, name, init)
    }

    /// A table `[rows, width]`.
    pub fn table(&self, rows: usize, width: usize, name: &str, deviation: f64) -> Result<Tensor> {
        self.get(&[rows, width], &format!("{name}.weight"), normal(deviation))
    }
}

pub fn normal(stdev: f64) -> Init {
    Init::Randn { mean: 0.0, stdev }
}

/// Even between -1/√n and 1/√n for n inputs.
fn even(inputs: usize) -> Init {
    let bound = (inputs as f64).sqrt().recip();
    Init::Uniform {
        lo: -bound,
        up: bound,
    }
}

/// `[.., inputs]` to `[.., outputs]`.
pub struct Linear {
    matrix: Matrix,
    bias: Tensor,
}

enum Matrix {
    /// `[outputs, inputs]`.
    Plain(Tensor),
    Packed(Packed, Arc<Pool>, Vec<f32>),
}

impl Linear {
    pub fn new(weights: &Weights, inputs: usize, outputs: usize) -> Result<Linear> {
        let bias = even(inputs);
        Linear::with(weights, inputs, outputs, even(inputs), bias)
    }

    /// The last of a block: half as strong at first, and without a bias of its own.
    pub fn gentle(weights: &Weights, inputs: usize, outputs: usize) -> Result<Linear> {
        let bound = (inputs as f64).sqrt().recip() / 2.0;
        let half = Init::Uniform {
            lo: -bound,
            up: bound,
        };
        Linear::with(weights, inputs, outputs, half, Init::Const(0.0))
    }

    pub fn with(
        weights: &Weights,
        inputs: usize,
        outputs: usize,
        weight: Init,
        bias: Init,
    ) -> Result<Linear> {
        let weight = weights.get(&[outputs, inputs], "weight", weight)?;
        let bias = weights.get(&[outputs], "bias", bias)?;
        let matrix = match &weights.packing {
            Some(packing) if inputs % linear_block() == 0 && outputs >= 64 => {
                pack(&weight, packing, bias.to_vec1()?)?
            }
            _ => Matrix::Plain(weight),
        };
        Ok(Linear { matrix, bias })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.matrix {
            Matrix::Plain(weight) => plain(x, weight)?.broadcast_add(&self.bias),
            Matrix::Packed(packed, pool, bias) => multiply(x, packed, pool, bias),
        }
    }
}

/// Rows of `x` times the matrix: as one product, whatever dimensions `x` has.
fn plain(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let mut shape = x.dims().to_vec();
    let inputs = shape.pop().unwrap_or(1);
    shape.push(weight.dim(0)?);
    let rows = x.reshape(((), inputs))?;
    rows.matmul(&weight.t()?)?.reshape(shape)
}

fn multiply(x: &Tensor, packed: &Packed, pool: &Pool, bias: &[f32]) -> Result<Tensor> {
    let mut shape = x.dims().to_vec();
    let inputs = shape.pop().unwrap_or(1);
    shape.push(packed.rows());
    let values = x.flatten_all()?.to_vec1::<f32>()?;
    let rows = values.len() / inputs;
    let mut out = vec![0f32; rows * packed.rows()];
    linear::matmul(pool, &[packed], &values, rows, &mut [&mut out]).map_err(Error::wrap)?;
    for row in out.chunks_exact_mut(bias.len()) {
        row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
    }
    Tensor::from_vec(out, shape, x.device())
}

fn linear_block() -> usize {
    32
}

fn pack(weight: &Tensor, packing: &Packing, bias: Vec<f32>) -> Result<Matrix> {
    let (rows, cols) = weight.dims2()?;
    let values = weight.flatten_all()?.to_vec1::<f32>()?;
    let blocks = q8_0(&values);
    let mut arena = packing.arena.borrow_mut();
    let packed = Packed::pack(&mut arena, &packing.pool, Format::Q8_0, &blocks, rows, cols);
    let packed = packed.map_err(Error::wrap)?;
    Ok(Matrix::Packed(packed, packing.pool.clone(), bias))
}

/// GGML's Q8_0: 32 values as one scale in half precision and 32 signed bytes.
fn q8_0(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() / 32 * 34);
    for block in values.chunks_exact(32) {
        let largest = block.iter().fold(0f32, |most, x| most.max(x.abs()));
        let scale = half::f16::from_f32(largest / 127.0);
        let inverse = match scale.to_f32() {
            0.0 => 0.0,
            scale => scale.recip(),
        };
        bytes.extend(scale.to_le_bytes());
        let code = |x: &f32| (x * inverse).round().clamp(-127.0, 127.0) as i8 as u8;
        bytes.extend(block.iter().map(code));
    }
    bytes
}

/// A convolution of stride one that keeps the size.
pub struct Conv {
    weight: Tensor,
    bias: Tensor,
    padding: usize,
}

impl Conv {
    /// `side`: 1 or 3.
    pub fn new(weights: &Weights, inputs: usize, outputs: usize, side: usize) -> Result<Conv> {
        let init = even(inputs * side * side);
        Ok(Conv {
            weight: weights.get(&[outputs, inputs, side, side], "weight", init)?,
            bias: weights.get(&[outputs], "bias", init)?,
            padding: side / 2,
        })
    }

    /// `[batch, inputs, h, w]` to `[batch, outputs, h, w]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = x.conv2d(&self.weight, self.padding, 1, 1, 1)?;
        y.broadcast_add(&self.bias.reshape((1, (), 1, 1))?)
    }
}

/// To mean zero and deviation one along the last dimension.
pub fn layer_norm(x: &Tensor) -> Result<Tensor> {
    const EPSILON: f64 = 1e-5;
    if !x.track_op() {
        let width = x.dim(D::Minus1)?;
        let one = Tensor::ones(width, x.dtype(), x.device())?;
        return ops::layer_norm(&x.contiguous()?, &one, &one.zeros_like()?, EPSILON as f32);
    }
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred.broadcast_div(&(variance + EPSILON)?.sqrt()?)
}

fn softmax(x: &Tensor) -> Result<Tensor> {
    match x.track_op() {
        true => ops::softmax(x, D::Minus1),
        false => ops::softmax_last_dim(x),
    }
}

pub fn leaky(x: &Tensor) -> Result<Tensor> {
    ops::leaky_relu(x, 0.2)
}

/// A pre-norm Transformer block, its norms scaled and shifted by the condition (AdaLN, Peebles and
/// Xie 2022) or by numbers of their own.
pub struct Block {
    heads: usize,
    qkv: Linear,
    out: Linear,
    up: Linear,
    down: Linear,
    norms: Norms,
}

enum Norms {
    /// From the condition.
    Given(Linear),
    /// `[2, width]` each.
    Own { scale: Tensor, shift: Tensor },
}

/// Scale and shift of a block's two norms, each `[batch or 1, 1, width]`.
pub struct Modulation([Tensor; 4]);

const RATIO: usize = 3;

impl Block {
    /// `condition`: the width of what modulates it, if something does.
    pub fn new(
        weights: &Weights,
        width: usize,
        heads: usize,
        condition: Option<usize>,
    ) -> Result<Block> {
        let norms = match condition {
            Some(condition) => {
                let weights = weights.below("modulation");
                let (weight, bias) = (normal(0.02), Init::Const(0.0));
                Norms::Given(Linear::with(&weights, condition, 4 * width, weight, bias)?)
            }
            None => Norms::Own {
                scale: weights.get(&[2, width], "scale", Init::Const(0.0))?,
                shift: weights.get(&[2, width], "shift", Init::Const(0.0))?,
            },
        };
        Ok(Block {
            heads,
            qkv: Linear::new(&weights.below("qkv"), width, 3 * width)?,
            out: Linear::gentle(&weights.below("out"), width, width)?,
            up: Linear::new(&weights.below("up"), width, RATIO * width)?,
            down: Linear::gentle(&weights.below("down"), RATIO * width, width)?,
            norms,
        })
    }

    /// What the condition `[batch, condition]` makes of the norms; the same for all tokens.
    pub fn modulation(&self, condition: Option<&Tensor>) -> Result<Modulation> {
        let four = match (&self.norms, condition) {
            (Norms::Given(linear), Some(condition)) => linear
                .forward(condition)?
                .unsqueeze(1)?
                .chunk(4, D::Minus1)?,
            (Norms::Own { scale, shift }, _) => {
                let row = |t: &Tensor, at: usize| t.narrow(0, at, 1)?.unsqueeze(0);
                vec![
                    row(scale, 0)?,
                    row(shift, 0)?,
                    row(scale, 1)?,
                    row(shift, 1)?,
                ]
            }
            (Norms::Given(_), None) => return Err(Error::Msg("no condition".into())),
        };
        let four = <[Tensor; 4]>::try_from(four);
        Ok(Modulation(
            four.map_err(|_| Error::Msg("no four parts".into()))?,
        ))
    }

    /// x `[batch, tokens, width]` to the same. `drop` leaves some of what a half adds away.
    pub fn forward(&self, x: &Tensor, by: &Modulation, drop: &Drop) -> Result<Tensor> {
        let [scale1, shift1, scale2, shift2] = &by.0;
        let y = modulate(&layer_norm(x)?, scale1, shift1)?;
        let y = self.out.forward(&self.attend(&y)?)?;
        let x = (x + drop.apply(y)?)?;
        let y = modulate(&layer_norm(&x)?, scale2, shift2)?;
        let y = self.down.forward(&self.up.forward(&y)?.relu()?.sqr()?)?;
        x + drop.apply(y)?
    }

    fn attend(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, tokens, width) = x.dims3()?;
        let dim = width / self.heads;
        let qkv = self.qkv.forward(x)?;
        let qkv = qkv.reshape((batch, tokens, 3, self.heads, dim))?;
        let part = |at: usize| {
            qkv.narrow(2, at, 1)?
                .squeeze(2)?
                .transpose(1, 2)?
                .contiguous()
        };
        let q = (part(0)? * (dim as f64).sqrt().recip())?;
        let scores = q.matmul(&part(1)?.t()?)?;
        let mixed = softmax(&scores)?.matmul(&part(2)?)?;
        mixed.transpose(1, 2)?.reshape((batch, tokens, width))
    }
}

fn modulate(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    x.broadcast_mul(&(scale + 1.0)?)?.broadcast_add(shift)
}

/// Dropout in training; nothing when drawing.
pub enum Drop<'a> {
    None,
    /// Makes masks of the shape that it is given: zeros, and 1 / (1 - share) elsewhere.
    Masks(&'a dyn Fn(&[usize]) -> Result<Tensor>),
}

impl Drop<'_> {
    pub fn apply(&self, x: Tensor) -> Result<Tensor> {
        match self {
            Drop::None => Ok(x),
            Drop::Masks(mask) => &x * mask(x.dims())?,
        }
    }
}

/// Words, style and flip to one vector.
pub struct Condition {
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
pub struct Wish {
    pub text: Tensor,
    pub style: Vec<Option<u32>>,
    pub flip: Vec<bool>,
}

impl Wish {
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

impl Condition {
    pub fn new(weights: &Weights, text: usize, styles: usize, width: usize) -> Result<Condition> {
        const STYLE: usize = 64;
        const FLIP: usize = 8;
        let inputs = text + STYLE + FLIP;
        Ok(Condition {
            style: weights.table(styles + 1, STYLE, "style", 1.0)?,
            flip: weights.table(2, FLIP, "flip", 1.0)?,
            none: weights.get(&[text], "none", Init::Const(0.0))?,
            first: Linear::new(&weights.below("in_"), inputs, width)?,
            mid: Linear::new(&weights.below("mid"), width, width)?,
            out: Linear::new(&weights.below("out"), width, width)?,
            styles,
        })
    }

    /// `[batch, width]`.
    pub fn forward(&self, wish: &Wish) -> Result<Tensor> {
        let style = self.style.index_select(&wish.styles(self.styles)?, 0)?;
        let flip = self.flip.index_select(&wish.flips()?, 0)?;
        let x = Tensor::cat(&[&wish.text, &style, &flip], 1)?;
        let x = leaky(&self.first.forward(&x)?)?;
        let x = leaky(&self.mid.forward(&x)?)?;
        leaky(&self.out.forward(&x)?)
    }

    /// `[width of text]`: stands in place of words that are not given.
    pub fn none(&self) -> &Tensor {
        &self.none
    }
}

/// `[batch, c, g p, g p]` to `[batch, g g, p p c]`: each patch row by row, its channels last.
pub fn patches(x: &Tensor, p: usize) -> Result<Tensor> {
    let (batch, c, height, _) = x.dims4()?;
    let g = height / p;
    let x = x.reshape(&[batch, c, g, p, g, p][..])?;
    let x = x.permute([0, 2, 4, 3, 5, 1].as_slice())?;
    x.reshape((batch, g * g, p * p * c))
}

/// The inverse of [`patches`]: `[batch, g g, p p c]` to `[batch, c, g p, g p]`.
pub fn unpatches(x: &Tensor, g: usize, p: usize, c: usize) -> Result<Tensor> {
    let batch = x.dim(0)?;
    let x = x.reshape(&[batch, g, g, p, p, c][..])?;
    let x = x.permute([0, 5, 1, 3, 2, 4].as_slice())?;
    x.reshape((batch, c, g * p, g * p))
}

/// `[batch, n n, 4 width]` to `[batch, 2n 2n, width]`: each token becomes 2 by 2.
pub fn split(x: &Tensor, n: usize) -> Result<Tensor> {
    let (batch, _, width) = x.dims3()?;
    let x = x.reshape(&[batch, n, n, 2, 2, width / 4][..])?;
    let x = x.permute([0, 1, 3, 2, 4, 5].as_slice())?;
    x.reshape((batch, 4 * n * n, width / 4))
}

/// `[batch, 2n 2n, width]` to `[4 batch, n n, width]`: the four quarters, which do not see each
/// other.
pub fn windows(x: &Tensor, n: usize) -> Result<Tensor> {
    let (batch, _, width) = x.dims3()?;
    let x = x.reshape(&[batch, 2, n, 2, n, width][..])?;
    x.transpose(2, 3)?.reshape((4 * batch, n * n, width))
}

/// The inverse of [`windows`].
pub fn unwindows(x: &Tensor, n: usize) -> Result<Tensor> {
    let (four, _, width) = x.dims3()?;
    let x = x.reshape(&[four / 4, 2, 2, n, n, width][..])?;
    x.transpose(2, 3)?.reshape((four / 4, 4 * n * n, width))
}

/// `[batch, 4 c, h, h]` to `[batch, c, 2 h, 2 h]` (Shi et al. 2016), in PyTorch's order.
pub fn pixel_shuffle(x: &Tensor) -> Result<Tensor> {
    let (batch, c, h, _) = x.dims4()?;
    let x = x.reshape(&[batch, c / 4, 2, 2, h, h][..])?;
    let x = x.permute([0, 1, 4, 2, 5, 3].as_slice())?;
    x.reshape((batch, c / 4, 2 * h, 2 * h))
}

/// The inverse of [`pixel_shuffle`].
pub fn pixel_unshuffle(x: &Tensor) -> Result<Tensor> {
    let (batch, c, h, _) = x.dims4()?;
    let x = x.reshape(&[batch, c, h / 2, 2, h / 2, 2][..])?;
    let x = x.permute([0, 1, 3, 5, 2, 4].as_slice())?;
    x.reshape((batch, 4 * c, h / 2, h / 2))
}
