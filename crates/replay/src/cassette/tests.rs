//! Tests of cassettes: keys, playback, explanations of missing answers, and damaged files.

use super::compare::compare;
use super::event::RecordedEvent;
use super::question::{Kind, Question};
use super::*;
use std::fs;
use std::path::{Path, PathBuf};
use story::context::{Context, ContextPart, PartKind};
use story::message::{
    FailureKind, LengthGoal, Overflow, PassageScore, PassageStats, TextRequest, TokenScore,
    WrittenPassage,
};
use story::{Event, NodeId, Sampling, Status};

const MODEL: &str = "0123abcd";

fn request(node: NodeId, text: &str) -> TextRequest {
    let part = |node, text: &str| ContextPart::plain(PartKind::Story { node, from: 0 }, text);
    TextRequest {
        node,
        context: Context::Prose {
            parts: vec![part(node.saturating_sub(2), "Once. "), part(node - 1, text)],
            after: String::new(),
        },
        sampling: Sampling::default(),
        seed: 5,
        overflow: Overflow::Crop,
        goal: LengthGoal::Near,
        bans: Vec::new(),
        heal: false,
        begin: Vec::new(),
        retrieval: None,
    }
}

fn question(request: &TextRequest) -> Question {
    Question::new(Kind::Passage, MODEL, std::slice::from_ref(request))
}

fn take(request: &TextRequest, text: &str) -> Take {
    let piece = RecordedEvent::Piece {
        of: 0,
        text: text.to_string(),
        ids: vec![7],
        healed: 0,
    };
    let requests = std::slice::from_ref(request);
    let done = RecordedEvent::done(Status::Length, &PassageStats::default(), requests);
    Take::new(question(request), vec![(1.5, piece), (2.0, done)])
}

fn model(requested: &str) -> RecordedModel {
    RecordedModel {
        requested: requested.to_string(),
        about: ModelInfo {
            name: "tale\u{1b}[31m".to_string(),
            sha256: MODEL.to_string(),
            ..ModelInfo::default()
        },
        ..RecordedModel::default()
    }
}

/// Writes a cassette with these answers in a new folder. Returns the folder and the cassette's
/// path.
fn cassette(takes: &[Take]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("night.cassette");
    let tape = Tape::create(&path, "illumine test").unwrap();
    tape.model(model(""));
    tape.model(model(""));
    takes.iter().for_each(|take| tape.answer(take.clone()));
    assert_eq!(tape.finish(), Ok(takes.len()));
    (folder, path)
}

fn text_of(take: &Take) -> String {
    take.passages().iter().map(|it| it.text.as_str()).collect()
}

#[test]
fn cases_with_the_same_request_each_get_their_own_answers_in_any_order() {
    let lamp = request(2, "The lamp");
    let take = |case: &str, text: &str| Take {
        case: case.to_string(),
        ..take(&lamp, text)
    };
    let takes = [("one", "1a"), ("two", "2a"), ("one", "1b"), ("", "old")];
    let (_folder, path) = cassette(&takes.map(|(case, text)| take(case, text)));
    let opened = Cassette::open(&path, Matching::Strict).unwrap();
    let asked = ["two", "one", "new", "one", "one", "two", "new", ""];
    let texts = asked.map(|case| text_of(&opened.answer(&question(&lamp), case).unwrap()));
    assert_eq!(texts, ["2a", "1a", "1a", "1b", "1b", "2a", "2a", "old"]);
    let same = Cassette::open(&path, Matching::InOrder).unwrap();
    assert_eq!(same.digest(), opened.digest());
    let (_other, path) = cassette(&[take("one", "1a")]);
    let other = Cassette::open(&path, Matching::Strict).unwrap();
    assert_ne!(other.digest(), opened.digest());
}

#[test]
fn the_key_depends_on_what_the_answer_depends_on() {
    let asked = request(2, "The lamp");
    let key = question(&asked).key();
    let same = [
        request(9, "The lamp"),
        TextRequest {
            sampling: Sampling {
                seed: Some(8),
                recall: 3,
                ..Sampling::default()
            },
            ..request(2, "The lamp")
        },
    ];
    for other in &same {
        assert_eq!(question(other).key(), key);
    }
    let mut tokens = request(2, "The lamp");
    let Context::Prose { parts, .. } = &mut tokens.context else {
        panic!("it is prose");
    };
    parts[1].ids = vec![4, 5];
    parts[1].model_sha256 = MODEL.to_string();
    let setting = |change: fn(&mut Sampling)| {
        let mut other = request(2, "The lamp");
        change(&mut other.sampling);
        other
    };
    let different = [
        request(2, "The lamps"),
        tokens.clone(),
        setting(|sampling| sampling.temperature = 0.7),
        setting(|sampling| sampling.top_k = 9),
        setting(|sampling| sampling.max_tokens = 9),
        setting(|sampling| sampling.stop.push("x".to_string())),
        TextRequest {
            seed: 6,
            ..request(2, "The lamp")
        },
        TextRequest {
            goal: LengthGoal::Exact,
            ..request(2, "The lamp")
        },
        TextRequest {
            heal: true,
            ..request(2, "The lamp")
        },
        TextRequest {
            begin: vec![3],
            ..request(2, "The lamp")
        },
    ];
    for other in &different {
        assert_ne!(question(other).key(), key, "{other:?}");
    }
    let kind = Question::new(Kind::Alternatives, MODEL, std::slice::from_ref(&asked));
    assert_ne!(kind.key(), key);
    let anyone = question(&asked).to_any_model();
    assert_eq!(question(&tokens).to_any_model(), anyone);
    assert_ne!(question(&different[2]).to_any_model(), anyone);
}

