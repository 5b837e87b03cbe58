//! Parses arbitrary bytes as GGUF metadata and tensor tables.
#![no_main]

mod file;

use libfuzzer_sys::fuzz_target;
use llm::gguf::Gguf;
use llm::transformer::Config;

fuzz_target!(|bytes: &[u8]| {
    let Some(file) = file::with(bytes) else {
        return;
    };
    match Gguf::open(file.path()) {
        Ok(gguf) => {
            let _ = gguf.check_formats();
            let _ = Config::from_gguf(&gguf);
            let _ = llm::Tokenizer::from_gguf(&gguf);
            for name in gguf.tensor_names() {
                if let Some(tensor) = gguf.tensor(name) {
                    let _ = gguf.data(tensor).len();
                }
            }
        }
        Err(why) => assert!(!why.to_string().contains('\u{1b}'), "{why}"),
    }
});
