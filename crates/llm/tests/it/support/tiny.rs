//! Builds small models of every family with random weights and writes them as GGUF files, so that
//! tests need no download.

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use kernels::attention::KvType;
use llm::gguf::Gguf;
use llm::{Logits, Placement, TextModel, load_text};
use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;
use tempfile::NamedTempFile;

/// A model that is being built: its metadata and tensors.
pub struct Tiny {
    architecture: &'static str,
    /// The type in which matrices are stored. Norms and biases are always F32.
    pub dtype: GgmlDType,
    metadata: Vec<(String, Value)>,
    tensors: Vec<(String, Tensor)>,
    state: u64,
}

impl Tiny {
    pub fn new(architecture: &'static str) -> Tiny {
        let name = Value::String(architecture.to_string());
        Tiny {
            architecture,
            dtype: GgmlDType::F32,
            metadata: vec![("general.architecture".to_string(), name)],
            tensors: Vec::new(),
            state: 1,
        }
    }

    pub fn count(&mut self, key: &str, value: usize) {
        self.value(key, Value::U32(value as u32));
    }

    pub fn float(&mut self, key: &str, value: f32) {
        self.value(key, Value::F32(value));
    }

    /// Sets the metadata key that consists of the architecture's name, a dot and `key`.
    pub fn value(&mut self, key: &str, value: Value) {
        self.plain(&format!("{}.{key}", self.architecture), value);
    }

    /// Sets the metadata key `key` and replaces its previous value, if there is one.
    pub fn plain(&mut self, key: &str, value: Value) {
        self.metadata.retain(|(taken, _)| taken != key);
        self.metadata.push((key.to_string(), value));
    }

    /// Adds a random matrix, scaled so that the product has about the same magnitude as the input.
    pub fn matrix(&mut self, name: &str, rows: usize, cols: usize) {
        let scale = (3.0 / cols as f32).sqrt();
        let values = self.random(rows * cols).map(|value| value * scale);
        let values: Vec<f32> = values.collect();
        self.set(
            name,
            Tensor::from_vec(values, (rows, cols), &Device::Cpu).unwrap(),
        );
    }

    /// Adds a vector of random numbers centred on `around`, which is 1 for the weight of a norm and
    /// 0 for a bias.
    pub fn vector(&mut self, name: &str, len: usize, around: f32) {
        let values: Vec<f32> = self.random(len).map(|value| around + value * 0.3).collect();
        self.set(name, Tensor::new(values, &Device::Cpu).unwrap());
    }

    /// Adds a tensor, and replaces the tensor that already has this name, if there is one.
    pub fn set(&mut self, name: &str, tensor: Tensor) {
        self.tensors.retain(|(taken, _)| taken != name);
        self.tensors.push((name.to_string(), tensor));
    }

    pub fn tensor(&self, name: &str) -> Tensor {
        let (_, tensor) = self
            .tensors
            .iter()
            .find(|(taken, _)| taken == name)
            .unwrap();
        tensor.clone()
    }

    /// Removes a tensor and returns it.
    pub fn take(&mut self, name: &str) -> Tensor {
        let at = self
            .tensors
            .iter()
            .position(|(taken, _)| taken == name)
            .unwrap();
        self.tensors.remove(at).1
    }

