//! A request for text, converted to the form that each protocol expects.

use super::events::Framing;
use super::flavour::{Flavour, Prefill, Protocol};
use super::samplers::fields;
use sampler::Sampling;
use serde_json::{Map, Value, json};

/// A request to a model server for text.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    pub model: &'a str,
    pub prompt: Prompt,
    pub sampling: &'a Sampling,
    pub seed: u64,
    /// The maximum number of tokens that the model may write.
    pub most: usize,
    pub stop: Vec<String>,
    /// The number of most likely tokens that the server should report at each position.
    pub likely: usize,
    /// The ids of tokens to make more or less likely, each with the amount added to the token's
    /// logit.
    pub bias: Vec<(u32, f32)>,
    /// The phrases that the model must never write. Only some servers ban phrases themselves.
    pub banned: Vec<String>,
    /// The number of texts that one request should return, if the server supports more than one.
    pub choices: usize,
    /// The size of the context in tokens, for servers that take this size from the request.
    pub context: usize,
    pub stream: bool,
}

/// The text or conversation to be continued.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    Text(String),
    /// Messages that the server renders with its chat template. If `open` is true, the last message
    /// is the beginning of the model's message, which the model continues.
    Turns {
        turns: Vec<Turn>,
        open: bool,
    },
}

/// A message in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The role of the message's author: `system`, `user` or `assistant`.
    pub role: &'static str,
    pub text: String,
}

/// An HTTP request to a model server, and the form of its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub path: &'static str,
    pub body: Value,
    pub framing: Framing,
    pub protocol: Protocol,
}

/// The maximum number of stop strings in a request to a server that limits this number.
const STOPS: usize = 4;

/// Converts `ask` to the HTTP request that a server of the given flavour expects.
pub fn call(flavour: Flavour, ask: &Ask) -> Call {
    let protocol = match &ask.prompt {
        Prompt::Text(_) => flavour.prose().unwrap_or(Protocol::OpenAiText),
        Prompt::Turns { .. } => flavour.chat(),
    };
    let sampling = fields(flavour, protocol, ask.sampling, ask.seed, ask.context);
    let (path, body, framing) = match protocol {
        Protocol::LlamaText => ("/completion", llama(ask, sampling), Framing::Sse),
        Protocol::OpenAiText => (
            "/v1/completions",
            open_ai(flavour, ask, sampling),
            Framing::Sse,
        ),
        Protocol::OpenAiChat => (
            "/v1/chat/completions",
            open_ai(flavour, ask, sampling),
            Framing::Sse,
        ),
        Protocol::OllamaText => ("/api/generate", ollama(ask, sampling), Framing::Lines),
        Protocol::OllamaChat => ("/api/chat", ollama(ask, sampling), Framing::Lines),
        Protocol::KoboldText => (
            "/api/extra/generate/stream",
            kobold(ask, sampling),
            Framing::Sse,
        ),
        Protocol::AnthropicChat => ("/v1/messages", anthropic(ask, sampling), Framing::Sse),
    };
    Call {
        path,
        body: Value::Object(body),
        framing,
        protocol,
    }
}

type Fields = Map<String, Value>;

fn llama(ask: &Ask, mut body: Fields) -> Fields {
    body.insert("prompt".into(), prompt_text(ask));
    body.insert("n_predict".into(), json!(ask.most));
    body.insert("stop".into(), json!(ask.stop));
    body.insert("stream".into(), json!(ask.stream));
    body.insert("cache_prompt".into(), json!(true));
    body.insert("return_progress".into(), json!(ask.stream));
    if ask.likely > 0 {
        body.insert("n_probs".into(), json!(ask.likely));
    }
    if !ask.bias.is_empty() {
        body.insert("logit_bias".into(), json!(ask.bias));
    }
    body
}

