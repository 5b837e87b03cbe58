//! illumine: an illuminated manuscript in the terminal.
//!
//! Modules stand in layer order, a blank line apart so that rustfmt leaves them there. A module
//! may use only itself and the modules above it; `tests/it/architecture.rs` fails when one
//! reaches down the list.

pub mod story;

pub mod model;

pub mod train;

pub mod engine;

pub mod store;

pub mod studio;

pub mod bench;

pub mod editor;

pub mod line;

pub mod tui;
