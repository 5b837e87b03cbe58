//! A passage that a source is writing: turns the pieces of text that arrive into final text.
//!
//! As in the local backend, text is held back as long as it may become part of a stop string, a
//! banned phrase, or a sentence that exceeds the length goal.

use super::Prompt;
use super::estimate::{RunningEstimate, estimate};
use super::prompt::Fitted;
use crate::engine::backend::{Failure, Listener};
use crate::engine::length::{goal_met_before, may_end, most_tokens, overlap};
use base::untrusted::clean;
use sampler::ban::Bans;
use std::collections::HashSet;
use story::message::{LengthGoal, TextRequest};
use story::{Event, Status};

/// How much of the end of the sent text to search when checking a length goal, in bytes.
const LOOK_BACK: usize = 512;
/// The maximum length of a model's thoughts about one passage, in bytes.
const LONGEST_THOUGHT: usize = 256 << 10;

pub struct Passage<'a> {
    request: &'a TextRequest,
    bans: Bans,
    opening: Option<Opening>,
    /// The text that has been sent to the listener.
    sent: String,
    /// The text that is held back, after the sent text.
    held: String,
    tokens: usize,
    /// The running token estimate, for a source whose pieces are not tokens.
    estimate: Option<RunningEstimate>,
    /// The length of the model's thoughts, in bytes and in tokens.
    thought: (usize, usize),
    /// The occurrences of banned phrases that may stay, each as its byte offset in the passage and
    /// the index of the phrase.
    let_through: HashSet<(usize, usize)>,
}

/// The first text of an answer, until it is clear how the answer joins the text before it.
struct Opening {
    text: String,
    echo: String,
    space_is_there: bool,
    joins: bool,
    chats: bool,
}

/// What the source must do after a piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    On,
    /// A banned phrase begins at byte offset `at` in the passage; `ban` is the phrase's index.
    Banned {
        at: usize,
        ban: usize,
    },
    Over(Status),
}

impl<'a> Passage<'a> {
    pub fn new(request: &'a TextRequest, fitted: &Fitted) -> Result<Passage<'a>, Failure> {
        let bans = Bans::new(&request.bans);
        Ok(Passage {
            request,
            bans: bans.map_err(|error| Failure::engine(error.to_string()))?,
            opening: Some(Opening::new(fitted)),
            sent: String::new(),
            held: String::new(),
            tokens: 0,
            estimate: None,
            thought: (0, 0),
            let_through: HashSet::new(),
        })
    }

    /// The whole text of the passage so far: the sent text and the text held back.
    pub fn text(&self) -> String {
        [self.sent.as_str(), &self.held].concat()
    }

    pub fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.held.is_empty()
    }

    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The number of tokens by which the passage may still grow.
    pub fn room(&self) -> usize {
        most_tokens(self.request).saturating_sub(self.tokens)
    }

    /// The number of tokens that the model wrote, including the tokens of its thoughts.
    pub fn tokens_with_thoughts(&self) -> usize {
        self.tokens + self.thought.1
    }

    pub fn has_thought(&self) -> bool {
        self.thought.0 > 0
    }

    /// Sends a piece of the model's thoughts to the listener. Returns false if the thoughts about
    /// this passage have become too long.
    pub fn think(&mut self, thought: &str, tokens: usize, listener: &dyn Listener) -> bool {
        self.thought.0 += thought.len();
        self.thought.1 += tokens;
        listener.tell(Event::Thought {
            node: self.request.node,
            text: thought.to_string(),
        });
        self.thought.0 <= LONGEST_THOUGHT
    }

    /// Prepares for the answer to a new prompt that contains the passage so far.
    pub fn join_to(&mut self, fitted: &Fitted) {
        if let Prompt::Turns { open: false, .. } = fitted.prompt {
            self.opening = Some(Opening::new(fitted));
        }
    }

    /// Raises the passage's token count to the source's own count, if that is higher.
    pub fn counted(&mut self, tokens: usize) {
        self.tokens = self.tokens.max(tokens);
    }

