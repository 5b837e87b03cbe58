//! The examples of the guides (README, docs/ and the other Markdown files), run with the real
//! models, and the replays of the prompt templates. A new example is run, unless [`NOT_RUN`] says
//! why not.

mod blocks;

use crate::support::{self, Home, Output};
use blocks::{Block, guides, root};
use fancy_regex::Regex;
use illumine::store::prompts::SHIPPED;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use story::voice::PromptTemplate;

/// A command that contains one of these texts is not run. Each text comes with the reason.
const NOT_RUN: &[(&str, &str)] = &[
    ("cargo ", "builds the program or its tests"),
    ("git clone ", "needs the network"),
    ("pip install ", "installs packages"),
    ("npm install ", "installs packages"),
    ("npx promptfoo ", "needs promptfoo"),
    ("python", "needs PyTorch, or the results of another program"),
    ("bash gpu.sh ", "needs a GPU and PyTorch"),
    ("fuzz/run ", "needs cargo-fuzz"),
    ("vllm-router ", "needs vLLM"),
    ("http://", "needs a model server"),
    ("models pull ", "needs the network"),
    ("train data", "needs the network"),
    (
        "train gan reconstruct ",
        "takes hours; newcomer.rs trains with few steps",
    ),
    (
        "train gan tokens ",
        "takes hours; newcomer.rs trains with few steps",
    ),
    (
        "train gan refine ",
        "takes hours; newcomer.rs trains with few steps",
    ),
    (
        "train gan direct ",
        "takes hours; direct.rs trains with few steps",
    ),
    ("train export ", "needs a finished training"),
    ("--weights mine", "needs a finished training"),
    ("llama-bench", "needs llama.cpp"),
    ("qwen3-0.6b", "needs a model of 500 MB"),
    ("--choose ", "asks a person; replay_compare.rs answers"),
    (
        "--merge ",
        "needs the results of a model server; each.rs merges others",
    ),
];

/// Guides whose examples are measurements, which need particular machines, models and files.
const MEASUREMENTS: &[&str] = &["BENCHMARKS.md"];

/// Pairs of a text and the commands that must run before any command that contains the text.
const PREPARATIONS: &[(&str, &str)] = &[
    (
        "--compare HEAD~1 HEAD",
        "git init -q . && git add first.illum \
        && git -c user.name=a -c user.email=a@b commit -qm one \
        && git -c user.name=a -c user.email=a@b commit -qm two --allow-empty",
    ),
    (
        "--compare old.jsonl new.jsonl",
        "illumine replay first.illum --report old.jsonl \
        && illumine replay first.illum --report new.jsonl",
    ),
];

/// Pairs of a line and the line that a session needs before it.
const BEFORE: &[(&str, &str)] = &[
    ("/import story.json", "/new"),
    ("/image", "It was late when the boat came in."),
];

/// A home with all files that the examples name.
fn furnished() -> Home {
    let home = Home::with_encoder();
    let enlarger = support::enlarger_path();
    let name = enlarger.file_name().unwrap().to_os_string();
    let models = [
        (enlarger, home.models().join("esrgan-slim").join(name)),
        (home.model(), home.path().join("models/any.gguf")),
    ];
    for (path, link) in models {
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(path, link).unwrap();
    }
    symlink(root().join("prompts"), home.path().join("prompts")).unwrap();
    home.file(
        ".config/illumine/config.toml",
        "[sampling]\nmax_tokens = 16\n",
    );
    let interop = |name: &str| fs::read(root().join("tests/interop").join(name)).unwrap();
    home.file("mara.png", interop("tavern-card.png"));
    home.file("world.json", interop("worldinfo.json"));
    home.file("story.json", interop("kobold.json"));
    home.file("notes.txt", "The quay was empty.\n");
    let alice = fs::read_to_string(root().join("tests/reference/alice.txt")).unwrap();
    home.file("book.txt", alice.chars().take(3000).collect::<String>());
    home.file("people.csv", "name,place\nMara,the harbour\nJon,the mill\n");
    home.file(
        "promptfooconfig.yaml",
        "prompts: ['Tell me about {{topic}}']\nproviders: [echo]\ntests:\n  - vars: {topic: tides}\n    assert: [{type: contains, value: tides}]\n",
    );
    home.file(
        "samples.jsonl",
        "{\"input\": [{\"role\": \"user\", \"content\": \"2 + 2\"}], \"ideal\": \"4\"}\n",
    );
    for name in ["cat.jpg", "my cat.jpg"] {
        let cat = image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8 * 3, 90, y as u8]));
        cat.save(home.path().join(name)).unwrap();
    }
    let written = home.illumine(&["repl", "my-novel"]);
    let written = written.input("It was late when the boat came in.\n").run();
    written.expect(0);
    let journal = fs::read(home.journal("my-novel")).unwrap();
    let backup = ".local/share/illumine/sessions/my-novel/backups/2026-11-01.jsonl";
    home.file(backup, journal);
    home
}

