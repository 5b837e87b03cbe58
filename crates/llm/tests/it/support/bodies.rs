//! Builds the parts that the small models of all families have in common, and compares the models
//! with other implementations.

use super::tiny::{
    PROMPT, Theirs, Tiny, content, difference, exact, feed, ours, placed, read, read_theirs, tokens,
};
use candle_core::quantized::GgmlDType;
use candle_core::{Device, Tensor, Var};
use candle_transformers::models as reference;
use kernels::attention::KvType;
use kernels::linear::KernelFamily;
use llm::gguf::Gguf;
use llm::transformer::trainable::{Adapt, Trainable, Unadapted};
use llm::{Logits, ModelError, Placement};
use std::sync::Arc;
use tempfile::NamedTempFile;

pub const HIDDEN: usize = 64;
pub const FEED: usize = 96;
pub const VOCABULARY: usize = 160;

/// The maximum difference between logits, in standard deviations, that may result from a different
/// order of summation.
pub const CLOSE: f32 = 1e-3;
/// The maximum ratio of illumine's mean error to candle's, with quantized weights. Errors are
/// measured against exact arithmetic with the same weights. Both implementations round activations
/// to 8 bits, in slightly different ways. Illumine's error must also be below [`CLOSE_Q8`] (both
/// errors are from 0.015 to 0.034).
pub const AS_GOOD: f32 = 1.25;
pub const CLOSE_Q8: f32 = 0.06;

#[derive(Clone, Copy)]
pub struct Shape {
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
}

pub const SHAPE: Shape = Shape {
    layers: 3,
    heads: 4,
    kv_heads: 2,
    head_dim: 16,
};

/// Builds the parts that all families have in common: sizes, embeddings, norms and attention
/// matrices.
pub fn body(architecture: &'static str, shape: Shape) -> Tiny {
    let mut tiny = Tiny::new(architecture);
    tiny.count("embedding_length", HIDDEN);
    tiny.count("feed_forward_length", FEED);
    tiny.count("block_count", shape.layers);
    tiny.count("context_length", 64);
    tiny.count("attention.head_count", shape.heads);
    tiny.count("attention.head_count_kv", shape.kv_heads);
    tiny.count("attention.key_length", shape.head_dim);
    tiny.count("attention.value_length", shape.head_dim);
    tiny.count("rope.dimension_count", shape.head_dim);
    tiny.float("rope.freq_base", 1000.0);
    tiny.float("attention.layer_norm_rms_epsilon", 1e-5);
    tiny.matrix("token_embd.weight", VOCABULARY, HIDDEN);
    tiny.vector("output_norm.weight", HIDDEN, 1.0);
    for layer in 0..shape.layers {
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        tiny.vector(&name("attn_norm"), HIDDEN, 1.0);
        tiny.vector(&name("ffn_norm"), HIDDEN, 1.0);
        tiny.matrix(&name("attn_q"), shape.heads * shape.head_dim, HIDDEN);
        tiny.matrix(&name("attn_k"), shape.kv_heads * shape.head_dim, HIDDEN);
        tiny.matrix(&name("attn_v"), shape.kv_heads * shape.head_dim, HIDDEN);
        tiny.matrix(&name("attn_output"), HIDDEN, shape.heads * shape.head_dim);
        tiny.matrix(&name("ffn_gate"), FEED, HIDDEN);
        tiny.matrix(&name("ffn_up"), FEED, HIDDEN);
        tiny.matrix(&name("ffn_down"), HIDDEN, FEED);
    }
    tiny
}

pub fn each_layer(tiny: &mut Tiny, shape: Shape, mut add: impl FnMut(&mut Tiny, &str)) {
    for layer in 0..shape.layers {
        add(tiny, &format!("blk.{layer}"));
    }
}

pub fn norms_of_heads(tiny: &mut Tiny, shape: Shape) {
    each_layer(tiny, shape, |tiny, block| {
        tiny.vector(&format!("{block}.attn_q_norm.weight"), shape.head_dim, 1.0);
        tiny.vector(&format!("{block}.attn_k_norm.weight"), shape.head_dim, 1.0);
    });
}

