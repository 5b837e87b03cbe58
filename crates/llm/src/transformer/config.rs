//! The configuration of a decoder-only Transformer, read from GGUF metadata.
//!
//! Model families differ in a few points, which [`crate::families`] lists. Each point is a field of
//! the configuration, so that the layers do not depend on the family's name. The metadata keys are
//! documented in gguf-py's `constants.py`.

use crate::error::ModelError;
use crate::families::{self, Family, RopeLayout, SHORT_DIVISORS, UNSUPPORTED};
use crate::gguf::Gguf;
pub use kernels::math::Activation;

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub architecture: String,
    pub layers: usize,
    pub hidden: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    /// The longest context that the model was trained on, in tokens.
    pub context: usize,
    pub vocabulary: usize,
    pub norm_eps: f32,
    pub rope: Rope,
    /// The sliding window, if some of the layers have one.
    pub window: Option<Window>,
    pub activation: Activation,
    /// The factor by which embeddings are multiplied.
    pub embedding_scale: Option<f64>,
    /// The factor by which queries are multiplied, in addition to 1/sqrt(head_dim).
    pub query_scale: Option<f64>,
    /// The number of experts to which each token is routed.
    pub experts_used: usize,
    /// The name of the tensor with the weight of the final norm.
    pub output_norm: &'static str,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// The number of dimensions of a head that are rotated.
    pub dim: usize,
    pub base: f64,
    /// The number by which positions are divided (linear scaling).
    pub factor: f64,
    /// The factor by which rotated dimensions are multiplied (YaRN and LongRoPE; Phi 3's long
    /// contexts).
    pub attn_factor: f64,
    pub layout: RopeLayout,
    /// The name of the tensor with per-frequency divisors. Some files do not have this tensor.
    pub divisors: &'static str,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub tokens: usize,
    /// Every n-th layer has full attention instead of the window, where n is this number. 0 means
    /// that every layer has the window.
    pub pattern: usize,
    /// RoPE's base in layers with a sliding window, if it differs from the base in the remaining
    /// layers.
    pub rope_base: Option<f64>,
}

impl Config {
    pub fn from_gguf(gguf: &Gguf) -> Result<Config, ModelError> {
        let architecture = gguf
            .text("general.architecture")
            .unwrap_or_default()
            .into_owned();
        let key = |name: &str| format!("{architecture}.{name}");
        let count = |name: &str| {
            let value = gguf
                .unsigned(&key(name))
                .filter(|value| (1..=1 << 24).contains(value));
            value.map(|value| value as usize)
        };
        let need = |name: &str| count(name).ok_or_else(|| gguf.missing(&key(name)));
        let hidden = need("embedding_length")?;
        let heads = need("attention.head_count")?;
        let unsupported = || ModelError::Architecture(base::untrusted::clean_key(&architecture));
        let family = families::find(&architecture).ok_or_else(unsupported)?;
        let kv_heads = match gguf.numbers(&key("attention.head_count_kv")) {
            Some(by_layer) => same_in_all(&by_layer).ok_or_else(unsupported)?,
            None => count("attention.head_count_kv").unwrap_or(heads),
        };
        let head_dim = count("attention.key_length").unwrap_or(hidden / heads);
        if heads % kv_heads != 0 || head_dim == 0 {
            return Err(unsupported());
        }
        let experts_used = match count("expert_count") {
            Some(experts) => need("expert_used_count")?.min(experts),
            None => 0,
        };
        // Ignoring these would compute a different model.
        for name in UNSUPPORTED {
            if gguf
                .float(&key(name))
                .is_some_and(|value| value != 0.0 && value != 1.0)
            {
                return Err(ModelError::Unsupported(base::untrusted::clean_key(&key(
                    name,
                ))));
            }
        }
        let embedding = gguf.tensor("token_embd.weight");
        let embedding =
            embedding.filter(|tensor| tensor.shape.len() == 2 && tensor.shape[1] == hidden);
        let embedding = embedding.ok_or_else(|| gguf.missing("token_embd.weight"))?;
        let dim = count("rope.dimension_count").filter(|dim| *dim <= head_dim && dim % 2 == 0);
        let layers = need("block_count")?;
        let wide_queries = family.wide_query_layers == Some(layers);
        // Beyond its original context, a model needs its long factors, which are not supported
        // here.
        let short = gguf.tensor(SHORT_DIVISORS).is_some();
        let original = count("rope.scaling.original_context_length").filter(|_| short);
        let context = need("context_length")?;
        Ok(Config {
            layers,
            hidden,
            heads,
            kv_heads,
            head_dim,
            context: context.min(original.unwrap_or(context)),
            vocabulary: embedding.shape[0],
            norm_eps: gguf
                .float(&key("attention.layer_norm_rms_epsilon"))
                .unwrap_or(1e-5) as f32,
            rope: Rope {
                dim: dim.unwrap_or(head_dim),
                base: gguf
                    .float(&key("rope.freq_base"))
                    .unwrap_or(family.rope_base),
                factor: linear_factor(gguf, &key),
                attn_factor: gguf.float(&key("rope.scaling.attn_factor")).unwrap_or(1.0),
                layout: family.rope_layout,
                divisors: family.rope_divisors,
            },
            window: window(count("attention.sliding_window"), family, gguf, &key),
            activation: family.activation,
            embedding_scale: family.scales_embeddings.then(|| (hidden as f64).sqrt()),
            query_scale: wide_queries.then(|| (head_dim as f64 / (hidden / heads) as f64).sqrt()),
            experts_used,
            // LFM2's converter uses another name.
            output_norm: match gguf.tensor("output_norm.weight") {
                Some(_) => "output_norm.weight",
                None => "token_embd_norm.weight",
            },
            architecture,
        })
    }

    /// Returns the sliding window of a layer, if the layer has one.
    pub fn window_of_layer(&self, layer: usize) -> Option<&Window> {
        let window = self.window.as_ref()?;
        let sees_all = window.pattern > 0 && (layer + 1).is_multiple_of(window.pattern);
        (!sees_all).then_some(window)
    }
}

/// Returns the number of key heads that all layers with attention have in common. `by_layer`
/// contains the number for each layer; layers without attention have 0 and are ignored. Returns
/// None if the layers with attention differ, or if no layer has attention.
fn same_in_all(by_layer: &[f64]) -> Option<usize> {
    let mut some = by_layer.iter().filter(|heads| **heads > 0.0);
    let first = *some.next()?;
    let same = some.all(|heads| *heads == first) && first <= f64::from(1 << 24);
    same.then_some(first as usize)
}

fn linear_factor(gguf: &Gguf, key: &impl Fn(&str) -> String) -> f64 {
    let kind = gguf.text(&key("rope.scaling.type"));
    let linear = kind.is_none_or(|kind| kind == "linear");
    let factor = gguf.float(&key("rope.scaling.factor"));
    factor
        .filter(|factor| linear && *factor > 0.0)
        .unwrap_or(1.0)
}

fn window(
    tokens: Option<usize>,
    family: &Family,
    gguf: &Gguf,
    key: &impl Fn(&str) -> String,
) -> Option<Window> {
    let local = gguf.float(&key("rope.freq_base_swa"));
    Some(Window {
        tokens: tokens?,
        pattern: family.full_attention_every,
        rope_base: family.local_rope_base.map(|base| local.unwrap_or(base)),
    })
}
