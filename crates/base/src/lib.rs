//! Basics for all other crates: cleaning untrusted text, hashes, and finding the known name nearest
//! to a mistyped one.
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
