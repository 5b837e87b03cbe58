//! Tests the remote backend with fake servers that behave well, are broken, or are hostile.

mod bans;
mod candidates;
mod fake;
mod flavours;
mod refusals;
mod routers;
mod thoughts;

use super::settings::Target;
use super::*;
use ::remote::{Address, Key, Limits, Network};
use base::progress::Cancelled;
use fake::{FakeServer, event, json_answer, llama_piece, llama_server, start_stream};
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::time::{Duration, Instant};
use story::context::{Context, ContextPart, PartKind};
use story::message::{LengthGoal, Overflow};
use story::{Event, Sampling, Status};

/// A listener that records a request's events, and that can stop the request after a number of
/// pieces.
#[derive(Default)]
struct Heard {
    events: RefCell<Vec<Event>>,
    stop_after: Option<usize>,
    stopped: Cell<bool>,
}

impl Observer for Heard {
    fn progress(&self, _: &str, _: u64, _: Option<u64>) {}

    fn check(&self) -> Result<(), Cancelled> {
        match self.stopped.get() {
            true => Err(Cancelled),
            false => Ok(()),
        }
    }
}

impl Listener for Heard {
    fn tell(&self, event: Event) -> bool {
        self.events.borrow_mut().push(event);
        let pieces = self.pieces().len();
        self.stopped
            .set(self.stop_after.is_some_and(|after| pieces >= after));
        true
    }
}

impl Heard {
    fn pieces(&self) -> Vec<String> {
        let events = self.events.borrow();
        let piece = |event: &Event| match event {
            Event::Piece { text, .. } => Some(text.clone()),
            _ => None,
        };
        events.iter().filter_map(piece).collect()
    }

    fn text(&self) -> String {
        self.pieces().concat()
    }

