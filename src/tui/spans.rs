//! Stretches of text and their kinds, for which the theme has styles.

/// The kind of a stretch of text, which decides its style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextRole {
    Prompt,
    User,
    Model,
    /// A person's words inside another's passage.
    Edited,
    /// The speaker's name in a chat.
    Label,
    /// A remark of the program's own.
    Mark,
}

/// A row on the screen: stretches and how they look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OverlayRow {
    pub spans: Vec<(String, SpanStyle)>,
    /// The item that the row belongs to.
    pub item: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanStyle {
    #[default]
    Plain,
    Strong,
    Quiet,
    /// Text that is only on the left, or only on the right.
    Left,
    Right,
    /// A part of the context other than the story.
    Beside,
    Lore,
    Note,
}
