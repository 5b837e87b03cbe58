//! Checks the source of the whole workspace: no crate's modules may import each other in a circle.
//!
//! The test compares sibling modules. Imports by the descendants of a module count as imports by
//! the module. A parent and its children may use each other: that is what `mod` and `super` are
//! for.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The path of a module within its crate, one element per name. The path of the crate's root is
/// empty.
type Module = Vec<String>;

#[derive(Default)]
struct CrateSource {
    /// The code of each module, without comments, strings or tests.
    code: BTreeMap<Module, String>,
    /// For each module, the path of every name that a `use` declaration introduces.
    imports: BTreeMap<Module, BTreeMap<String, Module>>,
}

#[test]
fn modules_of_a_crate_form_no_cycle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = BTreeSet::new();
    let mut crates: Vec<PathBuf> = fs::read_dir(root.join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("src").is_dir())
        .collect();
    assert!(!crates.is_empty());
    crates.push(root);
    for path in crates {
        let name = match path.join("crates").is_dir() {
            true => "illumine".to_string(),
            false => path.file_name().unwrap().to_str().unwrap().to_string(),
        };
        let source = CrateSource::load(&path.join("src"));
        let uses = source.uses();
        for cycle in cycles(source.code.keys(), &uses) {
            let names: Vec<String> = cycle.iter().map(|module| module.join("::")).collect();
            found.insert(format!("{name}: {}", names.join(" ")));
        }
    }
    assert!(
        found.is_empty(),
        "these modules use each other: {found:#?}\nmove what both need to a module of its own"
    );
}

#[test]
fn a_cycle_between_neighbours_is_found_and_one_with_a_parent_is_not() {
    let mut source = CrateSource::default();
    let modules = [
        ("", "pub mod a; pub mod b; pub use b::Thing;"),
        ("a", "use crate::Thing; mod below; fn f() { below::g() }"),
        ("a::below", "use super::f;"),
        ("b", "use super::a::{self, below::{g, h}};"),
        ("c", "use crate::b::Thing;"),
    ];
    for (path, code) in modules {
        let path: Module = path
            .split("::")
            .filter(|name| !name.is_empty())
            .map(String::from)
            .collect();
        source.add(path, code.to_string());
    }
    let found = cycles(source.code.keys(), &source.uses());
    assert_eq!(found, [vec![vec!["a".to_string()], vec!["b".to_string()]]]);
}

impl CrateSource {
    fn load(src: &Path) -> CrateSource {
        let mut source = CrateSource::default();
        let mut paths = Vec::new();
        collect(src, &mut paths);
        for path in paths {
            let below = path.strip_prefix(src).unwrap().with_extension("");
            let mut module: Module = below
                .iter()
                .map(|name| name.to_str().unwrap().to_string())
                .collect();
            if module
                .iter()
                .any(|name| name == "tests" || name.ends_with("_tests") || name == "properties")
            {
                continue;
            }
            if matches!(
                module.last().map(String::as_str),
                Some("mod" | "lib" | "main")
            ) {
                module.pop();
            }
            source.add(module, shipped_code(&fs::read_to_string(&path).unwrap()));
        }
        source
    }

    fn add(&mut self, module: Module, code: String) {
        let mut imports = BTreeMap::new();
        for path in use_paths(&code) {
            if let Some(name) = path.last().cloned() {
                imports.insert(name, path);
            }
        }
        self.imports
            .entry(module.clone())
            .or_default()
            .extend(imports);
        self.code.entry(module).or_default().push_str(&code);
    }

    /// Returns a pair for every use of a module: the module that uses it, and the module that is
    /// used.
    fn uses(&self) -> BTreeSet<(Module, Module)> {
        let mut uses = BTreeSet::new();
        for (module, code) in &self.code {
            let paths = use_paths(code).into_iter().chain(inline_paths(code));
            let targets = paths.filter_map(|path| self.resolve(module, &path, 0));
            uses.extend(targets.map(|target| (module.clone(), target)));
        }
        uses
    }

    /// Returns the module to which a path in the code of module `from` refers. `depth` is the
    /// number of imports followed so far.
    fn resolve(&self, from: &Module, path: &[String], depth: usize) -> Option<Module> {
        let mut at = match path.first()?.as_str() {
            "crate" => Module::new(),
            "self" => from.clone(),
            "super" => from[..from.len().checked_sub(1)?].to_vec(),
            // A child, or a name that `use` introduced.
            first if self.code.contains_key(&child(from, first)) => child(from, first),
            first => {
                let import = self.imports.get(from)?.get(first)?;
                let known = depth < 8 && import.first().map(String::as_str) != Some(first);
                let target = known.then(|| self.resolve(from, import, depth + 1))??;
                return self.descend(target, &path[1..], depth);
            }
        };
        let mut rest = &path[1..];
        while rest.first().is_some_and(|name| name == "super") {
            at.pop()?;
            rest = &rest[1..];
        }
        self.descend(at, rest, depth)
    }

