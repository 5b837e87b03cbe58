//! Every family that illumine reads, held to another implementation on small random models:
//! candle-transformers' quantized loader of the family, or, where that one differs from the
//! published model, its unquantized one.

use crate::support::bodies::{
    FEED, HIDDEN, SHAPE, Shape, VOCABULARY, biases, body, close, consistent, each_layer, fuse,
    hold, hold_exact, norms_after, norms_of_heads, published, to_halves,
};
use crate::support::tiny::{Theirs, Tiny, content, ours, read, read_theirs};
use candle_core::quantized::gguf_file::Value;
use candle_core::{DType, Device, Tensor};
use candle_nn::Activation;
use candle_transformers::models as reference;
use tempfile::NamedTempFile;

fn quantized_llama(file: &NamedTempFile) -> Theirs<'static> {
    let (content, mut reader) = content(file);
    let model =
        reference::quantized_llama::ModelWeights::from_gguf(content, &mut reader, &Device::Cpu);
    let mut model = model.unwrap();
    Box::new(move |ids, at| model.forward(ids, at))
}

#[test]
fn llama_with_tied_embeddings() {
    hold(body("llama", SHAPE), quantized_llama);
}

#[test]
fn llama_with_a_head_of_its_own() {
    let mut tiny = body("llama", SHAPE);
    tiny.matrix("output.weight", VOCABULARY, HIDDEN);
    hold(tiny, quantized_llama);
}

/// Llama 3's divisors of RoPE's frequencies. Candle's quantized loader does not know them; its
/// unquantized one computes them from the published configuration, as the file's converter does
/// (convert_hf_to_gguf.py, `generate_extra_tensors`).
#[test]
fn llama_with_scaled_rope() {
    let mut tiny = body("llama", SHAPE);
    let scaling = reference::llama::Llama3RopeConfig {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 256,
        rope_type: reference::llama::Llama3RopeType::Llama3,
    };
    tiny.set(
        "rope_freqs.weight",
        Tensor::new(divisors(&scaling), &Device::Cpu).unwrap(),
    );
    let config = reference::llama::Config {
        hidden_size: HIDDEN,
        intermediate_size: FEED,
        vocab_size: VOCABULARY,
        num_hidden_layers: SHAPE.layers,
        num_attention_heads: SHAPE.heads,
        num_key_value_heads: SHAPE.kv_heads,
        use_flash_attn: false,
        rms_norm_eps: 1e-5,
        rope_theta: 1000.0,
        bos_token_id: None,
        eos_token_id: None,
        rope_scaling: Some(scaling),
        max_position_embeddings: 64,
        tie_word_embeddings: true,
    };
    let weights = tiny.renamed(|name, tensor| {
        let tensor = match name.rsplit('.').nth(1) {
            Some("attn_q") => to_halves(&tensor, SHAPE.heads),
            Some("attn_k") => to_halves(&tensor, SHAPE.kv_heads),
            _ => tensor,
        };
        (published(name), tensor)
    });
    let model = reference::llama::Llama::load(weights, &config).unwrap();
    let mut cache = reference::llama::Cache::new(true, DType::F32, &config, &Device::Cpu).unwrap();
    let theirs = Box::new(move |ids: &Tensor, at: usize| model.forward(ids, at, &mut cache));
    let wanted = read_theirs(theirs, VOCABULARY, false);
    close(&wanted, &read(&mut *ours(&tiny.write())));
}

/// What the converter writes as `rope_freqs.weight`.
fn divisors(scaling: &reference::llama::Llama3RopeConfig) -> Vec<f32> {
    let original = scaling.original_max_position_embeddings as f32;
    let (low, high) = (scaling.low_freq_factor, scaling.high_freq_factor);
    let divisor = |i: usize| {
        let length = std::f32::consts::TAU * 1000f32.powf(2.0 * i as f32 / SHAPE.head_dim as f32);
        if length < original / high {
            1.0
        } else if length > original / low {
            scaling.factor
        } else {
            let smooth = (original / length - low) / (high - low);
            1.0 / ((1.0 - smooth) / scaling.factor + smooth)
        }
    };
    (0..SHAPE.head_dim / 2).map(divisor).collect()
}

