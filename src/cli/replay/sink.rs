//! Receives the cases as they end, counts and prints them, and shows the progress.

use super::super::{Exit, Failed, complain, environment, output};
use super::json_line;
use super::news::{News, Ran};
use super::plan::Plan;
use super::progress::{Counts, Progress};
use super::reports::{Ending, Reports};
use super::resume::Earlier;
use super::review::{self, Pending};
use replay::report::{self, CaseReport, RunReport, Verdict};
use std::collections::BTreeMap;
use std::io::{IsTerminal, stdout};
use story::message::FailureKind;

/// The number of cases in a row that may fail because of the server or the model before the run is
/// stopped.
const HOPELESS: usize = 32;

/// The results of a run so far, and the reports to which the results are written.
pub(super) struct Sink<'a> {
    plan: &'a Plan<'a>,
    pub(super) run: RunReport,
    /// For each model, the index of the first case in which the model wrote a text.
    models: BTreeMap<String, usize>,
    outcome: Outcome,
    /// How many of the most recent cases have failed in a row because of the server or the model.
    hopeless: usize,
    /// The number of cases that failed in this run, which `--bail` limits. Cases of an earlier run
    /// do not count.
    failures: u32,
    /// The number of expectations that failed.
    expectations: usize,
    /// The texts that cannot be printed yet, because the text of an earlier case is still missing.
    /// The keys are the indices of the cases.
    waiting: BTreeMap<usize, String>,
    /// The index of the case whose text is printed next.
    next: usize,
    /// The reason why the run is to stop early, if there is one.
    pub(super) stopped: Option<Stopped>,
    /// Whether standard output is still open for writing.
    reads: bool,
    /// The error that prevented a report from being written, if there was one.
    failure: Option<Failed>,
    reports: Reports,
    /// The goldens to review, each with the index of its case.
    pending: Vec<(usize, Pending)>,
    /// The number of cases that were taken from an earlier run.
    carried: usize,
    progress: Progress,
}

/// The facts about the cases of a run that determine its exit code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Whether a model or its server failed in any case.
    broken: bool,
    /// Whether an expectation failed, or a line could not run although the model and its server
    /// worked.
    failed: bool,
    /// Whether a case failed only because goldens do not exist.
    lacking: bool,
}

impl Outcome {
    /// Adds a case. `fault` says why one of its lines could not run, if that happened.
    pub(super) fn add(&mut self, report: &CaseReport, fault: Option<Exit>) {
        match fault {
            Some(Exit::Model | Exit::Engine) => self.broken = true,
            _ if report.verdict == Verdict::Passed => {}
            _ if report.lacks_goldens() => self.lacking = true,
            _ => self.failed = true,
        }
    }

    /// The exit code. A failed model takes precedence, because the results of its cases mean
    /// nothing.
    pub(super) fn exit(self) -> Exit {
        match self {
            Outcome { broken: true, .. } => Exit::Model,
            Outcome { failed: true, .. } => Exit::Expectation,
            Outcome { lacking: true, .. } => Exit::GoldenMissing,
            Outcome { .. } => Exit::Well,
        }
    }
}

/// The outcome of a run whose reports are complete.
pub(super) struct Closed {
    /// The exit code of the program, unless the run was interrupted.
    pub(super) exit: Exit,
    pub(super) not_run: usize,
    /// The number of expectations that failed plus the number of lines that could not run.
    pub(super) failures: usize,
    /// The goldens to review.
    pub(super) pending: Vec<Pending>,
}

/// The reason why a run stopped early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// The model cannot be used. The text is the last error message.
    Hopeless(String),
    /// The number of failed cases has reached the limit of `--bail`.
    Bail,
}

