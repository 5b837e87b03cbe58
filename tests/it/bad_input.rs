//! Tests that any bad input leads to one plain sentence and the documented exit code, and that no
//! data is lost.

use crate::support::gguf::{self, SHORT, Value, short_context};
use crate::support::{Home, Output, home::plain, model_path};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;

fn write_with(home: &Home, model: &Path) -> Output {
    home.illumine(&[
        "write",
        "-n",
        "2",
        "-m",
        model.to_str().unwrap(),
        "The lamp",
    ])
    .run()
}

/// Runs `illumine write` with a model that cannot be used, and returns the error message. Standard
/// output must be empty.
#[track_caller]
fn refused(home: &Home, model: &Path) -> String {
    let output = write_with(home, model);
    assert_eq!(output.stdout, b"");
    output.sentence(3)
}

#[test]
fn a_model_that_is_not_there() {
    let home = Home::new();
    assert!(refused(&home, Path::new("no/such.gguf")).contains("no/such.gguf is not a file"));
    let said = refused(&home, Path::new("smolm2-135m"));
    assert!(said.contains("did you mean 'smollm2-135m'?"), "{said}");
    let said = refused(&home, Path::new("frankenstein"));
    assert!(said.contains("illumine models list"), "{said}");
    assert!(refused(&home, home.path()).contains("is not a file"));
    // The model is not in the catalogue's folder, and there is no network to download it.
    let said = refused(&home, Path::new("qwen3-0.6b"));
    assert!(
        said.contains("not downloaded") && said.contains("offline"),
        "{said}"
    );
}

#[test]
fn a_file_that_is_no_model() {
    let home = Home::new();
    for (name, bytes) in [
        ("empty.gguf", &b""[..]),
        ("short.gguf", b"GGUF\x03\0\0\0"),
        (
            "picture.gguf",
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\0\0\0\x02\0\x08\x06\0\0\0",
        ),
        (
            "text.gguf",
            b"Dear reader, this is a letter and not a model at all.\n",
        ),
    ] {
        let path = home.file(name, bytes);
        let said = refused(&home, &path);
        assert!(said.contains("is not a GGUF file"), "{name}: {said}");
    }
    let version = home.file("v9.gguf", [&b"GGUF\x09\0\0\0"[..], &[0; 64]].concat());
    assert!(refused(&home, &version).contains("GGUF version 9"));
}

#[test]
fn a_model_that_was_cut_short() {
    let home = Home::new();
    let mut whole = Vec::new();
    fs::File::open(model_path())
        .unwrap()
        .take(8 << 20)
        .read_to_end(&mut whole)
        .unwrap();
    // Cuts in the header, the metadata, the list of tensors and the tensors themselves.
    for len in [30, 300, 40_000, 1_600_000, 8 << 20] {
        let path = home.file("cut.gguf", &whole[..len]);
        let said = refused(&home, &path);
        assert!(said.contains("damaged or truncated"), "{len}: {said}");
    }
}

#[test]
fn a_model_of_another_architecture() {
    let home = Home::new();
    for name in [
        "clip",
        "mamba",
        "",
        "\u{1b}[2J\u{1b}]0;gone\u{7}",
        "a\nb\rc",
    ] {
        let path = home.file(
            "odd.gguf",
            gguf::file(&[("general.architecture", Value::Text(name))]),
        );
        let said = refused(&home, &path);
        assert!(
            said.contains("architecture") && said.contains("is not supported"),
            "{said}"
        );
    }
    let path = home.file(
        "none.gguf",
        gguf::file(&[("general.name", Value::Number(1))]),
    );
    assert!(refused(&home, &path).contains("architecture"));
}

#[test]
fn a_model_with_hostile_words_in_it() {
    const HOSTILE: &str = "\u{1b}[31m\u{9b}2J\u{202e}\nfake: sentence\u{7}";
    let home = Home::new();
    let llama = ("general.architecture", Value::Text("llama"));
    let model = ("tokenizer.ggml.model", Value::Text(HOSTILE));
    let path = home.file("hostile.gguf", gguf::file(&[llama, model]));
    assert!(refused(&home, &path).contains("vocabulary"));
    let metadata = [
        ("general.architecture", Value::Text("llama")),
        ("general.name", Value::Text(HOSTILE)),
        ("tokenizer.ggml.model", Value::Text("gpt2")),
        ("tokenizer.ggml.pre", Value::Text(HOSTILE)),
        ("tokenizer.ggml.tokens", Value::Texts(&[HOSTILE, "a"])),
        ("tokenizer.ggml.merges", Value::Texts(&[HOSTILE])),
        ("tokenizer.chat_template", Value::Text("{{ \u{1b}[2J")),
    ];
    let path = home.file("hostile.gguf", gguf::file(&metadata));
    refused(&home, &path);
    // A file's name may be malicious too.
    let path = home.file("\u{1b}[2J\nname.gguf", "x");
    refused(&home, &path);
}

