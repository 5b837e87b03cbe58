//! Tests the studio without a model or a screen, with commands and made-up engine answers.

use super::*;
use crate::engine::scripted::{Script, ScriptedPassage};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use story::command;
use story::message::{Alternative, FailureKind, Reply, Truncation, WarmCache};
use story::{Event, Status};

/// A studio with a scripted engine, and a temporary folder for its sessions.
struct Desk {
    studio: Studio,
    replies: Receiver<Reply>,
    folder: tempfile::TempDir,
}

impl Desk {
    fn new(script: Script) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let (sender, replies) = channel();
        let setup = Setup {
            sessions: Sessions::new(folder.path()),
            defaults: Settings::default(),
            asked: SettingOverrides::default(),
            build: "test".to_string(),
            entropy: 1,
            now: || "2026-01-01T00:00:00Z".to_string(),
            backups: 0,
            private: false,
            prompts: Prompts::default(),
            home: None,
            servers: None,
            styles: Vec::new(),
            models: Vec::new(),
        };
        let mut desk = Desk {
            studio: Studio::new(Engine::start(script, sender), setup),
            replies,
            folder,
        };
        // Two sessions to switch between; the first is open.
        desk.does("/new b");
        desk.does("/new a");
        desk.studio.load_model();
        desk
    }

    fn does(&mut self, line: &str) -> Outcome {
        let command = command::parse(line).unwrap();
        self.studio.run(command).unwrap()
    }

    fn next(&self) -> Reply {
        self.replies.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    /// Handles the engine's events until the studio is no longer busy.
    fn settles(&mut self) -> Vec<Notice> {
        let mut notices = Vec::new();
        while self.studio.busy() {
            let reply = self.next();
            notices.extend(self.studio.absorb(reply));
            let flushed = self.studio.flush().err();
            notices.extend(flushed.map(|why| Notice::Error(why.to_string(), FailureKind::Store)));
        }
        notices
    }

    /// Handles the engine's events until the request `last` has ended.
    fn hears(&mut self, last: RequestId) -> Vec<Notice> {
        let mut notices = Vec::new();
        loop {
            let reply = self.next();
            let request = reply.request;
            let ends = matches!(reply.event, Event::Done { .. } | Event::Failed { .. });
            notices.extend(self.studio.absorb(reply));
            if ends && request == last {
                return notices;
            }
        }
    }

    fn text(&self) -> String {
        let path = self.studio.story().path();
        path.iter().map(|passage| passage.text).collect()
    }
}

fn errors(notices: &[Notice]) -> Vec<&str> {
    let errors = notices.iter().filter_map(|notice| match notice {
        Notice::Error(why, _) => Some(why.as_str()),
        _ => None,
    });
    errors.collect()
}

fn told(outcome: Outcome) -> String {
    match outcome {
        Outcome::Said(text) => text,
        other => panic!("{other:?}"),
    }
}

/// All notices except those about progress and answered requests.
fn news(notices: Vec<Notice>) -> Vec<Notice> {
    let silent = |notice: &Notice| matches!(notice, Notice::Progress | Notice::Answered(_));
    let news = notices.into_iter().filter(|notice| !silent(notice));
    news.collect()
}

#[test]
fn a_line_is_written_on_from() {
    let mut desk = Desk::new(Script::default().writing(&[" went", " out."]));
    desk.does("The lamp");
    let notices = desk.settles();
    assert_eq!(desk.text(), "The lamp went out.");
    let ended = |notice: &Notice| matches!(notice, Notice::Ended(_, Status::Complete));
    assert!(notices.iter().any(ended), "{notices:?}");
    assert_eq!(errors(&notices), [""; 0]);
}

#[test]
fn lore_that_another_session_left_out_is_not_told_of_this_one() {
    let lore = vec!["Harbour".to_string()];
    let left_out = Event::Prefill {
        node: 0,
        done: 0,
        total: 9,
        reused: 0,
        cut: Truncation {
            lore,
            ..Truncation::default()
        },
    };
    let mut script = Script::default();
    script.passages.push_back(ScriptedPassage {
        events: vec![left_out],
        ..ScriptedPassage::of(&[])
    });
    let mut desk = Desk::new(script);
    desk.does("The harbour");
    desk.settles();
    assert!(told(desk.does("/lore why")).contains("Harbour"));
    desk.does("/open b");
    let said = told(desk.does("/lore why"));
    assert!(!said.contains("Harbour"), "{said}");
}

