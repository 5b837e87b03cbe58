//! Basics for all other crates: decoding, cleaning and comparing text, hashing, reporting progress,
//! and finding the known name nearest to a mistyped one.
//!
//! This crate depends on no other crate of the workspace.

#![warn(unreachable_pub)]

pub mod decode;
pub mod hash;
pub mod memory_budget;
pub mod nearest;
pub mod progress;
pub mod search;
pub mod untrusted;

/// The minimum cosine similarity between a prompt and a concept for the concept to count as the
/// prompt's subject. Such a concept conditions the picture and is named to the user.
pub const KNOWN_SIMILARITY: f32 = 0.35;
