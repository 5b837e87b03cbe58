//! Stretches of text and what they are, from which the theme decides how they look.

/// What a stretch of text is, which decides how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextRole {
    Prompt,
    User,
    Model,
    /// A person's words inside another's passage.
    Edited,
    /// Who speaks, in a chat.
    Label,
    /// A remark of the program's own.
    Mark,
}

/// A row on the screen: stretches and how they look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OverlayRow {
    pub spans: Vec<(String, SpanStyle)>,
    /// Of which item it is a row.
    pub item: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanStyle {
    #[default]
    Plain,
    Strong,
    Quiet,
    /// Only in the left, or only in the right text.
    Left,
    Right,
    /// What stands beside the story in a context.
    Beside,
    Lore,
    Note,
}
