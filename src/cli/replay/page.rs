//! The page of a replay: it collects answers and pictures for expectations, and shows progress.

use super::super::page::Meter;
use super::super::signals::Watch;
use illumine::line::{OutputClosed, Page};
use illumine::studio::{PictureSource, Work};
use std::sync::Arc;

/// Collects what one line led to.
pub(super) struct ReplayPage {
    watch: Watch,
    meter: Meter,
    /// How many cases have ended, and how many there are.
    progress: (usize, usize),
    /// Answers and notices.
    pub(super) answer: String,
    /// The last notice: the reason if the line was refused.
    pub(super) notice: String,
    pub(super) pictures: Vec<Arc<[u8]>>,
    /// The last number that a model measured for an expectation.
    pub(super) measured: Option<f64>,
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
            measured: None,
        }
    }

    /// Forgets what the last line led to.
    pub(super) fn begin_line(&mut self) {
        self.answer.clear();
        self.notice.clear();
        self.pictures.clear();
    }

    /// Counts a case that has ended, and hides the progress so that its report can be printed.
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

    fn measured(&mut self, number: f64) {
        self.measured = Some(number);
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