fn open_ai(flavour: Flavour, ask: &Ask, mut body: Fields) -> Fields {
    body.insert("model".into(), json!(ask.model));
    match &ask.prompt {
        Prompt::Text(text) => _ = body.insert("prompt".into(), json!(text)),
        Prompt::Turns { turns, open } => {
            body.insert("messages".into(), messages(turns));
            if *open && flavour.prefill() == Prefill::Flag {
                body.insert("continue_final_message".into(), json!(true));
                body.insert("add_generation_prompt".into(), json!(false));
            }
        }
    }
    let most = match flavour {
        Flavour::OpenAi => "max_completion_tokens",
        _ => "max_tokens",
    };
    body.insert(most.into(), json!(ask.most));
    body.insert("stream".into(), json!(ask.stream));
    if ask.choices > 1 {
        body.insert("n".into(), json!(ask.choices));
    }
    if flavour == Flavour::LlamaServer {
        body.insert("cache_prompt".into(), json!(true));
        body.insert("return_progress".into(), json!(ask.stream));
    }
    // The strictest of these servers refuses unknown fields.
    let strict = flavour == Flavour::TransformersServe;
    let hosted = matches!(
        flavour,
        Flavour::OpenAi | Flavour::OpenRouter | Flavour::LiteLlm
    );
    if !strict && !ask.stop.is_empty() {
        let most = if hosted { STOPS } else { ask.stop.len() };
        let stop: Vec<&String> = ask.stop.iter().take(most).collect();
        body.insert("stop".into(), json!(stop));
    }
    if ask.stream && !strict && flavour != Flavour::LlamaCppPython {
        body.insert("stream_options".into(), json!({"include_usage": true}));
    }
    if ask.likely > 0 {
        match &ask.prompt {
            Prompt::Text(_) => _ = body.insert("logprobs".into(), json!(ask.likely)),
            Prompt::Turns { .. } => {
                body.insert("logprobs".into(), json!(true));
                body.insert("top_logprobs".into(), json!(ask.likely));
            }
        }
    }
    if !ask.bias.is_empty() {
        // The range that all these servers accept.
        let row = |(id, by): &(u32, f32)| (id.to_string(), json!(by.clamp(-100.0, 100.0)));
        let rows: Fields = ask.bias.iter().map(row).collect();
        body.insert("logit_bias".into(), Value::Object(rows));
    }
    body
}

fn ollama(ask: &Ask, mut options: Fields) -> Fields {
    options.insert("num_predict".into(), json!(ask.most));
    options.insert("stop".into(), json!(ask.stop));
    if ask.context > 0 {
        // Ollama's default is small, and it silently drops the beginning of a longer prompt.
        options.insert("num_ctx".into(), json!(ask.context));
    }
    let mut body = Map::new();
    body.insert("model".into(), json!(ask.model));
    match &ask.prompt {
        Prompt::Text(text) => {
            body.insert("prompt".into(), json!(text));
            body.insert("raw".into(), json!(true));
        }
        Prompt::Turns { turns, .. } => _ = body.insert("messages".into(), messages(turns)),
    }
    body.insert("stream".into(), json!(ask.stream));
    body.insert("options".into(), Value::Object(options));
    body
}

fn kobold(ask: &Ask, mut body: Fields) -> Fields {
    body.insert("prompt".into(), prompt_text(ask));
    body.insert("max_length".into(), json!(ask.most));
    body.insert("stop_sequence".into(), json!(ask.stop));
    body.insert("trim_stop".into(), json!(true));
    if !ask.banned.is_empty() {
        body.insert("banned_tokens".into(), json!(ask.banned));
    }
    if ask.context > 0 {
        body.insert("max_context_length".into(), json!(ask.context));
    }
    body
}

