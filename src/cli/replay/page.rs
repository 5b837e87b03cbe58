//! The implementation of `Page` for a replay: collects the answers and pictures that expectations
//! check, and shows progress.

use super::super::page::Meter;
use super::super::signals::Watch;
use illumine::line::{OutputClosed, Page};
use illumine::studio::{PictureSource, Work};
use std::sync::Arc;

/// Collects the answers, notices and pictures that one line of a script produced.
pub(super) struct ReplayPage {
    watch: Watch,
    meter: Meter,
    /// The number of cases that have ended, and the number of all cases.
    progress: (usize, usize),
    /// The answers and notices, one below another.
    pub(super) answer: String,
    /// The last notice. If the line was refused, this is the reason.
    pub(super) notice: String,
    pub(super) pictures: Vec<Arc<[u8]>>,
}

impl ReplayPage {
    pub(super) fn new(watch: Watch, cases: usize) -> ReplayPage {
        ReplayPage {
            watch,
            meter: Meter::new(),
            progress: (0, cases),
            answer: String::new(),
            notice: String::new(),
            pictures: Vec::new(),
        }
    }

    /// Clears everything that the previous line produced.
    pub(super) fn begin_line(&mut self) {
        self.answer.clear();
        self.notice.clear();
        self.pictures.clear();
    }

    /// Counts a case as ended, and hides the progress so that the report of the case can be
    /// printed.
    pub(super) fn end_case(&mut self) {
        self.progress.0 += 1;
        self.meter.clear();
    }

    pub(super) fn interrupted(&self) -> bool {
        self.watch.interrupts() > 0
    }

    fn add(&mut self, text: &str) {
        if !self.answer.is_empty() {
            self.answer.push('\n');
        }
        self.answer += text;
    }
}

impl Page for ReplayPage {
    fn text(&mut self, _: &str) -> Result<(), OutputClosed> {
        Ok(())
    }

    fn end(&mut self) -> Result<(), OutputClosed> {
        Ok(())
    }

    fn message(&mut self, text: &str) -> Result<(), OutputClosed> {
        self.add(text);
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), OutputClosed> {
        self.add(&String::from_utf8_lossy(bytes));
        Ok(())
    }

    fn notice(&mut self, text: &str) {
        self.add(text);
        self.notice = text.to_string();
    }

    fn pictures(&mut self, files: &[PictureSource], said: &str) -> Result<(), OutputClosed> {
        let bytes = files.iter().filter_map(PictureSource::bytes);
        self.pictures.extend(bytes);
        self.message(said)
    }

    fn working(&mut self, work: &Work) {
        self.watch.working(*work != Work::Nothing);
        let (done, all) = self.progress;
        match work {
            Work::Loading { .. } | Work::Drawing { .. } => self.meter.show(work),
            Work::Nothing | Work::Reading { .. } | Work::Writing if all > 1 => {
                self.meter.count("Replaying", done as u64, all as u64);
            }
            Work::Nothing | Work::Reading { .. } | Work::Thinking { .. } | Work::Writing => {
                self.meter.clear()
            }
        }
    }
}
