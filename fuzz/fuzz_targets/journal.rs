//! Recovers a journal from arbitrary bytes. Recovering the intact part again must give the same
//! story.
#![no_main]

use illumine::store::recover_journal;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let found = recover_journal(bytes);
    assert!(found.len + found.torn <= bytes.len());
    let again = recover_journal(&bytes[..found.len]);
    assert_eq!(again.records, found.records);
    let text = |found: &illumine::store::Recovered| -> String {
        let path = found.story.path();
        path.iter().map(|passage| passage.text).collect()
    };
    assert_eq!(text(&again), text(&found));
});
