//! Shared by the tests: the real default model, small ones with random weights, and home folders
//! and terminals to run the program in.

#[allow(dead_code, reason = "crates/llm uses the rest of it")]
#[path = "../../../crates/llm/tests/it/support/bodies.rs"]
pub mod bodies;
pub mod case_server;
pub mod gguf;
pub mod home;
pub mod talker;
#[allow(dead_code, reason = "crates/llm uses the rest of it")]
#[path = "../../../crates/llm/tests/it/support/tiny.rs"]
pub mod tiny;
pub mod tmux;

pub use home::{Home, Output};

use illumine::engine::{Loaded, Place, read};
use kernels::attention::KvType;
use llm::device::DeviceChoice;
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The program under test.
pub const ILLUMINE: &str = env!("CARGO_BIN_EXE_illumine");

/// Reports on standard error that a test, or part of it, did not run; with `ILLUMINE_NO_SKIP=1`,
/// fails instead. Writes to the stream itself, which the harness does not capture, so that a runner
/// can count these lines.
pub fn skip(reason: &str) {
    let strict = std::env::var("ILLUMINE_NO_SKIP").is_ok_and(|value| value == "1");
    assert!(!strict, "skipped, which ILLUMINE_NO_SKIP forbids: {reason}");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {reason}");
}

/// The default model's file, downloaded and stored as for a user.
pub fn model_path() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| fetch(None)).clone()
}

/// The sentence encoder's file, downloaded and stored in the same way.
pub fn encoder_path() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| fetch(Some("all-minilm-l6-v2"))).clone()
}

/// The file of the network that extracts features of pictures.
#[cfg(feature = "train")]
pub fn extractor_path() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| fetch(Some("efficientnet-lite0")))
        .clone()
}

/// The file of the network for the perceptual loss.
#[cfg(feature = "train")]
pub fn perceptual_path() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| fetch(Some("efficientnet-lite1")))
        .clone()
}

/// The file of the upscaler.
#[cfg(feature = "train")]
pub fn enlarger_path() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| fetch(Some("esrgan-slim"))).clone()
}

/// The path of the model with this name, or of the default model.
fn fetch(name: Option<&str>) -> PathBuf {
    let pull = Command::new(ILLUMINE)
        .args(["models", "pull"])
        .args(name)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&pull.stderr);
    assert!(
        pull.status.success(),
        "the model cannot be fetched: {complaint}"
    );
    let list = Command::new(ILLUMINE)
        .args(["models", "list", "--json"])
        .output()
        .unwrap();
    let models: Vec<Value> = serde_json::from_slice(&list.stdout).unwrap();
    let wanted = |model: &&Value| match name {
        Some(name) => model["name"] == name,
        None => model["default"] == true,
    };
    let model = models.iter().find(wanted).unwrap();
    PathBuf::from(model["path"].as_str().unwrap())
}

/// The default model, loaded on the CPU.
pub fn loaded() -> Loaded {
    let place = Place {
        device: DeviceChoice::Cpu,
        threads: 2,
        kv: KvType::default(),
    };
    read("smollm2-135m-instruct", &model_path(), "test".into(), place).unwrap()
}
