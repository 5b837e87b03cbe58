//! A backend without a model: it repeats the last text of the context. Replay scripts can be tried
//! out with it. If a script was imported from a program that has an echo too, the two results can
//! be compared.

use super::backend::{Answer, Backend, Failure, Listener};
use story::context::{ContextPart, PartKind};
use story::message::{Capabilities, PassageStats, TextRequest, Truncation};
use story::{Context, Event, ModelInfo, Status};

/// The name under which the echo backend is loaded.
pub const NAME: &str = "echo";

/// A backend that answers with the last text of its context.
pub struct Echo {
    about: ModelInfo,
}

impl Default for Echo {
    fn default() -> Echo {
        Echo {
            about: ModelInfo {
                name: NAME.to_string(),
                sha256: base::hash::sha256(NAME.as_bytes()),
                architecture: "no model".to_string(),
                backend: "cpu".to_string(),
                context: 1 << 20,
                chat: true,
                ..ModelInfo::default()
            },
        }
    }
}

impl Backend for Echo {
    fn about(&self) -> &ModelInfo {
        &self.about
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            reproducible: true,
            banned_phrases: false,
            ..Capabilities::default()
        }
    }

    fn write(&mut self, request: &TextRequest, listener: &dyn Listener) -> Answer {
        let (node, text) = (request.node, last_text(&request.context));
        let read = words(&text);
        listener.tell(Event::Prefill {
            node,
            done: 0,
            total: read,
            reused: 0,
            cut: Truncation::default(),
        });
        listener.tell(Event::Piece {
            node,
            text,
            ids: Vec::new(),
            healed: 0,
        });
        let stats = PassageStats {
            prompt_tokens: read,
            new_tokens: read,
            ..PassageStats::default()
        };
        Ok((Status::Complete, stats))
    }

    /// Counts words, since this backend has no tokens.
    fn count_tokens(&self, text: &str) -> Result<usize, Failure> {
        Ok(words(text))
    }
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

/// Returns the last message of a chat, or the last passage of a story in prose.
fn last_text(context: &Context) -> String {
    let text = |parts: &[&ContextPart]| parts.iter().map(|part| part.text.as_str()).collect();
    match context {
        Context::Prose { parts, .. } => {
            let node = |part: &ContextPart| match part.kind {
                PartKind::Story { node, .. } => Some(node),
                _ => None,
            };
            let last = parts.iter().rev().find_map(node);
            let same = parts
                .iter()
                .filter(|part| node(part) == last && last.is_some());
            text(&same.collect::<Vec<_>>())
        }
        Context::Chat { messages, .. } => {
            let last = messages.last().map_or(&[][..], |message| &message.parts);
            text(&last.iter().collect::<Vec<_>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::progress::Unobserved;
    use story::message::{LengthGoal, Overflow};

    #[test]
    fn the_last_passage_is_repeated() {
        let story = |node, text: &str| {
            ContextPart::plain(PartKind::Story { node, from: 0 }, text.to_string())
        };
        let context = Context::Prose {
            parts: vec![story(1, "Once."), story(2, " Then\n"), story(2, "rain.")],
            after: String::new(),
        };
        assert_eq!(last_text(&context), " Then\nrain.");
        assert_eq!(last_text(&Context::empty()), "");
        let request = TextRequest {
            node: 3,
            context,
            sampling: story::Sampling::default(),
            seed: 1,
            overflow: Overflow::Crop,
            goal: LengthGoal::Exact,
            bans: Vec::new(),
            heal: false,
            begin: Vec::new(),
            retrieval: None,
        };
        let (status, stats) = Echo::default().write(&request, &Unobserved).unwrap();
        assert_eq!((status, stats.new_tokens), (Status::Complete, 2));
        let why = Echo::default()
            .perplexity("", "x", &Unobserved)
            .unwrap_err();
        assert!(why.why.contains("cannot measure perplexity"));
    }
}
