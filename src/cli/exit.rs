//! The program's exit codes, as documented by `illumine --help`.

use illumine::engine::LoadError;
use illumine::line::FailureCause;
use illumine::store::StoreError;
use illumine::studio::Refusal;
use std::fmt::Display;
use story::message::FailureKind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Well,
    Engine,
    Usage,
    Model,
    Overflow,
    Session,
    /// In a replay, an expectation failed, or a line could not run.
    Expectation,
    /// In a replay, goldens are missing, but nothing else failed.
    GoldenMissing,
    Interrupted,
    Signal(u8),
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Exit::Well => 0,
            Exit::Engine | Exit::Expectation => 1,
            Exit::Usage => 2,
            Exit::Model => 3,
            Exit::Overflow | Exit::GoldenMissing => 4,
            Exit::Session => 5,
            Exit::Interrupted => 130,
            Exit::Signal(number) => 128u8.saturating_add(number),
        }
    }
}

/// Every code and its meaning, as shown by `illumine --help` and README.
pub const CODES: &[(&str, &str)] = &[
    ("0", "success"),
    (
        "1",
        "generation failed, an expectation of a replay failed, a case failed or is missing, or the output could not be written",
    ),
    ("2", "invalid command line, script line or prompt"),
    (
        "3",
        "the model cannot be downloaded or loaded; in a replay, the model or its server failed",
    ),
    (
        "4",
        "the prompt is longer than the model's context; in a replay, nothing failed, but goldens are missing",
    ),
    ("5", "the session cannot be opened or saved"),
    ("130", "interrupted with Ctrl+C"),
    (
        "128+N",
        "terminated by signal N: 129 hang-up, 143 termination",
    ),
];

impl From<FailureKind> for Exit {
    fn from(fault: FailureKind) -> Exit {
        match fault {
            FailureKind::Model => Exit::Model,
            FailureKind::Request => Exit::Usage,
            FailureKind::Overflow => Exit::Overflow,
            FailureKind::Store => Exit::Session,
            FailureKind::Engine => Exit::Engine,
        }
    }
}

impl From<FailureCause> for Exit {
    fn from(trouble: FailureCause) -> Exit {
        match trouble {
            FailureCause::Refused => Exit::Usage,
            FailureCause::Store => Exit::Session,
            FailureCause::Engine(fault) => fault.into(),
        }
    }
}

/// A failure that ends the program, described by one sentence and an exit code.
#[derive(Debug)]
pub struct Failed {
    pub exit: Exit,
    pub why: String,
}

impl Failed {
    pub fn new(exit: Exit, why: impl Display) -> Failed {
        let why = why.to_string();
        Failed { exit, why }
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Failed {
        let exit = match &refusal {
            Refusal::Store(_) => Exit::Session,
            _ => Exit::Usage,
        };
        Failed::new(exit, refusal)
    }
}

impl From<LoadError> for Failed {
    fn from(error: LoadError) -> Failed {
        match error {
            LoadError::Stopped => Failed::new(Exit::Interrupted, "Stopped"),
            LoadError::Failed(why) => Failed::new(Exit::Model, why),
        }
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        Failed::new(Exit::Session, error)
    }
}
