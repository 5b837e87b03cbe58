//! The parts that all HTML pages are made from: the head, and texts converted to HTML.

use base::untrusted::clean;
use story::diff::{DiffSpan, diff_words};

const STYLE: &str = include_str!("page.css");
/// The content security policy of a page: pictures come from the page itself, and nothing else is
/// loaded or run.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

/// Returns the beginning of a page, up to and including its heading.
pub(crate) fn head(title: &str) -> String {
    let title = escaped(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    )
}

/// Returns the end of a page.
pub(crate) fn end() -> &'static str {
    "</body>\n</html>\n"
}

/// Returns a line of text as a paragraph in HTML.
pub(crate) fn paragraph(line: &str) -> String {
    format!("<p>{}</p>\n", escaped(line))
}

/// Merges two texts into one and marks the words that differ, in HTML.
pub(crate) fn difference(expected: &str, actual: &str) -> String {
    let spans = diff_words(&clean(expected), &clean(actual));
    let marked = |span: &DiffSpan| match span {
        DiffSpan::Both(text) => escaped(text),
        DiffSpan::Left(text) => format!("<del>{}</del>", escaped(text)),
        DiffSpan::Right(text) => format!("<ins>{}</ins>", escaped(text)),
    };
    let marked: String = spans.iter().map(marked).collect();
    format!("<pre class=\"text\" dir=\"auto\">{marked}</pre>\n")
}

/// Returns a passage or a story as HTML that preserves the line breaks.
pub(crate) fn text(text: &str) -> String {
    format!("<pre class=\"text\" dir=\"auto\">{}</pre>\n", escaped(text))
}

/// Escapes a text so that it can be used in HTML elements and attributes.
pub(crate) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => html += "&amp;",
            '<' => html += "&lt;",
            '>' => html += "&gt;",
            '"' => html += "&quot;",
            '\'' => html += "&#39;",
            other => html.push(other),
        }
    }
    html
}
