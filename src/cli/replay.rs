//! `illumine replay`: runs scripts and reports which of their expectations hold.

mod jobs;
mod page;
mod plan;
mod reports;
mod rerun;
mod resume;
mod runner;
mod sink;
mod stable;

use super::args::{Replay as Args, ReplayCommand};
use super::environment::{self, BUILD, Paths};
use super::{Exit, Failed, complain, note, output, print, signals};
use base::untrusted::clean_line;
use illumine::engine::ModelLoader;
use illumine::engine::fan_out::{Pacing, SharedLoader};
use illumine::store::files;
use illumine::studio::Setup;
use jobs::{Halt, Lane, Start};
use plan::{Plan, SEED};
use replay::report::{RunMode, RunReport};
use replay::script::{self, Script};
use reports::Reports;
use resume::Earlier;
use sink::{Sink, Stopped};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;
use story::sentence::count_noun;
use story::voice;

pub fn run(paths: &Paths, args: &Args) -> Result<Exit, Failed> {
    if let Some(ReplayCommand::New { file, force }) = &args.what {
        return new_script(file, *force);
    }
    if args.update_golden && environment::variable("CI").is_some() {
        let why = "Goldens are not written where the variable CI is set; update them on your own machine and commit them";
        return Err(usage(why));
    }
    let wanted = reports::wanted(args)?;
    let scripts = load(args)?;
    let mut plan = Plan::new(&scripts, args)?;
    let loader = environment::loader(paths, &args.common)?;
    plan.identify(&loader);
    let mut sink = Sink::new(
        &plan,
        first_report(args),
        Reports::open(wanted, args.stable)?,
    );
    let left = sink.carry(&earlier(args)?)?;
    run_cases(paths, &plan, loader, left, sink)
}

/// The results of the earlier run that this one resumes.
fn earlier(args: &Args) -> Result<Earlier, Failed> {
    match &args.many.resume {
        Some(path) => Earlier::open(path),
        None => Ok(Earlier::default()),
    }
}

fn run_cases(
    paths: &Paths,
    plan: &Plan,
    loader: ModelLoader,
    left: Vec<usize>,
    mut sink: Sink,
) -> Result<Exit, Failed> {
    let args = plan.args;
    let servers = loader.backends.clone();
    let is_server = |model: &str| servers.find(model).is_some();
    let jobs = usize::from(args.many.jobs);
    let count = left.len();
    let lanes = Lane::divide(left, jobs, |index| plan.is_remote(index, &is_server));
    say_begin(plan, count, &lanes);
    let pacing = Pacing {
        jobs: Some(jobs),
        retries: args.many.retries,
        limit: Duration::from_secs(args.many.timeout),
        entropy: environment::entropy(),
    };
    let (warn, warnings) = channel();
    let loader = SharedLoader::new(loader, pacing, move |why| {
        // Nobody is warned once the run is over.
        let _ = warn.send(why.to_string());
    });
    let setup = Setup {
        // Every case is private, and nothing depends on chance.
        private: true,
        entropy: SEED,
        ..environment::setup(paths, &args.common)?
    };
    let halt = Halt::default();
    let watch = signals::listen_with({
        let halt = halt.clone();
        move || halt.stop()
    });
    watch.working(true);
    let start = Start {
        plan,
        loader: &loader,
        setup: &setup,
        halt: &halt,
    };
    let ran = jobs::run(&start, &lanes, &warnings, &mut |news| sink.take(news));
    if !args.stable {
        sink.run.retries = Some(loader.retries()).filter(|retries| *retries > 0);
    }
    let ended = ran.and_then(|()| finish(sink, watch.interrupts() > 0));
    watch.working(false);
    ended
}

fn first_report(args: &Args) -> RunReport {
    RunReport {
        mode: RunMode::Recompute,
        build: match args.stable {
            true => String::new(),
            false => BUILD.to_string(),
        },
        reproducible: true,
        ..RunReport::default()
    }
}

/// Says what differs from an ordinary run.
fn say_begin(plan: &Plan, left: usize, lanes: &[Lane]) {
    let many = &plan.args.many;
    if plan.shard.is_some() || many.resume.is_some() {
        let mut line = format!("{} to run", count_noun(left, "case"));
        let earlier = plan.cases.len() - left;
        if many.resume.is_some() {
            line += &format!(", {earlier} from the earlier run");
        }
        if let Some(shard) = &plan.shard {
            line += &format!(", {} (from {})", shard.name(), shard.source);
        }
        note(&line);
    }
    if many.jobs > 1 && left > 1 && lanes.iter().any(Lane::is_in_turn) {
        note("Cases that use a model in this process run in turn; --jobs is for model servers");
    }
}

/// Writes the reports, and returns the exit code.
fn finish(sink: Sink, interrupted: bool) -> Result<Exit, Failed> {
    let stopped = sink.stopped.clone();
    let why = match &stopped {
        _ if interrupted => "Interrupted",
        Some(Stopped::Hopeless(why)) => why.as_str(),
        Some(Stopped::Bail) => "Stopped by --bail",
        None => "Stopped",
    };
    let closed = sink.close(Some(why.to_string()))?;
    let left = count_noun(closed.not_run, "case");
    if interrupted {
        complain(&format!("{why}; {left} did not run"));
        return Ok(Exit::Interrupted);
    }
    match stopped {
        Some(Stopped::Hopeless(why)) => Err(Failed::new(
            Exit::Model,
            format!("{why}; {left} did not run"),
        )),
        Some(Stopped::Bail) if closed.not_run > 0 => {
            complain(&format!("{why}; {left} did not run"));
            Ok(closed.exit)
        }
        Some(Stopped::Bail) | None => Ok(closed.exit),
    }
}

/// Loads all scripts; if any has an error, prints every error and runs nothing.
fn load(args: &Args) -> Result<Vec<Script>, Failed> {
    let pairs = args.var.iter().map(|pair| voice::parse_assignment(pair));
    let given: Result<BTreeMap<String, String>, _> = pairs.collect();
    let given = given.map_err(usage)?;
    let (mut scripts, mut errors) = (Vec::new(), Vec::new());
    for path in &args.files {
        match script::load(path, &given) {
            Ok(script) => scripts.push(script),
            Err(found) => errors.extend(found),
        }
    }
    let Some(last) = errors.pop() else {
        return Ok(scripts);
    };
    errors.iter().for_each(|error| complain(&error.to_string()));
    Err(usage(last))
}

fn new_script(path: &Path, force: bool) -> Result<Exit, Failed> {
    let name = clean_line(&path.to_string_lossy());
    let text = replay::FIRST_SCRIPT.replace("first.illum", &name);
    files::write_file(path, text.as_bytes(), force).map_err(output::not_written)?;
    print(&format!(
        "Wrote {name}; run it with: illumine replay {name}\n"
    ))
}

fn json_line(value: &impl serde::Serialize) -> Result<String, Failed> {
    let json = serde_json::to_string(value);
    let json = json.map_err(|error| Failed::new(Exit::Engine, error))?;
    Ok(json + "\n")
}

fn usage(why: impl std::fmt::Display) -> Failed {
    Failed::new(Exit::Usage, why)
}
