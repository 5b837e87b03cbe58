//! The events of an answer as a cassette stores them. A passage is identified by its index in the
//! request, because its number in the story may be different when the answer is played.

use base::untrusted::clean_line;
use serde::{Deserialize, Serialize};
use story::context::{ContextPart, PartKind};
use story::message::{
    Alternative, ContextReport, FailureKind, PassageStats, TextRequest, Truncation,
};
use story::{Context, Event, NodeId, Status};

/// A place in the story of a request. The first number is the index of a story part in the context.
/// The second is a byte offset in that part's passage.
pub type StoryPlace = (usize, usize);

/// The maximum number of bytes before a passage that the passage's tokens may spell again. Larger
/// numbers in a cassette are reduced to this number.
const MOST_HEALED: usize = 1 << 16;

/// One event of an answer, as a cassette stores it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedEvent {
    Prefill {
        /// The index of the passage in the request, counted from 0.
        #[serde(default, skip_serializing_if = "is_zero")]
        of: usize,
        done: usize,
        total: usize,
        reused: usize,
        #[serde(default, skip_serializing_if = "is_zero")]
        dropped: usize,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        begins: Option<StoryPlace>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lore: Vec<String>,
    },
    Piece {
        #[serde(default, skip_serializing_if = "is_zero")]
        of: usize,
        text: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ids: Vec<u32>,
        #[serde(default, skip_serializing_if = "is_zero")]
        healed: usize,
    },
    Thought {
        #[serde(default, skip_serializing_if = "is_zero")]
        of: usize,
        text: String,
    },
    Rewound {
        #[serde(default, skip_serializing_if = "is_zero")]
        of: usize,
        phrase: String,
    },
    Warned(String),
    /// A passage of a request for several passages ended, and another passage is still to come.
    Ended {
        of: usize,
        status: Status,
        stats: PassageStats,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        begins: Option<StoryPlace>,
    },
    /// The only passage of a request, or the last of several passages, ended.
    Done {
        status: Status,
        stats: PassageStats,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        begins: Option<StoryPlace>,
    },
    Failed {
        why: String,
        fault: FailureKind,
    },
    Alternatives(Vec<Alternative>),
    Explained(ContextReport),
    Count(usize),
    Start(Option<StoryPlace>),
    Perplexity(f64),
}

impl RecordedEvent {
    /// Converts an event to the form that a cassette stores. Returns None for an event that ends an
    /// answer, and for an event that does not belong to the answer to `requests`.
    pub fn of(event: &Event, requests: &[TextRequest]) -> Option<RecordedEvent> {
        let of = |node: NodeId| {
            let found = requests.iter().position(|request| request.node == node);
            found.unwrap_or_default()
        };
        Some(match event {
            Event::Prefill {
                node,
                done,
                total,
                reused,
                cut,
            } => RecordedEvent::Prefill {
                of: of(*node),
                done: *done,
                total: *total,
                reused: *reused,
                dropped: cut.dropped,
                begins: place_of(cut.begins, requests),
                lore: cut.lore.clone(),
            },
            Event::Piece {
                node,
                text,
                ids,
                healed,
            } => RecordedEvent::Piece {
                of: of(*node),
                text: text.clone(),
                ids: ids.clone(),
                healed: *healed,
            },
            Event::Thought { node, text } => RecordedEvent::Thought {
                of: of(*node),
                text: text.clone(),
            },
            Event::Rewound { node, phrase } => RecordedEvent::Rewound {
                of: of(*node),
                phrase: phrase.clone(),
            },
            Event::Warned(text) => RecordedEvent::Warned(text.clone()),
            Event::Ended {
                node,
                status,
                stats,
            } => RecordedEvent::Ended {
                of: of(*node),
                status: *status,
                stats: stats.clone(),
                begins: place_of(stats.begins, requests),
            },
            Event::Loading { .. }
            | Event::Measured(_)
            | Event::Ready(..)
            | Event::Retrieved(_)
            | Event::Alternatives(_)
            | Event::Suggested(_)
            | Event::Explained(_)
            | Event::CacheSaved(_)
            | Event::Drawing { .. }
            | Event::Drawn { .. }
            | Event::Done { .. }
            | Event::Failed { .. } => return None,
        })
    }

    /// Returns the event that ends an answer made of passages.
    pub fn done(status: Status, stats: &PassageStats, requests: &[TextRequest]) -> RecordedEvent {
        RecordedEvent::Done {
            status,
            stats: stats.clone(),
            begins: place_of(stats.begins, requests),
        }
    }

