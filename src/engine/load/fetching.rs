//! Turns download progress into events, and passes stop requests to the download.

use super::LoadError;
use base::progress::Observer;
use hub::fetch::{FetchError, Progress};
use std::ops::ControlFlow;

/// Forwards download progress, and stops the download on request.
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

/// Limits progress events to one per 2 MB; a download reports every 128 kB.
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
