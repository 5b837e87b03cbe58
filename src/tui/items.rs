//! The items on the page in order: passages, each followed by its pictures.

use super::spans::TextRole;
use base::untrusted::clean_line;
use story::sentence::excerpt;
use story::{Author, NodeId, Passage, Status, Story};

/// The passage in which the context starts, and the byte offset in this passage; None if the
/// context starts at the start of the story.
pub type ContextStart = Option<(NodeId, usize)>;

/// Everything that determines how an item of the page looks.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemKey {
    pub id: NodeId,
    pub bytes: usize,
    pub mark: String,
    /// The byte offset at which the context starts, if the context starts in this passage.
    pub begins: Option<usize>,
    /// The length in bytes of the model's thoughts, if the page mentions the thoughts in a separate
    /// line; otherwise 0.
    pub thought: usize,
    /// The width and height in pixels, if the item is a picture.
    pub picture: Option<(u32, u32)>,
}

/// An item on the page: a passage or a picture.
pub struct PageItem<'a> {
    pub key: ItemKey,
    pub passage: Option<Passage<'a>>,
}

/// Returns the items of the story's path: its passages, each followed by its pictures. `begins` is
/// where the context starts.
pub fn items(story: &Story, begins: ContextStart) -> Vec<PageItem<'_>> {
    let path = story.path();
    let mut pictures = story.pictures_on(&path).into_iter().peekable();
    let mut items = Vec::with_capacity(path.len());
    for at in 0..=path.len() {
        if let Some(passage) = at.checked_sub(1).map(|at| path[at]) {
            let key = key(story, &passage, begins);
            items.push(PageItem {
                key,
                passage: Some(passage),
            });
        }
        while let Some((_, id)) = pictures.next_if(|(after, _)| *after <= at) {
            items.extend(picture(story, id).map(|key| PageItem { key, passage: None }));
        }
    }
    items
}

/// The key of a picture, with the picture's caption as `mark`; None if `id` is not a picture.
fn picture(story: &Story, id: NodeId) -> Option<ItemKey> {
    let picture = story.picture(id)?;
    let versions = story.picture_versions(id);
    let at = versions.iter().position(|other| *other == id).unwrap_or(0);
    let which = match versions.len() {
        0 | 1 => String::new(),
        count => format!(" ‹{}/{count}›", at + 1),
    };
    let title = clean_line(&excerpt(&picture.provenance.title(), 120));
    Some(ItemKey {
        id,
        bytes: 0,
        mark: format!("#{id} {title}{which}"),
        thought: 0,
        begins: None,
        picture: Some((picture.width, picture.height)),
    })
}

fn key(story: &Story, node: &Passage, begins: ContextStart) -> ItemKey {
    ItemKey {
        picture: None,
        id: node.id,
        bytes: node.text.len(),
        mark: mark(story, node),
        thought: if node.turn { node.thought.len() } else { 0 },
        begins: begins.and_then(|(id, byte)| (id == node.id).then_some(byte)),
    }
}

/// The remark after the passage at the head of the story: how the passage ended (if unusual), its
/// thoughts, and which of several versions it is. Empty for all other passages.
fn mark(story: &Story, node: &Passage) -> String {
    let head = story.head() == Some(node.id);
    let ended = match node.status {
        // Once the story continues, how a passage ended no longer matters.
        _ if !head => "",
        Status::Stopped => " [stopped]",
        Status::Failed => " [failed]",
        Status::Interrupted => " [interrupted]",
        Status::ContextFull => " [context full]",
        Status::Length => " […]",
        _ => "",
    };
    // A remark must not interrupt prose, so it appears only if no text follows.
    let apart = node.status != Status::Running || node.text.is_empty();
    let thought = match head && apart && !node.turn {
        true => node.thought_remark().map(|remark| format!(" [{remark}]")),
        false => None,
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
    let (thought, which) = (thought.unwrap_or_default(), which.unwrap_or_default());
    format!("{ended}{thought}{which}")
}

pub fn speaker(author: Author) -> &'static str {
    match author {
        Author::Prompt => "Prompt",
        Author::User => "You",
        Author::Model => "Model",
    }
}

pub fn text_role(node: &Passage) -> TextRole {
    match node.author {
        _ if node.edited => TextRole::Edited,
        Author::Prompt => TextRole::Prompt,
        Author::User => TextRole::User,
        Author::Model => TextRole::Model,
    }
}
