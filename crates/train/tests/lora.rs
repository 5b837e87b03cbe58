//! Trains a LoRA of a text model as a training phase. This is a complete example of training a
//! model other than the image model. It uses a small random text model and a periodic text.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use base::progress::{Cancelled, Observer, Unobserved};
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Result, Tensor};
use llm::gguf::Gguf;
use llm::transformer::trainable::{Adapt, Trainable, Unadapted};
use sampler::rng::{Rng, derive};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use train::TrainError;
use train::adam::AdamOptions;
use train::checkpoint::Parts;
use train::losses::scalar;
use train::phase::{Phase, SampleSheet};
use train::run::{Plan, RunOutcome, Schedule, TrainingEvent, run};
use train::step::{Metrics, Step};
use train::trained::{NetworkState, TrainedNetwork};
use train::variables::{Tensors, Variables, noise};

/// A LoRA: two small matrices A and B for each matrix W of the model, so that `x` W becomes `x` W +
/// `x` A B. The variables are `MATRIX.a`, `[rank, in]`, and `MATRIX.b`, `[out, rank]`.
struct Lora(Variables);

impl Lora {
    /// The options of the optimizer. Adam trains B from the first step on. The gradient of A is
    /// zero while B is zero, so A is trained only from the second step on.
    const ADAM: AdamOptions = AdamOptions {
        beta1: 0.9,
        clip_norm: 1.0,
        orthogonal: false,
    };

    fn new(model: &Trainable, rank: usize, seed: u64) -> Result<TrainedNetwork<Lora>> {
        let device = &Device::Cpu;
        let mut start = Tensors::new();
        for (index, (matrix, (outputs, inputs))) in model.matrices().enumerate() {
            let mut rng = Rng::new(derive(seed, index as u64));
            let a = noise(&[rank, inputs], &mut rng, device)?;
            start.insert(format!("{matrix}.a"), (a / (inputs as f64).sqrt())?);
            // With B at zero, training starts from the model's own output.
            let b = Tensor::zeros((outputs, rank), DType::F32, device)?;
            start.insert(format!("{matrix}.b"), b);
        }
        let variables = Variables::new(start)?;
        Ok(TrainedNetwork {
            network: Lora(variables.clone()),
            state: NetworkState::new(variables, Lora::ADAM)?,
        })
    }
}

impl Adapt for Lora {
    fn adapt(&self, matrix: &str, x: &Tensor, product: Tensor) -> Result<Tensor> {
        let part = |part: &str| self.0.get(&format!("{matrix}.{part}"));
        let (Some(a), Some(b)) = (part("a"), part("b")) else {
            return Ok(product);
        };
        let shape = product.dims().to_vec();
        let added = x.flatten_to(1)?.matmul(&a.t()?)?.matmul(&b.t()?)?;
        product + added.reshape(shape)?
    }
}

/// A training phase in which a LoRA learns to predict the next token of a text.
struct LoraPhase<'a> {
    model: &'a Trainable,
    adapter: TrainedNetwork<Lora>,
    text: &'a [u32],
    batch_size: usize,
}

/// The number of tokens in a training example.
const LENGTH: usize = 12;

impl LoraPhase<'_> {
    /// Computes the mean cross-entropy of the next tokens in windows of the text. `starts` contains
    /// the positions at which the windows begin.
    fn loss(&self, starts: &[usize], adapter: &dyn Adapt) -> Result<Tensor> {
        let windows = starts.iter().map(|start| &self.text[*start..][..=LENGTH]);
        let tokens: Vec<u32> = windows.flatten().copied().collect();
        let tokens = Tensor::from_vec(tokens, (starts.len(), LENGTH + 1), &Device::Cpu)?;
        let logits = self.model.forward(&tokens.narrow(1, 0, LENGTH)?, adapter)?;
        let wanted = tokens.narrow(1, 1, LENGTH)?.flatten_all()?;
        candle_nn::loss::cross_entropy(&logits.flatten_to(1)?, &wanted)
    }
}

