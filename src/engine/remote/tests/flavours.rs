//! Tests that each flavour is detected, and that its requests and answers have the right format.

use super::*;
use serde_json::json;

fn written(remote: &mut Remote, asked: &TextRequest) -> (Status, String) {
    let heard = Heard::default();
    let (status, _) = remote.write(asked, &heard).unwrap();
    (status, heard.text())
}

#[test]
fn ollama_answers_a_line_at_a_time() {
    let server = FakeServer::start(|path, _, stream| {
        let tags =
            r#"{"models":[{"name":"qwen3:latest","digest":"d1"},{"name":"b","digest":"d2"}]}"#;
        let shown = r#"{"model_info":{"qwen3.context_length":40960}}"#;
        let text = concat!(
            "{\"response\":\" The\",\"done\":false}\n{\"response\":\" sea.\",\"done\":false}\n",
            "{\"response\":\"\",\"done\":true,\"done_reason\":\"stop\",\"eval_count\":2,\"prompt_eval_count\":5}\n"
        );
        match path {
            "/v1/models" => {
                let models = r#"{"data":[{"id":"qwen3:latest","owned_by":"library"}]}"#;
                json_answer(stream, 200, models);
            }
            "/api/tags" => json_answer(stream, 200, tags),
            "/api/ps" => json_answer(stream, 200, "{}"),
            "/api/show" => json_answer(stream, 200, shown),
            "/api/generate" => json_answer(stream, 200, text),
            _ => json_answer(stream, 404, "404 page not found"),
        }
    });
    let mut asked = target(&server, None);
    asked.address.model = Some("qwen3".to_string());
    let mut remote = Remote::connect(asked, &quick(), &Heard::default()).unwrap();
    assert!(remote.about().backend.starts_with("ollama at"));
    assert_eq!(remote.about().context, 8192);
    let (status, text) = written(&mut remote, &request("Once."));
    assert_eq!((status, text.as_str()), (Status::Complete, " The sea."));
    let sent = server.bodies("/api/generate").pop().unwrap();
    assert_eq!(
        (&sent["raw"], &sent["options"]["num_ctx"]),
        (&json!(true), &json!(8192))
    );
    let mut wrong = target(&server, None);
    wrong.address.model = Some("none-such".to_string());
    let why = match Remote::connect(wrong, &quick(), &Heard::default()) {
        Err(NotConnected::Failed(why)) => why,
        _ => panic!("there is no such model"),
    };
    assert!(
        why.contains("none-such") && why.contains("qwen3:latest"),
        "{why}"
    );
}

#[test]
fn koboldcpp_answers_in_tokens() {
    let server = FakeServer::start(|path, _, stream| match path {
        "/v1/models" => {
            let models = r#"{"data":[{"id":"koboldcpp/tale","owned_by":"koboldcpp"}]}"#;
            json_answer(stream, 200, models);
        }
        "/api/extra/true_max_context_length" => json_answer(stream, 200, r#"{"value":2048}"#),
        "/api/extra/tokencount" => json_answer(stream, 200, r#"{"value":3,"ids":[1,2,3]}"#),
        "/api/extra/generate/stream" => {
            start_stream(stream);
            for (token, why) in [(" The", "null"), (" sea", "\"length\"")] {
                let data = format!(r#"{{"token":"{token}","finish_reason":{why}}}"#);
                stream
                    .write_all(format!("event: message\ndata: {data}\n\n").as_bytes())
                    .unwrap();
            }
        }
        _ => json_answer(stream, 404, "{}"),
    });
    let mut remote = connect(&server);
    assert_eq!(remote.about().context, 2048);
    let (status, text) = written(&mut remote, &request("Once."));
    assert_eq!((status, text.as_str()), (Status::Length, " The sea"));
    let sent = server.bodies("/api/extra/generate/stream").pop().unwrap();
    assert_eq!(
        (&sent["rep_pen"], &sent["sampler_seed"]),
        (&json!(1.0), &json!(8))
    );
}

#[test]
fn a_service_that_only_chats_continues_prose_by_an_instruction() {
    let server = FakeServer::start(|path, _, stream| match path {
        "/v1/models" => json_answer(stream, 200, r#"{"data":[{"id":"claude"}]}"#),
        "/v1/messages" => {
            start_stream(stream);
            for data in [
                r#"{"type":"message_start","message":{"usage":{"input_tokens":9}}}"#,
                r#"{"type":"ping"}"#,
                r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"It rose"}}"#,
                r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":" high."}}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":4}}"#,
                r#"{"type":"message_stop"}"#,
            ] {
                event(stream, data);
            }
        }
        _ => json_answer(stream, 404, "{}"),
    });
    let mut asked = target(&server, Some(Flavour::Anthropic));
    asked.key = KeySource::Known(Key::new("sk-ant").unwrap());
    let named = Remote::connect(asked.clone(), &quick(), &Heard::default());
    assert!(matches!(named, Err(NotConnected::Failed(why)) if why.contains("name one")));
    asked.address.model = Some("claude".to_string());
    let mut remote = Remote::connect(asked, &quick(), &Heard::default()).unwrap();
    assert!(
        remote
            .about()
            .note
            .as_ref()
            .unwrap()
            .contains("by an instruction")
    );
    let (status, text) = written(&mut remote, &request("The sea was dark."));
    assert_eq!(
        (status, text.as_str()),
        (Status::Complete, " It rose high.")
    );
    let sent = server.bodies("/v1/messages").pop().unwrap();
    assert!(
        sent["system"]
            .as_str()
            .unwrap()
            .contains("continue stories")
    );
    assert!(
        server
            .heads()
            .iter()
            .all(|head| head.contains("x-api-key: sk-ant"))
    );
}