fn anthropic(ask: &Ask, mut body: Fields) -> Fields {
    body.insert("model".into(), json!(ask.model));
    body.insert("max_tokens".into(), json!(ask.most));
    body.insert("stream".into(), json!(ask.stream));
    if let Prompt::Turns { turns, .. } = &ask.prompt {
        let system: Vec<&str> = turns
            .iter()
            .filter(|turn| turn.role == "system")
            .map(|turn| turn.text.as_str())
            .collect();
        if !system.is_empty() {
            body.insert("system".into(), json!(system.join("\n\n")));
        }
        let said: Vec<Turn> = turns
            .iter()
            .filter(|turn| turn.role != "system")
            .cloned()
            .collect();
        body.insert("messages".into(), messages(&said));
    }
    // Anthropic refuses stop strings that are only white space.
    let stop: Vec<&String> = ask.stop.iter().filter(|it| !it.trim().is_empty()).collect();
    if !stop.is_empty() {
        body.insert("stop_sequences".into(), json!(stop));
    }
    body
}

fn prompt_text(ask: &Ask) -> Value {
    match &ask.prompt {
        Prompt::Text(text) => json!(text),
        Prompt::Turns { turns, .. } => {
            let texts: Vec<&str> = turns.iter().map(|turn| turn.text.as_str()).collect();
            json!(texts.join("\n"))
        }
    }
}

fn messages(turns: &[Turn]) -> Value {
    let message = |turn: &Turn| json!({"role": turn.role, "content": turn.text});
    Value::Array(turns.iter().map(message).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(prompt: Prompt, sampling: &Sampling) -> Ask<'_> {
        Ask {
            model: "m",
            prompt,
            sampling,
            seed: 5,
            most: 20,
            stop: vec!["\n".into(), "THE END".into()],
            likely: 0,
            bias: vec![(7, -200.0)],
            banned: vec!["a testament to".into()],
            choices: 1,
            context: 4096,
            stream: true,
        }
    }

    #[test]
    fn each_flavour_is_asked_in_its_own_words() {
        let sampling = Sampling::default();
        let text = || Prompt::Text("Once".into());
        let sent = |flavour| call(flavour, &ask(text(), &sampling));
        let llama = sent(Flavour::LlamaServer);
        assert_eq!(
            (llama.path, &llama.body["n_predict"]),
            ("/completion", &json!(20))
        );
        let ollama = sent(Flavour::Ollama);
        assert_eq!(ollama.body["raw"], json!(true));
        assert_eq!(ollama.body["options"]["num_ctx"], json!(4096));
        assert_eq!(ollama.framing, Framing::Lines);
        let strict = sent(Flavour::TransformersServe);
        assert!(strict.body.get("stop").is_none() && strict.body.get("stream_options").is_none());
        let kobold = sent(Flavour::KoboldCpp);
        assert_eq!(kobold.body["banned_tokens"], json!(["a testament to"]));
        assert_eq!(sent(Flavour::Vllm).body["logit_bias"], json!({"7": -100.0}));
        assert!(sent(Flavour::Vllm).body.get("n").is_none());
        let several = Ask {
            choices: 3,
            ..ask(text(), &sampling)
        };
        assert_eq!(call(Flavour::Vllm, &several).body["n"], json!(3));
    }

    #[test]
    fn a_message_of_the_model_is_continued_where_the_server_can() {
        let sampling = Sampling::chat();
        let turns = vec![
            Turn {
                role: "system",
                text: "Be brief.".into(),
            },
            Turn {
                role: "user",
                text: "Hi".into(),
            },
            Turn {
                role: "assistant",
                text: "Well,".into(),
            },
        ];
        let prompt = Prompt::Turns { turns, open: true };
        let vllm = call(Flavour::Vllm, &ask(prompt.clone(), &sampling));
        assert_eq!(vllm.body["continue_final_message"], json!(true));
        let anthropic = call(Flavour::Anthropic, &ask(prompt, &sampling));
        assert_eq!(anthropic.body["system"], json!("Be brief."));
        assert_eq!(anthropic.body["messages"].as_array().unwrap().len(), 2);
        assert_eq!(anthropic.body["stop_sequences"], json!(["THE END"]));
    }
}