#[test]
fn qwen2() {
    let mut tiny = body("qwen2", SHAPE);
    biases(&mut tiny, SHAPE);
    hold(tiny, |file| {
        let (content, mut reader) = content(file);
        let model =
            reference::quantized_qwen2::ModelWeights::from_gguf(content, &mut reader, &Device::Cpu);
        let mut model = model.unwrap();
        Box::new(move |ids, at| model.forward(ids, at))
    });
}

/// Heads wider than the hidden size divided by their number.
const WIDE: Shape = Shape {
    head_dim: 32,
    ..SHAPE
};

fn qwen3_body(architecture: &'static str) -> Tiny {
    let mut tiny = body(architecture, WIDE);
    norms_of_heads(&mut tiny, WIDE);
    tiny
}

fn quantized_qwen3(file: &NamedTempFile) -> Theirs<'static> {
    let (content, mut reader) = content(file);
    let model =
        reference::quantized_qwen3::ModelWeights::from_gguf(content, &mut reader, &Device::Cpu);
    let mut model = model.unwrap();
    Box::new(move |ids, at| model.forward(ids, at))
}

#[test]
fn qwen3() {
    let mut tiny = qwen3_body("qwen3");
    // Else candle keeps RoPE's tables in F16.
    tiny.plain("general.dtype", Value::U32(0));
    hold(tiny, quantized_qwen3);
}

#[test]
fn phi3() {
    let mut tiny = body("phi3", SHAPE);
    // Candle's loader knows no other base.
    tiny.float("rope.freq_base", 10_000.0);
    tiny.matrix("output.weight", VOCABULARY, HIDDEN);
    fuse(
        &mut tiny,
        SHAPE,
        &["attn_q", "attn_k", "attn_v"],
        "attn_qkv",
    );
    fuse(&mut tiny, SHAPE, &["ffn_gate", "ffn_up"], "ffn_up");
    hold(tiny, |file| {
        let (content, mut reader) = content(file);
        let model = reference::quantized_phi3::ModelWeights::from_gguf(
            false,
            content,
            &mut reader,
            &Device::Cpu,
        );
        let mut model = model.unwrap();
        Box::new(move |ids, at| model.forward(ids, at))
    });
}

/// Gemma 3 with 8 layers, the sixth of which sees all, and a window that the prompt outgrows.
///
/// Candle's quantized loader differs from the published model: SiLU for GELU, windows one token
/// wider, none for single tokens, and tables for 131,072 positions in each layer. Its unquantized
/// one agrees for tokens read one by one (in a prompt its windows are wider, too), with norms
/// that add 1 to their weight, which GGUF files hold already added.
#[test]
fn gemma3() {
    let shape = Shape { layers: 8, ..WIDE };
    let window = 8;
    let mut tiny = body("gemma3", shape);
    norms_of_heads(&mut tiny, shape);
    norms_after(&mut tiny, shape);
    tiny.count("attention.sliding_window", window);
    tiny.float("rope.freq_base_swa", 100.0);
    let config = reference::gemma3::Config {
        attention_bias: false,
        head_dim: shape.head_dim,
        hidden_activation: Activation::GeluPytorchTanh,
        hidden_size: HIDDEN,
        intermediate_size: FEED,
        num_attention_heads: shape.heads,
        num_hidden_layers: shape.layers,
        num_key_value_heads: shape.kv_heads,
        rms_norm_eps: 1e-5,
        rope_theta: 1000.0,
        rope_local_base_freq: 100.0,
        vocab_size: VOCABULARY,
        final_logit_softcapping: None,
        attn_logit_softcapping: None,
        query_pre_attn_scalar: shape.head_dim,
        sliding_window: window,
        sliding_window_pattern: 6,
        max_position_embeddings: 64,
    };
    let weights = tiny.renamed(|name, tensor| {
        let tensor = if name.contains("norm") {
            (tensor - 1.0).unwrap()
        } else {
            tensor
        };
        let before_feed = name.contains("ffn_norm");
        let name = if before_feed {
            name.replace("ffn_norm", "pre_feedforward_layernorm")
        } else {
            name.to_string()
        };
        (published(&name), tensor)
    });
    let mut model = reference::gemma3::Model::new(false, &config, weights).unwrap();
    let file = tiny.write();
    let theirs = Box::new(move |ids: &Tensor, at: usize| model.forward(ids, at));
    let wanted = read_theirs(theirs, VOCABULARY, true);
    close(&wanted, &read(&mut *ours(&file)));
    consistent(&file);
}

