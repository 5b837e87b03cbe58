//! Basics for all other crates: decoding, cleaning and comparing text, hashes, and finding the known
//! name nearest to a mistyped one.
//!
//! Depends on no other crate of the workspace.

#![warn(unreachable_pub)]

pub mod decode;
pub mod hash;
pub mod memory_budget;
pub mod nearest;
pub mod progress;
pub mod search;
pub mod untrusted;

/// The minimum cosine similarity for a concept to count as the subject of a prompt: such a concept
/// conditions the picture and is named to the user.
pub const KNOWN_SIMILARITY: f32 = 0.35;
