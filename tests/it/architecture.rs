//! Checks the source against the layer rule of ARCHITECTURE.md and the project's other rules.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Names that only certain files may use, each with the paths of these files. (Candle, the
/// networking crates and the trainer's crates need no entry here, because only crates that list
/// them in their manifests can use them.)
const HOMES: &[(&str, &[&str])] = &[
    ("ratatui", &["src/tui/"]),
    ("crossterm", &["src/tui/"]),
    ("viuer", COMMAND_LINE),
    ("rustyline", COMMAND_LINE),
    (
        "std::thread",
        &[
            "src/engine/",
            // The matrix kernels' threads.
            "crates/base/src/memory_budget.rs",
            "crates/kernels/src/linear/pool.rs",
            // A file is hashed while its matrices are packed.
            "crates/imagegen/src/folder.rs",
            // A buffer for attention scores in each thread.
            "crates/kernels/src/attention/kernel.rs",
            // A download must be stoppable while it waits for the network.
            "crates/hub/src/fetch/client.rs",
            "crates/hub/src/npm.rs",
            // A request to a model server must be stoppable too.
            "crates/remote/src/client.rs",
            // Servers are queried in parallel.
            "crates/remote/src/discover.rs",
            // The sentence encoder is loaded in parallel with the weights.
            "src/cli/draw.rs",
            // A run trains on a separate thread from its screen.
            "src/cli/training.rs",
            // Cases run side by side, each in a session of its own.
            "src/cli/replay/",
            // Counts processors.
            "src/cli/environment.rs",
            "src/cli/signals.rs",
            // Waits for keys.
            "src/tui/",
        ],
    ),
];

const COMMAND_LINE: &[&str] = &["src/main.rs", "src/cli/"];

/// Lints that Cargo.toml must deny, since they enforce rules of the project.
const LINTS: &[&str] = &[
    "dbg_macro",
    "disallowed_methods",
    "exit",
    "expect_used",
    "missing_safety_doc",
    "print_stderr",
    "print_stdout",
    "todo",
    "unimplemented",
    "unsafe_op_in_unsafe_fn",
    "unwrap_used",
];

/// The maximum number of lines in a source file, not counting its tests.
const LONGEST: usize = 400;
/// Files that may have more than [`LONGEST`] lines, each with its own maximum.
const LONGER: &[(&str, usize)] = &[
    ("src/tui/app.rs", 425),
    // Tables: a row for each key, command and setting.
    ("src/tui/keys.rs", 440),
    ("src/cli/args.rs", 450),
    ("crates/story/src/sampling/rows.rs", 420),
];

/// A source file of the program or of a crate: its path, its whole text, and its text without
/// comments and tests.
struct Source {
    path: String,
    whole: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    collect(&root.join("src"), &mut paths);
    for member in fs::read_dir(root.join("crates")).unwrap() {
        collect(&member.unwrap().path().join("src"), &mut paths);
    }
    let tests: BTreeSet<PathBuf> = paths.iter().flat_map(|path| test_files(path)).collect();
    let is_test = |path: &Path| tests.iter().any(|test| path.starts_with(test));
    let shipped = paths.iter().filter(|path| !is_test(path));
    let sources = shipped.map(|path| {
        let whole = fs::read_to_string(path).unwrap();
        let path = path.strip_prefix(root).unwrap();
        Source {
            path: path.to_str().unwrap().to_string(),
            code: code(&whole),
            whole,
        }
    });
    sources.collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => collect(&path, paths),
            false if path.extension().is_some_and(|kind| kind == "rs") => paths.push(path),
            false => {}
        }
    }
}

