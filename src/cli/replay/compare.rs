//! `--compare A B`: runs the same cases twice, with different models or settings.

use super::super::args::{Common, Replay as Args};
use super::super::environment::Paths;
use super::super::{Exit, Failed, backends, complain, print};
use super::groups::Groups;
use super::launch::{Control, say_left};
use super::news::News;
use super::plan::Plan;
use super::progress::{Counts, Progress};
use super::reports::{Format, Spool, wanted};
use super::{json_line, run_groups, usage};
use illumine::store::files;
use remote::is_address;
use replay::compare::{Compared, Comparison, Totals, comparison_page, comparison_text};
use replay::report::Verdict;
use replay::script::Script;
use std::collections::BTreeSet;
use story::{Mode, SettingOverrides, sampling};

/// One of the two runs.
struct Side {
    cases: Spool,
    models: BTreeSet<String>,
    varies: bool,
    /// Whether a model or its server failed in any case.
    broken: bool,
    /// Whether a line of a case could not run for another reason.
    stopped: bool,
}

pub(super) fn run(paths: &Paths, args: &Args, scripts: &[Script]) -> Result<Exit, Failed> {
    let pages = wanted(args)?;
    if pages.iter().any(|(format, _)| *format != Format::Html) {
        return Err(usage(
            "A comparison is written as HTML, or as JSON Lines with --json; end the name of --report with .html",
        ));
    }
    let [a, b] = args.compare.as_slice() else {
        return Err(usage("--compare takes A and B, for example seed=1 seed=2"));
    };
    let plans = [a, b].map(|side| Plan::new(scripts, args, &overrides(side, args)?));
    let [first, second] = plans;
    let (first, second) = (first?, second?);
    let groups = Groups::divide(&first)?;
    let control = Control::listen();
    let sides = [(&first, "A"), (&second, "B")]
        .map(|(plan, name)| side(paths, plan, &groups, name, &control));
    let [first_side, second_side] = sides;
    let (first_side, second_side) = (first_side?, second_side?);
    if control.interrupted() {
        complain("Interrupted; nothing was compared");
        return Ok(Exit::Interrupted);
    }
    let (comparison, rows) = compared(&first_side, &second_side, first.cases.len(), [a, b]);
    let page = comparison_page(&comparison, &rows);
    for (_, path) in pages {
        let written = files::write_file(&path, page.as_bytes(), true);
        written.map_err(|error| Failed::new(Exit::Engine, error))?;
    }
    control.end();
    match args.json {
        true => {
            let lines = rows.iter().map(json_line);
            let lines = lines.collect::<Result<String, _>>()?;
            print(&(lines + &json_line(&comparison)?))?;
        }
        false => {
            print(&comparison_text(&comparison, &rows))?;
        }
    }
    let sides = [first_side, second_side];
    Ok(match () {
        () if sides.iter().any(|side| side.broken) => Exit::Model,
        () if sides.iter().any(|side| side.stopped) => Exit::Expectation,
        () => Exit::Well,
    })
}

/// The settings of one run: a model, or settings with their values.
fn overrides(side: &str, args: &Args) -> Result<SettingOverrides, Failed> {
    if is_address(side) || !side.contains('=') {
        let common = Common {
            backend: args.common.backend.clone().filter(|_| !is_address(side)),
            model: Some(side.to_string()),
            ..Common::default()
        };
        return Ok(SettingOverrides {
            model: backends::model_of(&common)?,
            ..SettingOverrides::default()
        });
    }
    let mut found = SettingOverrides::default();
    for part in side.split(',') {
        let pair = part
            .split_once('=')
            .map(|(name, value)| (name.trim(), value.trim()));
        let (name, value) = pair.ok_or_else(|| {
            usage("--compare takes models, or settings such as seed=1 or temperature=0.8,seed=2")
        })?;
        match name {
            "model" => found.model = overrides(value, args)?.model,
            "mode" => {
                let mode = Mode::parse(value).ok_or_else(|| usage("A mode is prose or chat"))?;
                found.mode = Some(mode);
            }
            "system" => found.system = Some(value.to_string()),
            _ => {
                let known = sampling::find(name).map_err(usage)?;
                found
                    .sampling
                    .push((known.name.to_string(), value.to_string()));
            }
        }
    }
    Ok(found)
}

/// Runs the cases of one side.
fn side(
    paths: &Paths,
    plan: &Plan,
    groups: &Groups,
    name: &str,
    control: &Control,
) -> Result<Side, Failed> {
    let spool = tempfile::tempfile().map_err(|error| Failed::new(Exit::Engine, error))?;
    let mut side = Side {
        cases: Spool::new(spool, false),
        models: BTreeSet::new(),
        varies: false,
        broken: false,
        stopped: false,
    };
    let mut progress = Progress::new();
    let mut counts = Counts {
        all: plan.cases.len(),
        ..Counts::default()
    };
    let mut failure = None;
    let cases: Vec<usize> = (0..plan.cases.len()).collect();
    say_left(plan, cases.len());
    let took = run_groups(paths, plan, groups, (control, &cases), &mut |news| {
        match news {
            News::Working(work) => progress.working(&work),
            News::Warned(why) => {
                progress.clear();
                complain(&format!("{name}: {why}"));
            }
            News::Ended(index, ran) => {
                counts.done += 1;
                counts.failed += usize::from(ran.report.verdict != Verdict::Passed);
                side.models.extend(ran.report.model.clone());
                side.varies |= ran.report.varies;
                match ran.fault {
                    Some(Exit::Model | Exit::Engine) => side.broken = true,
                    Some(_) => side.stopped = true,
                    None => {}
                }
                let added = side.cases.add(index, &ran.report);
                failure = failure.take().or(added.err());
            }
            News::Tick => {}
        }
        progress.show(counts);
        failure.is_none()
    });
    progress.clear();
    took?;
    match failure {
        Some(error) => Err(Failed::new(
            Exit::Engine,
            format!("Cannot write a temporary file ({error}); free some space"),
        )),
        None => Ok(side),
    }
}

fn compared(a: &Side, b: &Side, cases: usize, names: [&str; 2]) -> (Comparison, Vec<Compared>) {
    let mut totals = Totals::default();
    let mut rows = Vec::new();
    for index in 0..cases {
        if let (Some(a), Some(b)) = (a.cases.read(index), b.cases.read(index)) {
            let row = Compared::new(&a, &b);
            totals.add(&row);
            rows.push(row);
        }
    }
    let models: BTreeSet<String> = a.models.union(&b.models).cloned().collect();
    let comparison = Comparison {
        reproducible: !(a.varies || b.varies),
        models: models.into_iter().collect(),
        ..totals.comparison(names[0], names[1])
    };
    (comparison, rows)
}
