//! Tests candidates that are written in parallel, from one shared stream or from a stream for each
//! candidate.

use super::*;
use serde_json::{Value, json};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

impl Heard {
    fn text_of(&self, node: NodeId) -> String {
        let events = self.events.borrow();
        let piece = |event: &Event| match event {
            Event::Piece { node: of, text, .. } if *of == node => Some(text.clone()),
            _ => None,
        };
        events.iter().filter_map(piece).collect()
    }

    /// The recorded endings: how each candidate except the last ended.
    fn ends(&self) -> Vec<(NodeId, Status)> {
        let events = self.events.borrow();
        let end = |event: &Event| match event {
            Event::Ended { node, status, .. } => Some((*node, *status)),
            _ => None,
        };
        let mut ends: Vec<(NodeId, Status)> = events.iter().filter_map(end).collect();
        ends.sort_by_key(|(node, _)| *node);
        ends
    }
}

/// A fake vLLM server that answers `/v1/completions` with a given function.
fn vllm(complete: impl Fn(&Value, &mut TcpStream) + Send + Sync + 'static) -> FakeServer {
    FakeServer::start(move |path, body, stream| match path {
        "/v1/models" => {
            let models = r#"{"data":[{"id":"tale","owned_by":"vllm","max_model_len":512}]}"#;
            json_answer(stream, 200, models);
        }
        "/version" => json_answer(stream, 200, r#"{"version":"0.32.0"}"#),
        "/tokenize" => {
            let words = body["prompt"].as_str().unwrap().split_whitespace().count();
            let ids: Vec<usize> = (1..=words).collect();
            json_answer(
                stream,
                200,
                &json!({"count": words, "tokens": ids}).to_string(),
            );
        }
        "/v1/completions" => complete(body, stream),
        _ => json_answer(stream, 404, "{}"),
    })
}

fn choice(index: usize, text: &str, finish: Option<&str>) -> String {
    json!({"choices":[{"index": index, "text": text, "finish_reason": finish}]}).to_string()
}

fn requests(count: u64) -> Vec<TextRequest> {
    let one = |at| TextRequest {
        node: 1 + at,
        seed: 100 + at,
        ..request("Once.")
    };
    (0..count).map(one).collect()
}

/// For a text from a shared request, returns the seed of the request, the position of the text in
/// it, and the number of texts requested. None if the text had its own request.
fn shared(stats: &story::message::PassageStats) -> Option<(u64, usize, usize)> {
    stats.shared.map(|it| (it.seed, it.number, it.of))
}

fn is_shared(body: &Value) -> bool {
    body["n"].as_u64().is_some_and(|n| n > 1)
}

#[test]
fn one_request_brings_all_candidates_side_by_side() {
    let server = vllm(|_, stream| {
        start_stream(stream);
        for (index, text, finish) in [
            (0, " The sea", None),
            (2, " Red", None),
            (1, " A sto", None),
            (0, " rose.", None),
            (1, "rm.", Some("length")),
            (2, " sails. THE END and more", None),
            (0, "", Some("stop")),
            (2, " and more", Some("stop")),
        ] {
            event(stream, &choice(index, text, finish));
        }
        event(
            stream,
            r#"{"choices":[],"usage":{"prompt_tokens":2,"completion_tokens":30}}"#,
        );
        event(stream, "[DONE]");
    });
    let mut asked = requests(3);
    for one in &mut asked {
        one.sampling.stop = vec![" THE END".to_string()];
    }
    let heard = Heard::default();
    let (last, stats) = connect(&server).candidates(&asked, &heard).unwrap();
    let texts = [1, 2, 3].map(|node| heard.text_of(node));
    assert_eq!(texts, [" The sea rose.", " A storm.", " Red sails."]);
    assert_eq!(heard.ends(), [(1, Status::Complete), (2, Status::Length)]);
    assert_eq!(last, Status::StopString);
    // The server's count for all three candidates must not be used for one.
    assert!(stats.new_tokens < 5, "{stats:?}");
    // Only the first candidate's seed was sent.
    assert_eq!(shared(&stats), Some((100, 3, 3)));
    let sent = server.bodies("/v1/completions");
    assert_eq!((sent.len(), &sent[0]["n"]), (1, &json!(3)));
    assert_eq!(heard.warnings().matches("cannot use").count(), 1);
}

#[test]
fn a_server_that_writes_fewer_texts_than_asked_is_asked_for_the_rest() {
    for refuses in [false, true] {
        let server = vllm(move |body, stream| {
            if refuses && is_shared(body) {
                return json_answer(stream, 400, r#"{"error":"n must be 1"}"#);
            }
            start_stream(stream);
            let text = format!(" Seed {}.", body["seed"]);
            event(stream, &choice(0, &text, None));
            event(stream, &choice(0, "", Some("stop")));
            event(stream, "[DONE]");
        });
        let heard = Heard::default();
        let (last, stats) = connect(&server).candidates(&requests(3), &heard).unwrap();
        let texts = [1, 2, 3].map(|node| heard.text_of(node));
        assert_eq!(texts, [" Seed 100.", " Seed 101.", " Seed 102."]);
        assert_eq!((last, shared(&stats)), (Status::Complete, None));
    }
}

#[test]
fn a_banned_phrase_in_one_candidate_is_asked_for_again_alone() {
    let server = vllm(|body, stream| {
        if body["stream"] == false {
            let other = r#"{"choices":[{"index":0,"text":" chills","finish_reason":"length"}]}"#;
            return json_answer(stream, 200, other);
        }
        start_stream(stream);
        match is_shared(body) {
            true => {
                event(stream, &choice(0, " It sent", None));
                event(stream, &choice(1, " It rained.", None));
                event(stream, &choice(0, " shivers", None));
                event(stream, &choice(0, " down", None));
                event(stream, &choice(1, "", Some("stop")));
            }
            false => {
                event(stream, &choice(0, " up.", None));
                event(stream, &choice(0, "", Some("stop")));
            }
        }
        event(stream, "[DONE]");
    });
    let mut asked = requests(2);
    for one in &mut asked {
        one.bans = vec![sampler::Ban::parse("shivers down").unwrap()];
    }
    let heard = Heard::default();
    connect(&server).candidates(&asked, &heard).unwrap();
    assert_eq!(heard.text_of(1), " It sent chills up.");
    assert_eq!(heard.text_of(2), " It rained.");
    assert_eq!(server.bodies("/v1/completions").len(), 3);
}

#[test]
fn the_failure_of_one_candidate_does_not_cost_the_others() {
    let server = llama_server(|body, stream| {
        if body["seed"] == 101 {
            return json_answer(stream, 500, r#"{"error":"out of memory"}"#);
        }
        start_stream(stream);
        event(stream, &llama_piece(&format!(" Seed {}", body["seed"])));
        if body["seed"] == 102 {
            return;
        }
        event(stream, r#"{"content":".","stop":true,"stop_type":"eos"}"#);
    });
    let heard = Heard::default();
    let (last, _) = connect(&server).candidates(&requests(4), &heard).unwrap();
    let texts = [1, 2, 3, 4].map(|node| heard.text_of(node));
    assert_eq!(texts, [" Seed 100.", "", " Seed 102", " Seed 103."]);
    let ends = [
        (1, Status::Complete),
        (2, Status::Failed),
        (3, Status::Interrupted),
    ];
    assert_eq!((heard.ends(), last), (ends.to_vec(), Status::Complete));
    assert_eq!(heard.warnings().matches("out of memory").count(), 1);
    // The failed candidate may also be the last.
    let mut asked = requests(2);
    asked.swap(0, 1);
    let heard = Heard::default();
    let (last, _) = connect(&server).candidates(&requests(2), &heard).unwrap();
    assert_eq!(
        (heard.ends(), last),
        (vec![(1, Status::Complete)], Status::Failed)
    );
}

#[test]
fn if_all_candidates_fail_the_request_fails() {
    let server = llama_server(|_, stream| json_answer(stream, 500, r#"{"error":"no memory"}"#));
    let heard = Heard::default();
    let failure = connect(&server)
        .candidates(&requests(3), &heard)
        .unwrap_err();
    assert!(failure.why.contains("no memory"), "{}", failure.why);
    assert_eq!((heard.ends(), heard.warnings()), (vec![], String::new()));
}

#[test]
fn a_stop_ends_all_candidates_and_keeps_what_came() {
    for shared in [true, false] {
        let answer = move |body: &Value, stream: &mut TcpStream| {
            start_stream(stream);
            match shared {
                true => {
                    event(stream, &choice(0, " One", None));
                    event(stream, &choice(1, " Two", None));
                }
                false => event(stream, &llama_piece(&format!(" Seed{}", body["seed"]))),
            }
            std::thread::sleep(Duration::from_secs(20));
        };
        let server = match shared {
            true => vllm(answer),
            false => llama_server(answer),
        };
        let heard = Heard {
            stop_after: Some(2),
            ..Heard::default()
        };
        let mut patient = Network::default();
        patient.limits.between = Duration::from_secs(60);
        let remote = Remote::connect(target(&server, None), &patient, &Heard::default());
        let began = Instant::now();
        let (last, _) = remote.unwrap().candidates(&requests(2), &heard).unwrap();
        assert!(began.elapsed() < Duration::from_secs(10));
        assert_eq!(
            (heard.ends(), last),
            (vec![(1, Status::Stopped)], Status::Stopped)
        );
        assert!(!heard.text_of(1).is_empty() && !heard.text_of(2).is_empty());
    }
}

#[test]
fn requests_run_at_once_only_where_the_server_takes_that() {
    for (flavour, most) in [(Flavour::LlamaServer, 3), (Flavour::KoboldCpp, 1)] {
        let (now, highest) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count, seen) = (now.clone(), highest.clone());
        let server = llama_server(move |_, stream| {
            seen.fetch_max(count.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let began = Instant::now();
            // Waits for the other requests, if any.
            while seen.load(Ordering::SeqCst) < most && began.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(5));
            }
            count.fetch_sub(1, Ordering::SeqCst);
            start_stream(stream);
            event(
                stream,
                r#"{"content":" It.","token":" It.","finish_reason":"stop","stop":true}"#,
            );
        });
        let asked = target(&server, Some(flavour));
        let mut remote = Remote::connect(asked, &quick(), &Heard::default()).unwrap();
        let heard = Heard::default();
        remote.candidates(&requests(3), &heard).unwrap();
        assert_eq!(heard.text(), " It. It. It.", "{flavour:?}");
        assert_eq!(highest.load(Ordering::SeqCst), most, "{flavour:?}");
    }
}
