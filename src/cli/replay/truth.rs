//! Determines whether the answers of a replay come from a model or from a cassette, and whether the
//! answers are recorded or verified.

use super::super::args::{Replay, ReplayTruth as Args};
use super::super::environment::{self, BUILD};
use super::super::{Exit, Failed, complain};
use super::quoting::shell_quoted;
use super::stable;
use super::usage;
use base::untrusted::clean_line;
use illumine::engine::cassette::{CassetteLoader, Findings, Use};
use illumine::engine::{Engine, Loader, ModelLoader};
use replay::cassette::{Cassette, Matching, Tape};
use replay::report::{Failure, RunMode, RunReport};
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
    /// Opens the cassette to be played or verified, or creates the one to be recorded.
    pub(super) fn open(replay: &Replay) -> Result<Truth, Failed> {
        let args = &replay.truth;
        let played = args.cassette.as_ref().or(args.verify.as_ref());
        let path = args.record.as_ref().or(played);
        let open = |path: &Path, matching| {
            let cassette = Cassette::open(path, matching);
            cassette.map(Arc::new).map_err(usage)
        };
        let (mode, used) = if let Some(path) = &args.record {
            if replay.filter.is_some() && path.exists() {
                let why = "--record with --filter would remove the answers of all other cases from the cassette; leave out --filter, or choose a new file";
                return Err(usage(why));
            }
            let tape = Tape::create(path, BUILD);
            let tape = tape.map_err(|error| Failed::new(Exit::Engine, error))?;
            (RunMode::Recompute, Some(Use::Record(Arc::new(tape))))
        } else if let Some(path) = &args.cassette {
            let matching = match args.in_order {
                true => Matching::InOrder,
                false => Matching::Strict,
            };
            let (cassette, real_time) = (open(path, matching)?, args.real_time);
            let played = Use::Play {
                cassette,
                real_time,
            };
            (RunMode::Cassette, Some(played))
        } else if let Some(path) = &args.verify {
            let (cassette, tolerance) = (open(path, Matching::AnyModel)?, args.tolerance);
            let verified = Use::Verify {
                cassette,
                tolerance,
            };
            (RunMode::Verify, Some(verified))
        } else {
            (RunMode::Recompute, None)
        };
        Ok(Truth {
            mode,
            basis: basis(mode, used.as_ref()),
            used,
            findings: Findings::default(),
            cassette: path.cloned(),
            record_again: record_again(&replay.files, path),
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

    /// Whether a cassette is recorded, played or verified, in which the order of the cases counts.
    pub(super) fn uses_cassette(&self) -> bool {
        self.used.is_some()
    }

    /// Makes sure that a played cassette needs no network, not even by chance.
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

    /// Completes the report. If every case ran, also completes the cassette that is being recorded.
    pub(super) fn finish(
        &self,
        run: &mut RunReport,
        every_case_ran: bool,
        stable: bool,
    ) -> Result<(), Failed> {
        let path = self.cassette().map(|path| match stable {
            true => stable::shortened(path, environment::current_folder().as_deref()),
            false => path.to_string_lossy().into_owned(),
        });
        run.cassette = path.map(|path| clean_line(&path));
        match &self.used {
            None => {}
            // An incomplete cassette would replace one that may be complete.
            Some(Use::Record(_)) if !every_case_ran => {
                if let Some(path) = run.cassette.take() {
                    complain(&format!(
                        "The cassette {path} was not written, because some cases did not run"
                    ));
                }
            }
            Some(Use::Record(tape)) => {
                let finished = tape.finish();
                finished.map_err(|error| Failed::new(Exit::Engine, error))?;
            }
            // The same answers are played next time.
            Some(Use::Play { .. }) => run.reproducible = true,
            Some(Use::Verify { .. }) => {
                run.reproducible = true;
                run.verified = Some(self.findings.agreement().report());
            }
        }
        Ok(())
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
pub(super) fn words(args: &Args) -> Vec<String> {
    let mut words = Vec::new();
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