/// The test files that a source file declares with `#[cfg(test)]` and `mod name;`, possibly with a
/// path attribute in between.
fn test_files(path: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let stem = path.file_stem().unwrap();
    let folder = path.parent().unwrap();
    let own = ["mod", "lib", "main"].iter().any(|name| stem == *name);
    let below = if own {
        folder.to_path_buf()
    } else {
        folder.join(stem)
    };
    let mut files = Vec::new();
    for (at, _) in lines
        .iter()
        .enumerate()
        .filter(|(_, line)| **line == "#[cfg(test)]")
    {
        let (named, declared) = match lines[at + 1].strip_prefix("#[path = \"") {
            Some(named) => (named.strip_suffix("\"]"), lines[at + 2]),
            None => (None, lines[at + 1]),
        };
        let module = declared
            .split_once("mod ")
            .and_then(|(_, name)| name.strip_suffix(';'));
        files.extend(module.map(|module| match named {
            Some(named) => folder.join(named),
            None => below.join(format!("{module}.rs")),
        }));
        // A module of several files.
        files.extend(module.map(|module| below.join(module)));
    }
    files
}

/// Returns the text of a source file without comment lines and without a `#[cfg(test)]` module at
/// the end.
fn code(whole: &str) -> String {
    let shipped = match whole.find("#[cfg(test)]\nmod tests {") {
        Some(at) => &whole[..at],
        None => whole,
    };
    let lines = shipped
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| format!("{line}\n")).collect()
}

fn layers() -> Vec<String> {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let module = |line: &str| {
        Some(
            line.strip_prefix("pub mod ")?
                .strip_suffix(';')?
                .to_string(),
        )
    };
    lib.lines().filter_map(module).collect()
}

/// The top-level module of the program that a path belongs to; None for a path outside `src/`.
fn top(path: &str) -> Option<&str> {
    let path = path.strip_prefix("src/")?;
    Some(path.split('/').next().unwrap().trim_end_matches(".rs"))
}

/// Fails if there is any violation, and lists all violations in the message.
#[track_caller]
fn none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn modules_use_only_the_layers_above_them() {
    let layers = layers();
    assert!(layers.len() >= 6, "lib.rs lists the layers");
    let rank = |name: &str| layers.iter().position(|layer| layer == name);
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(own) = top(&source.path).and_then(rank) else {
            continue;
        };
        for used in source.code.split("crate::").skip(1) {
            let end = used.find(|c: char| !c.is_alphanumeric() && c != '_');
            let used = &used[..end.unwrap_or(used.len())];
            match rank(used) {
                Some(used) if used <= own => {}
                Some(_) => wrong.push(format!("{} must not use {used}", source.path)),
                None => wrong.push(format!("{}: what is crate::{used}?", source.path)),
            }
        }
    }
    none(wrong);
}

#[test]
fn front_ends_do_not_know_each_other() {
    let mut wrong = Vec::new();
    for source in sources() {
        let other = match top(&source.path) {
            Some("line") => "crate::tui",
            Some("tui") => "crate::line",
            _ => continue,
        };
        if source.code.contains(other) {
            wrong.push(format!("{} must not use {other}", source.path));
        }
    }
    none(wrong);
}

#[test]
fn every_module_stands_in_the_list() {
    let listed: Vec<String> = layers();
    let is_listed = |path: &str| {
        let Some(top) = top(path) else { return true };
        ["lib", "main", "cli"].contains(&top) || listed.iter().any(|layer| layer == top)
    };
    none(
        sources()
            .into_iter()
            .map(|source| source.path)
            .filter(|path| !is_listed(path))
            .collect(),
    );
}

#[test]
fn the_outside_world_stays_in_its_homes() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (what, homes) in HOMES {
            // A name may be part of a longer one: writeln! is not println!.
            let named = source.code.match_indices(what).any(|(at, _)| {
                let before = source.code[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
            });
            // A folder's own module file is next to it.
            let beside = |home: &&str| source.path.strip_suffix(".rs") == home.strip_suffix('/');
            let home = homes
                .iter()
                .any(|home| source.path.starts_with(home) || beside(home));
            if named && !home {
                wrong.push(format!("{}: {what} belongs in {homes:?}", source.path));
            }
        }
    }
    none(wrong);
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent = sources()
        .into_iter()
        .filter(|source| !source.whole.starts_with("//! "));
    none(silent.map(|source| source.path).collect());
}

