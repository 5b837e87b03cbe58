//! The news of fetching a file, handed on; and the wish to stop, handed back.

use super::LoadError;
use crate::model::fetch::{FetchError, Progress};
use crate::story::progress::Observer;
use std::ops::ControlFlow;

/// Hands the news of fetching on, and the wish to stop back.
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

/// Lets one notice in 2 MB through: fetching tells of every 128 kB.
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
