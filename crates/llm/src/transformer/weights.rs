//! Loads weights from the mapped file onto the device.
//!
//! On a CPU, a matrix is packed directly from the file for illumine's own kernels
//! ([`kernels::linear`]). On every other device, and for the few formats that the kernels do not
//! support, candle's quantized matrices are used.

use super::config::Config;
use super::linear::Linear;
use super::matrix::{Buffer, Matrix, Vector, on_host};
use super::norm::Norm;
use crate::error::ModelError;
use crate::gguf::{Gguf, GgufError, TensorInfo, TensorType};
use crate::text_model::Placement;
use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{Device, Tensor};
use kernels::attention::KvType;
use kernels::linear::{Arena, KernelFamily, Packed, Pool, dequantize_row};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::sync::Arc;

pub struct Weights {
    gguf: Arc<Gguf>,
    device: Device,
    /// Whether the layers' rows are in plain memory and are multiplied by illumine's kernels.
    on_host: bool,
    kv: KvType,
    pool: Arc<Pool>,
    arena: RefCell<Arena>,
    /// Whether all matrices loaded so far are multiplied by illumine's kernels. If so, the results
    /// for a row are the same whether it is evaluated alone or in a batch.
    exact: Cell<bool>,
    /// The embedding table on the device. None if embeddings are read from the file.
    table: Option<QTensor>,
    /// The names of the tensors that have been loaded so far.
    loaded: RefCell<HashSet<String>>,
}

