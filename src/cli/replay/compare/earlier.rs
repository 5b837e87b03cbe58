//! The cases of an earlier run, read from its report as JSON Lines.

use super::super::super::Failed;
use super::super::plan::Filter;
use super::super::usage;
use base::untrusted::clean_line;
use replay::report::CaseReport;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The maximum length of a report's line in bytes.
const LONGEST: u64 = 64 << 20;

/// Fields that distinguish a line about a case from the report's last line, which is about the
/// whole run.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "case")]
    _case: String,
    #[serde(rename = "verdict")]
    _verdict: IgnoredAny,
}

/// Reads the cases whose names fit a filter, and passes each to `take`.
pub(super) fn read(
    path: &Path,
    filter: &Filter,
    take: &mut dyn FnMut(CaseReport) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let name = clean_line(&path.to_string_lossy());
    let failed = |error: &dyn std::fmt::Display| {
        let why = "give the JSON Lines of an earlier run, which --report FILE.jsonl writes";
        usage(format!("Cannot read {name} ({error}); {why}"))
    };
    let file = File::open(path).map_err(|error| failed(&error))?;
    let mut lines = BufReader::with_capacity(1 << 18, file);
    let (mut line, mut count, mut number) = (Vec::new(), 0_usize, 0_usize);
    loop {
        line.clear();
        number += 1;
        let read = (&mut lines).take(LONGEST).read_until(b'\n', &mut line);
        let read = read.map_err(|error| failed(&error))?;
        // The last line may be incomplete because the run was killed.
        if read == 0 || (!line.ends_with(b"\n") && read as u64 != LONGEST) {
            break;
        }
        if let Err(error) = serde_json::from_slice::<IgnoredAny>(&line) {
            return Err(failed(&format!("line {number} is not JSON: {error}")));
        }
        // The last line is about the whole run.
        if serde_json::from_slice::<Kind>(&line).is_err() {
            continue;
        }
        let case: CaseReport = serde_json::from_slice(&line)
            .map_err(|error| failed(&format!("line {number}: {error}")))?;
        if !filter.fits(&case.case) {
            continue;
        }
        if case.text().is_none() {
            return Err(usage(format!(
                "The report {name} does not contain the texts of all cases, because an earlier version of illumine wrote it; write it again"
            )));
        }
        count += 1;
        take(case)?;
    }
    match count {
        0 => Err(failed(&"it contains no such case")),
        _ => Ok(()),
    }
}
