//! Tests that answers are played as they were recorded, and that verifying a changed model fails.

use super::*;
use crate::engine::backend::{Answer, Listener};
use crate::engine::scripted::{Script, ScriptedPassage};
use crate::engine::{Engine, Retry};
use replay::cassette::Matching;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use story::message::{
    Alternative, Capabilities, LengthGoal, Measurement, Overflow, PassageScore, PassageStats,
    Reply, RequestId, TextRequest, TokenScore, WrittenPassage,
};
use story::{Context, Event, ModelInfo, NodeId, Request, Sampling, Status};

fn request(node: NodeId, seed: u64) -> TextRequest {
    TextRequest {
        node,
        context: Context::empty(),
        sampling: Sampling::default(),
        seed,
        overflow: Overflow::Crop,
        goal: LengthGoal::Exact,
        bans: Vec::new(),
        heal: false,
        begin: Vec::new(),
        retrieval: None,
    }
}

/// A scripted model that returns the same log-probability for every passage.
struct Judge {
    script: Script,
    log_probability: f64,
    admissible: bool,
}

impl Backend for Judge {
    fn about(&self) -> &ModelInfo {
        self.script.about()
    }

    fn capabilities(&self) -> Capabilities {
        self.script.capabilities()
    }

    fn write(&mut self, request: &TextRequest, listener: &dyn Listener) -> Answer {
        self.script.write(request, listener)
    }

    fn alternatives(
        &mut self,
        request: &TextRequest,
        listener: &dyn Listener,
    ) -> Result<Option<Vec<Alternative>>, Failure> {
        self.script.alternatives(request, listener)
    }

    fn count_tokens(&self, text: &str) -> Result<usize, Failure> {
        self.script.count_tokens(text)
    }

    fn perplexity(
        &mut self,
        before: &str,
        text: &str,
        _: &dyn Observer,
    ) -> Result<Option<f64>, Failure> {
        Ok(Some((before.len() * 10 + text.len()) as f64))
    }

    fn score(
        &mut self,
        _: &TextRequest,
        passage: &WrittenPassage,
        _: f64,
        _: &dyn Listener,
    ) -> Result<Option<PassageScore>, Failure> {
        let token = TokenScore {
            bytes: passage.text.len(),
            log_probability: self.log_probability,
            admissible: Some(self.admissible),
            likelier: None,
        };
        Ok(Some(PassageScore {
            tokens: vec![token],
            ..PassageScore::default()
        }))
    }
}

/// A loader for [`Judge`].
struct Bench {
    script: Script,
    log_probability: f64,
    admissible: bool,
}

impl Loader for Bench {
    fn load(&mut self, model: &str, _: &dyn Observer) -> Result<Box<dyn Backend>, LoadError> {
        let mut script = self.script.clone();
        script.about.name = format!("bench {model}");
        Ok(Box::new(Judge {
            script,
            log_probability: self.log_probability,
            admissible: self.admissible,
        }))
    }

    fn encoder(&mut self, _: &dyn Observer) -> Result<SentenceEncoder, LoadError> {
        Err(LoadError::Failed("There is no encoder".to_string()))
    }
}

fn bench(log_probability: f64, admissible: bool) -> Bench {
    let late = Failure {
        retry: Retry::Soon,
        ..Failure::new("The server\u{7} is gone", FailureKind::Model)
    };
    let mut script = Script::default()
        .writing(&["The", " sea"])
        .writing(&[" one"])
        .writing(&[" two"])
        .failing(late);
    script.passages.push_back(ScriptedPassage {
        events: vec![Event::Warned("Careful".to_string())],
        end: Ok((Status::Length, PassageStats::default())),
    });
    script.alternatives = vec![Alternative {
        id: 3,
        text: " fog".to_string(),
        before: 0.5,
        after: 0.25,
    }];
    Bench {
        script,
        log_probability,
        admissible,
    }
}

/// Receives the events of a request until the request ends, and returns them.
fn answer(replies: &Receiver<Reply>, to: RequestId) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let reply = replies.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(reply.request, to);
        let ends = matches!(reply.event, Event::Done { .. } | Event::Failed { .. });
        events.push(reply.event);
        if ends {
            return events;
        }
    }
}

/// Sends a fixed list of requests to an engine with the given loader, and returns the events of
/// each request. `from` is the id of the first passage.
fn run(loader: impl Loader + 'static, from: NodeId, seed: u64) -> Vec<Vec<Event>> {
    let (sender, replies) = channel();
    let engine = Engine::start(loader, sender);
    let model = String::new();
    let requests = [
        Request::Load { model },
        Request::Text(request(from, seed)),
        Request::Candidates(vec![request(from + 1, 2), request(from + 2, 3)]),
        Request::Text(request(from + 3, 4)),
        Request::Alternatives(request(from + 4, 5)),
        Request::Text(request(from + 4, 6)),
        Request::Measure(Measurement::Perplexity {
            before: "Once".to_string(),
            text: " upon".to_string(),
        }),
    ];
    let ids = requests.map(|request| engine.submit(request));
    ids.map(|id| answer(&replies, id)).into()
}

fn used(inner: Bench, used: Use) -> (CassetteLoader<Bench>, Arc<Findings>) {
    let findings = Arc::<Findings>::default();
    let loader = CassetteLoader {
        inner,
        used,
        findings: findings.clone(),
    };
    (loader, findings)
}

/// Records a cassette of the requests of [`run`]. Returns its path and the recorded events.
fn recorded(folder: &tempfile::TempDir) -> (std::path::PathBuf, Vec<Vec<Event>>) {
    let path = folder.path().join("a.cassette");
    let tape = Arc::new(Tape::create(&path, "test").unwrap());
    let (loader, _) = used(bench(-1.0, true), Use::Record(tape.clone()));
    let events = run(loader, 1, 1);
    assert_eq!(tape.finish(), Ok(6));
    (path, events)
}

