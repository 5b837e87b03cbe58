//! `illumine bench`: measures speed, optionally alternating with another program's benchmark.

use super::args::Bench as Args;
use super::environment::{self, Paths};
use super::{Exit, Failed, cold, eval, opening, print};
use illumine::bench::{Spread, Task, several, spread, typed};
use llm::ModelError;
use serde::Serialize;
use std::process::Command;

#[derive(Serialize)]
struct Report {
    model: String,
    sha256: String,
    backend: String,
    threads: usize,
    runs: u16,
    load_ms: f64,
    rows: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<String>,
}

#[derive(Serialize)]
struct Row {
    what: String,
    unit: &'static str,
    ours: Spread,
    #[serde(skip_serializing_if = "Option::is_none")]
    theirs: Option<Spread>,
    /// The ratio of illumine's speed to the other program's speed, computed for each run.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<Spread>,
}

/// The number of passages generated in one batch.
const SEVERAL: usize = 4;
/// The number of tokens in a line that the writer adds to a story.
const LINE: usize = 16;

pub fn run(paths: &Paths, args: &Args) -> Result<Exit, Failed> {
    // This comes first, because a child's peak memory includes that of the process that starts it.
    let starts = match args.full {
        true => cold::starts(args)?,
        false => Vec::new(),
    };
    let loader = environment::plain_loader(paths, &args.on)?;
    let threads = loader.threads;
    let mut loaded = eval::load(loader, args.model.as_deref())?;
    let broke = |error: ModelError| Failed::new(Exit::Engine, error);
    let tasks: Vec<Task> = tasks(args)
        .into_iter()
        .filter(|task| fits(task, loaded.model.context()))
        .collect();
    Task::Read {
        tokens: 64.min(loaded.model.context()),
    }
    .measure(&mut loaded)
    .map_err(broke)?;
    let mut rows = Vec::new();
    for task in &tasks {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..args.repeat {
            ours.push(task.measure(&mut loaded).map_err(broke)?);
            if let Some(command) = &args.against {
                theirs.extend(peer(command, task)?);
            }
        }
        rows.push(row(task.name(), task.unit(), ours, theirs));
    }
    if args.full {
        for (story, paused) in [(0, false), (0, true), (4000, false), (4000, true)] {
            let one = |_| typed::measure(&mut loaded, story, paused);
            let times: Result<Vec<f64>, _> = (0..args.repeat).map(one).collect();
            let times = times.map_err(|error| Failed::new(Exit::Engine, error))?;
            let how = if paused { "after a pause" } else { "at once" };
            let what = format!("Enter to text, story of {story}, {how}");
            rows.push(row(what, "ms", times, Vec::new()));
        }
        let (mut together, mut apart) = (Vec::new(), Vec::new());
        for _ in 0..args.repeat {
            let (one, other) = several(&mut loaded, SEVERAL, args.generate)
                .map_err(|error| Failed::new(Exit::Engine, error))?;
            together.push(one);
            apart.push(other);
        }
        let what = format!("{SEVERAL} passages of {} tokens", args.generate);
        rows.push(row(format!("{what}, together"), "ms", together, Vec::new()));
        rows.push(row(format!("{what}, one by one"), "ms", apart, Vec::new()));
        for (what, times) in opening::rows(paths, args.repeat)? {
            rows.push(row(what, "ms", times, Vec::new()));
        }
        let all = |of: fn(&cold::ColdStart) -> f64| starts.iter().map(of).collect();
        let what = "first token of a short prompt, cold".to_string();
        rows.push(row(what, "ms", all(|start| start.ms), Vec::new()));
        let what = "peak memory".to_string();
        rows.push(row(what, "MB", all(|start| start.megabytes), Vec::new()));
    }
    let report = Report {
        model: loaded.about.name.clone(),
        sha256: loaded.about.sha256.clone(),
        backend: loaded.about.backend.clone(),
        threads,
        runs: args.repeat,
        load_ms: loaded.about.load_ms,
        rows,
        against: args.against.clone(),
    };
    if args.json {
        let report = serde_json::to_string(&report).unwrap_or_default();
        return print(&format!("{report}\n"));
    }
    print(&table(&report))
}

