//! Builds the requests for independent cases, which need no session, and runs the cases.

pub use crate::engine::fan_out::run as run_cases;

use story::context::{ContextExtras, build_context};
use story::frame::{Frame, Voice};
use story::message::{LengthGoal, Overflow, TextRequest};
use story::{Author, Mode, Node, NodeId, Passage, Settings};

/// The text or chat that the model continues in one case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CasePrompt {
    pub messages: Vec<(Author, String)>,
    pub voice: Option<Voice>,
}

/// Builds the request for one case. It is identical to the request that a private session sends for
/// the same prompt.
pub fn case_request(
    settings: &Settings,
    prompt: CasePrompt,
    overflow: Overflow,
    seed: u64,
) -> TextRequest {
    let mut frame = Frame::default();
    frame.voice = prompt.voice;
    let nodes: Vec<Node> = prompt
        .messages
        .into_iter()
        .enumerate()
        .map(|(at, (author, text))| Node {
            id: at as NodeId + 1,
            author,
            text,
            turn: settings.mode == Mode::Chat,
            ..Node::default()
        })
        .collect();
    let path: Vec<Passage> = nodes.iter().map(Passage::whole).collect();
    let context = build_context(settings, &frame, &path, &ContextExtras::default());
    let sampling = settings.sampling.clone();
    TextRequest {
        node: nodes.len() as NodeId + 1,
        context,
        seed,
        overflow,
        goal: LengthGoal::Exact,
        bans: sampling.banned_phrases.clone(),
        heal: false,
        begin: Vec::new(),
        // A case has no older passages to retrieve.
        retrieval: None,
        sampling,
    }
}
