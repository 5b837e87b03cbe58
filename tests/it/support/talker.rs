//! A tiny model that generates nonsense quickly, with random weights and a vocabulary of bytes. It
//! is for tests that run a model many times and do not depend on the generated text.

use super::bodies::{HIDDEN, SHAPE, Shape, body};
use candle_core::quantized::gguf_file::Value;
use tempfile::NamedTempFile;

/// The number of tokens in the vocabulary: one for each byte, and one that ends the text.
const TOKENS: usize = 257;

/// Writes the tiny model to a file, with a context size of `context` tokens.
pub fn talker(context: usize) -> NamedTempFile {
    let shape = Shape { layers: 1, ..SHAPE };
    let mut tiny = body("llama", shape);
    tiny.count("context_length", context);
    tiny.take("token_embd.weight");
    tiny.matrix("token_embd.weight", TOKENS, HIDDEN);
    let text = |text: &str| Value::String(text.to_string());
    let mut tokens: Vec<Value> = byte_names().iter().map(|c| text(&c.to_string())).collect();
    tokens.push(text("<end>"));
    let types = (0..TOKENS).map(|id| Value::I32(if id == 256 { 3 } else { 1 }));
    tiny.plain("tokenizer.ggml.model", text("gpt2"));
    tiny.plain("tokenizer.ggml.pre", text("smollm"));
    tiny.plain("tokenizer.ggml.token_type", Value::Array(types.collect()));
    tiny.plain("tokenizer.ggml.tokens", Value::Array(tokens));
    tiny.plain(
        "tokenizer.ggml.merges",
        Value::Array(vec![text("\u{120} \u{120}")]),
    );
    tiny.plain("tokenizer.ggml.eos_token_id", Value::U32(256));
    tiny.write()
}

/// The characters that stand for the bytes 0 to 255 in byte-level vocabularies (GPT-2's
/// `encoder.py`).
fn byte_names() -> Vec<char> {
    let plain = |byte: u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 256;
    let name = |byte: u32| {
        let c = if plain(byte) { byte } else { next };
        next += u32::from(!plain(byte));
        char::from_u32(c).unwrap()
    };
    (0..256).map(name).collect()
}
