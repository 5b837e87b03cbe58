//! Parses an event of an answer: its text, the reason why the text ended, and statistics.

use super::error::said;
use super::flavour::Protocol;
use serde_json::Value;

/// The reason why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model decided to end the text.
    Complete,
    /// The text reached the maximum length that the request set.
    Length,
    /// The text reached a stop string.
    StopString,
    /// The text filled the model's context.
    ContextFull,
    /// The service withheld the rest of the text.
    Filtered,
    /// The server stopped because of an error or an interruption.
    Aborted,
}

/// The contents of one event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chunk {
    pub text: String,
    /// The part of the model's thoughts in this event. Thoughts do not belong to the answer.
    pub thought: String,
    pub finish: Option<Finish>,
    /// Whether this is the last event of the answer.
    pub last: bool,
    pub prompt_tokens: Option<usize>,
    /// The number of tokens of the prompt that were already in the server's KV cache.
    pub cached: Option<usize>,
    pub new_tokens: Option<usize>,
    pub prompt_ms: Option<f64>,
    pub progress: Option<Progress>,
    /// The tokens that were most likely at the beginning of `text`.
    pub likely: Vec<Likely>,
}

/// The progress of prefilling a prompt. All numbers are in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub done: usize,
    pub total: usize,
    pub cached: usize,
}

/// One of the most likely tokens at a position.
#[derive(Clone, Debug, PartialEq)]
pub struct Likely {
    /// The id of the token, if the server reports it.
    pub id: Option<u32>,
    pub text: String,
    pub log_probability: f64,
}

/// Parses an event. The error contains the server's own message, or `None` if the event is
/// malformed.
pub fn decode(protocol: Protocol, event: &str) -> Result<Chunk, Option<String>> {
    decode_choice(protocol, event, 0)
}

/// Parses the part of an event that belongs to the text with index `choice`, since a request may
/// ask for several texts.
pub fn decode_choice(
    protocol: Protocol,
    event: &str,
    choice: usize,
) -> Result<Chunk, Option<String>> {
    let event = event.trim();
    if event == "[DONE]" {
        return Ok(Chunk {
            last: true,
            ..Chunk::default()
        });
    }
    let json: Value = serde_json::from_str(event).map_err(|_| None)?;
    if !json.is_object() {
        return Err(None);
    }
    let failed = json.get("error").is_some_and(|error| !error.is_null())
        || json["object"] == "error"
        || (json.get("detail").is_some() && json.get("choices").is_none());
    if failed {
        return Err(Some(said(event)));
    }
    Ok(match protocol {
        Protocol::LlamaText => llama(&json),
        Protocol::OpenAiText | Protocol::OpenAiChat => open_ai(&json, choice),
        Protocol::OllamaText | Protocol::OllamaChat => ollama(&json),
        Protocol::KoboldText => kobold(&json),
        Protocol::AnthropicChat => anthropic(&json),
    })
}

fn text(json: &Value) -> String {
    json.as_str().unwrap_or_default().to_string()
}

fn count(json: &Value) -> Option<usize> {
    json.as_u64().and_then(|it| usize::try_from(it).ok())
}

/// Returns the first text that is not empty, since some servers send the same thought in two
/// fields.
fn thought<const N: usize>(places: [&Value; N]) -> String {
    let texts = places.into_iter().filter_map(Value::as_str);
    let mut texts = texts.filter(|text| !text.is_empty());
    texts.next().unwrap_or_default().to_string()
}

/// Parses llama-server's report of how much of the prompt has been evaluated.
fn progress(json: &Value) -> Option<Progress> {
    let progress = &json["prompt_progress"];
    count(&progress["total"]).map(|total| Progress {
        done: count(&progress["processed"]).unwrap_or_default(),
        total,
        cached: count(&progress["cache"]).unwrap_or_default(),
    })
}

fn llama(json: &Value) -> Chunk {
    let yes = |name: &str| json[name] == true;
    let over = yes("stop");
    let finish = match json["stop_type"].as_str() {
        _ if !over => None,
        Some("word") => Some(Finish::StopString),
        Some("limit") if yes("truncated") => Some(Finish::ContextFull),
        Some("limit") => Some(Finish::Length),
        Some("eos") => Some(Finish::Complete),
        // Earlier versions report this in three fields.
        _ if yes("stopped_word") => Some(Finish::StopString),
        _ if yes("stopped_limit") => Some(Finish::Length),
        _ => Some(Finish::Complete),
    };
    let timings = &json["timings"];
    let likely = &json["completion_probabilities"][0];
    Chunk {
        text: text(&json["content"]),
        finish,
        last: over,
        prompt_tokens: count(&json["tokens_evaluated"]).filter(|count| *count > 0),
        cached: count(&timings["cache_n"]),
        new_tokens: count(&json["tokens_predicted"]).filter(|count| *count > 0),
        prompt_ms: timings["prompt_ms"].as_f64().filter(|_| over),
        progress: progress(json),
        likely: likely_rows(&likely["top_logprobs"]),
        ..Chunk::default()
    }
}