#[test]
fn no_file_is_too_long_to_read() {
    let long = sources().into_iter().filter_map(|source| {
        let tests = source
            .whole
            .find("#[cfg(test)]\nmod tests {")
            .unwrap_or(source.whole.len());
        let lines = source.whole[..tests].lines().count();
        let longer = LONGER.iter().find(|(path, _)| *path == source.path);
        let long = lines > longer.map_or(LONGEST, |(_, lines)| *lines);
        long.then(|| format!("{} has {lines} lines", source.path))
    });
    none(long.collect());
}

/// Lints check that the program never ends abruptly, and that only `cli` prints or reads the
/// environment. This test checks that nobody turns these lints off.
#[test]
fn lints_hold_the_other_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let off = LINTS
        .iter()
        .filter(|lint| !manifest.contains(&format!("\n{lint} = \"deny\"\n")));
    none(
        off.map(|lint| format!("Cargo.toml must deny {lint}"))
            .collect(),
    );
    let crates = fs::read_dir(root.join("crates")).into_iter().flatten();
    let members = crates.map(|member| member.unwrap().path().join("Cargo.toml"));
    let manifests = members.chain([root.join("Cargo.toml")]);
    let lax = manifests.filter(|path| {
        let manifest = fs::read_to_string(path).unwrap_or_default();
        path.is_file() && !manifest.contains("[lints]\nworkspace = true\n")
    });
    none(
        lax.map(|path| format!("{} must have [lints] workspace = true", path.display()))
            .collect(),
    );
    // Exceptions are allowed only for the whole command line, for tests, or next to the one line
    // that needs one.
    let mut wrong = Vec::new();
    for source in sources() {
        for lint in LINTS {
            let own = source.path == "src/main.rs" || source.path.ends_with("src/lib.rs");
            if !own && source.code.contains(&format!("clippy::{lint}")) {
                wrong.push(format!("{} switches {lint} off", source.path));
            }
        }
    }
    none(wrong);
}

/// Checks that the files named in CONTRIBUTING.md exist. (Files of a crate whose folder is missing
/// are not checked.)
#[test]
fn every_file_that_contributing_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("CONTRIBUTING.md")).unwrap();
    let paths = text.split('`').skip(1).step_by(2);
    let paths = paths.filter(|it| {
        ["crates/", "src/", "tests/", "models/", "prompts/"]
            .iter()
            .any(|folder| it.starts_with(folder))
    });
    let there = |path: &str| {
        let top = root.join(path.split('/').take(2).collect::<PathBuf>());
        path.starts_with("crates/") && !top.exists() || root.join(path).exists()
    };
    let missing: BTreeSet<&str> = paths.filter(|path| !there(path)).collect();
    none(
        missing
            .iter()
            .map(|path| format!("CONTRIBUTING.md names {path}, which is not there"))
            .collect(),
    );
}

#[test]
fn architecture_names_every_kind_of_record() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let kinds = story::Record::KINDS.iter();
    let missing = kinds.filter(|kind| !text.contains(&format!("`{kind}`")));
    none(
        missing
            .map(|kind| format!("ARCHITECTURE.md does not name the record kind {kind}"))
            .collect(),
    );
}

/// Checks that every unsafe function has a `# Safety` section, which Clippy requires only for
/// public functions. (A function in the implementation of a trait needs no such section, since the
/// trait has it.)
#[test]
fn every_unsafe_function_says_when_it_is_safe() {
    let mut silent = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.whole.lines().collect();
        let indent = |line: &str| line.len() - line.trim_start().len();
        for (at, line) in lines.iter().enumerate() {
            let text = line.trim_start();
            if text.starts_with("//")
                || !text.contains("unsafe fn ")
                || text.contains("= unsafe fn")
            {
                continue;
            }
            let mut above = lines[..at].iter().rev();
            let around = above.find(|it| !it.trim().is_empty() && indent(it) < indent(line));
            let implements = around.is_some_and(|it| it.contains("impl") && it.contains(" for "));
            let notes = lines[..at].iter().rev().map(|it| it.trim_start());
            let mut notes = notes.take_while(|it| it.starts_with("///") || it.starts_with("#["));
            if !implements && !notes.any(|it| it == "/// # Safety") {
                silent.push(format!("{}:{}: {text}", source.path, at + 1));
            }
        }
    }
    none(silent);
}
