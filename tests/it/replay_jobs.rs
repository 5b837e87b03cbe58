//! Tests `illumine replay` with many cases and a fake model server.

use crate::support::Home;
use crate::support::case_server::{Answer, CaseServer, TEXT};
use crate::support::home::{Run, plain};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// Writes a script with cases named `p0`, `p1`, and so on. Every tenth case fails.
fn script(home: &Home, count: usize) {
    let case = |at: usize| {
        let wrong = if at.is_multiple_of(10) { "never " } else { "" };
        format!("case p{at}\n> p{at}\nexpect contains \"{wrong}after p{at}\"\n")
    };
    let cases: String = (0..count).map(case).collect();
    home.file("many.illum", format!("illumine-replay 1\n{cases}"));
}

fn replay(home: &Home, server: &CaseServer, more: &[&str]) -> Run {
    let args = ["replay", "many.illum", "--backend", &server.root];
    home.illumine(&[&args, more].concat())
        .without("ILLUMINE_OFFLINE")
}

fn objects(text: &[u8]) -> Vec<Value> {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    lines
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// Parses JSON objects and removes the fields that depend on the server's address.
fn without_address(text: &[u8]) -> Vec<Value> {
    let mut objects = objects(text);
    for object in objects.iter_mut().filter_map(Value::as_object_mut) {
        for name in ["model", "models", "digest", "rerun"] {
            object.remove(name);
        }
    }
    objects
}

#[test]
fn jobs_lose_nothing_although_the_server_is_overloaded_and_report_what_one_job_reports() {
    let home = Home::new();
    script(&home, 200);
    let usual = CaseServer::start(|_, _| TEXT);
    let stable = ["--json", "--stable"];
    let one = replay(&home, &usual, &stable).run().expect(1);
    usual.seen(|seen| assert_eq!((seen.peak, seen.bodies.len()), (1, 200)));
    let busy = CaseServer::start(|prompt, before| match (prompt, before) {
        ("p3" | "p50" | "p51" | "p199", 0) => Answer::Status(429, Some("1")),
        ("p77", 0) => Answer::Closed,
        _ => Answer::Text(Duration::from_millis(20)),
    });
    let eight = replay(&home, &busy, &[&stable[..], &["--jobs", "8"]].concat());
    let eight = eight.run().expect(1);
    plain(&eight.stderr);
    let (one, eight) = (without_address(&one.stdout), without_address(&eight.stdout));
    assert_eq!(one.len(), 201);
    assert_eq!(one, eight);
    let run = &eight[200];
    assert_eq!((&run["passed"], &run["failed"]), (&180.into(), &20.into()));
    busy.seen(|seen| {
        // The overload lowers the limit.
        assert!((2..=8).contains(&seen.peak), "{}", seen.peak);
        assert_eq!(seen.bodies.len(), 205);
        let times = &seen.asked["p3"];
        assert!(times[1] - times[0] >= Duration::from_secs(1), "Retry-After");
    });
    let told = replay(&home, &busy, &["--jobs", "8", "--json"])
        .run()
        .expect(1);
    let told = objects(&told.stdout);
    assert!(
        told[..200].iter().all(|it| it["tokens"] == 5),
        "{}",
        told[0]
    );
    let names: BTreeSet<&str> = told.iter().filter_map(|it| it["case"].as_str()).collect();
    assert_eq!(names.len(), 200);
}

#[test]
fn every_case_is_in_one_part() {
    let home = Home::new();
    script(&home, 60);
    let server = CaseServer::start(|_, _| TEXT);
    let mut names = BTreeSet::new();
    for part in ["0", "1", "2"] {
        let run = replay(&home, &server, &["--shard", "3", "--json"]);
        let run = run.variable("JOB_COMPLETION_INDEX", part).run();
        assert!(run.stderr.contains("(from JOB_COMPLETION_INDEX)"));
        for object in objects(&run.stdout) {
            if let Some(name) = object["case"].as_str() {
                assert!(names.insert(name.to_string()), "{name} ran twice");
            }
        }
    }
    assert_eq!(names.len(), 60);
    let run = replay(&home, &server, &["--shard", "4/3"]).run().expect(2);
    assert!(run.stderr.contains("--shard"), "{}", run.stderr);
}

#[test]
fn a_server_that_is_gone_ends_the_run_and_ctrl_c_keeps_what_was_done() {
    let home = Home::new();
    script(&home, 100);
    let nobody = home
        .illumine(&["replay", "many.illum", "--backend", "http://127.0.0.1:9"])
        .without("ILLUMINE_OFFLINE");
    let run = nobody.run().expect(3);
    assert!(
        run.text()
            .contains("100 cases: 0 passed, 32 with errors, 68 not run"),
        "{}",
        run.text()
    );
    let server = CaseServer::start(|prompt, _| match prompt {
        "p0" | "p1" | "p2" => TEXT,
        _ => Answer::Silence,
    });
    let args = ["--jobs", "8", "--report", "a.xml", "--report", "a.jsonl"];
    let mut live = replay(&home, &server, &args).start();
    live.printed("FAILED many.illum: p0".len());
    std::thread::sleep(Duration::from_millis(300));
    live.signal(libc::SIGINT);
    let run = live.ended_within(Duration::from_secs(10)).expect(130);
    assert!(
        run.text()
            .contains("100 cases: 2 passed, 1 failed, 97 not run"),
        "{}",
        run.text()
    );
    assert!(run.stderr.contains("Interrupted; 97 cases did not run"));
    let read = |name: &str| std::fs::read_to_string(home.path().join(name)).unwrap();
    assert_eq!(read("a.xml").matches("<skipped").count(), 97);
    assert_eq!(objects(read("a.jsonl").as_bytes()).len(), 4);
}

#[test]
fn a_run_that_was_killed_is_resumed_to_the_same_bytes() {
    let home = Home::new();
    script(&home, 60);
    let server = CaseServer::start(|_, _| Answer::Text(Duration::from_millis(30)));
    let whole = ["--jobs", "3", "--stable", "--report", "whole.jsonl"];
    replay(&home, &server, &whole).run().expect(1);
    let read = |name: &str| std::fs::read_to_string(home.path().join(name)).unwrap();
    let whole = read("whole.jsonl");
    assert_eq!(whole.lines().count(), 61);
    let names: Vec<Value> = objects(whole.as_bytes());
    assert!((0..60).all(|at| names[at]["case"] == format!("p{at}")));

    let part = [
        "--jobs",
        "3",
        "--stable",
        "--report",
        "part.jsonl",
        "--resume",
        "part.jsonl",
    ];
    let live = replay(&home, &server, &part).start();
    let lines = || {
        let text = std::fs::read_to_string(home.path().join("part.jsonl"));
        text.map_or(0, |text| text.lines().count())
    };
    while lines() < 10 {
        std::thread::sleep(Duration::from_millis(5));
    }
    live.signal(libc::SIGKILL);
    live.ended_within(Duration::from_secs(10));
    let kept = read("part.jsonl").matches('\n').count();
    assert!((10..60).contains(&kept), "{kept}");
    let before = server.seen(|seen| seen.bodies.len());
    let run = replay(&home, &server, &part).run().expect(1);
    assert_eq!(read("part.jsonl"), whole);
    let asked = server.seen(|seen| seen.bodies.len()) - before;
    assert_eq!(asked, 60 - kept, "{}", run.stderr);
    assert!(
        run.stderr.contains(&format!(
            "{asked} cases to run, {kept} from the earlier run"
        )),
        "{}",
        run.stderr
    );
    // A changed case runs again, and so do all after a change of their settings.
    let text = read("many.illum").replace("> p7\n", "> p7 again\n");
    home.file("many.illum", text);
    let before = server.seen(|seen| seen.bodies.len());
    replay(&home, &server, &part).run().expect(1);
    assert_eq!(server.seen(|seen| seen.bodies.len()), before + 1);
    let other = [&part[..], &["--temperature", "0.3"]].concat();
    replay(&home, &server, &other).run().expect(1);
    assert_eq!(server.seen(|seen| seen.bodies.len()), before + 61);
}

#[test]
fn bail_stops_after_failures_and_every_report_says_so() {
    let home = Home::new();
    script(&home, 50);
    let server = CaseServer::start(|_, _| TEXT);
    let files = ["a.xml", "a.tap", "a.html", "a.jsonl"];
    let reports = files.map(|file| format!("--report={file}"));
    let reports: Vec<&str> = reports.iter().map(String::as_str).collect();
    let run = replay(&home, &server, &[&reports[..], &["--bail=2"]].concat());
    let run = run.run().expect(1);
    assert!(
        run.stderr
            .contains("Stopped by --bail; 39 cases did not run")
    );
    assert!(
        run.text()
            .contains("50 cases: 9 passed, 2 failed, 39 not run")
    );
    let read = |name: &str| std::fs::read_to_string(home.path().join(name)).unwrap();
    let xml = read("a.xml");
    assert_eq!(xml.matches("<testcase ").count(), 50);
    assert_eq!(xml.matches("<skipped").count(), 39);
    assert!(
        xml.contains("tests=\"50\" skipped=\"39\" errors=\"0\" failures=\"2\""),
        "{xml}"
    );
    let tap = read("a.tap");
    assert!(tap.starts_with("TAP version 14\n1..50\n# 50 cases: 9 passed, 2 failed, 39 not run"));
    assert!(tap.contains("\nnot ok 1 - many.illum: p0\n  ---\n"));
    assert_eq!(tap.matches("\nok ").count(), 9);
    assert!(tap.ends_with("Bail out! Stopped by --bail\n"), "{tap}");
    let html = read("a.html");
    assert!(
        html.contains("<title>Replay: 2 of 11 cases failed</title>"),
        "{html}"
    );
    assert_eq!(html.matches("<article>").count(), 2);
    assert_eq!(objects(read("a.jsonl").as_bytes()).len(), 12);
    let wrong = replay(&home, &server, &["--report", "a.txt"])
        .run()
        .expect(2);
    assert!(wrong.stderr.contains("does not say its format"));
}

#[test]
fn a_stable_report_is_the_same_in_another_folder() {
    let server = CaseServer::start(|_, _| Answer::Text(Duration::from_millis(3)));
    let texts = [1, 2].map(|_| {
        let home = Home::new();
        script(&home, 12);
        home.file("goldens/many/one.txt", "never");
        let more = "case last\n> p1\nexpect golden one\nexpect latency > 60000\n";
        let text = std::fs::read_to_string(home.path().join("many.illum")).unwrap();
        let path = home.file("many.illum", text + more);
        let path = path.display().to_string();
        let files = ["a.xml", "a.tap", "a.html", "a.jsonl"];
        let mut args = vec!["replay", &path, "--backend", &server.root, "--stable"];
        let reports = files.map(|file| format!("--report={file}"));
        args.extend(reports.iter().map(String::as_str));
        args.extend(["--jobs", "4"]);
        let run = home.illumine(&args).without("ILLUMINE_OFFLINE");
        let run = run.run().expect(1);
        let read = |name| std::fs::read_to_string(home.path().join(name)).unwrap();
        let texts = [vec![run.text().to_string()], files.map(read).to_vec()].concat();
        for text in &texts {
            assert!(!text.contains(&home.path().display().to_string()), "{text}");
            assert!(!text.contains(env!("CARGO_PKG_VERSION")) && !text.contains("60000."));
        }
        texts
    });
    assert_eq!(texts[0], texts[1]);
}

#[test]
fn two_runs_are_compared_case_by_case() {
    let home = Home::new();
    script(&home, 3);
    let server = CaseServer::start(|_, _| TEXT);
    let args = ["--compare", "mode=prose", "mode=chat", "--report", "a.html"];
    let run = replay(&home, &server, &args).run().expect(0);
    for part in [
        "A: mode=prose\nB: mode=chat\n",
        "1/1  0/1  many.illum: p1\n",
        "Texts that differ: 3 of 3.",
        "A passed 2 of 3 expectations: 67 %, 95 % interval 21 to 94 %.",
        "B is better in 0 of 2 decided cases: 0 %, 95 % interval 0 to 66 %.",
    ] {
        assert!(
            run.text().contains(part),
            "{part:?} is missing in:\n{}",
            run.text()
        );
    }
    let page = std::fs::read_to_string(home.path().join("a.html")).unwrap();
    assert!(
        page.contains("<del>") && page.contains("many.illum: <span"),
        "{page}"
    );
    let run = replay(&home, &server, &["--compare", "temprature=1", "seed=2"]);
    let why = run.run().sentence(2);
    assert!(why.contains("did you mean temperature?"), "{why}");
}

#[test]
fn goldens_are_reviewed_only_by_a_person() {
    let home = Home::new();
    script(&home, 1);
    let review = || home.illumine(&["replay", "many.illum", "--review"]);
    let why = review().run().sentence(2);
    assert!(why.contains("needs a terminal"), "{why}");
    let why = review().variable("CI", "true").run().sentence(2);
    assert!(why.contains("where the variable CI is set"), "{why}");
}
