//! Weights from the mapped file to the device, and the one place that multiplies by them.
//!
//! On a CPU a matrix is packed straight from the file for illumine's own kernels
//! ([`crate::model::linear`]); in the few formats that these do not know, and on every other
//! device, candle's quantized matrices serve.

use super::Config;
use crate::model::ModelError;
use crate::model::gguf::{Gguf, TensorInfo};
use crate::model::linear::{self, Arena, Format, LinearError, Packed, Pool, dequantize_row};
use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{Device, Module, Result as Computed, Storage, Tensor};
use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

pub struct Weights {
    gguf: Arc<Gguf>,
    device: Device,
    pool: Arc<Pool>,
    arena: RefCell<Arena>,
    /// The embedding table on the device, where rows are not read from the file.
    table: Option<QTensor>,
}

/// A matrix `[out, in]` that multiplies rows `[tokens, in]` to `[tokens, out]`.
pub enum Linear {
    Packed(Packed, Arc<Pool>),
    Candle(QMatMul),
}

impl Weights {
    pub fn new(gguf: Arc<Gguf>, device: &Device, threads: usize) -> Result<Weights, ModelError> {
        let mut weights = Weights {
            gguf,
            device: device.clone(),
            pool: Arc::new(Pool::new(threads)),
            arena: RefCell::new(Arena::new()),
            table: None,
        };
        let embedding = weights.find(EMBEDDING, 2)?;
        if format(embedding.dtype).is_none() {
            weights.table = Some(weights.quantized(embedding)?);
        }
        Ok(weights)
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The threads that compute on a CPU.
    pub fn pool(&self) -> Arc<Pool> {
        self.pool.clone()
    }

    /// Which kernels multiply: what the numbers depend on.
    pub fn kernels(&self) -> String {
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
    pub fn vector(&self, name: &str) -> Result<Tensor, ModelError> {
        let tensor = self.find(name, 1)?;
        Ok(self.quantized(tensor)?.dequantize(&self.device)?)
    }

    /// A small matrix that is not multiplied by, as f32.
    pub fn matrix(&self, name: &str) -> Result<Tensor, ModelError> {
        let tensor = self.find(name, 2)?;
        Ok(self.quantized(tensor)?.dequantize(&self.device)?)
    }

    pub fn linear(&self, name: &str) -> Result<Linear, ModelError> {
        let tensor = self.find(name, 2)?;
        let size = (tensor.shape[0], tensor.shape[1]);
        self.multiplier(tensor.dtype, size, self.gguf.data(tensor))
    }

    /// Matrices that lie one after the other in one tensor `[matrices, out, in]`.
    pub fn stacked(&self, name: &str) -> Result<Vec<Linear>, ModelError> {
        let tensor = self.find(name, 3)?;
        let size = (tensor.shape[1], tensor.shape[2]);
        let data = self.gguf.data(tensor);
        let bytes = data.len() / tensor.shape[0].max(1);
        let matrices = data.chunks_exact(bytes.max(1));
        matrices
            .map(|data| self.multiplier(tensor.dtype, size, data))
            .collect()
    }

    fn multiplier(
        &self,
        dtype: GgmlDType,
        (rows, cols): (usize, usize),
        data: &[u8],
    ) -> Result<Linear, ModelError> {
        if let Some(format) = format(dtype).filter(|_| self.device.is_cpu()) {
            let mut arena = self.arena.borrow_mut();
            let packed = Packed::pack(&mut arena, &self.pool, format, data, rows, cols)?;
            return Ok(Linear::Packed(packed, self.pool.clone()));
        }
        let storage = QStorage::from_data(Cow::Borrowed(data), &self.device, dtype)?;
        let quantized = QTensor::new(storage, (rows, cols))?;
        Ok(Linear::Candle(QMatMul::from_arc(Arc::new(quantized))?))
    }

    /// The embeddings of `tokens`, `[tokens, hidden]`, read from the quantized table in the file.
    pub fn embed(&self, tokens: &[u32]) -> Result<Tensor, ModelError> {
        if let Some(table) = &self.table {
            return Ok(table.embedding(&Tensor::new(tokens, &self.device)?)?);
        }
        let table = self.find(EMBEDDING, 2)?;
        let format = format(table.dtype).ok_or_else(|| self.gguf.missing(EMBEDDING))?;
        let hidden = table.shape[1];
        let mut rows = vec![0f32; tokens.len() * hidden];
        for (row, token) in rows.chunks_exact_mut(hidden).zip(tokens) {
            dequantize_row(format, self.gguf.data(table), *token as usize, hidden, row)?;
        }
        Ok(Tensor::from_vec(
            rows,
            (tokens.len(), hidden),
            &self.device,
        )?)
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
        self.vector(name).ok()?.to_vec1().ok()
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

/// The formats that illumine's own kernels know.
fn format(dtype: GgmlDType) -> Option<Format> {
    Some(match dtype {
        GgmlDType::Q4_0 => Format::Q4_0,
        GgmlDType::Q4_1 => Format::Q4_1,
        GgmlDType::Q5_0 => Format::Q5_0,
        GgmlDType::Q5_1 => Format::Q5_1,
        GgmlDType::Q8_0 => Format::Q8_0,
        GgmlDType::Q4K => Format::Q4K,
        GgmlDType::Q5K => Format::Q5K,
        GgmlDType::Q6K => Format::Q6K,
        GgmlDType::F16 => Format::F16,
        GgmlDType::BF16 => Format::BF16,
        GgmlDType::F32 => Format::F32,
        _ => return None,
    })
}

impl Linear {
    pub fn forward(&self, x: &Tensor) -> Computed<Tensor> {
        let [product] = forward_many([self], x)?;
        Ok(product)
    }
}

/// Several matrices times the same rows: on a CPU they share one reading of the input.
pub fn forward_many<const N: usize>(weights: [&Linear; N], x: &Tensor) -> Computed<[Tensor; N]> {
    let x = x.contiguous()?;
    let packed: Option<Vec<&Packed>> = weights.iter().map(|weight| weight.packed()).collect();
    let products = match (packed, weights.first()) {
        (Some(packed), Some(Linear::Packed(_, pool))) => multiply(pool, &packed, &x)?,
        _ => weights
            .iter()
            .map(|weight| weight.alone(&x))
            .collect::<Computed<_>>()?,
    };
    products
        .try_into()
        .map_err(|_| candle_core::Error::Msg("a product is missing".to_string()))
}

impl Linear {
    fn packed(&self) -> Option<&Packed> {
        match self {
            Linear::Packed(packed, _) => Some(packed),
            Linear::Candle(_) => None,
        }
    }

    fn alone(&self, x: &Tensor) -> Computed<Tensor> {
        match self {
            Linear::Candle(weight) => weight.forward(x),
            Linear::Packed(packed, pool) => {
                let mut products = multiply(pool, &[packed], x)?;
                Ok(products.remove(0))
            }
        }
    }
}

fn multiply(pool: &Pool, weights: &[&Packed], x: &Tensor) -> Computed<Vec<Tensor>> {
    let tokens = x.dim(0)?;
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cpu(cpu) = &*storage else {
        candle_core::bail!("packed weights multiply on a CPU")
    };
    let start = layout.start_offset();
    let rows = &cpu.as_slice::<f32>()?[start..start + layout.shape().elem_count()];
    let mut products: Vec<Vec<f32>> = weights
        .iter()
        .map(|weight| vec![0f32; tokens * weight.rows()])
        .collect();
    let mut outs: Vec<&mut [f32]> = products.iter_mut().map(Vec::as_mut_slice).collect();
    let done = linear::matmul(pool, weights, rows, tokens, &mut outs);
    done.map_err(candle_core::Error::wrap)?;
    let tensors = products.into_iter().zip(weights);
    tensors
        .map(|(product, weight)| Tensor::from_vec(product, (tokens, weight.rows()), x.device()))
        .collect()
}

impl From<LinearError> for ModelError {
    fn from(error: LinearError) -> ModelError {
        ModelError::Compute(error.to_string())
    }
}
