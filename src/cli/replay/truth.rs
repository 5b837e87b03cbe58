//! Determines whether the answers of a replay come from a model or from a cassette, and whether the
//! answers are recorded or verified.

use super::super::args::{Replay as Args, ReplayTruth};
use super::super::environment::{BUILD, current_folder};
use super::super::{Exit, Failed};
use super::quoting::shell_quoted;
use super::{stable, usage};
use base::untrusted::clean_line;
use illumine::engine::cassette::{CassetteLoader, Findings, Use};
use illumine::engine::{Engine, Loader, ModelLoader};
use replay::cassette::compare::Agreement;
use replay::cassette::{Cassette, Matching, Tape};
use replay::report::{Failure, RunMode};
use replay::script::Answers;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use story::Reply;

/// Whether a run's answers come from a model or from a cassette, and whether the answers are
/// recorded or verified.
pub(super) struct Truth {
    mode: RunMode,
    /// How the cassette is used; None if there is no cassette.
    used: Option<Use>,
    findings: Findings,
    /// The path of the cassette, as the user entered it.
    cassette: Option<PathBuf>,
    /// A text that identifies everything else that the results depend on, besides the scripts and
    /// the model. Empty if there is nothing else.
    basis: String,
    /// The command that records the cassette again, for error messages.
    record_again: String,
}

impl Truth {
    /// Opens the cassette that the answers come from, or creates the one that they are recorded in.
    pub(super) fn open(replay: &Args, answers: &Answers) -> Result<Truth, Failed> {
        let args = &replay.truth;
        let open = |path: &Path, matching| {
            let cassette = Cassette::open(path, matching);
            cassette.map(Arc::new).map_err(usage)
        };
        let (mode, used, path) = if let Some(path) = &args.record {
            if replay.filter.is_some() && path.exists() {
                let why = "--record with --filter would remove the answers of all other cases from the cassette; leave out --filter, or choose a new file";
                return Err(usage(why));
            }
            let tape = Tape::create(path, BUILD);
            let tape = tape.map_err(|error| Failed::new(Exit::Engine, error))?;
            let used = Use::Record(Arc::new(tape));
            (RunMode::Recompute, Some(used), Some(path))
        } else if let Answers::Cassette(path) = answers {
            let matching = match args.in_order {
                true => Matching::InOrder,
                false => Matching::Strict,
            };
            let (cassette, real_time) = (open(path, matching)?, args.real_time);
            let played = Use::Play {
                cassette,
                real_time,
            };
            (RunMode::Cassette, Some(played), Some(path))
        } else if let Answers::Verify {
            cassette: path,
            tolerance,
        } = answers
        {
            let verified = Use::Verify {
                cassette: open(path, Matching::AnyModel)?,
                tolerance: *tolerance,
            };
            (RunMode::Verify, Some(verified), Some(path))
        } else {
            (RunMode::Recompute, None, None)
        };
        Ok(Truth {
            mode,
            basis: basis(mode, used.as_ref()),
            used,
            findings: Findings::default(),
            record_again: record_again(&replay.files, path),
            cassette: path.cloned(),
        })
    }

    pub(super) fn mode(&self) -> RunMode {
        self.mode
    }

    /// The path of the cassette, as the user entered it.
    pub(super) fn cassette(&self) -> Option<&Path> {
        self.cassette.as_deref()
    }

    /// A text that identifies everything else that the results depend on, besides the scripts and
    /// the model. Empty if there is nothing else.
    pub(super) fn basis(&self) -> &str {
        &self.basis
    }

    /// Whether the answers of text models come from a cassette, so that no text model is needed.
    pub(super) fn plays(&self) -> bool {
        self.mode == RunMode::Cassette
    }

    /// Whether a cassette is recorded, played or verified. If so, the order of the cases matters.
    pub(super) fn uses_cassette(&self) -> bool {
        self.used.is_some()
    }

    /// Whether the recorded answers determine the text of the story.
    pub(super) fn is_recorded(&self) -> bool {
        self.mode != RunMode::Recompute
    }

    /// If a cassette is played, stops `loader` from using the network.
    pub(super) fn prepare(&self, loader: &mut ModelLoader) {
        loader.store.offline |= self.plays();
    }

