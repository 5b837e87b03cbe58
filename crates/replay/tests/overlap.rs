//! Compares BLEU and ROUGE with the scores of sacrebleu 2.6.0 and rouge-score 0.1.2.
//!
//! Each row of `overlap.jsonl` contains a text, its references, its BLEU score from
//! `sacrebleu.sentence_bleu`, and its F-measures from `rouge_scorer` without stemming (the highest
//! over the references). There are 200 rows.

use replay::measure::bleu::bleu;
use replay::measure::rouge::{Rouge, rouge};
use serde_json::Value;

#[test]
fn the_numbers_are_those_of_the_reference_packages() {
    let rows = include_str!("overlap.jsonl").lines();
    let rows: Vec<Value> = rows.map(|row| serde_json::from_str(row).unwrap()).collect();
    assert_eq!(rows.len(), 200);
    for row in rows {
        let text = row["text"].as_str().unwrap();
        let references = row["references"].as_array().unwrap();
        let references: Vec<&str> = references.iter().map(|it| it.as_str().unwrap()).collect();
        let ours = [
            ("bleu", bleu(text, &references)),
            ("rouge1", rouge(Rouge::N(1), text, &references)),
            ("rouge2", rouge(Rouge::N(2), text, &references)),
            ("rouge3", rouge(Rouge::N(3), text, &references)),
            ("rougeL", rouge(Rouge::L, text, &references)),
        ];
        for (name, ours) in ours {
            let theirs = row[name].as_f64().unwrap();
            assert!(
                (ours - theirs).abs() < 1e-9,
                "{name} {ours} {theirs}: {row}"
            );
        }
    }
}
