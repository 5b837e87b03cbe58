//! Feeds arbitrary bytes to the loader of training checkpoints (safetensors files).
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::Write;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut file) = tempfile::NamedTempFile::new() else {
        return;
    };
    if file.write_all(bytes).is_err() {
        return;
    }
    let device = candle_core::Device::Cpu;
    let found = train::checkpoint::read::<serde_json::Value>(file.path(), &device);
    if let Err(why) = found {
        assert!(!why.to_string().contains('\u{1b}'), "{why}");
    }
});
