//! Implements `--review`, which shows each golden that differs and asks whether to replace it with
//! the new text.

use super::super::environment;
use super::super::{Exit, Failed};
use super::plan::Plan;
use super::usage;
use base::untrusted::{clean, clean_line};
use illumine::editor::Editor;
use replay::golden::Goldens;
use replay::report::CaseReport;
use std::io::{BufRead, IsTerminal, Write, stdin, stdout};
use std::path::PathBuf;
use story::diff::{DiffSpan, diff_words};
use story::sentence::count_noun;

/// A golden that must be reviewed, because it differs or is missing.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// The path of the script.
    script: PathBuf,
    golden: String,
    /// The name of the case, and the place of the expectation in the script.
    title: String,
    expected: Option<String>,
    actual: String,
}

/// The numbers of goldens that were accepted, edited, rejected and skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Decided {
    accepted: usize,
    edited: usize,
    rejected: usize,
    skipped: usize,
}

/// Returns an error if nobody can answer the questions of a review.
pub(super) fn check() -> Result<(), Failed> {
    if environment::variable("CI").is_some() {
        let why = "Goldens are not reviewed where the variable CI is set; review them on your own machine and commit them";
        return Err(usage(why));
    }
    if !stdin().is_terminal() || !stdout().is_terminal() {
        let why = "--review asks questions, so it needs a terminal; --update-golden writes all goldens without asking";
        return Err(usage(why));
    }
    Ok(())
}

/// Returns the goldens of a case that differ or are missing.
pub(super) fn pending(plan: &Plan, index: usize, report: &CaseReport) -> Vec<Pending> {
    let (script, case) = plan.cases[index];
    let failures = report.failures.iter();
    let golden = failures.filter_map(|failure| Some((failure, failure.golden.clone()?)));
    let pending = golden.filter_map(|(failure, golden)| {
        Some(Pending {
            script: script.path.clone(),
            golden,
            title: format!("{}  {}", clean_line(&case.name), failure.at),
            expected: failure.expected.clone(),
            actual: failure.actual.clone()?,
        })
    });
    pending.collect()
}

/// Reviews the goldens in the terminal. Returns how many goldens were accepted.
pub(super) fn run(pending: &[Pending]) -> Result<usize, Failed> {
    let editor = environment::editor();
    let (mut answers, mut out) = (stdin().lock(), stdout());
    let colour = environment::colour();
    let decided = review(pending, &mut answers, &mut out, editor.as_ref(), colour);
    let decided = decided.map_err(|error| Failed::new(Exit::Engine, error))?;
    // A golden that was edited still differs from the passage.
    Ok(decided.accepted)
}

fn review(
    pending: &[Pending],
    answers: &mut dyn BufRead,
    out: &mut dyn Write,
    editor: Option<&Editor>,
    colour: bool,
) -> std::io::Result<Decided> {
    let mut decided = Decided::default();
    for (at, golden) in pending.iter().enumerate() {
        writeln!(
            out,
            "\nGolden {} of {}: {}\n",
            at + 1,
            pending.len(),
            golden.title
        )?;
        show(golden, out, colour)?;
        if !ask(golden, answers, out, editor, &mut decided)? {
            decided.skipped += pending.len() - at - 1;
            break;
        }
    }
    let Decided {
        accepted,
        edited,
        rejected,
        skipped,
    } = decided;
    writeln!(
        out,
        "\n{}: {accepted} accepted, {edited} edited, {rejected} rejected, {skipped} skipped.",
        count_noun(pending.len(), "golden")
    )?;
    Ok(decided)
}

/// Shows the golden and the new text merged into one text, with the words that differ marked.
fn show(golden: &Pending, out: &mut dyn Write, colour: bool) -> std::io::Result<()> {
    let actual = clean(&golden.actual);
    let text = match &golden.expected {
        Some(expected) => marked(&diff_words(&clean(expected), &actual), colour),
        None => format!("There is no golden yet; this is the new text:\n{actual}"),
    };
    for line in text.split('\n') {
        writeln!(out, "  | {line}")?;
    }
    writeln!(out)
}

