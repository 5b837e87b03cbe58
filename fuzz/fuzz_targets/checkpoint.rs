//! Feeds arbitrary bytes to the loader of training checkpoints (safetensors files).
#![no_main]

mod file;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(file) = file::with(bytes) else {
        return;
    };
    let device = candle_core::Device::Cpu;
    let found = train::checkpoint::read::<serde_json::Value>(file.path(), &device);
    if let Err(why) = found {
        assert!(!why.to_string().contains('\u{1b}'), "{why}");
    }
});
