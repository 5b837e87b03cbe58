//! Builds the request for a passage, which contains the context and the options for generation.

use super::Studio;
use base::untrusted::clean_line;
use story::command::ContinueLength;
use story::context::{Context, ContextExtras, build_context};
use story::lore::{Activation, EntryId, ScanResult, SkippedEntry};
use story::message::{LengthGoal, Overflow, Retrieval, TextRequest, UnmatchedLore};
use story::{NodeId, Passage, Place};
/// Options for one passage only.
#[derive(Clone, Default)]
pub(super) struct Ask {
    pub seed: Option<u64>,
    pub reach: ContinueLength,
    pub instruct: Option<String>,
    /// The ids of the tokens with which the passage starts.
    pub begin: Vec<u32>,
    /// The story text that will follow the passage; None unless the passage is inserted into the
    /// story.
    pub after: Option<String>,
    /// Whether the passage is outside the story, such as a summary.
    pub aside: bool,
    /// Whether the model may complete the last word if a person left it unfinished (token healing).
    pub heal: bool,
    /// Whether to generate exactly the set number of tokens, even if the text then ends in the
    /// middle of a sentence.
    pub exact: bool,
    pub overflow: Overflow,
}

impl Studio {
    /// Builds a request that asks about a place in the story, for example for the alternatives
    /// there. The request adds no passage to the story.
    pub(super) fn question(&self, place: Place, ask: Ask, seed: u64) -> TextRequest {
        let id = self.session.story.next_id();
        self.ask(id, &self.session.story.path_at(place), &ask, seed)
            .0
    }

    /// Returns three things: the request for a passage that follows `path`, the lore entries that a
    /// key made active, and the entries that a rule rejected.
    pub(super) fn ask(
        &self,
        node: NodeId,
        path: &[Passage],
        ask: &Ask,
        seed: u64,
    ) -> (TextRequest, Vec<EntryId>, Vec<SkippedEntry>) {
        let mut sampling = self.session.settings.sampling.clone();
        let goal = match ask.exact {
            true => LengthGoal::Exact,
            false => goal(&mut sampling, &ask.reach),
        };
        if let Some(first) = ask.after.as_deref().and_then(first_words) {
            sampling.stop.push(first);
        }
        let (context, lore, unnamed, missed) = self.context(path, ask, seed);
        let most = sampling.recall as usize;
        let recall = Retrieval {
            most,
            lore: unnamed,
        };
        let request = TextRequest {
            node,
            context,
            seed,
            overflow: ask.overflow,
            goal,
            bans: sampling.banned_phrases.clone(),
            heal: ask.heal && sampling.heal,
            begin: ask.begin.clone(),
            retrieval: (most > 0 && !ask.aside).then_some(recall),
            sampling,
        };
        (request, lore, missed)
    }

    /// Returns four things: the context for a passage that follows `path`, the lore entries that a
    /// key made active, the inactive entries, and the entries that a rule rejected.
    fn context(
        &self,
        path: &[Passage],
        ask: &Ask,
        seed: u64,
    ) -> (Context, Vec<EntryId>, Vec<UnmatchedLore>, Vec<SkippedEntry>) {
        let frame = self.session.story.frame();
        let ScanResult {
            active: fires,
            skipped: missed,
            unmatched: unnamed,
        } = self.scanned(path, seed);
        let macros = frame.character.as_ref().map(|it| it.macros(seed));
        let unnamed = unnamed.iter().map(|(book, entry)| UnmatchedLore {
            title: clean_line(entry.title()),
            text: match &macros {
                Some(macros) => macros.expand(&entry.content),
                None => entry.content.clone(),
            },
            budget: book.token_budget,
        });
        let unnamed: Vec<UnmatchedLore> = unnamed.filter(|it| !it.text.trim().is_empty()).collect();
        let named = fires
            .iter()
            .filter(|fires| matches!(fires.why, Activation::Key(_)));
        let fired = named.map(|fires| EntryId {
            book: fires.book.name.clone(),
            uid: fires.entry.uid,
        });
        let fired: Vec<EntryId> = fired.collect();
        let summary = frame.summary.and_then(|id| self.session.story.node(id));
        let beside = ContextExtras {
            lore: fires,
            instruct: ask.instruct.as_deref(),
            summary: summary.map(|node| node.text.trim()).filter(|_| !ask.aside),
            after: ask.after.as_deref(),
        };
        let context = build_context(&self.session.settings, frame, path, &beside);
        (context, fired, unnamed, missed)
    }
}

pub(super) fn healing() -> Ask {
    Ask {
        heal: true,
        ..Ask::default()
    }
}

/// The length goal of a passage. If `reach` is a number of tokens, also sets `max_tokens` to this
/// number.
fn goal(sampling: &mut story::Sampling, reach: &ContinueLength) -> LengthGoal {
    match reach {
        ContinueLength::Default if sampling.whole_sentences => LengthGoal::Near,
        ContinueLength::Default => LengthGoal::Exact,
        ContinueLength::Tokens(tokens) => {
            sampling.max_tokens = *tokens;
            match sampling.whole_sentences {
                true => LengthGoal::Near,
                false => LengthGoal::Exact,
            }
        }
        ContinueLength::Sentence => LengthGoal::Sentence,
        ContinueLength::Paragraph => LengthGoal::Paragraph,
        ContinueLength::Until(words) => LengthGoal::Until(words.clone()),
    }
}

/// The first words of the text after an inserted passage. Generation stops if the model writes
/// these words itself.
fn first_words(after: &str) -> Option<String> {
    let words: Vec<&str> = after.split_whitespace().take(4).collect();
    let first = words.join(" ");
    (first.len() > 12 && after.contains(&first)).then_some(first)
}