    fn warnings(&self) -> String {
        let events = self.events.borrow();
        let warning = |event: &Event| match event {
            Event::Warned(why) => Some(why.clone()),
            _ => None,
        };
        events
            .iter()
            .filter_map(warning)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

fn quick() -> Network {
    let limits = Limits {
        connect: Duration::from_secs(5),
        answer: Duration::from_secs(5),
        first: Duration::from_millis(1500),
        between: Duration::from_millis(700),
    };
    Network {
        limits,
        ..Network::default()
    }
}

fn target(server: &FakeServer, flavour: Option<Flavour>) -> Target {
    Target {
        address: Address::parse(&server.root).unwrap(),
        flavour,
        key: KeySource::Nowhere,
        context: None,
        certificates: None,
    }
}

fn connect(server: &FakeServer) -> Remote {
    Remote::connect(target(server, None), &quick(), &Heard::default()).unwrap()
}

fn request(text: &str) -> TextRequest {
    let kind = PartKind::Story { node: 0, from: 0 };
    TextRequest {
        node: 1,
        context: Context::Prose {
            parts: vec![ContextPart::plain(kind, text)],
            after: String::new(),
        },
        sampling: Sampling::default(),
        seed: 7,
        overflow: Overflow::Crop,
        goal: LengthGoal::Exact,
        bans: Vec::new(),
        heal: true,
        begin: Vec::new(),
        retrieval: None,
    }
}

/// A chat that consists of one message by the writer.
fn turn(text: &str) -> Context {
    let kind = PartKind::Story { node: 0, from: 0 };
    Context::Chat {
        messages: vec![story::context::Message {
            role: story::context::Role::User,
            parts: vec![ContextPart::plain(kind, text)],
        }],
        open: false,
    }
}

#[test]
fn a_server_writes_a_passage() {
    let server = llama_server(|_, stream| {
        start_stream(stream);
        event(stream, &llama_piece(" The sea"));
        event(stream, &llama_piece(" rose."));
        let end = r#"{"content":"","stop":true,"stop_type":"eos","tokens_predicted":4,"tokens_evaluated":9,"timings":{"cache_n":5,"prompt_ms":12.5}}"#;
        event(stream, end);
    });
    let mut remote = connect(&server);
    let about = remote.about().clone();
    assert_eq!((about.name.as_str(), about.context), ("tale", 512));
    assert_eq!(about.sha256.len(), 64);
    assert!(
        about
            .backend
            .starts_with("llama-server at http://127.0.0.1")
    );
    assert!(remote.capabilities().exact_token_counts && !remote.capabilities().reproducible);
    assert_eq!(connect(&server).about().sha256, about.sha256);
    let heard = Heard::default();
    let (status, stats) = remote.write(&request("Once. "), &heard).unwrap();
    // The space at the end of the prompt is not repeated.
    assert_eq!(heard.text(), "The sea rose.");
    assert_eq!(status, Status::Complete);
    assert_eq!(
        (stats.prompt_tokens, stats.reused, stats.new_tokens),
        (9, 5, 4)
    );
    assert_eq!(heard.warnings(), "");
    let asked = server.bodies("/completion").pop().unwrap();
    assert_eq!(
        (&asked["prompt"], &asked["dry_multiplier"]),
        (&"Once.".into(), &0.8.into())
    );
}

#[test]
fn a_server_that_is_gone_leaves_an_interrupted_passage() {
    let server = llama_server(|_, stream| {
        start_stream(stream);
        event(stream, &llama_piece(" The sea"));
        event(stream, &llama_piece(" ro"));
    });
    let heard = Heard::default();
    let (status, _) = connect(&server).write(&request("Once."), &heard).unwrap();
    assert_eq!(
        (status, heard.text().as_str()),
        (Status::Interrupted, " The sea ro")
    );
    assert!(
        heard.warnings().contains("ended before the text did"),
        "{}",
        heard.warnings()
    );
}

#[test]
fn an_error_in_mid_stream_keeps_the_text_and_says_the_error() {
    let server = llama_server(|_, stream| {
        start_stream(stream);
        event(stream, &llama_piece(" The sea"));
        event(
            stream,
            r#"{"error":{"message":"out of memory","code":500}}"#,
        );
    });
    let heard = Heard::default();
    let (status, _) = connect(&server).write(&request("Once."), &heard).unwrap();
    assert_eq!(
        (status, heard.text().as_str()),
        (Status::Interrupted, " The sea")
    );
    assert!(heard.warnings().contains("out of memory"));
}

#[test]
fn a_stop_closes_the_connection_at_once() {
    let (sender, closed) = std::sync::mpsc::channel();
    let server = llama_server(move |_, stream| {
        start_stream(stream);
        event(stream, &llama_piece(" The sea"));
        let mut rest = [0; 8];
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        sender
            .send(stream.read(&mut rest).is_ok_and(|count| count == 0))
            .unwrap();
    });
    let heard = Heard {
        stop_after: Some(1),
        ..Heard::default()
    };
    let mut patient = Network::default();
    patient.limits.between = Duration::from_secs(60);
    let remote = Remote::connect(target(&server, None), &patient, &Heard::default());
    let (status, _) = remote.unwrap().write(&request("Once."), &heard).unwrap();
    assert_eq!(
        (status, heard.text().as_str()),
        (Status::Stopped, " The sea")
    );
    assert!(closed.recv_timeout(Duration::from_secs(5)).unwrap());
}

#[test]
fn every_refusal_is_a_sentence_that_says_what_to_do() {
    for (status, body, says) in [
        (401, r#"{"error":"Unauthorized"}"#, "ILLUMINE_API_KEY"),
        (404, r#"{"detail":"Not Found"}"#, "models list"),
        (
            400,
            r#"{"error":{"type":"exceed_context_size_error","message":"too big"}}"#,
            "longer context",
        ),
        (500, "Internal Server Error", "Internal Server Error"),
        (307, "", "redirects"),
        (200, "", "sent an empty answer"),
        (200, "<html>welcome</html>", "sent an empty answer"),
        (
            200,
            "data: welcome\n\n",
            "did not answer with a model's text",
        ),
        (200, r#"{"error":"out of memory"}"#, "out of memory"),
    ] {
        let server = llama_server(move |_, stream| json_answer(stream, status, body));
        let mut asked = request("Once.");
        asked.overflow = Overflow::Refuse;
        let heard = Heard::default();
        let failure = connect(&server).write(&asked, &heard).unwrap_err();
        assert!(
            failure.why.contains(says),
            "{status} {body}: {}",
            failure.why
        );
        assert_eq!(heard.text(), "");
    }
}

#[test]
fn a_server_that_is_not_there_is_said_when_it_is_loaded() {
    let nobody = Target {
        address: Address::parse("http://127.0.0.1:9").unwrap(),
        flavour: None,
        key: KeySource::Nowhere,
        context: None,
        certificates: None,
    };
    let why = match Remote::connect(nobody, &quick(), &Heard::default()) {
        Err(NotConnected::Failed(why)) => why,
        _ => panic!("nobody listens"),
    };
    assert!(
        why.contains("Cannot reach http://127.0.0.1:9 (nothing listens there)"),
        "{why}"
    );
}

#[test]
fn a_busy_or_loading_server_is_asked_again() {
    let times = std::sync::atomic::AtomicUsize::new(0);
    let server = llama_server(move |_, stream| {
        match times.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => json_answer(stream, 503, r#"{"error":{"message":"Loading model"}}"#),
            1 => json_answer(stream, 429, ""),
            _ => json_answer(
                stream,
                200,
                r#"{"content":" It.","stop":true,"stop_type":"eos"}"#,
            ),
        }
    });
    let heard = Heard::default();
    connect(&server).write(&request("Once."), &heard).unwrap();
    assert_eq!(heard.text(), " It.");
}

#[test]
fn a_hostile_server_is_left_within_the_limits() {
    type Answer = fn(&mut std::net::TcpStream) -> std::io::Result<()>;
    let slow_loris: Answer = |stream| loop {
        stream.write_all(b": ping\n")?;
        std::thread::sleep(Duration::from_millis(50));
    };
    let endless_words: Answer = |stream| loop {
        stream.write_all(format!("data: {}\n\n", llama_piece(" word")).as_bytes())?;
    };
    let endless_nothing: Answer = |stream| loop {
        stream.write_all(format!("data: {}\n\n", llama_piece("")).as_bytes())?;
    };
    let endless_line: Answer = |stream| loop {
        stream.write_all(&[b'x'; 4096])?;
    };
    for answer in [slow_loris, endless_words, endless_nothing, endless_line] {
        let server = llama_server(move |_, stream| {
            start_stream(stream);
            let _ = answer(stream);
        });
        let began = Instant::now();
        let heard = Heard::default();
        let _ = connect(&server).write(&request("Once."), &heard);
        assert!(began.elapsed() < Duration::from_secs(20));
        assert!(heard.text().len() < 2000);
    }
}

#[test]
fn a_key_goes_to_its_server_and_into_nothing_that_is_said() {
    const KEY: &str = "sk-planted-0123456789";
    let elsewhere = llama_server(|_, stream| json_answer(stream, 200, "{}"));
    let place = elsewhere.root.clone();
    let server = llama_server(move |_, stream| {
        let head = format!(
            "HTTP/1.1 307 Moved\r\nlocation: {place}/completion\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
    });
    let mut asked = target(&server, None);
    asked.key = KeySource::Known(Key::new(KEY).unwrap());
    assert!(!format!("{asked:?}").contains(KEY));
    let mut remote = Remote::connect(asked, &quick(), &Heard::default()).unwrap();
    let failure = remote
        .write(&request("Once."), &Heard::default())
        .unwrap_err();
    assert!(failure.why.contains("redirects") && !failure.why.contains(KEY));
    assert!(!format!("{:?} {:?}", remote.about(), failure).contains(KEY));
    assert!(server.heads().iter().all(|head| head.contains(KEY)));
    assert!(elsewhere.heads().is_empty(), "the key is sent on");
    let echoes = llama_server(|_, stream| {
        json_answer(stream, 400, &format!(r#"{{"error":"your key is {KEY}"}}"#));
    });
    let mut asked = target(&echoes, None);
    asked.key = KeySource::Known(Key::new(KEY).unwrap());
    let mut remote = Remote::connect(asked, &quick(), &Heard::default()).unwrap();
    let failure = remote
        .write(&request("Once."), &Heard::default())
        .unwrap_err();
    assert!(failure.why.contains("your key is") && !failure.why.contains(KEY));
}

#[test]
fn a_stop_string_and_a_goal_are_kept_here() {
    let server = llama_server(|_, stream| {
        start_stream(stream);
        for piece in [" One", ". T", "wo.", " TH", "E END", " more"] {
            event(stream, &llama_piece(piece));
        }
    });
    let mut remote = connect(&server);
    let mut asked = request("Once.");
    asked.sampling.stop = vec![" THE END".to_string()];
    let heard = Heard::default();
    let (status, _) = remote.write(&asked, &heard).unwrap();
    assert_eq!(
        (status, heard.text().as_str()),
        (Status::StopString, " One. Two.")
    );
    asked.goal = LengthGoal::Sentence;
    let heard = Heard::default();
    let (status, _) = remote.write(&asked, &heard).unwrap();
    assert_eq!((status, heard.text().as_str()), (Status::Length, " One."));
}

#[test]
fn a_banned_phrase_is_asked_for_again_without_its_first_token() {
    let server = llama_server(|body, stream| match body["n_predict"] == 1 {
        true => json_answer(
            stream,
            200,
            r#"{"content":" chills","stop":true,"stop_type":"limit"}"#,
        ),
        false => {
            let went_on = body["prompt"]
                .as_str()
                .is_some_and(|it| it.ends_with("chills"));
            start_stream(stream);
            let pieces: &[&str] = match went_on {
                true => &[" up."],
                false => &[" It sent", " shivers", " down"],
            };
            for piece in pieces {
                event(stream, &llama_piece(piece));
            }
            event(stream, r#"{"content":"","stop":true,"stop_type":"eos"}"#);
        }
    });
    let mut asked = request("Once.");
    asked.bans = vec![sampler::Ban::parse("shivers down").unwrap()];
    let heard = Heard::default();
    let (status, _) = connect(&server).write(&asked, &heard).unwrap();
    assert_eq!(
        (status, heard.text().as_str()),
        (Status::Complete, " It sent chills up.")
    );
    let again = server
        .bodies("/completion")
        .into_iter()
        .find(|body| body["n_predict"] == 1);
    let again = again.unwrap();
    assert_eq!(again["prompt"], "Once. It sent");
    assert_eq!(again["logit_bias"][0][1], -100.0);
}

#[test]
fn a_story_that_outgrows_the_context_loses_its_beginning() {
    let server = llama_server(|_, stream| {
        json_answer(
            stream,
            200,
            r#"{"content":" End.","stop":true,"stop_type":"eos"}"#,
        );
    });
    let mut remote = connect(&server);
    let long = "word ".repeat(900);
    let heard = Heard::default();
    let (_, stats) = remote.write(&request(&long), &heard).unwrap();
    assert!(stats.dropped > 300 && stats.begins.is_some(), "{stats:?}");
    let sent = server.bodies("/completion").pop().unwrap();
    assert!(sent["prompt"].as_str().unwrap().split_whitespace().count() < 512);
    let mut refuses = request(&long);
    refuses.overflow = Overflow::Refuse;
    let failure = remote.write(&refuses, &Heard::default()).unwrap_err();
    assert_eq!(failure.fault, FailureKind::Overflow);
}

#[test]
fn other_words_come_from_log_probabilities_and_can_be_chosen() {
    let server = llama_server(|body, stream| match body["n_probs"] == 20 {
        true => json_answer(
            stream,
            200,
            r#"{"content":" sea","stop":true,"completion_probabilities":[{"top_logprobs":[{"id":4,"token":" sea","logprob":-0.1},{"id":9,"token":" sky","logprob":-2.4}]}]}"#,
        ),
        false => json_answer(
            stream,
            200,
            r#"{"content":" fell.","stop":true,"stop_type":"eos"}"#,
        ),
    });
    let mut remote = connect(&server);
    let found = remote
        .alternatives(&request("The"), &Heard::default())
        .unwrap()
        .unwrap();
    assert_eq!((found[1].id, found[1].text.as_str()), (9, " sky"));
    assert!((found[0].before - 0.905).abs() < 0.01 && found[0].after > found[1].after);
    let mut asked = request("The");
    asked.begin = vec![9];
    let heard = Heard::default();
    remote.write(&asked, &heard).unwrap();
    assert_eq!(heard.text(), " sky fell.");
    asked.begin = vec![77];
    assert!(
        remote
            .write(&asked, &heard)
            .unwrap_err()
            .why
            .contains("/alts")
    );
}

#[test]
fn what_a_server_cannot_honour_is_said_once_and_a_refused_field_is_left_out() {
    let server = FakeServer::start(|path, body, stream| match path {
        "/v1/models" => json_answer(stream, 200, r#"{"data":[{"id":"m","max_model_len":900}]}"#),
        "/v1/completions" if body.get("presence_penalty").is_some() => {
            json_answer(
                stream,
                422,
                r#"{"detail":"Unexpected fields: {'presence_penalty'}"}"#,
            );
        }
        "/v1/completions" => {
            json_answer(
                stream,
                200,
                r#"{"choices":[{"text":" It.","finish_reason":"stop"}]}"#,
            );
        }
        _ => json_answer(stream, 404, "{}"),
    });
    let mut remote = connect(&server);
    assert_eq!(remote.about().context, 900);
    assert!(!remote.capabilities().exact_token_counts);
    assert!(
        remote
            .about()
            .cannot
            .contains(&"dry_multiplier".to_string())
    );
    let heard = Heard::default();
    remote.write(&request("Once."), &heard).unwrap();
    assert_eq!(heard.text(), " It.");
    let said = heard.warnings();
    assert!(said.contains("cannot use min_p, dry_multiplier"), "{said}");
    assert!(said.contains("refuses presence_penalty"), "{said}");
    let heard = Heard::default();
    remote.write(&request("Once."), &heard).unwrap();
    assert_eq!(heard.warnings(), "");
}

#[test]
fn a_server_with_less_room_than_assumed_gets_a_shorter_prompt() {
    let server = llama_server(|body, stream| {
        let words = body["prompt"]
            .as_str()
            .unwrap_or_default()
            .split_whitespace()
            .count();
        match words > 300 {
            true => json_answer(
                stream,
                400,
                r#"{"error":{"message":"maximum context length is 300"}}"#,
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
        .write(&request(&" word".repeat(450)), &heard)
        .unwrap();
    assert_eq!(heard.text(), " End.");
}
