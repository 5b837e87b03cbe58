//! The implementation of `Page` for a replay: collects the answers and pictures that expectations
//! check, and reports progress.

use super::news::{Halt, News};
use illumine::line::{OutputClosed, Page};
use illumine::studio::{PictureSource, Work};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

/// Collects the answers, notices and pictures that one line of a script produced.
pub(super) struct ReplayPage {
    halt: Halt,
    news: SyncSender<News>,
    /// Whether the progress of loading a model or drawing a picture is being shown.
    shows: bool,
    /// Answers and notices.
    pub(super) answer: String,
    /// The last notice. If the line was refused, this is the reason.
    pub(super) notice: String,
    pub(super) pictures: Vec<Arc<[u8]>>,
    /// All pictures that the current case has drawn so far.
    pub(super) drawn: Vec<Arc<[u8]>>,
    /// The last number that a model measured for an expectation.
    pub(super) measured: Option<f64>,
}

impl ReplayPage {
    pub(super) fn new(halt: Halt, news: SyncSender<News>) -> ReplayPage {
        ReplayPage {
            halt,
            news,
            shows: false,
            answer: String::new(),
            notice: String::new(),
            pictures: Vec::new(),
            drawn: Vec::new(),
            measured: None,
        }
    }

    /// Clears everything that the previous line produced.
    pub(super) fn begin_line(&mut self) {
        self.answer.clear();
        self.notice.clear();
        self.pictures.clear();
    }

    /// Whether the run has been told to stop.
    pub(super) fn interrupted(&self) -> bool {
        self.halt.is_set()
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
        self.drawn.extend(self.pictures.iter().cloned());
        self.message(said)
    }

    fn measured(&mut self, number: f64) {
        self.measured = Some(number);
    }

    fn working(&mut self, work: &Work) {
        let shows = matches!(work, Work::Loading { .. } | Work::Drawing { .. });
        if shows || self.shows {
            // Nobody shows progress once the run is over.
            let _ = self.news.send(News::Working(match shows {
                true => work.clone(),
                false => Work::Nothing,
            }));
        }
        self.shows = shows;
    }
}
