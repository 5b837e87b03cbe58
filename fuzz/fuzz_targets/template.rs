//! Renders arbitrary chat templates, which may loop, recurse and raise errors. Rendering must stay
//! within limits of time and memory.
//!
//! The environment variable `ILLUMINE_FUZZ_MODEL` contains the path of a GGUF file, whose tokenizer
//! is used for rendering.
#![no_main]

use base::memory_budget::Allocator;
use libfuzzer_sys::fuzz_target;
use llm::Tokenizer;
use llm::gguf::Gguf;
use llm::template::{ChatMessage, ChatTemplate};
use std::sync::OnceLock;

/// The program's allocator, which limits the memory that a template may use.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

static TOKENIZER: OnceLock<Option<Tokenizer>> = OnceLock::new();

fn tokenizer() -> Option<&'static Tokenizer> {
    let open = || {
        let path = std::env::var_os("ILLUMINE_FUZZ_MODEL")?;
        Tokenizer::from_gguf(&Gguf::open(path.as_ref()).ok()?).ok()
    };
    TOKENIZER.get_or_init(open).as_ref()
}

fuzz_target!(|source: String| {
    let Ok(template) = ChatTemplate::new(source) else {
        return;
    };
    let message = |role, content: &str| ChatMessage {
        role,
        content: content.to_string(),
    };
    let messages = [
        message("system", "Be kind."),
        message("user", "Who is there?"),
        message("assistant", "I am."),
        message("user", "Come in."),
    ];
    if let Some(tokenizer) = tokenizer() {
        let _ = template.render(tokenizer, &messages);
        let _ = template.render_open_turn(tokenizer, &messages[..2], "user");
    }
});
