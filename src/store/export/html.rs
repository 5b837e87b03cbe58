//! Exports the story as one self-contained web page, and as the paragraphs of an e-book.
//!
//! The page is valid XML too. All text is escaped, so a model's output is never markup.

use super::pages::{self, ExportPassage};
use super::text::{SpeakerNames, authors, title};
use super::{ExportMeta, ExportScope};
use base::untrusted::clean_line;
use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;
use story::{NodeId, Story};

/// The style sheet: unobtrusive on paper and on screen, with a tint for each author's text.
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
    let figure = |id| figure(story, id, inside(id));
    let mut body = format!("<main>\n<h1>{}</h1>\n", escaped(&meta.title));
    body += &paragraphs(&pieces, &names, &figure);
    body += "</main>\n";
    if extent == ExportScope::Tree {
        for branch in pages::branches(story) {
            let title = escaped(&title(story, &branch));
            let told = paragraphs(&branch.pieces, &names, &figure);
            body += &format!("<details>\n<summary>{title}</summary>\n{told}</details>\n");
        }
    }
    let by = escaped(&authors(&pieces));
    body += &format!("<footer><p>{by}. Tinted text is a person's.</p></footer>\n");
    let language = match meta.language.as_str() {
        "" => String::new(),
        language => format!(" lang=\"{}\"", escaped(language)),
    };
    format!(
        "<!DOCTYPE html>\n<html{language}>\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"generator\" content=\"{}\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n\
         </head>\n<body>\n{body}</body>\n</html>\n",
        escaped(&meta.build),
        escaped(&meta.title)
    )
}

/// Renders pieces as paragraphs, with each author's text in a span.
pub fn paragraphs(
    pieces: &[ExportPassage],
    names: &SpeakerNames,
    figure: &dyn Fn(NodeId) -> String,
) -> String {
    let mut paper = HtmlWriter::default();
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

/// Renders a picture from its source; its description if the file is missing.
pub fn figure(story: &Story, id: NodeId, source: Option<String>) -> String {
    let Some(picture) = story.picture(id) else {
        return String::new();
    };
    let title = escaped(&clean_line(&picture.provenance.title()));
    let (width, height) = (picture.width, picture.height);
    match source {
        Some(source) => format!(
            "<figure><img src=\"{source}\" alt=\"{title}\" width=\"{width}\" height=\"{height}\"/></figure>\n"
        ),
        None => format!("<p class=\"about\">[A picture whose file is missing: {title}]</p>\n"),
    }
}

#[derive(Default)]
struct HtmlWriter {
    done: String,
    /// The current paragraph.
    line: String,
    /// The number of pending line breaks.
    breaks: usize,
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
        let words = escaped(words);
        self.line += &match class {
            "model" => words,
            class => format!("<span class=\"{class}\">{words}</span>"),
        };
    }

    fn end(&mut self) {
        self.breaks = 0;
        let line = std::mem::take(&mut self.line);
        if !line.trim().is_empty() {
            self.done += &format!("<p>{line}</p>\n");
        }
    }
}

/// Escapes text for XML and drops characters that XML does not allow.
pub fn escaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '"' => plain.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => plain.push('\u{fffd}'),
            c if c.is_control() && c != '\t' => plain.push('\u{fffd}'),
            c => plain.push(c),
        }
    }
    plain
}
