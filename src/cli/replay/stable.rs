//! Removes this machine's folders from the paths in a stable report.

use replay::report::{CaseReport, Failure};
use std::path::Path;

/// Shortens the path of a script in a report, if the path is absolute. A path in the current folder
/// `here` becomes relative; any other path is reduced to its file name.
pub(super) fn shorten(report: &mut CaseReport, script: &Path, here: Option<&Path>) {
    if let Some(prefix) = prefix(script, here) {
        replace(report, &prefix, "");
    }
}

/// Shortens the path of a cassette in a report, in the same way as [`shorten`] shortens the path of
/// a script.
pub(super) fn shorten_cassette(report: &mut CaseReport, cassette: &Path, here: Option<&Path>) {
    if cassette.is_absolute() {
        let whole = cassette.to_string_lossy();
        replace(report, &whole, &shortened(cassette, here));
    }
}

/// Shortens a path in the same way as [`shorten`].
pub(super) fn shortened(path: &Path, here: Option<&Path>) -> String {
    let text = path.to_string_lossy();
    let prefix = prefix(path, here);
    let short = prefix.and_then(|prefix| text.strip_prefix(&prefix).map(str::to_string));
    short.unwrap_or_else(|| text.into_owned())
}

/// Returns the part to remove from the start of an absolute path; None if the path is relative.
fn prefix(path: &Path, here: Option<&Path>) -> Option<String> {
    if !path.is_absolute() {
        return None;
    }
    let here = here.filter(|here| path.starts_with(here));
    let folder = here.or(path.parent())?;
    Some(format!("{}/", folder.display()))
}

/// Replaces `from` with `to` in all texts of a report that may contain paths.
fn replace(report: &mut CaseReport, from: &str, to: &str) {
    let shorten = |text: &mut String| {
        if text.contains(from) {
            *text = text.replace(from, to);
        }
    };
    shorten(&mut report.file);
    shorten(&mut report.rerun);
    report.remarks.iter_mut().for_each(shorten);
    for checked in &mut report.expectations {
        shorten(&mut checked.at);
        shorten(&mut checked.source);
    }
    for failure in report.failures.iter_mut().chain(&mut report.error) {
        let Failure {
            at, source, why, ..
        } = failure;
        for text in [at, source, why] {
            shorten(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_paths_are_shortened() {
        let report = |path: &str| CaseReport {
            file: path.to_string(),
            rerun: format!("illumine replay {path} --filter a"),
            failures: vec![Failure {
                at: format!("{path}:3"),
                why: "The passage differs from /home/ada/tales/goldens/a/one.txt.".to_string(),
                actual: Some("/home/ada/tales/ is a path.".to_string()),
                ..Failure::default()
            }],
            ..CaseReport::default()
        };
        let path = "/home/ada/tales/a.illum";
        let shortened = |here: Option<&str>| {
            let mut found = report(path);
            shorten(&mut found, Path::new(path), here.map(Path::new));
            let failure = found.failures.remove(0);
            assert_eq!(failure.actual.unwrap(), "/home/ada/tales/ is a path.");
            (found.rerun, failure.at, failure.why)
        };
        let (rerun, at, why) = shortened(Some("/home/ada"));
        assert_eq!(rerun, "illumine replay tales/a.illum --filter a");
        assert_eq!(at, "tales/a.illum:3");
        assert_eq!(why, "The passage differs from tales/goldens/a/one.txt.");
        assert_eq!(shortened(Some("/srv")).1, "a.illum:3");
        assert_eq!(shortened(None).1, "a.illum:3");
        let mut relative = report("tales/a.illum");
        shorten(
            &mut relative,
            Path::new("tales/a.illum"),
            Some(Path::new("/home/ada/tales")),
        );
        assert_eq!(relative, report("tales/a.illum"));
        let short = |path: &str| super::shortened(Path::new(path), Some(Path::new("/srv")));
        assert_eq!(short("/srv/tapes/a.tape"), "tapes/a.tape");
        assert_eq!(short("/tmp/a.tape"), "a.tape");
        assert_eq!(short("../a.tape"), "../a.tape");
    }
}