pub fn norms_after(tiny: &mut Tiny, shape: Shape) {
    each_layer(tiny, shape, |tiny, block| {
        tiny.vector(&format!("{block}.post_attention_norm.weight"), HIDDEN, 1.0);
        tiny.vector(&format!("{block}.post_ffw_norm.weight"), HIDDEN, 1.0);
    });
}

pub fn biases(tiny: &mut Tiny, shape: Shape) {
    each_layer(tiny, shape, |tiny, block| {
        tiny.vector(
            &format!("{block}.attn_q.bias"),
            shape.heads * shape.head_dim,
            0.0,
        );
        tiny.vector(
            &format!("{block}.attn_k.bias"),
            shape.kv_heads * shape.head_dim,
            0.0,
        );
        tiny.vector(
            &format!("{block}.attn_v.bias"),
            shape.kv_heads * shape.head_dim,
            0.0,
        );
    });
}

/// Replaces the matrices `parts` of each layer with one tensor, `whole`, in which they are stacked,
/// as some families store them.
pub fn fuse(tiny: &mut Tiny, shape: Shape, parts: &[&str], whole: &str) {
    each_layer(tiny, shape, |tiny, block| {
        let name = |part: &str| format!("{block}.{part}.weight");
        let parts: Vec<Tensor> = parts.iter().map(|part| tiny.take(&name(part))).collect();
        tiny.set(&name(whole), Tensor::cat(&parts, 0).unwrap());
    });
}

/// Checks that illumine and another implementation compute the same logits for a model, with F32
/// weights and with Q8_0 weights.
pub fn hold(mut tiny: Tiny, theirs: impl Fn(&NamedTempFile) -> Theirs<'static>) {
    hold_exact(&tiny, &theirs);
    tiny.dtype = GgmlDType::Q8_0;
    let exact = read(&mut *ours(&tiny.rounded().write()));
    let file = tiny.write();
    let (_, our_error) = difference(&exact, &read(&mut *ours(&file)));
    let (_, their_error) = difference(&exact, &read_theirs(theirs(&file), VOCABULARY, false));
    println!("Q8_0: our error {our_error:.3}, theirs {their_error:.3}");
    assert!(our_error < CLOSE_Q8.min(AS_GOOD * their_error));
    consistent(&file);
}

pub fn hold_exact(tiny: &Tiny, theirs: &impl Fn(&NamedTempFile) -> Theirs<'static>) {
    let file = tiny.write();
    let wanted = read_theirs(theirs(&file), VOCABULARY, false);
    close(&wanted, &read(&mut *ours(&file)));
    let plain = Placement {
        force_candle: true,
        ..exact()
    };
    close(&wanted, &read(&mut *placed(&file, &plain)));
    trains(&file, &wanted);
    consistent(&file);
}

/// Checks that the forward pass for training computes gradients and has the same logits as
/// illumine's kernels. Also checks that models with mixtures of experts or convolutions are
/// refused.
fn trains(file: &NamedTempFile, wanted: &[f32]) {
    struct Scaled(Var);
    impl Adapt for Scaled {
        fn adapt(&self, _: &str, _: &Tensor, product: Tensor) -> candle_core::Result<Tensor> {
            product.broadcast_mul(&self.0)
        }
    }
    let gguf = Arc::new(Gguf::open(file.path()).unwrap());
    let model = match Trainable::load(gguf.clone(), &Device::Cpu) {
        Ok(model) => model,
        Err(ModelError::Unsupported(tensor)) => {
            let unused = tensor.contains("_exps") || tensor.contains("shortconv");
            return assert!(unused, "{tensor}");
        }
        Err(error) => panic!("{error}"),
    };
    let ids = Tensor::new(tokens(VOCABULARY), &Device::Cpu).unwrap();
    let ids = ids.unsqueeze(0).unwrap();
    let rows = |logits: Tensor| {
        let count = wanted.len() / VOCABULARY;
        let rows = logits.squeeze(0).unwrap();
        let rows = rows.narrow(0, PROMPT - 1, count).unwrap();
        rows.flatten_all().unwrap()
    };
    let plain = rows(model.forward(&ids, &Unadapted).unwrap());
    close(wanted, &plain.to_vec1::<f32>().unwrap());
    let scale = Var::new(1f32, &Device::Cpu).unwrap();
    let loss = |scaled: &Scaled| {
        let logits = rows(model.forward(&ids, scaled).unwrap());
        logits.sqr().unwrap().mean_all().unwrap()
    };
    let at = |value: f32| {
        let scaled = Scaled(Var::new(value, &Device::Cpu).unwrap());
        f64::from(loss(&scaled).to_scalar::<f32>().unwrap())
    };
    let scaled = Scaled(scale);
    let gradients = loss(&scaled).backward().unwrap();
    let slope = gradients
        .get(&scaled.0)
        .unwrap()
        .to_scalar::<f32>()
        .unwrap();
    let measured = (at(1.01) - at(0.99)) / 0.02;
    let far = (f64::from(slope) - measured).abs();
    assert!(far < 0.05 * measured.abs() + 1e-3, "{slope} {measured}");
}

