//! Replays: scripts of what a writer types, with expectations between the lines, and reports of
//! their runs.
//!
//! [`script`] parses scripts, [`expect`] checks the results of a line, and [`report`] formats the
//! reports. The program runs the lines. docs/replay.md describes the format.
//! [`cassette`] stores what an engine answered.
//!
//! This crate reads script files and reads and writes goldens and cassettes. It has no models,
//! threads or terminals.

#![warn(unreachable_pub)]

pub mod cassette;
pub mod compare;
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