#[test]
fn hostile_words_in_a_model_that_works_are_told_and_not_obeyed() {
    let home = Home::new();
    let path = home.path().join("model.gguf");
    fs::copy(model_path(), &path).unwrap();
    gguf::patch(&path, "tokenizer.ggml.pre", b"\x1b[2J");
    let output = write_with(&home, &path).expect(0);
    plain(&output.stderr);
    assert!(output.stderr.contains("[2J"), "{}", output.stderr);
}

/// Creates a home folder in which the default model's file does not match the catalogue.
fn corrupted() -> Home {
    let home = Home::new();
    let ours = home.model();
    fs::remove_file(&ours).unwrap();
    fs::copy(model_path(), &ours).unwrap();
    gguf::patch(&ours, "llama.context_length", &4096u32.to_le_bytes());
    home
}

#[track_caller]
fn set_aside(home: &Home, said: &str) {
    let bad = home.model().with_extension("gguf.bad");
    assert!(
        said.contains("SHA-256") && said.contains("set aside"),
        "{said}"
    );
    assert!(said.contains(bad.to_str().unwrap()), "{said}");
    assert!(bad.is_file() && !home.model().exists());
}

#[test]
fn a_model_with_the_wrong_checksum_is_set_aside_and_not_used() {
    let home = corrupted();
    let output = home
        .illumine(&["write", "-n", "2", "The lamp"])
        .run()
        .expect(3);
    let said = output
        .stderr
        .lines()
        .find(|line| line.starts_with("illumine: "))
        .unwrap();
    set_aside(&home, said);
    plain(&output.stderr);
}

#[test]
fn verify_reads_the_file_whatever_was_remembered_of_it() {
    let home = Home::new();
    let said = home.illumine(&["models", "verify"]).run().expect(0);
    assert!(said.text().contains("the checksum matches"), "{said:?}");
    let home = corrupted();
    let output = home.illumine(&["models", "verify"]).run().expect(3);
    let said = output
        .stderr
        .lines()
        .find(|line| line.starts_with("illumine: "))
        .unwrap();
    set_aside(&home, said);
}

#[test]
fn a_slip_on_the_command_line() {
    let home = Home::new();
    let slip = |args: &[&str]| home.illumine(args).run().sentence(2);
    assert!(
        slip(&["write", "--device", "gpu", "x"]).contains("a device is auto, cpu, cuda:N or metal")
    );
    assert!(slip(&["write", "--temprature", "1", "x"]).contains("'--temperature'"));
    assert!(slip(&["write", "--temperature", "hot", "x"]).contains("a number from 0 to 5"));
    assert!(slip(&["write", "--set", "min_p", "x"]).contains("NAME=VALUE"));
    assert!(slip(&["write", "--set", "minp_p=1", "x"]).contains("did you mean min_p?"));
    assert!(slip(&["write", "--set", "stop=[1]", "x"]).contains("stop takes"));
    assert!(slip(&["write", "-n", "0", "x"]).contains("max_tokens takes"));
    assert!(slip(&["write", ""]).contains("The prompt is empty"));
    assert!(slip(&["repl", "--threads", "0"]).contains("'--threads <N>'"));
    assert!(slip(&["models", "info", "smolm2"]).contains("illumine models list"));
    assert!(slip(&["write", "--mdoel", "\u{1b}[2J"]).contains("--model"));
    assert!(slip(&["eval", "text", "--perplexity", "no.txt"]).contains("no.txt"));
}

#[test]
fn a_device_that_is_not_there() {
    let home = Home::new();
    let run = home
        .illumine(&["write", "--device", "cuda:7", "-n", "2", "x"])
        .run();
    assert!(run.sentence(3).contains("--device cpu"));
}

#[test]
fn a_configuration_with_a_slip_in_it() {
    let home = Home::new();
    for (text, part) in [
        ("modle = \"x\"", "modle"),
        ("[sampling]\ntemprature = 1", "temperature"),
        ("model = \"unclosed\n\n[", "config.toml"),
        ("mode = 3", "mode"),
        ("\u{1b}[2J = 1", "config.toml"),
    ] {
        home.file(".config/illumine/config.toml", text);
        let said = home.illumine(&["write", "x"]).run().sentence(2);
        assert!(
            said.contains(part) && said.contains("config.toml"),
            "{said}"
        );
    }
    home.file(".config/illumine/config.toml", b"# caf\xe9\n");
    home.illumine(&["repl"]).run().sentence(2);
}