fn play(path: &std::path::Path, matching: Matching) -> Use {
    Use::Play {
        cassette: Arc::new(Cassette::open(path, matching).unwrap()),
        real_time: false,
    }
}

#[test]
fn a_cassette_answers_like_the_model_that_it_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let (path, events) = recorded(&folder);
    let plain = run(bench(-1.0, true), 1, 1);
    assert_eq!(events, plain, "recording changes nothing");
    let (loader, findings) = used(bench(0.0, false), play(&path, Matching::Strict));
    let played = run(loader, 1, 1);
    assert_eq!(played[1..], events[1..]);
    assert_eq!(played[6][0], Event::Measured(45.0));
    assert!(findings.take().is_none());
    // Other numbers of passages do not matter.
    let (loader, _) = used(bench(0.0, false), play(&path, Matching::Strict));
    let later = run(loader, 30, 1);
    assert!(matches!(&later[2][0], Event::Piece { node: 31, text, .. } if text == " one"));
    assert!(
        matches!(&later[3][..], [Event::Failed { node: Some(33), why, .. }] if why == "The server␇ is gone")
    );
}

#[test]
fn a_request_that_is_not_in_the_cassette_fails_unless_the_order_counts() {
    let folder = tempfile::tempdir().unwrap();
    let (path, events) = recorded(&folder);
    let (loader, findings) = used(bench(0.0, true), play(&path, Matching::Strict));
    let played = run(loader, 1, 77);
    assert!(
        matches!(&played[1][..], [Event::Failed { why, .. }] if why.contains("has no answer to this request")),
        "{:?}",
        played[1]
    );
    assert_eq!(played[2], events[2], "later requests are answered");
    let found = findings.take().unwrap();
    assert_eq!(found.difference.as_deref(), Some("seed: [-1-]{+77+}"));
    let (loader, _) = used(bench(0.0, true), play(&path, Matching::InOrder));
    assert_eq!(run(loader, 1, 77)[1..], events[1..]);
}

#[test]
fn recorded_times_are_kept_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = recorded(&folder);
    let text = std::fs::read_to_string(&path).unwrap();
    let slow: Vec<String> = text
        .lines()
        .map(
            |line| match line.find("\"events\":[[").filter(|_| line.contains(" sea")) {
                None => line.to_string(),
                Some(at) => {
                    let start = at + "\"events\":[[".len();
                    let end = start + line[start..].find(',').unwrap();
                    format!("{}120.0{}", &line[..start], &line[end..])
                }
            },
        )
        .collect();
    std::fs::write(&path, slow.join("\n")).unwrap();
    for real_time in [false, true] {
        let cassette = Arc::new(Cassette::open(&path, Matching::Strict).unwrap());
        let used_as = Use::Play {
            cassette,
            real_time,
        };
        let (loader, _) = used(bench(0.0, true), used_as);
        let began = Instant::now();
        run(loader, 1, 1);
        let slow = began.elapsed() >= Duration::from_millis(120);
        assert!(slow || !real_time, "{:?}", began.elapsed());
    }
}

#[test]
fn a_model_is_verified_against_the_recorded_log_probabilities() {
    let folder = tempfile::tempdir().unwrap();
    let (path, events) = recorded(&folder);
    let verify = |bench: Bench, tolerance: Option<f64>| {
        let cassette = Arc::new(Cassette::open(&path, Matching::AnyModel).unwrap());
        let (loader, findings) = used(
            bench,
            Use::Verify {
                cassette,
                tolerance,
            },
        );
        (run(loader, 1, 1), findings)
    };
    let (same, findings) = verify(bench(-1.0, true), None);
    assert_eq!(
        same[1..],
        events[1..],
        "the story goes on with the recorded text"
    );
    let agreement = findings.agreement();
    assert_eq!((agreement.compared, agreement.most), (3, 0.0));
    let (_, findings) = verify(bench(-1.05, true), None);
    let found = findings.take().unwrap();
    assert!(
        found
            .why
            .contains("has the log-probability -1.0500, but -1.0000"),
        "{}",
        found.why
    );
    let (_, findings) = verify(bench(-1.05, true), Some(0.1));
    assert!(findings.take().is_none());
    let (_, findings) = verify(bench(-1.0, false), None);
    assert!(findings.take().unwrap().why.contains("is not admissible"));
    // Numbers that differ from machine to machine have a wider tolerance, and other files are named.
    let mut elsewhere = bench(-1.05, true);
    elsewhere.script.capabilities.reproducible = false;
    elsewhere.script.about.sha256 = "another".to_string();
    let (_, findings) = verify(elsewhere, None);
    assert!(findings.take().is_none());
    let mut elsewhere = bench(-2.0, true);
    elsewhere.script.about.sha256 = "another".to_string();
    let (_, findings) = verify(elsewhere, None);
    let why = findings.take().unwrap().why;
    assert!(why.contains("those of another model file: bench"), "{why}");
    let (cannot, _) = {
        let cassette = Arc::new(Cassette::open(&path, Matching::AnyModel).unwrap());
        let findings = Arc::<Findings>::default();
        let used = Use::Verify {
            cassette,
            tolerance: None,
        };
        let loader = CassetteLoader {
            inner: bench(0.0, true).script,
            used,
            findings: findings.clone(),
        };
        (run(loader, 1, 1), findings)
    };
    assert!(
        matches!(&cannot[1][..], [Event::Failed { why, .. }] if why.contains("cannot compute"))
    );
}