#[test]
fn a_request_gets_its_answers_in_the_order_of_recording() {
    let (sea, lamp) = (request(2, "The sea"), request(2, "The lamp"));
    let (_folder, path) = cassette(&[take(&sea, "1"), take(&lamp, "2"), take(&sea, "3")]);
    let strict = Cassette::open(&path, Matching::Strict).unwrap();
    let answers =
        [&sea, &lamp, &sea, &sea].map(|it| text_of(&strict.answer(&question(it), "").unwrap()));
    assert_eq!(answers, ["1", "2", "3", "3"]);
    let known = strict.model("").unwrap();
    assert_eq!(known.about.name, "tale␛[31m");
    let why = strict.model("other").unwrap_err();
    assert!(
        why.contains("no answers of other; it has those of tale"),
        "{why}"
    );
    let in_order = Cassette::open(&path, Matching::InOrder).unwrap();
    let answers =
        [&lamp, &lamp, &lamp].map(|it| text_of(&in_order.answer(&question(it), "").unwrap()));
    assert_eq!(answers, ["1", "2", "3"]);
    let over = in_order.answer(&question(&lamp), "").unwrap_err();
    assert!(
        over.why.contains("only 3 answers, but this is request 4"),
        "{}",
        over.why
    );
    let kinds = Cassette::open(&path, Matching::InOrder).unwrap();
    let other = kinds.answer(&Question::count(MODEL, "x"), "").unwrap_err();
    assert!(
        other.why.contains("answer 1 of the cassette"),
        "{}",
        other.why
    );
}

#[test]
fn another_model_finds_the_answer_by_its_text() {
    let sea = request(2, "The sea");
    let (_folder, path) = cassette(&[take(&sea, "1")]);
    let asked = Question::new(Kind::Passage, "ffff", std::slice::from_ref(&sea));
    let strict = Cassette::open(&path, Matching::Strict).unwrap();
    let why = strict.answer(&asked, "").unwrap_err().why;
    assert!(why.contains("differs in model"), "{why}");
    let any = Cassette::open(&path, Matching::AnyModel).unwrap();
    assert_eq!(text_of(&any.answer(&asked, "").unwrap()), "1");
}

#[test]
fn a_request_without_an_answer_is_compared_with_the_nearest() {
    let words: Vec<String> = (0..80).map(|word| format!("word{word}")).collect();
    let opening = |last: &str| format!("{} {last}", words.join(" "));
    let mut takes: Vec<Take> = (0..40)
        .map(|number| {
            let text = format!("Case {number} about {} and rain", words[number]);
            take(&request(2, &text), "x")
        })
        .collect();
    takes.insert(17, take(&request(2, &opening("The keeper slept.")), "x"));
    let (_folder, path) = cassette(&takes);
    let strict = Cassette::open(&path, Matching::Strict).unwrap();
    let miss = |request: &TextRequest| *strict.answer(&question(request), "").unwrap_err();
    let found = miss(&request(2, &opening("The keeper woke.")));
    assert!(
        found.why.contains("(line 20) differs in the prompt."),
        "{}",
        found.why
    );
    let difference = found.difference.unwrap();
    assert!(
        difference.starts_with("prompt: …") && difference.ends_with("keeper [-slept-]{+woke+}."),
        "{difference}"
    );
    let mut hot = request(2, &opening("The keeper slept."));
    hot.sampling.temperature = 1.2;
    hot.sampling.top_k = 5;
    let found = miss(&hot);
    assert!(
        found.why.contains("differs in temperature and top_k."),
        "{}",
        found.why
    );
    assert_eq!(
        found.difference.unwrap(),
        "temperature: [-0.8-]{+1.2+}\ntop_k: [-off-]{+5+}"
    );
    let (_folder, path) = cassette(&[]);
    let empty = Cassette::open(&path, Matching::Strict).unwrap();
    let why = empty.answer(&question(&hot), "").unwrap_err().why;
    assert!(why.contains("nor to a similar one"), "{why}");
}