impl<'a> Sink<'a> {
    pub(super) fn new(plan: &'a Plan<'a>, run: RunReport, reports: Reports) -> Sink<'a> {
        Sink {
            plan,
            run,
            models: BTreeMap::new(),
            outcome: Outcome::default(),
            hopeless: 0,
            failures: 0,
            expectations: 0,
            waiting: BTreeMap::new(),
            next: 0,
            stopped: None,
            reads: true,
            failure: None,
            reports,
            pending: Vec::new(),
            carried: 0,
            progress: Progress::new(),
        }
    }

    /// Handles a message. Returns false if the run is to stop.
    pub(super) fn take(&mut self, news: News) -> bool {
        match news {
            News::Working(work) => self.progress.working(&work),
            News::Warned(why) => {
                self.progress.clear();
                complain(&why);
            }
            // What ends after the run was stopped counts as not run.
            News::Ended(..) if self.stopped.is_some() => {}
            News::Ended(index, ran) => self.ended(index, *ran),
            News::Tick => {}
        }
        self.show_progress();
        self.stopped.is_none() && self.reads && self.failure.is_none()
    }

    /// Takes over the results of an earlier run. Returns the indices of the cases that must still
    /// be run.
    pub(super) fn carry(&mut self, earlier: &Earlier) -> Result<Vec<usize>, Failed> {
        let mut left = Vec::new();
        for index in 0..self.plan.cases.len() {
            match earlier.find(&self.plan.digest(index)) {
                Some(report) => {
                    let report = self.plan.adopt(index, report);
                    self.add(index, report, None)?;
                    self.carried += 1;
                }
                None => left.push(index),
            }
        }
        self.reports.begin()?;
        Ok(left)
    }

    fn ended(&mut self, index: usize, ran: Ran) {
        let Ran { report, fault } = ran;
        self.count_hopeless(&report, fault);
        let failed = report.verdict != Verdict::Passed;
        if let Err(failed) = self.add(index, report, fault) {
            self.failure.get_or_insert(failed);
        }
        if failed && let Some(most) = self.plan.args.many.bail {
            self.failures += 1;
            if self.failures >= most {
                self.stopped.get_or_insert(Stopped::Bail);
            }
        }
    }

    /// Counts a case, prints it, and adds it to the reports.
    fn add(&mut self, index: usize, report: CaseReport, fault: Option<Exit>) -> Result<(), Failed> {
        self.run.count(report.verdict);
        self.expectations += report.failures.len();
        self.run.reproducible &= !report.varies;
        if let Some(model) = &report.model {
            let first = self.models.entry(model.clone()).or_insert(index);
            *first = index.min(*first);
        }
        self.outcome.add(&report, fault);
        self.print(index, &report)?;
        if self.plan.args.review {
            let pending = review::pending(self.plan, index, &report);
            self.pending
                .extend(pending.into_iter().map(|golden| (index, golden)));
        }
        self.reports.add(index, &report)
    }

    fn count_hopeless(&mut self, report: &CaseReport, fault: Option<Exit>) {
        if fault != Some(FailureKind::Model.into()) {
            self.hopeless = 0;
            return;
        }
        self.hopeless += 1;
        if self.hopeless >= HOPELESS
            && let Some(error) = &report.error
        {
            self.stopped = Some(Stopped::Hopeless(error.why.clone()));
        }
    }

    /// Prints a case. Cases are printed in the order of the scripts, unless the output is JSON
    /// Lines that need not be stable.
    fn print(&mut self, index: usize, report: &CaseReport) -> Result<(), Failed> {
        let args = self.plan.args;
        let text = match args.json {
            true => json_line(report)?,
            false => coloured(report),
        };
        if args.json && !args.stable {
            return self.put(&text);
        }
        self.waiting.insert(index, text);
        while let Some(text) = self.waiting.remove(&self.next) {
            self.next += 1;
            self.put(&text)?;
        }
        Ok(())
    }

    fn put(&mut self, text: &str) -> Result<(), Failed> {
        if !self.reads {
            return Ok(());
        }
        if stdout().is_terminal() {
            self.progress.clear();
        }
        self.reads = output::write(text.as_bytes())?;
        Ok(())
    }

    fn show_progress(&mut self) {
        if self.stopped.is_none() {
            self.progress.show(Counts {
                done: self.run.cases(),
                all: self.plan.cases.len(),
                carried: self.carried,
                failed: self.run.failed + self.run.errors,
            });
        }
    }

    /// Prints the texts that are still waiting, and completes the reports. `why` is the reason to
    /// report if the run stopped early.
    pub(super) fn close(mut self, why: String) -> Result<Closed, Failed> {
        self.progress.clear();
        for (_, text) in std::mem::take(&mut self.waiting) {
            self.put(&text)?;
        }
        self.run.not_run = self.plan.cases.len() - self.run.cases();
        let mut models: Vec<(usize, String)> = std::mem::take(&mut self.models)
            .into_iter()
            .map(|(model, first)| (first, model))
            .collect();
        models.sort();
        self.run.models = models.into_iter().map(|(_, model)| model).collect();
        if !self.plan.args.stable {
            self.run.seconds = Some(self.progress.seconds());
        }
        let last = match self.plan.args.json {
            true => json_line(&self.run)?,
            false => report::summary_text(&self.run),
        };
        self.put(&last)?;
        let plan = self.plan;
        let names = |index: usize| plan.names(index);
        let ending = Ending {
            run: &self.run,
            names: &names,
            cases: plan.cases.len(),
            why: (self.run.not_run > 0).then_some(why),
        };
        self.reports.finish(&ending)?;
        match self.failure {
            Some(failed) => Err(failed),
            None => Ok(Closed {
                exit: self.outcome.exit(),
                not_run: self.run.not_run,
                failures: self.expectations + self.run.errors,
                pending: {
                    self.pending.sort_by_key(|(index, _)| *index);
                    self.pending.into_iter().map(|(_, golden)| golden).collect()
                },
            }),
        }
    }
}