fn tasks(args: &Args) -> Vec<Task> {
    let (mut prompts, mut depths) = (args.prompt.clone(), args.depth.clone());
    let mut more = vec![Task::FollowUp {
        story: 1000,
        line: LINE,
    }];
    if args.full {
        (prompts, depths) = (vec![32, 512, 4096], vec![0, 1024, 4096]);
        more = vec![
            Task::First { line: LINE },
            Task::FollowUp {
                story: 4000,
                line: LINE,
            },
            Task::Switch {
                story: 1000,
                line: LINE,
            },
        ];
    }
    let tokens = args.generate;
    let read = prompts.into_iter().map(|tokens| Task::Read { tokens });
    let write = depths
        .into_iter()
        .map(|depth| Task::Write { tokens, depth });
    read.chain(write).chain(more).collect()
}

fn fits(task: &Task, context: usize) -> bool {
    let needed = match *task {
        Task::Read { tokens } => tokens,
        Task::Write { tokens, depth } => tokens + depth.max(1),
        Task::First { line } => line,
        Task::FollowUp { story, line } | Task::Switch { story, line } => story + line,
    };
    (1..=context).contains(&needed)
}

fn row(what: String, unit: &'static str, ours: Vec<f64>, theirs: Vec<f64>) -> Row {
    let ratios = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs);
    let some = |values: Vec<f64>| (!values.is_empty()).then(|| spread(values));
    Row {
        what,
        unit,
        ratio: some(ratios.collect()),
        theirs: some(theirs),
        ours: spread(ours),
    }
}

/// Runs the other program's benchmark once for `task`, and returns the speed: `avg_ts` in
/// llama-bench's JSON (`-o json`). Returns None for a task that llama-bench does not have.
fn peer(command: &str, task: &Task) -> Result<Option<f64>, Failed> {
    let (prompt, generate, depth) = match *task {
        Task::Read { tokens } => (tokens, 0, 0),
        Task::Write { tokens, depth } => (0, tokens, depth),
        _ => return Ok(None),
    };
    let usage = |why: String| Failed::new(Exit::Usage, why);
    let mut words = command.split_whitespace();
    let program = words
        .next()
        .ok_or_else(|| usage("--against takes a command".to_string()))?;
    let number = |name: &str, value: usize| [name.to_string(), value.to_string()];
    let output = Command::new(program)
        .args(words)
        .args(["-o", "json", "-r", "1"])
        .args(number("-p", prompt))
        .args(number("-n", generate))
        .args(number("-d", depth))
        .output()
        .map_err(|error| usage(format!("{program} cannot be run: {error}")))?;
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).map_err(|_| {
        usage(format!(
            "{program} does not print llama-bench's JSON with -o json"
        ))
    })?;
    let speed = rows.first().and_then(|row| row["avg_ts"].as_f64());
    let speed = speed.ok_or_else(|| usage(format!("{program} reports no avg_ts")))?;
    Ok(Some(speed))
}

fn table(report: &Report) -> String {
    let mut text = format!(
        "{} on {}, {} threads; the median of {} runs (min to max)\n",
        report.model, report.backend, report.threads, report.runs
    );
    if let Some(command) = &report.against {
        text += &format!("against {command}\n");
    }
    text += &format!("{:<38} {:>8.1} ms\n", "load", report.load_ms);
    let figures = |spread: &Spread, digits: usize| {
        let Spread { min, median, max } = spread;
        format!("{median:>8.digits$} ({min:.digits$} to {max:.digits$})")
    };
    for row in &report.rows {
        let ours = format!("{} {}", figures(&row.ours, 1), row.unit);
        text += format!("{:<38} {ours:<34}", row.what).trim_end();
        if let (Some(theirs), Some(ratio)) = (&row.theirs, &row.ratio) {
            let theirs = figures(theirs, 1);
            text += &format!(" theirs {theirs}, ratio{}", figures(ratio, 2));
        }
        text += "\n";
    }
    text
}
