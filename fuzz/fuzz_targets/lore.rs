//! Scans a story for the entries of a lorebook, with keys, regexes and recursion. The scan must
//! end, and each entry must be active at most once.
#![no_main]

use illumine::store::import::parse_file;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeSet;
use story::import::Import;
use story::lore::{ScanInput, scan};

fuzz_target!(|input: (&str, &str)| {
    let (book, text) = input;
    let file = parse_file(book.as_bytes().to_vec(), "fuzzed");
    let Ok(Import::Book(book)) = file.map(|file| file.content) else {
        return;
    };
    let found = scan(
        &[&book],
        &|_, _| false,
        &ScanInput {
            passages: &[text],
            fired: &[],
            seed: 7,
            macros: None,
        },
    );
    let active: BTreeSet<*const _> = found.active.iter().map(|it| &raw const *it.entry).collect();
    assert_eq!(active.len(), found.active.len());
});
