//! The formats of reports, and how `--report` names them.

use super::super::super::Failed;
use super::super::super::args::Replay as Args;
use super::super::usage;
use base::untrusted::clean_line;
use std::path::{Path, PathBuf};

/// The format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli::replay) enum Format {
    Junit,
    Tap,
    JsonLines,
    Html,
    /// A log file for the Inspect evaluation framework.
    Inspect,
    /// Samples as lm-evaluation-harness writes them.
    Samples,
}

/// The names of the formats, for `--report FORMAT:FILE`.
const NAMES: [(&str, Format); 6] = [
    ("junit", Format::Junit),
    ("tap", Format::Tap),
    ("json", Format::JsonLines),
    ("html", Format::Html),
    ("inspect", Format::Inspect),
    ("samples", Format::Samples),
];

impl Format {
    /// Returns the format and the file of a `--report` option. The format is named before a colon
    /// (`junit:FILE`), or follows from the file's name.
    fn of(option: &Path) -> Result<(Format, PathBuf), Failed> {
        let text = option.to_string_lossy();
        let named = text.split_once(':').and_then(|(name, file)| {
            let (_, format) = NAMES.iter().find(|(known, _)| *known == name)?;
            Some((*format, PathBuf::from(file)))
        });
        if let Some(named) = named.filter(|(_, file)| !file.as_os_str().is_empty()) {
            return Ok(named);
        }
        let name = option.file_name().unwrap_or_default().to_string_lossy();
        let ending = option.extension().unwrap_or_default().to_string_lossy();
        let format = match ending.to_lowercase().as_str() {
            "xml" => Format::Junit,
            "tap" => Format::Tap,
            "jsonl" if name.starts_with("samples_") => Format::Samples,
            "jsonl" | "ndjson" => Format::JsonLines,
            "html" | "htm" => Format::Html,
            "eval" => Format::Inspect,
            _ => {
                return Err(usage(format!(
                    "The name of the report {} does not say its format; end it with .xml (JUnit), .tap, .jsonl, .html or .eval (Inspect), or write the format before it, for example junit:FILE",
                    clean_line(&text)
                )));
            }
        };
        Ok((format, option.to_path_buf()))
    }
}

/// The files of a run's reports, each with its format.
pub(in crate::cli::replay) fn wanted(args: &Args) -> Result<Vec<(Format, PathBuf)>, Failed> {
    let named = args.report.iter().map(|option| Format::of(option));
    let junit = args
        .junit
        .iter()
        .map(|path| Ok((Format::Junit, path.clone())));
    named.chain(junit).collect()
}

/// Whether any of the requested reports contains the texts of all cases.
pub(in crate::cli::replay) fn has_texts(args: &Args) -> bool {
    let formats = args
        .report
        .iter()
        .filter_map(|option| Format::of(option).ok());
    let mut formats = formats.map(|(format, _)| format);
    formats.any(|format| matches!(format, Format::Inspect | Format::Samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_or_a_word_before_it_says_the_format() {
        let format = |name: &str| Format::of(Path::new(name)).ok();
        let named = |name: &str| format(name).map(|(format, _)| format);
        assert_eq!(named("out/a.XML"), Some(Format::Junit));
        assert_eq!(named("a.tap"), Some(Format::Tap));
        assert_eq!(named("a.html"), Some(Format::Html));
        assert_eq!(named("a.jsonl"), Some(Format::JsonLines));
        assert_eq!(named("out/samples_a.jsonl"), Some(Format::Samples));
        assert_eq!(named("a.eval"), Some(Format::Inspect));
        assert_eq!(named("a.json"), None);
        let forced = |format, file: &str| Some((format, PathBuf::from(file)));
        assert_eq!(format("json:a.json"), forced(Format::JsonLines, "a.json"));
        assert_eq!(format("samples:b.xml"), forced(Format::Samples, "b.xml"));
        assert_eq!(format("other:b.xml"), forced(Format::Junit, "other:b.xml"));
        assert_eq!(format("tap:"), None);
    }
}