    /// Starts an engine that plays, records or verifies answers as this `Truth` requires. Also
    /// returns the engine's findings about the cassette.
    pub(super) fn engine(
        &self,
        inner: impl Loader + 'static,
        replies: Sender<Reply>,
    ) -> (Engine, Arc<Findings>) {
        let findings = Arc::new(self.findings.of_another_engine());
        let engine = match self.used.clone() {
            None => Engine::start(inner, replies),
            Some(used) => {
                let loader = CassetteLoader {
                    inner,
                    used,
                    findings: findings.clone(),
                };
                Engine::start(loader, replies)
            }
        };
        (engine, findings)
    }

    /// Explains why a line failed if a request disagreed with the cassette. Returns None if the
    /// line failed for another reason.
    pub(super) fn explain(&self, findings: &Findings, failure: &Failure) -> Option<Failure> {
        let found = findings.take()?;
        Some(Failure {
            at: failure.at.clone(),
            source: failure.source.clone(),
            why: format!("{} To record it again: {}", found.why, self.record_again),
            ..found
        })
    }

    /// The cassette as a report names it, and how well the model agrees with it.
    pub(super) fn found(&self, stable: bool) -> (Option<String>, Option<Agreement>) {
        let path = self.cassette().map(|path| match stable {
            true => stable::shortened(path, current_folder().as_deref()),
            false => path.to_string_lossy().into_owned(),
        });
        let verified = self.mode == RunMode::Verify;
        let agreement = verified.then(|| self.findings.agreement());
        (path.map(|path| clean_line(&path)), agreement)
    }

    /// Whether the answers are being recorded.
    pub(super) fn records(&self) -> bool {
        matches!(self.used, Some(Use::Record(_)))
    }

    /// Completes the cassette in which the answers were recorded.
    pub(super) fn finish(&self) -> Result<(), Failed> {
        match &self.used {
            Some(Use::Record(tape)) => {
                let finished = tape.finish();
                finished.map_err(|error| Failed::new(Exit::Engine, error))?;
                Ok(())
            }
            None | Some(Use::Play { .. } | Use::Verify { .. }) => Ok(()),
        }
    }
}

/// Returns a text that identifies everything else that the results depend on, besides the scripts
/// and the model. Empty if there is nothing else.
fn basis(mode: RunMode, used: Option<&Use>) -> String {
    let mode = mode.name();
    match used {
        None | Some(Use::Record(_)) => String::new(),
        Some(Use::Play { cassette, .. }) => format!("{mode} {}", cassette.digest()),
        Some(Use::Verify {
            cassette,
            tolerance,
        }) => format!("{mode} {} {tolerance:?}", cassette.digest()),
    }
}

/// Returns the command that records a cassette for these scripts.
fn record_again(scripts: &[PathBuf], cassette: Option<&PathBuf>) -> String {
    let words = ["illumine", "replay"].map(str::to_string).into_iter();
    let scripts = scripts
        .iter()
        .map(|path| path.to_string_lossy().into_owned());
    let cassette = cassette.map(|path| path.to_string_lossy().into_owned());
    let record = ["--record".to_string(), cassette.unwrap_or_default()];
    let words = words.chain(scripts).chain(record);
    let words: Vec<String> = words.map(|word| shell_quoted(&word)).collect();
    clean_line(&words.join(" "))
}

/// Returns the command-line words for the options that concern recorded answers. They are part of
/// the command that runs a case again.
pub(super) fn words(args: &ReplayTruth) -> Vec<String> {
    let mut words = Vec::new();
    // A case that is recorded is recomputed, whatever the script says.
    let recomputed = args.recompute || args.record.is_some();
    words.extend(recomputed.then(|| "--recompute".to_string()));
    // The case alone would replace the recording of all cases, so `--record` is left out.
    for (name, path) in [("--cassette", &args.cassette), ("--verify", &args.verify)] {
        if let Some(path) = path {
            words.extend([name.to_string(), path.to_string_lossy().into_owned()]);
        }
    }
    for (name, on) in [
        ("--in-order", args.in_order),
        ("--real-time", args.real_time),
    ] {
        words.extend(on.then(|| name.to_string()));
    }
    if let Some(tolerance) = args.tolerance {
        words.extend(["--tolerance".to_string(), tolerance.to_string()]);
    }
    words
}
