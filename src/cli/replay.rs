//! `illumine replay`: runs scripts and reports which of their expectations hold.

mod page;
mod runner;

use super::args::{Replay as Args, ReplayCommand};
use super::environment::{self, BUILD, Paths};
use super::{Exit, Failed, complain, output, print, signals};
use base::untrusted::clean_line;
use illumine::store::files;
use illumine::studio::Setup;
use replay::report::{self, CaseReport, RunMode, RunReport, Verdict};
use replay::script::{self, Case, Script};
use runner::Runner;
use std::collections::BTreeMap;
use std::io::{IsTerminal, stdout};
use std::path::Path;
use std::time::Instant;
use story::sentence::count_noun;
use story::{SettingOverrides, Settings, voice};

/// The seed that is used if neither the script nor the command line sets one.
const SEED: u64 = 0;

pub fn run(paths: &Paths, args: &Args) -> Result<Exit, Failed> {
    if let Some(ReplayCommand::New { file, force }) = &args.what {
        return new_script(file, *force);
    }
    if args.update_golden && environment::variable("CI").is_some() {
        let why = "Goldens are not written where the variable CI is set; update them on your own machine and commit them";
        return Err(usage(why));
    }
    let scripts = load(args)?;
    let asked = environment::asked(&args.common)?;
    let chosen = chosen(&scripts, args, &asked)?;
    let mut run = RunReport {
        mode: RunMode::Recompute,
        build: BUILD.to_string(),
        reproducible: true,
        ..RunReport::default()
    };
    let setup = Setup {
        // Every case is private, and nothing depends on chance.
        private: true,
        entropy: SEED,
        ..environment::setup(paths, &args.common)?
    };
    let (mut studio, events) = super::studio_with(paths, &args.common, setup)?;
    let watch = signals::listen(studio.stopper());
    let mut runner = Runner::new(&mut studio, &events, watch, args, chosen.len());
    let began = Instant::now();
    let mut kept = Vec::new();
    let mut ends = Ends {
        read: true,
        ..Ends::default()
    };
    for (script, case, settings) in chosen {
        let Some((report, fault)) = runner.case(script, case, &settings, &mut run) else {
            break;
        };
        run.count(report.verdict);
        ends.fault = ends.fault.or(fault);
        ends.read = output::write(shown(&report, args.json)?.as_bytes())?;
        kept.extend(args.junit.is_some().then_some(report));
        if !ends.read {
            break;
        }
    }
    ends.interrupted = runner.interrupted();
    run.seconds = (!args.stable).then(|| began.elapsed().as_secs_f64());
    finish(&run, &kept, args, &ends)
}

/// How a replay ended.
#[derive(Default)]
struct Ends {
    /// The exit code of the first line that could not run.
    fault: Option<Exit>,
    interrupted: bool,
    /// Whether standard output is still being read.
    read: bool,
}

fn finish(run: &RunReport, cases: &[CaseReport], args: &Args, ends: &Ends) -> Result<Exit, Failed> {
    if ends.read {
        let last = match args.json {
            true => json_line(run)?,
            false => report::summary_text(run),
        };
        print(&last)?;
    }
    if let Some(path) = &args.junit {
        let xml = report::junit(run, cases);
        let xml = xml.map_err(|error| Failed::new(Exit::Engine, error))?;
        let written = files::write_file(path, xml.as_bytes(), true);
        written.map_err(|error| Failed::new(Exit::Engine, error))?;
    }
    if ends.interrupted {
        complain("Interrupted; the other cases did not run");
    }
    Ok(match ends.fault {
        _ if ends.interrupted => Exit::Interrupted,
        Some(fault) => fault,
        None if run.failed > 0 => Exit::Expectation,
        None => Exit::Well,
    })
}

/// Loads all scripts. If any script has an error, prints all errors but the last, and returns the
/// last.
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

/// Selects the cases to run, and determines the settings of each case.
fn chosen<'a>(
    scripts: &'a [Script],
    args: &Args,
    asked: &SettingOverrides,
) -> Result<Vec<(&'a Script, &'a Case, Settings)>, Failed> {
    let wanted = args.filter.as_deref().unwrap_or_default().to_lowercase();
    let mut chosen = Vec::new();
    for script in scripts {
        for case in &script.cases {
            if case.name.to_lowercase().contains(&wanted) {
                let settings = case.settings.apply_to(Settings::default());
                let settings = settings.and_then(|settings| asked.apply_to(settings));
                let mut settings = settings.map_err(usage)?;
                settings.sampling.seed.get_or_insert(SEED);
                chosen.push((script, case, settings));
            }
        }
    }
    match chosen.is_empty() {
        true => {
            let all: usize = scripts.iter().map(|script| script.cases.len()).sum();
            Err(usage(format!(
                "No name of the {} contains {}; choose another --filter",
                count_noun(all, "case"),
                clean_line(&wanted)
            )))
        }
        false => Ok(chosen),
    }
}

fn new_script(path: &Path, force: bool) -> Result<Exit, Failed> {
    let name = clean_line(&path.to_string_lossy());
    let text = replay::FIRST_SCRIPT.replace("first.illum", &name);
    files::write_file(path, text.as_bytes(), force).map_err(output::not_written)?;
    print(&format!(
        "Wrote {name}; run it with: illumine replay {name}\n"
    ))
}

/// Formats the report of a case as text or JSON.
fn shown(case: &CaseReport, json: bool) -> Result<String, Failed> {
    if json {
        return json_line(case);
    }
    let coloured = stdout().is_terminal() && environment::colour();
    let mark = |verdict: Verdict, word: &str| match (verdict, coloured) {
        (_, false) => word.to_string(),
        (Verdict::Passed, true) => format!("\u{1b}[32m{word}\u{1b}[0m"),
        (Verdict::Failed | Verdict::Error, true) => format!("\u{1b}[31m{word}\u{1b}[0m"),
    };
    Ok(report::case_text(case, mark))
}

fn json_line(value: &impl serde::Serialize) -> Result<String, Failed> {
    let json = serde_json::to_string(value);
    let json = json.map_err(|error| Failed::new(Exit::Engine, error))?;
    Ok(json + "\n")
}

fn usage(why: impl std::fmt::Display) -> Failed {
    Failed::new(Exit::Usage, why)
}
