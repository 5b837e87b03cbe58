//! Tests routers and services that change the requests to a server or the streams from it.

use super::*;
use serde_json::json;

fn written_by(server: &FakeServer, flavour: Flavour, asked: &TextRequest) -> Heard {
    let mut target = target(server, Some(flavour));
    target.address.model = Some("m".to_string());
    let mut remote = Remote::connect(target, &quick(), &Heard::default()).unwrap();
    let heard = Heard::default();
    remote.write(asked, &heard).unwrap();
    heard
}

fn text_piece(stream: &mut std::net::TcpStream, text: &str, finish: Option<&str>) {
    let choice = json!({"choices": [{"index": 0, "text": text, "finish_reason": finish}]});
    event(stream, &choice.to_string());
}

#[test]
fn a_text_in_pieces_of_unknown_size_has_its_whole_length() {
    const WORDS: usize = 32;
    let server = FakeServer::start(|path, _, stream| match path {
        "/v1/completions" => {
            start_stream(stream);
            (0..WORDS).for_each(|_| text_piece(stream, " younger", None));
            text_piece(stream, "", Some("length"));
        }
        _ => json_answer(stream, 200, r#"{"data":[{"id":"m"}]}"#),
    });
    let mut asked = request("The");
    asked.sampling.max_tokens = WORDS as u32;
    let heard = written_by(&server, Flavour::LiteLlm, &asked);
    assert_eq!(heard.text().split_whitespace().count(), WORDS);
}

#[test]
fn a_server_that_forbids_no_tokens_is_not_asked_again_for_the_same_greedy_text() {
    let server = FakeServer::start(|path, body, stream| match path {
        "/v1/completions" => {
            start_stream(stream);
            let text = match body["prompt"].as_str().unwrap().ends_with("young.") {
                true => " He slept.",
                false => " was young.",
            };
            text_piece(stream, text, Some("stop"));
        }
        "/tokenize" => json_answer(stream, 404, ""),
        _ => json_answer(stream, 200, r#"{"data":[{"id":"m"}]}"#),
    });
    let mut asked = request("He");
    asked.sampling = Sampling::greedy();
    asked.bans = vec![sampler::ban::Ban {
        phrase: "young".to_string(),
        strength: None,
    }];
    let heard = written_by(&server, Flavour::Sglang, &asked);
    assert_eq!(heard.text(), " was young. He slept.");
    assert_eq!(server.bodies("/v1/completions").len(), 2);
    assert!(heard.warnings().contains("\"young\" stays"));
    let rewound = |event: &Event| matches!(event, Event::Rewound { .. });
    assert!(!heard.events.borrow().iter().any(rewound));
}

#[test]
fn a_message_that_a_router_does_not_continue_is_not_begun_again() {
    let server = FakeServer::start(|path, body, stream| match path {
        "/v1/chat/completions" if body.get("continue_final_message").is_some() => {
            let said = "continue_final_message and add_generation_prompt are not compatible";
            json_answer(
                stream,
                400,
                &json!({"error": {"message": said}}).to_string(),
            );
        }
        "/v1/chat/completions" => {
            start_stream(stream);
            let choice =
                json!({"index": 0, "delta": {"content": "rose."}, "finish_reason": "stop"});
            event(stream, &json!({"choices": [choice]}).to_string());
        }
        _ => json_answer(stream, 200, r#"{"data":[{"id":"m"}]}"#),
    });
    let mut asked = request("");
    asked.context = turn("Go on.");
    if let Context::Chat { messages, open } = &mut asked.context {
        let kind = PartKind::Story { node: 0, from: 0 };
        messages.push(story::context::Message {
            role: story::context::Role::Assistant,
            parts: vec![ContextPart::plain(kind, "The sea")],
        });
        *open = true;
    }
    let heard = written_by(&server, Flavour::Sglang, &asked);
    assert_eq!(heard.text(), " rose.");
    let bodies = server.bodies("/v1/chat/completions");
    let last = bodies.last().unwrap()["messages"].as_array().unwrap();
    assert_eq!(last.last().unwrap()["role"], "user", "{last:?}");
}
