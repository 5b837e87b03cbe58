//! What every crate here may rest on: text that is safe to show, hashes, and the known name that
//! is nearest to a mistyped one.
//!
//! Depends on none of the other crates.

#![warn(unreachable_pub)]

pub mod hash;
pub mod nearest;
pub mod progress;
pub mod untrusted;

/// The cosine similarity from which on a concept counts as what a prompt means: pictures are led
/// by it, and what was drawn is reported by it.
pub const KNOWN_SIMILARITY: f32 = 0.35;
