//! Tests with recorded answers of real servers. Wherever a stream is cut off or split into parts,
//! decoding must not panic, and no words that arrived may be lost or doubled. `streams/README.md`
//! lists the recordings.

#![allow(clippy::expect_used, reason = "test helpers may fail as tests do")]

use remote::{Deltas, Events, Finish, Framing, Protocol, decode};

const NATIVE: Protocol = Protocol::LlamaText;
const TEXT: Protocol = Protocol::OpenAiText;
const CHAT: Protocol = Protocol::OpenAiChat;

/// The recordings. Each row contains the recording's name, its protocol, the text with which the
/// answer begins and ends, and the reason why the model stopped.
const STREAMS: &[(&str, Protocol, &str, &str, Option<Finish>)] = &[
    (
        "llama-server-native-stream",
        NATIVE,
        " I was",
        "",
        Some(Finish::Length),
    ),
    (
        "llama-server-native-progress",
        NATIVE,
        "Once upon",
        " time",
        Some(Finish::Length),
    ),
    (
        "llama-server-comp-stream",
        TEXT,
        " I was a young man",
        " a",
        Some(Finish::Length),
    ),
    (
        "llama-server-chat-stream",
        CHAT,
        "1. Red",
        "",
        Some(Finish::Length),
    ),
    (
        "llama-server-killed",
        TEXT,
        ", the city of",
        " towering",
        None,
    ),
    (
        "vllm-comp-stream",
        TEXT,
        " I was a young man",
        " wife",
        Some(Finish::Length),
    ),
    ("vllm-comp-emoji", TEXT, "😃😅", "", Some(Finish::Length)),
    (
        "vllm-chat-stream",
        CHAT,
        "1. Red",
        " colour that",
        Some(Finish::Length),
    ),
    ("vllm-chat-logprobs", CHAT, "", "", Some(Finish::Length)),
    (
        "llama-cpp-python-comp-stream",
        TEXT,
        " I was a young",
        " a storm",
        Some(Finish::Length),
    ),
    (
        "llama-cpp-python-comp-emoji",
        TEXT,
        "",
        "",
        Some(Finish::Length),
    ),
    ("llama-cpp-python-comp-toolong", TEXT, "", "", None),
    (
        "llama-cpp-python-comp-cancel",
        TEXT,
        " I was a",
        " man,",
        None,
    ),
    (
        "transformers-serve-comp-stream",
        TEXT,
        " I was a young man,",
        " a wife",
        Some(Finish::Length),
    ),
    (
        "transformers-serve-chat-stream",
        CHAT,
        "1. Red:",
        " colour that",
        Some(Finish::Length),
    ),
    (
        "litellm-comp-stream",
        TEXT,
        " I",
        " a sailor",
        Some(Finish::Length),
    ),
    (
        "litellm-chat-stream",
        CHAT,
        "",
        " the most",
        Some(Finish::Length),
    ),
    (
        "sglang-router-comp-stream",
        TEXT,
        " I was a young",
        " wife",
        Some(Finish::Length),
    ),
];

/// Decodes the events of a stream. Returns their text and the reason why the model stopped.
fn read(protocol: Protocol, events: &[String]) -> (String, Option<Finish>) {
    let (mut deltas, mut text, mut finish) = (Deltas::default(), String::new(), None);
    for event in events {
        let chunk = decode(protocol, event).expect("a recorded event is understood");
        text += &deltas.push(&chunk.text);
        finish = finish.or(chunk.finish);
    }
    text += &deltas.finish();
    (text, finish)
}

/// Returns the events in a response body that arrives in the given parts.
fn events(parts: &[&[u8]]) -> Vec<String> {
    let mut events = Events::new(Framing::Sse);
    let mut found = Vec::new();
    for part in parts {
        events.push(part).expect("a recorded event is not too long");
        found.extend(std::iter::from_fn(|| events.next_event()));
    }
    found.extend(events.rest());
    found
}

fn recorded(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/streams");
    std::fs::read(format!("{folder}/{name}.txt")).expect("the recording is there")
}

#[test]
fn every_recording_says_its_text_and_its_end() {
    for (name, protocol, begins, ends, finish) in STREAMS {
        let (text, ended) = read(*protocol, &events(&[&recorded(name)]));
        assert!(
            text.starts_with(begins) && text.ends_with(ends),
            "{name}: {text:?}"
        );
        assert_eq!(ended, *finish, "{name}");
    }
}

#[test]
fn a_split_at_any_byte_changes_nothing() {
    for (name, ..) in STREAMS {
        let body = recorded(name);
        let whole = events(&[&body]);
        for at in 0..body.len() {
            let (one, two) = body.split_at(at);
            assert_eq!(events(&[one, two]), whole, "{name} split at {at}");
        }
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(events(&bytes), whole, "{name} byte by byte");
    }
}

#[test]
fn a_cut_at_any_byte_leaves_a_beginning_without_an_end() {
    for (name, protocol, ..) in STREAMS {
        let body = recorded(name);
        let (whole, finish) = read(*protocol, &events(&[&body]));
        let (mut begun, mut found, mut before) = (Events::new(Framing::Sse), Vec::new(), None);
        for (at, byte) in body.iter().enumerate() {
            begun
                .push(&[*byte])
                .expect("a recorded event is not too long");
            found.extend(std::iter::from_fn(|| begun.next_event()));
            let rest = begun.clone().rest();
            if before.as_ref() == Some(&(found.len(), rest.clone())) {
                continue;
            }
            let (text, ended) = read(*protocol, &[&found[..], rest.as_slice()].concat());
            assert!(whole.starts_with(&text), "{name} cut at {at}: {text:?}");
            // A text with words missing must have no finish reason.
            assert!(
                ended.is_none() || (ended == finish && text == whole),
                "{name} cut at {at}"
            );
            before = Some((found.len(), rest));
        }
    }
}
