//! How long work reports its progress, and how it learns that it is to stop.

use std::fmt;

/// The user asked for the work to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Stopped")
    }
}

impl std::error::Error for Cancelled {}

/// Somebody who watches a piece of work and may stop it.
pub trait Observer {
    /// So many units of what `step` names are done; the total is None while nobody knows it.
    fn progress(&self, step: &str, done: u64, total: Option<u64>);

    /// An error once the work is to stop, for `?` to carry out of it.
    fn check(&self) -> Result<(), Cancelled>;

    /// Whether the work is to stop.
    fn is_cancelled(&self) -> bool {
        self.check().is_err()
    }
}

/// Nobody watches, and nothing stops the work.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn progress(&self, _: &str, _: u64, _: Option<u64>) {}

    fn check(&self) -> Result<(), Cancelled> {
        Ok(())
    }
}

/// Nobody watches, and the work stops at its first check.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlwaysCancelled;

impl Observer for AlwaysCancelled {
    fn progress(&self, _: &str, _: u64, _: Option<u64>) {}

    fn check(&self) -> Result<(), Cancelled> {
        Err(Cancelled)
    }
}
