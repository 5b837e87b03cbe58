//! What the tests share: the real default model, and small ones with random weights.

pub mod bodies;
pub mod tiny;

use illumine::engine::{Loaded, read};
use illumine::model::device::Choice;
use std::path::PathBuf;

/// The default model's file.
pub fn model_path() -> PathBuf {
    PathBuf::from("/work/scratch/m/SmolLM2-135M-Instruct.Q4_1.gguf")
}

/// The default model, loaded on the CPU.
pub fn loaded() -> Loaded {
    read(
        "smollm2-135m-instruct",
        &model_path(),
        "test".into(),
        Choice::Cpu,
        2,
    )
    .unwrap()
}
