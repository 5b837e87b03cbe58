//! Measures speeds: bytes per second while a model loads, tokens per second while it generates.
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
    /// The time of the first piece of this request.
    first: Option<Duration>,
    /// The time of the last piece of this request.
    last: Duration,
    /// The number of tokens after the first piece, in all passages together.
    after_first: usize,
    /// The number of tokens of each passage, since candidates are written side by side.
    tokens: BTreeMap<NodeId, usize>,
    prompt: usize,
    /// Tokens per second of the previous passage.
    before: Option<f64>,
}

impl Meter {
    /// Records the engine's progress.
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

    /// Records this many new tokens of a passage.
    pub fn wrote(&mut self, node: NodeId, tokens: usize, now: Duration) {
        self.last = now;
        *self.tokens.entry(node).or_default() += tokens;
        match self.first {
            None => self.first = Some(now),
            Some(_) => self.after_first += tokens,
        }
    }

    /// Records the end of a request, with the statistics of its passage.
    pub fn ended(&mut self, stats: Option<&PassageStats>) {
        self.tokens.clear();
        if let Some(stats) = stats {
            self.before = (stats.new_tokens > 0).then(|| stats.decode_tps());
        }
    }

    /// The progress of downloading or loading a model, in one line: bytes, speed, time left.
    pub fn loading(&self) -> &str {
        &self.loading
    }

    /// Tokens per second of the current passage; None before the second piece.
    pub fn speed(&self) -> Option<f64> {
        let seconds = self.last.saturating_sub(self.first?).as_secs_f64();
        (seconds > 0.1).then(|| self.after_first as f64 / seconds)
    }

    /// The context size of the current passage in tokens; of several candidates, that of the longest.
    pub fn used(&self) -> usize {
        self.prompt + self.tokens.values().max().unwrap_or(&0)
    }

    /// The current activity in a few words. If the engine is idle, the speed of the last passage;
    /// None if there is no such passage.
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