#[test]
fn what_was_read_of_one_session_is_not_kept_in_another() {
    let warm = WarmCache {
        model_sha256: "tiny".to_string(),
        ids: vec![1, 2],
        bytes: vec![3, 4],
    };
    let mut desk = Desk::new(Script {
        warm: Some(warm),
        ..Script::default()
    });
    // The model is still being loaded.
    desk.does("/save --warm");
    let request = desk.studio.newest_request().unwrap();
    desk.does("/open b");
    assert_eq!(news(desk.hears(request)), []);
    let mut files = Vec::new();
    for session in ["a", "b"] {
        let entries = std::fs::read_dir(desk.folder.path().join(session)).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().file_name()));
    }
    assert_eq!(files, ["journal.jsonl", "journal.jsonl"]);
    // A request from this session saves the cache.
    desk.does("/save --warm");
    assert_eq!(news(desk.settles()).len(), 1);
    let kept = std::fs::read_dir(desk.folder.path().join("b")).unwrap();
    assert_eq!(kept.count(), 2);
}

#[test]
fn words_for_a_place_of_one_session_are_not_offered_in_another() {
    let found = Alternative {
        id: 7,
        text: " went".to_string(),
        before: 0.5,
        after: 0.5,
    };
    let mut desk = Desk::new(Script {
        alternatives: vec![found],
        ..Script::default()
    });
    desk.does("The lamp");
    desk.settles();
    desk.studio.load_model();
    desk.does("/alts");
    let request = desk.studio.newest_request().unwrap();
    desk.does("/open b");
    assert_eq!(news(desk.hears(request)), []);
    assert!(desk.studio.listed().is_empty());
    desk.does("/open a");
    desk.does("/alts");
    assert!(matches!(news(desk.settles())[..], [Notice::List(..)]));
}

#[test]
fn a_model_that_one_session_asked_for_is_not_another_s() {
    let mut desk = Desk::new(Script::default());
    desk.settles();
    desk.does("/model larger");
    desk.does("/open b");
    desk.settles();
    assert_eq!(desk.studio.settings().model, "");
    let about = desk.studio.about().map(|about| about.name.as_str());
    assert_eq!(about, Some("scripted"), "its own model is in place again");
    // A new story keeps the settings, and so the model that is being loaded.
    desk.does("/model larger");
    desk.does("/new c");
    desk.settles();
    assert_eq!(desk.studio.settings().model, "larger");
}

#[test]
fn an_error_of_the_disk_is_told_beside_the_engine_s() {
    let mut desk = Desk::new(Script::default());
    desk.does("The lamp");
    desk.settles();
    desk.does("/gen n=2");
    let request = desk.studio.newest_request().unwrap();
    // Text that does not fit into the story cannot be recorded.
    let piece = Event::Piece {
        node: 999,
        text: " went".to_string(),
        ids: vec![7],
        healed: 0,
    };
    desk.studio.absorb(Reply {
        request,
        event: piece,
    });
    let failed = Event::Failed {
        node: desk.studio.candidates().last().copied(),
        why: "The model failed".to_string(),
        fault: FailureKind::Engine,
    };
    let notices = desk.studio.absorb(Reply {
        request,
        event: failed,
    });
    let errors = errors(&notices);
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].contains("999"), "{errors:?}");
    assert_eq!(errors[1], "The model failed");
    assert!(!desk.studio.busy() && !desk.studio.writing());
}

#[test]
fn a_folder_that_went_is_said_and_the_story_written_again() {
    let mut desk = Desk::new(Script::default().writing(&[" went", " out."]));
    desk.does("The lamp");
    desk.settles();
    std::fs::remove_dir_all(desk.folder.path().join("a")).unwrap();
    desk.does("Nobody came");
    desk.settles();
    let said = desk.studio.remarks();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("was removed"), "{said:?}");
    let path = desk.folder.path().join("a").join("journal.jsonl");
    let saved = format!("Saved as a in {}", path.display());
    assert_eq!(told(desk.does("/save")), saved);
    let found = desk.studio.sessions().read("a").unwrap();
    let on_disk: String = found.story.path().iter().map(|it| it.text).collect();
    assert_eq!(on_disk, desk.text());
}

#[test]
fn saved_is_only_said_where_the_story_is() {
    let mut desk = Desk::new(Script::default());
    desk.does("/memory The keeper is old.");
    let path = desk.folder.path().join("a/journal.jsonl");
    std::fs::write(&path, "").unwrap();
    let said = told(desk.does("/save"));
    assert!(said.starts_with("Saved as a-2 in "), "{said}");
    assert!(desk.studio.remarks()[0].contains("cut to 0 bytes"));
    assert!(told(desk.does("/sessions")).contains("* a-2"));
    // Quitting is the last chance to notice it.
    std::fs::remove_dir_all(desk.folder.path()).unwrap();
    desk.studio.finish().unwrap();
    assert!(desk.studio.remarks()[0].contains("was removed"));
    assert!(desk.studio.sessions().exists("a-2"));
}

