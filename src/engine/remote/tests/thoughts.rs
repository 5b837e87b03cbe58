//! Tests that a model's thoughts are separated from the text of the passage.

use super::*;
use serde_json::{Value, json};

impl Heard {
    fn thought(&self) -> String {
        let events = self.events.borrow();
        let thought = |event: &Event| match event {
            Event::Thought { node: 1, text } => Some(text.clone()),
            _ => None,
        };
        events.iter().filter_map(thought).collect()
    }
}

fn chat() -> TextRequest {
    TextRequest {
        context: turn("Which colour?"),
        ..request("")
    }
}

fn delta(name: &str, text: &str) -> String {
    json!({"choices":[{"index":0,"delta":{name: text}}]}).to_string()
}

const OVER: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

#[test]
fn thoughts_are_sent_apart_from_the_answer_under_any_name() {
    for events in [
        vec![
            delta("reasoning_content", "Sky or"),
            delta("reasoning_content", " sea?"),
            delta("content", "\n\nBlue."),
        ],
        vec![delta("reasoning", "Sky or sea?"), delta("content", "Blue.")],
        vec![
            delta("content", "<thi"),
            delta("content", "nk>Sky or sea?</think"),
            delta("content", ">\n\n"),
            delta("content", "Blue."),
        ],
    ] {
        let server = llama_server(move |_, stream| {
            start_stream(stream);
            events.iter().for_each(|one| event(stream, one));
            event(stream, OVER);
            event(stream, "[DONE]");
        });
        let heard = Heard::default();
        let (status, _) = connect(&server).write(&chat(), &heard).unwrap();
        assert_eq!((status, heard.text().as_str()), (Status::Complete, "Blue."));
        assert_eq!(heard.thought(), "Sky or sea?");
        assert_eq!(heard.warnings(), "");
    }
}

#[test]
fn a_model_that_only_thinks_is_asked_again_with_room_for_it() {
    let server = llama_server(|body, stream| {
        start_stream(stream);
        event(stream, &delta("reasoning_content", "Sky or sea?"));
        if body["max_tokens"].as_u64() > Some(20) {
            event(stream, &delta("content", "Blue."));
            return event(stream, OVER);
        }
        event(
            stream,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#,
        );
    });
    let mut remote = connect(&server);
    let mut asked = chat();
    asked.sampling.max_tokens = 20;
    let heard = Heard::default();
    let (status, _) = remote.write(&asked, &heard).unwrap();
    assert_eq!((status, heard.text().as_str()), (Status::Complete, "Blue."));
    let lengths = || -> Vec<Value> {
        let sent = server.bodies("/v1/chat/completions");
        sent.iter().map(|body| body["max_tokens"].clone()).collect()
    };
    assert_eq!((lengths().len(), lengths()[0].clone()), (2, json!(20)));
    // Prompt, thoughts and answer must fit the context of 512 tokens.
    assert!(lengths()[1].as_u64() < Some(500), "{:?}", lengths());
    // The next passage has room for thoughts from the start.
    remote.write(&asked, &Heard::default()).unwrap();
    assert_eq!(lengths().len(), 3);
}

#[test]
fn a_model_that_thinks_without_end_is_stopped() {
    let server = llama_server(|_, stream| {
        start_stream(stream);
        let line = format!(
            "data: {}\n\n",
            delta("reasoning_content", &"hm ".repeat(2000))
        );
        while stream.write_all(line.as_bytes()).is_ok() {}
    });
    let heard = Heard::default();
    let (status, _) = connect(&server).write(&chat(), &heard).unwrap();
    assert_eq!((status, heard.text().as_str()), (Status::Length, ""));
    assert!(
        heard.warnings().contains("did not stop thinking"),
        "{}",
        heard.warnings()
    );
    assert!(heard.thought().len() < 300_000);
}
