//! Runs cases of a replay, one after the other, each in a new private session.

mod describe;
mod observe;

use super::super::Exit;
use super::super::args::Replay as Args;
use super::news::Ran;
use super::page::ReplayPage;
use super::plan::{other_model, pinned};
use super::reports::has_texts;
use super::rerun::{file_name, rerun};
use super::truth::Truth;
use illumine::engine::cassette::Findings;
use illumine::line::{self, FailureCause, Flow};
use illumine::store::export::bare_text;
use illumine::studio::Studio;
use replay::expect::{Check, Expectation};
use replay::golden::Goldens;
use replay::position::Position;
use replay::report::{CaseReport, Failure, Runs, Texts, Verdict};
use replay::script::{Case, Script, Step};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;
use story::{Reply, Settings, Status};

/// The state of a replay.
pub(super) struct Runner<'a> {
    studio: Studio,
    events: Receiver<Reply>,
    page: ReplayPage,
    args: &'a Args,
    truth: &'a Truth,
    findings: Arc<Findings>,
    /// How long the last line took, in milliseconds.
    took: f64,
    /// The total number of tokens in the passages whose token ids are unknown.
    counted: usize,
    /// The reason why the last line was refused; None if it was not refused.
    refused: Option<String>,
}

/// The reason why a line could not run, as a sentence, and the exit code.
type Fault = (String, Exit);

impl<'a> Runner<'a> {
    pub(super) fn new(
        studio: Studio,
        events: Receiver<Reply>,
        page: ReplayPage,
        args: &'a Args,
        (truth, findings): (&'a Truth, Arc<Findings>),
    ) -> Runner<'a> {
        Runner {
            studio,
            events,
            page,
            args,
            truth,
            findings,
            took: 0.0,
            counted: 0,
            refused: None,
        }
    }

    fn interrupted(&self) -> bool {
        self.page.interrupted()
    }

    /// Runs a case as many times as its script says. Returns None if the case was interrupted.
    pub(super) fn case(
        &mut self,
        script: &Script,
        case: &Case,
        settings: &Settings,
    ) -> Option<Ran> {
        let Some(repeat) = case.repeat else {
            return self.once(script, case, settings.clone());
        };
        let seed = settings.sampling.seed.unwrap_or_default();
        let (mut whole, mut passed, mut scores) = (None::<CaseReport>, 0, 0.0);
        for number in 0..repeat.times {
            let mut settings = settings.clone();
            // The first run has the seed of the script.
            settings.sampling.seed = Some(match number {
                0 => seed,
                _ => sampler::rng::derive(seed, u64::from(number)),
            });
            let Ran { mut report, fault } = self.once(script, case, settings)?;
            if fault.is_some() {
                return Some(Ran { report, fault });
            }
            passed += u32::from(report.verdict == Verdict::Passed);
            scores += report.score.unwrap_or_default();
            let begun = whole.take();
            if let Some(begun) = begun {
                report = together(begun, report);
            }
            whole = Some(report);
        }
        let mut report = whole.unwrap_or_default();
        let runs = Runs::new(passed, repeat.times, repeat.pass_rate);
        report.score = report.score.map(|_| scores / f64::from(repeat.times));
        report.verdict = match repeat.pass_rate.allows(runs.pass_rate) {
            true => Verdict::Passed,
            false => Verdict::Failed,
        };
        match report.verdict {
            Verdict::Passed => (report.failures, report.story) = (Vec::new(), None),
            Verdict::Failed | Verdict::Error => {
                let why = format!(
                    "{passed} of {} runs passed, but a share of {} is expected.",
                    runs.runs, runs.expected
                );
                report.failures.insert(0, failure(&case.at, "repeat", &why));
            }
        }
        report.runs = Some(runs);
        let fault = None;
        Some(Ran { report, fault })
    }

    /// Runs a case once. Returns None if the run was interrupted.
    fn once(&mut self, script: &Script, case: &Case, settings: Settings) -> Option<Ran> {
        let file = script.path.to_string_lossy().into_owned();
        let mut report = CaseReport {
            rerun: rerun(&file, &case.name, self.args),
            file,
            case: case.name.clone(),
            line: case.at.line,
            settings: describe::settings_text(&settings),
            seed: settings.sampling.seed,
            ..CaseReport::default()
        };
        self.page.drawn.clear();
        self.counted = 0;
        // A cassette keeps no folders, so that it can be played elsewhere.
        let name = script.path.file_name().unwrap_or_default();
        let name = name.to_string_lossy();
        self.findings.begin_case(&format!("{name}: {}", case.name));
        let begun = self.begin(settings).and_then(|()| self.check_model(case));
        if self.interrupted() {
            return None;
        }
        let mut fault = None;
        if let Err((why, exit)) = begun {
            report.error = Some(failure(&case.at, "model", &why));
            fault = Some(exit);
        }
        let began = Instant::now();
        let goldens = Goldens::of(&script.path, self.args.update_golden);
        let mut steps = case.steps.iter().peekable();
        while let Some(step) = steps.next().filter(|_| fault.is_none()) {
            match step {
                Step::Line { at, text } => {
                    let ran = self.line(text);
                    if self.interrupted() {
                        return None;
                    }
                    let expected =
                        matches!(steps.peek(), Some(Step::Expect(next)) if is_refusal(next));
                    if let Err((why, exit)) = ran
                        && !(expected && self.refused.is_some())
                    {
                        let error = failure(at, text, &why);
                        fault = self.broken(&mut report, error, exit);
                        break;
                    }
                }
                Step::Expect(expectation) => match self.check(expectation, &goldens) {
                    Ok(finding) => report.add(expectation, finding, self.args.stable),
                    Err((why, exit)) => {
                        let source = format!("expect {}", expectation.source);
                        let error = failure(&expectation.at, &source, &why);
                        fault = self.broken(&mut report, error, exit);
                        break;
                    }
                },
            }
        }
        self.note_model(&mut report);
        self.measure(&mut report, began);
        report.decide(case.threshold, &case.at.short());
        report.messages = describe::messages(&self.studio);
        if report.verdict != Verdict::Passed {
            report.story = Some(bare_text(self.studio.story()));
        }
        if has_texts(self.args) {
            let typed = case.steps.iter().filter_map(|step| match step {
                Step::Line { text, .. } => Some(text.as_str()),
                Step::Expect(_) => None,
            });
            report.texts = Texts {
                typed: typed.collect::<Vec<_>>().join("\n"),
                story: bare_text(self.studio.story()),
            };
        }
        report.pictures = std::mem::take(&mut self.page.drawn);
        Some(Ran { report, fault })
    }

