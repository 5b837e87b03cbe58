//! Tests what the program does when a disk call fails, for each disk call in turn. A library
//! (support/faulty.c) that is loaded before the C library counts the calls that touch the sessions,
//! and makes one of these calls fail.

use crate::pictures;
use crate::support::talker::talker;
use crate::support::{Home, home::Output, home::plain};
use illumine::store::{Recovered, Sessions};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use story::{Author, Status};

/// The lines that the writer types. Together they produce every kind of record.
const LINES: &str = "\
The lamp burned.
/retry
And the sea?
/undo
/redo
/mark shore
/memory The keeper is old.
/set temperature 0.5
/edit 0 The lamp went out.
/delete .
/save
";

/// Compiles the library. A C compiler is always available, since dependencies of the project need
/// one.
fn library(folder: &Path) -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/faulty.c");
    let library = folder.join("faulty.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .args([source, "-ldl"])
        .output()
        .expect("a C compiler named cc");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    library
}

struct Faulty {
    home: Home,
    library: PathBuf,
    model: tempfile::NamedTempFile,
}

/// The result of running the program once.
struct Came {
    output: Output,
    calls: usize,
    found: Option<Recovered>,
}

impl Faulty {
    fn new() -> Faulty {
        Faulty::at(Home::new())
    }

    fn at(home: Home) -> Faulty {
        Faulty {
            library: library(home.path()),
            home,
            model: talker(512),
        }
    }

    /// Runs the program in the session `session`, with `lines` as input. Disk call number `at`
    /// fails in the way that `how` specifies.
    fn run(&self, session: &str, how: &str, at: usize, lines: &str) -> Came {
        let log = self.home.path().join(format!("{session}.log"));
        let model = self.model.path().to_str().unwrap();
        let args = ["repl", session, "--seed", "5", "-n", "6", "-m", model];
        let run = self.home.illumine(&args);
        let run = run
            .variable("LD_PRELOAD", self.library.to_str().unwrap())
            .variable("ILLUMINE_WEIGHTS", pictures::weights().to_str().unwrap())
            .variable("FAULTY_UNDER", self.home.sessions().to_str().unwrap())
            .variable("FAULTY_AT", &at.to_string())
            .variable("FAULTY_HOW", how)
            .variable("FAULTY_LOG", log.to_str().unwrap());
        let output = run.input(lines).run();
        let calls = fs::read(&log).map_or(0, |log| log.len());
        let there = self.home.journal(session).is_file();
        Came {
            output,
            calls,
            found: there.then(|| self.home.recovered(session)),
        }
    }

    /// Runs the program once for each of its disk calls, and makes that call fail.
    fn each(&self, how: &str) {
        let calm = self.run(&format!("{how}-calm"), how, 0, LINES);
        plain(&calm.output.stderr);
        assert_eq!(calm.output.code(), Some(0), "{}", calm.output.stderr);
        let whole = typed(calm.found.as_ref().unwrap());
        assert!(calm.calls > 40, "only {} calls were seen", calm.calls);
        let mut codes = HashSet::new();
        for at in 1.. {
            let session = format!("{how}-{at}");
            let came = self.run(&session, how, at, LINES);
            if came.calls < at {
                break;
            }
            self.held(&session, how, &came, &whole);
            codes.insert(came.output.code());
        }
        assert!(
            codes.contains(&Some(5)),
            "no fault was ever told: {codes:?}"
        );
    }

    fn held(&self, session: &str, how: &str, came: &Came, whole: &[String]) {
        let (output, at) = (&came.output, session);
        plain(&output.stderr);
        let code = output.code();
        assert!(
            matches!(code, Some(0 | 5)),
            "{at}: {code:?} {}",
            output.stderr
        );
        if code == Some(5) {
            assert!(!output.stderr.is_empty(), "{at}: nothing was said");
        }
        let Some(found) = &came.found else {
            assert!(
                code == Some(5) && output.text().is_empty(),
                "{at}: no session"
            );
            return;
        };
        assert_eq!(found.read_only_reason, None, "{at}");
        // If the session could not be created or opened, no line was accepted.
        let refused = output.stderr.starts_with("illumine: ");
        assert!(!refused || output.text().is_empty(), "{at}");
        printed(found, output.text(), at);
        let lines = typed(found);
        // If the program ended without an error, every word must be saved; after a temporary fault
        // always, because refused writes are repeated.
        if code == Some(0) || (how != "on" && !refused) {
            assert_eq!(lines, whole, "{at}: {}", output.stderr);
        }
        // The session opens and can be continued.
        let later = self.run(session, how, 0, "Then it was day.\n");
        assert_eq!(
            later.output.code(),
            Some(0),
            "{at}: {}",
            later.output.stderr
        );
        let now = typed(later.found.as_ref().unwrap());
        assert_eq!(now[..lines.len()], lines[..], "{at}");
        assert_eq!(now[lines.len()..], ["Then it was day."], "{at}");
    }
}

/// The texts that people wrote, in the order of writing.
fn typed(found: &Recovered) -> Vec<String> {
    let nodes = found.story.nodes().iter();
    let people = nodes.filter(|node| node.author == Author::User && node.copied_from.is_none());
    people.map(|node| node.text.trim().to_string()).collect()
}

/// Checks that the program printed every complete passage that is on disk.
fn printed(found: &Recovered, shown: &str, at: &str) {
    let squeeze = |text: &str| -> String { text.split_whitespace().collect() };
    let shown = squeeze(shown);
    let nodes = found.story.nodes().iter();
    let written = nodes.filter(|node| node.author == Author::Model);
    for node in written.filter(|node| node.status == Status::Length) {
        let text = squeeze(&node.text);
        assert!(shown.contains(&text), "{at}: {text:?} is not in {shown:?}");
    }
}

#[test]
fn a_call_that_fails_once_loses_nothing() {
    Faulty::new().each("once");
}

#[test]
fn a_disk_that_fills_up_at_any_moment_loses_nothing() {
    Faulty::new().each("on");
}

#[test]
fn a_write_that_is_torn_loses_nothing() {
    Faulty::new().each("torn");
}

/// The file of a picture is complete on disk before the journal mentions the picture, whichever
/// disk call fails.
#[test]
fn no_record_names_a_picture_that_is_not_there() {
    let faulty = Faulty::at(Home::with_encoder());
    let lines = "The fox ran.\n/image fox size=64\n/vary 0.5\nIt hid.\n";
    let mut drawn = HashSet::new();
    for how in ["once", "on", "torn"] {
        for at in 1.. {
            let session = format!("{how}-{at}");
            let came = faulty.run(&session, how, at, lines);
            if came.calls < at {
                break;
            }
            plain(&came.output.stderr);
            let Some(found) = &came.found else {
                continue;
            };
            assert_eq!(found.read_only_reason, None, "{session}");
            let sessions = Sessions::new(faulty.home.sessions());
            let faults = sessions.picture_faults(&session, &found.story).unwrap();
            assert_eq!(faults, [""; 0], "{session}: {}", came.output.stderr);
            let pictures = found.story.nodes().iter().filter(|it| it.picture.is_some());
            drawn.insert(pictures.count());
        }
    }
    assert!(drawn.contains(&2) && drawn.len() > 1, "{drawn:?}");
}
