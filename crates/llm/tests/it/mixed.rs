//! Tests the families in which some layers have short convolutions instead of attention, or experts
//! instead of a single feed-forward network.

use crate::support::bodies::{
    FEED, HIDDEN, SHAPE, Shape, WIDE, body, each_layer, hold, hold_exact, norms_of_heads,
    quantized_llama, quantized_qwen3, qwen3_body,
};
use crate::support::tiny::{Tiny, content, feed, ours};
use candle_core::quantized::gguf_file::Value;
use candle_core::{Device, Tensor};
use candle_transformers::models as reference;
use llm::Logits;
use tempfile::NamedTempFile;

fn lfm2_body() -> Tiny {
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
    tiny
}

/// Tests LFM2, in which most layers have short convolutions and the remaining layers have
/// attention. Illumine is compared with candle's loader on a prompt and on single tokens after the
/// prompt. No more can be compared: the loader loses the state of a convolution if a prompt is
/// evaluated in slices, and it retains the old state if a new text begins with a single token.
#[test]
fn lfm2() {
    let tiny = lfm2_body();
    hold(tiny, |file| {
        let (content, mut reader) = content(file);
        let load = reference::quantized_lfm2::ModelWeights::from_gguf;
        let mut model = load(content, &mut reader, &Device::Cpu).unwrap();
        Box::new(move |ids, at| model.forward(ids, at))
    });
}

const EXPERTS: usize = 6;

/// Adds the router of a mixture of experts to each layer. It routes each token to two experts.
fn experts(tiny: &mut Tiny, shape: Shape) {
    tiny.count("expert_count", EXPERTS);
    tiny.count("expert_used_count", 2);
    tiny.count("expert_feed_forward_length", FEED);
    each_layer(tiny, shape, |tiny, block| {
        tiny.matrix(&format!("{block}.ffn_gate_inp.weight"), EXPERTS, HIDDEN);
    });
}

/// Tests a Llama model with experts. Candle loads each expert from a tensor of its own. Illumine
/// loads all experts from one tensor, as current files store them. The file in this test contains
/// both. Only F32 weights are compared, since rounding may route a token to a different expert if
/// two scores are nearly equal.
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

/// Tests Qwen3 with experts. Candle computes the experts of this family only on CUDA. This test
/// therefore uses identical experts, which give the same results as a single network, and compares
/// the model with a dense Qwen3. The routing is tested with the llama model in
/// `llama_with_experts`.
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

/// A cache has space for 512 tokens at first, and must retain its contents when it grows.
#[test]
fn a_text_outgrows_the_first_allocation() {
    let mut tiny = lfm2_body();
    tiny.count("context_length", 1024);
    let file = tiny.write();
    let mut model = ours(&file);
    let ids: Vec<u32> = (0..700).map(|at| (at * 7 + at / 13) % 160).collect();
    let whole = feed(&mut *model, &ids, Logits::Last);
    let mut other = ours(&file);
    for slice in [&ids[..510], &ids[510..514], &ids[514..699]] {
        feed(&mut *other, slice, Logits::Skip);
    }
    assert!(whole == feed(&mut *other, &ids[699..], Logits::Last));
}
