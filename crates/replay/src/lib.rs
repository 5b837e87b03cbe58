//! Replays: scripts with lines to type and expectations about their results, and reports on running
//! these scripts.
//!
//! [`script`] parses scripts, [`expect`] checks the results of a line, and [`report`] formats the
//! reports. The program runs the lines. docs/replay.md describes the format.
//! [`cassette`] stores what an engine answered. [`pairs`] stores which of two texts a person chose.
//!
//! This crate reads script files, and reads and writes goldens. It uses no models, threads or
//! terminals.

#![warn(unreachable_pub)]

pub mod cassette;
pub mod compare;
pub mod expect;
mod files;
pub mod golden;
pub mod import;
pub mod measure;
pub mod pairs;
pub mod position;
pub mod record;
pub mod report;
pub mod script;
mod words;
mod yaml;

/// The example script that `illumine replay new` writes.
pub const FIRST_SCRIPT: &str = include_str!("first.illum");
