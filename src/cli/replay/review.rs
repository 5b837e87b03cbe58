//! `--review`: shows each golden that differs or is missing, and asks whether to accept the new
//! text or picture.

use super::super::environment;
use super::super::{Exit, Failed, inline};
use super::plan::Plan;
use super::usage;
use base::untrusted::{clean, clean_line};
use illumine::editor::Editor;
use replay::expect::NewPicture;
use replay::golden::Goldens;
use replay::report::{CaseReport, Failure};
use std::io::{BufRead, IsTerminal, Write, stdin, stdout};
use std::path::PathBuf;
use story::diff::{DiffSpan, diff_words};
use story::sentence::count_noun;

/// A golden that must be reviewed, because it differs or is missing.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// The path of the script.
    script: PathBuf,
    /// The case, and the line of the expectation.
    title: String,
    /// Why the expectation failed, in one sentence.
    why: String,
    new: New,
}

/// The new text or picture that may replace a golden.
#[derive(Clone, Debug)]
enum New {
    Text {
        golden: String,
        expected: Option<String>,
        actual: String,
    },
    Picture(NewPicture),
}

/// The numbers of goldens that were accepted, edited, rejected and skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Decided {
    accepted: usize,
    edited: usize,
    rejected: usize,
    skipped: usize,
}

impl Pending {
    /// Writes the new text or picture as the golden.
    fn accept(&self) -> Result<(), String> {
        match &self.new {
            New::Text { golden, actual, .. } => {
                Goldens::of(&self.script, true).write(golden, actual)
            }
            New::Picture(picture) => picture.write(),
        }
    }
}

/// Returns an error if nobody can answer questions: in CI or without a terminal.
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
    let pending = report.failures.iter().filter_map(|failure| {
        Some(Pending {
            script: script.path.clone(),
            title: format!("{}  {}", clean_line(&case.name), failure.at),
            why: failure.why.clone(),
            new: new(failure)?,
        })
    });
    pending.collect()
}

/// Returns the text or picture that may replace a golden; None if the failure is not about a
/// golden.
fn new(failure: &Failure) -> Option<New> {
    if let Some(picture) = &failure.picture {
        return Some(New::Picture(picture.clone()));
    }
    Some(New::Text {
        golden: failure.golden.clone()?,
        expected: failure.expected.clone(),
        actual: failure.actual.clone()?,
    })
}

/// Reviews the goldens in the terminal. Returns how many failures were settled by accepting the new
/// text or picture.
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

/// Shows a golden and the text or picture that may replace it.
fn show(golden: &Pending, out: &mut dyn Write, colour: bool) -> std::io::Result<()> {
    match &golden.new {
        New::Text {
            expected, actual, ..
        } => show_texts(expected.as_deref(), actual, out, colour),
        New::Picture(picture) => show_pictures(picture, &golden.why, out),
    }
}

/// Shows the old picture on the left and the new picture on the right.
fn show_pictures(picture: &NewPicture, why: &str, out: &mut dyn Write) -> std::io::Result<()> {
    let file = clean_line(&picture.path.to_string_lossy());
    let old = std::fs::read(&picture.path).ok();
    let what = match &old {
        Some(_) => format!("Left: {file}. Right: the new picture."),
        None => "This is the new picture.".to_string(),
    };
    writeln!(out, "  {}", clean_line(why))?;
    if !inline::can() {
        let why = "The terminal shows no pictures here; --report FILE.html shows the new picture";
        return writeln!(out, "  {why}.\n");
    }
    writeln!(out, "  {what}\n")?;
    out.flush()?;
    let pictures = old.iter().map(Vec::as_slice).chain([&*picture.bytes]);
    inline::show(&pictures.collect::<Vec<_>>());
    writeln!(out)
}

/// Shows both texts merged into one, with the words that differ marked.
fn show_texts(
    expected: Option<&str>,
    actual: &str,
    out: &mut dyn Write,
    colour: bool,
) -> std::io::Result<()> {
    let actual = clean(actual);
    let text = match expected {
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
    let keys = match &golden.new {
        New::Text { .. } => "a accept, r reject, e edit, s skip, q quit: ",
        New::Picture(_) => "a accept, r reject, s skip, q quit: ",
    };
    loop {
        write!(out, "{keys}")?;
        out.flush()?;
        let mut answer = String::new();
        if answers.read_line(&mut answer)? == 0 {
            decided.skipped += 1;
            return Ok(false);
        }
        let written = match answer.trim().to_lowercase().as_str() {
            "a" | "accept" => golden.accept().map(|()| decided.accepted += 1),
            "e" | "edit" => edited(golden, editor, decided),
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

/// Lets the user edit the new text, and writes the result as the golden.
fn edited(pending: &Pending, editor: Option<&Editor>, decided: &mut Decided) -> Result<(), String> {
    let New::Text { golden, actual, .. } = &pending.new else {
        return Err("A picture cannot be edited; accept or reject it".to_string());
    };
    let editor = editor.ok_or("No editor is set; set VISUAL or EDITOR, for example EDITOR=nano")?;
    let text = editor.edit(actual);
    let text = text.map_err(|error| error.to_string())?;
    Goldens::of(&pending.script, true).write(golden, &text)?;
    match text == *actual {
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
                title: format!("case {name}"),
                why: "The passage differs.".to_string(),
                new: New::Text {
                    golden: name.to_string(),
                    expected: Some("The lamp went out.".to_string()),
                    actual: "The bell went \u{1b}[2Jout.".to_string(),
                },
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

    #[test]
    fn an_accepted_picture_takes_the_place_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("goldens/fox.png");
        let picture = |bytes: &[u8]| Pending {
            script: folder.path().join("night.illum"),
            title: "case fox".to_string(),
            why: "There is no goldens/fox.png yet.".to_string(),
            new: New::Picture(NewPicture {
                name: "goldens/fox.png".to_string(),
                path: file.clone(),
                bytes: bytes.into(),
            }),
        };
        let pending = [picture(b"one"), picture(b"two"), picture(b"three")];
        let mut out = Vec::new();
        let mut answers = "e\na\nr\ns\n".as_bytes();
        let decided = review(&pending, &mut answers, &mut out, None, false).unwrap();
        assert_eq!(
            (decided.accepted, decided.rejected, decided.skipped),
            (1, 1, 1)
        );
        assert_eq!(fs::read(&file).unwrap(), b"one");
        let out = String::from_utf8(out).unwrap();
        assert!(
            out.contains("A picture cannot be edited; accept or reject it"),
            "{out}"
        );
        assert!(out.contains("There is no goldens/fox.png yet."), "{out}");
    }
}
