//! Formats a comparison as one HTML file.

use super::table::{outcome_text, parting_text, total_lines};
use super::{Compared, Comparison};
use crate::report::page::{difference, end, escaped, head, paragraph};

/// Returns an HTML page with the totals and a row for each case. A row shows the differences
/// between the two texts.
pub fn comparison_page(comparison: &Comparison, rows: &[Compared]) -> String {
    let mut html = head("Replay: A and B compared");
    html += &paragraph(&format!("A: {}", comparison.a));
    html += &paragraph(&format!("B: {}", comparison.b));
    for line in total_lines(comparison) {
        html += &paragraph(&line);
    }
    html += "<p class=\"quiet\">What only A wrote is <del>struck out</del>; what only B wrote is <ins>underlined</ins>.</p>\n<table>\n<tr><th>A</th><th>B</th><th>case</th></tr>\n";
    for row in rows {
        let text = match parting_text(row) {
            Some(said) => format!(
                "<details><summary>{}</summary>{}</details>",
                escaped(&said),
                difference(&row.a.story, &row.b.story)
            ),
            None => "<p class=\"quiet\">The texts are equal.</p>".to_string(),
        };
        html += &format!(
            "<tr><td>{}</td><td>{}</td><td>{}: <span dir=\"auto\">{}</span>{text}</td></tr>\n",
            outcome_text(&row.a),
            outcome_text(&row.b),
            escaped(&row.file),
            escaped(&row.case)
        );
    }
    html + "</table>\n" + end()
}
