//! Splits a story into pieces for export, and determines the pieces' authors, separators and
//! branches.

use super::ExportScope;
use base::untrusted::clean_line;
use story::context::stand_apart;
use story::{Author, NodeId, Passage, Story};

/// A piece of an export: one passage as a reader sees it, including the edits inside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExportPassage {
    /// The id of the passage's first part in the story tree.
    pub first: NodeId,
    /// The id of the passage's last part in the story tree.
    pub last: NodeId,
    pub author: Author,
    /// Whether the passage is a turn of a chat.
    pub turn: bool,
    /// The name of the speaker, if the passage is from an imported chat.
    pub speaker: Option<String>,
    /// Whether this passage and the previous passage are separate messages of a chat.
    pub apart: bool,
    /// Whether the passage has only one part, which has not been changed since it was written.
    pub whole: bool,
    /// The separator between this piece and the previous piece.
    pub gap: &'static str,
    pub spans: Vec<Span>,
    /// The number of passages from the start of the path to the end of this piece.
    pub until: usize,
    /// The ids of the pictures that follow the passage.
    pub pictures: Vec<NodeId>,
}

/// A span of text by one author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub by: SpanAuthor,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpanAuthor {
    Prompt,
    Writer,
    Model,
    /// Text that a person wrote inside a passage by the model.
    Edited,
}

impl SpanAuthor {
    pub fn name(self) -> &'static str {
        match self {
            SpanAuthor::Prompt => "prompt",
            SpanAuthor::Writer => "writer",
            SpanAuthor::Model => "model",
            SpanAuthor::Edited => "edited",
        }
    }

    fn of(passage: &Passage) -> SpanAuthor {
        match (passage.edited, passage.author) {
            (true, _) => SpanAuthor::Edited,
            (_, Author::Prompt) => SpanAuthor::Prompt,
            (_, Author::User) => SpanAuthor::Writer,
            // A card's greeting or another program's story, which no model wrote here.
            (_, Author::Model) if passage.provenance.is_none() => SpanAuthor::Prompt,
            (_, Author::Model) => SpanAuthor::Model,
        }
    }
}

impl ExportPassage {
    pub fn text(&self) -> String {
        self.spans.iter().map(|span| span.text.as_str()).collect()
    }
}

/// Returns the pieces of a path that contain text.
pub fn pieces(path: &[Passage]) -> Vec<ExportPassage> {
    let mut pieces = pieces_with_empty(path);
    pieces.retain(|piece| !piece.spans.is_empty());
    pieces
}

/// Returns the text of a path, with separators between the messages of a chat.
pub fn text_of(path: &[Passage]) -> String {
    let pieces = pieces(path).into_iter();
    pieces
        .map(|piece| format!("{}{}", piece.gap, piece.text()))
        .collect()
}

/// Returns the pieces of a path that contain text or pictures. If pictures precede all text, an
/// empty piece that holds these pictures comes first.
pub fn with_pictures(story: &Story, path: &[Passage]) -> Vec<ExportPassage> {
    let mut pieces = pieces_with_empty(path);
    let pictures = story.pictures_on(path);
    if pictures.iter().any(|(after, _)| *after == 0) || pieces.is_empty() {
        pieces.insert(0, ExportPassage::default());
    }
    for (after, id) in pictures {
        let at = pieces.iter().position(|piece| piece.until >= after);
        let place = at.unwrap_or(pieces.len() - 1);
        pieces[place].pictures.push(id);
    }
    pieces.retain(|piece| !piece.spans.is_empty() || !piece.pictures.is_empty());
    pieces
}

/// Returns the pieces of a path, including pieces without text.
pub fn pieces_with_empty(path: &[Passage]) -> Vec<ExportPassage> {
    let mut pieces: Vec<ExportPassage> = Vec::new();
    let mut before: Option<&Passage> = None;
    let told = path.iter().enumerate().filter(|(_, it)| !it.aside);
    for (at, passage) in told {
        let joins = passage.continues_previous();
        match pieces.last_mut().filter(|_| joins) {
            Some(piece) => {
                piece.last = passage.id;
                piece.until = at + 1;
                piece.whole = false;
            }
            None => pieces.push(ExportPassage {
                first: passage.id,
                last: passage.id,
                author: passage.author,
                turn: passage.turn,
                speaker: passage.speaker().map(clean_line),
                apart: before.is_some_and(|before| stand_apart(before, passage)),
                whole: passage.text.len() == passage.node.text.len(),
                gap: before.map_or("", |before| gap(before, passage)),
                until: at + 1,
                ..ExportPassage::default()
            }),
        }
        if passage.text.is_empty() {
            continue;
        }
        before = Some(passage);
        let (by, text) = (SpanAuthor::of(passage), passage.text);
        let Some(spans) = pieces.last_mut().map(|piece| &mut piece.spans) else {
            continue;
        };
        match spans.last_mut().filter(|span| span.by == by) {
            Some(span) => span.text.push_str(text),
            None => spans.push(Span {
                by,
                text: text.to_string(),
            }),
        }
    }
    pieces
}