#[test]
fn a_prompt_that_is_no_text() {
    let home = Home::new();
    let write = |input: &[u8]| {
        home.illumine(&["write", "--seed", "5", "-n", "2"])
            .input(input)
            .run()
            .sentence(2)
    };
    assert!(write(b"").contains("The prompt is empty"));
    assert!(write(b"\n").contains("The prompt is empty"));
    let said = write(b"caf\xe9 au lait");
    assert!(
        said.contains("not UTF-8 (at byte 3)") && said.contains("iconv"),
        "{said}"
    );
    let folder = fs::File::open(home.path()).unwrap();
    let output = home
        .illumine(&["write", "--seed", "5", "-n", "2"])
        .with(|command| {
            command.stdin(Stdio::from(folder));
        });
    assert!(output.sentence(2).contains("Cannot read standard input"));
}

#[test]
fn a_line_that_is_no_text_is_left_out_and_the_others_go_on() {
    let home = Home::new();
    let input = b"One lamp\nTwo \xff\xfe\nThree lamps\n";
    let output = home
        .illumine(&["repl", "s", "--seed", "5", "-n", "2"])
        .input(&input[..])
        .run()
        .expect(2);
    assert!(
        output.stderr.contains("Skipped line 2, which is not UTF-8"),
        "{}",
        output.stderr
    );
    plain(&output.stderr);
    let story = home.recovered("s").story;
    let typed: Vec<&str> = story
        .nodes()
        .iter()
        .filter(|node| node.provenance.is_none())
        .map(|node| node.text.trim())
        .collect();
    assert_eq!(typed, ["One lamp", "Three lamps"]);
}

#[test]
fn standard_input_that_cannot_be_read_ends_the_session() {
    let home = Home::new();
    let folder = fs::File::open(home.path()).unwrap();
    let output = home.illumine(&["repl"]).with(|command| {
        command.stdin(Stdio::from(folder));
    });
    let output = output.expect(2);
    assert!(
        output.stderr.contains("Cannot read standard input"),
        "{}",
        output.stderr
    );
}

fn megabytes(bytes: usize) -> String {
    "The lamp burned on. ".repeat(bytes / 20)
}

#[test]
fn a_prompt_far_too_long() {
    let home = Home::new();
    for text in [
        megabytes(1_000_000),
        megabytes(5_000_000),
        "a".repeat(1_000_000),
        " ".repeat(1_000_000),
    ] {
        let said = home
            .illumine(&["write", "--seed", "5", "-n", "2"])
            .input(text)
            .run()
            .sentence(4);
        assert!(said.contains("the model's context is 8192"), "{said}");
    }
}

#[test]
fn a_line_of_a_megabyte_is_kept_whole_and_its_end_is_answered() {
    let home = Home::new();
    let model = short_context();
    let line = megabytes(1_000_000);
    let args = [
        "repl",
        "s",
        "--seed",
        "5",
        "-n",
        "2",
        "-m",
        model.to_str().unwrap(),
    ];
    let output = home
        .illumine(&args)
        .input(format!("{line}\n"))
        .run()
        .expect(0);
    assert!(
        output
            .stderr
            .contains("tokens are left out (nothing is erased)"),
        "{}",
        output.stderr
    );
    let story = home.recovered("s").story;
    assert_eq!(story.nodes()[0].text, line.trim_end_matches('\n'));
    assert_eq!(story.nodes()[1].ids.len(), 2);
    assert!(!output.stdout.is_empty());
}

#[test]
fn a_line_longer_than_any_passage_is_left_out() {
    let home = Home::new();
    let input = format!("{}\n/set top_k\n", megabytes(5_000_000));
    let output = home.illumine(&["repl"]).input(input).run().expect(2);
    assert!(
        output
            .stderr
            .contains("Skipped line 1, which is longer than 4 MB"),
        "{}",
        output.stderr
    );
    assert!(output.text().starts_with("top_k 0"), "{}", output.text());
}

#[test]
fn a_prompt_longer_than_the_context() {
    let home = Home::new();
    let model = short_context();
    let prompt = megabytes(4000);
    let args = [
        "write",
        "--seed",
        "5",
        "-n",
        "2",
        "-m",
        model.to_str().unwrap(),
        &prompt,
    ];
    let said = home.illumine(&args).run().sentence(4);
    assert!(
        said.contains(&format!("the model's context is {SHORT}")) && said.contains("--crop"),
        "{said}"
    );
    let output = home
        .illumine(&[&args[..], &["--crop"]].concat())
        .run()
        .expect(0);
    assert!(
        output.stderr.contains("tokens of the prompt"),
        "{}",
        output.stderr
    );
    assert!(!output.stdout.is_empty());
}

#[test]
fn a_home_that_is_not_set_is_found_or_asked_for() {
    let home = Home::new();
    let output = home.illumine(&["paths"]).without("HOME").run();
    if output.code() != Some(0) {
        assert!(output.sentence(5).contains("set HOME"));
    }
}
