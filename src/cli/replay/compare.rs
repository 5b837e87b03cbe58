//! `--compare A B`: compares two runs of the same cases. The two runs may use different models or
//! settings, or scripts from different commits. The results of an earlier run can be read from its
//! report.

mod checkout;
mod choose;
mod earlier;
mod run;
mod side;

use super::super::args::Replay as Args;
use super::super::environment::{self, Paths};
use super::super::{Exit, Failed, complain, print};
use super::launch::Control;
use super::plan::Filter;
use super::reports::{Format, Spool, wanted};
use super::{json_line, usage};
use illumine::store::files;
use replay::compare::{
    Compared, Comparison, Totals, comparison_page, comparison_text, match_cases,
};
use replay::pairs::Offer;
use replay::report::CaseReport;
use side::Side;
use std::collections::BTreeSet;

/// The cases of one side of the comparison.
struct Run {
    /// The name of the side in the comparison.
    label: String,
    cases: Spool,
    /// The file and the name of each case.
    names: Vec<(String, String)>,
    models: BTreeSet<String>,
    varies: bool,
    /// Whether the model or its server failed in at least one case.
    broken: bool,
    /// Whether, in at least one case, a line could not run for another reason.
    stopped: bool,
}

impl Run {
    fn new(label: &str) -> Result<Run, Failed> {
        let spool = tempfile::tempfile().map_err(|error| not_spooled(&error))?;
        Ok(Run {
            label: label.to_string(),
            cases: Spool::new(spool, false),
            names: Vec::new(),
            models: BTreeSet::new(),
            varies: false,
            broken: false,
            stopped: false,
        })
    }

    /// Adds the report of the case with this index.
    fn add(&mut self, index: usize, report: &CaseReport) -> Result<(), Failed> {
        self.models.extend(report.model.clone());
        self.varies |= report.varies;
        let added = self.cases.add(index, report);
        added.map_err(|error| not_spooled(&error))
    }

    /// Returns the report of the case with this index, or None if the case did not run.
    fn case(&self, index: usize) -> Option<CaseReport> {
        let (file, case) = self.names.get(index)?.clone();
        let report = self.cases.read(index)?;
        Some(CaseReport {
            file,
            case,
            ..report
        })
    }
}

pub(super) fn run(paths: &Paths, args: &Args) -> Result<Exit, Failed> {
    let pages = wanted(args)?;
    if pages.iter().any(|(format, _)| *format != Format::Html) {
        return Err(usage(
            "A comparison is written as HTML, or as JSON Lines with --json; end the name of --report with .html",
        ));
    }
    if args.choosing.choose {
        choose::check()?;
    }
    let [a, b] = args.compare.as_slice() else {
        return Err(usage("--compare takes A and B, for example seed=1 seed=2"));
    };
    let loader = environment::loader(paths, &args.common)?;
    let sides = [
        (a.as_str(), side::parse(a, args, &loader)?),
        (b.as_str(), side::parse(b, args, &loader)?),
    ];
    let runs_something = sides
        .iter()
        .any(|(_, side)| !matches!(side, Side::Report(_)));
    if runs_something && args.files.is_empty() {
        return Err(usage(
            "Name the script to run, or give two reports to --compare",
        ));
    }
    if !runs_something && !args.files.is_empty() {
        return Err(usage(
            "A comparison of two reports runs no script; leave out the name of the script, or choose cases with --filter",
        ));
    }
    let prepared = sides.map(|(name, side)| run::prepare(name, side, args));
    let [first, second] = prepared;
    let prepared = [first?, second?];
    let control = Control::listen();
    let [a, b] = prepared;
    let a = a.run(paths, args, &control, "A")?;
    let b = b.run(paths, args, &control, "B")?;
    if control.interrupted() {
        complain("Interrupted; nothing was compared");
        return Ok(Exit::Interrupted);
    }
    let exit = report(args, [&a, &b], &pages);
    control.end();
    Ok(match exit? {
        Exit::Well if a.broken || b.broken => Exit::Model,
        Exit::Well if a.stopped || b.stopped => Exit::Expectation,
        exit => exit,
    })
}

/// Writes the comparison and, with `--choose`, lets a person choose the better texts.
fn report(
    args: &Args,
    runs: [&Run; 2],
    pages: &[(Format, std::path::PathBuf)],
) -> Result<Exit, Failed> {
    let names = runs.map(|run| run.label.as_str());
    let (comparison, rows, offers) = compared(runs, args.choosing.choose)?;
    let page = comparison_page(&comparison, &rows);
    for (_, path) in pages {
        let written = files::write_file(path, page.as_bytes(), true);
        written.map_err(|error| Failed::new(Exit::Engine, error))?;
    }
    if args.json {
        let lines = rows.iter().map(json_line);
        let lines = lines.collect::<Result<String, _>>()?;
        return print(&(lines + &json_line(&comparison)?));
    }
    if !args.choosing.choose {
        return print(&comparison_text(&comparison, &rows));
    }
    let chosen = choose::run(args, names, offers)?;
    if chosen.reveals {
        print(&format!("{}\n", comparison_text(&comparison, &rows)))?;
    }
    print(&chosen.text)?;
    Ok(chosen.exit)
}

/// Compares the cases that both runs have. If `choosing` is true, also returns the pairs of texts
/// for a person to choose between.
fn compared(
    runs: [&Run; 2],
    choosing: bool,
) -> Result<(Comparison, Vec<Compared>, Vec<Offer>), Failed> {
    let [a, b] = runs;
    let names = runs.map(|run| run.label.as_str());
    let matching = match_cases(&a.names, &b.names);
    if matching.both.is_empty() {
        return Err(usage(
            "A and B have no case in common; compare two runs of the same script",
        ));
    }
    let mut totals = Totals::default();
    let (mut rows, mut offers) = (Vec::new(), Vec::new());
    for (at_a, at_b) in matching.both {
        if let (Some(a), Some(b)) = (a.case(at_a), b.case(at_b)) {
            let row = Compared::new(&a, &b);
            totals.add(&row);
            rows.push(row);
            offers.extend(choosing.then(|| Offer::new(names, &a, &b)).flatten());
        }
    }
    let only = |run: &Run, cases: &[usize]| -> Vec<String> {
        let names = cases.iter().filter_map(|at| run.names.get(*at));
        names
            .map(|(file, case)| format!("{file}: {case}"))
            .collect()
    };
    let models: BTreeSet<String> = a.models.union(&b.models).cloned().collect();
    let comparison = Comparison {
        reproducible: !(a.varies || b.varies),
        models: models.into_iter().collect(),
        only_a: only(a, &matching.only_a),
        only_b: only(b, &matching.only_b),
        ..totals.comparison(names[0], names[1])
    };
    Ok((comparison, rows, offers))
}

/// Returns the filter that selects which cases of a report are read.
fn filter(args: &Args) -> Result<Filter, Failed> {
    Filter::parse(args.filter.as_deref().unwrap_or_default())
}

fn not_spooled(error: &std::io::Error) -> Failed {
    Failed::new(
        Exit::Engine,
        format!("Cannot write a temporary file ({error}); free some space"),
    )
}
