//! Counts the tokens in a text. The server's tokenizer is used if there is one; otherwise the count
//! is estimated.

use super::Remote;
use crate::engine::text::estimate;
use base::hash::fnv1a;
use remote::{RemoteError, count_tokens};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

/// The maximum number of cached counts.
const REMEMBERED: usize = 4096;

/// Cached token counts, and whether the counts are exact.
#[derive(Clone, Debug)]
pub struct Counts {
    exact: Cell<bool>,
    known: RefCell<HashMap<(u64, usize), usize>>,
    /// The factor by which counts are multiplied, in percent. It is raised when the counts prove
    /// too low.
    scale: Cell<usize>,
}

impl Counts {
    pub fn new(exact: bool) -> Counts {
        Counts {
            exact: Cell::new(exact),
            known: RefCell::default(),
            scale: Cell::new(100),
        }
    }

    pub fn are_exact(&self) -> bool {
        self.exact.get()
    }

    /// Raises all later counts by a quarter. This is called when the server rejects a prompt as too
    /// long.
    pub fn were_too_low(&self) {
        self.scale.set(self.scale.get() * 5 / 4);
        self.known.borrow_mut().clear();
    }
}

impl Remote {
    /// Returns the number of tokens in a text.
    pub(super) fn count(&self, text: &str) -> Result<usize, RemoteError> {
        if text.is_empty() {
            return Ok(0);
        }
        let key = (fnv1a(text), text.len());
        if let Some(count) = self.counts.known.borrow().get(&key) {
            return Ok(*count);
        }
        let scaled = |count: usize| count * self.counts.scale.get() / 100;
        // Counting every short prompt would double the load; the server refuses long ones anyway.
        let surely_fits = self.whole && scaled(estimate(text)) < self.about.context / 2;
        let count = match self.counts.are_exact() && !surely_fits {
            true => match self.tokenize(text)? {
                Some((count, _)) => scaled(count),
                None => {
                    self.counts.exact.set(false);
                    scaled(estimate(text))
                }
            },
            false => scaled(estimate(text)),
        };
        if self.whole {
            return Ok(count);
        }
        let mut known = self.counts.known.borrow_mut();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, count);
        Ok(count)
    }

    /// Returns the number of tokens in a text and their ids, from the server's tokenizer; None if
    /// the server has no tokenizer.
    pub(super) fn tokenize(&self, text: &str) -> Result<Option<(usize, Vec<u32>)>, RemoteError> {
        count_tokens(
            &self.client,
            self.flavour(),
            &self.server.model,
            text,
            &|| false,
        )
    }
}
