//! Compares every supported family with another implementation, on small random models. The other
//! implementation is the family's quantized loader in candle-transformers or, if that loader
//! differs from the published model, the unquantized loader.

use crate::support::bodies::{
    FEED, HIDDEN, SHAPE, Shape, VOCABULARY, WIDE, biases, body, close, consistent, fuse, hold,
    norms_after, norms_of_heads, published, quantized_llama, quantized_qwen3, qwen3_body,
    to_halves,
};
use crate::support::tiny::{Tiny, content, ours, read, read_theirs};
use candle_core::quantized::gguf_file::Value;
use candle_core::{DType, Device, Tensor};
use candle_nn::Activation;
use candle_transformers::models as reference;
use std::collections::BTreeSet;

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

/// Tests a Llama model with the divisors that Llama 3 applies to RoPE's frequencies. Candle's
/// quantized loader does not support divisors. Its unquantized loader computes the divisors from
/// the published configuration, like the converter that writes the file (convert_hf_to_gguf.py,
/// `generate_extra_tensors`).
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

/// Returns the divisors that the converter writes to the tensor `rope_freqs.weight`.
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

#[test]
fn qwen3() {
    let mut tiny = qwen3_body("qwen3");
    // Otherwise candle keeps RoPE's tables in F16.
    tiny.plain("general.dtype", Value::U32(0));
    hold(tiny, quantized_qwen3);
}

#[test]
fn phi3() {
    let mut tiny = body("phi3", SHAPE);
    // Candle's loader supports no other base.
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

/// Tests Gemma 3 with 8 layers, of which the sixth has full attention, and with a window shorter
/// than the prompt.
///
/// Candle's quantized loader differs from the published model: it uses SiLU instead of GELU, its
/// windows are one token wider and do not apply to single tokens, and each layer has tables for
/// 131,072 positions. Candle's unquantized loader agrees for tokens evaluated one by one (in a
/// prompt its windows are wider too). Its norms add 1 to their weights; GGUF files already include
/// this 1.
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

/// Tests GLM-4: RoPE on half of each head in interleaved pairs, biases, a norm after each part of a
/// layer, and the gate and up matrices in one tensor.
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

/// The catalogue must contain a text model of every supported family, and no text model of another
/// family.
#[test]
fn the_catalogue_lists_what_can_be_read() {
    let catalog = hub::catalog::Catalog::embedded().unwrap();
    let writers = catalog.entries().iter().filter(|entry| entry.writes_text());
    let listed: BTreeSet<&str> = writers.map(|entry| entry.architecture.as_str()).collect();
    let families = llm::families::FAMILIES.iter();
    assert_eq!(listed, families.map(|family| family.name).collect());
    let mut tiny = body("llama", SHAPE);
    tiny.plain("general.architecture", Value::String("mamba".to_string()));
    let gguf = llm::gguf::Gguf::open(tiny.write().path()).unwrap();
    let placement = llm::Placement::new(Device::Cpu, 1);
    let error = llm::load_text(gguf.into(), &placement).err().unwrap();
    assert!(error.to_string().contains("\"mamba\""), "{error}");
}

/// A model must be refused if a layer contains a tensor that its family does not use, since the
/// text would be wrong without this tensor.
#[test]
fn a_tensor_that_nothing_computes_with_is_named() {
    let mut tiny = body("llama", SHAPE);
    tiny.vector("blk.1.attn_sinks.weight", SHAPE.heads, 1.0);
    let gguf = llm::gguf::Gguf::open(tiny.write().path()).unwrap();
    let error = llm::load_text(gguf.into(), &llm::Placement::new(Device::Cpu, 1));
    let error = error.err().unwrap().to_string();
    assert!(error.contains("blk.1.attn_sinks.weight"), "{error}");
}

#[test]
fn what_a_file_says_of_rope_and_scale() {
    use llm::gguf::Gguf;
    use llm::transformer::Config;
    let config =
        |tiny: &Tiny| Config::from_gguf(&Gguf::open(tiny.write().path()).unwrap()).unwrap();
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
    // Phi 3's short factors are for its original context.
    let mut tiny = body("phi3", SHAPE);
    tiny.count("rope.scaling.original_context_length", 32);
    assert_eq!(config(&tiny).context, 64);
    tiny.vector("rope_factors_short.weight", SHAPE.head_dim / 2, 1.0);
    tiny.float("rope.scaling.attn_factor", 1.25);
    assert_eq!(config(&tiny).context, 32);
    assert_eq!(config(&tiny).rope.attn_factor, 1.25);
}
