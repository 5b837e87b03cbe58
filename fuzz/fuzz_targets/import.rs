//! Imports other programs' files: character cards (PNG, JSON, .charx), lorebooks, chats, stories
//! and plain text. The imported story is then exported in every format.
#![no_main]

use illumine::store::export::{ExportMeta, ExportScope, FORMATS, encode_export};
use illumine::store::import::parse_file;
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use story::import::{ImportTarget, import_records};
use story::{Mode, Story};

fuzz_target!(|bytes: &[u8]| {
    let file = match parse_file(bytes.to_vec(), "fuzzed") {
        Ok(file) => file,
        Err(why) => return assert!(!why.to_string().contains('\u{1b}'), "{why}"),
    };
    let empty = Story::default();
    let target = ImportTarget {
        story: &empty,
        mode: Mode::Prose,
        user: None,
        file: None,
    };
    let Ok(made) = import_records(file, target) else {
        return;
    };
    let mut story = Story::default();
    for record in &made.records {
        story.apply(record).expect("an import fits an empty story");
    }
    for (format, ..) in FORMATS {
        let meta = ExportMeta::default();
        let _ = encode_export(
            &story,
            *format,
            ExportScope::Tree,
            &meta,
            Path::new("x.json"),
        );
    }
});
