//! Exports the story as a self-contained web page, and renders the paragraphs of an e-book.
//!
//! The page is also valid XML. All text is escaped, so the model's output is never interpreted as
//! markup.

use super::direction::Direction;
use super::pages::{self, ExportPassage};
use super::text::{SpeakerNames, authors, title};
use super::{ExportMeta, ExportScope};
use base::untrusted::clean_line;
use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;
use story::{NodeId, Story};

/// The style sheet for screen and print. Text that the model did not write is tinted.
pub const STYLE: &str = "\
body { font-family: Georgia, serif; line-height: 1.5; max-width: 38em; margin: 2em auto; padding: 0 1em; }
p { margin: 0 0 0.8em; }
figure { margin: 1.2em 0; text-align: center; }
img { max-width: 100%; height: auto; }
.speaker { font-weight: bold; }
.prompt, .writer, .edited { background: rgba(180, 140, 60, 0.14); }
.edited { text-decoration: underline dotted; }
footer, .about { color: #666; font-size: 0.85em; }
@media (prefers-color-scheme: dark) { body { background: #16161a; color: #ddd; } footer, .about { color: #999; } }
";

pub fn page(story: &Story, extent: ExportScope, meta: &ExportMeta) -> String {
    let names = SpeakerNames::of(story, meta);
    let pieces = pages::with_pictures(story, &story.path());
    let inside = |id| {
        let bytes = meta.picture(id)?;
        Some(format!("data:image/png;base64,{}", STANDARD.encode(bytes)))
    };
    let direction = Direction::of_book(&meta.language, &pieces);
    let figure = |id| figure(story, id, inside(id), direction);
    let paragraphs = |pieces: &[_]| paragraphs(pieces, &names, &figure, direction);
    let mut body = format!("<main>\n{}\n", heading(&meta.title, direction));
    body += &paragraphs(&pieces);
    body += "</main>\n";
    if extent == ExportScope::Tree {
        for branch in pages::branches(story) {
            let title = title(story, &branch);
            let (own, title) = (direction.attribute(&title), escaped(&title));
            let told = paragraphs(&branch.pieces);
            body += &format!("<details>\n<summary{own}>{title}</summary>\n{told}</details>\n");
        }
    }
    let by = escaped(&authors(&pieces));
    let own = direction.attribute(&by);
    body += &format!(
        "<footer lang=\"en\"{own}><p>{by}. Words on a tint are a person's.</p></footer>\n"
    );
    let language = match meta.language.as_str() {
        "" => String::new(),
        language => format!(" lang=\"{}\"", escaped(language)),
    } + direction.of_root();
    format!(
        "<!DOCTYPE html>\n<html{language}>\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"generator\" content=\"{}\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n\
         </head>\n<body>\n{body}</body>\n</html>\n",
        escaped(&meta.build),
        escaped(&meta.title)
    )
}

/// Renders a title as a first-level heading (`h1`).
pub fn heading(title: &str, direction: Direction) -> String {
    format!("<h1{}>{}</h1>", direction.attribute(title), escaped(title))
}

/// Renders pieces as paragraphs. The text of each author is in a separate span. A paragraph gets a
/// `dir` attribute if its direction differs from the book's direction.
pub fn paragraphs(
    pieces: &[ExportPassage],
    names: &SpeakerNames,
    figure: &dyn Fn(NodeId) -> String,
    direction: Direction,
) -> String {
    let mut paper = HtmlWriter {
        direction,
        ..HtmlWriter::default()
    };
    for piece in pieces {
        if !piece.gap.is_empty() {
            paper.end();
        }
        if let Some(name) = names.speaker(piece) {
            paper.end();
            paper.put("speaker", &format!("{name}: "));
        }
        for span in &piece.spans {
            paper.words(span.by.name(), &span.text);
        }
        for picture in &piece.pictures {
            paper.end();
            paper.done += &figure(*picture);
        }
    }
    paper.end();
    paper.done
}

/// Renders a picture. `source` is the value of the `src` attribute; if it is None, the file is
/// missing, and the picture's description is rendered.
pub fn figure(story: &Story, id: NodeId, source: Option<String>, direction: Direction) -> String {
    let Some(picture) = story.picture(id) else {
        return String::new();
    };
    let title = clean_line(&picture.provenance.title());
    let (own, title) = (direction.attribute(&title), escaped(&title));
    let (width, height) = (picture.width, picture.height);
    match source {
        Some(source) => format!(
            "<figure><img src=\"{source}\" alt=\"{title}\"{own} width=\"{width}\" height=\"{height}\"/></figure>\n"
        ),
        None => format!("<p class=\"about\"{own}>[A picture whose file is missing: {title}]</p>\n"),
    }
}

#[derive(Default)]
struct HtmlWriter {
    done: String,
    /// The HTML of the current paragraph so far.
    line: String,
    /// The number of line breaks that have not been written yet.
    breaks: usize,
    /// The direction of the book.
    direction: Direction,
    /// The direction of the current paragraph; None until a word with a direction has been added.
    decided: Option<Direction>,
}

impl HtmlWriter {
    fn words(&mut self, class: &str, text: &str) {
        let mut lines = text.split('\n');
        if let Some(first) = lines.next() {
            self.put(class, first);
        }
        for line in lines {
            self.breaks += 1;
            self.put(class, line);
        }
    }

    fn put(&mut self, class: &str, words: &str) {
        if words.is_empty() {
            return;
        }
        match (self.breaks, self.line.is_empty()) {
            (0, _) | (_, true) => {}
            (1, false) => self.line += "<br/>\n",
            _ => self.end(),
        }
        self.breaks = 0;
        // The speaker's name may be in another script than the speech.
        if class != "speaker" {
            self.decided = self.decided.or_else(|| Direction::of_text(words));
        }
        let words = escaped(words);
        self.line += &match class {
            "model" => words,
            class => format!("<span class=\"{class}\">{words}</span>"),
        };
    }

    fn end(&mut self) {
        self.breaks = 0;
        let line = std::mem::take(&mut self.line);
        let decided = self.decided.take().filter(|own| *own != self.direction);
        let own = decided.map_or(String::new(), |own| format!(" dir=\"{}\"", own.name()));
        if !line.trim().is_empty() {
            self.done += &format!("<p{own}>{line}</p>\n");
        }
    }
}

/// Escapes text for XML. Replaces control characters and noncharacters with U+FFFD.
pub fn escaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '"' => plain.push_str("&quot;"),
            c if is_noncharacter(c) => plain.push('\u{fffd}'),
            c if c.is_control() && c != '\t' => plain.push('\u{fffd}'),
            c => plain.push(c),
        }
    }
    plain
}

/// Whether `c` is a noncharacter, a code point that Unicode never assigns to a character. XML
/// forbids two of the noncharacters.
fn is_noncharacter(c: char) -> bool {
    let number = u32::from(c);
    number & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&number)
}
