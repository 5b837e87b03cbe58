//! Encodes a context as tokens. For text that the model wrote, the tokens that the model generated
//! are used.

use super::loaded::Loaded;
use super::spelled::spelled;
use llm::ModelError;
use llm::template::ChatMessage;
use story::Context;
use story::context::{ContextPart, Message, Role};

/// Encoded tokens. `places` contains, for each token, the index of the part and the byte offset in
/// that part at which the token starts.
#[derive(Debug, Default)]
pub struct Encoded {
    pub ids: Vec<u32>,
    pub places: Vec<(usize, usize)>,
}

/// Encodes a whole context, even if it is longer than the model's context window.
pub fn encode(loaded: &Loaded, context: &Context) -> Result<Vec<u32>, ModelError> {
    match context {
        Context::Prose { parts, .. } => Ok(encode_prose(loaded, parts)?.ids),
        Context::Chat { messages, open } => encode_chat(loaded, messages, *open),
    }
}

/// Encodes the parts of a context. Adjacent parts are encoded as one text, so that one part may end
/// and the next begin inside a word. For text that this model wrote, the tokens that the model
/// generated are used.
pub fn encode_prose(loaded: &Loaded, parts: &[ContextPart]) -> Result<Encoded, ModelError> {
    let mut encoder = Encoder {
        loaded,
        out: Encoded::default(),
        words: String::new(),
        starts: Vec::new(),
    };
    if let Some(id) = loaded.tokenizer.leading_bos() {
        encoder.out.ids.push(id);
        encoder.out.places.push((usize::MAX, 0));
    }
    for (index, part) in parts.iter().enumerate() {
        encoder.add(index, part)?;
    }
    encoder.flush()?;
    Ok(encoder.out)
}

struct Encoder<'a> {
    loaded: &'a Loaded,
    out: Encoded,
    /// Text that is not encoded yet, because the next part may continue it.
    words: String,
    /// Where each part starts in `words`: a byte offset in `words`, the index of the part, and the
    /// corresponding byte offset in the part.
    starts: Vec<(usize, usize, usize)>,
}

impl Encoder<'_> {
    fn add(&mut self, index: usize, part: &ContextPart) -> Result<(), ModelError> {
        let (tokenizer, sha256) = (&self.loaded.tokenizer, &self.loaded.about.sha256);
        let mut from = 0;
        if let Some(found) = spelled(tokenizer, sha256, part, &self.words) {
            self.words.truncate(self.words.len() - part.healed);
            self.flush()?;
            let mut at = 0;
            for id in &part.ids[found.tokens] {
                self.out.ids.push(*id);
                self.out.places.push((index, at.min(found.bytes)));
                at += self.loaded.tokenizer.bytes(*id).len();
            }
            from = found.bytes;
        }
        if from < part.text.len() {
            self.starts.push((self.words.len(), index, from));
            self.words.push_str(&part.text[from..]);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ModelError> {
        let tokenizer = &self.loaded.tokenizer;
        let mut at = 0;
        for id in tokenizer.encode(&self.words)? {
            let start = self.starts.partition_point(|(byte, ..)| *byte <= at);
            let (byte, part, from) = self.starts[start.saturating_sub(1)];
            self.out.ids.push(id);
            self.out.places.push((part, from + (at - byte)));
            at = (at + tokenizer.bytes(id).len()).min(self.words.len());
        }
        self.words.clear();
        self.starts.clear();
        Ok(())
    }
}

/// Converts messages to the form that a chat template takes.
fn chat(messages: &[Message]) -> Vec<ChatMessage> {
    let plain = |message: &Message| ChatMessage {
        role: message.role.name(),
        content: message.text(),
    };
    messages.iter().map(plain).collect()
}

pub fn encode_chat(
    loaded: &Loaded,
    messages: &[Message],
    open: bool,
) -> Result<Vec<u32>, ModelError> {
    let template = loaded.template.as_ref().ok_or(ModelError::NoTemplate)?;
    let tokenizer = &loaded.tokenizer;
    let (closed, unfinished) = match messages.split_last() {
        Some((last, before)) if open => (before, Some(last)),
        _ => (messages, None),
    };
    let mut rendered = match unfinished {
        Some(last) if last.role != Role::Assistant => {
            template.render_open_turn(tokenizer, &chat(closed), last.role.name())?
        }
        _ => template.render(tokenizer, &chat(closed))?,
    };
    let mut ids = Vec::new();
    for message in closed
        .iter()
        .filter(|message| message.role == Role::Assistant)
    {
        // If the template left the model's own words unchanged, its tokens are kept too.
        let words = tokenizer.guard(&message.text());
        let all_wrote = message.parts.iter().all(|part| wrote(loaded, part));
        if let Some(at) = rendered
            .find(&words)
            .filter(|_| all_wrote && !words.is_empty())
        {
            ids.extend(tokenizer.encode_rendered(&rendered[..at])?);
            let parts = &message.parts;
            ids.extend(parts.iter().flat_map(|part| own(loaded, part)));
            rendered.drain(..at + words.len());
        }
    }
    ids.extend(tokenizer.encode_rendered(&rendered)?);
    let opening = tokenizer
        .leading_bos()
        .filter(|opening| ids.first() != Some(opening));
    ids.splice(0..0, opening);
    if let Some(message) = unfinished {
        let parts = encode_prose(loaded, &message.parts)?;
        let opening = usize::from(tokenizer.leading_bos().is_some());
        ids.extend(&parts.ids[opening..]);
    }
    Ok(ids)
}

fn own<'a>(loaded: &Loaded, part: &'a ContextPart) -> &'a [u32] {
    match spelled(&loaded.tokenizer, &loaded.about.sha256, part, "") {
        Some(found) => &part.ids[found.tokens],
        None => &[],
    }
}

/// Whether the stored tokens of a part come from this model and spell exactly the part's text.
fn wrote(loaded: &Loaded, part: &ContextPart) -> bool {
    let found = spelled(&loaded.tokenizer, &loaded.about.sha256, part, "");
    part.healed == 0 && found.is_some_and(|found| found.bytes == part.text.len())
}