#[test]
fn a_damaged_cassette_is_refused_with_the_line() {
    let (_folder, path) = cassette(&[take(&request(2, "The sea"), "1")]);
    let whole = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let open = |text: String| {
        fs::write(&path, text).unwrap();
        Cassette::open(&path, Matching::Strict).err().unwrap()
    };
    let cut = open(whole[..whole.len() - 20].to_string());
    assert!(cut.contains(":3: The line is incomplete; record"), "{cut}");
    let wrong = whole.replace("\"status\":\"length\"", "\"status\":\"\u{1b}long\"");
    let wrong = open(wrong);
    assert!(
        wrong.contains(":3: The line is") && !wrong.contains('\u{1b}'),
        "{wrong}"
    );
    let key = format!("\"key\":\"{}", &question(&request(2, "The sea")).key()[..2]);
    let short = open(whole.replace(&key, "\"key\":\""));
    assert!(short.contains(":3: The key is not"), "{short}");
    let endless = open(whole.replace("\"done\":{\"status\"", "\"ended\":{\"of\":0,\"status\""));
    assert!(endless.contains(":3: The answer has no end"), "{endless}");
    let newer = open(whole.replace("\"illumine-cassette\":1", "\"illumine-cassette\":2"));
    assert!(newer.contains("newer illumine (illumine test)"), "{newer}");
    for other in ["", "illumine-replay 1\n", &lines[1..].join("\n")] {
        let why = open(other.to_string());
        assert!(why.contains("is not a cassette"), "{why}");
    }
    // Unknown fields and empty lines are no damage.
    let newer = whole.replace("\"key\":", "\"future\":[1],\"key\":") + "\n";
    fs::write(&path, newer).unwrap();
    assert!(Cassette::open(&path, Matching::Strict).is_ok());
}

/// Checks that changed or missing bytes cause an error or a different answer, but never a panic.
#[test]
fn no_change_of_a_cassette_is_a_panic() {
    let sea = request(2, "The sea");
    let (_folder, path) = cassette(&[take(&sea, "1"), take(&request(2, "The lamp"), "2")]);
    let whole = fs::read(&path).unwrap();
    for number in 0..600 {
        let random = |stream| base::hash::split_mix(stream, number) as usize;
        let mut bytes = whole.clone();
        match random(1) % 3 {
            0 => bytes[random(2) % whole.len()] = random(3) as u8,
            1 => bytes[random(2) % whole.len()] = b"0123456789\"[]{},-e"[random(3) % 18],
            _ => bytes.truncate(random(2) % whole.len()),
        }
        fs::write(&path, bytes).unwrap();
        for matching in [Matching::Strict, Matching::InOrder, Matching::AnyModel] {
            let Ok(opened) = Cassette::open(&path, matching) else {
                continue;
            };
            let Ok(take) = opened.answer(&question(&sea), "") else {
                continue;
            };
            for (passage, score) in take.passages().iter().zip(&take.scores) {
                let now = PassageScore::default();
                compare(passage, score.as_ref(), &now, 0.1);
            }
            let requests = std::slice::from_ref(&sea);
            let events = take.events.iter().map(|(_, event)| event.event(requests));
            events.for_each(drop);
        }
    }
}

#[test]
fn only_a_cassette_is_overwritten_and_only_by_a_whole_one() {
    let (folder, path) = cassette(&[take(&request(2, "The sea"), "1")]);
    let whole = fs::read(&path).unwrap();
    let tape = Tape::create(&path, "x").unwrap();
    tape.answer(take(&request(2, "The lamp"), "1"));
    drop(tape);
    assert_eq!(fs::read(&path).unwrap(), whole);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let other = folder.path().join("story.txt");
    fs::write(&other, "Once.").unwrap();
    let why = Tape::create(&other, "x").err().unwrap();
    assert!(why.contains("is not a cassette"), "{why}");
    assert!(Tape::create(Path::new("/nowhere/at/all"), "x").is_err());
}

