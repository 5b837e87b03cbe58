//! Measures speeds: bytes per second while a model loads, and tokens per second while the model
//! generates.
//!
//! The caller passes in the time.

use crate::studio::Work;
use hub::fetch::{Progress, ProgressMeter};
use std::collections::BTreeMap;
use std::time::Duration;
use story::NodeId;
use story::message::PassageStats;

#[derive(Default)]
pub struct Meter {
    pace: ProgressMeter,
    loading: String,
    /// The time at which the first piece of text of the current request arrived.
    first: Option<Duration>,
    /// The time at which the latest piece of text arrived.
    last: Duration,
    /// The number of tokens that arrived after the first piece of text, summed over the passages of
    /// the request.
    after_first: usize,
    /// The number of tokens in each passage of the request. A request for candidates has several
    /// passages.
    tokens: BTreeMap<NodeId, usize>,
    prompt: usize,
    /// The speed of the previous passage in tokens per second.
    before: Option<f64>,
}

impl Meter {
    /// Updates the meter from `work`, which is what the engine is doing at the time `now`.
    pub fn works(&mut self, work: &Work, now: Duration) {
        match work {
            Work::Loading { what, done, total } => {
                let progress = Progress {
                    what: what.clone(),
                    done: *done,
                    total: *total,
                };
                self.loading = self.pace.line(now, &progress);
            }
            Work::Reading { total, .. } => {
                (self.prompt, self.after_first, self.first) = (*total, 0, None);
                self.tokens.clear();
            }
            Work::Nothing | Work::Writing | Work::Thinking { .. } | Work::Drawing { .. } => {}
        }
    }

    /// Records that a passage received `tokens` new tokens at the time `now`.
    pub fn wrote(&mut self, node: NodeId, tokens: usize, now: Duration) {
        self.last = now;
        *self.tokens.entry(node).or_default() += tokens;
        match self.first {
            None => self.first = Some(now),
            Some(_) => self.after_first += tokens,
        }
    }

    /// Records the end of a request. `stats` contains the statistics of the request's passage, if
    /// it has any.
    pub fn ended(&mut self, stats: Option<&PassageStats>) {
        self.tokens.clear();
        if let Some(stats) = stats {
            self.before = (stats.new_tokens > 0).then(|| stats.decode_tps());
        }
    }

    /// The progress of downloading or loading a model as a line of text: bytes, speed and remaining
    /// time.
    pub fn loading(&self) -> &str {
        &self.loading
    }

    /// The speed of the current request in tokens per second; None until text has been arriving for
    /// 0.1 seconds.
    pub fn speed(&self) -> Option<f64> {
        let seconds = self.last.saturating_sub(self.first?).as_secs_f64();
        (seconds > 0.1).then(|| self.after_first as f64 / seconds)
    }

    /// The number of tokens in the context, which contains the prompt and the current passage (or
    /// the longest of several candidates).
    pub fn used(&self) -> usize {
        self.prompt + self.tokens.values().max().unwrap_or(&0)
    }

    /// Describes in a few words what the engine is doing. If the engine is idle, returns the speed
    /// of the last passage, or None if that speed is unknown.
    pub fn activity(&self, work: &Work) -> Option<String> {
        match work {
            Work::Nothing => self.before.map(|speed| format!("{speed:.1} tok/s")),
            Work::Loading {
                done,
                total: Some(total),
                ..
            } if *total > 0 => Some(format!("loading {} %", percent(*done, *total))),
            Work::Loading { .. } => Some("loading".to_string()),
            Work::Reading {
                done,
                total,
                reused: 0,
            } => Some(format!("evaluating {done}/{total}")),
            Work::Reading {
                done,
                total,
                reused,
            } => Some(format!("evaluating {done}/{total}, {reused} reused")),
            Work::Drawing { total, .. } if *total < 2 => Some("drawing".to_string()),
            Work::Drawing { done, total } => Some(format!("drawing {done}/{total}")),
            Work::Thinking { words } => Some(format!("thinking, {words} words")),
            Work::Writing => Some(match self.speed() {
                Some(speed) => format!("writing {speed:.1} tok/s"),
                None => "writing".to_string(),
            }),
        }
    }
}

pub fn percent(done: u64, total: u64) -> u64 {
    (done.min(total) as f64 / total as f64 * 100.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_counts_what_came_after_the_first_piece() {
        let mut meter = Meter::default();
        meter.wrote(1, 3, Duration::from_secs(5));
        assert_eq!(meter.speed(), None);
        meter.wrote(1, 10, Duration::from_secs(6));
        meter.wrote(1, 10, Duration::from_secs(7));
        assert_eq!(meter.speed(), Some(10.0));
        assert_eq!(
            meter.activity(&Work::Writing).as_deref(),
            Some("writing 10.0 tok/s")
        );
    }

    #[test]
    fn candidates_share_the_speed_but_not_the_context() {
        let mut meter = Meter::default();
        let reading = |total| Work::Reading {
            done: total,
            total,
            reused: 0,
        };
        meter.works(&reading(100), Duration::ZERO);
        for second in 1..=3 {
            meter.wrote(4, 1, Duration::from_secs(second));
            meter.wrote(5, 2, Duration::from_secs(second));
        }
        assert_eq!(meter.used(), 106);
        assert_eq!(meter.speed(), Some(4.0));
        meter.works(&reading(50), Duration::ZERO);
        assert_eq!(meter.used(), 50);
    }
}
