//! A network's tensors, and the layers that multiply by them.
//!
//! If no gradients are needed, matrices may be packed to 8 bits for illumine's own kernels. Files
//! may also store matrices in 8 bits ([`super::eight_bit`]).

use super::eight_bit::{self, SUFFIX};
use crate::autograd;
use candle_core::{DType, Error, Result, Tensor};
use candle_nn::{Init, VarBuilder};
use kernels::linear::{self, Arena, Format, Packed, Pool, Source, Write};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

/// The source from which a network loads its tensors. It also determines how the network's matrices
/// are stored in memory.
#[derive(Clone)]
pub struct Weights<'a> {
    tensors: VarBuilder<'a>,
    packing: Option<Packing>,
    /// Whether to train with the [`autograd`] crate. False if the CPU does not support the crate.
    use_autograd: bool,
}

/// What it takes to pack matrices to 8 bits for illumine's own CPU kernels.
#[derive(Clone)]
struct Packing {
    pool: Arc<Pool>,
    arena: Rc<RefCell<Arena>>,
    /// The names of the matrices packed so far.
    names: Rc<RefCell<BTreeSet<String>>>,
}

impl<'a> Weights<'a> {
    /// Creates weights whose matrices are ordinary tensors, on any device.
    pub fn plain(tensors: VarBuilder<'a>) -> Weights<'a> {
        Weights {
            tensors,
            packing: None,
            use_autograd: false,
        }
    }

    /// Returns the same weights, set to train with the [`autograd`] crate if the CPU supports the
    /// crate. The operands of matrix products are then rounded to bfloat16.
    pub fn with_autograd(&self) -> Weights<'a> {
        Weights {
            use_autograd: self.tensors.device().is_cpu() && autograd::is_supported(),
            ..self.clone()
        }
    }

    /// Creates weights whose matrices are packed to 8 bits.
    pub fn packed(tensors: VarBuilder<'a>, pool: Arc<Pool>) -> Weights<'a> {
        Weights {
            tensors,
            packing: Some(Packing {
                pool,
                arena: Rc::default(),
                names: Rc::default(),
            }),
            use_autograd: false,
        }
    }

    /// Returns the same weights for drawing. On a CPU, matrices are packed to 8 bits, and products
    /// use this many threads.
    pub fn for_inference(&self, threads: usize) -> Weights<'a> {
        match self.tensors.device().is_cpu() {
            true => Weights::packed(self.tensors.clone(), Arc::new(Pool::new(threads))),
            false => self.clone(),
        }
    }

    /// Returns the same weights without packing.
    pub fn unpacked(&self) -> Weights<'a> {
        Weights::plain(self.tensors.clone())
    }

    /// Returns the weights whose names start with the given prefix.
    pub fn pp(&self, name: impl ToString) -> Weights<'a> {
        Weights {
            tensors: self.tensors.pp(name),
            packing: self.packing.clone(),
            use_autograd: self.use_autograd,
        }
    }

    /// Returns the names of the matrices packed so far. The result is empty if matrices are not
    /// packed.
    pub fn packed_names(&self) -> BTreeSet<String> {
        let names = self.packing.as_ref().map(|packing| packing.names.borrow());
        names.map(|names| names.clone()).unwrap_or_default()
    }

    /// Returns the blocks of the matrix if it is stored in 8 bits, and None otherwise.
    fn stored(&self, inputs: usize, outputs: usize) -> Result<Option<Tensor>> {
        let name = format!("weight{SUFFIX}");
        if !eight_bit::fits(inputs, outputs) || !self.tensors.contains_tensor(&name) {
            return Ok(None);
        }
        let shape = (outputs, eight_bit::row_bytes(inputs));
        let none = Init::Const(0.0);
        let blocks = self
            .tensors
            .get_with_hints_dtype(shape, &name, none, DType::U8)?;
        Ok(Some(blocks))
    }

    /// Loads the tensor with the given name. If training starts from scratch, `init` determines the
    /// values of the new tensor.
    pub fn get(&self, shape: &[usize], name: &str, init: Init) -> Result<Tensor> {
        self.tensors.get_with_hints(shape, name, init)
    }

    /// Loads an embedding table `[rows, width]`. In a new table, `deviation` is the standard
    /// deviation of the values.
    pub fn embedding_table(
        &self,
        rows: usize,
        width: usize,
        name: &str,
        deviation: f64,
    ) -> Result<Tensor> {
        self.get(&[rows, width], &format!("{name}.weight"), normal(deviation))
    }
}

impl Packing {
    fn note(&self, prefix: &str) {
        let name = match prefix {
            "" => "weight".to_string(),
            prefix => format!("{prefix}.weight"),
        };
        self.names.borrow_mut().insert(name);
    }
}

pub fn normal(stdev: f64) -> Init {
    Init::Randn { mean: 0.0, stdev }
}

