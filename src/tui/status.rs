//! The text of the status line, and which parts are dropped on a narrow screen.

use super::app::App;
use super::message::Tone;
use super::wrap::{cells, shortened};
use crate::studio::Work;

/// One part of the line. The part with the lowest `keep` is dropped first.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub text: String,
    pub tone: Tone,
    keep: u8,
}

const GAP: usize = 3;

/// The left and right parts of the line that fit.
pub fn line(app: &App, width: usize) -> (Vec<Part>, Vec<Part>) {
    let (mut left, mut right) = (left(app), right(app));
    while taken(&left) + GAP + taken(&right) > width && left.len() + right.len() > 1 {
        let least = left.iter().chain(&right).map(|part| part.keep).min();
        left.retain(|part| Some(part.keep) != least);
        right.retain(|part| Some(part.keep) != least);
    }
    for part in left.iter_mut().chain(&mut right) {
        part.text = shortened(&part.text, width);
    }
    (left, right)
}

fn left(app: &App) -> Vec<Part> {
    let studio = &app.studio;
    let name = match studio.session_name() {
        _ if studio.is_private() => "private, not saved",
        Some(name) => name,
        None => "new story",
    };
    let mut parts = Vec::new();
    if studio.has_unsaved() {
        parts.push(part("NOT SAVED, retry with /save", 7, Tone::Error));
    }
    if studio.read_only().is_some() {
        parts.push(part("read only", 6, Tone::Warning));
    }
    parts.push(part(name, 3, Tone::Info));
    parts.push(part(studio.settings().mode.name(), 2, Tone::Info));
    match studio.about() {
        Some(about) => {
            parts.push(part(&about.name, 4, Tone::Info));
            parts.push(part(&about.backend, 0, Tone::Info));
        }
        None if !studio.busy() => parts.push(part("no model", 4, Tone::Warning)),
        None => {}
    }
    parts
}

fn right(app: &App) -> Vec<Part> {
    let mut parts = Vec::new();
    let activity = match app.stopping && app.studio.busy() {
        true => Some("stopping".to_string()),
        false => app.meter.activity(app.studio.work()),
    };
    if let Some(activity) = activity {
        let keep = if app.studio.busy() { 8 } else { 1 };
        parts.push(part(&activity, keep, Tone::Info));
    }
    if let (Some(used), Some(about)) = (used(app), app.studio.about()) {
        let tone = if used * 10 >= about.context * 9 {
            Tone::Warning
        } else {
            Tone::Info
        };
        parts.push(part(&format!("{used}/{}", about.context), 5, tone));
    }
    parts
}

/// The context size of the current or last passage in tokens.
fn used(app: &App) -> Option<usize> {
    match app.studio.work() {
        Work::Reading { .. } | Work::Writing => Some(app.meter.used()),
        Work::Nothing | Work::Loading { .. } | Work::Drawing { .. } => {
            let stats = app.studio.last_stats()?;
            Some(stats.prompt_tokens + stats.new_tokens)
        }
    }
}

fn part(text: &str, keep: u8, tone: Tone) -> Part {
    Part {
        text: text.to_string(),
        tone,
        keep,
    }
}

/// The width of some parts in cells, with dots between them.
pub fn taken(parts: &[Part]) -> usize {
    let words: usize = parts.iter().map(|part| cells(&part.text)).sum();
    words + GAP * parts.len().saturating_sub(1)
}