fn open_ai(json: &Value, wanted: usize) -> Chunk {
    let choices = json["choices"].as_array();
    let own = |choice: &&Value| count(&choice["index"]).unwrap_or_default() == wanted;
    let choice = choices.and_then(|all| all.iter().find(own));
    let mut chunk = Chunk {
        progress: progress(json),
        ..Chunk::default()
    };
    let usage = &json["usage"];
    let used = |name: &str| count(&usage[name]).filter(|count| *count > 0);
    chunk.prompt_tokens = used("prompt_tokens");
    chunk.new_tokens = used("completion_tokens");
    let timings = &json["timings"];
    chunk.cached = count(&usage["prompt_tokens_details"]["cached_tokens"])
        .or_else(|| count(&timings["cache_n"]));
    chunk.prompt_ms = timings["prompt_ms"].as_f64();
    let Some(choice) = choice else {
        return chunk;
    };
    let (delta, message) = (&choice["delta"], &choice["message"]);
    let content = [&choice["text"], &delta["content"], &message["content"]];
    chunk.text = content
        .into_iter()
        .find_map(Value::as_str)
        .unwrap_or_default()
        .to_string();
    chunk.thought = thought([
        &delta["reasoning_content"],
        &delta["reasoning"],
        &message["reasoning_content"],
        &message["reasoning"],
        &choice["reasoning"],
    ]);
    chunk.finish = match choice["finish_reason"].as_str() {
        None | Some("") => None,
        Some("length") => Some(Finish::Length),
        Some("content_filter") => Some(Finish::Filtered),
        Some("abort" | "error") => Some(Finish::Aborted),
        Some(_) if choice["stop_reason"].is_string() => Some(Finish::StopString),
        Some(_) => Some(Finish::Complete),
    };
    let told = &choice["logprobs"];
    chunk.likely = match told["content"].as_array() {
        Some(content) => likely_rows(&content.first().unwrap_or(&Value::Null)["top_logprobs"]),
        None => likely_map(&told["top_logprobs"][0]),
    };
    chunk
}

fn likely_rows(rows: &Value) -> Vec<Likely> {
    let rows = rows.as_array().into_iter().flatten();
    let row = |row: &Value| {
        Some(Likely {
            id: count(&row["id"]).and_then(|id| u32::try_from(id).ok()),
            text: row["token"].as_str()?.to_string(),
            log_probability: row["logprob"].as_f64()?,
        })
    };
    rows.filter_map(row).collect()
}

pub(super) fn likely_map(map: &Value) -> Vec<Likely> {
    let rows = map.as_object().into_iter().flatten();
    let row = |(token, probability): (&String, &Value)| {
        Some(Likely {
            id: None,
            text: token.clone(),
            log_probability: probability.as_f64()?,
        })
    };
    let mut rows: Vec<Likely> = rows.filter_map(row).collect();
    rows.sort_by(|a, b| b.log_probability.total_cmp(&a.log_probability));
    rows
}

fn ollama(json: &Value) -> Chunk {
    let over = json["done"] == true;
    let message = &json["message"];
    let content = [&json["response"], &message["content"]];
    Chunk {
        text: content
            .into_iter()
            .find_map(Value::as_str)
            .unwrap_or_default()
            .to_string(),
        thought: thought([&json["thinking"], &message["thinking"]]),
        finish: over.then(|| match json["done_reason"].as_str() {
            Some("length") => Finish::Length,
            _ => Finish::Complete,
        }),
        last: over,
        prompt_tokens: count(&json["prompt_eval_count"]),
        new_tokens: count(&json["eval_count"]),
        prompt_ms: json["prompt_eval_duration"].as_f64().map(|ns| ns / 1e6),
        ..Chunk::default()
    }
}

fn kobold(json: &Value) -> Chunk {
    let whole = &json["results"][0];
    let reason = [&json["finish_reason"], &whole["finish_reason"]];
    Chunk {
        text: [&json["token"], &whole["text"]]
            .into_iter()
            .find_map(Value::as_str)
            .unwrap_or_default()
            .to_string(),
        finish: match reason.into_iter().find_map(Value::as_str) {
            None | Some("" | "null") => None,
            Some("length") => Some(Finish::Length),
            Some(_) => Some(Finish::Complete),
        },
        ..Chunk::default()
    }
}

