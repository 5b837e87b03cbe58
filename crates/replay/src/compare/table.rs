//! Formats a comparison as plain text.

use super::{Compared, Comparison, Outcome, Share};
use base::untrusted::clean_line;
use story::sentence::count_noun;

/// Returns the names of the runs, a row for each case, and then the totals.
pub fn comparison_text(comparison: &Comparison, rows: &[Compared]) -> String {
    let mut text = format!(
        "A: {}\nB: {}\n\n",
        clean_line(&comparison.a),
        clean_line(&comparison.b)
    );
    let cells: Vec<[String; 2]> = rows
        .iter()
        .map(|row| [&row.a, &row.b].map(outcome_text))
        .collect();
    let width = |at: usize| cells.iter().map(|cells| cells[at].len()).max();
    let [wide_a, wide_b] = [0, 1].map(|at| width(at).unwrap_or_default().max(1));
    text += &format!("{:<wide_a$}  {:<wide_b$}  case\n", "A", "B");
    for (row, [a, b]) in rows.iter().zip(&cells) {
        text += &format!(
            "{a:<wide_a$}  {b:<wide_b$}  {}: {}\n",
            clean_line(&row.file),
            clean_line(&row.case)
        );
        if let Some(said) = parting_text(row) {
            text += &format!("{:1$}{said}\n", "", wide_a + wide_b + 6);
        }
    }
    text += "\n";
    for line in total_lines(comparison) {
        text += &format!("{line}\n");
    }
    text
}

/// Returns how many expectations passed, for example "3/4", or "error" if a line could not be run.
pub(super) fn outcome_text(outcome: &Outcome) -> String {
    match outcome.error {
        true => "error".to_string(),
        false => format!("{}/{}", outcome.passed, outcome.checked),
    }
}

/// Describes how the two texts of a case differ; None if they are equal.
pub(super) fn parting_text(row: &Compared) -> Option<String> {
    let parting = row.parting.as_ref()?;
    Some(format!(
        "{:.0} % of the words, from word {}: {} / {}",
        parting.share * 100.0,
        parting.word,
        quoted(&parting.a),
        quoted(&parting.b)
    ))
}

fn quoted(words: &str) -> String {
    match words.is_empty() {
        true => "nothing".to_string(),
        false => format!("\"{}\"", clean_line(words)),
    }
}

/// Returns the totals as a list of sentences.
pub(super) fn total_lines(comparison: &Comparison) -> Vec<String> {
    let mut lines = vec![format!(
        "Texts that differ: {} of {}.",
        comparison.different, comparison.cases
    )];
    for (name, cases) in [("A", &comparison.only_a), ("B", &comparison.only_b)] {
        if let [first, ..] = cases.as_slice() {
            let more = if cases.len() > 1 {
                ", for example"
            } else {
                ":"
            };
            lines.push(format!(
                "Only {name} has {}{more} {}.",
                count_noun(cases.len(), "case"),
                clean_line(first)
            ));
        }
    }
    for (name, share) in [("A", comparison.passed_a), ("B", comparison.passed_b)] {
        lines.push(match share.of {
            0 => format!("{name} had no expectations to pass."),
            of => format!(
                "{name} passed {} of {of} expectations: {}.",
                share.count,
                percent(share)
            ),
        });
    }
    if comparison.wins_a.of == 0 {
        lines.push("Neither is better in any case.".to_string());
    } else {
        for (name, share) in [("A", comparison.wins_a), ("B", comparison.wins_b)] {
            lines.push(format!(
                "{name} is better in {} of {}: {}.",
                share.count,
                count_noun(share.of as usize, "decided case"),
                percent(share)
            ));
        }
    }
    if !comparison.models.is_empty() {
        let models: Vec<String> = comparison.models.iter().map(|it| clean_line(it)).collect();
        lines.push(format!("Models: {}.", models.join("; ")));
    }
    if !comparison.reproducible {
        lines.push("The models may write other texts next time.".to_string());
    }
    lines
}

/// Formats a share and its confidence interval as percentages.
pub(crate) fn percent(share: Share) -> String {
    format!(
        "{:.0} %, 95 % interval {:.0} to {:.0} %",
        f64::from(share.count) / f64::from(share.of) * 100.0,
        share.low * 100.0,
        share.high * 100.0
    )
}