/// Returns the initialization of a layer with n inputs: uniform between -1/√n and 1/√n.
fn uniform(inputs: usize) -> Init {
    let bound = (inputs as f64).sqrt().recip();
    Init::Uniform {
        lo: -bound,
        up: bound,
    }
}

/// A linear layer: maps `[.., inputs]` to `[.., outputs]`.
pub struct Linear {
    matrix: Matrix,
    bias: Tensor,
}

enum Matrix {
    /// The matrix is an ordinary tensor `[outputs, inputs]`.
    Plain(Tensor),
    /// The matrix is a tensor `[outputs, inputs]`, and the [`autograd`] crate computes the
    /// products.
    Autograd(Tensor),
    Packed(Packed, Arc<Pool>, Vec<f32>),
}

impl Linear {
    pub fn new(weights: &Weights, inputs: usize, outputs: usize) -> Result<Linear> {
        let bias = uniform(inputs);
        Linear::with_init(weights, inputs, outputs, uniform(inputs), bias)
    }

    /// Creates the last layer of a residual branch, which is initialized at half scale and with a
    /// zero bias.
    pub fn half_scale(weights: &Weights, inputs: usize, outputs: usize) -> Result<Linear> {
        let bound = (inputs as f64).sqrt().recip() / 2.0;
        let half = Init::Uniform {
            lo: -bound,
            up: bound,
        };
        Linear::with_init(weights, inputs, outputs, half, Init::Const(0.0))
    }

    pub fn with_init(
        weights: &Weights,
        inputs: usize,
        outputs: usize,
        weight: Init,
        bias: Init,
    ) -> Result<Linear> {
        let bias = weights.get(&[outputs], "bias", bias)?;
        if let Some(stored) = weights.stored(inputs, outputs)? {
            let matrix = match &weights.packing {
                Some(packing) => {
                    let blocks = stored.flatten_all()?.to_vec1::<u8>()?;
                    pack(&blocks, (outputs, inputs), packing, bias.to_vec1()?)?
                }
                None if weights.use_autograd => {
                    Matrix::Autograd(eight_bit::dequantize(&stored, bias.device())?)
                }
                None => Matrix::Plain(eight_bit::dequantize(&stored, bias.device())?),
            };
            return Ok(Linear { matrix, bias });
        }
        let weight = weights.get(&[outputs, inputs], "weight", weight)?;
        let matrix = match &weights.packing {
            Some(packing) if eight_bit::fits(inputs, outputs) => {
                let values = weight.flatten_all()?.to_vec1::<f32>()?;
                let blocks = eight_bit::quantize(&values, &packing.pool);
                packing.note(&weights.tensors.prefix());
                pack(&blocks, (outputs, inputs), packing, bias.to_vec1()?)?
            }
            _ if weights.use_autograd => Matrix::Autograd(weight),
            _ => Matrix::Plain(weight),
        };
        Ok(Linear { matrix, bias })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.matrix {
            Matrix::Plain(weight) => plain(x, weight)?.broadcast_add(&self.bias),
            Matrix::Autograd(weight) => {
                let rows = x.reshape(((), weight.dim(1)?))?;
                let rows = autograd::affine(&rows, weight, &self.bias)?;
                rows.reshape(shape_of(x, weight.dim(0)?))
            }
            Matrix::Packed(packed, pool, bias) => multiply(x, packed, pool, bias),
        }
    }
}

impl Linear {
    /// The thread pool for products with the matrix if it is packed, and None otherwise.
    pub fn pool(&self) -> Option<&Arc<Pool>> {
        match &self.matrix {
            Matrix::Packed(_, pool, _) => Some(pool),
            Matrix::Plain(_) | Matrix::Autograd(_) => None,
        }
    }

    /// Whether the [`autograd`] crate computes this layer's products.
    pub fn uses_autograd(&self) -> bool {
        matches!(self.matrix, Matrix::Autograd(_))
    }

    /// Returns the matrix `[outputs, inputs]` and the bias, or an error if the matrix is packed.
    pub fn tensors(&self) -> Result<(&Tensor, &Tensor)> {
        match &self.matrix {
            Matrix::Plain(weight) | Matrix::Autograd(weight) => Ok((weight, &self.bias)),
            Matrix::Packed(..) => Err(Error::Msg("the matrix is packed".into())),
        }
    }

    /// Returns the matrix `[outputs, inputs]` and the bias as vectors, or an error if the matrix is
    /// packed.
    pub fn to_vecs(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        let (weight, bias) = self.tensors()?;
        Ok((weight.flatten_all()?.to_vec1()?, bias.to_vec1()?))
    }

