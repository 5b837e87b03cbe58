//! Spans of text and their kinds; the theme has a style for each kind.

/// The kind of a span of text, which decides its style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextRole {
    Prompt,
    User,
    Model,
    /// A person's text inside the model's passage.
    Edited,
    /// The speaker's name in a chat.
    Label,
    /// A remark by the program.
    Mark,
}

/// A row on the screen: spans with their styles.
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
    /// Text that only the left one of two compared texts contains.
    Left,
    /// Text that only the right one of two compared texts contains.
    Right,
    /// A part of the context other than the story.
    Beside,
    Lore,
    Note,
}
