//! Tests banned phrases with servers that cannot ban phrases themselves.

use super::*;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

fn banning(text: &str) -> TextRequest {
    let mut asked = request(text);
    asked.bans = vec![sampler::Ban::parse("shivers down").unwrap()];
    asked
}

/// A fake service that offers only chat. Its first `bad` answers contain the banned phrase.
fn service(bad: usize) -> FakeServer {
    let times = AtomicUsize::new(0);
    FakeServer::start(move |path, body, stream| match path {
        "/v1/messages" => {
            start_stream(stream);
            let story = body["messages"][0]["content"].as_str().unwrap();
            let pieces: &[&str] = match times.fetch_add(1, Ordering::SeqCst) {
                _ if story.ends_with("shivers down") => &["his back."],
                _ if story.contains("shivers down") => &[],
                0 => &["It sent", " shivers", " down his back."],
                at if at < bad => &["shivers", " down his back."],
                _ => &["warmth", " up", " his back."],
            };
            for piece in pieces {
                let delta = json!({"type": "text_delta", "text": piece});
                let data = json!({"type": "content_block_delta", "delta": delta});
                event(stream, &data.to_string());
            }
            let end = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#;
            event(stream, end);
            event(stream, r#"{"type":"message_stop"}"#);
        }
        _ => json_answer(stream, 200, r#"{"data":[{"id":"claude"}]}"#),
    })
}

fn written(server: &FakeServer) -> (String, Heard) {
    let mut asked = target(server, Some(Flavour::Anthropic));
    asked.address.model = Some("claude".to_string());
    let mut remote = Remote::connect(asked, &quick(), &Heard::default()).unwrap();
    let heard = Heard::default();
    let (status, _) = remote.write(&banning("The sea was dark."), &heard).unwrap();
    assert_eq!(status, Status::Complete);
    (heard.text(), heard)
}

#[test]
fn a_service_that_only_chats_is_asked_again_from_before_the_phrase() {
    let server = service(2);
    let (text, heard) = written(&server);
    assert_eq!(text, " It sent warmth up his back.");
    assert!(!heard.warnings().contains("stays"), "{}", heard.warnings());
    let rewound =
        |event: &Event| matches!(event, Event::Rewound { phrase, .. } if phrase == "shivers down");
    assert_eq!(
        heard
            .events
            .borrow()
            .iter()
            .filter(|it| rewound(it))
            .count(),
        2
    );
    let again = server.bodies("/v1/messages").pop().unwrap();
    assert_eq!(again["messages"][0]["content"], "The sea was dark. It sent");
}

#[test]
fn a_phrase_that_comes_every_time_stays_and_is_said() {
    let server = service(99);
    let (text, heard) = written(&server);
    assert!(text.starts_with(" It sent shivers down"), "{text}");
    assert_eq!(text.matches("shivers").count(), 1, "{text}");
    assert!(
        heard.warnings().contains("\"shivers down\" stays"),
        "{}",
        heard.warnings()
    );
    assert!(server.bodies("/v1/messages").len() < 8);
}

/// Sends an answer of a chat server as a stream, one event for each of `texts`.
fn stream_turn(stream: &mut std::net::TcpStream, texts: &[&str]) {
    start_stream(stream);
    for text in texts {
        let piece = json!({"choices":[{"index":0,"delta":{"content":text}}]});
        event(stream, &piece.to_string());
    }
    event(
        stream,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    );
}

#[test]
fn in_a_chat_the_message_is_continued_from_before_the_phrase() {
    let server = llama_server(|body, stream| {
        let said = body["messages"].as_array().unwrap().last().unwrap().clone();
        if body["stream"] == false {
            let whole =
                json!({"choices":[{"message":{"content":" chills"},"finish_reason":"length"}]});
            return json_answer(stream, 200, &whole.to_string());
        }
        let texts: &[&str] = match said["role"] == "assistant" {
            true => &[" up."],
            false => &["It sent", " shivers", " down."],
        };
        stream_turn(stream, texts);
    });
    let mut asked = banning("");
    asked.context = turn("Go on.");
    let heard = Heard::default();
    connect(&server).write(&asked, &heard).unwrap();
    assert_eq!(heard.text(), "It sent chills up.");
    let sent: Vec<Value> = server.bodies("/v1/chat/completions");
    let other = sent.iter().find(|body| body["stream"] == false).unwrap();
    assert_eq!(other["messages"][1]["content"], "It sent");
    assert!(other["logit_bias"].is_object());
}

#[test]
fn a_server_that_continues_no_message_is_told_to_go_on() {
    let server = llama_server(|body, stream| {
        let messages = body["messages"].as_array().unwrap();
        if messages.last().unwrap()["role"] == "assistant" {
            let why = r#"{"error":{"message":"Prefill is incompatible with enable_thinking"}}"#;
            return json_answer(stream, 400, why);
        }
        let texts: &[&str] = match messages.len() {
            1 => &["It sent", " shivers", " down."],
            _ => &["It sent", " chills up."],
        };
        stream_turn(stream, texts);
    });
    let mut asked = banning("");
    asked.context = turn("Go on.");
    let heard = Heard::default();
    let (status, _) = connect(&server).write(&asked, &heard).unwrap();
    // The answer repeats the start of the message, which must appear only once.
    assert_eq!(
        (status, heard.text().as_str()),
        (Status::Complete, "It sent chills up.")
    );
}