    /// Returns the tensors under the names that loaders of unquantized models expect. `rename`
    /// returns the name and the tensor to use.
    pub fn renamed(
        &self,
        rename: impl Fn(&str, Tensor) -> (String, Tensor),
    ) -> VarBuilder<'static> {
        let tensors = self
            .tensors
            .iter()
            .map(|(name, tensor)| rename(name, tensor.clone()));
        let tensors: HashMap<String, Tensor> = tensors.collect();
        VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)
    }

    /// Returns a copy of the model in which the values of the quantized weights are stored as F32,
    /// so that the model can be computed without rounding activations.
    pub fn rounded(&self) -> Tiny {
        let round = |(name, tensor): &(String, Tensor)| {
            let rounded = QTensor::quantize(tensor, self.stored(name, tensor)).unwrap();
            (name.clone(), rounded.dequantize(&Device::Cpu).unwrap())
        };
        Tiny {
            architecture: self.architecture,
            dtype: GgmlDType::F32,
            metadata: self.metadata.clone(),
            tensors: self.tensors.iter().map(round).collect(),
            state: self.state,
        }
    }

    fn stored(&self, name: &str, tensor: &Tensor) -> GgmlDType {
        let plain = name.contains("ffn_gate_inp") || name.contains("conv.conv");
        match tensor.rank() > 1 && !plain {
            true => self.dtype,
            false => GgmlDType::F32,
        }
    }

    pub fn write(&self) -> NamedTempFile {
        let file = NamedTempFile::new().unwrap();
        let quantized = self.tensors.iter().map(|(name, tensor)| {
            let dtype = self.stored(name, tensor);
            (name.as_str(), QTensor::quantize(tensor, dtype).unwrap())
        });
        let quantized: Vec<(&str, QTensor)> = quantized.collect();
        let tensors: Vec<(&str, &QTensor)> = quantized.iter().map(|(name, t)| (*name, t)).collect();
        let metadata: Vec<(&str, &Value)> =
            self.metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
        gguf_file::write(&mut file.as_file(), &metadata, &tensors).unwrap();
        file
    }

    /// Returns `len` random numbers from -1 to 1, from a linear congruential generator (Knuth's
    /// MMIX).
    fn random(&mut self, len: usize) -> impl Iterator<Item = f32> + '_ {
        (0..len).map(|_| {
            let state = self.state.wrapping_mul(6364136223846793005);
            self.state = state.wrapping_add(1442695040888963407);
            (self.state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
    }
}

/// Loads a file with illumine, using a KV cache of type f32.
pub fn ours(file: &NamedTempFile) -> Box<dyn TextModel> {
    placed(file, &exact())
}

pub fn exact() -> Placement {
    Placement {
        kv: KvType::F32,
        ..Placement::new(Device::Cpu, 2)
    }
}

pub fn placed(file: &NamedTempFile, placement: &Placement) -> Box<dyn TextModel> {
    let gguf = Arc::new(Gguf::open(file.path()).unwrap());
    load_text(gguf, placement).unwrap()
}

/// Parses a file with candle, as input for one of candle's loaders.
pub fn content(file: &NamedTempFile) -> (gguf_file::Content, File) {
    let mut reader = File::open(file.path()).unwrap();
    (gguf_file::Content::read(&mut reader).unwrap(), reader)
}

/// The forward pass of another implementation. The function takes tokens and the position of the
/// first token, and returns the logits after the last token.
pub type Theirs<'a> = Box<dyn FnMut(&Tensor, usize) -> candle_core::Result<Tensor> + 'a>;

/// The number of tokens in the text that both models evaluate: a prompt of [`PROMPT`] tokens, then
/// single tokens.
const TOKENS: usize = 30;
pub const PROMPT: usize = 20;

pub fn tokens(vocabulary: usize) -> Vec<u32> {
    let token = |at: usize| (at * 37 + at * at * 11 + 5) % vocabulary;
    (0..TOKENS).map(|at| token(at) as u32).collect()
}

/// Evaluates the same text as [`read`], but with `theirs`, and returns the logits. If `singly` is
/// true, the prompt is evaluated token by token instead of in one batch.
pub fn read_theirs(mut theirs: Theirs, vocabulary: usize, singly: bool) -> Vec<f32> {
    let ids = tokens(vocabulary);
    let first = if singly { 1 } else { PROMPT };
    let mut logits = Vec::new();
    let mut at = 0;
    while at < TOKENS {
        let len = if at == 0 { first } else { 1 };
        let input = Tensor::new(&ids[at..at + len], &Device::Cpu).unwrap();
        let last = theirs(&input.unsqueeze(0).unwrap(), at).unwrap();
        at += len;
        if at >= PROMPT {
            logits.extend(last.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        }
    }
    logits
}

/// Evaluates a prompt in one batch and then ten tokens one by one. Returns the logits after the
/// prompt and after each of the ten tokens.
pub fn read(model: &mut dyn TextModel) -> Vec<f32> {
    let ids = tokens(model.vocabulary());
    let mut logits = feed(model, &ids[..PROMPT], Logits::Last);
    for id in &ids[PROMPT..] {
        logits.extend(feed(model, &[*id], Logits::Last));
    }
    logits
}

pub fn feed(model: &mut dyn TextModel, ids: &[u32], rows: Logits) -> Vec<f32> {
    model.forward(ids, rows, &|| false).unwrap().unwrap()
}

/// Returns the maximum and the root-mean-square difference between two lists of logits, in standard
/// deviations of the expected logits, `wanted`.
pub fn difference(wanted: &[f32], given: &[f32]) -> (f32, f32) {
    assert_eq!(wanted.len(), given.len());
    let len = wanted.len() as f32;
    let mean = wanted.iter().sum::<f32>() / len;
    let variance = wanted
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f32>()
        / len;
    let far = wanted
        .iter()
        .zip(given)
        .map(|(wanted, given)| wanted - given);
    let far: Vec<f32> = far.map(|far| far.abs() / variance.sqrt()).collect();
    assert!(far.iter().all(|far| far.is_finite()));
    let squares = far.iter().map(|far| far * far).sum::<f32>();
    (far.into_iter().fold(0.0, f32::max), (squares / len).sqrt())
}
