//! Weights from the mapped file to the device, and the one place that multiplies by them.
//!
//! On a CPU a matrix is packed straight from the file for illumine's own kernels
//! ([`kernels::linear`]); in the few formats that these do not know, and on every other
//! device, candle's quantized matrices serve.

use super::config::{Activation, Config};
use super::matrix::{Buffer, Matrix};
use super::norm::Norm;
use crate::gguf::{Gguf, TensorInfo};
use crate::{ModelError, Placement};
use candle_core::quantized::{QMatMul, QStorage, QTensor};
use candle_core::{Device, Module, Result as Computed, Tensor};
use kernels::attention::KvType;
use kernels::linear::{
    self, Arena, Format, LinearError, Packed, Pool, Source, Write, dequantize_row,
};
use kernels::math;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

pub struct Weights {
    gguf: Arc<Gguf>,
    device: Device,
    /// Rows are plain memory, and our own kernels compute.
    on_host: bool,
    kv: KvType,
    pool: Arc<Pool>,
    arena: RefCell<Arena>,
    /// All products are our own.
    exact: Cell<bool>,
    /// The embedding table on the device, where rows are not read from the file.
    table: Option<QTensor>,
}

/// A matrix `[out, in]` that multiplies rows `[tokens, in]` to `[tokens, out]`.
pub enum Linear {
    Packed(Packed, Arc<Pool>),
    /// Candle's; `on_host` where rows are plain memory all the same.
    Candle {
        weight: QMatMul,
        on_host: bool,
    },
}

/// A norm's weight or a bias.
pub struct Vector {
    pub values: Vec<f32>,
    pub tensor: Tensor,
}

