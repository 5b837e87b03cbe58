//! Tests the whole program with a fake model server on loopback.

use crate::support::Home;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;

/// An API key that must not be saved, logged or shown anywhere.
const KEY: &str = "sk-planted-9f8e7d6c5b4a";

/// Starts a server that imitates llama-server and sends a text in the given pieces. Returns the
/// address of the server. If `ends` is false, the server omits the event that marks the end of the
/// text.
fn llama_server(pieces: &'static [&'static str], ends: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let root = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream, pieces, ends));
        }
    });
    root
}

fn answer(mut stream: TcpStream, pieces: &[&str], ends: bool) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).unwrap();
    let known = head.to_lowercase().contains(&format!("bearer {KEY}"));
    let body = match head.split(' ').nth(1).unwrap() {
        _ if !known => return reply(&mut stream, "401 No", "{\"error\":\"no key\"}"),
        "/v1/models" => r#"{"data":[{"id":"tale","owned_by":"llamacpp"}]}"#.to_string(),
        "/props" => r#"{"default_generation_settings":{"n_ctx":512}}"#.to_string(),
        "/tokenize" => r#"{"tokens":[1,2,3]}"#.to_string(),
        _ => {
            let event = |piece: &&str| format!("data: {{\"content\":\"{piece}\"}}\n\n");
            let end = "data: {\"content\":\"\",\"stop\":true,\"stop_type\":\"eos\"}\n\n";
            pieces.iter().map(event).collect::<String>() + if ends { end } else { "" }
        }
    };
    reply(&mut stream, "200 OK", &body);
}

fn reply(stream: &mut TcpStream, status: &str, body: &str) {
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nconnection: close\r\n\r\n{body}"
    );
}

/// The contents of all files in a folder and its subfolders, one after the other. Links are not
/// followed.
fn all_files(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            bytes.extend(all_files(&entry.path()));
        } else if kind.is_file() {
            bytes.extend(fs::read(entry.path()).unwrap());
        }
    }
    bytes
}

fn holds(bytes: &[u8], words: &str) -> bool {
    bytes
        .windows(words.len())
        .any(|window| window == words.as_bytes())
}

#[test]
fn a_story_is_written_by_a_server_and_its_key_is_nowhere() {
    let root = llama_server(&[" The sea", " rose."], true);
    let home = Home::new();
    let run = |args: &[&str], input: &str, code: i32| {
        let run = home.illumine(args).without("ILLUMINE_OFFLINE");
        run.variable("ILLUMINE_API_KEY", KEY)
            .input(input)
            .run()
            .expect(code)
    };
    let json = run(
        &[
            "write",
            "Once.",
            "--backend",
            &root,
            "--json",
            "--log",
            "a.txt",
            "--log-words",
        ],
        "",
        0,
    );
    let said = String::from_utf8(json.stdout.clone()).unwrap();
    assert!(
        said.contains(" The sea rose.") && said.contains("\"tale\""),
        "{said}"
    );
    let lines = "Once upon a time.\n/why\n/context\n/model\n/set top_k 3\n";
    let repl = run(&["repl", "s", "--model", &root, "--log", "b.txt"], lines, 0);
    let told = String::from_utf8_lossy(&repl.stdout).into_owned() + &repl.stderr;
    assert!(
        told.contains("The sea rose.") && told.contains("llama-server at"),
        "{told}"
    );
    let wrong = home.illumine(&["write", "Once.", "--backend", &root]);
    let wrong = wrong.without("ILLUMINE_OFFLINE").run().expect(3);
    assert!(wrong.stderr.contains("needs a key"), "{}", wrong.stderr);
    for bytes in [
        &json.stdout,
        json.stderr.as_bytes(),
        told.as_bytes(),
        &all_files(home.path()),
    ] {
        assert!(!holds(bytes, KEY));
    }
    assert!(
        holds(&all_files(home.path()), " rose."),
        "the journal is searched too"
    );
}

#[test]
fn a_server_that_goes_away_ends_write_with_its_text_and_a_failure() {
    let root = llama_server(&[" The sea", " ro"], false);
    let home = Home::new();
    let run = home.illumine(&["write", "Once.", "--backend", &root]);
    let run = run
        .without("ILLUMINE_OFFLINE")
        .variable("ILLUMINE_API_KEY", KEY);
    let run = run.run().expect(1);
    assert_eq!(
        String::from_utf8_lossy(&run.stdout).trim_end(),
        " The sea ro"
    );
    assert!(
        run.stderr.contains("ended before the text did"),
        "{}",
        run.stderr
    );
}

#[test]
fn offline_means_no_server_either() {
    let home = Home::new();
    let run = home.illumine(&["write", "Once.", "--backend", "http://127.0.0.1:1"]);
    let run = run.run().expect(3);
    assert!(
        run.stderr.contains("--offline or HF_HUB_OFFLINE forbids"),
        "{}",
        run.stderr
    );
    let secret = home.illumine(&["write", "Once.", "--backend", "http://me:hunter2@h"]);
    let secret = secret.run().expect(2);
    assert!(!secret.stderr.contains("hunter2"), "{}", secret.stderr);
}

/// Starts a proxy that answers requests instead of passing them on. Returns the address of the
/// proxy and a channel that receives the requested hosts.
fn proxy() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let root = format!("http://{}", listener.local_addr().unwrap());
    let (sender, hosts) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                    head.extend(byte);
                }
                let head = String::from_utf8(head).unwrap();
                let host = head.split(' ').nth(1).unwrap_or_default().to_string();
                sender.send(host).unwrap();
                assert!(head.starts_with("CONNECT "), "{head}");
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                answer(stream, &[" The sea", " rose."], true);
            });
        }
    });
    (root, hosts)
}

#[test]
fn a_server_elsewhere_is_reached_by_the_proxy_with_a_key_that_a_command_prints() {
    let (root, hosts) = proxy();
    // Not in the home folder, which the test searches for the key.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    fs::write(&file, format!("{KEY}\n")).unwrap();
    let home = Home::new();
    let config = format!(
        "[backends.gpu]\nurl = \"http://tale.invalid:8000\"\nkey_command = [\"cat\", {:?}]\n",
        file.display().to_string()
    );
    home.file(".config/illumine/config.toml", config.as_bytes());
    let write = |name: &str, value: &str, code: i32| {
        let run = home.illumine(&["write", "Once.", "--backend", "gpu", "--log", "a.txt"]);
        let run = run.without("ILLUMINE_OFFLINE").variable(name, value);
        run.variable("NO_PROXY", "other.invalid").run().expect(code)
    };
    let run = write("HTTP_PROXY", &root, 0);
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert_eq!(said.trim_end(), " The sea rose.");
    assert!(hosts.try_iter().all(|host| host == "tale.invalid:8000"));
    fs::write(&file, format!("{KEY} and {KEY}\n")).unwrap();
    let wrong = write("HTTP_PROXY", &root, 3);
    assert!(
        wrong.stderr.contains("key_command (cat)"),
        "{}",
        wrong.stderr
    );
    assert!(
        hosts.try_iter().next().is_none(),
        "no request is sent without the key"
    );
    for bytes in [
        run.stderr.as_bytes(),
        wrong.stderr.as_bytes(),
        &all_files(home.path()),
    ] {
        assert!(!holds(bytes, KEY));
    }
}
