//! Shows the progress of a run, but only on a terminal.

use super::super::duration::duration;
use super::super::page::Meter;
use illumine::studio::Work;
use std::time::Instant;

/// A progress bar on standard error.
pub(super) struct Progress {
    meter: Meter,
    began: Instant,
    /// Whether the bar shows that a model is being loaded or a picture is being drawn.
    working: bool,
}

/// The numbers of cases that the progress display shows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) done: usize,
    pub(super) all: usize,
    /// How many of the `done` cases were taken from an earlier run.
    pub(super) carried: usize,
    pub(super) failed: usize,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress {
            meter: Meter::new(),
            began: Instant::now(),
            working: false,
        }
    }

    pub(super) fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Shows that a model is being loaded or a picture is being drawn.
    pub(super) fn working(&mut self, work: &Work) {
        self.working = *work != Work::Nothing;
        self.meter.show(work);
    }

    /// Shows how many cases have ended, and how much time is left.
    pub(super) fn show(&mut self, counts: Counts) {
        if !self.working && counts.all > 1 {
            let after = after(counts, self.seconds());
            self.meter
                .cases(counts.done as u64, counts.all as u64, &after);
        }
    }

    pub(super) fn clear(&mut self) {
        self.meter.clear();
    }
}

/// Returns the text that follows the counts: the number of failures, and the time left.
fn after(counts: Counts, seconds: f64) -> String {
    let Counts {
        done,
        all,
        carried,
        failed,
    } = counts;
    let mut after = String::new();
    if failed > 0 {
        after += &format!(", {failed} failed");
    }
    if done > carried && done < all {
        let each = seconds / (done - carried) as f64;
        after += &format!(", {} left", duration(each * (all - done) as f64));
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_counts_only_what_ran_this_time() {
        let counts = Counts {
            done: 60,
            all: 100,
            carried: 50,
            failed: 2,
        };
        assert_eq!(after(counts, 20.0), ", 2 failed, 1 min 20 s left");
        let carried = Counts {
            done: 50,
            failed: 0,
            ..counts
        };
        assert_eq!(after(carried, 20.0), "");
        assert_eq!(
            after(
                Counts {
                    done: 100,
                    ..carried
                },
                20.0
            ),
            ""
        );
    }
}
