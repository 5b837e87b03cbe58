//! Tests `illumine write --each` with a fake model server.

use crate::support::Home;
use crate::support::case_server::{Answer, CaseServer, TEXT};
use crate::support::home::Run;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Writes a file with `count` cases, which have the ids `c0`, `c1`, and so on. Returns the path of
/// the file.
fn cases(home: &Home, count: usize) -> String {
    let row = |at| json!({"id": format!("c{at}"), "prompt": format!("p{at}")}).to_string() + "\n";
    let rows: String = (0..count).map(row).collect();
    home.file("cases.jsonl", rows).display().to_string()
}

fn each(home: &Home, server: &CaseServer, cases: &str, more: &[&str]) -> Run {
    let args = ["write", "--each", cases, "--backend", &server.root];
    home.illumine(&[&args, more].concat())
        .without("ILLUMINE_OFFLINE")
}

fn rows(text: &[u8]) -> Vec<Value> {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    lines
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

fn rows_of(path: &Path) -> Vec<Value> {
    rows(&fs::read(path).unwrap())
}

fn by_id(rows: &[Value]) -> BTreeMap<String, &Value> {
    let by_id: BTreeMap<String, &Value> = rows
        .iter()
        .map(|row| (row["id"].as_str().unwrap().to_string(), row))
        .collect();
    assert_eq!(by_id.len(), rows.len(), "an id has more than one row");
    by_id
}

#[test]
fn two_hundred_in_flight_and_none_lost_or_doubled() {
    let home = Home::new();
    let server = CaseServer::start(|_, _| Answer::Text(Duration::from_millis(300)));
    let cases = cases(&home, 600);
    let run = each(&home, &server, &cases, &["--jobs", "200"]);
    let run = run.run().expect(0);
    let rows = rows(&run.stdout);
    let found = by_id(&rows);
    assert_eq!(found.len(), 600);
    for (at, row) in (0..600).map(|at| (at, found[&format!("c{at}")])) {
        assert_eq!(row["text"], format!(" after p{at}"));
        assert_eq!(
            (&row["finish"], &row["tokens"]),
            (&json!("length"), &json!(5))
        );
        assert_eq!(
            (&row["attempts"], &row["model"]),
            (&json!(1), &json!("tale"))
        );
        assert_eq!(row["usage"]["prompt_tokens"], 3);
    }
    server.seen(|seen| {
        assert_eq!(seen.peak, 200);
        assert!(seen.asked.values().all(|times| times.len() == 1));
    });
    assert!(
        run.stderr.contains("600 cases written, 0 failed"),
        "{}",
        run.stderr
    );
}

#[test]
fn what_may_pass_is_sent_again_and_what_will_not_is_a_row() {
    let home = Home::new();
    let server = CaseServer::start(|prompt, before| match (prompt, before) {
        ("p0", 0) => Answer::Status(429, Some("1")),
        ("p1", 0) => Answer::Status(503, None),
        ("p2", 0) => Answer::Status(408, None),
        ("p3", 0) => Answer::Cut,
        ("p4", 0) => Answer::Closed,
        ("p5", 0) => Answer::Page,
        ("p6", 0) => Answer::Silence,
        ("p7", _) => Answer::Status(400, None),
        ("p8", _) => Answer::Status(401, None),
        ("p9", _) => Answer::Status(404, None),
        ("p10", _) => Answer::Status(500, None),
        _ => TEXT,
    });
    let cases = cases(&home, 12);
    let run = each(
        &home,
        &server,
        &cases,
        &["--timeout", "2", "--retries", "1"],
    );
    let run = run.run().expect(1);
    let rows = rows(&run.stdout);
    let found = by_id(&rows);
    assert_eq!(found.len(), 12);
    for at in 0..7 {
        let row = found[&format!("c{at}")];
        assert_eq!(row["text"], format!(" after p{at}"), "{row}");
        assert_eq!(row["attempts"], 2, "{row}");
    }
    for (at, attempts) in [(7, 1), (8, 1), (9, 1), (10, 2)] {
        let row = found[&format!("c{at}")];
        assert!(
            row["error"].is_string() && row.get("text").is_none(),
            "{row}"
        );
        assert_eq!(row["attempts"], attempts, "{row}");
        assert!(!row["error"].as_str().unwrap().contains("/retry"), "{row}");
    }
    server.seen(|seen| {
        let times = &seen.asked["p0"];
        assert!(times[1] - times[0] >= Duration::from_secs(1), "Retry-After");
        assert_eq!(seen.asked["p7"].len(), 1);
    });
    assert!(
        run.stderr.contains("8 cases written, 4 failed"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_date_to_wait_for_is_honoured_and_no_retry_means_none() {
    let home = Home::new();
    // A date in the past means a retry without a wait.
    let past = "Sun, 06 Nov 1994 08:49:37 GMT";
    let server = CaseServer::start(move |_, before| match before {
        0 => Answer::Status(503, Some(past)),
        _ => TEXT,
    });
    let cases = cases(&home, 2);
    each(&home, &server, &cases, &[]).run().expect(0);
    server.seen(|seen| assert!(seen.asked.values().all(|times| times.len() == 2)));
    let busy = CaseServer::start(|_, _| Answer::Status(503, None));
    let run = each(&home, &busy, &cases, &["--retries", "0"]);
    run.run().expect(1);
    busy.seen(|seen| assert!(seen.asked.values().all(|times| times.len() == 1)));
}

#[test]
fn a_bad_row_costs_one_row_and_rows_change_settings() {
    let home = Home::new();
    let server = CaseServer::start(|_, _| TEXT);
    let text = r#"{"id": "a", "prompt": "Once", "temperature": 0, "seed": 11, "length": 7}
not json
{"id": "c", "prompt": "Twice", "temperature": "warm"}
{"custom_id": "d", "body": {"model": "tale", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}}

"Thrice"
"#;
    let cases = home.file("cases.jsonl", text).display().to_string();
    let run = each(&home, &server, &cases, &["--seed", "5"])
        .run()
        .expect(1);
    let rows = rows(&run.stdout);
    let found = by_id(&rows);
    let ids: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(ids, ["a", "c", "d", "line-2", "line-6"]);
    let error = |id: &str| found[id]["error"].as_str().unwrap();
    assert!(
        error("line-2").starts_with("Line 2 "),
        "{}",
        error("line-2")
    );
    assert!(error("c").starts_with("Line 3 ") && error("c").contains("temperature"));
    assert_eq!(
        (&found["a"]["seed"], &found["d"]["seed"]),
        (&json!(11), &json!(5))
    );
    server.seen(|seen| {
        let body = |with: &str| {
            let mut bodies = seen.bodies.iter();
            bodies.find(|body| body.to_string().contains(with)).unwrap()
        };
        assert_eq!(body("Once")["temperature"], 0.0);
        assert_eq!(
            (&body("Once")["max_tokens"], &body("Once")["seed"]),
            (&json!(7), &json!(11))
        );
        assert_eq!(body("\"Hi\"")["max_tokens"], 9);
        assert_eq!(body("\"Hi\"")["messages"][0]["role"], "user");
    });
    let twins = home.file(
        "twins.jsonl",
        "{\"id\":1,\"prompt\":\"x\"}\n{\"id\":1,\"prompt\":\"y\"}\n",
    );
    let run = each(&home, &server, &twins.display().to_string(), &[])
        .run()
        .expect(2);
    assert!(run.stderr.contains("Lines 1 and 2"), "{}", run.stderr);
}

#[test]
fn a_killed_run_is_resumed_where_it_was() {
    let home = Home::new();
    let server = CaseServer::start(|prompt, before| match (prompt, before) {
        ("p7", 0) => Answer::Status(400, None),
        _ => Answer::Text(Duration::from_millis(40)),
    });
    let cases = cases(&home, 400);
    let out = home.path().join("out.jsonl");
    let output = ["--jobs", "16", "--output", out.to_str().unwrap()];
    let live = each(&home, &server, &cases, &output).start();
    let written = || fs::read(&out).map_or(0, |rows| rows.iter().filter(|b| **b == b'\n').count());
    while written() < 60 {
        std::thread::sleep(Duration::from_millis(5));
    }
    live.signal(libc::SIGKILL);
    drop(live);
    let before = fs::read(&out).unwrap();
    // Leaves the last row incomplete, as a crash would.
    fs::write(
        &out,
        [&before[..], b"{\"id\":\"c399\",\"text\":\"hal"].concat(),
    )
    .unwrap();
    let done = rows(&before).len();
    let run = each(&home, &server, &cases, &output).run().expect(0);
    assert!(run.stderr.contains("already written"), "{}", run.stderr);
    let rows = rows_of(&out);
    let complete: Vec<Value> = rows
        .into_iter()
        .filter(|row| row.get("error").is_none())
        .collect();
    assert_eq!(by_id(&complete).len(), 400);
    assert!(
        complete
            .iter()
            .all(|row| row["text"].as_str().unwrap().starts_with(" after p"))
    );
    server.seen(|seen| {
        let asked: usize = seen.asked.values().map(Vec::len).sum();
        assert!(
            asked <= 400 + 1 + 16,
            "{asked} requests, {done} done before"
        );
    });
    let again = each(&home, &server, &cases, &output).run().expect(0);
    assert!(
        again.stderr.contains("0 cases to write"),
        "{}",
        again.stderr
    );
}

#[test]
fn parts_are_the_whole_and_merge_in_the_order_of_the_file() {
    let home = Home::new();
    let server = CaseServer::start(|_, _| TEXT);
    let cases = cases(&home, 100);
    let path = |name: &str| home.path().join(name).display().to_string();
    let parts: Vec<String> = (0..3)
        .map(|part| path(&format!("part{part}.jsonl")))
        .collect();
    let mut ids = BTreeSet::new();
    for (part, out) in parts.iter().enumerate() {
        let run = each(&home, &server, &cases, &["--output", out, "--shard", "3"]);
        let run = run.variable("JOB_COMPLETION_INDEX", &part.to_string());
        run.run().expect(0);
        for row in rows_of(Path::new(out)) {
            assert!(ids.insert(row["id"].to_string()), "a case is in two parts");
        }
    }
    assert_eq!(ids.len(), 100);
    server.seen(|seen| assert!(seen.asked.values().all(|times| times.len() == 1)));
    let all = path("all.jsonl");
    let merge = |inputs: &[&str], code| {
        let args = ["write", "--each", &cases, "--merge", &all];
        home.illumine(&[&args, inputs].concat()).run().expect(code)
    };
    let run = merge(&[&parts[0], &parts[2]], 1);
    assert!(run.stderr.contains("missing"), "{}", run.stderr);
    // Adds an older failure and a newer complete row for the same case.
    let failed = "{\"id\":\"c5\",\"error\":\"no\",\"ended\":\"2020-01-01T00:00:00Z\"}\n";
    let twice = "{\"id\":\"c6\",\"text\":\"new\",\"finish\":\"complete\",\"ended\":\"2999-01-01T00:00:00Z\"}\n";
    let more = home.file("more.jsonl", [failed, twice].concat());
    let run = merge(&[&parts[1], more.to_str().unwrap()], 0);
    assert!(
        run.stderr.contains("More than one result for c6"),
        "{}",
        run.stderr
    );
    let merged = rows_of(Path::new(&all));
    let order: Vec<String> = merged
        .iter()
        .map(|row| row["id"].as_str().unwrap().into())
        .collect();
    assert_eq!(
        order,
        (0..100).map(|at| format!("c{at}")).collect::<Vec<_>>()
    );
    assert_eq!(merged[6]["text"], "new");
    assert_eq!(merged[5]["text"], " after p5");
}

#[test]
fn an_interrupt_leaves_what_came_and_a_dead_server_ends_the_run() {
    let home = Home::new();
    let server = CaseServer::start(|prompt, _| match prompt {
        "p0" | "p1" | "p2" => TEXT,
        _ => Answer::Text(Duration::from_secs(20)),
    });
    let cases = cases(&home, 50);
    let out = home.path().join("out.jsonl");
    let output = ["--output", out.to_str().unwrap()];
    let live = each(&home, &server, &cases, &output).start();
    let rows_now = || fs::read(&out).map_or(0, |rows| rows.iter().filter(|b| **b == b'\n').count());
    while rows_now() < 3 || server.seen(|seen| seen.asked.len()) < 8 {
        std::thread::sleep(Duration::from_millis(5));
    }
    live.signal(libc::SIGINT);
    live.ended_within(Duration::from_secs(10)).expect(130);
    assert_eq!(rows_of(&out).len(), 3);
    let gone = home.illumine(&["write", "--each", &cases, "--backend", "http://127.0.0.1:1"]);
    let gone = gone.without("ILLUMINE_OFFLINE").run().expect(3);
    assert!(gone.stderr.contains("Cannot reach"), "{}", gone.stderr);
    assert!(gone.stdout.is_empty());
}

#[test]
fn a_local_model_writes_each_case_as_it_writes_one() {
    let home = Home::new();
    let text = "{\"id\":\"a\",\"prompt\":\"The sea\",\"seed\":3,\"length\":6}\n{\"id\":\"b\",\"prompt\":\"Hello\",\"seed\":4,\"length\":6,\"mode\":\"chat\"}\n";
    let run = home
        .illumine(&["write", "--each", "-"])
        .input(text)
        .run()
        .expect(0);
    let rows = rows(&run.stdout);
    let alone = |args: &[&str]| {
        let run = home.illumine(&[&["write", "-n", "6"], args].concat()).run();
        String::from_utf8(run.expect(0).stdout).unwrap()
    };
    assert_eq!(rows[0]["text"], alone(&["The sea", "--seed", "3"]));
    assert_eq!(rows[1]["text"], alone(&["Hello", "--seed", "4", "--chat"]));
    assert_eq!(rows[0]["tokens"], 6);
}
