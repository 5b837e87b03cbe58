//! Runs the cases of a replay one after another, each in a new private session.

use super::super::Exit;
use super::super::args::Replay as Args;
use super::super::signals::Watch;
use super::page::ReplayPage;
use illumine::line::{self, FailureCause, Flow};
use illumine::store::export::bare_text;
use illumine::studio::Studio;
use replay::expect::{Check, Expectation, Finding, Observed};
use replay::golden::Goldens;
use replay::position::Position;
use replay::report::{CaseReport, Failure, RunReport, Runs, Verdict};
use replay::script::{Case, Script, Step};
use std::sync::mpsc::Receiver;
use std::time::Instant;
use story::places::find_place;
use story::{Reply, Settings, Status, Story};

/// The state of a replay.
pub(super) struct Runner<'a> {
    studio: &'a mut Studio,
    events: &'a Receiver<Reply>,
    page: ReplayPage,
    args: &'a Args,
    /// The time that the last line took, in milliseconds.
    took: f64,
    /// The message with which the last line was refused; None if the line was accepted.
    refused: Option<String>,
}

/// The reason why a line could not run, as a sentence, and the exit code.
type Fault = (String, Exit);

impl<'a> Runner<'a> {
    pub(super) fn new(
        studio: &'a mut Studio,
        events: &'a Receiver<Reply>,
        watch: Watch,
        args: &'a Args,
        cases: usize,
    ) -> Runner<'a> {
        Runner {
            studio,
            events,
            page: ReplayPage::new(watch, cases),
            args,
            took: 0.0,
            refused: None,
        }
    }

    pub(super) fn interrupted(&self) -> bool {
        self.page.interrupted()
    }

    /// Runs a case as many times as its script says. Returns None if the case was interrupted.
    pub(super) fn case(
        &mut self,
        script: &Script,
        case: &Case,
        settings: &Settings,
        run: &mut RunReport,
    ) -> Option<(CaseReport, Option<Exit>)> {
        let Some(repeat) = case.repeat else {
            let ran = self.once(script, case, settings.clone(), run)?;
            self.page.end_case();
            return Some(ran);
        };
        let seed = settings.sampling.seed.unwrap_or_default();
        let (mut whole, mut passed) = (None::<CaseReport>, 0);
        for number in 0..repeat.times {
            let mut settings = settings.clone();
            // The first run has the seed of the script.
            settings.sampling.seed = Some(match number {
                0 => seed,
                _ => sampler::rng::derive(seed, u64::from(number)),
            });
            let (mut report, fault) = self.once(script, case, settings, run)?;
            if fault.is_some() {
                self.page.end_case();
                return Some((report, fault));
            }
            passed += u32::from(report.verdict == Verdict::Passed);
            let begun = whole.take();
            if let Some(begun) = begun {
                report = together(begun, report);
            }
            whole = Some(report);
        }
        self.page.end_case();
        let mut report = whole.unwrap_or_default();
        let runs = Runs::new(passed, repeat.times, repeat.pass_rate);
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
        Some((report, None))
    }

    /// Runs a case once. Returns None if the case was interrupted.
    fn once(
        &mut self,
        script: &Script,
        case: &Case,
        settings: Settings,
        run: &mut RunReport,
    ) -> Option<(CaseReport, Option<Exit>)> {
        let file = script.path.to_string_lossy().into_owned();
        let mut report = CaseReport {
            rerun: rerun(&file, &case.name, self.args),
            file,
            case: case.name.clone(),
            line: case.at.line,
            ..CaseReport::default()
        };
        let mut fault = self.begin(settings).err();
        if self.interrupted() {
            return None;
        }
        if let Some((why, _)) = &fault {
            report.error = Some(failure(&case.at, "model", why));
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
                        report.error = Some(failure(at, text, &why));
                        fault = Some((why, exit));
                    }
                }
                Step::Expect(expectation) => {
                    report.checked += 1;
                    let finding = self.check(expectation, &goldens);
                    add(&mut report, expectation, finding);
                }
            }
        }
        self.note_model(run);
        self.measure(&mut report, began);
        report.verdict = match (&report.error, report.failures.is_empty()) {
            (Some(_), _) => Verdict::Error,
            (None, false) => Verdict::Failed,
            (None, true) => Verdict::Passed,
        };
        if report.verdict != Verdict::Passed {
            report.story = Some(bare_text(self.studio.story()));
        }
        Some((report, fault.map(|(_, exit)| exit)))
    }

    /// Starts an empty session, and loads its model.
    fn begin(&mut self, settings: Settings) -> Result<(), Fault> {
        self.page.begin_line();
        self.refused = None;
        let begun = self.studio.begin_with(settings);
        begun.map_err(|refusal| (refusal.to_string(), Exit::Session))?;
        let settled = line::settle(self.studio, self.events, &mut self.page);
        match settled {
            Ok(Some(cause)) => Err((self.page.notice.clone(), cause.into())),
            Ok(None) | Err(line::OutputClosed) => Ok(()),
        }
    }

    /// Types a line and waits until the line has been carried out.
    fn line(&mut self, text: &str) -> Result<(), Fault> {
        self.page.begin_line();
        self.refused = None;
        let began = Instant::now();
        let flow = line::run_line(self.studio, self.events, text, &mut self.page);
        self.took = began.elapsed().as_secs_f64() * 1000.0;
        if let Ok(Flow::On(Some(cause))) = flow {
            let why = self.page.notice.clone();
            if cause == FailureCause::Refused {
                self.refused = Some(why.clone());
            }
            return Err((why, cause.into()));
        }
        let story = self.studio.story();
        let head = story.head().and_then(|id| story.node(id));
        match head.map(|node| node.status) {
            Some(Status::Interrupted) => {
                let why = "The model server went away before the passage ended";
                Err((why.to_string(), Exit::Engine))
            }
            _ => Ok(()),
        }
    }

    fn check(&self, expectation: &Expectation, goldens: &Goldens) -> Finding {
        let story = self.studio.story();
        let head = story.head().and_then(|id| story.node(id));
        let generated = head.filter(|node| node.provenance.is_some());
        let stats = self.studio.last_stats().filter(|_| generated.is_some());
        let tokens = generated.map(|node| node.ids.len()).filter(|ids| *ids > 0);
        let versions = head.map_or(Vec::new(), |node| story.versions(node.id));
        let versions = versions.into_iter().filter_map(|id| story.node(id));
        let passage = |place: &str| text_at(story, place);
        let observed = Observed {
            text: &last_text(story),
            story: &bare_text(story),
            answer: &self.page.answer,
            refused: self.refused.as_deref(),
            status: head.map(|node| node.status),
            tokens: tokens.or(stats.map(|stats| stats.new_tokens)),
            milliseconds: self.took,
            tokens_per_second: stats.map(|stats| stats.decode_tps()),
            versions: versions.map(|node| node.text.as_str()).collect(),
            pictures: self.page.pictures.clone(),
            passage: &passage,
        };
        expectation.check(&observed, goldens)
    }

    /// Adds the token count and the times of a case to its report.
    fn measure(&self, report: &mut CaseReport, began: Instant) {
        let seconds = began.elapsed().as_secs_f64();
        let nodes = self.studio.story().nodes().iter();
        report.tokens = nodes.map(|node| node.ids.len()).sum();
        if !self.args.stable {
            report.seconds = Some(seconds);
            let speed = report.tokens as f64 / seconds.max(1e-9);
            report.tokens_per_second = Some(speed).filter(|speed| *speed > 0.0);
        }
    }

    /// Adds the name of the loaded model to the report of the replay.
    fn note_model(&self, run: &mut RunReport) {
        let Some(about) = self.studio.about() else {
            return;
        };
        let sha256 = about.sha256.get(..12).unwrap_or(&about.sha256);
        let model = format!("{} (SHA-256 {sha256}…) on {}", about.name, about.backend);
        if !run.models.contains(&model) {
            run.models.push(model);
        }
        run.reproducible &= self.studio.capabilities().reproducible;
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

fn add(report: &mut CaseReport, expectation: &Expectation, finding: Finding) {
    report.remarks.extend(finding.remark);
    if finding.passed {
        return;
    }
    let source = format!("expect {}", expectation.source);
    report.failures.push(Failure {
        measured: finding.measured,
        expected: finding.expected,
        actual: finding.actual,
        difference: finding.difference,
        ..failure(&expectation.at, &source, &finding.why)
    });
}

fn failure(at: &Position, source: &str, why: &str) -> Failure {
    Failure {
        at: at.short(),
        source: source.to_string(),
        why: why.to_string(),
        ..Failure::default()
    }
}

/// The text of the current story's last passage, including any earlier passages that it continues.
fn last_text(story: &Story) -> String {
    let mut parts = Vec::new();
    for passage in story.path().iter().rev() {
        parts.push(passage.text);
        if !passage.continues_previous() {
            break;
        }
    }
    parts.into_iter().rev().collect()
}

fn text_at(story: &Story, place: &str) -> Result<String, String> {
    let found = find_place(story, place).map_err(|error| format!("{error}."))?;
    let node = found.node.and_then(|id| story.node(id));
    let node = node.ok_or_else(|| "There is no passage at this place.".to_string())?;
    Ok(node.text.clone())
}

/// Returns the shell command that runs only one case, with the same options.
fn rerun(file: &str, case: &str, args: &Args) -> String {
    let mut words = vec![
        "illumine".to_string(),
        "replay".to_string(),
        file.to_string(),
    ];
    let mut flag = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            words.extend([format!("--{name}"), value.to_string()]);
        }
    };
    flag("filter", Some(case));
    let (common, sampling) = (&args.common, &args.common.sampling);
    let options = [
        ("model", &common.model),
        ("backend", &common.backend),
        ("system", &common.system),
        ("max-tokens", &sampling.max_tokens),
        ("seed", &sampling.seed),
        ("temperature", &sampling.temperature),
        ("top-k", &sampling.top_k),
        ("top-p", &sampling.top_p),
        ("min-p", &sampling.min_p),
    ];
    for (name, value) in options {
        flag(name, value.as_deref());
    }
    for (name, values) in [("set", &sampling.set), ("var", &args.var)] {
        values.iter().for_each(|value| flag(name, Some(value)));
    }
    words.extend(common.chat.then(|| "--chat".to_string()));
    let words: Vec<String> = words.iter().map(|word| shell_quoted(word)).collect();
    words.join(" ")
}

/// Quotes a word for a POSIX shell, if necessary.
fn shell_quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(shell_quoted("a.illum"), "a.illum");
        assert_eq!(shell_quoted("it's here"), "'it'\\''s here'");
        assert_eq!(shell_quoted(""), "''");
    }
}
