//! Tests the engine with the real model: requests, events, and how many tokens are reused from the
//! KV cache.

use crate::support::gguf::{SHORT, short_context};
use crate::support::{Home, model_path};
use hub::catalog::Catalog;
use hub::fetch::{HttpSettings, HubSettings, ModelStore};
use illumine::engine::{Engine, ModelLoader, SLICE};
use llm::Tokenizer;
use llm::device::DeviceChoice;
use llm::gguf::Gguf;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use story::context::{ContextPart, Message, PartKind, Role};
use story::message::{FailureKind, LengthGoal, Overflow, PassageStats, TextRequest};
use story::{Context, Event, ModelInfo, NodeId, Reply, Request, Sampling, Status};

/// An engine that has loaded a model, and the model's tokenizer, which tests use to count tokens.
struct Desk {
    engine: Engine,
    events: Receiver<Reply>,
    about: ModelInfo,
    tokenizer: Tokenizer,
}

/// The engine's answer to one request.
#[derive(Debug)]
struct Answer {
    text: String,
    ids: Vec<u32>,
    status: Status,
    stats: PassageStats,
    /// The progress of the prefill: for each report by the engine, the number of tokens evaluated
    /// so far.
    read: Vec<usize>,
}

fn start() -> (Engine, Receiver<Reply>) {
    start_with(None)
}

/// Starts an engine with an optional draft model.
fn start_with(draft: Option<&Path>) -> (Engine, Receiver<Reply>) {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("models");
    let hub = HubSettings::from_variables(|_| None, &root);
    let store = ModelStore {
        offline: true,
        ..ModelStore::new(root, hub, HttpSettings::default())
    };
    let loader = ModelLoader {
        device: DeviceChoice::Cpu,
        threads: 2,
        draft: draft.map(|path| path.display().to_string()),
        ..ModelLoader::new(Catalog::embedded().unwrap(), store)
    };
    let (sender, events) = channel();
    (Engine::start(loader, sender), events)
}

fn load(model: &Path) -> Request {
    let model = model.to_str().unwrap().to_string();
    Request::Load { model }
}

fn next(events: &Receiver<Reply>) -> Event {
    match events.recv_timeout(Duration::from_secs(60)) {
        Ok(reply) => reply.event,
        Err(error) => panic!("no event came: {error}"),
    }
}

impl Desk {
    fn with(model: &Path) -> Desk {
        Desk::drafted(model, None)
    }

    fn drafted(model: &Path, draft: Option<&Path>) -> Desk {
        let (engine, events) = start_with(draft);
        engine.submit(load(model));
        let about = loop {
            match next(&events) {
                Event::Ready(about, _) => break about,
                Event::Loading { .. } => {}
                other => panic!("{other:?}"),
            }
        };
        assert!(matches!(next(&events), Event::Done { node: None, .. }));
        let tokenizer = Tokenizer::from_gguf(&Gguf::open(model).unwrap()).unwrap();
        Desk {
            engine,
            events,
            about,
            tokenizer,
        }
    }

    fn new() -> Desk {
        Desk::with(&model_path())
    }

    fn ask(&self, request: TextRequest) {
        self.engine.submit(Request::Text(request));
    }

    fn answered(&self, request: TextRequest) -> Answer {
        let node = request.node;
        self.ask(request);
        self.answer(node)
    }

    fn answer(&self, node: NodeId) -> Answer {
        self.answer_with(node, |_| {})
    }

