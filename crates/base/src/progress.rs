//! How long work says how far it has come, and how it learns that it is to stop.

/// The user asked for the work to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Stopped")]
pub struct Cancelled;

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
