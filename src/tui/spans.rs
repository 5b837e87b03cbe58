//! The kinds of spans of text. The module `theme` has a style for each kind.

/// The kind of a span of text on the page, which determines the style of the span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextRole {
    Prompt,
    User,
    Model,
    /// Text that a person has added to a passage that the model wrote.
    Edited,
    /// The speaker's name in a chat.
    Label,
    /// A remark by the program, such as the caption of a picture.
    Mark,
}

/// A row of an overlay: spans of text with their styles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OverlayRow {
    pub spans: Vec<(String, SpanStyle)>,
    /// The index of the item that the row belongs to, if any.
    pub item: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanStyle {
    #[default]
    Plain,
    Strong,
    Quiet,
    /// In a comparison of two texts, text that only the left text contains.
    Left,
    /// In a comparison of two texts, text that only the right text contains.
    Right,
    /// A part of the context that is not story, lore, a note or an instruction.
    Beside,
    Lore,
    Note,
}
