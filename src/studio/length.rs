//! Warns about a story that is, or soon will be, longer than the model's context.

use super::{Notice, Studio};
use story::context::prompt_budget;
use story::message::PassageStats;

impl Studio {
    /// A warning if a story that was loaded from disk or imported is longer than the context. If
    /// the tokens of a passage are unknown, its length is estimated: one token for every four ASCII
    /// characters, and one for every other character.
    pub(super) fn too_long(&mut self) -> Option<String> {
        let holds = self.about.as_ref()?.context;
        let tokens = |passage: &story::Passage| match passage.ids.len() {
            0 => {
                passage
                    .text
                    .chars()
                    .map(|c| if c.is_ascii() { 1 } else { 4 })
                    .sum::<usize>()
                    / 4
            }
            count => count,
        };
        let all: usize = self.session.story.path().iter().map(tokens).sum();
        let wanted = self.session.settings.sampling.max_tokens as usize;
        let room = prompt_budget(holds, wanted);
        if all <= room || self.session.warned {
            return None;
        }
        self.session.warned = true;
        Some(format!(
            "The story has about {all} tokens but the model's context is {holds}: its oldest part will be left out (nothing is erased); summarize it with /summarize, or retrieve relevant passages with /set retrieve 3"
        ))
    }

    /// A warning that the context is nearly full, given before anything is dropped. It is not
    /// repeated while the context stays nearly full.
    pub(super) fn nearly_full(&mut self, stats: &PassageStats) -> Option<Notice> {
        let holds = self.about.as_ref()?.context;
        let wanted = self.session.settings.sampling.max_tokens as usize;
        let room = prompt_budget(holds, wanted);
        let used = stats.prompt_tokens + stats.new_tokens;
        let near = stats.dropped == 0 && used * 10 > room * 9;
        let warn = near && !self.session.warned;
        self.session.warned = near;
        let left = room.saturating_sub(used);
        warn.then(|| {
            Notice::Advice(format!(
                "The context is nearly full: after {left} more tokens the oldest part of the story is left out (nothing is erased); summarize it with /summarize"
            ))
        })
    }
}

/// The message that the oldest part of the story is left out of the context. `dropped` is the
/// number of tokens left out.
pub fn left_out(dropped: usize) -> String {
    format!(
        "The story is longer than the model's context: its oldest {dropped} tokens are left out (nothing is erased)"
    )
}