/// Returns a case as text for standard output, in colour if standard output is a terminal that
/// shows colours.
fn coloured(case: &CaseReport) -> String {
    let coloured = stdout().is_terminal() && environment::colour();
    let mark = |verdict: Verdict, word: &str| match (verdict, coloured) {
        (_, false) => word.to_string(),
        (Verdict::Passed, true) => format!("\u{1b}[32m{word}\u{1b}[0m"),
        (Verdict::Failed | Verdict::Error, true) => format!("\u{1b}[31m{word}\u{1b}[0m"),
    };
    report::case_text(case, mark)
}

#[cfg(test)]
mod tests {
    use super::*;
    use replay::report::Failure;

    #[test]
    fn the_exit_code_says_the_worst_that_happened() {
        let case = |verdict: Verdict, golden: bool| CaseReport {
            verdict,
            failures: vec![Failure {
                golden: golden.then(|| "one".to_string()),
                actual: Some("It rained.".to_string()),
                ..Failure::default()
            }],
            ..CaseReport::default()
        };
        let passed = (CaseReport::default(), None);
        let lacking = (case(Verdict::Failed, true), None);
        let failed = (case(Verdict::Failed, false), None);
        let refused = (case(Verdict::Error, false), Some(Exit::Usage));
        let too_long = (case(Verdict::Error, false), Some(Exit::Overflow));
        let broken = (case(Verdict::Error, true), Some(Exit::Engine));
        let code = |cases: &[&(CaseReport, Option<Exit>)]| {
            let mut outcome = Outcome::default();
            for (report, fault) in cases.iter().copied() {
                outcome.add(report, *fault);
            }
            outcome.exit().code()
        };
        assert_eq!(code(&[&passed]), 0);
        assert_eq!(code(&[&lacking, &passed]), 4);
        assert_eq!(code(&[&lacking, &failed]), 1);
        assert_eq!(code(&[&refused, &lacking]), 1);
        assert_eq!(code(&[&too_long]), 1);
        assert_eq!(code(&[&failed, &broken, &lacking]), 3);
    }
}
