//! Parses arbitrary lines, as a writer might type them or a script might contain them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use story::command;

fuzz_target!(|line: String| {
    if let Err(why) = command::parse(&line) {
        assert!(!why.to_string().contains('\u{1b}'), "{why}");
    }
});
