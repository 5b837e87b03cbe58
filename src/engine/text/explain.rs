//! Reports the prompt of a passage part by part.

use super::TextSource;
use super::prompt::{build, count};
use crate::engine::backend::Failure;
use crate::engine::length::within_budget;
use base::untrusted::clean_line;
use story::Context;
use story::message::{ContextReport, Segment, TextRequest};

/// Returns the context of a passage, part by part.
pub fn explain<S: TextSource>(source: &S, request: &TextRequest) -> Result<ContextReport, Failure> {
    let fitted = build(source, request)?;
    let holds = source.context();
    let (context, lore) =
        within_budget(&request.context, holds, false, |text| count(source, text))?;
    let context = match fitted.cut.begins {
        Some((node, byte)) => context.starting_at(node, byte),
        None => context,
    };
    let segment = |label: String, text: String| -> Result<Segment, Failure> {
        let tokens = count(source, &text)?;
        Ok(Segment {
            label,
            text,
            tokens,
        })
    };
    let segments = match context {
        Context::Prose { parts, .. } => parts
            .into_iter()
            .map(|part| segment(part.kind.label(), part.text))
            .collect::<Result<Vec<_>, _>>()?,
        Context::Chat { messages, .. } => messages
            .iter()
            .map(|message| {
                let kinds: Vec<String> = message.parts.iter().map(|p| p.kind.label()).collect();
                let label = format!("{}: {}", message.role.name(), kinds.join(", "));
                segment(clean_line(&label), message.text())
            })
            .collect::<Result<Vec<_>, _>>()?,
    };
    Ok(ContextReport {
        segments,
        tokens: fitted.tokens,
        holds,
        reused: 0,
        dropped: fitted.cut.dropped,
        lore,
    })
}
