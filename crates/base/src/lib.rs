//! Basics for all other crates: decoding, cleaning and comparing text, hashes, and finding the known
//! name nearest to a mistyped one.
//!
//! Depends on none of the other crates.

#![warn(unreachable_pub)]

pub mod decode;
pub mod hash;
pub mod nearest;
pub mod progress;
pub mod search;
pub mod untrusted;

/// The cosine similarity from which on a concept counts as the subject of a prompt: such a concept
/// conditions the picture and is named to the user.
pub const KNOWN_SIMILARITY: f32 = 0.35;