impl Weights {
    pub fn new(gguf: Arc<Gguf>, placement: &Placement) -> Result<Weights, ModelError> {
        let family = placement.family.unwrap_or_else(linear::KernelFamily::best);
        let mut weights = Weights {
            gguf,
            device: placement.device.clone(),
            on_host: placement.device.is_cpu() && !placement.force_candle,
            kv: placement.kv,
            pool: Arc::new(Pool::with_family(placement.threads, family)),
            arena: RefCell::new(Arena::new()),
            exact: Cell::new(placement.device.is_cpu() && !placement.force_candle),
            table: None,
        };
        let embedding = weights.find(EMBEDDING, 2)?;
        if Format::from_ggml(embedding.ggml).is_none() {
            weights.table = Some(weights.quantized(embedding)?);
        }
        Ok(weights)
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Whether rows are plain memory, and our own kernels compute.
    pub fn on_host(&self) -> bool {
        self.on_host
    }

    /// Whether rows are the same to the bit alone and in a batch.
    pub fn exact(&self) -> bool {
        self.exact.get()
    }

    /// How keys and values are kept on a CPU.
    pub fn kv(&self) -> KvType {
        self.kv
    }

    /// The threads that compute on a CPU.
    pub fn pool(&self) -> Arc<Pool> {
        self.pool.clone()
    }

    /// Which kernels multiply: what the numbers depend on.
    pub fn kernel_family(&self) -> String {
        format!("{:?}", self.pool.family()).to_lowercase()
    }

    pub fn has(&self, name: &str) -> bool {
        self.gguf.tensor(name).is_some()
    }

    /// The error for a tensor that the model cannot do without.
    pub fn missing(&self, name: &str) -> ModelError {
        self.gguf.missing(name).into()
    }

    /// A norm's weight or a bias, as f32.
    pub fn vector(&self, name: &str) -> Result<Vector, ModelError> {
        let tensor = self.find(name, 1)?;
        let tensor = self.quantized(tensor)?.dequantize(&self.device)?;
        let values = tensor.to_vec1()?;
        Ok(Vector { values, tensor })
    }

    /// A small matrix that is not multiplied by, as f32.
    pub fn matrix(&self, name: &str) -> Result<Tensor, ModelError> {
        let tensor = self.find(name, 2)?;
        Ok(self.quantized(tensor)?.dequantize(&self.device)?)
    }

    pub fn linear(&self, name: &str) -> Result<Linear, ModelError> {
        let tensor = self.find(name, 2)?;
        let size = (tensor.shape[0], tensor.shape[1]);
        self.multiplier(tensor, size, self.gguf.data(tensor))
    }

    /// Matrices that lie one after the other in one tensor `[matrices, out, in]`.
    pub fn stacked(&self, name: &str) -> Result<Vec<Linear>, ModelError> {
        let tensor = self.find(name, 3)?;
        let size = (tensor.shape[1], tensor.shape[2]);
        let data = self.gguf.data(tensor);
        let bytes = data.len() / tensor.shape[0].max(1);
        let matrices = data.chunks_exact(bytes.max(1));
        matrices
            .map(|data| self.multiplier(tensor, size, data))
            .collect()
    }

    /// Matrices of so many rows that lie one above the other.
    pub fn split<const N: usize>(
        &self,
        name: &str,
        rows: [usize; N],
    ) -> Result<[Linear; N], ModelError> {
        let tensor = self.find(name, 2)?;
        let (all, cols) = (tensor.shape[0], tensor.shape[1]);
        if rows.iter().sum::<usize>() != all || all == 0 {
            return Err(self.missing(name));
        }
        let mut data = self.gguf.data(tensor);
        let each = data.len() / all;
        let mut parts = Vec::with_capacity(N);
        for rows in rows {
            let (part, rest) = data.split_at(rows * each);
            parts.push(self.multiplier(tensor, (rows, cols), part)?);
            data = rest;
        }
        parts.try_into().map_err(|_| self.missing(name))
    }

    /// Two matrices of the same size, one above the other.
    pub fn halves(&self, name: &str) -> Result<[Linear; 2], ModelError> {
        let rows = self.find(name, 2)?.shape[0];
        self.split(name, [rows / 2, rows - rows / 2])
    }

    fn multiplier(
        &self,
        tensor: &TensorInfo,
        (rows, cols): (usize, usize),
        data: &[u8],
    ) -> Result<Linear, ModelError> {
        if let Some(format) = Format::from_ggml(tensor.ggml).filter(|_| self.on_host) {
            let mut arena = self.arena.borrow_mut();
            let packed = Packed::pack(&mut arena, &self.pool, format, data, rows, cols)?;
            self.gguf.release(data);
            return Ok(Linear::Packed(packed, self.pool.clone()));
        }
        self.exact.set(false);
        let storage = QStorage::from_data(Cow::Borrowed(data), &self.device, tensor.dtype)?;
        let quantized = QTensor::new(storage, (rows, cols))?;
        Ok(Linear::Candle {
            weight: QMatMul::from_arc(Arc::new(quantized))?,
            on_host: self.on_host,
        })
    }

    /// The embeddings of `tokens`, `[tokens, hidden]`, read from the quantized table in the file.
    pub fn embed(&self, tokens: &[u32]) -> Result<Matrix, ModelError> {
        if let Some(table) = &self.table {
            let rows = table.embedding(&Tensor::new(tokens, &self.device)?)?;
            return Ok(match self.on_host {
                true => host(&rows)?,
                false => Matrix::Device(rows),
            });
        }
        let table = self.find(EMBEDDING, 2)?;
        let format = Format::from_ggml(table.ggml).ok_or_else(|| self.gguf.missing(EMBEDDING))?;
        let hidden = table.shape[1];
        let mut rows = Buffer::rows(tokens.len(), hidden);
        for (row, token) in rows.chunks_exact_mut(hidden).zip(tokens) {
            dequantize_row(format, self.gguf.data(table), *token as usize, hidden, row)?;
        }
        Ok(match self.on_host {
            true => Matrix::Host(rows),
            false => Matrix::Device(rows.tensor()?.to_device(&self.device)?),
        })
    }

    /// Llama 3's and Phi 3's per-frequency divisors; Phi's short ones, which its first 4,096
    /// positions use.
    pub fn rope_divisors(&self, config: &Config) -> Option<Vec<f32>> {
        let short = config.architecture == "phi3";
        let name = if short {
            "rope_factors_short.weight"
        } else {
            "rope_freqs.weight"
        };
        Some(self.vector(name).ok()?.values)
    }

    fn find(&self, name: &str, rank: usize) -> Result<&TensorInfo, ModelError> {
        let tensor = self
            .gguf
            .tensor(name)
            .filter(|tensor| tensor.shape.len() == rank);
        Ok(tensor.ok_or_else(|| self.gguf.missing(name))?)
    }

    fn quantized(&self, tensor: &TensorInfo) -> Computed<QTensor> {
        let bytes = Cow::Borrowed(self.gguf.data(tensor));
        let storage = QStorage::from_data(bytes, &self.device, tensor.dtype)?;
        QTensor::new(storage, tensor.shape.as_slice())
    }
}

const EMBEDDING: &str = "token_embd.weight";

/// What matrices are multiplied with; on a CPU it is made on the way, a few rows at a time.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    Plain(&'a Matrix),
    Normed(&'a Matrix, &'a Norm),
    /// `activation(gate) * up`.
    Gated(Activation, &'a Matrix, &'a Matrix),
}