    /// Converts a recorded event back to an event about the passages of `requests`. Returns None if
    /// the event ends the answer, or if its passage belongs to none of the requests.
    pub fn event(&self, requests: &[TextRequest]) -> Option<Event> {
        let node = |of: usize| requests.get(of).map(|request| request.node);
        Some(match self {
            RecordedEvent::Prefill {
                of,
                done,
                total,
                reused,
                dropped,
                begins,
                lore,
            } => Event::Prefill {
                node: node(*of)?,
                done: *done,
                total: *total,
                reused: *reused,
                cut: Truncation {
                    dropped: *dropped,
                    begins: at_place(*begins, requests),
                    lore: lore.iter().map(|title| clean_line(title)).collect(),
                },
            },
            RecordedEvent::Piece {
                of,
                text,
                ids,
                healed,
            } => Event::Piece {
                node: node(*of)?,
                text: text.clone(),
                ids: ids.clone(),
                healed: (*healed).min(MOST_HEALED),
            },
            RecordedEvent::Thought { of, text } => Event::Thought {
                node: node(*of)?,
                text: text.clone(),
            },
            RecordedEvent::Rewound { of, phrase } => Event::Rewound {
                node: node(*of)?,
                phrase: phrase.clone(),
            },
            RecordedEvent::Warned(text) => Event::Warned(text.clone()),
            RecordedEvent::Ended {
                of,
                status,
                stats,
                begins,
            } => Event::Ended {
                node: node(*of)?,
                status: *status,
                stats: with_place(stats, *begins, requests),
            },
            RecordedEvent::Done { .. }
            | RecordedEvent::Failed { .. }
            | RecordedEvent::Alternatives(_)
            | RecordedEvent::Explained(_)
            | RecordedEvent::Count(_)
            | RecordedEvent::Start(_)
            | RecordedEvent::Perplexity(_) => return None,
        })
    }

    /// Whether this event ends an answer.
    pub(super) fn is_end(&self) -> bool {
        match self {
            RecordedEvent::Done { .. }
            | RecordedEvent::Failed { .. }
            | RecordedEvent::Alternatives(_)
            | RecordedEvent::Explained(_)
            | RecordedEvent::Count(_)
            | RecordedEvent::Start(_)
            | RecordedEvent::Perplexity(_) => true,
            RecordedEvent::Prefill { .. }
            | RecordedEvent::Piece { .. }
            | RecordedEvent::Thought { .. }
            | RecordedEvent::Rewound { .. }
            | RecordedEvent::Warned(_)
            | RecordedEvent::Ended { .. } => false,
        }
    }
}

/// Returns the statistics with `begins` added. `begins` is the place where the story in the prompt
/// starts, in the form that a cassette stores.
pub fn with_place(
    stats: &PassageStats,
    begins: Option<StoryPlace>,
    requests: &[TextRequest],
) -> PassageStats {
    PassageStats {
        begins: at_place(begins, requests),
        ..stats.clone()
    }
}

/// Converts a place in the story of `requests` to the form that a cassette stores. Returns None if
/// the context does not contain the passage.
pub fn place_of(place: Option<(NodeId, usize)>, requests: &[TextRequest]) -> Option<StoryPlace> {
    let (node, byte) = place?;
    let found = story_parts(requests).position(|(own, ..)| own == node)?;
    Some((found, byte))
}

/// Converts a place that a cassette stores back to a place in the story of `requests`. Returns None
/// if the story does not contain the place.
pub fn at_place(place: Option<StoryPlace>, requests: &[TextRequest]) -> Option<(NodeId, usize)> {
    let (part, byte) = place?;
    let (node, from, text) = story_parts(requests).nth(part)?;
    let inside = text.is_char_boundary(byte.checked_sub(from)?);
    inside.then_some((node, byte))
}

/// Returns the story parts of the context, which all requests share. Each item is the passage's id,
/// the byte of the passage at which the part starts, and the text of the part.
fn story_parts(requests: &[TextRequest]) -> impl Iterator<Item = (NodeId, usize, &str)> {
    let parts: Vec<&ContextPart> = match requests.first().map(|request| &request.context) {
        Some(Context::Prose { parts, .. }) => parts.iter().collect(),
        Some(Context::Chat { messages, .. }) => messages.iter().flat_map(|it| &it.parts).collect(),
        None => Vec::new(),
    };
    parts.into_iter().filter_map(|part| match part.kind {
        PartKind::Story { node, from } => Some((node, from, part.text.as_str())),
        _ => None,
    })
}

pub(super) fn is_zero(number: &usize) -> bool {
    *number == 0
}
