//! Tests that large and hostile files take bounded time and memory.

use super::*;
use std::io::Write;
use std::time::{Duration, Instant};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// The time limit of each test. It is far longer than a test takes, and far shorter than a test
/// would take if nothing were limited.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_book_of_ten_thousand_rows_is_read_and_scanned() {
    let begun = Instant::now();
    let rows: Vec<Value> = (0..10_000)
        .map(|n| {
            let content = format!("k{}x stands beside it.", n + 1);
            json!({"uid": 5, "key": [format!("k{n}x"), "/q(?=z)/"], "content": content})
        })
        .collect();
    let file = serde_json::to_vec(&json!({"entries": rows})).unwrap();
    let book = book(&file);
    assert_eq!(book.entries.len(), 10_000);
    let past = ScanInput {
        passages: &["k0x"],
        fired: &[],
        seed: 1,
        macros: None,
    };
    assert!(scan(&[&book], &|_, _| false, &past).active.len() > 100);
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

#[test]
fn nested_arrays_are_refused() {
    let begun = Instant::now();
    for open in ["[", "{\"a\":", "{\"entries\":["] {
        let said = refusal(open.repeat(1_000_000).as_bytes());
        assert!(said.contains("not valid JSON"), "{said}");
    }
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn a_bomb_in_an_archive_is_refused() {
    let begun = Instant::now();
    let mut out = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    out.start_file("card.json", SimpleFileOptions::default())
        .unwrap();
    for _ in 0..40 {
        out.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    let bytes = out.finish().unwrap().into_inner();
    assert!(bytes.len() < 1 << 20);
    assert!(refusal(&bytes).contains("too large"));
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn a_kobold_story_with_many_alternatives_is_read() {
    let begun = Instant::now();
    let actions: Vec<String> = (0..10_000).map(|n| format!("{n}. ")).collect();
    let other = json!({"Alternative Text": [{"Text": "x"}]});
    let metadata: Map<String, Value> = (0..10_000)
        .map(|n| (n.to_string(), other.clone()))
        .collect();
    let file = json!({"prompt": "a", "actions": actions, "actions_metadata": metadata});
    let read = tale(&serde_json::to_vec(&file).unwrap());
    assert_eq!(read.nodes.len(), 20_001);
    assert!(begun.elapsed() < PATIENCE);
}