    /// Adds a piece of text that consists of `tokens` tokens. Returns what the source must do next.
    pub fn push(&mut self, piece: &str, tokens: usize, listener: &dyn Listener) -> Look {
        let piece = clean(piece);
        let piece = match &mut self.opening {
            None => piece.into_owned(),
            Some(opening) => {
                opening.text.push_str(&piece);
                match opening.joined(false) {
                    None => {
                        self.tokens += tokens;
                        return self.check_length();
                    }
                    Some(text) => {
                        self.opening = None;
                        text
                    }
                }
            }
        };
        let mut tokens = tokens;
        for word in words(&piece) {
            if self.goal_met_before(word) {
                return Look::Over(self.finish(Status::Length, listener));
            }
            self.tokens += std::mem::take(&mut tokens);
            self.held.push_str(word);
            match self.look(listener) {
                Look::On => {}
                other => return other,
            }
        }
        self.check_length()
    }

    /// Estimates the number of tokens in the next piece, for a source whose pieces are not tokens.
    pub fn estimated(&mut self, piece: &str) -> usize {
        self.estimate.get_or_insert_default().add(piece)
    }

    /// Checks the length limit. Ends the passage if the source has exceeded the limit.
    fn check_length(&self) -> Look {
        // An estimate may be far too high, and the source limits the length itself.
        let margin = if self.estimate.is_some() { 4 } else { 1 };
        match self.tokens > margin * most_tokens(self.request) {
            true => Look::Over(Status::Length),
            false => Look::On,
        }
    }

    fn goal_met_before(&self, word: &str) -> bool {
        if !may_end(self.request, self.tokens) || self.text_is_blank() {
            return false;
        }
        goal_met_before(self.request, self.tokens, &self.recent(), word)
    }

    fn text_is_blank(&self) -> bool {
        self.sent.trim().is_empty() && self.held.trim().is_empty()
    }

    /// The end of the passage so far: the last `LOOK_BACK` bytes of the sent text, and all held
    /// text.
    fn recent(&self) -> String {
        let mut from = self.sent.len().saturating_sub(LOOK_BACK);
        while !self.sent.is_char_boundary(from) {
            from += 1;
        }
        [&self.sent[from..], &self.held].concat()
    }

    fn look(&mut self, listener: &dyn Listener) -> Look {
        if let Some((at, ban)) = self.banned() {
            return Look::Banned { at, ban };
        }
        let stops = self.request.sampling.stop.iter();
        let stops = stops.filter(|stop| !stop.is_empty());
        let met = stops
            .clone()
            .filter_map(|stop| self.held.find(stop.as_str()));
        if let Some(at) = met.min() {
            self.held.truncate(at);
            return Look::Over(self.finish(Status::StopString, listener));
        }
        if let LengthGoal::Until(phrase) = &self.request.goal {
            let recent = self.recent();
            let before = recent.len() - self.held.len();
            if let Some(at) = recent.find(phrase.as_str()).filter(|_| !phrase.is_empty()) {
                self.held
                    .truncate((at + phrase.len()).saturating_sub(before));
                return Look::Over(self.finish(Status::Length, listener));
            }
        }
        let begun = stops.filter_map(|stop| overlap(&self.held, stop)).min();
        let certain = begun.unwrap_or(self.held.len());
        let mut certain = certain.min(self.bans.uncertain_from(&self.held));
        // The space before a phrase belongs to its first token.
        if certain < self.held.len() && !self.bans.is_empty() && self.held[..certain].ends_with(' ')
        {
            certain -= 1;
        }
        match self.release(certain, listener) {
            true => Look::On,
            false => Look::Over(Status::Stopped),
        }
    }

    /// The first banned phrase in the held text that may not stay, as its byte offset in the
    /// passage and the index of the phrase.
    fn banned(&self) -> Option<(usize, usize)> {
        let mut from = 0;
        while let Some((ban, range)) = self.bans.find(self.held.get(from..)?) {
            let at = self.sent.len() + from + range.start;
            if !self.let_through.contains(&(at, ban)) {
                return Some((at, ban));
            }
            let next = self.held[from + range.start..].chars().next()?;
            from += range.start + next.len_utf8();
        }
        None
    }

    /// Removes the text from byte offset `at` to the end of the passage, including a space before
    /// it. Returns the removed text.
    pub fn rewind(&mut self, at: usize) -> String {
        let mut from = at.saturating_sub(self.sent.len()).min(self.held.len());
        if self.held[..from].ends_with(' ') {
            from -= 1;
        }
        let taken = self.held.split_off(from);
        self.tokens = self.tokens.saturating_sub(estimate(&taken));
        taken
    }

