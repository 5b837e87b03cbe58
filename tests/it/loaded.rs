//! Tests a loaded model: draft tokens, top-k logits, and a KV cache that is saved and restored.

use crate::support::{loaded, model_path};
use candle_core::Device;
use illumine::engine::Loaded;
use llm::gguf::Gguf;
use llm::{Logits, Placement, load_text};
use sampler::Sampler;
use sampler::dry::SequenceBreakers;
use std::sync::Arc;
use story::sampling::Sampling;

/// Draft tokens determine which logits are computed early, but never change any logit.
#[test]
fn guesses_change_no_number() {
    let (mut plain, mut bold) = (loaded(), loaded());
    plain.speculate = false;
    let line = "The cat sat on the mat and the dog sat on the log. ";
    let mut ids = plain.tokenizer.encode(&line.repeat(4)).unwrap();
    ids.truncate(ids.len() - 9);
    let mut logits = plain
        .forward(&ids, Logits::Last, &|| false)
        .unwrap()
        .unwrap();
    assert!(
        Some(&logits)
            == bold
                .forward(&ids, Logits::Last, &|| false)
                .unwrap()
                .as_ref()
    );
    let (mut guessed, mut fed) = (0, ids.len());
    for step in 0..80 {
        if step == 50 {
            plain.rewind(fed - 20);
            bold.rewind(fed - 20);
            fed -= 20;
        }
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        order.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]));
        // Mostly the model's most likely token, so that the text repeats itself; sometimes another.
        let id = order[usize::from(step % 23 == 22)];
        logits = plain
            .forward(&[id], Logits::Last, &|| false)
            .unwrap()
            .unwrap();
        let with = bold
            .forward(&[id], Logits::Last, &|| false)
            .unwrap()
            .unwrap();
        fed += 1;
        assert!(logits == with, "step {step}");
        guessed += usize::from(bold.model.len() > fed);
    }
    assert!(guessed > 8, "{guessed}");
}

/// A GPU returns only the top-k logits. The sampler must choose the same tokens from them as from
/// all logits.
#[test]
fn the_best_logits_of_a_device_are_enough() {
    let gguf = Arc::new(Gguf::open(&model_path()).unwrap());
    let plain = Placement {
        force_candle: true,
        ..Placement::new(Device::Cpu, 2)
    };
    let mut model = load_text(gguf, &plain).unwrap();
    let tokenizer = loaded().tokenizer;
    let ids = tokenizer.encode("The lamp went out, and").unwrap();
    model.forward(&ids, Logits::Skip, &|| false).unwrap();
    let sampling = Sampling {
        top_k: 40,
        dry_multiplier: 0.0,
        ..Sampling::default()
    };
    let mut all = Sampler::new(&sampling, 5, SequenceBreakers::none());
    let mut id = tokenizer.encode(" nobody").unwrap()[0];
    for _ in 0..6 {
        let mut best = all.clone();
        let count = best.sufficient_top_k().unwrap();
        let read = model.len();
        let every = model
            .forward(&[id], Logits::Last, &|| false)
            .unwrap()
            .unwrap();
        model.rewind(read);
        let few = model
            .forward(&[id], Logits::TopK(count), &|| false)
            .unwrap();
        let few = few.unwrap();
        let told = few.iter().filter(|logit| logit.is_finite()).count();
        assert_eq!((told, few.len()), (count, every.len()));
        let choice = all.sample_with(&every);
        assert_eq!(choice, best.sample_with(&few));
        id = choice.token;
        all.accept(id);
    }
}

#[test]
fn a_story_that_was_read_comes_back_from_bytes() {
    let mut first = loaded();
    let ids = first
        .tokenizer
        .encode("The lamp on the wall went out, and nobody")
        .unwrap();
    first.forward(&ids, Logits::Skip, &|| false).unwrap();
    let (kept, bytes) = first.save().unwrap();
    assert_eq!(kept, ids);
    let mut second = loaded();
    assert!(second.restore(&ids[1..], &bytes).is_err());
    assert!(second.restore(&ids, &bytes[..bytes.len() - 9]).is_err());
    assert_eq!(second.common_prefix(&ids), 0);
    second.restore(&ids, &bytes).unwrap();
    assert_eq!(second.common_prefix(&ids), ids.len());
    let next = |loaded: &mut Loaded| {
        loaded
            .forward(&[42], Logits::Last, &|| false)
            .unwrap()
            .unwrap()
    };
    assert!(next(&mut first) == next(&mut second));
}