fn marked(spans: &[DiffSpan], colour: bool) -> String {
    if !colour {
        return story::diff::format_marked(spans);
    }
    // Each line is coloured by itself, because a bar stands before it.
    let paint = |text: &str, code: &str| {
        let lines = text.split('\n');
        let lines = lines.map(|line| format!("\u{1b}[{code}m{line}\u{1b}[0m"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let mark = |span: &DiffSpan| match span {
        DiffSpan::Both(text) => text.clone(),
        DiffSpan::Left(text) => paint(text, "31;9"),
        DiffSpan::Right(text) => paint(text, "32;4"),
    };
    spans.iter().map(mark).collect()
}

/// Asks about one golden until the answer is valid. Returns false if the review is to end.
fn ask(
    golden: &Pending,
    answers: &mut dyn BufRead,
    out: &mut dyn Write,
    editor: Option<&Editor>,
    decided: &mut Decided,
) -> std::io::Result<bool> {
    let goldens = Goldens::of(&golden.script, true);
    loop {
        write!(out, "a accept, r reject, e edit, s skip, q quit: ")?;
        out.flush()?;
        let mut answer = String::new();
        if answers.read_line(&mut answer)? == 0 {
            decided.skipped += 1;
            return Ok(false);
        }
        let written = match answer.trim().to_lowercase().as_str() {
            "a" | "accept" => {
                let written = goldens.write(&golden.golden, &golden.actual);
                written.map(|()| decided.accepted += 1)
            }
            "e" | "edit" => edited(golden, &goldens, editor, decided),
            "r" | "reject" => {
                decided.rejected += 1;
                return Ok(true);
            }
            "s" | "skip" => {
                decided.skipped += 1;
                return Ok(true);
            }
            "q" | "quit" => {
                decided.skipped += 1;
                return Ok(false);
            }
            _ => continue,
        };
        match written {
            Ok(()) => return Ok(true),
            Err(why) => writeln!(out, "{}", clean_line(&why))?,
        }
    }
}

/// Lets the user edit the new text, and saves the edited text as the golden.
fn edited(
    golden: &Pending,
    goldens: &Goldens,
    editor: Option<&Editor>,
    decided: &mut Decided,
) -> Result<(), String> {
    let editor = editor.ok_or("No editor is set; set VISUAL or EDITOR, for example EDITOR=nano")?;
    let text = editor.edit(&golden.actual);
    let text = text.map_err(|error| error.to_string())?;
    goldens.write(&golden.golden, &text)?;
    match text == golden.actual {
        true => decided.accepted += 1,
        false => decided.edited += 1,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_answer_writes_the_golden_or_leaves_it() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("night.illum");
        let goldens = Goldens::of(&script, false);
        let names = ["one", "two", "three", "four", "five"];
        let pending = names.map(|name| {
            goldens.write(name, "The lamp went out.").unwrap();
            Pending {
                script: script.clone(),
                golden: name.to_string(),
                title: format!("case {name}"),
                expected: Some("The lamp went out.".to_string()),
                actual: "The bell went \u{1b}[2Jout.".to_string(),
            }
        });
        let editor = Editor {
            command: "sed -i s/bell/gull/".to_string(),
            folder: folder.path().to_path_buf(),
        };
        let mut out = Vec::new();
        let mut answers = "what?\na\nr\nE\nq\n".as_bytes();
        let decided = review(&pending, &mut answers, &mut out, Some(&editor), false).unwrap();
        let expected = Decided {
            accepted: 1,
            edited: 1,
            rejected: 1,
            skipped: 2,
        };
        assert_eq!(decided, expected);
        let golden = |name: &str| fs::read_to_string(goldens.path(name)).unwrap();
        assert_eq!(golden("one"), "The bell went \u{1b}[2Jout.\n");
        assert_eq!(golden("two"), "The lamp went out.\n");
        assert_eq!(golden("three"), "The gull went \u{1b}[2Jout.\n");
        assert_eq!(golden("four"), "The lamp went out.\n");
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("  | The [-lamp-]{+bell+} went"), "{out}");
        assert!(out.contains("5 goldens: 1 accepted, 1 edited, 1 rejected, 2 skipped."));
        assert!(!out.contains('\u{1b}'), "{out:?}");
        let mut closed = "".as_bytes();
        let ended = review(&pending[..2], &mut closed, &mut Vec::new(), None, true).unwrap();
        assert_eq!(ended.skipped, 2);
    }
}