    /// Returns the banned phrase with index `ban` as it is written at the start of `text`.
    pub fn phrase<'t>(&self, text: &'t str, ban: usize) -> &'t str {
        match self.bans.find(text) {
            Some((found, range)) if found == ban => &text[range],
            _ => text,
        }
    }

    /// Allows the banned phrase with index `ban` to stay at byte offset `at` in the passage.
    pub fn let_through(&mut self, at: usize, ban: usize) {
        self.let_through.insert((at, ban));
    }

    /// Sends the text that is still held back, and returns `status`.
    pub fn finish(&mut self, status: Status, listener: &dyn Listener) -> Status {
        if let Some(mut opening) = self.opening.take() {
            self.held
                .push_str(&opening.joined(true).unwrap_or_default());
        }
        self.release(self.held.len(), listener);
        status
    }

    /// Sends the first `certain` bytes of the held text. Returns false if the listener wants no
    /// more text.
    fn release(&mut self, certain: usize, listener: &dyn Listener) -> bool {
        if certain == 0 {
            return true;
        }
        let rest = self.held.split_off(certain);
        let text = std::mem::replace(&mut self.held, rest);
        self.sent.push_str(&text);
        listener.tell(Event::Piece {
            node: self.request.node,
            text,
            ids: Vec::new(),
            healed: 0,
        })
    }
}

impl Opening {
    fn new(fitted: &Fitted) -> Opening {
        Opening {
            text: String::new(),
            echo: fitted.echo.clone(),
            space_is_there: fitted.space_is_there,
            joins: fitted.joins,
            chats: matches!(fitted.prompt, Prompt::Turns { .. }),
        }
    }

    /// Returns the beginning of the passage, adapted to the text before it. Returns None if more
    /// text is needed to decide. `over` says whether the answer has ended.
    fn joined(&mut self, over: bool) -> Option<String> {
        let mut text = self.text.as_str();
        if self.chats && text.trim().is_empty() && !over {
            return None;
        }
        if !self.echo.is_empty() {
            if self.echo.starts_with(text) && text.len() < self.echo.len() && !over {
                return None;
            }
            text = text.strip_prefix(self.echo.as_str()).unwrap_or(text);
            if text.is_empty() && !over {
                return None;
            }
        }
        if self.space_is_there {
            text = match self.chats {
                true => text.trim_start(),
                false => text.strip_prefix(' ').unwrap_or(text),
            };
        }
        let apart = text.starts_with(|c: char| c.is_alphanumeric() || "\"“‘«(".contains(c));
        Some(match self.joins && apart {
            true => format!(" {text}"),
            false => text.to_string(),
        })
    }
}

/// Splits a piece into words. Each word includes the white space before it.
fn words(piece: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut spaced) = (0, true);
    for (at, c) in piece.char_indices() {
        let space = c.is_whitespace();
        if space && !spaced {
            words.push(&piece[start..at]);
            start = at;
        }
        spaced = space;
    }
    words.extend(Some(&piece[start..]).filter(|rest| !rest.is_empty()));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_several_words_is_taken_word_by_word() {
        assert_eq!(
            words(" It rained.\n\nThen"),
            [" It", " rained.", "\n\nThen"]
        );
        assert_eq!(words("a "), ["a", " "]);
        assert_eq!(words(""), [""; 0]);
    }

    #[test]
    fn an_answer_joins_the_text_before_it() {
        let opening = |text: &str| Opening {
            text: text.to_string(),
            echo: String::new(),
            space_is_there: false,
            joins: true,
            chats: true,
        };
        assert_eq!(opening("was cold").joined(false).unwrap(), " was cold");
        assert_eq!(opening(", cold").joined(false).unwrap(), ", cold");
        assert_eq!(opening(" \n").joined(false), None);
        let mut echoed = opening("Red, blue and yellow");
        echoed.echo = "Red, blue and".to_string();
        assert_eq!(echoed.joined(false).unwrap(), " yellow");
        echoed.text = "Red, bl".to_string();
        assert_eq!(echoed.joined(false), None);
    }
}
