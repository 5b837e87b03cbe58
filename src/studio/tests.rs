//! The studio without a model or a screen: commands go in, the engine's answers are made up.

use super::*;
use crate::engine::NoModel;
use crate::story::command;
use crate::story::message::{Alternative, Cut, Fault};
use crate::story::{Event, Status};
use std::sync::mpsc::{Receiver, channel};

/// A studio, and a folder for its sessions that goes with it.
struct Desk {
    studio: Studio,
    _events: Receiver<Event>,
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let (sender, events) = channel();
        let setup = Setup {
            sessions: Sessions::new(folder.path()),
            defaults: Settings::default(),
            asked: Asked::default(),
            build: "test".to_string(),
            entropy: 1,
            now: || "2026-01-01T00:00:00Z".to_string(),
            private: false,
            prompts: Prompts::default(),
            home: None,
            styles: Vec::new(),
        };
        let mut desk = Desk {
            studio: Studio::new(Engine::start(NoModel, sender), setup),
            _events: events,
            folder,
        };
        // Two sessions to change between; the first is open.
        desk.does("/new b");
        desk.does("/new a");
        desk
    }

    fn does(&mut self, line: &str) -> Outcome {
        let command = command::parse(line).unwrap();
        self.studio.run(command).unwrap()
    }

    fn says(&mut self, event: Event) -> Vec<Notice> {
        self.studio.absorb(event)
    }

    /// The engine has answered what was asked last.
    fn ends(&mut self) -> Vec<Notice> {
        let (node, status, stats) = (
            self.studio.story().running(),
            Status::Complete,
            Stats::default(),
        );
        self.says(Event::Done {
            node,
            status,
            stats,
        })
    }
}

fn errors(notices: &[Notice]) -> Vec<&str> {
    let errors = notices.iter().filter_map(|notice| match notice {
        Notice::Error(why, _) => Some(why.as_str()),
        _ => None,
    });
    errors.collect()
}

#[test]
fn lore_that_another_session_left_out_is_not_told_of_this_one() {
    let mut desk = Desk::new();
    desk.does("The harbour");
    let node = desk.studio.story().running().unwrap();
    let lore = vec!["Harbour".to_string()];
    desk.says(Event::Prefill {
        node,
        done: 0,
        total: 9,
        reused: 0,
        cut: Cut {
            lore,
            ..Cut::default()
        },
    });
    desk.ends();
    let told = |outcome| match outcome {
        Outcome::Said(text) => text,
        other => panic!("{other:?}"),
    };
    assert!(told(desk.does("/lore why")).contains("Harbour"));
    desk.does("/open b");
    let said = told(desk.does("/lore why"));
    assert!(!said.contains("Harbour"), "{said}");
}

#[test]
fn what_was_read_of_one_session_is_not_kept_in_another() {
    let mut desk = Desk::new();
    desk.studio.load_model();
    desk.does("/save --warm");
    desk.does("/open b");
    let warm = Warm {
        model_sha256: "tiny".to_string(),
        ids: vec![1, 2],
        bytes: vec![3, 4],
    };
    let notices = desk.says(Event::Kept(Some(warm)));
    assert_eq!(notices, []);
    let mut files = Vec::new();
    for session in ["a", "b"] {
        let entries = std::fs::read_dir(desk.folder.path().join(session)).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().file_name()));
    }
    assert_eq!(files, ["journal.jsonl", "journal.jsonl"]);
}

#[test]
fn words_for_a_place_of_one_session_are_not_offered_in_another() {
    let mut desk = Desk::new();
    desk.does("The lamp");
    desk.ends();
    desk.studio.load_model();
    desk.does("/alts");
    desk.does("/open b");
    let found = Alternative {
        id: 7,
        text: " went".to_string(),
        before: 0.5,
        after: 0.5,
    };
    let notices = desk.says(Event::Alternatives(vec![found]));
    assert_eq!(notices, []);
    assert!(desk.studio.listed().is_empty());
}

#[test]
fn an_error_of_the_disk_is_told_beside_the_engine_s() {
    let mut desk = Desk::new();
    desk.does("The lamp");
    desk.ends();
    desk.does("/gen n=2");
    let last = desk.studio.candidates().last().copied();
    // Words that do not fit into the story cannot be recorded.
    desk.says(Event::Piece {
        node: 999,
        text: " went".to_string(),
        ids: vec![7],
        healed: 0,
    });
    let notices = desk.says(Event::Failed {
        node: last,
        why: "The model failed".to_string(),
        fault: Fault::Engine,
    });
    let errors = errors(&notices);
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].contains("999"), "{errors:?}");
    assert_eq!(errors[1], "The model failed");
}
