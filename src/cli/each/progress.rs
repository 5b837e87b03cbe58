//! Shows the progress of a run on standard error: as a bar if standard error is a terminal,
//! otherwise as occasional lines.

use crate::cli::duration::duration;
use crate::cli::{complain, note};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};
use story::sentence::count_noun;

/// The minimum time between two lines of progress if standard error is not a terminal.
const PAUSE: Duration = Duration::from_secs(30);
/// The minimum time between two updates of the bar.
const MOMENT: Duration = Duration::from_millis(200);

/// The numbers of cases, requests and tokens of a run so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub total: usize,
    pub written: usize,
    pub failed: usize,
    /// The number of retries: requests beyond the first request for a case.
    pub retries: u64,
    pub tokens: usize,
    pub in_flight: usize,
    /// The highest number of requests in flight at the same time.
    pub peak: usize,
}

/// The progress display: the bar, and the times at which the run began and the progress was last
/// shown.
pub struct Progress {
    bar: Option<ProgressBar>,
    began: Instant,
    shown: Instant,
}

impl Progress {
    pub fn new(total: usize) -> Progress {
        let bar = stderr().is_terminal().then(|| {
            let target = ProgressDrawTarget::stderr();
            let bar = ProgressBar::with_draw_target(Some(total as u64), target);
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        let began = Instant::now();
        Progress {
            bar,
            began,
            shown: began,
        }
    }

    /// Shows the counts, unless too little time has passed since they were last shown.
    pub fn show(&mut self, tally: &Tally) {
        let pause = match &self.bar {
            Some(_) => MOMENT,
            None => PAUSE,
        };
        if self.shown.elapsed() < pause {
            return;
        }
        self.shown = Instant::now();
        let line = line(tally, self.began.elapsed());
        match &self.bar {
            Some(bar) => {
                bar.set_position((tally.written + tally.failed) as u64);
                bar.set_message(line);
            }
            None => note(&format!(
                "{} of {} cases, {line}",
                tally.written + tally.failed,
                tally.total
            )),
        }
    }

    /// Shows the progress of loading or downloading a model.
    pub fn loading(&mut self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(base::untrusted::clean_line(what));
        }
    }

    /// Prints a line above the bar.
    pub fn say(&self, why: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| complain(why)),
            None => complain(why),
        }
    }

    /// Removes the bar and returns the duration of the run.
    pub fn finish(self) -> Duration {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.began.elapsed()
    }
}

fn line(tally: &Tally, time: Duration) -> String {
    let done = tally.written + tally.failed;
    let rate = done as f64 / time.as_secs_f64().max(1e-3);
    let mut line = format!("{}/s, {} in flight", digits(rate), tally.in_flight);
    if tally.failed > 0 {
        line += &format!(", {} failed", tally.failed);
    }
    if done > 0 && tally.total > done {
        let left = (tally.total - done) as f64 / rate;
        line += &format!(", {} left", duration(left));
    }
    line
}

/// Formats the summary of a run as one sentence.
pub fn summary(tally: &Tally, time: Duration) -> String {
    let seconds = time.as_secs_f64().max(1e-3);
    format!(
        "{} written, {} failed, {} retries; {} at {} cases/s and {} tokens/s, at most {} in flight",
        count_noun(tally.written, "case"),
        tally.failed,
        tally.retries,
        duration(time.as_secs_f64()),
        digits((tally.written + tally.failed) as f64 / seconds),
        digits(tally.tokens as f64 / seconds),
        tally.peak,
    )
}

fn digits(rate: f64) -> String {
    match rate {
        rate if rate >= 100.0 => format!("{rate:.0}"),
        rate if rate >= 10.0 => format!("{rate:.1}"),
        rate => format!("{rate:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_rate_and_time_left() {
        let tally = Tally {
            total: 1000,
            written: 190,
            failed: 10,
            in_flight: 64,
            ..Tally::default()
        };
        assert_eq!(
            line(&tally, Duration::from_secs(10)),
            "20.0/s, 64 in flight, 10 failed, 40.0 s left"
        );
        let said = summary(&tally, Duration::from_secs(7300));
        assert!(said.contains("190 cases written, 10 failed"), "{said}");
        assert!(said.contains("2 h 1 min"), "{said}");
    }
}
