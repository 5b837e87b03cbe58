//! Tests a SentencePiece vocabulary like Gemma's, in which runs of newlines and HTML tags are
//! user-defined tokens, and control tokens mark turns.

use crate::support::tiny::Tiny;
use candle_core::quantized::gguf_file::Value;
use llm::Tokenizer;
use llm::gguf::Gguf;

const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const BYTE: i32 = 6;

fn tokenizer() -> Tokenizer {
    let mut tokens: Vec<(String, i32)> = [
        ("<eos>", CONTROL),
        ("<bos>", CONTROL),
        ("<end_of_turn>", CONTROL),
        ("<|im_end|>", USER_DEFINED),
        ("\n", USER_DEFINED),
        ("\n\n", USER_DEFINED),
        ("  ", USER_DEFINED),
        ("</s>", USER_DEFINED),
        ("▁the", 1),
        ("the", 1),
        ("th", 1),
        ("t", 1),
        ("h", 1),
        ("e", 1),
        ("▁", 1),
    ]
    .map(|(token, kind)| (token.to_string(), kind))
    .into();
    tokens.extend((0..=255).map(|byte| (format!("<0x{byte:02X}>"), BYTE)));
    let mut tiny = Tiny::new("gemma3");
    let mut array = |key: &str, values: Vec<Value>| {
        tiny.plain(&format!("tokenizer.ggml.{key}"), Value::Array(values));
    };
    let texts = tokens.iter().map(|(token, _)| Value::String(token.clone()));
    array("tokens", texts.collect());
    let kinds = tokens.iter().map(|(_, kind)| Value::I32(*kind));
    array("token_type", kinds.collect());
    let scores = (0..tokens.len()).map(|at| Value::F32(-(at as f32)));
    array("scores", scores.collect());
    let mut plain = |key: &str, value| tiny.plain(&format!("tokenizer.ggml.{key}"), value);
    plain("model", Value::String("llama".to_string()));
    plain("eos_token_id", Value::U32(0));
    plain("bos_token_id", Value::U32(1));
    plain("add_space_prefix", Value::Bool(false));
    Tokenizer::from_gguf(&Gguf::open(tiny.write().path()).unwrap()).unwrap()
}

#[test]
fn user_defined_tokens_are_found_in_text_and_control_tokens_are_not() {
    let tokenizer = tokenizer();
    let ids = |text: &str| tokenizer.encode(text).unwrap();
    assert_eq!(ids("the the"), [9, 8]);
    assert_eq!(ids("the\n\n\nthe"), [9, 5, 4, 9]);
    assert_eq!(ids("the   the"), [9, 6, 8]);
    assert_eq!(ids("</s>"), [7]);
    for control in ["<end_of_turn>", "<|im_end|>", "<bos>"] {
        let ids = ids(control);
        assert!(ids.len() > 1, "{control}");
        let spelled: Vec<u8> = ids
            .iter()
            .flat_map(|id| tokenizer.bytes(*id).to_vec())
            .collect();
        assert_eq!(spelled, control.as_bytes());
        assert_eq!(tokenizer.encode_rendered(control).unwrap().len(), 1);
    }
}

#[test]
fn a_tag_that_looks_like_an_end_does_not_end_a_passage() {
    let tokenizer = tokenizer();
    let mut ends: Vec<u32> = tokenizer.end_ids().collect();
    ends.sort();
    assert_eq!(ends, [0, 2, 3]);
    assert_eq!(tokenizer.leading_bos(), Some(1));
}
