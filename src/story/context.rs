//! What is sent to the model for a passage: the words before it, in order.
//!
//! Tokens are counted by the engine; here are only words, and the tokens that a model itself wrote
//! (sent back as they were, so that the KV cache still holds them at the next line).

use super::{Author, Mode, Node, Settings, Story};

/// Everything the model reads before it writes.
#[derive(Clone, Debug, PartialEq)]
pub enum Context {
    /// One text, which the model continues.
    Prose(Vec<Part>),
    /// Turns for the chat template.
    Chat {
        messages: Vec<Message>,
        /// The last message is the model's own and is to be continued.
        open: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub role: Role,
    pub parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    System,
    User,
    Assistant,
}

/// A stretch of text, with its tokens when the model whose SHA-256 is named wrote it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    pub text: String,
    pub model_sha256: String,
    pub ids: Vec<u32>,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

impl Message {
    pub fn text(&self) -> String {
        self.parts.iter().map(|part| part.text.as_str()).collect()
    }
}

impl Part {
    fn plain(text: impl Into<String>) -> Part {
        Part {
            text: text.into(),
            ..Part::default()
        }
    }

    fn of(node: &Node) -> Part {
        let written = node.how.as_ref().filter(|_| !node.ids.is_empty());
        Part {
            text: node.text.clone(),
            model_sha256: written.map_or(String::new(), |how| how.model_sha256.clone()),
            ids: node.ids.clone(),
        }
    }
}

impl Context {
    /// The context in which a child of the last passage of `path` is written.
    pub fn build(settings: &Settings, path: &[&Node]) -> Context {
        match settings.mode {
            Mode::Prose => prose(settings, path),
            Mode::Chat => chat(settings, path),
        }
    }

    /// The words alone, for digests and for people.
    pub fn text(&self) -> String {
        match self {
            Context::Prose(parts) => parts.iter().map(|part| part.text.as_str()).collect(),
            Context::Chat { messages, .. } => messages
                .iter()
                .map(|message| format!("{}: {}\n", message.role.name(), message.text()))
                .collect(),
        }
    }

    /// FNV-1a 64 of [`Context::text`], in hexadecimal: names what was read.
    pub fn digest(&self) -> String {
        let hash = self
            .text()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        format!("{hash:016x}")
    }
}

fn prose(settings: &Settings, path: &[&Node]) -> Context {
    let mut parts = Vec::new();
    if !settings.system.is_empty() {
        parts.push(Part::plain(format!("{}\n\n", settings.system)));
    }
    let mut last: Option<&Node> = None;
    for node in path {
        if let Some(gap) = last.and_then(|before| gap(before, node)) {
            parts.push(Part::plain(gap));
        }
        parts.push(Part::of(node));
        if !node.text.is_empty() {
            last = Some(node);
        }
    }
    Context::Prose(parts)
}

/// Chat turns stand apart when they are read as prose.
fn gap(before: &Node, node: &Node) -> Option<&'static str> {
    let apart = (node.turn || before.turn) && !before.text.ends_with('\n');
    (apart && before.author != node.author).then_some("\n\n")
}

fn chat(settings: &Settings, path: &[&Node]) -> Context {
    let mut messages: Vec<Message> = Vec::new();
    if !settings.system.is_empty() {
        messages.push(Message {
            role: Role::System,
            parts: vec![Part::plain(settings.system.clone())],
        });
    }
    for node in path.iter().filter(|node| !node.text.is_empty()) {
        let role = match node.author {
            Author::Model => Role::Assistant,
            Author::Prompt | Author::User => Role::User,
        };
        match messages.last_mut() {
            Some(last) if last.role == role => last.parts.push(Part::of(node)),
            _ => messages.push(Message {
                role,
                parts: vec![Part::of(node)],
            }),
        }
    }
    let open = messages
        .last()
        .is_some_and(|last| last.role == Role::Assistant);
    Context::Chat { messages, open }
}

/// The separator that a line typed after the story needs, so that words do not run together.
///
/// One space, unless the story is empty or ends in white space, or the line begins with white
/// space or with punctuation that belongs to the word before it.
pub fn joint(story: &Story, line: &str) -> &'static str {
    let before = story
        .path()
        .into_iter()
        .rev()
        .find(|node| !node.text.is_empty());
    let spaced = before.is_none_or(|node| node.turn || node.text.ends_with(char::is_whitespace));
    let clings = |c: char| c.is_whitespace() || ".,;:!?…)]}’”'".contains(c);
    if spaced || line.starts_with(clings) {
        ""
    } else {
        " "
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::{Provenance, Record, Status};

    fn story(passages: &[(Author, &str, bool)]) -> Story {
        let mut story = Story::default();
        for (author, text, turn) in passages {
            let id = story.next_id();
            let node = Node {
                id,
                parent: story.head(),
                author: *author,
                text: text.to_string(),
                turn: *turn,
                status: Status::Whole,
                how: (*author == Author::Model).then(Provenance::default),
                ids: vec![],
            };
            story.apply(&Record::Node(node)).unwrap();
            let why = crate::story::record::Move::Write;
            let to = Some(id);
            story
                .apply(&Record::Head(crate::story::record::Head { to, why }))
                .unwrap();
        }
        story
    }

    #[test]
    fn prose_is_the_story_itself() {
        let story = story(&[
            (Author::User, "Once", false),
            (Author::Model, " upon", false),
        ]);
        let context = Context::build(&Settings::default(), &story.path());
        assert_eq!(context.text(), "Once upon");
    }

    #[test]
    fn chat_turns_read_as_prose_stand_apart() {
        let story = story(&[(Author::User, "Hello", true), (Author::Model, "Hi.", true)]);
        let context = Context::build(&Settings::default(), &story.path());
        assert_eq!(context.text(), "Hello\n\nHi.");
    }

    #[test]
    fn two_passages_of_the_model_are_one_open_message() {
        let story = story(&[
            (Author::User, "Hello", true),
            (Author::Model, "Hi", true),
            (Author::Model, " there", true),
        ]);
        let settings = Settings {
            mode: Mode::Chat,
            system: "Be brief.".to_string(),
            ..Settings::default()
        };
        let Context::Chat { messages, open } = Context::build(&settings, &story.path()) else {
            panic!("a chat context")
        };
        assert!(open);
        let texts: Vec<String> = messages.iter().map(Message::text).collect();
        assert_eq!(texts, ["Be brief.", "Hello", "Hi there"]);
    }

    #[test]
    fn a_typed_line_joins_with_one_space_where_one_is_missing() {
        let ended = story(&[(Author::Model, "The end.", false)]);
        assert_eq!(joint(&ended, "Then"), " ");
        assert_eq!(joint(&ended, "\n\nThen"), "");
        assert_eq!(joint(&ended, ", or so"), "");
        let open = story(&[(Author::Model, "The end.\n", false)]);
        assert_eq!(joint(&open, "Then"), "");
        assert_eq!(joint(&Story::default(), "Then"), "");
    }
}