/// RoPE for half of each head, pairs of neighbours, biases, norms after, gate and up in one.
#[test]
fn glm4() {
    let mut tiny = body("glm4", WIDE);
    tiny.count("rope.dimension_count", WIDE.head_dim / 2);
    biases(&mut tiny, WIDE);
    norms_after(&mut tiny, WIDE);
    fuse(&mut tiny, WIDE, &["ffn_gate", "ffn_up"], "ffn_up");
    hold(tiny, |file| {
        let (content, mut reader) = content(file);
        let load = reference::quantized_glm4::ModelWeights::from_gguf;
        let mut model = load(content, &mut reader, &Device::Cpu, DType::F32).unwrap();
        Box::new(move |ids, at| model.forward(ids, at))
    });
}

/// Short convolutions in most layers, attention in the others. Candle's loader carries a
/// convolution's state from a prompt to single tokens, which is what is compared; it forgets it
/// when a prompt comes in slices, and keeps it when a text begins again with a single token.
#[test]
fn lfm2() {
    let shape = Shape { layers: 5, ..SHAPE };
    let width = 3;
    let mut tiny = body("lfm2", shape);
    norms_of_heads(&mut tiny, shape);
    let attends = |layer: usize| layer == 2 || layer == 4;
    let heads = |layer| {
        if attends(layer) {
            shape.kv_heads as u32
        } else {
            0
        }
    };
    let heads = (0..shape.layers)
        .map(|layer| Value::U32(heads(layer)))
        .collect();
    tiny.value("attention.head_count_kv", Value::Array(heads));
    tiny.count("shortconv.l_cache", width);
    for layer in (0..shape.layers).filter(|layer| !attends(*layer)) {
        for part in [
            "attn_q",
            "attn_k",
            "attn_v",
            "attn_output",
            "attn_q_norm",
            "attn_k_norm",
        ] {
            tiny.take(&format!("blk.{layer}.{part}.weight"));
        }
        let name = |part: &str| format!("blk.{layer}.shortconv.{part}.weight");
        tiny.matrix(&name("conv"), HIDDEN, width);
        tiny.matrix(&name("in_proj"), 3 * HIDDEN, HIDDEN);
        tiny.matrix(&name("out_proj"), HIDDEN, HIDDEN);
    }
    let norm = tiny.take("output_norm.weight");
    tiny.set("token_embd_norm.weight", norm);
    hold(tiny, |file| {
        let (content, mut reader) = content(file);
        let load = reference::quantized_lfm2::ModelWeights::from_gguf;
        let mut model = load(content, &mut reader, &Device::Cpu).unwrap();
        Box::new(move |ids, at| model.forward(ids, at))
    });
}

const EXPERTS: usize = 6;

/// Puts experts, two for each token, in the place of a feed-forward network.
fn experts(tiny: &mut Tiny, shape: Shape) {
    tiny.count("expert_count", EXPERTS);
    tiny.count("expert_used_count", 2);
    tiny.count("expert_feed_forward_length", FEED);
    each_layer(tiny, shape, |tiny, block| {
        tiny.matrix(&format!("{block}.ffn_gate_inp.weight"), EXPERTS, HIDDEN);
    });
}

