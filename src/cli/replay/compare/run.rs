//! Gets the cases of one side of a comparison: runs the scripts, or reads a report.

use super::super::super::args::Replay as Args;
use super::super::super::environment::Paths;
use super::super::super::{Exit, Failed, complain};
use super::super::groups::Groups;
use super::super::launch::{Control, say_left};
use super::super::news::News;
use super::super::plan::Plan;
use super::super::progress::{Counts, Progress};
use super::super::{load, run_groups};
use super::checkout::Checkout;
use super::side::Side;
use super::{Run, earlier, filter};
use base::untrusted::clean_line;
use replay::report::Verdict;
use replay::script::Script;
use std::path::{Path, PathBuf};
use story::SettingOverrides;

/// A side that is ready: scripts that were loaded without errors, or the report of an earlier run.
pub(super) enum Prepared {
    Scripts {
        label: String,
        scripts: Vec<Script>,
        overrides: Box<SettingOverrides>,
        checkout: Option<Checkout>,
    },
    Report(PathBuf),
}

/// Loads the scripts of a side, if the side runs any.
pub(super) fn prepare(name: &str, side: Side, args: &Args) -> Result<Prepared, Failed> {
    let (label, overrides, checkout) = match side {
        Side::Report(path) => return Ok(Prepared::Report(path)),
        Side::Settings(overrides) => (plain(name), overrides, None),
        Side::Worktree => ("current files".to_string(), Box::default(), None),
        Side::Commit(revision) => {
            let checkout = Checkout::open(&args.files, &revision)?;
            (checkout.label.clone(), Box::default(), Some(checkout))
        }
    };
    let scripts = match &checkout {
        None => load(&args.files, args)?,
        Some(checkout) => {
            let copies: Vec<PathBuf> = args
                .files
                .iter()
                .filter_map(|file| {
                    let mut copies = checkout.scripts.iter();
                    copies
                        .find(|(_, named)| *named == file)
                        .map(|(copy, _)| copy.clone())
                })
                .collect();
            load(&copies, args).map_err(|failed| Failed {
                why: format!("At {label}: {}", checkout.without_folder(&failed.why)),
                ..failed
            })?
        }
    };
    Ok(Prepared::Scripts {
        label,
        scripts,
        overrides,
        checkout,
    })
}

/// Returns the name of a side without its prefix (`model:` or `set:`).
fn plain(name: &str) -> String {
    let prefixes = ["model:", "set:"];
    let plain = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix));
    clean_line(plain.unwrap_or(name))
}

impl Prepared {
    /// Runs the side's cases, or reads them from its report. `letter` identifies the side in
    /// warnings.
    pub(super) fn run(
        &self,
        paths: &Paths,
        args: &Args,
        control: &Control,
        letter: &str,
    ) -> Result<Run, Failed> {
        let (label, scripts, overrides, checkout) = match self {
            Prepared::Report(path) => return from_report(path, args),
            Prepared::Scripts {
                label,
                scripts,
                overrides,
                checkout,
            } => (label, scripts, overrides, checkout.as_ref()),
        };
        let plan = Plan::new(scripts, args, overrides)?;
        let moved = checkout.map(|it| it.paths(paths));
        let paths = moved.as_ref().unwrap_or(paths);
        let mut run = from_plan(paths, &plan, label, control, letter)?;
        let named = |file: String| match checkout {
            Some(checkout) => checkout.named(Path::new(&file)),
            None => file,
        };
        let names = (0..plan.cases.len()).map(|index| plan.names(index));
        run.names = names.map(|(file, case)| (named(file), case)).collect();
        Ok(run)
    }
}

fn from_report(path: &Path, args: &Args) -> Result<Run, Failed> {
    let mut run = Run::new(&clean_line(&path.to_string_lossy()))?;
    earlier::read(path, &filter(args)?, &mut |case| {
        let index = run.names.len();
        run.names.push((case.file.clone(), case.case.clone()));
        run.add(index, &case)
    })?;
    Ok(run)
}

fn from_plan(
    paths: &Paths,
    plan: &Plan,
    label: &str,
    control: &Control,
    letter: &str,
) -> Result<Run, Failed> {
    let groups = Groups::divide(plan)?;
    let mut run = Run::new(label)?;
    let mut progress = Progress::new();
    let mut counts = Counts {
        all: plan.cases.len(),
        ..Counts::default()
    };
    let mut failure = None;
    let cases: Vec<usize> = (0..plan.cases.len()).collect();
    say_left(plan, cases.len());
    let took = run_groups(paths, plan, &groups, (control, &cases), &mut |news| {
        match news {
            News::Working(work) => progress.working(&work),
            News::Warned(why) => {
                progress.clear();
                complain(&format!("{letter}: {why}"));
            }
            News::Ended(index, ran) => {
                counts.done += 1;
                counts.failed += usize::from(ran.report.verdict != Verdict::Passed);
                match ran.fault {
                    Some(Exit::Model | Exit::Engine) => run.broken = true,
                    Some(_) => run.stopped = true,
                    None => {}
                }
                failure = failure.take().or(run.add(index, &ran.report).err());
            }
            News::Tick => {}
        }
        progress.show(counts);
        failure.is_none()
    });
    progress.clear();
    took?;
    match failure {
        Some(failed) => Err(failed),
        None => Ok(run),
    }
}
