//! The branches of passages that have ended, for requests that continue the same story.

use llm::Branch;

/// The maximum number of branches that are kept.
const MOST: usize = 64;

/// Branches, the oldest first, each with its tokens.
#[derive(Default)]
pub struct Shelf(Vec<(Branch, Vec<u32>)>);

impl Shelf {
    pub fn put(&mut self, branch: Branch, tokens: Vec<u32>) {
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push((branch, tokens));
    }

    /// Returns how many leading tokens of a prompt the best branch contains. The last token of the
    /// prompt is not counted.
    pub fn longest(&self, ids: &[u32]) -> usize {
        self.best(ids).map_or(0, |(_, len)| len)
    }

    /// Takes the branch that has the most leading tokens in common with a prompt, and removes its
    /// other tokens.
    pub fn take(&mut self, ids: &[u32]) -> Option<Branch> {
        let (index, len) = self.best(ids)?;
        let (mut branch, _) = self.0.remove(index);
        branch.rewind(len).then_some(branch)
    }

    fn best(&self, ids: &[u32]) -> Option<(usize, usize)> {
        let last = ids.len().saturating_sub(1);
        let each = self.0.iter().enumerate();
        let fits = each.filter_map(|(index, (branch, tokens))| {
            let len = common(tokens, ids).min(last);
            (len > branch.shared()).then_some((index, len))
        });
        fits.max_by_key(|(_, len)| *len)
    }

    /// Drops the branches that share more than the first `shared` tokens of the KV cache.
    pub fn keep_shared(&mut self, shared: usize) {
        self.0.retain(|(branch, _)| branch.shared() <= shared);
    }

    /// Drops the oldest branches until the remaining ones together have at most `room` tokens of
    /// their own.
    pub fn shrink(&mut self, room: usize) {
        let mut own = 0;
        let fits = self.0.iter().rev().take_while(|(branch, _)| {
            own += branch.position() - branch.shared();
            own <= room
        });
        let kept = fits.count();
        self.0.drain(..self.0.len() - kept);
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// The number of leading tokens that both lists have in common.
pub fn common(one: &[u32], other: &[u32]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}
