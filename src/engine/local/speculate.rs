//! Speculative decoding by prompt lookup (Saxena 2023): if the last few tokens have occurred
//! before, the tokens that followed them there are used as draft tokens and evaluated together with
//! the next token. A batch costs little more than one token, so an accepted draft token is almost
//! free.
//!
//! **Invariant:** the output is identical to plain decoding. Draft tokens only decide which logits
//! are computed early; the logits of a batch are bit-identical to those of single tokens, and the
//! sampler is applied to one position after another. So the source of the draft tokens does not
//! matter, and if prompt lookup finds no draft tokens, a draft model may propose some.

use std::collections::VecDeque;

/// How many of the last tokens must match an earlier occurrence.
const PATTERN: usize = 3;
/// The maximum number of draft tokens in one batch.
const MOST: usize = 7;

/// Draft tokens that have been evaluated but not yet accepted. Each is stored with the logits of
/// the token after it.
#[derive(Default)]
pub struct Ahead {
    read: VecDeque<(u32, Vec<f32>)>,
    /// The number of draft tokens to propose. It grows when all proposed tokens are accepted, and
    /// drops to 1 when one is rejected.
    draft_len: usize,
    /// The total number of accepted draft tokens.
    pub accepted: usize,
}

impl Ahead {
    /// Compares the next draft token with the sampled token `id`. If they are equal, accepts the
    /// draft token and returns the logits after it; otherwise discards all draft tokens.
    pub fn take(&mut self, id: u32) -> Option<Vec<f32>> {
        match self.read.pop_front() {
            Some((guess, logits)) if guess == id => {
                self.accepted += 1;
                if self.read.is_empty() {
                    self.draft_len = (self.draft_len * 2 + 1).min(MOST);
                }
                Some(logits)
            }
            Some(_) => {
                self.forget();
                self.draft_len = 1;
                None
            }
            None => None,
        }
    }

    pub fn forget(&mut self) {
        self.read.clear();
    }

    /// The number of draft tokens to propose, which is at most `room`.
    pub fn worth(&self, room: usize) -> usize {
        self.draft_len.max(1).min(room)
    }

    /// Proposes up to `room` draft tokens that may follow the tokens `held` and `id`.
    pub fn guess(&self, held: &[u32], id: u32, room: usize) -> Vec<u32> {
        let Some((known, pattern)) = held
            .len()
            .checked_sub(PATTERN - 1)
            .map(|at| (&held[..at + PATTERN - 2], &held[at..]))
        else {
            return Vec::new();
        };
        let stood = |at: &usize| {
            known[*at] == id
                && at
                    .checked_sub(PATTERN - 1)
                    .is_some_and(|first| known[first..*at] == *pattern)
        };
        let found = (0..known.len()).rev().find(stood);
        let count = self.worth(room);
        let next = found.map_or(&[][..], |at| &held[at + 1..]);
        next[..count.min(next.len())].to_vec()
    }

    /// Stores draft tokens that have been evaluated, and their logits.
    pub fn note(&mut self, guesses: &[u32], rows: Vec<Vec<f32>>) {
        self.read = guesses.iter().copied().zip(rows).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_before_is_guessed() {
        let ahead = Ahead::default();
        let held = [1, 2, 3, 4, 5, 9, 1, 2];
        assert_eq!(ahead.guess(&held, 3, 9), [4]);
        assert_eq!(ahead.guess(&held, 4, 9), [0u32; 0]);
        assert_eq!(ahead.guess(&held, 3, 0), [0u32; 0]);
        for short in 0..3 {
            assert_eq!(ahead.guess(&held[..short], 3, 9), [0u32; 0]);
        }
    }

    #[test]
    fn guesses_that_come_true_make_bold_and_others_careful() {
        let held: Vec<u32> = (0..20).chain(0..2).collect();
        let mut ahead = Ahead::default();
        let mut counts = Vec::new();
        for _ in 0..4 {
            let guesses = ahead.guess(&held, 2, 99);
            counts.push(guesses.len());
            ahead.note(&guesses, vec![vec![]; guesses.len()]);
            assert!(guesses.iter().all(|id| ahead.take(*id).is_some()));
            assert!(ahead.read.is_empty());
        }
        assert_eq!(counts, [1, 1, 3, 7]);
        ahead.note(&[1, 2], vec![vec![]; 2]);
        assert!(ahead.take(2).is_none() && ahead.read.is_empty());
        assert_eq!(ahead.guess(&held, 2, 99).len(), 1);
    }
}
