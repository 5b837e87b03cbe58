//! The progress of a download, and the caller's way to stop it.
//!
//! This module has no clock and draws nothing. The code that shows the progress bar passes the time
//! to `ProgressMeter`.

use super::error::FetchError;
use std::ops::ControlFlow;
use std::time::Duration;

/// The progress of one long task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The activity, such as "Downloading smollm2-135m".
    pub what: String,
    /// The number of bytes processed so far, including the bytes from an earlier, interrupted
    /// download.
    pub done: u64,
    /// The total number of bytes, if known.
    pub total: Option<u64>,
}

/// A function that is called with the progress many times a second, even while the progress does
/// not change. The download stops if the function returns `Break`.
pub type OnProgress<'a> = &'a mut dyn FnMut(&Progress) -> ControlFlow<()>;

/// Reports one model's progress to the caller.
pub(super) struct ProgressReporter<'a> {
    name: String,
    now: Progress,
    watch: OnProgress<'a>,
}

impl<'a> ProgressReporter<'a> {
    pub(super) fn new(name: &str, watch: OnProgress<'a>) -> ProgressReporter<'a> {
        let now = Progress {
            what: String::new(),
            done: 0,
            total: None,
        };
        ProgressReporter {
            name: name.into(),
            now,
            watch,
        }
    }

    /// Starts a new activity with 0 bytes done.
    pub(super) fn begin(&mut self, verb: &str, total: Option<u64>) -> Result<(), FetchError> {
        self.now.what = format!("{verb} {}", self.name);
        self.now.total = total;
        self.set_done(0)
    }

    /// Reports that the current activity has processed `done` bytes so far.
    pub(super) fn set_done(&mut self, done: u64) -> Result<(), FetchError> {
        self.now.done = done;
        self.check_stop()
    }

    /// Sets the total number of bytes of the current activity, if known.
    pub(super) fn set_total(&mut self, total: Option<u64>) {
        self.now.total = total;
    }

    /// Reports the same progress again, to check whether to stop.
    pub(super) fn check_stop(&mut self) -> Result<(), FetchError> {
        match (self.watch)(&self.now) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(FetchError::Stopped {
                name: self.name.clone(),
            }),
        }
    }
}

/// Formats progress as a line with bytes, speed and time left, using the caller's clock.
#[derive(Default)]
pub struct ProgressMeter {
    what: String,
    recent: std::collections::VecDeque<(Duration, u64)>,
}

impl ProgressMeter {
    /// Formats "Downloading smollm2-135m: 41.2 of 98.4 MB, 12.3 MB/s, 5 s left". `now` is the time
    /// since some fixed moment.
    pub fn line(&mut self, now: Duration, progress: &Progress) -> String {
        let speed = self.speed(now, progress);
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let done = megabytes(progress.done);
        let mut line = match progress.total {
            Some(total) => format!("{}: {done:.1} of {:.1} MB", progress.what, megabytes(total)),
            None if progress.done == 0 => progress.what.clone(),
            None => format!("{}: {done:.1} MB", progress.what),
        };
        if let Some(speed) = speed.filter(|speed| *speed > 0.0) {
            line += &format!(", {:.1} MB/s", speed / 1e6);
            if let Some(total) = progress.total.filter(|total| *total > progress.done) {
                line += &format!(", {} left", time((total - progress.done) as f64 / speed));
            }
        }
        line
    }

    /// Returns the speed in bytes per second over the last few seconds. Data from an earlier,
    /// interrupted download is not counted.
    fn speed(&mut self, now: Duration, progress: &Progress) -> Option<f64> {
        let back = self
            .recent
            .back()
            .is_some_and(|last| progress.done < last.1);
        if self.what != progress.what || back || self.recent.back().is_some_and(|last| last.1 == 0)
        {
            self.what.clone_from(&progress.what);
            self.recent.clear();
        }
        self.recent.push_back((now, progress.done));
        while self.recent.len() > 2 && now.saturating_sub(self.recent[0].0) > Duration::from_secs(5)
        {
            self.recent.pop_front();
        }
        let (then, before) = *self.recent.front()?;
        let seconds = now.saturating_sub(then).as_secs_f64();
        (seconds > 0.2).then(|| (progress.done - before) as f64 / seconds)
    }
}

fn time(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(done: u64) -> Progress {
        Progress {
            what: "Downloading it".into(),
            done,
            total: Some(98_400_000),
        }
    }

    #[test]
    fn bytes_speed_and_time_left() {
        let mut pace = ProgressMeter::default();
        let second = Duration::from_secs(1);
        assert_eq!(pace.line(second, &at(0)), "Downloading it: 0.0 of 98.4 MB");
        // A resumed fetch starts at 40 MB: these count as done, but not towards this run's speed.
        pace.line(second, &at(40_000_000));
        assert_eq!(
            pace.line(second * 2, &at(50_000_000)),
            "Downloading it: 50.0 of 98.4 MB, 10.0 MB/s, 5 s left"
        );
    }

    #[test]
    fn a_stall_is_no_division_by_zero() {
        let mut pace = ProgressMeter::default();
        pace.line(Duration::ZERO, &at(5_000_000));
        let line = pace.line(Duration::from_secs(3), &at(5_000_000));
        assert_eq!(line, "Downloading it: 5.0 of 98.4 MB");
        assert_eq!(time(3_725.0), "1 h 2 min");
        assert_eq!(time(61.0), "1 min 1 s");
    }

    #[test]
    fn break_becomes_a_sentence() {
        let mut stop = |_: &Progress| ControlFlow::Break(());
        let mut reporter = ProgressReporter::new("it", &mut stop);
        let error = reporter.begin("Fetching", None).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("`illumine models pull it` resumes")
        );
    }
}
