//! Tests that thoughts are separated from the answer and that no text is lost or doubled, wherever
//! the bytes of a server's stream are split.

#![allow(clippy::expect_used, reason = "test helpers may fail as tests do")]

use remote::{Deltas, Events, Finish, Framing, Protocol, Said, Thoughts, decode};

const THOUGHT: &str = "They want a colour: Blüe? <b>No</b>.";
const ANSWER: &str = "Red, I think — like a <think>er.";

/// The streams. Each row contains a stream's name, protocol, framing and body.
const STREAMS: &[(&str, Protocol, Framing, &str)] = &[
    (
        "vLLM and llama-server: reasoning_content",
        Protocol::OpenAiChat,
        Framing::Sse,
        concat!(
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"They want a colour: Bl\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"\u{fc}e? <b>No</b>.\",\"content\":null}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\n\\nRed, I think \u{2014}\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" like a <think>er.\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
            "data: [DONE]\n\n",
        ),
    ),
    (
        "OpenRouter: reasoning, with its details beside it",
        Protocol::OpenAiChat,
        Framing::Sse,
        concat!(
            ": OPENROUTER PROCESSING\r\n\r\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\",\"reasoning\":\"They want a colour: \",\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"They want a colour: \"}]}}]}\r\n\r\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\",\"reasoning\":\"Bl\u{fc}e? <b>No</b>.\"}}]}\r\n\r\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Red, I think \u{2014} like a <think>er.\",\"reasoning\":null}}]}\r\n\r\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"stop\"}],\"usage\":{\"completion_tokens\":30}}\r\n\r\n",
        ),
    ),
    (
        "tags in the text",
        Protocol::OpenAiChat,
        Framing::Sse,
        concat!(
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"<th\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ink>They want a colour: Bl\u{fc}e? <b>No\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"</b>.</\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"think>\\n\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\nRed, I think \u{2014} like a <think>er.\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
        ),
    ),
    (
        "Anthropic: blocks",
        Protocol::AnthropicChat,
        Framing::Sse,
        concat!(
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":9}}}\n\n",
            "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\"}}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"They want a colour: Bl\u{fc}e? <b>No</b>.\"}}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"EqQB\"}}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"Red, I think \u{2014} like a <think>er.\"}}\n\n",
            "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n",
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        ),
    ),
    (
        "Ollama: thinking",
        Protocol::OllamaChat,
        Framing::Lines,
        concat!(
            "{\"message\":{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"They want a colour: \"},\"done\":false}\n",
            "{\"message\":{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"Bl\u{fc}e? <b>No</b>.\"},\"done\":false}\n",
            "{\"message\":{\"role\":\"assistant\",\"content\":\"Red, I think \u{2014} like a <think>er.\"},\"done\":false}\n",
            "{\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\"}\n",
        ),
    ),
];

/// Decodes a response body that arrives in the given parts. Returns its thoughts and answer, and
/// the reason why the model stopped.
fn read(protocol: Protocol, framing: Framing, parts: &[&[u8]]) -> (Said, Option<Finish>) {
    let mut events = Events::new(framing);
    let (mut deltas, mut thoughts) = (Deltas::default(), Thoughts::default());
    let (mut all, mut finish) = (Said::default(), None);
    let mut take = |event: &str| {
        let chunk = decode(protocol, event).expect("the event is understood");
        if !chunk.thought.is_empty() {
            thoughts.thought_apart();
            all.thought.push_str(&chunk.thought);
        }
        all.extend(&thoughts.push(&deltas.push(&chunk.text)));
        finish = finish.or(chunk.finish);
    };
    for part in parts {
        events.push(part).expect("the event is not too long");
        while let Some(event) = events.next_event() {
            take(&event);
        }
    }
    if let Some(event) = events.rest() {
        take(&event);
    }
    all.extend(&thoughts.push(&deltas.finish()));
    all.extend(&thoughts.finish());
    (all, finish)
}

#[test]
fn a_split_at_any_byte_changes_nothing() {
    let whole = Said {
        thought: THOUGHT.to_string(),
        answer: ANSWER.to_string(),
    };
    let whole = (whole, Some(Finish::Complete));
    for (name, protocol, framing, body) in STREAMS {
        let body = body.as_bytes();
        for at in 0..=body.len() {
            let (one, two) = body.split_at(at);
            let found = read(*protocol, *framing, &[one, two]);
            assert_eq!(found, whole, "{name} split at {at}");
        }
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(
            read(*protocol, *framing, &bytes),
            whole,
            "{name} byte by byte"
        );
    }
}

#[test]
fn a_cut_at_any_byte_leaves_beginnings() {
    for (name, protocol, framing, body) in STREAMS {
        for at in 0..body.len() {
            let (said, _) = read(*protocol, *framing, &[&body.as_bytes()[..at]]);
            let beginnings = THOUGHT.starts_with(&said.thought) && ANSWER.starts_with(&said.answer);
            // A tag that was cut off may count as text.
            assert!(
                beginnings || said.answer == "<th",
                "{name} cut at {at}: {said:?}"
            );
        }
    }
}