    /// Receives events until the request for the passage `wanted` is answered, and passes each
    /// event to `see`.
    fn answer_with(&self, wanted: NodeId, mut see: impl FnMut(&Event)) -> Answer {
        let (mut text, mut ids, mut read) = (String::new(), Vec::new(), Vec::new());
        loop {
            let event = next(&self.events);
            see(&event);
            match event {
                Event::Prefill { node, done, .. } if node == wanted => read.push(done),
                Event::Piece {
                    node,
                    text: piece,
                    ids: its,
                    healed: 0,
                } if node == wanted => {
                    text.push_str(&piece);
                    ids.extend(its);
                }
                // A prefetch has its own answer.
                Event::Done { node: None, .. } => {}
                Event::Done {
                    node,
                    status,
                    stats,
                } => {
                    assert_eq!(node, Some(wanted));
                    return Answer {
                        text,
                        ids,
                        status,
                        stats,
                        read,
                    };
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Returns an answer as a part of the context: a passage by the loaded model, with the ids of
    /// its tokens.
    fn own(&self, answer: &Answer) -> ContextPart {
        ContextPart {
            text: answer.text.clone(),
            model_sha256: self.about.sha256.clone(),
            ids: answer.ids.clone(),
            ..part("")
        }
    }

    fn count(&self, text: &str) -> usize {
        self.tokenizer.encode(text).unwrap().len()
    }
}

fn part(text: &str) -> ContextPart {
    let kind = PartKind::Story { node: 0, from: 0 };
    ContextPart::plain(kind, text)
}

fn request(node: NodeId, parts: Vec<ContextPart>, tokens: u32) -> TextRequest {
    TextRequest {
        node,
        context: Context::Prose {
            parts,
            after: String::new(),
        },
        sampling: Sampling {
            max_tokens: tokens,
            ..Sampling::default()
        },
        seed: 5,
        overflow: Overflow::Refuse,
        goal: LengthGoal::Exact,
        bans: Vec::new(),
        heal: false,
        begin: Vec::new(),
        retrieval: None,
    }
}

fn prose(node: NodeId, text: &str, tokens: u32) -> TextRequest {
    request(node, vec![part(text)], tokens)
}

/// A text of at least this many tokens, to use as a story.
fn story(desk: &Desk, tokens: usize) -> String {
    let alice = include_str!("../reference/alice.txt");
    let each = desk.count(alice);
    let story = alice.repeat(tokens / each + 1);
    let letters = story.len() * (tokens + 8) / (each * (tokens / each + 1));
    let cut = (letters..).find(|at| story.is_char_boundary(*at)).unwrap();
    story[..cut.min(story.len())].to_string()
}

#[test]
fn the_next_line_costs_only_its_own_tokens() {
    let desk = Desk::new();
    let story = story(&desk, 1000);
    let first = desk.answered(prose(1, &story, 4));
    assert!(
        first.stats.prompt_tokens >= 900 && first.stats.reused == 0,
        "{:?}",
        first.stats
    );
    let line = " The clock struck five and nobody came.";
    let parts = vec![part(&story), desk.own(&first), part(line)];
    let second = desk.answered(request(2, parts, 2));
    let fed = second.stats.prompt_tokens - second.stats.reused;
    // The last token of a passage has not been evaluated when the passage ends.
    assert_eq!(fed, desk.count(line) + 1, "{:?}", second.stats);
    assert_eq!(
        second.read,
        [second.stats.reused, second.stats.prompt_tokens]
    );
    // Going back and retrying evaluates nothing again except the last token.
    let again = desk.answered(prose(3, &story, 2));
    assert_eq!(again.stats.reused, again.stats.prompt_tokens - 1);
}

#[test]
fn what_was_read_in_advance_is_written_on_from_at_once_and_in_the_same_words() {
    let desk = Desk::new();
    let alone = desk.answered(prose(1, "The keeper lit the lamp, and the gulls", 12));
    let desk = Desk::new();
    // The line as it is typed; deleted words do not matter.
    for typed in [
        "The keeper",
        "The keeper lit a",
        "The keeper lit the lamp, and the gulls",
    ] {
        desk.engine.submit(Request::Prefetch(prose(1, typed, 12)));
    }
    let answer = desk.answered(prose(1, "The keeper lit the lamp, and the gulls", 12));
    assert_eq!(answer.ids, alone.ids);
    assert_eq!(answer.stats.reused, answer.stats.prompt_tokens);
    // A prefetch that is stopped half-way does no harm either.
    let long = story(&desk, 2000);
    desk.engine.submit(Request::Prefetch(prose(2, &long, 12)));
    desk.engine.stopper().stop();
    let answer = desk.answered(prose(2, "The keeper lit the lamp, and the gulls", 12));
    assert_eq!(answer.ids, alone.ids);
}

#[test]
fn a_draft_model_guesses_and_changes_no_word() {
    let (plain, drafted) = (
        Desk::new(),
        Desk::drafted(&model_path(), Some(&model_path())),
    );
    for temperature in [0.0, 1.0] {
        let asked = || {
            let mut asked = prose(1, "The keeper lit the lamp, and the gulls", 60);
            asked.sampling.temperature = temperature;
            asked
        };
        let (one, other) = (plain.answered(asked()), drafted.answered(asked()));
        assert_eq!(one.ids, other.ids, "at {temperature}");
        assert!(
            other.stats.accepted_drafts > one.stats.accepted_drafts + 5,
            "{:?}",
            other.stats
        );
    }
}

#[test]
fn a_draft_with_other_tokens_or_none_is_said_and_the_model_writes() {
    let home = Home::new();
    let mut bytes = std::fs::read(model_path()).unwrap();
    let word = b"lighthouse";
    let at = bytes.windows(word.len()).position(|it| it == word).unwrap();
    bytes[at] = b'L';
    let other = home.file("other.gguf", &bytes);
    for (draft, why) in [
        (other, "its vocabulary differs"),
        (home.path().join("nowhere.gguf"), "nowhere.gguf"),
    ] {
        let desk = Desk::drafted(&model_path(), Some(&draft));
        let note = desk.about.note.clone().unwrap_or_default();
        assert!(
            note.starts_with("Cannot use") && note.contains(why),
            "{note}"
        );
        assert_eq!(desk.answered(prose(1, "The keeper", 4)).ids.len(), 4);
    }
}

#[test]
fn a_conversation_goes_on_where_it_was() {
    let desk = Desk::new();
    let message = |role, parts: Vec<ContextPart>| Message { role, parts };
    let chat = |node, messages: Vec<Message>| TextRequest {
        context: Context::Chat {
            messages,
            open: false,
        },
        ..request(node, Vec::new(), 6)
    };
    let question = message(Role::User, vec![part("What is the capital of France?")]);
    let first = desk.answered(chat(1, vec![question.clone()]));
    let messages = vec![
        question,
        message(Role::Assistant, vec![desk.own(&first)]),
        message(Role::User, vec![part("And of Spain?")]),
    ];
    let second = desk.answered(chat(2, messages));
    let (before, own) = (first.stats.prompt_tokens, first.ids.len());
    assert!(
        second.stats.reused >= before + own - 1,
        "{:?} after {:?}",
        second.stats,
        first.stats
    );
}

#[test]
fn a_stop_while_a_long_prompt_is_read_is_heard_at_once() {
    let desk = Desk::new();
    let cold = desk.answered(prose(1, "The lamp on the wall", 6));
    let long = story(&desk, 6000);
    desk.ask(prose(2, &long, 4));
    let stop = desk.engine.stopper();
    let stopped = desk.answer_with(2, |event| {
        if matches!(event, Event::Prefill { .. }) {
            stop.stop();
        }
    });
    assert_eq!((stopped.status, stopped.ids.len()), (Status::Stopped, 0));
    assert!(stopped.stats.prompt_tokens > 5000, "{:?}", stopped.stats);
    // One slice may have been in progress; it ends between two layers.
    assert!(
        stopped.read.last().unwrap() <= &(2 * SLICE),
        "{:?}",
        stopped.read
    );
    // The cache is intact: the text is the same as from a newly loaded model.
    let after = desk.answered(prose(3, "The lamp on the wall", 6));
    assert_eq!(after.ids, cold.ids);
}

#[test]
fn a_stop_while_writing_keeps_what_was_written() {
    let desk = Desk::new();
    let free = desk.answered(prose(1, "The lamp on the wall", 12));
    desk.ask(prose(2, "The lamp on the wall", 400));
    let stop = desk.engine.stopper();
    let stopped = desk.answer_with(2, |event| {
        if matches!(event, Event::Piece { .. }) {
            stop.stop();
        }
    });
    assert_eq!(stopped.status, Status::Stopped);
    let common = stopped.ids.len().min(free.ids.len());
    assert!(common >= 1 && stopped.ids.len() < 400);
    assert_eq!(stopped.ids[..common], free.ids[..common]);
    // The story continues from there.
    let parts = vec![part("The lamp on the wall"), desk.own(&stopped)];
    let on = desk.answered(request(3, parts, 2));
    assert!(
        on.stats.prompt_tokens - on.stats.reused <= 1,
        "{:?}",
        on.stats
    );
}

#[test]
fn a_stop_touches_only_what_was_asked_before_it() {
    let desk = Desk::new();
    desk.ask(prose(1, "The lamp on the wall", 400));
    desk.ask(prose(2, "The lamp on the wall", 400));
    desk.engine.stopper().stop();
    desk.ask(prose(3, "The lamp on the wall", 2));
    assert_eq!(desk.answer(1).status, Status::Stopped);
    assert_eq!(desk.answer(2).status, Status::Stopped);
    let third = desk.answer(3);
    assert_eq!((third.status, third.ids.len()), (Status::Length, 2));
}

#[test]
fn a_stop_before_there_is_a_model_is_no_failure() {
    let (engine, events) = start();
    engine.submit(load(&model_path()));
    engine.submit(Request::Text(prose(1, "The lamp", 400)));
    engine.stopper().stop();
    let mut done = Vec::new();
    while done.len() < 2 {
        match next(&events) {
            Event::Done { node, status, .. } => done.push((node, status)),
            Event::Failed { why, .. } => panic!("{why}"),
            _ => {}
        }
    }
    assert_eq!(done[1], (Some(1), Status::Stopped));
}

#[test]
fn an_engine_that_is_dropped_ends_its_thread() {
    let desk = Desk::new();
    desk.ask(prose(1, "The lamp on the wall", 400));
    while !matches!(next(&desk.events), Event::Piece { .. }) {}
    drop(desk.engine);
    let rest = loop {
        match desk.events.recv_timeout(Duration::from_secs(60)) {
            Ok(_) => {}
            Err(end) => break end,
        }
    };
    assert_eq!(rest, RecvTimeoutError::Disconnected);
}

#[test]
fn a_model_that_cannot_be_loaded_leaves_the_one_before() {
    let desk = Desk::new();
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    for bad in [text.as_path(), Path::new("no/such.gguf")] {
        desk.engine.submit(load(bad));
        match next(&desk.events) {
            Event::Failed {
                node: None,
                fault: FailureKind::Model,
                ..
            } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(desk.answered(prose(1, "The lamp", 2)).ids.len(), 2);
}

#[test]
fn a_request_without_a_model_or_words_is_answered() {
    let (engine, events) = start();
    engine.submit(Request::Text(prose(1, "The lamp", 2)));
    let failed = next(&events);
    assert!(
        matches!(
            failed,
            Event::Failed {
                node: Some(1),
                fault: FailureKind::Model,
                ..
            }
        ),
        "{failed:?}"
    );
    let desk = Desk::new();
    desk.ask(prose(2, "", 2));
    let failed = next(&desk.events);
    assert!(
        matches!(
            failed,
            Event::Failed {
                node: Some(2),
                fault: FailureKind::Request,
                ..
            }
        ),
        "{failed:?}"
    );
}

#[test]
fn a_story_that_outgrows_the_context_loses_its_beginning_in_steps() {
    let desk = Desk::with(&short_context());
    assert_eq!(desk.about.context, SHORT);
    let words = |count: usize| "and on ".repeat(count / 2);
    let crop = |node, count| TextRequest {
        overflow: Overflow::Crop,
        ..prose(node, &words(count), 8)
    };
    let step = SHORT / 8;
    let mut before: Option<PassageStats> = None;
    for (node, count) in (220..320).step_by(12).enumerate() {
        let answer = desk.answered(crop(node as NodeId, count));
        let (dropped, read) = (answer.stats.dropped, answer.stats.prompt_tokens);
        assert_eq!(answer.status, Status::Length);
        assert!(
            dropped.is_multiple_of(step) && read + 8 <= SHORT,
            "{count}: {:?}",
            answer.stats
        );
        assert_eq!(
            dropped > 0,
            count > SHORT - 8,
            "{count}: {:?}",
            answer.stats
        );
        // Between two steps the cut stays in place, so the cache stays valid.
        if let Some(before) = before.filter(|before| before.dropped == dropped) {
            assert!(
                answer.stats.reused + 1 >= before.prompt_tokens,
                "{count}: {:?}",
                answer.stats
            );
        }
        before = Some(answer.stats);
    }
}

#[test]
fn a_full_context_ends_the_passage_and_not_the_story() {
    let desk = Desk::with(&short_context());
    let prompt = "and on ".repeat((SHORT - 6) / 2);
    let answer = desk.answered(prose(1, &prompt, 400));
    assert_eq!(answer.status, Status::ContextFull);
    assert!((1..=8).contains(&answer.ids.len()), "{answer:?}");
    desk.ask(prose(2, &"and on ".repeat(SHORT), 4));
    let failed = next(&desk.events);
    assert!(
        matches!(
            failed,
            Event::Failed {
                fault: FailureKind::Overflow,
                ..
            }
        ),
        "{failed:?}"
    );
    assert_eq!(desk.answered(prose(3, "and", 2)).status, Status::Length);
}

#[test]
fn a_warm_cache_writes_what_a_cold_one_does() {
    let desk = Desk::new();
    let text = include_str!("../reference/alice.txt");
    let mut node = 0;
    for (from, len) in [(0, 40), (400, 200), (900, 600), (2000, 90)] {
        let prompt: String = text.chars().skip(from).take(len).collect();
        for sampling in [Sampling::greedy(), Sampling::default()] {
            let mut write = || {
                node += 1;
                let sampling = Sampling {
                    max_tokens: 10,
                    ..sampling.clone()
                };
                desk.answered(TextRequest {
                    sampling,
                    ..prose(node, &prompt, 10)
                })
            };
            desk.answered(prose(0, "Quite another text", 1));
            let cold = write();
            let warm = write();
            assert_eq!((cold.stats.reused, cold.ids.len()), (0, 10));
            assert_eq!(warm.stats.reused, warm.stats.prompt_tokens - 1);
            assert_eq!(warm.ids, cold.ids, "after {prompt:?}");
        }
    }
}

/// Requests several candidates in one request, and returns the text, the token ids and the
/// statistics of each passage.
fn several(
    desk: &Desk,
    requests: Vec<TextRequest>,
) -> HashMap<NodeId, (String, Vec<u32>, PassageStats)> {
    let count = requests.len();
    let mut answers: HashMap<NodeId, (String, Vec<u32>, PassageStats)> = HashMap::new();
    desk.engine.submit(Request::Candidates(requests));
    let mut done = 0;
    while done < count {
        match next(&desk.events) {
            Event::Piece {
                node, text, ids, ..
            } => {
                let answer = answers.entry(node).or_default();
                answer.0.push_str(&text);
                answer.1.extend(ids);
            }
            Event::Ended { node, stats, .. } => {
                answers.entry(node).or_default().2 = stats;
                done += 1;
            }
            Event::Done { node, stats, .. } => {
                // The last passage ends with the request, whose end may name no node.
                if let Some(node) = node {
                    answers.entry(node).or_default().2 = stats;
                }
                done += 1;
            }
            Event::Prefill { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    answers
}

#[test]
fn passages_written_together_are_what_each_would_be_alone() {
    let desk = Desk::new();
    let one = |node: NodeId| TextRequest {
        seed: 40 + node,
        ..prose(node, "The lamp on the wall went out, and", 6 + node as u32)
    };
    let nodes = 1..6;
    let together = several(&desk, nodes.clone().map(one).collect());
    // The first one stays in the cache: only the line after it is evaluated.
    let (text, ids, _) = &together[&1];
    let own = ContextPart {
        text: text.clone(),
        model_sha256: desk.about.sha256.clone(),
        ids: ids.clone(),
        ..ContextPart::default()
    };
    let parts = vec![
        part("The lamp on the wall went out, and"),
        own,
        part(" Nobody came."),
    ];
    let on = desk.answered(request(9, parts, 2));
    let read = on.stats.prompt_tokens - on.stats.reused;
    assert!(read <= desk.count(" Nobody came.") + 1, "{:?}", on.stats);
    let fresh = Desk::new();
    for node in nodes {
        let alone = fresh.answered(one(node));
        assert_eq!(
            (&alone.text, &alone.ids),
            (&together[&node].0, &together[&node].1)
        );
    }
    let different: HashSet<&String> = together.values().map(|(text, ..)| text).collect();
    assert!(different.len() > 2);
}