    fn descend(&self, mut at: Module, names: &[String], depth: usize) -> Option<Module> {
        for name in names {
            let below = child(&at, name);
            if self.code.contains_key(&below) {
                at = below;
                continue;
            }
            let import = self.imports.get(&at).and_then(|imports| imports.get(name));
            return match import.filter(|_| depth < 8) {
                Some(import) => self.resolve(&at, import, depth + 1).or(Some(at)),
                None => Some(at),
            };
        }
        Some(at)
    }
}

fn child(module: &Module, name: &str) -> Module {
    let mut path = module.clone();
    path.push(name.to_string());
    path
}

/// Returns the groups of sibling modules that use each other in a circle, in sorted order. If one
/// module uses another, the sibling that contains the first counts as using the sibling that
/// contains the second, however deeply the two modules are nested.
fn cycles<'a>(
    modules: impl Iterator<Item = &'a Module>,
    uses: &BTreeSet<(Module, Module)>,
) -> Vec<Vec<Module>> {
    // An edge between two modules becomes one between their ancestors directly below the common
    // parent.
    let mut edges: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (from, to) in uses {
        let shared = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        if shared < from.len() && shared < to.len() {
            let (from, to) = (from[..=shared].to_vec(), to[..=shared].to_vec());
            edges.entry(from).or_default().insert(to);
        }
    }
    let reach = |start: &Module| {
        let mut seen: BTreeSet<&Module> = BTreeSet::new();
        let mut open: Vec<&Module> = edges.get(start).into_iter().flatten().collect();
        while let Some(at) = open.pop() {
            if seen.insert(at) {
                open.extend(edges.get(at).into_iter().flatten());
            }
        }
        seen.into_iter().cloned().collect::<BTreeSet<Module>>()
    };
    let reached: BTreeMap<Module, BTreeSet<Module>> = modules
        .map(|module| (module.clone(), reach(module)))
        .collect();
    let mut found = BTreeSet::new();
    for (module, from_here) in reached
        .iter()
        .filter(|(module, reach)| reach.contains(*module))
    {
        let back = |other: &&Module| {
            reached
                .get(*other)
                .is_some_and(|reach| reach.contains(module))
        };
        let cycle: Vec<Module> = from_here.iter().filter(back).cloned().collect();
        found.insert(cycle);
    }
    found.into_iter().collect()
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

/// Returns the code of a file without its comments, its strings and the tests at its end.
fn shipped_code(text: &str) -> String {
    let whole = match text.find("#[cfg(test)]\nmod tests {") {
        Some(at) => &text[..at],
        None => text,
    };
    let mut code = String::new();
    for line in whole.lines() {
        let line = line.split("//").next().unwrap_or_default();
        // A path inside a string does not count.
        code.extend(line.split('"').step_by(2));
        code.push('\n');
    }
    code
}

/// Returns the paths of all `use` declarations, with braces expanded to separate paths.
fn use_paths(code: &str) -> Vec<Module> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let starts = code[..at]
            .chars()
            .next_back()
            .is_none_or(|c| c.is_whitespace());
        if starts && let Some((tree, _)) = code[at + 4..].split_once(';') {
            open_braces(&[], tree, &mut paths);
        }
    }
    paths
}

fn open_braces(prefix: &[String], tree: &str, paths: &mut Vec<Module>) {
    let names = |text: &str| -> Vec<String> {
        let words = text
            .split("::")
            .map(|word| word.split(" as ").next().unwrap_or(word).trim());
        words
            .filter(|word| !word.is_empty() && *word != "*")
            .map(String::from)
            .collect()
    };
    let Some((before, inner)) = tree.split_once('{') else {
        let mut path = prefix.to_vec();
        path.extend(names(tree));
        if path.len() > 1 && path.last().is_some_and(|name| name == "self") {
            path.pop();
        }
        return paths.push(path);
    };
    let mut prefix = prefix.to_vec();
    prefix.extend(names(before));
    let inner = inner.rsplit_once('}').map_or(inner, |(inner, _)| inner);
    let (mut depth, mut from) = (0, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = inner[from..at].trim();
                if !part.is_empty() {
                    open_braces(&prefix, part, paths);
                }
                from = at + 1;
            }
            _ => {}
        }
    }
}

/// Returns the paths that occur in the code itself, such as `crate::a::b`, `super::c` or
/// `module::function`.
fn inline_paths(code: &str) -> Vec<Module> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let words = code.split(|c: char| !is_word(c) && c != ':');
    let paths = words.filter(|word| word.contains("::"));
    paths
        .map(|word| {
            let names = word.split("::").filter(|name| !name.is_empty());
            names
                .map(|name| name.trim_matches(':').to_string())
                .collect()
        })
        .collect()
}
