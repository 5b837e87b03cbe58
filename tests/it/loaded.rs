//! A loaded model's cache: guesses, and what is kept of it on disk.

use crate::support::loaded;
use illumine::engine::Loaded;
use illumine::model::Rows;

/// Guessed tokens decide what is computed early, never what comes out.
#[test]
fn guesses_change_no_number() {
    let (mut plain, mut bold) = (loaded(), loaded());
    plain.speculate = false;
    let line = "The cat sat on the mat and the dog sat on the log. ";
    let mut ids = plain.tokenizer.encode(&line.repeat(4)).unwrap();
    ids.truncate(ids.len() - 9);
    let mut logits = plain.feed(&ids, Rows::Last, &|| false).unwrap().unwrap();
    assert!(Some(&logits) == bold.feed(&ids, Rows::Last, &|| false).unwrap().as_ref());
    let (mut guessed, mut fed) = (0, ids.len());
    for step in 0..80 {
        if step == 50 {
            plain.rewind(fed - 20);
            bold.rewind(fed - 20);
            fed -= 20;
        }
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        order.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]));
        // Mostly what the model would say, which here repeats itself; sometimes not.
        let id = order[usize::from(step % 23 == 22)];
        logits = plain.feed(&[id], Rows::Last, &|| false).unwrap().unwrap();
        let with = bold.feed(&[id], Rows::Last, &|| false).unwrap().unwrap();
        fed += 1;
        assert!(logits == with, "step {step}");
        guessed += usize::from(bold.model.len() > fed);
    }
    assert!(guessed > 8, "{guessed}");
}

#[test]
fn a_story_that_was_read_comes_back_from_bytes() {
    let mut first = loaded();
    let ids = first
        .tokenizer
        .encode("The lamp on the wall went out, and nobody")
        .unwrap();
    first.feed(&ids, Rows::None, &|| false).unwrap();
    let (kept, bytes) = first.save().unwrap();
    assert_eq!(kept, ids);
    let mut second = loaded();
    assert!(second.restore(&ids[1..], &bytes).is_err());
    assert!(second.restore(&ids, &bytes[..bytes.len() - 9]).is_err());
    assert_eq!(second.keep_common(&ids), 0);
    second.restore(&ids, &bytes).unwrap();
    assert_eq!(second.keep_common(&ids), ids.len());
    let next = |loaded: &mut Loaded| loaded.feed(&[42], Rows::Last, &|| false).unwrap().unwrap();
    assert!(next(&mut first) == next(&mut second));
}
