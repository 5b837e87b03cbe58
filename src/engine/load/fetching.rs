//! Turns the progress of a download into progress events, and stops the download on request.

use super::LoadError;
use base::progress::Observer;
use hub::fetch::{FetchError, Progress};
use std::ops::ControlFlow;

/// Returns a callback to pass to a download. The callback forwards the progress to `observer`, and
/// stops the download if the observer is cancelled.
pub fn watching(observer: &dyn Observer) -> impl FnMut(&Progress) -> ControlFlow<()> {
    let mut throttle = Throttle::default();
    move |news| {
        if throttle.lets(news) {
            observer.progress(&news.what, news.done, news.total);
        }
        match observer.is_cancelled() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

impl From<FetchError> for LoadError {
    fn from(error: FetchError) -> LoadError {
        match error {
            FetchError::Stopped { .. } => LoadError::Stopped,
            error => LoadError::Failed(error.to_string()),
        }
    }
}

/// Limits progress events to one for every 2 MB. A download reports its progress every 128 kB.
#[derive(Default)]
struct Throttle {
    what: String,
    next: u64,
}

impl Throttle {
    fn lets(&mut self, news: &Progress) -> bool {
        let other = self.what != news.what;
        let due = other || news.done >= self.next || Some(news.done) == news.total;
        if due {
            self.what.clone_from(&news.what);
            self.next = news.done + 2_000_000;
        }
        due
    }
}
