//! Replays: scripts of what a writer types, with expectations between the lines, and the reports of
//! running them.
//!
//! [`script`] parses scripts, [`expect`] checks what a line led to, and [`report`] says what was
//! found. The program runs the lines. docs/replay.md describes the format.
//!
//! This crate reads script files and reads and writes goldens. It has no models, threads or
//! terminals.

#![warn(unreachable_pub)]

pub mod expect;
mod files;
pub mod golden;
pub mod import;
pub mod measure;
pub mod position;
pub mod record;
pub mod report;
pub mod script;
mod words;
mod yaml;

/// A first script, as `illumine replay new` writes it.
pub const FIRST_SCRIPT: &str = include_str!("first.illum");