    /// Reports why a case ended early. The case fails if a request disagrees with the cassette.
    /// Otherwise, the case has an error, and the exit code of the error is returned.
    fn broken(&self, report: &mut CaseReport, error: Failure, exit: Exit) -> Option<Exit> {
        match self.truth.explain(&self.findings, &error) {
            Some(found) => {
                report.checked += 1;
                report.failures.push(found);
                None
            }
            None => {
                report.error = Some(error);
                Some(exit)
            }
        }
    }

    /// Starts an empty session, and loads its model.
    fn begin(&mut self, settings: Settings) -> Result<(), Fault> {
        self.page.begin_line();
        self.refused = None;
        let begun = self.studio.begin_with(settings);
        begun.map_err(|refusal| (refusal.to_string(), Exit::Session))?;
        let settled = line::settle(&mut self.studio, &self.events, &mut self.page);
        match settled {
            Ok(Some(cause)) => Err((self.page.notice.clone(), cause.into())),
            Ok(None) | Err(line::OutputClosed) => Ok(()),
        }
    }

    /// Checks the checksum of the loaded model, if the script names one.
    fn check_model(&self, case: &Case) -> Result<(), Fault> {
        let about = self.studio.about();
        match (pinned(self.args, case), about) {
            (Some(pinned), Some(about)) if !about.sha256.starts_with(pinned) => {
                let why = other_model(&about.name, &about.sha256, pinned);
                Err((why, Exit::Model))
            }
            _ => Ok(()),
        }
    }

    /// Types a line and waits until the line has been carried out.
    fn line(&mut self, text: &str) -> Result<(), Fault> {
        self.page.begin_line();
        self.refused = None;
        let (began, before) = (Instant::now(), self.studio.story().nodes().len());
        let flow = line::run_line(&mut self.studio, &self.events, text, &mut self.page);
        self.took = began.elapsed().as_secs_f64() * 1000.0;
        if let Ok(Flow::On(Some(cause))) = flow {
            let why = self.page.notice.clone();
            if cause == FailureCause::Refused {
                self.refused = Some(why.clone());
            }
            return Err((why, cause.into()));
        }
        let story = self.studio.story();
        let mut new = story.nodes().iter().skip(before);
        if new.any(|node| node.provenance.is_some() && node.ids.is_empty()) {
            let stats = self.studio.last_stats();
            self.counted += stats.map_or(0, |stats| stats.new_tokens);
        }
        let head = story.head().and_then(|id| story.node(id));
        match head.map(|node| node.status) {
            Some(Status::Interrupted) => {
                let why = "The model server went away before the passage ended";
                Err((why.to_string(), Exit::Engine))
            }
            _ => Ok(()),
        }
    }

    /// Adds the token count and times to a report.
    fn measure(&self, report: &mut CaseReport, began: Instant) {
        let seconds = began.elapsed().as_secs_f64();
        let nodes = self.studio.story().nodes().iter();
        report.tokens = nodes.map(|node| node.ids.len()).sum::<usize>() + self.counted;
        if !self.args.stable {
            report.seconds = Some(seconds);
            let speed = report.tokens as f64 / seconds.max(1e-9);
            report.tokens_per_second = Some(speed).filter(|speed| *speed > 0.0);
        }
    }

    /// Adds the loaded model to the report.
    fn note_model(&self, report: &mut CaseReport) {
        let Some(about) = self.studio.about() else {
            return;
        };
        let sha256 = about.sha256.get(..12).unwrap_or(&about.sha256);
        report.model = Some(match self.args.stable {
            // Neither a folder nor the processor may make the report differ on another machine.
            true => format!("{} (SHA-256 {sha256}…)", file_name(&about.name)),
            false => format!("{} (SHA-256 {sha256}…) on {}", about.name, about.backend),
        });
        // Recorded passages are the same next time.
        let recorded = self.truth.is_recorded();
        report.varies = !recorded && !self.studio.capabilities().reproducible;
    }
}

/// Adds the next run of a repeated case to the combined report of the runs before it. The reported
/// failures are those of the first run that failed.
fn together(before: CaseReport, run: CaseReport) -> CaseReport {
    let sum = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
    let (tokens, seconds) = (before.tokens + run.tokens, sum(before.seconds, run.seconds));
    let checked = before.checked + run.checked;
    let speed = seconds.map(|seconds| tokens as f64 / seconds.max(1e-9));
    let explained = match before.failures.is_empty() {
        true => run,
        false => before,
    };
    CaseReport {
        tokens,
        seconds,
        checked,
        tokens_per_second: speed,
        ..explained
    }
}

fn is_refusal(expectation: &Expectation) -> bool {
    matches!(expectation.check, Check::Refused(_))
}

fn failure(at: &Position, source: &str, why: &str) -> Failure {
    Failure {
        at: at.short(),
        source: source.to_string(),
        why: why.to_string(),
        ..Failure::default()
    }
}
