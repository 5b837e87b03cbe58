//! Grouped-query attention, and the cache of keys and values that it reads.

mod kernel;
mod kv;

pub use kernel::{Job, Shape, attend};
pub use kv::{Heads, KvBlocks, KvType};
