//! Imports other programs' files: cards (PNG, JSON, .charx), lorebooks, chats, stories, plain text.
//! Lorebooks are then exported in every format.
#![no_main]

use illumine::store::import::{Import, parse_file};
use illumine::store::lorebook;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match parse_file(bytes.to_vec(), "fuzzed") {
        Ok(Import::Book(book)) => {
            lorebook::tavern(&book);
            lorebook::v3(&book);
            lorebook::kobold(&book);
        }
        Ok(_) => {}
        Err(why) => assert!(!why.to_string().contains('\u{1b}'), "{why}"),
    }
});