/// Runs a program from a guide in the home folder, with the repository's image model.
fn run(home: &Home, program: &Path, args: &[&str], input: &str) -> Output {
    let folder = Path::new(support::ILLUMINE).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let weights = root().join("models/illuminator-64");
    let run = home.program(program, args);
    let run = run.variable("PATH", &format!("{}:{path}", folder.display()));
    let run = run.variable("ILLUMINE_WEIGHTS", weights.to_str().unwrap());
    run.input(input).run()
}

/// Returns the text from [`NOT_RUN`] that a command contains, if there is one.
fn not_run(command: &str) -> Option<&'static str> {
    // A comment may name anything.
    let command = command.split(" # ").next().unwrap_or_default();
    let found = NOT_RUN.iter().find(|(part, _)| command.contains(part));
    found.map(|(part, _)| *part)
}

/// Runs the commands of a guide, one after the other: those of `sh` blocks in one home, and those
/// of `console` blocks in another. Returns the texts from [`NOT_RUN`] that the skipped commands
/// contain.
fn run_commands(guide: &str) -> BTreeSet<&'static str> {
    let (mut left_out, mut homes) = (BTreeSet::new(), BTreeMap::new());
    for block in guides().iter().filter(|block| block.guide == guide) {
        for (command, printed) in block.commands() {
            if let Some(part) = not_run(&command) {
                left_out.insert(part);
                continue;
            }
            let home = homes.entry(&block.kind).or_insert_with(|| {
                let home = furnished();
                // README says only later how to write this script.
                if guide == "README.md" {
                    home.illumine(&["replay", "new"]).run().expect(0);
                }
                home
            });
            for (part, before) in PREPARATIONS {
                if command.contains(part) {
                    run(home, Path::new("sh"), &["-c", before], "").expect(0);
                }
            }
            let output = run(home, Path::new("sh"), &["-c", &command], "");
            let said = format!("{}{}", output.text(), output.stderr);
            match printed {
                Some(printed) => assert!(
                    agrees(&printed, &said),
                    "{guide}: {command}\nprinted:\n{said}\nbut the guide shows:\n{printed}"
                ),
                None => assert_eq!(output.code(), Some(0), "{guide}: {command}\n{said}"),
            }
        }
    }
    left_out
}

/// Whether a guide shows what a command printed. In the guide, `…` at the start of a line stands
/// for any text.
fn agrees(shown: &str, printed: &str) -> bool {
    let (shown, printed) = (steady(shown), steady(printed));
    let Some((start, end)) = shown.split_once("\n…") else {
        return shown == printed;
    };
    printed.starts_with(start) && printed.ends_with(end)
}

/// Removes from a text what differs between runs: times and the name of the processor.
fn steady(text: &str) -> String {
    let times = Regex::new(r"\b\d+\.\d s\b").unwrap();
    let processor = Regex::new(r"on cpu [^\n]*").unwrap();
    let text = times.replace_all(text.trim_end(), "N s").into_owned();
    processor.replace_all(&text, "on cpu").into_owned()
}

#[test]
fn the_commands_of_readme_run() {
    assert!(run_commands("README.md").contains("http://"));
}