#[test]
fn a_day_s_first_opening_or_writing_is_backed_up() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static DAY: AtomicU32 = AtomicU32::new(1);
    let mut desk = Desk::new(Script::default());
    desk.studio.setup.backups = 2;
    desk.studio.setup.now = || format!("2026-02-0{}T00:00:00Z", DAY.load(Ordering::Relaxed));
    desk.does("/new c");
    desk.does("/memory one");
    let dates = |desk: &Desk| -> Vec<String> {
        let backups = desk.studio.sessions().backups("c").unwrap();
        backups.into_iter().map(|backup| backup.date).collect()
    };
    assert!(dates(&desk).is_empty(), "nothing was there to lose");
    for (day, line) in [
        (2, "/memory two"),
        (3, "/memory three"),
        (4, "/memory four"),
    ] {
        DAY.store(day, Ordering::Relaxed);
        desk.does(line);
        desk.does("/note again");
    }
    assert_eq!(dates(&desk), ["2026-02-03", "2026-02-04"]);
    DAY.store(5, Ordering::Relaxed);
    desk.does("/open a");
    desk.does("/open c");
    assert_eq!(dates(&desk), ["2026-02-04", "2026-02-05"]);
    assert!(desk.studio.remarks().is_empty());
}

#[test]
fn an_export_to_a_dash_is_for_standard_output() {
    let mut desk = Desk::new(Script::default());
    desk.does("/voice none");
    let import = desk.folder.path().join("tale.txt");
    std::fs::write(&import, "Once, a lamp.").unwrap();
    desk.does(&format!("/import {}", import.display()));
    let outcome = desk.does("/export txt -");
    let Outcome::Bytes(bytes) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(String::from_utf8(bytes).unwrap().trim(), "Once, a lamp.");
    assert!(matches!(desk.does("/export -"), Outcome::Bytes(_)));
    let Outcome::Bytes(page) = desk.does("/export html lang=he -") else {
        panic!("no bytes");
    };
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("lang=\"he\""), "{page}");
    let unknown = command::parse("/export html lang=klingonese -").unwrap();
    let refused = desk.studio.run(unknown).unwrap_err().to_string();
    assert!(refused.contains("not a language tag"), "{refused}");
}

#[test]
fn thoughts_are_kept_with_the_passage_and_out_of_the_story() {
    let thought = |text: &str| Event::Thought {
        node: 0,
        text: text.to_string(),
    };
    let mut passage = ScriptedPassage::of(&[" went", " out."]);
    passage.events.splice(
        0..0,
        [thought("Dark or\u{1b}[2J bri"), thought("ght?\nDark.")],
    );
    let mut script = Script::default().writing(&[" again."]);
    script.passages.push_front(passage);
    let mut desk = Desk::new(script);
    desk.does("The lamp");
    let notices = desk.settles();
    assert_eq!(desk.text(), "The lamp went out.");
    let told = |notice: &&Notice| matches!(notice, Notice::Thought(_));
    assert_eq!(notices.iter().filter(told).count(), 1);
    let why = |desk: &mut Desk, place: &str| match desk.does(place) {
        Outcome::Said(text) => text,
        other => panic!("{other:?}"),
    };
    let shown = why(&mut desk, "/why");
    let says = "  thought for 4 words:\n    Dark or␛[2J bright?\n    Dark.\n";
    assert!(shown.contains(says), "{shown}");
    // The thought is in no prompt, and it survives reopening the session.
    let place = story::Place::after(desk.studio.story().head());
    let asked = desk.studio.question(place, request::healing(), 1);
    assert!(!asked.context.text().contains("Dark"));
    desk.does("It lit");
    desk.settles();
    assert!(!why(&mut desk, "/why").contains("thought"));
    desk.does("/open b");
    desk.does("/open a");
    assert_eq!(desk.text(), "The lamp went out. It lit again.");
    assert!(why(&mut desk, "/why #1").contains(says));
    // A part copied by an edit shows the thought too.
    desk.does("/edit 1  went on.");
    assert_eq!(desk.text(), "The lamp went on. It lit again.");
    assert!(why(&mut desk, "/why").contains("copied from"));
}

#[test]
fn a_passage_of_a_shared_request_keeps_the_seed_that_was_sent() {
    let mut script = Script::default();
    let mut passage = ScriptedPassage::of(&[" burned."]);
    if let Ok((_, stats)) = &mut passage.end {
        stats.shared = Some(story::SharedRequest {
            seed: 41,
            number: 2,
            of: 3,
        });
    }
    script.passages.push_back(passage);
    let mut desk = Desk::new(script.writing(&[" Alone."]));
    desk.does("The lamp");
    desk.settles();
    desk.does("/open b");
    desk.does("/open a");
    let said = told(desk.does("/why"));
    assert!(
        said.contains("text 2 of 3 from one request with seed 41"),
        "{said}"
    );
    desk.does("/continue");
    desk.settles();
    let said = told(desk.does("/why"));
    assert!(!said.contains("from one request"), "{said}");
}
