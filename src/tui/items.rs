//! The items on the page in order: passages, each followed by its pictures.

use super::page::{Begins, Ink};
use crate::story::sentence::excerpt;
use crate::story::untrusted::clean_line;
use crate::story::{Author, NodeId, Passage, Status, Story};

/// Everything that the appearance of a passage depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub id: NodeId,
    pub bytes: usize,
    pub mark: String,
    /// The byte at which the context starts, if it starts in this passage.
    pub begins: Option<usize>,
    /// The size in pixels, if this is a picture.
    pub picture: Option<(u32, u32)>,
}

/// An item on the page: a passage, or a picture after one.
pub struct Item<'a> {
    pub key: Key,
    pub passage: Option<Passage<'a>>,
}

/// The passages, with the pictures between them.
pub fn items(story: &Story, begins: Begins) -> Vec<Item<'_>> {
    let path = story.path();
    let mut pictures = story.pictures_on(&path).into_iter().peekable();
    let mut items = Vec::with_capacity(path.len());
    for at in 0..=path.len() {
        if let Some(passage) = at.checked_sub(1).map(|at| path[at]) {
            let key = key(story, &passage, begins);
            items.push(Item {
                key,
                passage: Some(passage),
            });
        }
        while let Some((_, id)) = pictures.next_if(|(after, _)| *after <= at) {
            items.extend(picture(story, id).map(|key| Item { key, passage: None }));
        }
    }
    items
}

/// A picture and its caption.
fn picture(story: &Story, id: NodeId) -> Option<Key> {
    let picture = story.picture(id)?;
    let versions = story.picture_versions(id);
    let at = versions.iter().position(|other| *other == id).unwrap_or(0);
    let which = match versions.len() {
        0 | 1 => String::new(),
        count => format!(" ‹{}/{count}›", at + 1),
    };
    let title = clean_line(&excerpt(&picture.how.title(), 120));
    Some(Key {
        id,
        bytes: 0,
        mark: format!("#{id} {title}{which}"),
        begins: None,
        picture: Some((picture.width, picture.height)),
    })
}

fn key(story: &Story, node: &Passage, begins: Begins) -> Key {
    Key {
        picture: None,
        id: node.id,
        bytes: node.text.len(),
        mark: mark(story, node),
        begins: begins.and_then(|(id, byte)| (id == node.id).then_some(byte)),
    }
}

/// The remark after a passage: an unusual end, and at the head, which version this is.
fn mark(story: &Story, node: &Passage) -> String {
    let head = story.head() == Some(node.id);
    let ended = match node.status {
        // Once the story has gone on, how a passage ended is no longer news.
        _ if !head => "",
        Status::Stopped => " [stopped]",
        Status::Failed => " [failed]",
        Status::Interrupted => " [interrupted]",
        Status::ContextFull => " [context full]",
        Status::Length => " […]",
        _ => "",
    };
    let versions = match head {
        true => story.versions(node.id),
        false => Vec::new(),
    };
    let at = versions
        .iter()
        .position(|id| *id == node.id)
        .filter(|_| head && versions.len() > 1);
    let which = at.map(|at| format!(" ‹{}/{}›", at + 1, versions.len()));
    format!("{ended}{}", which.unwrap_or_default())
}

pub fn speaker(author: Author) -> &'static str {
    match author {
        Author::Prompt => "Prompt",
        Author::User => "You",
        Author::Model => "Model",
    }
}

pub fn ink(node: &Passage) -> Ink {
    match node.author {
        _ if node.edited => Ink::Edited,
        Author::Prompt => Ink::Prompt,
        Author::User => Ink::User,
        Author::Model => Ink::Model,
    }
}