pub fn close(wanted: &[f32], given: &[f32]) {
    let (far, _) = difference(wanted, given);
    println!("F32: {far:.1e} apart");
    assert!(far < CLOSE, "{far}");
}

/// Checks that the logits for a text are bit-identical however the text is evaluated: as a whole,
/// token by token, after an interruption, again from the middle, or as branches. The check is
/// repeated with different numbers of threads and with every kernel family.
pub fn consistent(file: &NamedTempFile) {
    for kv in [KvType::F16, KvType::Q8] {
        let families = KernelFamily::ALL
            .into_iter()
            .filter(|family| family.is_supported());
        let mut all = families.map(|family| {
            let threads = 1 + family as usize % 3;
            let placement = Placement {
                family: Some(family),
                kv,
                ..Placement::new(Device::Cpu, threads)
            };
            consistent_at(file, &placement)
        });
        let first = all.next().unwrap();
        assert!(all.all(|other| other == first), "{kv}");
    }
    consistent_at(file, &exact());
}

fn consistent_at(file: &NamedTempFile, placement: &Placement) -> Vec<f32> {
    let mut model = placed(file, placement);
    let ids = tokens(model.vocabulary());
    let width = model.vocabulary();
    let whole = feed(&mut *model, &ids, Logits::All);
    assert_eq!(whole.len(), ids.len() * width);
    model.rewind(0);
    assert_eq!(model.len(), 0);
    let singly: Vec<f32> = ids
        .iter()
        .flat_map(|id| feed(&mut *model, &[*id], Logits::Last))
        .collect();
    assert!(whole == singly);
    model.rewind(12);
    let kept = model.len();
    assert!(kept <= 12);
    assert!(
        model
            .forward(&ids[kept..], Logits::Last, &|| true)
            .unwrap()
            .is_none()
    );
    assert_eq!(model.len(), kept);
    let again = feed(&mut *model, &ids[kept..], Logits::All);
    assert!(whole[kept * width..] == again);
    // The KV cache can be restored from bytes, in the middle of a text and in a fresh model.
    model.rewind(ids.len() - 1);
    let (first, second) = (
        model.save(0, 7, "it").unwrap(),
        model.save(7, 29, "it").unwrap(),
    );
    let mut fresh = placed(file, placement);
    assert!(fresh.restore(&second, "it").is_err());
    fresh.restore(&first, "it").unwrap();
    fresh.restore(&second, "it").unwrap();
    assert!(fresh.restore(&second, "another").is_err());
    let mut damaged = second.clone();
    damaged[60] ^= 1;
    assert!(fresh.restore(&damaged, "it").is_err());
    assert!(fresh.restore(&second[..second.len() - 1], "it").is_err());
    assert_eq!(fresh.len(), ids.len() - 1);
    let last = feed(&mut *fresh, &ids[ids.len() - 1..], Logits::Last);
    assert!(last == whole[(ids.len() - 1) * width..]);
    model.rewind(20);
    assert_eq!(model.len(), 20);
    // One branch continues the text, a second diverges, and a third reads a part of the text again,
    // several tokens at a time; the first is adopted.
    assert!(model.branch(21).is_none());
    let mut branches = [20, 20, 11].map(|shared| model.branch(shared).unwrap());
    for at in 20..ids.len() - 1 {
        let again = branches[2].position();
        let end = (again + at % 4 + 1).min(ids.len());
        if again == end {
            assert!(branches[2].rewind(end - 3));
        }
        let again = branches[2].position();
        let end = (again + at % 4 + 1).min(ids.len());
        let other = [ids[at] / 2 + 1];
        let fed: [&[u32]; 3] = [&ids[at..at + 1], &other, &ids[again..end]];
        assert!(
            model
                .forward_branches(&mut branches, &fed, &|| true)
                .unwrap()
                .is_none()
        );
        let rows = model
            .forward_branches(&mut branches, &fed, &|| false)
            .unwrap()
            .unwrap();
        assert!(rows[..width] == whole[at * width..][..width]);
        assert!(rows[width..][..width] != rows[..width]);
        assert!(rows[2 * width..] == whole[(end - 1) * width..][..width]);
    }
    assert!(!branches[2].rewind(10));
    model.adopt(&branches[0]);
    assert_eq!(model.len(), ids.len() - 1);
    let last = feed(&mut *model, &ids[ids.len() - 1..], Logits::Last);
    assert!(last == whole[(ids.len() - 1) * width..]);
    whole
}

