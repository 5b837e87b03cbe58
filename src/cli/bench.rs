//! `illumine bench`: our speed, and a peer's in the same minutes.

use super::args::Bench as Args;
use super::environment::{self, Paths};
use super::{Exit, Failed, eval, print};
use illumine::bench::{Run, Spread, follow_up, measure, spread};
use illumine::model::ModelError;
use serde::Serialize;
use std::process::Command;

#[derive(Serialize)]
struct Report {
    model: String,
    sha256: String,
    backend: String,
    threads: usize,
    prompt: usize,
    generate: usize,
    load_ms: f64,
    prefill_tps: Spread,
    decode_tps: Spread,
    follow_up: FollowUp,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<Peer>,
}

/// The first token after a line of `line` tokens in a story of `story`.
#[derive(Serialize)]
struct FollowUp {
    story: usize,
    line: usize,
    reused: usize,
    ms: Spread,
}

#[derive(Serialize)]
struct Peer {
    command: String,
    prefill_tps: Spread,
    decode_tps: Spread,
    /// Ours divided by theirs, run by run.
    prefill_ratio: Spread,
    decode_ratio: Spread,
}

const STORY: usize = 1000;
const LINE: usize = 16;

pub fn run(paths: &Paths, args: &Args) -> Result<Exit, Failed> {
    let loader = environment::plain_loader(paths, args.device, args.threads)?;
    let threads = loader.threads;
    let mut loaded = eval::load(loader, args.model.as_deref())?;
    let broke = |error: ModelError| Failed::new(Exit::Engine, error);
    measure(&mut loaded, args.prompt.min(64), 8).map_err(broke)?;
    let (mut ours, mut theirs, mut follow) = (Vec::new(), Vec::new(), Vec::new());
    let mut reused = 0;
    for _ in 0..args.repeat {
        ours.push(measure(&mut loaded, args.prompt, args.generate).map_err(broke)?);
        if let Some(command) = &args.against {
            theirs.push(peer(command, args)?);
        }
        let (ms, kept) = follow_up(&mut loaded, STORY, LINE).map_err(broke)?;
        follow.push(ms);
        reused = kept;
    }
    let report = Report {
        model: loaded.about.name.clone(),
        sha256: loaded.about.sha256.clone(),
        backend: loaded.about.backend.clone(),
        threads,
        prompt: args.prompt,
        generate: args.generate,
        load_ms: loaded.about.load_ms,
        prefill_tps: figures(&ours, |run| run.prefill),
        decode_tps: figures(&ours, |run| run.decode),
        follow_up: FollowUp {
            story: STORY,
            line: LINE,
            reused,
            ms: spread(follow),
        },
        against: args.against.as_ref().map(|command| Peer {
            command: command.clone(),
            prefill_tps: figures(&theirs, |run| run.prefill),
            decode_tps: figures(&theirs, |run| run.decode),
            prefill_ratio: ratios(&ours, &theirs, |run| run.prefill),
            decode_ratio: ratios(&ours, &theirs, |run| run.decode),
        }),
    };
    if args.json {
        let report = serde_json::to_string(&report).unwrap_or_default();
        return print(&format!("{report}\n"));
    }
    print(&table(&report, args))
}

fn figures(runs: &[Run], of: fn(&Run) -> f64) -> Spread {
    spread(runs.iter().map(of).collect())
}

fn ratios(ours: &[Run], theirs: &[Run], of: fn(&Run) -> f64) -> Spread {
    let pairs = ours.iter().zip(theirs);
    spread(pairs.map(|(ours, theirs)| of(ours) / of(theirs)).collect())
}

/// Runs the peer once and reads llama-bench's JSON (`-o json`): rows with n_prompt, n_gen, avg_ts.
fn peer(command: &str, args: &Args) -> Result<Run, Failed> {
    let usage = |why: String| Failed::new(Exit::Usage, why);
    let (prompt, generate) = (args.prompt.to_string(), args.generate.to_string());
    let mut words = command.split_whitespace();
    let program = words
        .next()
        .ok_or_else(|| usage("--against takes a command".to_string()))?;
    let output = Command::new(program)
        .args(words)
        .args(["-o", "json", "-r", "1", "-p", &prompt, "-n", &generate])
        .output()
        .map_err(|error| usage(format!("{program} cannot be run: {error}")))?;
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).map_err(|_| {
        usage(format!(
            "{program} does not print llama-bench's JSON with -o json"
        ))
    })?;
    let speed = |key: &str| {
        let row = rows
            .iter()
            .find(|row| row[key].as_u64().is_some_and(|count| count > 0));
        row.and_then(|row| row["avg_ts"].as_f64())
            .ok_or_else(|| usage(format!("{program} reports no {key}")))
    };
    Ok(Run {
        prefill: speed("n_prompt")?,
        decode: speed("n_gen")?,
    })
}

fn table(report: &Report, args: &Args) -> String {
    let line = |name: &str, spread: &Spread, unit: &str| {
        format!(
            "{name:<26} {:>9.1} {unit}  ({:.1} to {:.1})\n",
            spread.median, spread.min, spread.max
        )
    };
    let mut text = format!(
        "{} on {}, {} threads; the median of {} runs\n",
        report.model, report.backend, report.threads, args.repeat
    );
    text += &format!("{:<26} {:>9.1} ms\n", "load", report.load_ms);
    text += &line(
        &format!("read {} tokens", args.prompt),
        &report.prefill_tps,
        "tok/s",
    );
    text += &line(
        &format!("write {} tokens", args.generate),
        &report.decode_tps,
        "tok/s",
    );
    let follow = &report.follow_up;
    let name = format!("next line, story of {}", follow.story);
    text += &line(
        &name,
        &follow.ms,
        &format!("ms, {} tokens reused", follow.reused),
    );
    if let Some(peer) = &report.against {
        text += &format!("against {}\n", peer.command);
        text += &line("  it reads", &peer.prefill_tps, "tok/s");
        text += &line("  it writes", &peer.decode_tps, "tok/s");
        text += &line("  we read faster by", &peer.prefill_ratio, "times");
        text += &line("  we write faster by", &peer.decode_ratio, "times");
    }
    text
}