impl Phase for LoraPhase<'_> {
    fn name(&self) -> &'static str {
        "lora"
    }

    fn networks(&mut self) -> Vec<(&'static str, &mut NetworkState)> {
        vec![("adapter", &mut self.adapter.state)]
    }

    fn step(&mut self, step: Step, rng: &mut Rng) -> std::result::Result<Metrics, TrainError> {
        let room = self.text.len() - LENGTH;
        let start = |_| (rng.next_f64() * room as f64) as usize;
        let starts: Vec<usize> = (0..self.batch_size).map(start).collect();
        let loss = self.loss(&starts, &self.adapter.network)?;
        let value = scalar(&loss)?;
        self.adapter.step(&loss.backward()?, step)?;
        Ok(vec![("loss", value)])
    }

    fn sheet(&self) -> std::result::Result<Option<SampleSheet>, TrainError> {
        Ok(None)
    }
}

/// The description of the model in a checkpoint. Training resumes only from a checkpoint with an
/// equal description.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct LoraConfig {
    model_sha256: String,
    rank: usize,
}

fn plan(folder: &Path) -> Plan<LoraConfig> {
    Plan {
        folder: folder.to_path_buf(),
        config: LoraConfig {
            model_sha256: "of the model's file".to_string(),
            rank: RANK,
        },
        dataset: "SHA-256 of the text".to_string(),
        schedule: Schedule {
            seed: 1,
            batch_size: 4,
            steps: 40,
            decay_steps: 0,
            learning_rate: 0.05,
            checkpoint_every: 1_000,
            sample_every: 1_000,
        },
    }
}

const RANK: usize = 2;

/// Trains a phase, with its checkpoints in `folder`. If the folder already contains a checkpoint,
/// training resumes from it. Returns how training ended, and the loss of each step.
fn train(phase: &mut LoraPhase, folder: &Path, observer: &dyn Observer) -> (RunOutcome, Vec<f64>) {
    let mut losses = Vec::new();
    let mut on_event = |event: TrainingEvent| {
        if let TrainingEvent::Step { metrics, .. } = event {
            losses.push(metrics[0].1);
        }
    };
    let outcome = run(phase, &plan(folder), &Device::Cpu, observer, &mut on_event).unwrap();
    (outcome, losses)
}

/// Writes the moving average of the trained matrices to a safetensors file. (The checkpoint also
/// contains Adam's moments.)
fn save(phase: &LoraPhase, path: &Path) -> Result<()> {
    let tensors: HashMap<_, _> = phase.adapter.state.ema.clone().into_iter().collect();
    candle_core::safetensors::save(&tensors, path)
}

#[test]
fn a_lora_learns_resumes_bit_for_bit_and_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(&folder.path().join("model.gguf"));
    let text: Vec<u32> = (0..200).map(|at| [3, 14, 15, 9, 26][at % 5]).collect();
    let phase = || LoraPhase {
        adapter: Lora::new(&model, RANK, 7).unwrap(),
        model: &model,
        text: &text,
        batch_size: 4,
    };

    let mut whole = phase();
    let loss = |adapter: &dyn Adapt| scalar(&whole.loss(&[0, 1], adapter).unwrap()).unwrap();
    assert_eq!(loss(&whole.adapter.network), loss(&Unadapted));
    let (outcome, losses) = train(&mut whole, &folder.path().join("whole"), &Unobserved);
    assert_eq!(outcome, RunOutcome::Done);
    assert!(losses[39] < 0.5 * losses[0], "{losses:?}");

    let halves = folder.path().join("halves");
    let (outcome, first) = train(&mut phase(), &halves, &StopAfter(Cell::new(15)));
    assert_eq!((outcome, first.len()), (RunOutcome::Stopped, 15));
    let mut resumed = phase();
    let (_, second) = train(&mut resumed, &halves, &Unobserved);
    assert_eq!([first, second].concat(), losses);
    assert_eq!(numbers(&mut resumed), numbers(&mut whole));

    let adapter = folder.path().join("adapter.safetensors");
    save(&whole, &adapter).unwrap();
    let saved = candle_core::safetensors::load(&adapter, &Device::Cpu).unwrap();
    assert_eq!(saved["blk.0.ffn_down.weight.a"].dims(), [RANK, FEED]);
    assert_eq!(saved["blk.0.ffn_down.weight.b"].dims(), [HIDDEN, RANK]);
    assert_eq!(saved.len(), 2 * model.matrices().count());
}