    /// Multiplies rows by the packed matrix, adds the bias and applies `activation`. Returns an
    /// error if the matrix is not packed.
    pub fn forward_rows(&self, x: &[f32], activation: Activation) -> Result<Vec<f32>> {
        match &self.matrix {
            Matrix::Packed(packed, pool, bias) => product(x, packed, pool, bias, activation),
            _ => Err(Error::Msg("the matrix is not packed".into())),
        }
    }
}

/// Returns the shape of `x` with the last dimension replaced by `width`.
fn shape_of(x: &Tensor, width: usize) -> Vec<usize> {
    let mut shape = x.dims().to_vec();
    shape.pop();
    shape.push(width);
    shape
}

/// Products with fewer rows than this are padded to this many. Without padding, BLAS may sum a
/// single row in a different order than the rows of a batch, but a picture must not depend on the
/// other pictures in its batch.
const MIN_ROWS: usize = 64;

/// Multiplies the rows of `x`, which may have any number of dimensions, by the transposed matrix as
/// one product.
fn plain(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let shape = shape_of(x, weight.dim(0)?);
    let rows = x.reshape(((), weight.dim(1)?))?;
    let count = rows.dim(0)?;
    if x.track_op() || count >= MIN_ROWS {
        return rows.matmul(&weight.t()?)?.reshape(shape);
    }
    let more = rows.pad_with_zeros(0, 0, MIN_ROWS - count)?;
    let product = more.matmul(&weight.t()?)?;
    product.narrow(0, 0, count)?.reshape(shape)
}

fn multiply(x: &Tensor, packed: &Packed, pool: &Pool, bias: &[f32]) -> Result<Tensor> {
    let values = x.flatten_all()?.to_vec1::<f32>()?;
    let rows = product(&values, packed, pool, bias, Activation::Identity)?;
    Tensor::from_vec(rows, shape_of(x, packed.rows()), x.device())
}

/// The function that is applied to a product after the bias is added.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    Identity,
    /// The squared ReLU, max(x, 0)².
    SquaredRelu,
}

/// Multiplies the rows of `x` by the matrix, adds the bias, and applies the activation.
fn product(
    x: &[f32],
    packed: &Packed,
    pool: &Pool,
    bias: &[f32],
    activation: Activation,
) -> Result<Vec<f32>> {
    let rows = x.len() / packed.cols();
    let mut out = vec![0f32; rows * packed.rows()];
    let source = Source::Rows(x);
    linear::matmul(pool, &[packed], source, rows, &mut [&mut out], Write::Set)
        .map_err(Error::wrap)?;
    for_each_row(pool, &mut out, bias.len(), |_, row| {
        let pairs = row.iter_mut().zip(bias);
        match activation {
            Activation::Identity => pairs.for_each(|(x, b)| *x += b),
            Activation::SquaredRelu => pairs.for_each(|(x, b)| {
                let positive = (*x + b).max(0.0);
                *x = positive * positive;
            }),
        }
    });
    Ok(out)
}

/// Calls `work` for each row of `width` numbers. The rows are distributed over the threads.
pub fn for_each_row(
    pool: &Pool,
    x: &mut [f32],
    width: usize,
    work: impl Fn(usize, &mut [f32]) + Sync,
) {
    let rows = x.len() / width;
    let share = rows.div_ceil(2 * pool.threads()).max(1);
    let parts: Vec<_> = x.chunks_mut(share * width).enumerate().collect();
    pool.each(parts, |(part, rows)| {
        for (at, row) in rows.chunks_exact_mut(width).enumerate() {
            work(part * share + at, row);
        }
    });
}

fn pack(
    blocks: &[u8],
    (rows, cols): (usize, usize),
    packing: &Packing,
    bias: Vec<f32>,
) -> Result<Matrix> {
    let mut arena = packing.arena.borrow_mut();
    let packed = Packed::pack(&mut arena, &packing.pool, Format::Q8_0, blocks, rows, cols);
    let packed = packed.map_err(Error::wrap)?;
    Ok(Matrix::Packed(packed, packing.pool.clone(), bias))
}

/// A convolution with stride one and "same" padding.
pub struct Conv {
    weight: Tensor,
    bias: Tensor,
    padding: usize,
}

impl Conv {
    /// Creates a convolution whose kernel is `side` by `side`, where `side` is 1 or 3.
    pub fn new(weights: &Weights, inputs: usize, outputs: usize, side: usize) -> Result<Conv> {
        let init = uniform(inputs * side * side);
        Ok(Conv {
            weight: weights.get(&[outputs, inputs, side, side], "weight", init)?,
            bias: weights.get(&[outputs], "bias", init)?,
            padding: side / 2,
        })
    }

    /// Applies the convolution to `[batch, inputs, h, w]`. The result is `[batch, outputs, h, w]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = x.conv2d(&self.weight, self.padding, 1, 1, 1)?;
        y.broadcast_add(&self.bias.reshape((1, (), 1, 1))?)
    }
}