/// The separator between two passages: a blank line if `passage` begins a new message of a chat,
/// and nothing otherwise.
fn gap(before: &Passage, passage: &Passage) -> &'static str {
    match stand_apart(before, passage) && !before.text.ends_with('\n') {
        true => "\n\n",
        false => "",
    }
}

/// Counts the characters by each author. Authors without any text are left out.
pub fn author_shares(pieces: &[ExportPassage]) -> Vec<(SpanAuthor, usize)> {
    let all = [
        SpanAuthor::Prompt,
        SpanAuthor::Writer,
        SpanAuthor::Model,
        SpanAuthor::Edited,
    ];
    let wrote = |by: SpanAuthor| {
        let spans = pieces.iter().flat_map(|piece| &piece.spans);
        let own = spans.filter(|span| span.by == by);
        own.map(|span| span.text.chars().count()).sum::<usize>()
    };
    let shares = all.into_iter().map(|by| (by, wrote(by)));
    shares.filter(|(_, count)| *count > 0).collect()
}

/// The text of one version of a passage. `first` and `last` are the ids of the version's first and
/// last part.
pub fn version_text(story: &Story, first: NodeId, last: NodeId) -> String {
    let path = story.path_to(Some(last));
    let base = story.first_part(first);
    let place = story.node(base).map(|node| node.place());
    let own = path
        .iter()
        .position(|passage| Some(passage.place()) == place);
    let own = own.map_or(&path[path.len()..], |at| &path[at..]);
    own.iter().map(|passage| passage.text).collect()
}

/// The ids of the last passages of all branches that are not hidden.
pub fn leaves(story: &Story) -> Vec<NodeId> {
    let ends = |id: NodeId| {
        let open = story.node(id).is_some_and(|node| !node.aside) && !story.is_hidden(id);
        let goes_on = story.children(id).iter().any(|child| {
            let child_open = story.node(*child).is_some_and(|child| !child.aside);
            child_open && !story.is_hidden(*child)
        });
        open && !goes_on
    };
    (0..story.next_id()).filter(|id| ends(*id)).collect()
}

/// A branch, with the pieces that differ from the current story and from earlier branches.
pub struct Branch {
    /// The branch starts after this passage or inside it. None if the branch is an alternative
    /// beginning of the story.
    pub after: Option<NodeId>,
    pub name: Option<String>,
    pub pieces: Vec<ExportPassage>,
}

/// Returns all branches except the current story. Text that is also in the current story or in an
/// earlier branch is left out.
pub fn branches(story: &Story) -> Vec<Branch> {
    let on_path = story.path();
    let mut told: std::collections::HashSet<NodeId> = on_path.iter().map(|p| p.id).collect();
    let mut branches = Vec::new();
    for leaf in leaves(story) {
        let path = story.path_to(Some(leaf));
        let new = path.iter().position(|passage| !told.contains(&passage.id));
        let Some(new) = new else {
            continue;
        };
        told.extend(path[new..].iter().map(|passage| passage.id));
        let marks = story.marks().iter();
        let mark = marks.filter(|(_, id)| path[new..].iter().any(|p| p.id == **id));
        branches.push(Branch {
            after: path[new].parent,
            name: mark.map(|(name, _)| name.clone()).next(),
            pieces: branch_of(story, &path, new),
        });
    }
    branches.retain(|branch| !branch.pieces.is_empty());
    branches
}

/// Returns the pieces of a path with their pictures, starting at the passage with index `from`.
fn branch_of(story: &Story, path: &[Passage], from: usize) -> Vec<ExportPassage> {
    let mut pieces = pieces_with_empty(&path[from..]);
    for (after, id) in story.pictures_on(path) {
        let at = after.checked_sub(from).filter(|after| *after > 0);
        let piece = at.and_then(|after| pieces.iter_mut().find(|it| it.until >= after));
        if let Some(piece) = piece {
            piece.pictures.push(id);
        }
    }
    pieces.retain(|piece| !piece.spans.is_empty() || !piece.pictures.is_empty());
    pieces
}

/// The ids of all pictures in an export of the given extent.
pub fn pictures(story: &Story, extent: ExportScope) -> Vec<NodeId> {
    let mut pieces = with_pictures(story, &story.path());
    if extent == ExportScope::Tree {
        pieces.extend(branches(story).into_iter().flat_map(|branch| branch.pieces));
    }
    let mut found: Vec<NodeId> = pieces
        .into_iter()
        .flat_map(|piece| piece.pictures)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}