/// Candle reads a llama's experts from a tensor each, illumine from one that holds all, as
/// today's files have them: this file has both. Only exact arithmetic is compared: rounding sends
/// a token that suits two experts equally to another one.
#[test]
fn llama_with_experts() {
    let mut tiny = body("llama", SHAPE);
    experts(&mut tiny, SHAPE);
    each_layer(&mut tiny, SHAPE, |tiny, block| {
        for (part, rows, cols) in [
            ("gate", FEED, HIDDEN),
            ("up", FEED, HIDDEN),
            ("down", HIDDEN, FEED),
        ] {
            tiny.take(&format!("{block}.ffn_{part}.weight"));
            let name = |expert| format!("{block}.ffn_{part}.{expert}.weight");
            (0..EXPERTS).for_each(|expert| tiny.matrix(&name(expert), rows, cols));
            let all: Vec<Tensor> = (0..EXPERTS)
                .map(|expert| tiny.tensor(&name(expert)))
                .collect();
            tiny.set(
                &format!("{block}.ffn_{part}_exps.weight"),
                Tensor::stack(&all, 0).unwrap(),
            );
        }
    });
    hold_exact(&tiny, &quantized_llama);
}

/// Candle's loader computes experts on CUDA alone, so the routing is held to a llama's (above) and
/// the rest to Qwen3: experts that are all the same are one network.
#[test]
fn qwen3_with_experts() {
    let mut dense = qwen3_body("qwen3");
    dense.plain("general.dtype", Value::U32(0));
    let dense_file = dense.write();
    let mut tiny = qwen3_body("qwen3moe");
    experts(&mut tiny, WIDE);
    each_layer(&mut tiny, WIDE, |tiny, block| {
        for part in ["gate", "up", "down"] {
            let one = tiny.take(&format!("{block}.ffn_{part}.weight"));
            let all = Tensor::stack(&vec![one; EXPERTS], 0).unwrap();
            tiny.set(&format!("{block}.ffn_{part}_exps.weight"), all);
        }
    });
    hold_exact(&tiny, &|_: &NamedTempFile| quantized_qwen3(&dense_file));
}

/// The catalogue promises no architecture that cannot be read, and leaves none out.
#[test]
fn the_catalogue_lists_what_can_be_read() {
    use illumine::model::catalog::{Architecture, Catalog};
    use illumine::model::transformer::config::FAMILIES;
    use std::collections::BTreeSet;
    let listed: BTreeSet<&str> = Architecture::ALL.iter().map(|one| one.gguf()).collect();
    assert_eq!(listed, FAMILIES.iter().copied().collect());
    for entry in Catalog::embedded().unwrap().entries() {
        assert!(
            Architecture::ALL.contains(&entry.architecture),
            "{}",
            entry.name
        );
    }
    let mut tiny = body("llama", SHAPE);
    tiny.plain("general.architecture", Value::String("mamba".to_string()));
    let gguf = illumine::model::gguf::Gguf::open(tiny.write().path()).unwrap();
    let error = illumine::model::load_text(gguf.into(), &Device::Cpu, 1)
        .err()
        .unwrap();
    assert!(error.to_string().contains("\"mamba\""), "{error}");
}

#[test]
fn what_a_file_says_of_rope_and_scale() {
    use illumine::model::gguf::Gguf;
    use illumine::model::transformer::Config;
    let config = |tiny: &Tiny| Config::read(&Gguf::open(tiny.write().path()).unwrap()).unwrap();
    // Gemma 3 27B's queries are scaled by hidden size over heads: 64 / 4 here, not 32.
    let large = config(&body("gemma3", Shape { layers: 62, ..WIDE }));
    assert_eq!(large.query_scale, Some(2f64.sqrt()));
    assert_eq!(config(&body("gemma3", WIDE)).query_scale, None);
    // Positions are divided by the factor unless another kind of scaling is named.
    let mut tiny = body("gemma3", WIDE);
    tiny.float("rope.scaling.factor", 8.0);
    assert_eq!(config(&tiny).rope.factor, 8.0);
    tiny.value("rope.scaling.type", Value::String("yarn".to_string()));
    assert_eq!(config(&tiny).rope.factor, 1.0);
    // Phi 3's short factors serve its original context.
    let mut tiny = body("phi3", SHAPE);
    tiny.count("rope.scaling.original_context_length", 32);
    assert_eq!(config(&tiny).context, 64);
    tiny.vector("rope_factors_short.weight", SHAPE.head_dim / 2, 1.0);
    tiny.float("rope.scaling.attn_factor", 1.25);
    assert_eq!(config(&tiny).context, 32);
    assert_eq!(config(&tiny).rope.magnitude, 1.25);
}
