//! Writes imported cases as a script.

use super::{CaseLines, Cases, Imported};
use crate::script::HEADER;
use base::untrusted::clean_line;
use serde_json::Value;

/// Writes the cases as a script. `source` is the name of the imported file.
pub(super) fn script(cases: &Cases, source: &str) -> Imported {
    let mut lines = vec![
        HEADER.to_string(),
        comment(&format!("Imported from {source}")),
    ];
    lines.extend(cases.head.iter().cloned());
    let omitted = cases.omitted.iter().map(|one| comment(&one.to_string()));
    lines.extend(omitted);
    for case in &cases.cases {
        lines.push(String::new());
        lines.extend(case_lines(case));
    }
    let expectations = cases.cases.iter().map(|case| case.expectations.len());
    Imported {
        script: lines.join("\n") + "\n",
        cases: cases.cases.len(),
        expectations: expectations.sum(),
        omitted: cases.omitted.clone(),
    }
}

fn case_lines(case: &CaseLines) -> Vec<String> {
    let mut lines = vec![format!("case {}", quoted(&clean_line(&case.name)))];
    lines.extend(case.settings.iter().cloned());
    lines.extend(typed(&case.prompt));
    let expectations = case.expectations.iter();
    lines.extend(expectations.map(|it| format!("expect {it}")));
    lines
}

/// Returns the text as a comment line of a script.
pub(super) fn comment(text: &str) -> String {
    format!("# {}", clean_line(text))
}

/// Returns the text in quotation marks, with double braces escaped.
pub(super) fn quoted(text: &str) -> String {
    Value::from(without_variables(text)).to_string()
}

/// Escapes double braces, so that they do not stand for a variable.
pub(super) fn without_variables(text: &str) -> String {
    text.replace("{{", "\\{{")
}

/// Returns the lines of a script that type exactly this text.
fn typed(text: &str) -> Vec<String> {
    let slash = if text.starts_with('/') { "/" } else { "" };
    let plain = |line: &str| !line.ends_with([' ', '\\']) && !line.contains(['\r', '\t']);
    if text.split('\n').all(plain) {
        let text = without_variables(text).replace('\n', "\\\n");
        return vec![format!("> {slash}{text}")];
    }
    // Spaces before a line break would be lost otherwise.
    vec![
        format!("let prompt = {}", quoted(text)),
        format!("> {slash}{{{{prompt}}}}"),
    ]
}
