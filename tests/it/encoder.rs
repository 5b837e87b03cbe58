//! Compares the sentence encoder with the transformers library (tests/reference/minilm.py).

use crate::support::encoder_path;
use candle_core::Device;
use llm::sentence_encoder::{SentenceEncoder, WIDTH};
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    phrase: String,
    embedding: Vec<f32>,
}

#[test]
fn embeddings_are_those_of_the_reference() {
    let rows: Vec<Row> = serde_json::from_str(include_str!("../reference/minilm.json")).unwrap();
    let encoder = SentenceEncoder::load(&encoder_path(), &Device::Cpu).unwrap();
    for Row { phrase, embedding } in rows {
        let ours = encoder.embed(&phrase).unwrap();
        assert_eq!(ours.len(), WIDTH);
        let pairs = ours.iter().zip(&embedding);
        let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4, "{worst} at {phrase:?}");
    }
}

#[test]
fn a_prompt_of_any_length_has_an_embedding() {
    let encoder = SentenceEncoder::load(&encoder_path(), &Device::Cpu).unwrap();
    for prompt in [
        "x".repeat(100_000),
        "dragon ".repeat(20_000),
        "\u{301}".repeat(9),
    ] {
        let length: f32 = encoder.embed(&prompt).unwrap().iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-4);
    }
}

#[test]
fn many_texts_at_once_have_the_embeddings_that_each_has_alone() {
    let encoder = SentenceEncoder::load(&encoder_path(), &Device::Cpu).unwrap();
    let texts = ["a dragon", "a dragon asleep in its cave", "a fox", ""].map(String::from);
    let all = encoder.embed_all(&texts, &mut |_| true).unwrap().unwrap();
    for (text, row) in texts.iter().zip(all.chunks(WIDTH)) {
        let alone = encoder.embed(text).unwrap();
        let apart = alone.iter().zip(row).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f32::max) < 1e-5, "{text}");
    }
    assert!(encoder.embed_all(&texts, &mut |_| false).unwrap().is_none());
}
