//! The supported model families: one row for each family, which lists its differences from `PLAIN`.
//! The layers do not depend on the family's name; they read the differences from
//! `transformer::Config`.
//!
//! Sources: each model's published configuration and tokenizer.

use kernels::math::Activation;

/// A model family.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The value of `general.architecture` in the family's GGUF files.
    pub name: &'static str,
    pub rope_layout: RopeLayout,
    /// RoPE's base if the file does not state it.
    pub rope_base: f64,
    /// The name of the tensor with RoPE's per-frequency divisors, which some files lack.
    pub rope_divisors: &'static str,
    /// The activation of the feed-forward network. [`Activation::Gelu`] is the tanh approximation;
    /// exact GELU would need a new variant.
    pub activation: Activation,
    /// Whether embeddings are multiplied by the square root of their width.
    pub scales_embeddings: bool,
    /// In models with a sliding window, n if every n-th layer still has full attention; 0 if no
    /// layer has.
    pub full_attention_every: usize,
    /// RoPE's base in layers with a sliding window, if it differs and files do not state it.
    pub local_rope_base: Option<f64>,
    /// The number of layers by which to recognize the one model in the family that scales queries
    /// by hidden size over heads instead of by head width; GGUF files do not state this.
    pub wide_query_layers: Option<usize>,
}

/// Which two dimensions of a head are rotated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopeLayout {
    /// Pairs (2i, 2i+1): the layout of llama's GGUF files.
    Interleaved,
    /// Half-split: (i, i + dim/2), as in NeoX.
    HalfSplit,
}

/// The tensor of Phi 3's RoPE divisors for contexts up to the original length.
pub const SHORT_DIVISORS: &str = "rope_factors_short.weight";

/// The values that most families share.
const PLAIN: Family = Family {
    name: "",
    rope_layout: RopeLayout::HalfSplit,
    rope_base: 1e4,
    rope_divisors: "rope_freqs.weight",
    activation: Activation::Silu,
    scales_embeddings: false,
    full_attention_every: 0,
    local_rope_base: None,
    wide_query_layers: None,
};

/// All families that can be loaded.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "llama",
        rope_layout: RopeLayout::Interleaved,
        ..PLAIN
    },
    Family {
        name: "qwen2",
        ..PLAIN
    },
    Family {
        name: "qwen3",
        ..PLAIN
    },
    Family {
        name: "qwen3moe",
        ..PLAIN
    },
    Family {
        name: "gemma3",
        rope_base: 1e6,
        activation: Activation::Gelu,
        scales_embeddings: true,
        full_attention_every: 6,
        local_rope_base: Some(1e4),
        // Gemma 3 27B (gemma_pytorch's config.py, `query_pre_attn_scalar`).
        wide_query_layers: Some(62),
        ..PLAIN
    },
    Family {
        name: "phi3",
        rope_divisors: SHORT_DIVISORS,
        ..PLAIN
    },
    Family {
        name: "glm4",
        rope_layout: RopeLayout::Interleaved,
        ..PLAIN
    },
    Family {
        name: "lfm2",
        ..PLAIN
    },
];

/// Names of tokens that always end generation ("EOG" in llama.cpp's llama-vocab.cpp).
pub const END_TOKENS: &[&str] = &[
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<EOT>",
    "_<EOT>",
    "<|user|>",
    "</s>",
];

/// Turn tokens whose names lack the bars of `<|im_end|>`.
pub const TURN_TOKENS: &[&str] = &["<start_of_turn>", "<end_of_turn>", "<EOT>", "_<EOT>"];

/// How a tokenizer splits text into words before merging tokens within each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordSplit {
    Gpt2,
    SmolLm,
    Llama3,
    Qwen2,
    Tekken,
}

/// The split for each value of `tokenizer.ggml.pre` (llama.cpp's llama-vocab.cpp).
const WORD_SPLITS: &[(WordSplit, &[&str])] = &[
    (WordSplit::Gpt2, &["gpt-2", "gpt2", "default", ""]),
    (WordSplit::SmolLm, &["smollm"]),
    (
        WordSplit::Llama3,
        &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "smaug-bpe",
            "lfm2",
            "glm4",
            "chatglm-bpe",
            "falcon3",
            "pixtral",
        ],
    ),
    (WordSplit::Qwen2, &["qwen2", "deepseek-r1-qwen", "qwen3"]),
    (WordSplit::Tekken, &["tekken"]),
];

/// Metadata keys of factors and limits that illumine does not implement; a value of 0 or 1 has no
/// effect.
pub const UNSUPPORTED: &[&str] = &[
    "attention.scale",
    "attn_logit_softcapping",
    "embedding_scale",
    "expert_weights_scale",
    "final_logit_softcapping",
    "logit_scale",
    "residual_scale",
];

/// The family with this name.
pub fn find(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.name == name)
}

/// The split for a value of `tokenizer.ggml.pre`, if the value is known.
pub fn split_of(pre: &str) -> Option<WordSplit> {
    let named = WORD_SPLITS.iter().find(|(_, names)| names.contains(&pre));
    named.map(|(split, _)| *split)
}