impl Input<'_> {
    /// The rows on a CPU: where they are, or how they are made.
    pub(super) fn with_source<T>(
        self,
        pool: &Pool,
        work: impl FnOnce(usize, Source) -> T,
    ) -> Option<T> {
        Some(match self {
            Input::Plain(Matrix::Host(x)) => work(x.tokens(), Source::Rows(x)),
            Input::Normed(Matrix::Host(x), norm) => {
                let make = |row: usize, out: &mut [f32]| norm.row(x.row(row), out);
                work(x.tokens(), Source::Computed(&make))
            }
            Input::Gated(activation, Matrix::Host(gate), Matrix::Host(up)) => {
                let make = |row: usize, out: &mut [f32]| {
                    math::gated(pool.family(), activation, gate.row(row), up.row(row), out);
                };
                work(gate.tokens(), Source::Computed(&make))
            }
            _ => return None,
        })
    }

    fn tensor(self) -> Computed<Tensor> {
        match self {
            Input::Plain(x) => x.tensor(),
            Input::Normed(x, norm) => norm.tensor(&x.tensor()?),
            Input::Gated(activation, gate, up) => {
                let gate = gate.tensor()?;
                let gate = match activation {
                    Activation::Silu => gate.silu()?,
                    Activation::Gelu => gate.gelu()?,
                };
                gate * up.tensor()?
            }
        }
    }
}

impl Linear {
    /// Several matrices times the same rows: on a CPU they share one reading of the input.
    pub fn forward_many<const N: usize>(
        weights: [&Linear; N],
        input: Input,
    ) -> Computed<[Matrix; N]> {
        let packed: Option<Vec<&Packed>> = weights.iter().map(|weight| weight.packed()).collect();
        if let (Some(packed), Some(Linear::Packed(_, pool))) = (packed, weights.first())
            && let Some(products) = input.with_source(pool, |tokens, source| {
                let buffer = |n: usize| Buffer::rows(tokens, packed[n].rows());
                let mut products: [Buffer; N] = std::array::from_fn(buffer);
                let mut outs: [&mut [f32]; N] = products.each_mut().map(|product| &mut product[..]);
                let done = linear::matmul(pool, &packed, source, tokens, &mut outs, Write::Set);
                done.map(|()| products.map(Matrix::Host))
            })
        {
            return products.map_err(candle_core::Error::wrap);
        }
        let x = input.tensor()?.contiguous()?;
        let mut products = Vec::with_capacity(N);
        for weight in weights {
            products.push(weight.times(&x)?);
        }
        products
            .try_into()
            .map_err(|_| candle_core::Error::Msg("a product is missing".to_string()))
    }

    /// `x + after(product)`.
    pub fn add_to(&self, input: Input, after: Option<&Norm>, mut x: Matrix) -> Computed<Matrix> {
        if let (Linear::Packed(weight, pool), None, Matrix::Host(x)) = (self, after, &mut x)
            && let Some(done) = input.with_source(pool, |tokens, source| {
                linear::matmul(pool, &[weight], source, tokens, &mut [x], Write::Add)
            })
        {
            done.map_err(candle_core::Error::wrap)?;
        } else {
            let [product] = Linear::forward_many([self], input)?;
            x = x.plus(match after {
                Some(after) => after.forward(product)?,
                None => product,
            })?;
        }
        Ok(x)
    }

    pub(super) fn packed(&self) -> Option<&Packed> {
        match self {
            Linear::Packed(packed, _) => Some(packed),
            Linear::Candle { .. } => None,
        }
    }

    /// The product of rows in a tensor.
    fn times(&self, x: &Tensor) -> Computed<Matrix> {
        match self {
            Linear::Candle { weight, on_host } => {
                let product = weight.forward(x)?;
                match on_host {
                    true => host(&product),
                    false => Ok(Matrix::Device(product)),
                }
            }
            Linear::Packed(..) => {
                let [product] = Linear::forward_many([self], Input::Plain(&host(x)?))?;
                Ok(product)
            }
        }
    }
}

/// A CPU's tensor as plain memory.
fn host(x: &Tensor) -> Computed<Matrix> {
    let (tokens, width) = x.dims2()?;
    let mut rows = Buffer::rows(tokens, width);
    rows.copy_from_slice(&x.flatten_all()?.to_vec1::<f32>()?);
    Ok(Matrix::Host(rows))
}

impl From<LinearError> for ModelError {
    fn from(error: LinearError) -> ModelError {
        ModelError::Compute(error.to_string())
    }
}
