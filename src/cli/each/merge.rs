//! `illumine write --merge`: combines the result files of several parts into one.

use super::case_file::CaseFile;
use super::results::Known;
use crate::cli::{Exit, Failed, complain, note};
use base::untrusted::{clean_key, clean_line};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The maximum number of ids that a message lists.
const NAMED: usize = 5;

/// The best result found so far for one id.
struct Best {
    file: usize,
    offset: u64,
    len: usize,
    complete: bool,
    /// The line number of the case in the case file.
    line: u64,
    ended: String,
}

#[derive(Default)]
struct Found {
    rows: HashMap<String, Best>,
    /// The ids that have more than one complete row.
    twice: Vec<String>,
    /// The number of lines that are not results.
    unusable: usize,
}

/// Merges the result files `inputs` into `out`. Rows that `out` already contains are merged too, so
/// no result is lost.
pub fn run(out: &Path, inputs: &[PathBuf], cases: Option<&Path>) -> Result<Exit, Failed> {
    let mut paths: Vec<&Path> = Vec::new();
    if out.exists() {
        paths.push(out);
    }
    let others = inputs.iter().map(PathBuf::as_path);
    paths.extend(others.filter(|path| *path != out));
    let mut found = Found::default();
    let mut files = Vec::new();
    for path in &paths {
        let failed = |error| Failed::new(Exit::Usage, unreadable(path, &error));
        let file = File::open(path).map_err(failed)?;
        found.add(files.len(), &file).map_err(failed)?;
        files.push(file);
    }
    let (order, missing) = match cases {
        Some(cases) => of_cases(&found, cases)?,
        None => (of_lines(&found), Vec::new()),
    };
    write(out, &files, &order)?;
    report(&found, &order, &missing, cases.is_some());
    let failed = order.iter().filter(|best| !best.complete).count();
    Ok(match missing.is_empty() && failed == 0 {
        true => Exit::Well,
        false => Exit::Engine,
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    let shown = clean_line(&path.display().to_string());
    format!("Cannot read the results in {shown} ({error}); correct --merge")
}

impl Found {
    fn add(&mut self, number: usize, file: &File) -> std::io::Result<()> {
        let mut lines = BufReader::with_capacity(1 << 18, file);
        let (mut offset, mut line) = (0u64, Vec::new());
        loop {
            line.clear();
            let read = lines.read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(());
            }
            match Known::parse(&line) {
                Some(known) => {
                    let row = Best {
                        file: number,
                        offset,
                        len: line.trim_ascii_end().len(),
                        complete: known.is_complete(),
                        line: known.line,
                        ended: known.ended.clone(),
                    };
                    self.take(known.key(), row);
                }
                None if line.trim_ascii().is_empty() => {}
                None => self.unusable += 1,
            }
            offset += read as u64;
        }
    }

    /// Adds a row for an id. If there are several rows for the id, the newest complete row is kept,
    /// or the newest row if none is complete. Of rows with equal times, the row added last is kept.
    fn take(&mut self, key: String, row: Best) {
        let Some(best) = self.rows.get_mut(&key) else {
            self.rows.insert(key, row);
            return;
        };
        let twice = row.complete && best.complete;
        if (row.complete, &row.ended) >= (best.complete, &best.ended) {
            *best = row;
        }
        if twice {
            self.twice.push(key);
        }
    }
}

/// Returns the results in the order of the case file, and the ids of the cases without a result.
fn of_cases<'a>(found: &'a Found, cases: &Path) -> Result<(Vec<&'a Best>, Vec<String>), Failed> {
    let mut file = CaseFile::open(cases)?;
    file.rows.sort_by_key(|row| row.line);
    let (mut order, mut missing) = (Vec::new(), Vec::new());
    for place in &file.rows {
        let key = file.row(*place).key();
        match found.rows.get(&key) {
            Some(best) => order.push(best),
            None => missing.push(key),
        }
    }
    Ok((order, missing))
}

fn of_lines(found: &Found) -> Vec<&Best> {
    let mut order: Vec<&Best> = found.rows.values().collect();
    order.sort_by_key(|best| (best.line, best.file, best.offset));
    order
}

/// Writes the rows to a new file, which then replaces `out`.
fn write(out: &Path, files: &[File], order: &[&Best]) -> Result<(), Failed> {
    let shown = clean_line(&out.display().to_string());
    let failed = |error: std::io::Error| {
        let why = format!("Cannot write {shown} ({error}); give another file to --merge");
        Failed::new(Exit::Engine, why)
    };
    let mut name = out.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let beside = out.with_file_name(name);
    let mut new = BufWriter::with_capacity(1 << 18, File::create(&beside).map_err(failed)?);
    let mut row = Vec::new();
    for best in order {
        row.resize(best.len, 0);
        files[best.file]
            .read_exact_at(&mut row, best.offset)
            .map_err(failed)?;
        row.push(b'\n');
        new.write_all(&row).map_err(failed)?;
    }
    let new = new
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    new.sync_all().map_err(failed)?;
    std::fs::rename(&beside, out).map_err(failed)
}

fn report(found: &Found, order: &[&Best], missing: &[String], checked: bool) {
    let failed = order.iter().filter(|best| !best.complete).count();
    let written = order.len() - failed;
    note(&format!(
        "{written} cases written, {failed} failed, {} missing",
        match checked {
            true => missing.len().to_string(),
            false => "an unknown number".to_string(),
        }
    ));
    if !checked {
        note("Add --each CASES.jsonl to check for missing cases");
    }
    if !missing.is_empty() {
        complain(&format!(
            "No result for {}; run their part again",
            named(missing)
        ));
    }
    if failed > 0 {
        complain("To retry the failed cases, run their parts again");
    }
    if !found.twice.is_empty() {
        complain(&format!(
            "More than one result for {}; the newest is kept",
            named(&found.twice)
        ));
    }
    let extra = found.rows.len() - order.len();
    if extra > 0 {
        complain(&format!(
            "{extra} results match no case in the file and are left out"
        ));
    }
    if found.unusable > 0 {
        complain(&format!(
            "{} lines are not results and are left out",
            found.unusable
        ));
    }
}

fn named(ids: &[String]) -> String {
    let first: Vec<String> = ids.iter().take(NAMED).map(|id| clean_key(id)).collect();
    let more = match ids.len() > NAMED {
        true => format!(" and {} more", ids.len() - NAMED),
        false => String::new(),
    };
    first.join(", ") + &more
}
