//! `illumine replay` with batches of cases on the real default model, and the engine behind them.

use crate::support::{Home, home::plain, model_path};
use hub::catalog::Catalog;
use hub::fetch::{HttpSettings, HubSettings, ModelStore};
use illumine::engine::fan_out::{Pacing, SharedLoader};
use illumine::engine::{Engine, ModelLoader};
use llm::device::DeviceChoice;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;
use story::context::{ContextPart, PartKind};
use story::message::{LengthGoal, Overflow, PassageStats, TextRequest};
use story::{Context, Event, Request, Sampling};

const TOWN: &str = "The town lay between the river and the hill, and its people baked bread, mended nets and told each other the same old stories every winter.";

/// Cases of many kinds: long and short ones, with and without a shared beginning. Some end inside a
/// word, continue their own passage, ban a phrase or write several passages at once.
fn script() -> String {
    let mut script = "illumine-replay 1\nset max_tokens 9\n".to_string();
    for at in 0..6 {
        let name = ["miller", "baker", "sailor", "piper", "thief", "queen"][at];
        script += &format!(
            "case {name}\nset seed {at} max_tokens {}\n> {TOWN} The {name} went ou\nexpect tokens >= 1\n",
            4 + 3 * at
        );
    }
    script += &format!(
        "case twice\n> {TOWN} One day\n> Then the bell rang.\n/retry seed=3\nexpect words 1..400\n"
    );
    script += "case other\n> Far away from there, a small ship\nexpect golden other\n";
    script += "case banned\n/set banned_phrases the\n> It was dark in\nexpect tokens >= 1\n";
    script += "case several\n> A door opened and\n/gen 2\nexpect tokens >= 1\n";
    script += &format!("case again\nrepeat 3\n> {TOWN} At night\nexpect words <= 60\n");
    script += "case wrong\n> Snow\nexpect contains \"no such words\"\nexpect perplexity < 0.5\n";
    script += "case quiet\nset temperature 0\n> The lamp\nexpect equals \"\"\n";
    script
}

#[test]
fn batches_give_the_same_bytes_as_one_case_at_a_time() {
    let home = Home::new();
    home.file("many.illum", script());
    let run = |more: &[&str]| {
        let args = ["replay", "many.illum", "--json", "--stable"];
        let output = home.illumine(&[&args, more].concat()).run().expect(1);
        plain(&output.stderr);
        output.stdout
    };
    let alone = run(&["--batch", "1", "--threads", "1"]);
    assert_eq!(alone.split(|byte| *byte == b'\n').count(), 15);
    for more in [
        ["--batch", "6", "--threads", "2"],
        ["--batch", "3", "--threads", "1"],
    ] {
        assert!(run(&more) == alone, "{more:?}");
    }

    // A run that is killed in the middle continues to the same bytes.
    let part = ["replay", "many.illum", "--stable", "--batch", "4"];
    let report = ["--report", "part.jsonl", "--resume", "part.jsonl"];
    let part = [&part[..], &report].concat();
    let live = home.illumine(&part).start();
    let read = || std::fs::read(home.path().join("part.jsonl")).unwrap_or_default();
    while read().iter().filter(|byte| **byte == b'\n').count() < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    live.signal(libc::SIGKILL);
    live.ended_within(Duration::from_secs(10));
    home.illumine(&part).run().expect(1);
    assert!(read() == alone);
}

fn loader() -> ModelLoader {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("models");
    let hub = HubSettings::from_variables(|_| None, &root);
    let store = ModelStore {
        offline: true,
        ..ModelStore::new(root, hub, HttpSettings::default())
    };
    ModelLoader {
        device: DeviceChoice::Cpu,
        threads: 2,
        ..ModelLoader::new(Catalog::embedded().unwrap(), store)
    }
}

/// Continues each text with a passage. All passages are written at the same time, with one model.
fn written(texts: &[String]) -> Vec<PassageStats> {
    let pacing = Pacing {
        jobs: Some(1),
        retries: 0,
        limit: Duration::from_secs(60),
        entropy: 0,
        resident: true,
    };
    let loader = SharedLoader::new(loader(), pacing, |_| {});
    let start = |text: &String| {
        let (sender, events) = channel();
        let engine = Engine::start(loader.clone(), sender);
        let model = model_path().to_str().unwrap().to_string();
        engine.submit(Request::Load { model });
        let kind = PartKind::Story { node: 0, from: 0 };
        engine.submit(Request::Text(TextRequest {
            node: 1,
            context: Context::Prose {
                parts: vec![ContextPart::plain(kind, text)],
                after: String::new(),
            },
            sampling: Sampling {
                max_tokens: 6,
                ..Sampling::default()
            },
            seed: 5,
            overflow: Overflow::Refuse,
            goal: LengthGoal::Exact,
            bans: Vec::new(),
            heal: false,
            begin: Vec::new(),
            retrieval: None,
        }));
        (engine, events)
    };
    let running: Vec<_> = texts.iter().map(start).collect();
    let stats = |(_, events): &(Engine, std::sync::mpsc::Receiver<_>)| {
        loop {
            let reply: story::Reply = events.recv_timeout(Duration::from_secs(60)).unwrap();
            match reply.event {
                Event::Done {
                    node: Some(1),
                    stats,
                    ..
                } => return stats,
                Event::Failed { why, .. } => panic!("{why}"),
                _ => {}
            }
        }
    };
    running.iter().map(stats).collect()
}

#[test]
fn a_beginning_that_many_requests_share_is_evaluated_once() {
    let town = TOWN.repeat(5);
    let texts: Vec<String> = (0..8)
        .map(|at| format!("{town} Number {at} said"))
        .collect();
    let stats = written(&texts);
    let whole = stats[0].prompt_tokens;
    assert!(whole > 130, "{whole}");
    let evaluated: usize = stats.iter().map(|it| it.prompt_tokens - it.reused).sum();
    assert!(evaluated < whole + 8 * 10, "{evaluated} of {whole} each");
    assert!(stats.iter().all(|it| it.new_tokens == 6));
}
