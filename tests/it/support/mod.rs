//! Helpers for the tests: the real default model, small models with random weights, and home
//! folders and terminals in which to run the program.

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

/// The path of the program under test.
pub const ILLUMINE: &str = env!("CARGO_BIN_EXE_illumine");

/// Reports on standard error that a test, or part of a test, did not run. If `ILLUMINE_NO_SKIP` is
/// 1, fails the test instead. The report is written directly to the stream, so the test harness
/// does not capture it and a runner can count such reports.
pub fn skip(reason: &str) {
    let strict = std::env::var("ILLUMINE_NO_SKIP").is_ok_and(|value| value == "1");
    assert!(!strict, "skipped, which ILLUMINE_NO_SKIP forbids: {reason}");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {reason}");
}

/// The path of the default model's file. The program downloads and stores it exactly as it does for
/// a user.
pub fn model_path() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| fetch(None)).clone()
}

/// The path of the sentence encoder's file. The program downloads and stores it exactly as it does
/// for a user.
pub fn encoder_path() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| fetch(Some("all-minilm-l6-v2"))).clone()
}

/// The path to the weights of the network that extracts features from pictures.
#[cfg(feature = "train")]
pub fn extractor_path() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| fetch(Some("efficientnet-lite0")))
        .clone()
}

/// The path to the weights of the network that the perceptual loss uses.
#[cfg(feature = "train")]
pub fn perceptual_path() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| fetch(Some("efficientnet-lite1")))
        .clone()
}

/// The path of the upscaler's file.
#[cfg(feature = "train")]
pub fn enlarger_path() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| fetch(Some("esrgan-slim"))).clone()
}

/// Downloads the model with this name, or the default model if there is no name. Returns the path
/// of the model's file.
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

/// Loads the default model on the CPU.
pub fn loaded() -> Loaded {
    let place = Place {
        device: DeviceChoice::Cpu,
        threads: 2,
        kv: KvType::default(),
    };
    read("smollm2-135m-instruct", &model_path(), "test".into(), place).unwrap()
}