/// An observer that cancels training after the given number of steps.
struct StopAfter(Cell<usize>);

impl Observer for StopAfter {
    fn progress(&self, _: &str, _: u64, _: Option<u64>) {}

    fn check(&self) -> std::result::Result<(), Cancelled> {
        self.0.set(self.0.get() - 1);
        match self.0.get() {
            0 => Err(Cancelled),
            _ => Ok(()),
        }
    }
}

/// Returns all values that a checkpoint of the phase contains.
fn numbers(phase: &mut LoraPhase) -> Vec<f32> {
    let parts: Parts = phase.parts().unwrap();
    let tensors = parts.into_values().flat_map(Tensors::into_values);
    let flat = |tensor: Tensor| tensor.flatten_all()?.to_vec1::<f32>();
    tensors.flat_map(|tensor| flat(tensor).unwrap()).collect()
}

const HIDDEN: usize = 16;
const FEED: usize = 24;
const VOCABULARY: usize = 32;

/// Creates a Llama model with one layer and random weights, by writing a GGUF file and opening it.
fn model(path: &Path) -> Trainable {
    let shapes: [(&str, &[usize]); 11] = [
        ("token_embd.weight", &[VOCABULARY, HIDDEN]),
        ("output_norm.weight", &[HIDDEN]),
        ("blk.0.attn_norm.weight", &[HIDDEN]),
        ("blk.0.attn_q.weight", &[HIDDEN, HIDDEN]),
        ("blk.0.attn_k.weight", &[HIDDEN, HIDDEN]),
        ("blk.0.attn_v.weight", &[HIDDEN, HIDDEN]),
        ("blk.0.attn_output.weight", &[HIDDEN, HIDDEN]),
        ("blk.0.ffn_norm.weight", &[HIDDEN]),
        ("blk.0.ffn_gate.weight", &[FEED, HIDDEN]),
        ("blk.0.ffn_up.weight", &[FEED, HIDDEN]),
        ("blk.0.ffn_down.weight", &[HIDDEN, FEED]),
    ];
    let mut rng = Rng::new(5);
    let tensors = shapes.map(|(name, shape)| {
        let numbers = noise(shape, &mut rng, &Device::Cpu).unwrap();
        let numbers = match shape {
            [_] => (numbers * 0.1).unwrap() + 1.0,
            _ => numbers / (shape[shape.len() - 1] as f64).sqrt(),
        };
        (
            name,
            QTensor::quantize(&numbers.unwrap(), GgmlDType::F32).unwrap(),
        )
    });
    let counts = [
        ("embedding_length", HIDDEN),
        ("feed_forward_length", FEED),
        ("block_count", 1),
        ("context_length", 64),
        ("attention.head_count", 2),
        ("attention.head_count_kv", 2),
        ("rope.dimension_count", HIDDEN / 2),
    ];
    let count = |(key, count): (&str, usize)| (format!("llama.{key}"), Value::U32(count as u32));
    let mut metadata: Vec<(String, Value)> = counts.map(count).to_vec();
    let epsilon = "llama.attention.layer_norm_rms_epsilon".to_string();
    metadata.push((epsilon, Value::F32(1e-5)));
    let name = Value::String("llama".to_string());
    metadata.push(("general.architecture".to_string(), name));
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
    let tensors = tensors.each_ref().map(|(name, tensor)| (*name, tensor));
    let mut file = std::fs::File::create(path).unwrap();
    gguf_file::write(&mut file, &metadata, &tensors).unwrap();
    let gguf = Gguf::open(path).unwrap();
    Trainable::load(Arc::new(gguf), &Device::Cpu).unwrap()
}
