//! Tests what the backend learns from a server's refusals, and that the writer is told only once.

use super::*;
use serde_json::Value;

impl Heard {
    /// The recorded truncations: how many tokens of the story each one left out.
    fn dropped(&self) -> Vec<usize> {
        let events = self.events.borrow();
        let dropped = |event: &Event| match event {
            Event::Prefill { cut, .. } if cut.begins.is_some() => Some(cut.dropped),
            _ => None,
        };
        events.iter().filter_map(dropped).collect()
    }
}

#[test]
fn reading_ahead_learns_which_field_is_refused() {
    let server = llama_server(|body, stream| match body.get("min_p") {
        Some(_) => json_answer(
            stream,
            400,
            r#"{"error":{"message":"unknown field min_p"}}"#,
        ),
        None => json_answer(
            stream,
            200,
            r#"{"content":" End.","stop":true,"stop_type":"eos"}"#,
        ),
    });
    let mut remote = connect(&server);
    remote.prefetch(&request("Dusk."), &Heard::default());
    let ahead: Vec<Value> = server.bodies("/completion");
    assert_eq!(ahead.len(), 2);
    assert!(ahead.iter().all(|body| body["n_predict"] == 0));
    assert!(ahead[1].get("min_p").is_none());
    let heard = Heard::default();
    remote.write(&request("Dusk."), &heard).unwrap();
    assert_eq!(server.bodies("/completion").len(), 3);
    assert_eq!(heard.warnings().matches("refuses min_p").count(), 1);
    let heard = Heard::default();
    remote.write(&request("Dusk."), &heard).unwrap();
    assert_eq!(heard.warnings(), "");
}

#[test]
fn what_was_left_out_is_told_once_with_the_prompt_that_was_accepted() {
    let server = llama_server(|body, stream| {
        let prompt = body["prompt"].as_str().unwrap_or_default();
        match prompt.split_whitespace().count() > 150 {
            true => json_answer(
                stream,
                400,
                r#"{"error":{"message":"maximum context length is 150"}}"#,
            ),
            false => json_answer(
                stream,
                200,
                r#"{"content":" End.","stop":true,"stop_type":"eos"}"#,
            ),
        }
    });
    let heard = Heard::default();
    connect(&server)
        .write(&request(&"tide ".repeat(800)), &heard)
        .unwrap();
    assert!(server.bodies("/completion").len() > 2);
    let dropped = heard.dropped();
    assert!(dropped.len() == 1 && dropped[0] >= 650, "{dropped:?}");
}