#[test]
fn events_come_back_for_the_passages_of_another_run() {
    let recorded = [request(2, "a"), request(3, "a")];
    let played = [request(12, "a"), request(13, "a")];
    let ended = |node, begins| Event::Ended {
        node,
        status: Status::Complete,
        stats: PassageStats {
            begins,
            ..PassageStats::default()
        },
    };
    let event = RecordedEvent::of(&ended(3, Some((1, 1))), &recorded).unwrap();
    let json = serde_json::to_string(&event).unwrap();
    let event: RecordedEvent = serde_json::from_str(&json).unwrap();
    assert_eq!(event.event(&played), Some(ended(13, Some((11, 1)))));
    assert_eq!(
        event::at_place(Some((1, 2)), &played),
        None,
        "the text has one byte"
    );
    assert_eq!(
        event.event(&played[..1]),
        None,
        "there is no second passage"
    );
    let loading = Event::Loading {
        what: "x".to_string(),
        done: 0,
        total: None,
    };
    assert_eq!(RecordedEvent::of(&loading, &recorded), None);
    let failed = RecordedEvent::Failed {
        why: "x".to_string(),
        fault: FailureKind::Overflow,
    };
    let json = serde_json::to_string(&failed).unwrap();
    assert_eq!(json, r#"{"failed":{"why":"x","fault":"overflow"}}"#);
}

fn passage(text: &str) -> WrittenPassage {
    WrittenPassage {
        text: text.to_string(),
        ..WrittenPassage::default()
    }
}

fn score(tokens: &[(usize, f64)]) -> PassageScore {
    let token = |(bytes, log_probability): &(usize, f64)| TokenScore {
        bytes: *bytes,
        log_probability: *log_probability,
        ..TokenScore::default()
    };
    PassageScore {
        tokens: tokens.iter().map(token).collect(),
        ..PassageScore::default()
    }
}

#[test]
fn each_token_must_be_about_as_likely_as_recorded() {
    let written = passage(" a lamp");
    let recorded = RecordedScore::new(&score(&[(2, -1.0), (5, -2.0)]));
    let (agreement, found) = compare(
        &written,
        Some(&recorded),
        &score(&[(2, -1.1), (5, -1.9)]),
        0.2,
    );
    assert_eq!(found, None);
    assert_eq!(agreement.compared, 2);
    assert!((agreement.mean() - 0.1).abs() < 1e-9 && (agreement.most - 0.1).abs() < 1e-9);
    let (_, found) = compare(
        &written,
        Some(&recorded),
        &score(&[(2, -1.0), (5, -2.3)]),
        0.2,
    );
    let found = found.unwrap();
    assert!(
        found
            .why
            .starts_with("Token 2 of the passage, \" lamp\", has"),
        "{}",
        found.why
    );
    assert!(
        found
            .difference
            .unwrap()
            .contains("-2.0000    -2.3000  \" lamp\"")
    );
    // Not admissible, although the probability is the same, or unknown.
    let mut cut = score(&[(2, -1.0), (5, -2.0)]);
    cut.tokens[0].admissible = Some(false);
    for recorded in [Some(&recorded), None] {
        let why = compare(&written, recorded, &cut, 0.2).1.unwrap().why;
        assert!(why.contains("\" a\", is not admissible"), "{why}");
    }
    let (agreement, found) = compare(&written, None, &score(&[(2, -9.0), (5, -9.0)]), 0.2);
    assert_eq!((agreement.unscored, found), (2, None));
}

#[test]
fn another_tokenizer_is_compared_where_tokens_end_together() {
    let written = passage(" a lamp!");
    let recorded = RecordedScore::new(&score(&[(2, -1.0), (3, -1.0), (2, -1.0), (1, -0.5)]));
    let now = |last| score(&[(2, -1.0), (5, -2.1), (1, last)]);
    assert_eq!(compare(&written, Some(&recorded), &now(-0.5), 0.2).1, None);
    assert!(
        compare(&written, Some(&recorded), &now(-0.9), 0.2)
            .1
            .is_some()
    );
    // The first token begins in the text before the passage, so its share is unknown.
    let joined = PassageScore {
        lead: 3,
        ..score(&[(5, -9.0), (5, -2.0), (1, -0.5)])
    };
    let (agreement, found) = compare(&written, Some(&recorded), &joined, 0.2);
    assert_eq!(
        (agreement.compared, agreement.unscored, found),
        (2, 1, None)
    );
}

#[test]
fn a_token_that_is_not_admissible_is_named_on_its_own() {
    let recorded = RecordedScore::new(&score(&[(2, -1.0), (5, -2.0), (3, -1.0)]));
    let mut now = score(&[(2, -1.0), (1, -9.0), (3, -1.0)]);
    now.tokens[1].admissible = Some(false);
    let found = compare(&passage(" a, so"), Some(&recorded), &now, 0.2)
        .1
        .unwrap();
    assert!(
        found
            .why
            .starts_with("Token 2 of the passage, \",\", is not"),
        "{}",
        found.why
    );
}

#[test]
fn many_small_differences_are_too_many() {
    let text = "x".repeat(20);
    let tokens = |log: f64| score(&[(1, log); 20]);
    let recorded = RecordedScore::new(&tokens(-1.0));
    let found = compare(&passage(&text), Some(&recorded), &tokens(-1.04), 0.2).1;
    assert_eq!(found, None);
    let found = compare(&passage(&text), Some(&recorded), &tokens(-1.1), 0.2).1;
    assert!(
        found
            .unwrap()
            .why
            .contains("20 tokens differ by 0.1000 on average")
    );
}