/// Reorders the rows of a matrix of a Llama model from the layout of GGUF files (interleaved RoPE)
/// to the layout of the published model (half-split RoPE).
pub fn to_halves(matrix: &Tensor, heads: usize) -> Tensor {
    let (rows, cols) = matrix.dims2().unwrap();
    let pairs = matrix.reshape((heads, rows / heads / 2, 2, cols)).unwrap();
    pairs
        .transpose(1, 2)
        .unwrap()
        .contiguous()
        .unwrap()
        .reshape((rows, cols))
        .unwrap()
}

/// Returns the published model's name for the tensor that GGUF files call `name`.
pub fn published(name: &str) -> String {
    let renames = [
        ("token_embd", "model.embed_tokens"),
        ("output_norm", "model.norm"),
        ("blk.", "model.layers."),
        ("attn_q_norm", "self_attn.q_norm"),
        ("attn_k_norm", "self_attn.k_norm"),
        ("attn_q.", "self_attn.q_proj."),
        ("attn_k.", "self_attn.k_proj."),
        ("attn_v.", "self_attn.v_proj."),
        ("attn_output.", "self_attn.o_proj."),
        ("post_attention_norm", "post_attention_layernorm"),
        ("post_ffw_norm", "post_feedforward_layernorm"),
        ("attn_norm", "input_layernorm"),
        ("ffn_norm", "post_attention_layernorm"),
        ("ffn_gate.", "mlp.gate_proj."),
        ("ffn_up.", "mlp.up_proj."),
        ("ffn_down.", "mlp.down_proj."),
    ];
    renames
        .iter()
        .fold(name.to_string(), |name, (from, to)| name.replace(from, to))
}

/// A shape whose heads are wider than the hidden size divided by the number of heads.
pub const WIDE: Shape = Shape {
    head_dim: 32,
    ..SHAPE
};

pub fn qwen3_body(architecture: &'static str) -> Tiny {
    let mut tiny = body(architecture, WIDE);
    norms_of_heads(&mut tiny, WIDE);
    tiny
}

pub fn quantized_qwen3(file: &NamedTempFile) -> Theirs<'static> {
    let (content, mut reader) = content(file);
    let model =
        reference::quantized_qwen3::ModelWeights::from_gguf(content, &mut reader, &Device::Cpu);
    let mut model = model.unwrap();
    Box::new(move |ids, at| model.forward(ids, at))
}

pub fn quantized_llama(file: &NamedTempFile) -> Theirs<'static> {
    let (content, mut reader) = content(file);
    let model =
        reference::quantized_llama::ModelWeights::from_gguf(content, &mut reader, &Device::Cpu);
    let mut model = model.unwrap();
    Box::new(move |ids, at| model.forward(ids, at))
}
