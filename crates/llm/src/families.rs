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
    /// The base of RoPE for files that do not state it.
    pub rope_base: f64,
    /// The name of the tensor that contains RoPE's per-frequency divisors. Some files do not have
    /// this tensor.
    pub rope_divisors: &'static str,
    /// The activation function of the feed-forward network. [`Activation::Gelu`] is the tanh
    /// approximation of GELU; the exact function would need a new variant.
    pub activation: Activation,
    /// Whether embeddings are multiplied by the square root of their width.
    pub scales_embeddings: bool,
    /// In models with a sliding window, every n-th layer has full attention instead, where n is
    /// this number. 0 means that every layer has the window.
    pub full_attention_every: usize,
    /// The base of RoPE in layers with a sliding window, for files that do not state it. None if
    /// the base is the same in all layers.
    pub local_rope_base: Option<f64>,
    /// The number of layers of the model that scales queries differently, if the family has one.
    /// That model divides queries by the square root of (hidden size / heads) instead of the square
    /// root of the head width. It is recognized by its number of layers, because GGUF files do not
    /// state the scale.
    pub wide_query_layers: Option<usize>,
}

/// Which two dimensions of a head are rotated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopeLayout {
    /// Dimensions 2i and 2i + 1 form a pair. GGUF files of the `llama` family use this layout.
    Interleaved,
    /// Dimensions i and i + dim/2 form a pair. GPT-NeoX uses this layout.
    HalfSplit,
}

/// The name of the tensor that contains Phi 3's RoPE divisors for contexts up to the original
/// length.
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

/// All families that illumine can load.
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

/// The names of the tokens that always end generation ("EOG" in llama.cpp's llama-vocab.cpp).
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

/// The names of turn tokens that are written without bars, unlike `<|im_end|>`.
pub const TURN_TOKENS: &[&str] = &["<start_of_turn>", "<end_of_turn>", "<EOT>", "_<EOT>"];

/// How a tokenizer splits text into words. Tokens are merged only within a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordSplit {
    Gpt2,
    SmolLm,
    Llama3,
    Qwen2,
    Tekken,
}

/// The way to split text for each value of `tokenizer.ggml.pre` (llama.cpp's llama-vocab.cpp).
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

/// Metadata keys of factors and limits that illumine does not implement. The values 0 and 1 have no
/// effect. If one of the keys has any other value, the model is refused.
pub const UNSUPPORTED: &[&str] = &[
    "attention.scale",
    "attn_logit_softcapping",
    "embedding_scale",
    "expert_weights_scale",
    "final_logit_softcapping",
    "logit_scale",
    "residual_scale",
];

/// Returns the family that has the given name.
pub fn find(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.name == name)
}

/// Returns the way to split text for a value of `tokenizer.ggml.pre`, or None if the value is
/// unknown.
pub fn split_of(pre: &str) -> Option<WordSplit> {
    let named = WORD_SPLITS.iter().find(|(_, names)| names.contains(&pre));
    named.map(|(split, _)| *split)
}