#[test]
fn the_commands_of_the_replay_guide_run() {
    run_commands("docs/replay.md");
}

#[test]
fn the_commands_of_the_other_guides_run_and_no_reason_is_unused() {
    let names: BTreeSet<&str> = guides().iter().map(|block| block.guide.as_str()).collect();
    let ran = ["README.md", "docs/replay.md"];
    for guide in names {
        if !MEASUREMENTS.contains(&guide) && !ran.contains(&guide) {
            run_commands(guide);
        }
    }
    let commands = guides().iter().flat_map(Block::commands);
    let used: BTreeSet<&str> = commands.filter_map(|(it, _)| not_run(&it)).collect();
    for (part, _) in NOT_RUN {
        assert!(used.contains(part), "no example contains {part:?} any more");
    }
}

#[test]
fn every_block_has_a_kind() {
    for block in guides() {
        assert!(
            block.is_known(),
            "{}: write a word after the ``` of this block: sh, console, toml, or text if it is no example\n{}",
            block.guide,
            block.text
        );
    }
}

#[test]
fn the_lines_of_sessions_run() {
    let home = furnished();
    for (at, block) in guides().iter().enumerate() {
        let lines = block.session_lines();
        let mut input = String::new();
        for line in &lines {
            let before = BEFORE.iter().filter(|(known, _)| line == known);
            before.for_each(|(_, before)| input += &format!("{before}\n"));
            input += &format!("{line}\n");
        }
        if !lines.is_empty() {
            let output = run(
                &home,
                Path::new(support::ILLUMINE),
                &["repl", &format!("s{at}")],
                &input,
            );
            let said = format!("{}: {input}\n{}", block.guide, output.stderr);
            assert_eq!(output.code(), Some(0), "{said}");
        }
    }
}

#[test]
fn the_configurations_are_valid() {
    let home = furnished();
    for block in guides().iter().filter(|block| block.kind == "toml") {
        let file = home.file("example.toml", &block.text);
        let output = home.illumine(&["write", "-n", "1", "Night fell"]);
        let output = output
            .variable("ILLUMINE_CONFIG", file.to_str().unwrap())
            .run();
        let output = output.expect(0);
        assert_eq!(output.stderr, "", "{}: {}", block.guide, block.text);
    }
}

/// Runs scripts in one process, which loads the model once.
fn run_scripts(home: &Home, scripts: &[String]) {
    let mut args = vec!["replay"];
    args.extend(scripts.iter().map(String::as_str));
    home.illumine(&args).run().expect(0);
}

#[test]
fn the_scripts_of_the_guides_pass() {
    let home = furnished();
    let mut scripts = Vec::new();
    for (at, block) in guides().iter().enumerate() {
        if let Some(ending) = block.script_ending() {
            let name = format!("{at}-{}.{ending}", block.guide.replace(['/', '.'], "-"));
            home.file(&name, &block.text);
            scripts.push(name);
        }
    }
    assert!(scripts.len() >= 5, "{scripts:?}");
    run_scripts(&home, &scripts);
}

#[test]
fn the_replays_of_templates_and_commands_pass() {
    let mut scripts = Vec::new();
    for folder in ["prompts/replays", "tests/replay"] {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        scripts.extend(paths.map(|path| path.to_str().unwrap().to_string()));
    }
    run_scripts(&Home::new(), &scripts);
}

#[test]
fn every_template_has_a_replay_with_the_values_of_its_example() {
    for (name, text) in SHIPPED {
        let file = root().join(format!("prompts/replays/{name}.illum"));
        let script = fs::read_to_string(&file);
        let script = script.unwrap_or_else(|_| panic!("{name}.md has no {}", file.display()));
        assert!(script.contains(&format!("/voice {name} ")), "{name}");
        for (_, value) in PromptTemplate::parse(name, text).unwrap().example {
            assert!(
                script.contains(value.as_str()),
                "{name}.illum lacks {value:?}"
            );
        }
        assert!(script.matches("\nexpect ").count() >= 4, "{name}");
    }
}
