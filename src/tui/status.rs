//! The text of the status line, and the order in which its parts are dropped on a narrow screen.

use super::app::App;
use super::message::Tone;
use super::wrap::{cells, shorten};
use crate::studio::Work;

/// One part of the status line. If the line is too long, the part with the lowest `keep` is dropped
/// first.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusSegment {
    pub text: String,
    pub tone: Tone,
    keep: u8,
}

const GAP: usize = 3;

/// Returns the left and the right parts of the status line that fit into `width` cells.
pub fn status_line(app: &App, width: usize) -> (Vec<StatusSegment>, Vec<StatusSegment>) {
    let (mut left, mut right) = (left_segments(app), right_segments(app));
    while segments_width(&left) + GAP + segments_width(&right) > width
        && left.len() + right.len() > 1
    {
        let least = left.iter().chain(&right).map(|part| part.keep).min();
        left.retain(|part| Some(part.keep) != least);
        right.retain(|part| Some(part.keep) != least);
    }
    for part in left.iter_mut().chain(&mut right) {
        part.text = shorten(&part.text, width);
    }
    (left, right)
}

fn left_segments(app: &App) -> Vec<StatusSegment> {
    let studio = &app.studio;
    let name = match studio.session_name() {
        _ if studio.is_private() => "private, not saved",
        Some(name) => name,
        None => "new story",
    };
    let mut parts = Vec::new();
    if studio.has_unsaved() {
        parts.push(segment("NOT SAVED, retry with /save", 7, Tone::Error));
    }
    if studio.read_only().is_some() {
        parts.push(segment("read only", 6, Tone::Warning));
    }
    parts.push(segment(name, 3, Tone::Info));
    parts.push(segment(studio.settings().mode.name(), 2, Tone::Info));
    match studio.about() {
        Some(about) => {
            parts.push(segment(&about.name, 4, Tone::Info));
            parts.push(segment(&about.backend, 0, Tone::Info));
        }
        None if !studio.busy() => parts.push(segment("no model", 4, Tone::Warning)),
        None => {}
    }
    parts
}

fn right_segments(app: &App) -> Vec<StatusSegment> {
    let mut parts = Vec::new();
    let activity = match app.stopping && app.studio.busy() {
        true => Some("stopping".to_string()),
        false => app.meter.activity(app.studio.work()),
    };
    if let Some(activity) = activity {
        let keep = if app.studio.busy() { 8 } else { 1 };
        parts.push(segment(&activity, keep, Tone::Info));
    }
    if let (Some(used), Some(about)) = (context_used(app), app.studio.about()) {
        // Tokens from a server are an estimate.
        let used = used.min(about.context);
        let tone = if used * 10 >= about.context * 9 {
            Tone::Warning
        } else {
            Tone::Info
        };
        parts.push(segment(&format!("{used}/{}", about.context), 5, tone));
    }
    parts
}

/// The number of tokens that the current passage uses, including its prompt. If the engine is not
/// generating, the number for the last passage.
fn context_used(app: &App) -> Option<usize> {
    match app.studio.work() {
        Work::Reading { .. } | Work::Writing | Work::Thinking { .. } => Some(app.meter.used()),
        Work::Nothing | Work::Loading { .. } | Work::Drawing { .. } => {
            let stats = app.studio.last_stats()?;
            Some(stats.prompt_tokens + stats.new_tokens)
        }
    }
}

fn segment(text: &str, keep: u8, tone: Tone) -> StatusSegment {
    StatusSegment {
        text: text.to_string(),
        tone,
        keep,
    }
}

/// The total width in cells of parts of the status line, including the separators between the
/// parts.
pub fn segments_width(parts: &[StatusSegment]) -> usize {
    let words: usize = parts.iter().map(|part| cells(&part.text)).sum();
    words + GAP * parts.len().saturating_sub(1)
}