fn anthropic(json: &Value) -> Chunk {
    let finish = |reason: &Value| match reason.as_str() {
        None => None,
        Some("max_tokens") => Some(Finish::Length),
        Some("stop_sequence") => Some(Finish::StopString),
        Some("refusal") => Some(Finish::Filtered),
        Some("model_context_window_exceeded") => Some(Finish::ContextFull),
        Some(_) => Some(Finish::Complete),
    };
    let delta = &json["delta"];
    let mut chunk = Chunk {
        new_tokens: count(&json["usage"]["output_tokens"]),
        ..Chunk::default()
    };
    match json["type"].as_str() {
        Some("message_start") => {
            let usage = &json["message"]["usage"];
            chunk.prompt_tokens = count(&usage["input_tokens"]);
            chunk.cached = count(&usage["cache_read_input_tokens"]);
            chunk.new_tokens = None;
        }
        Some("content_block_delta") => {
            chunk.text = text(&delta["text"]);
            chunk.thought = text(&delta["thinking"]);
        }
        Some("message_delta") => chunk.finish = finish(&delta["stop_reason"]),
        Some("message_stop") => chunk.last = true,
        Some("message") => {
            let parts = || json["content"].as_array().into_iter().flatten();
            chunk.text = parts().map(|part| text(&part["text"])).collect();
            chunk.thought = parts().map(|part| text(&part["thinking"])).collect();
            chunk.finish = finish(&json["stop_reason"]);
            chunk.prompt_tokens = count(&json["usage"]["input_tokens"]);
        }
        _ => {}
    }
    chunk
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_says_its_text_and_its_end() {
        let read = |protocol, event: &str| decode(protocol, event).unwrap();
        let cut = read(
            Protocol::LlamaText,
            r#"{"content":"x","stop":true,"stop_type":"limit","truncated":true,"tokens_predicted":3}"#,
        );
        assert_eq!(cut.finish, Some(Finish::ContextFull));
        assert_eq!((cut.text.as_str(), cut.new_tokens), ("x", Some(3)));
        let old = read(
            Protocol::LlamaText,
            r#"{"content":"","stop":true,"stopped_word":true}"#,
        );
        assert_eq!(old.finish, Some(Finish::StopString));
        let chat = read(
            Protocol::OpenAiChat,
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}"#,
        );
        assert_eq!(chat, Chunk::default());
        let thinks = read(
            Protocol::OpenAiChat,
            r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#,
        );
        assert_eq!((thinks.thought.as_str(), thinks.text.as_str()), ("hm", ""));
        let ollama = read(
            Protocol::OllamaText,
            r#"{"response":" sea","done":true,"done_reason":"length","eval_count":9}"#,
        );
        assert_eq!(
            (ollama.finish, ollama.new_tokens),
            (Some(Finish::Length), Some(9))
        );
        let kobold = read(
            Protocol::KoboldText,
            r#"{"token":"a","finish_reason":null}"#,
        );
        assert_eq!((kobold.text.as_str(), kobold.finish), ("a", None));
        let claude = read(
            Protocol::AnthropicChat,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":4}}"#,
        );
        assert_eq!(claude.finish, Some(Finish::Complete));
    }

    #[test]
    fn each_choice_of_a_request_is_told_apart() {
        let event = r#"{"choices":[{"index":0,"text":"a","finish_reason":"stop"},{"index":2,"text":"c"}],"usage":{"completion_tokens":9}}"#;
        let of = |choice| decode_choice(Protocol::OpenAiText, event, choice).unwrap();
        assert_eq!(
            (of(0).text.as_str(), of(0).finish),
            ("a", Some(Finish::Complete))
        );
        assert_eq!((of(1).text.as_str(), of(1).finish), ("", None));
        assert_eq!((of(2).text.as_str(), of(2).finish), ("c", None));
        assert_eq!(of(1).new_tokens, Some(9));
    }

    #[test]
    fn thoughts_have_another_name_on_each_server() {
        use Protocol::{AnthropicChat, OllamaChat, OllamaText, OpenAiChat, OpenAiText};
        for (protocol, event) in [
            (
                OpenAiChat,
                r#"{"choices":[{"delta":{"reasoning_content":"hm","content":null}}]}"#,
            ),
            (
                OpenAiChat,
                r#"{"choices":[{"delta":{"reasoning":"hm","reasoning_content":"hm","content":""}}]}"#,
            ),
            (
                OpenAiChat,
                r#"{"choices":[{"message":{"reasoning":"hm","content":null}}]}"#,
            ),
            (OpenAiText, r#"{"choices":[{"text":"","reasoning":"hm"}]}"#),
            (
                OllamaText,
                r#"{"response":"","thinking":"hm","done":false}"#,
            ),
            (
                OllamaChat,
                r#"{"message":{"content":"","thinking":"hm"},"done":false}"#,
            ),
            (
                AnthropicChat,
                r#"{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"hm"}}"#,
            ),
            (
                AnthropicChat,
                r#"{"type":"message","content":[{"type":"thinking","thinking":"hm"}]}"#,
            ),
        ] {
            let chunk = decode(protocol, event).unwrap();
            assert_eq!(
                (chunk.thought.as_str(), chunk.text.as_str()),
                ("hm", ""),
                "{event}"
            );
        }
    }

    #[test]
    fn errors_come_in_every_shape() {
        for event in [
            r#"{"error":"out of memory"}"#,
            r#"{"error":{"message":"out of memory","code":500}}"#,
            r#"{"object":"error","message":"out of memory"}"#,
            r#"{"detail":"out of memory"}"#,
            r#"{"type":"error","error":{"type":"overloaded","message":"out of memory"}}"#,
        ] {
            let error = decode(Protocol::OpenAiText, event).unwrap_err();
            assert_eq!(error.as_deref(), Some("out of memory"), "{event}");
        }
        assert_eq!(decode(Protocol::OpenAiText, "<html>"), Err(None));
        assert_eq!(decode(Protocol::OpenAiText, "7"), Err(None));
    }
}
