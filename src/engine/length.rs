//! Decides when a passage is long enough, from its text and its number of tokens. All backends use
//! this module.

use super::backend::Failure;
use story::Context;
use story::context::{ContextPart, PartKind};
use story::message::{FailureKind, LengthGoal, TextRequest};
use story::sentence::sentence_ends_between;

/// The smallest length goal, in tokens, that is rounded to the end of a sentence. A smaller goal is
/// exact.
const EXACT: usize = 16;
/// The number of additional tokens that may be needed to finish a word.
const WORD: usize = 8;

/// Returns the maximum number of tokens that the length goal of a passage allows.
pub fn most_tokens(request: &TextRequest) -> usize {
    let wanted = request.sampling.max_tokens as usize;
    match &request.goal {
        LengthGoal::Exact => wanted,
        LengthGoal::Near if wanted < EXACT => wanted,
        LengthGoal::Near => wanted + wanted / 4 + WORD,
        LengthGoal::Sentence => wanted.max(100),
        LengthGoal::Paragraph => wanted.max(400),
        LengthGoal::Until(_) => wanted.max(1000),
    }
}

/// Whether the length goal allows the passage to end after `written` tokens.
pub fn may_end(request: &TextRequest, written: usize) -> bool {
    is_near(request, written)
        || matches!(request.goal, LengthGoal::Sentence | LengthGoal::Paragraph)
}

fn is_near(request: &TextRequest, written: usize) -> bool {
    let target = request.sampling.max_tokens as usize;
    request.goal == LengthGoal::Near && target >= EXACT && written * 5 >= target * 4
}

/// Whether a passage should end before `piece`, the text that would come next, because it meets its
/// length goal. `said` is the text of the passage so far, which is not empty.
pub fn goal_met_before(request: &TextRequest, written: usize, said: &str, piece: &str) -> bool {
    let target = request.sampling.max_tokens as usize;
    // If no sentence ends, stop at a word.
    let late = written >= target + target / 4;
    if is_near(request, written) && late && !piece.starts_with(char::is_alphanumeric) {
        return true;
    }
    let line = piece.starts_with('\n') || said.ends_with('\n');
    line || (request.goal != LengthGoal::Paragraph && sentence_ends_between(said, piece))
}

/// Finds the longest suffix of `text` that is a prefix of `stop`, but not all of `stop`. Returns
/// the byte offset at which the suffix starts, or None if there is no such suffix.
pub fn overlap(text: &str, stop: &str) -> Option<usize> {
    let longest = text.len().min(stop.len().saturating_sub(1));
    let from = text.len() - longest;
    (from..text.len()).find(|at| text.is_char_boundary(*at) && stop.starts_with(&text[*at..]))
}

/// Drops the lore that exceeds the budget. `fills` says whether the model can fill in the middle of
/// a text. Such a model reads the text after the passage directly, so the instruction that quotes
/// this text is dropped too. Returns the new context and the titles of the dropped lore. `holds` is
/// the size of the model's context in tokens.
pub fn within_budget<E>(
    context: &Context,
    holds: usize,
    fills: bool,
    mut count: impl FnMut(&str) -> Result<usize, E>,
) -> Result<(Context, Vec<String>), E> {
    let mut context = context.clone();
    let lists: Vec<&mut Vec<ContextPart>> = match &mut context {
        Context::Prose { parts, .. } => vec![parts],
        Context::Chat { messages, .. } => messages.iter_mut().map(|m| &mut m.parts).collect(),
    };
    let mut ranked = Vec::new();
    for part in lists.iter().flat_map(|parts| parts.iter()) {
        if let PartKind::Lore {
            title,
            rank,
            budget,
        } = &part.kind
        {
            let tokens = count(&part.text)?;
            ranked.push((*rank, tokens, budget.unwrap_or(holds / 4), title.clone()));
        }
    }
    ranked.sort_by_key(|(rank, ..)| *rank);
    let (mut spent, mut refused) = (0, Vec::new());
    let mut left_out = Vec::new();
    for (rank, tokens, budget, title) in ranked {
        if spent + tokens > budget {
            refused.push(rank);
            left_out.push(title);
        } else {
            spent += tokens;
        }
    }
    for parts in lists {
        let mut after = false;
        parts.retain(|part| {
            let out = match part.kind {
                PartKind::Lore { rank, .. } => refused.contains(&rank),
                PartKind::Following => fills,
                PartKind::Separator => after,
                _ => false,
            };
            after = out && part.kind != PartKind::Separator;
            !out
        });
    }
    Ok((context, left_out))
}

/// Creates the failure for a request in which no text precedes the passage.
pub fn nothing_to_continue() -> Failure {
    let why = "There is nothing to continue; write a first line";
    Failure::new(why, FailureKind::Request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_begin_a_stop_string_is_found() {
        assert_eq!(overlap("and so\nUs", "\nUser:"), Some(6));
        assert_eq!(overlap("and so", "\nUser:"), None);
        assert_eq!(overlap("né", "é!"), Some(1));
    }
}
