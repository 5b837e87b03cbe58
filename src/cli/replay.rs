//! `illumine replay`: runs scripts and reports which of their expectations hold.

mod compare;
mod groups;
mod import;
mod jobs;
mod launch;
mod news;
mod page;
mod plan;
mod progress;
mod quoting;
mod reports;
mod rerun;
mod resume;
mod review;
mod runner;
mod scores;
mod sink;
mod stable;
mod truth;

use super::args::{Common, Replay as Args, ReplayCommand};
use super::environment::{self, BUILD, Paths};
use super::{Exit, Failed, complain, output, print};
use base::untrusted::clean_line;
use groups::Groups;
use illumine::store::files;
use launch::{Control, launch, say_left};
use news::News;
use plan::Plan;
use replay::report::{RunMode, RunReport};
use replay::script::{self, Script};
use reports::Reports;
use resume::Earlier;
use sink::{Closed, Sink, Stopped};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use story::sentence::count_noun;
use story::{SettingOverrides, voice};

pub fn run(paths: &Paths, args: &Args) -> Result<Exit, Failed> {
    match &args.what {
        Some(ReplayCommand::New { file, force }) => return new_script(file, *force),
        Some(ReplayCommand::Import {
            file,
            output,
            force,
        }) => return import::run(file, output.as_deref(), *force),
        Some(ReplayCommand::Scores { files, by, json }) => return scores::run(files, *by, *json),
        None => {}
    }
    if args.update_golden && environment::variable("CI").is_some() {
        let why = "Goldens are not written where the variable CI is set; update them on your own machine and commit them";
        return Err(usage(why));
    }
    if args.review {
        review::check()?;
    }
    if !args.compare.is_empty() {
        return compare::run(paths, args);
    }
    let wanted = reports::wanted(args)?;
    let scripts = load(&args.files, args)?;
    let mut plan = Plan::new(&scripts, args, &SettingOverrides::default())?;
    plan.identify(&environment::loader(paths, &args.common)?)?;
    let groups = Groups::divide(&plan)?;
    plan.set_bases(groups.bases(&plan));
    let reports = Reports::open(wanted, args.stable)?;
    let mut sink = Sink::new(&plan, first_report(args, groups.mode()), reports);
    let left = sink.carry(&earlier(args)?)?;
    let control = Control::listen();
    say_left(&plan, left.len());
    let ran = run_groups(paths, &plan, &groups, (&control, &left), &mut |news| {
        sink.take(news)
    });
    let interrupted = control.interrupted();
    let closed = ran.and_then(|retries| {
        if !args.stable && retries > 0 {
            sink.run.retries = Some(retries);
        }
        let every_case_ran = sink.run.cases() == plan.cases.len();
        groups.finish(&mut sink.run, every_case_ran, args.stable)?;
        let (why, stopped) = (why_stopped(&sink, interrupted), sink.stopped.clone());
        Ok((sink.close(why)?, stopped))
    });
    control.end();
    let (closed, stopped) = closed?;
    finish(&closed, stopped, interrupted)
}

/// Runs the cases in `left`, group by group. Returns the number of requests that were retried.
fn run_groups(
    paths: &Paths,
    plan: &Plan,
    groups: &Groups,
    (control, left): (&Control, &[usize]),
    take: &mut dyn FnMut(News) -> bool,
) -> Result<u64, Failed> {
    let mut retries = 0;
    for group in &groups.groups {
        let cases = group.cases.iter().copied();
        let cases: Vec<usize> = cases
            .filter(|index| left.binary_search(index).is_ok())
            .collect();
        if cases.is_empty() || control.is_stopped() {
            continue;
        }
        let common = Common {
            on: group.on.clone(),
            ..plan.args.common.clone()
        };
        let mut loader = environment::loader(paths, &common)?;
        let truth = groups.truth(group);
        truth.prepare(&mut loader);
        retries += launch(paths, plan, truth, loader, control, cases, take)?;
    }
    Ok(retries)
}

/// Opens the results of the earlier run that `--resume` names. Without `--resume`, returns empty
/// results.
fn earlier(args: &Args) -> Result<Earlier, Failed> {
    match &args.many.resume {
        Some(path) => Earlier::open(path),
        None => Ok(Earlier::default()),
    }
}

fn first_report(args: &Args, mode: RunMode) -> RunReport {
    RunReport {
        mode,
        build: match args.stable {
            true => String::new(),
            false => BUILD.to_string(),
        },
        reproducible: true,
        ..RunReport::default()
    }
}

/// Returns the reason why a run stopped early.
fn why_stopped(sink: &Sink, interrupted: bool) -> String {
    match &sink.stopped {
        _ if interrupted => "Interrupted".to_string(),
        Some(Stopped::Hopeless(why)) => why.clone(),
        Some(Stopped::Bail) => "Stopped by --bail".to_string(),
        None => "Stopped".to_string(),
    }
}

/// Reports how many cases did not run, reviews the goldens, and returns the exit code.
fn finish(closed: &Closed, stopped: Option<Stopped>, interrupted: bool) -> Result<Exit, Failed> {
    let left = count_noun(closed.not_run, "case");
    if interrupted {
        complain(&format!("Interrupted; {left} did not run"));
        return Ok(Exit::Interrupted);
    }
    match stopped {
        Some(Stopped::Hopeless(why)) => Err(Failed::new(
            Exit::Model,
            format!("{why}; {left} did not run"),
        )),
        Some(Stopped::Bail) if closed.not_run > 0 => {
            complain(&format!("Stopped by --bail; {left} did not run"));
            Ok(closed.exit)
        }
        Some(Stopped::Bail) | None if closed.pending.is_empty() => Ok(closed.exit),
        Some(Stopped::Bail) | None => {
            let accepted = review::run(&closed.pending)?;
            // Only expectations failed, and every failed one was a golden that was accepted.
            let settled = closed.exit != Exit::Model && accepted == closed.failures;
            Ok(if settled { Exit::Well } else { closed.exit })
        }
    }
}

/// Loads these scripts. If there are errors, prints all of them except the last, and returns the
/// last one.
fn load(files: &[PathBuf], args: &Args) -> Result<Vec<Script>, Failed> {
    let pairs = args.var.iter().map(|pair| voice::parse_assignment(pair));
    let given: Result<BTreeMap<String, String>, _> = pairs.collect();
    let given = given.map_err(usage)?;
    let (mut scripts, mut errors) = (Vec::new(), Vec::new());
    for path in files {
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