#[test]
fn a_chat_goes_through_the_servers_template_and_thoughts_are_left_out() {
    let server = llama_server(|_, stream| {
        start_stream(stream);
        for piece in ["<think>", "hm</think>", "\n\nBlue", " it is."] {
            event(
                stream,
                &json!({"choices":[{"index":0,"delta":{"content":piece}}]}).to_string(),
            );
        }
        event(
            stream,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        );
        event(stream, "[DONE]");
    });
    let said = |role, text: &str| story::context::Message {
        role,
        parts: vec![ContextPart::plain(
            PartKind::Story { node: 0, from: 0 },
            text,
        )],
    };
    use story::context::Role;
    let mut asked = request("");
    asked.context = Context::Chat {
        messages: vec![
            said(Role::System, "Be brief."),
            said(Role::User, "Which colour?"),
        ],
        open: false,
    };
    let (status, text) = written(&mut connect(&server), &asked);
    assert_eq!((status, text.as_str()), (Status::Complete, "Blue it is."));
    let sent = server.bodies("/v1/chat/completions").pop().unwrap();
    assert_eq!(sent["messages"][1]["content"], "Which colour?");
    assert_eq!(sent["repeat_penalty"], json!(1.0));
}

#[test]
fn the_settings_that_a_server_cannot_use_are_named_as_the_writer_sets_them() {
    for flavour in Flavour::ALL {
        for name in ::remote::unsupported(flavour) {
            let known = story::sampling::SETTINGS.iter().any(|row| row.name == name);
            assert!(known, "{flavour:?}: {name}");
        }
    }
}