impl Weights {
    pub fn new(gguf: Arc<Gguf>, placement: &Placement) -> Result<Weights, ModelError> {
        let family = placement.family.unwrap_or_else(KernelFamily::best);
        let mut weights = Weights {
            gguf,
            device: placement.device.clone(),
            on_host: placement.device.is_cpu() && !placement.force_candle,
            kv: placement.kv,
            pool: Arc::new(Pool::with_family(placement.threads, family)),
            arena: RefCell::new(Arena::new()),
            exact: Cell::new(placement.device.is_cpu() && !placement.force_candle),
            table: None,
            loaded: RefCell::default(),
        };
        let embedding = weights.find(EMBEDDING, 2)?;
        if embedding.kind.format().is_none() {
            weights.table = Some(weights.quantized(embedding)?);
        }
        Ok(weights)
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Whether the layers' rows are in plain memory and are multiplied by illumine's kernels.
    pub fn on_host(&self) -> bool {
        self.on_host
    }

    /// Whether evaluating a row alone and evaluating it in a batch give bit-identical results.
    pub fn exact(&self) -> bool {
        self.exact.get()
    }

    /// The type in which keys and values are stored on a CPU.
    pub fn kv(&self) -> KvType {
        self.kv
    }

    /// The thread pool for computations on a CPU.
    pub fn pool(&self) -> Arc<Pool> {
        self.pool.clone()
    }

    /// The name of the kernel family in use, since the family may affect the results.
    pub fn kernel_family(&self) -> String {
        format!("{:?}", self.pool.family()).to_lowercase()
    }

    pub fn has(&self, name: &str) -> bool {
        self.gguf.tensor(name).is_some()
    }

    /// Returns the number of dimensions of a tensor, or 0 if the file has no such tensor.
    pub fn rank(&self, name: &str) -> usize {
        self.gguf
            .tensor(name)
            .map_or(0, |tensor| tensor.shape.len())
    }

    /// Returns the error for a file in which the required tensor `name` is missing.
    pub fn missing(&self, name: &str) -> ModelError {
        self.gguf.missing(name).into()
    }

    /// Loads a vector, such as a bias or the weight of a norm, as f32.
    pub fn vector(&self, name: &str) -> Result<Vector, ModelError> {
        let tensor = self.find(name, 1)?;
        let tensor = self.quantized(tensor)?.dequantize(&self.device)?;
        let values = tensor.to_vec1()?;
        Ok(Vector { values, tensor })
    }

    /// Loads the RMSNorm whose weight is the tensor `name`. `width` is the expected number of
    /// dimensions.
    pub fn norm(&self, name: &str, width: usize, eps: f32) -> Result<Norm, ModelError> {
        let weight = self.vector(name)?;
        // Some families have one norm over all heads instead of one per head.
        match weight.values.len() == width {
            true => Ok(Norm::new(weight, eps, self.pool())),
            false => Err(ModelError::Unsupported(base::untrusted::clean_key(name))),
        }
    }

    /// Loads the RMSNorm whose weight is the tensor `name`. Returns None if the model has no such
    /// tensor.
    pub fn optional_norm(
        &self,
        name: &str,
        width: usize,
        eps: f32,
    ) -> Result<Option<Norm>, ModelError> {
        let present = self.has(name);
        present.then(|| self.norm(name, width, eps)).transpose()
    }

    /// Loads a small matrix as f32. Matrices that multiply rows are loaded by [`Weights::linear`]
    /// instead.
    pub fn matrix(&self, name: &str) -> Result<Tensor, ModelError> {
        let tensor = self.find(name, 2)?;
        Ok(self.quantized(tensor)?.dequantize(&self.device)?)
    }

    pub fn linear(&self, name: &str) -> Result<Linear, ModelError> {
        let tensor = self.find(name, 2)?;
        self.multiplier(
            tensor.kind,
            tensor.shape[0],
            tensor.shape[1],
            self.gguf.data(tensor),
        )
    }

    /// Loads the matrices that are stored one after another in the tensor `name`, which is
    /// `[matrices, out, in]`.
    pub fn stacked(&self, name: &str) -> Result<Vec<Linear>, ModelError> {
        let tensor = self.find(name, 3)?;
        let (rows, cols) = (tensor.shape[1], tensor.shape[2]);
        let data = self.gguf.data(tensor);
        let bytes = data.len() / tensor.shape[0].max(1);
        let matrices = data.chunks_exact(bytes.max(1));
        matrices
            .map(|data| self.multiplier(tensor.kind, rows, cols, data))
            .collect()
    }

    /// Loads the matrices whose rows are stored one after another in the tensor `name`. `rows`
    /// contains the number of rows of each matrix.
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
            parts.push(self.multiplier(tensor.kind, rows, cols, part)?);
            data = rest;
        }
        parts.try_into().map_err(|_| self.missing(name))
    }

    /// Loads two matrices of the same size whose rows are stored one after another in the tensor
    /// `name`.
    pub fn halves(&self, name: &str) -> Result<[Linear; 2], ModelError> {
        let rows = self.find(name, 2)?.shape[0];
        self.split(name, [rows / 2, rows - rows / 2])
    }

    fn multiplier(
        &self,
        kind: &TensorType,
        rows: usize,
        cols: usize,
        data: &[u8],
    ) -> Result<Linear, ModelError> {
        if let Some(format) = kind.format().filter(|_| self.on_host) {
            let mut arena = self.arena.borrow_mut();
            let packed = Packed::pack(&mut arena, &self.pool, format, data, rows, cols)?;
            self.gguf.release(data);
            return Ok(Linear::Packed(packed, self.pool.clone()));
        }
        self.exact.set(false);
        let storage = QStorage::from_data(Cow::Borrowed(data), &self.device, self.candle(kind)?)?;
        let quantized = QTensor::new(storage, (rows, cols))?;
        Ok(Linear::Candle {
            weight: QMatMul::from_arc(Arc::new(quantized))?,
            on_host: self.on_host,
        })
    }

    /// Returns the embeddings of `tokens`, `[tokens, hidden]`.
    pub fn embed(&self, tokens: &[u32]) -> Result<Matrix, ModelError> {
        if let Some(table) = &self.table {
            let rows = table.embedding(&Tensor::new(tokens, &self.device)?)?;
            return Ok(match self.on_host {
                true => on_host(&rows)?,
                false => Matrix::Device(rows),
            });
        }
        let table = self.find(EMBEDDING, 2)?;
        let format = table
            .kind
            .format()
            .ok_or_else(|| self.gguf.missing(EMBEDDING))?;
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

    /// Returns the per-frequency divisors of RoPE (Llama 3 and Phi 3), if the file has them.
    pub fn rope_divisors(&self, config: &Config) -> Option<Vec<f32>> {
        Some(self.vector(config.rope.divisors).ok()?.values)
    }

    /// Returns an error if any tensor of the first `layers` layers or of the output has not been
    /// loaded from the file. Without this tensor, the generated text would be wrong.
    pub fn check_all_loaded(&self, layers: usize) -> Result<(), ModelError> {
        let loaded = self.loaded.borrow();
        let of_layer = |name: &&str| {
            let index = name
                .strip_prefix("blk.")
                .and_then(|rest| rest.split_once('.'));
            name.starts_with("output")
                || index.is_some_and(|(index, part)| {
                    let own = index.parse().is_ok_and(|index: usize| index < layers);
                    own && !is_duplicate(part)
                })
        };
        let mut names = self.gguf.tensor_names().filter(of_layer);
        match names.find(|name| !loaded.contains(*name)) {
            Some(name) => Err(ModelError::Unsupported(base::untrusted::clean_key(name))),
            None => Ok(()),
        }
    }

    fn find(&self, name: &str, rank: usize) -> Result<&TensorInfo, ModelError> {
        self.loaded.borrow_mut().insert(name.to_string());
        let tensor = self
            .gguf
            .tensor(name)
            .filter(|tensor| tensor.shape.len() == rank);
        Ok(tensor.ok_or_else(|| self.gguf.missing(name))?)
    }

    fn quantized(&self, tensor: &TensorInfo) -> Result<QTensor, ModelError> {
        let bytes = Cow::Borrowed(self.gguf.data(tensor));
        let storage = QStorage::from_data(bytes, &self.device, self.candle(tensor.kind)?)?;
        Ok(QTensor::new(storage, tensor.shape.as_slice())?)
    }

    fn candle(&self, kind: &TensorType) -> Result<GgmlDType, ModelError> {
        let unknown = || GgufError::Format {
            path: self.gguf.path().to_path_buf(),
            format: kind.name().to_string(),
        };
        Ok(kind.candle().ok_or_else(unknown)?)
    }
}

pub const EMBEDDING: &str = "token_embd.weight";

/// Whether a tensor is a redundant part that old converters wrote: RoPE's frequencies, which
/// illumine computes itself, or the matrix of a single expert in addition to the tensor that
/// contains all experts.
fn is_duplicate(part: &str) -> bool {
    let expert = part
        .strip_suffix(".weight")
        .and_then(|part| part.rsplit_once('.'));
    part.starts_with("attn_rot_embd")
        || expert.is_some_and(|(network, number)| {
            network.starts_with("ffn_") && number.parse::<u32>().is_ok()
        })
}
