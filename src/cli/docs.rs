//! Generates the tables in README and GLOSSARY from the tables in the code, and tests that both
//! files are up to date.
//!
//! `cargo docgen` updates them: it runs the test with `ILLUMINE_DOCGEN=write`.

use super::args::Cli;
use super::exit::CODES;
use clap::{Arg, CommandFactory};
use illumine::store::export::FORMATS;
use illumine::tui::keymap::Keymap;
use std::fmt::Write;
use std::path::Path;
use story::command::COMMANDS;
use story::sampling::SETTINGS;

/// The name of a table, as written in the table's marker, and the function that generates the
/// table.
type Table = (&'static str, fn() -> String);

/// The documents with generated tables: the file name and the tables of each document.
const DOCUMENTS: &[(&str, &[Table])] = &[
    (
        "README.md",
        &[
            ("keys", keys),
            ("commands", commands),
            ("formats", formats),
            ("exit-codes", exit_codes),
            ("trainer-flags", trainer_flags),
        ],
    ),
    ("GLOSSARY.md", &[("settings", settings)]),
];

/// The names of common flags, which the table of trainer flags leaves out.
const COMMON: &[&str] = &[
    "help",
    "offline",
    "device",
    "threads",
    "kv",
    "log",
    "log-words",
];

fn keys() -> String {
    let row = |row: illumine::tui::keymap::Row| {
        let command = row.command.map(code).unwrap_or_default();
        [row.keys, command, escaped(row.help)]
    };
    let rows = Keymap::default().rows().into_iter().map(row);
    table(["Key", "Command", "What it does"], rows)
}

fn commands() -> String {
    let row = |spec: &story::command::CommandSpec| {
        let usage = format!("/{} {}", spec.name, spec.args);
        [code(usage.trim_end()), escaped(spec.help)]
    };
    table(["Command", "What it does"], COMMANDS.iter().map(row))
}

fn formats() -> String {
    let row = |(_, names, ending, help): &(_, &[&str], &str, &str)| {
        [code(names[0]), code(&format!(".{ending}")), escaped(help)]
    };
    table(["Format", "File", "What it is"], FORMATS.iter().map(row))
}

fn exit_codes() -> String {
    let row = |(code, means): &(&str, &str)| [code.to_string(), escaped(means)];
    table(["Code", "Meaning"], CODES.iter().map(row))
}

fn trainer_flags() -> String {
    let mut cli = Cli::command();
    cli.build();
    let train = cli.find_subcommand("train");
    let Some(gan) = train.and_then(|train| train.find_subcommand("gan")) else {
        return String::new();
    };
    let own = |arg: &&Arg| arg.get_long().is_some_and(|long| !COMMON.contains(&long));
    let row = |arg: &Arg| {
        let values = arg.get_value_names().unwrap_or_default().iter();
        let values = values
            .map(|name| name.as_str())
            .collect::<Vec<_>>()
            .join(" ");
        let takes = arg.get_action().takes_values();
        let value = if takes {
            format!(" {values}")
        } else {
            String::new()
        };
        let flag = format!("--{}{value}", arg.get_long().unwrap_or_default());
        let default = arg.get_default_values().first().filter(|_| takes);
        let default = default.map(|value| value.to_string_lossy().into_owned());
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        [code(&flag), default.unwrap_or_default(), escaped(&help)]
    };
    table(
        ["Flag", "Default", "What it sets"],
        gan.get_arguments().filter(own).map(row),
    )
}

fn settings() -> String {
    let row = |setting: &story::sampling::Setting| [code(setting.name), escaped(setting.help)];
    table(["setting", "meaning"], SETTINGS.iter().map(row))
}

fn code(text: &str) -> String {
    format!("`{}`", escaped(text))
}

/// Escapes vertical bars and replaces line breaks with spaces, for a cell of a Markdown table.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(N));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

/// Returns the document with the tables between the markers regenerated.
fn generated(document: &str, tables: &[Table]) -> Result<String, String> {
    let mut text = document.to_string();
    for (name, make) in tables {
        let begin = format!("<!-- generated: {name} -->\n");
        let missing = || format!("there is no `{}` … `<!-- end -->`", begin.trim_end());
        let from = text.find(&begin).ok_or_else(missing)? + begin.len();
        let len = text[from..].find("<!-- end -->").ok_or_else(missing)?;
        text.replace_range(from..from + len, &make());
    }
    Ok(text)
}

#[test]
fn readme_and_glossary_have_the_tables_of_the_code() {
    for (name, tables) in DOCUMENTS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let document = std::fs::read_to_string(&path).unwrap();
        let fresh = generated(&document, tables).unwrap_or_else(|why| panic!("{name}: {why}"));
        if std::env::var("ILLUMINE_DOCGEN").is_ok_and(|what| what == "write") {
            std::fs::write(&path, fresh).unwrap();
            continue;
        }
        let mut lines = document.lines().zip(fresh.lines());
        let stale = lines.find(|(old, new)| old != new);
        assert!(
            document == fresh,
            "the tables of {name} differ from the code; run `cargo docgen` (first difference: {stale:?})"
        );
    }
}

#[test]
fn every_exit_code_is_in_the_table() {
    use super::Exit;
    let exits = [
        Exit::Well,
        Exit::Engine,
        Exit::Usage,
        Exit::Model,
        Exit::Overflow,
        Exit::Session,
        Exit::Expectation,
        Exit::GoldenMissing,
        Exit::Interrupted,
    ];
    for exit in exits {
        let code = exit.code().to_string();
        assert!(CODES.iter().any(|(known, _)| *known == code), "{code}");
    }
}