#[test]
fn a_prompt_is_read_ahead_on_this_machine_in_prose_and_in_a_chat() {
    let server = llama_server(|_, stream| {
        json_answer(stream, 200, r#"{"content":"","choices":[],"stop":true}"#);
    });
    let mut remote = connect(&server);
    assert!(remote.capabilities().prefetch);
    remote.prefetch(&request("Once."), &Heard::default());
    let mut chats = request("");
    chats.context = turn("Who are you?");
    remote.prefetch(&chats, &Heard::default());
    let prose = server.bodies("/completion").pop().unwrap();
    assert_eq!(
        (
            &prose["n_predict"],
            &prose["cache_prompt"],
            &prose["stream"]
        ),
        (&json!(0), &json!(true), &json!(false))
    );
    let chat = server.bodies("/v1/chat/completions").pop().unwrap();
    assert_eq!(
        (&chat["max_tokens"], &chat["cache_prompt"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(chat["messages"][0]["content"], "Who are you?");
}

#[test]
fn the_progress_of_a_prompt_is_reported_in_prose_and_in_a_chat() {
    let server = llama_server(|_, stream| {
        start_stream(stream);
        let progress = json!({"total": 400, "cache": 100, "processed": 250});
        event(
            stream,
            &json!({"choices": [], "content": "", "prompt_progress": progress}).to_string(),
        );
        let end = r#"{"choices":[{"index":0,"delta":{"content":"It."},"finish_reason":"stop"}],"content":" It.","stop":true,"stop_type":"eos"}"#;
        event(stream, end);
    });
    let mut remote = connect(&server);
    for context in [request("Once.").context, turn("Go on.")] {
        let asked = TextRequest {
            context,
            ..request("")
        };
        let heard = Heard::default();
        remote.write(&asked, &heard).unwrap();
        let read = |event: &Event| {
            matches!(
                event,
                Event::Prefill {
                    done: 250,
                    total: 400,
                    reused: 100,
                    ..
                }
            )
        };
        assert!(heard.events.borrow().iter().any(read));
    }
    let sent = server.bodies("/v1/chat/completions").pop().unwrap();
    assert_eq!(sent["return_progress"], json!(true));
}

/// A fake vLLM server whose tokens are words. Each token has a lower log-probability than the token
/// before it.
fn echoing() -> FakeServer {
    FakeServer::start(|path, body, stream| match path {
        "/v1/models" => {
            let models = r#"{"data":[{"id":"tale","owned_by":"vllm","max_model_len":512}]}"#;
            json_answer(stream, 200, models);
        }
        "/version" => json_answer(stream, 200, r#"{"version":"0.32.0"}"#),
        "/tokenize" => json_answer(stream, 200, r#"{"count":3,"tokens":[1,2,3]}"#),
        "/v1/completions" => {
            let prompt = body["prompt"].as_str().unwrap();
            let tokens: Vec<&str> = prompt.split_inclusive(' ').collect();
            let rows = 0..tokens.len();
            let values: Vec<f64> = rows.clone().map(|at| -(at as f64)).collect();
            let likely: Vec<_> = rows
                .map(|at| json!({tokens[at]: -(at as f64), "fog ": -0.1}))
                .collect();
            let logprobs =
                json!({"tokens": tokens, "token_logprobs": values, "top_logprobs": likely});
            let answer = json!({"choices": [{"text": prompt, "logprobs": logprobs}]});
            json_answer(stream, 200, &answer.to_string());
        }
        "/v1/chat/completions" => {
            let row = |id: u32, text: &str, at: f64| json!({"logprob": at, "rank": id, "decoded_token": text});
            let places = json!([
                null,
                {"7": row(2, "assistant\n", -1.5), "1": row(1, "user", -0.5)},
                {"5": row(1, "the ", -0.25)},
                {"6": row(3, "sea", -2.0), "1": row(1, "fog", -0.1)},
            ]);
            let answer =
                json!({"choices": [{"message": {"content": "x"}}], "prompt_logprobs": places});
            json_answer(stream, 200, &answer.to_string());
        }
        _ => json_answer(stream, 404, "{}"),
    })
}

#[test]
fn vllm_scores_an_answer_in_a_conversation() {
    let server = echoing();
    let mut remote = connect(&server);
    let passage = story::message::WrittenPassage {
        text: "the sea".to_string(),
        ..Default::default()
    };
    let mut asked = request("");
    asked.context = turn("What do you see?");
    let score = remote.score(&asked, &passage, 0.0, &Heard::default());
    let score = score.unwrap().unwrap();
    let tokens = score.tokens.iter();
    let tokens: Vec<(usize, f64)> = tokens.map(|it| (it.bytes, it.log_probability)).collect();
    assert_eq!((tokens, score.lead), (vec![(4, -0.25), (3, -2.0)], 0));
    let sent = server.bodies("/v1/chat/completions").pop().unwrap();
    assert_eq!(
        sent["messages"][1],
        json!({"role": "assistant", "content": "the sea"})
    );
    for (name, value) in [
        ("continue_final_message", json!(true)),
        ("add_generation_prompt", json!(false)),
        ("prompt_logprobs", json!(20)),
        ("max_tokens", json!(1)),
    ] {
        assert_eq!(sent[name], value, "{name}");
    }
}

#[test]
fn vllm_scores_a_written_passage_in_one_request() {
    let server = echoing();
    let mut remote = connect(&server);
    let passage = story::message::WrittenPassage {
        text: "the sea fell".to_string(),
        ..Default::default()
    };
    let mut asked = request("Once upon ");
    asked.sampling.min_p = 0.03;
    asked.sampling.temperature = 1.0;
    asked.sampling.dry_multiplier = 0.0;
    let heard = Heard::default();
    let score = remote
        .score(&asked, &passage, 0.0, &heard)
        .unwrap()
        .unwrap();
    let tokens: Vec<(usize, f64, Option<bool>)> = score
        .tokens
        .iter()
        .map(|token| (token.bytes, token.log_probability, token.admissible))
        .collect();
    assert_eq!(
        tokens,
        [
            (4, -2.0, Some(true)),
            (4, -3.0, Some(true)),
            (4, -4.0, Some(false))
        ]
    );
    assert_eq!(score.lead, 0);
    assert_eq!(score.tokens[2].likelier.as_deref(), Some("fog "));
    let slack = remote
        .score(&asked, &passage, 0.5, &heard)
        .unwrap()
        .unwrap();
    assert_eq!(slack.tokens[2].admissible, Some(true));
    // A penalty on likelier tokens may make the last one admissible.
    let mut penalized = asked.clone();
    penalized.sampling.dry_multiplier = 0.8;
    let unsure = remote.score(&penalized, &passage, 0.0, &heard);
    let unsure = unsure.unwrap().unwrap().tokens;
    let admissible = [1, 2].map(|place| unsure[place].admissible);
    assert_eq!(admissible, [Some(true), None]);
    let sent = server.bodies("/v1/completions").pop().unwrap();
    assert_eq!(sent["prompt"], "Once upon the sea fell");
    assert_eq!(
        (&sent["echo"], &sent["max_tokens"], &sent["stream"]),
        (&json!(true), &json!(0), &json!(false))
    );
    let server = fake::llama_server(|_, stream| json_answer(stream, 200, "{}"));
    let why = connect(&server)
        .score(&asked, &passage, 0.0, &heard)
        .unwrap_err()
        .why;
    assert!(why.starts_with("llama-server cannot compute"), "{why}");
}
