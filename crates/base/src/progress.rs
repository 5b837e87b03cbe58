//! Progress reports of long tasks, and requests to stop them.

/// The error of a task that the user has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Stopped")]
pub struct Cancelled;

/// Receives the progress of a task, and may cancel the task.
pub trait Observer {
    /// Reports that `done` of `total` units of `step` are complete. `total` is None if the total is
    /// unknown.
    fn progress(&self, step: &str, done: u64, total: Option<u64>);

    /// Returns an error if the task is cancelled, so that the caller can end the task with `?`.
    fn check(&self) -> Result<(), Cancelled>;

    /// Whether the task is cancelled.
    fn is_cancelled(&self) -> bool {
        self.check().is_err()
    }
}

/// An observer that ignores progress and never cancels.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn progress(&self, _: &str, _: u64, _: Option<u64>) {}

    fn check(&self) -> Result<(), Cancelled> {
        Ok(())
    }
}
