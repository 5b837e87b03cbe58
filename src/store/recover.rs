//! Rebuilds a story from a journal's bytes, even if the file is damaged.

use base::decode::MARK;
use serde::Deserialize;
use story::record::VERSION;
use story::{Record, Settings, Story};

/// The content of a journal, as far as it could be parsed.
#[derive(Debug, Default)]
pub struct Recovered {
    pub story: Story,
    /// The last settings in the journal; None if the journal contains no settings.
    pub settings: Option<Settings>,
    /// The length in bytes of the journal up to the end of the last complete record.
    pub len: usize,
    /// The length in bytes of the incomplete record that a crash left at the end of the journal; 0
    /// if there is none.
    pub torn: usize,
    /// Whether the bytes of the incomplete record are all zero, which a power failure can cause.
    pub zeros: bool,
    /// The reason why the journal is read-only; None if the journal is not read-only.
    pub read_only_reason: Option<String>,
    /// Whether the journal is read-only because of damage rather than because of a record from a
    /// newer version.
    pub damaged: bool,
    /// The number of complete records.
    pub records: usize,
}

pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Parses the records of a journal. Stops at the end, at an incomplete record, or at an invalid
/// line.
///
/// Only the last line can be incomplete: it lacks a line break or is truncated. An invalid line
/// that is followed by other lines is damage. The lines after the damage cannot be trusted, so the
/// story is shown up to the damage, and the journal is read-only.
pub fn recover_journal(bytes: &[u8]) -> Recovered {
    let mut found = Recovered {
        // Some editors and sync programs put a byte order mark before the text.
        len: if bytes.starts_with(BYTE_ORDER_MARK) {
            BYTE_ORDER_MARK.len()
        } else {
            0
        },
        ..Recovered::default()
    };
    let mut number = 0;
    while found.len < bytes.len() {
        number += 1;
        let rest = &bytes[found.len..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        let Some(end) = end else {
            found.torn = rest.len();
            break;
        };
        match parse_line(&rest[..end]) {
            Ok(record) => {
                let newer = record == Record::Unknown;
                if let Err(why) = apply_record(&mut found, record) {
                    found.damaged = !newer;
                    found.read_only_reason = Some(format!(
                        "line {number} of its journal is inconsistent ({why})"
                    ));
                    break;
                }
                found.len += end + 1;
                found.records += 1;
            }
            // A crash truncates a record; it does not produce a complete, different one.
            Err(LineError::Damaged) if end + 1 == rest.len() => {
                found.torn = rest.len();
                break;
            }
            Err(why) => {
                found.damaged = !matches!(why, LineError::NewerVersion(_));
                found.read_only_reason = Some(format!(
                    "line {number} of its journal cannot be parsed ({why})"
                ));
                break;
            }
        }
    }
    let tail = &bytes[found.len..];
    found.zeros = found.torn > 0 && tail.iter().all(|byte| *byte == 0);
    found
}

/// Why a line is not a valid record.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    #[error("it is damaged")]
    Damaged,
    #[error("its form is unknown")]
    Malformed,
    #[error("it was written by a newer version, {0}")]
    NewerVersion(u32),
}

/// Parses a line of a journal. The version and the kind are parsed first, then the record of that
/// kind.
pub(super) fn parse_line(bytes: &[u8]) -> Result<Record, LineError> {
    #[derive(Deserialize)]
    struct Line<'a> {
        v: u32,
        #[serde(borrow)]
        kind: std::borrow::Cow<'a, str>,
    }
    // An editor that saved the journal may have put a byte order mark before it.
    let bytes = bytes.strip_prefix(MARK.as_bytes()).unwrap_or(bytes);
    // A line that is not JSON is incomplete or damaged; a line of JSON may be from another version.
    let line = match serde_json::from_slice::<Line>(bytes) {
        Ok(line) if line.v > VERSION => return Err(LineError::NewerVersion(line.v)),
        Ok(line) => line,
        Err(error) if error.is_data() => return Err(classify_line(bytes)),
        Err(_) => return Err(LineError::Damaged),
    };
    Record::parse(&line.kind, bytes).map_err(|_| LineError::Malformed)
}

/// Determines why a line of JSON is not a record.
fn classify_line(bytes: &[u8]) -> LineError {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    match serde_json::from_slice::<Version>(bytes) {
        Ok(line) if line.v > VERSION => LineError::NewerVersion(line.v),
        _ => LineError::Malformed,
    }
}

fn apply_record(found: &mut Recovered, record: Record) -> Result<(), String> {
    if record == Record::Unknown {
        return Err("its kind comes from a newer version".to_string());
    }
    found
        .story
        .apply(&record)
        .map_err(|misfit| misfit.to_string())?;
    if let Record::Settings(settings) = record {
        found.settings = Some(settings);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Sessions;
    use super::*;
    use story::record::{HeadMove, PassageEnd, StepKind, StreamedText};
    use story::{Author, Node, Status};

    fn node(id: u64, parent: Option<u64>, author: Author, text: &str) -> Record {
        Record::Node(Node {
            id,
            parent,
            author,
            text: text.to_string(),
            status: match author {
                Author::Model => Status::Running,
                _ => Status::Whole,
            },
            ..Node::default()
        })
    }

    #[test]
    fn every_kind_of_record_is_read_as_it_was_written() {
        use story::frame::FrameChange;
        use story::lore::Lorebook;
        use story::record::{Change, SessionHeader, Step, StepCount};
        let opening = SessionHeader {
            name: "s".to_string(),
            build: "0".to_string(),
            began: String::new(),
        };
        let set = FrameChange::Memory {
            text: "rain".to_string(),
        };
        let changes = vec![Change::Frame { set }];
        let mut records = written();
        records.extend([
            Record::Session(opening),
            Record::Step(Step {
                why: StepKind::Frame,
                changes,
            }),
            Record::Undo(StepCount { steps: 2 }),
            Record::Redo(StepCount { steps: 1 }),
            Record::Book(Lorebook::default()),
        ]);
        for record in records {
            let mut value = serde_json::to_value(&record).unwrap();
            value["v"] = 1.into();
            let line = serde_json::to_vec(&value).unwrap();
            assert_eq!(parse_line(&line).ok(), Some(record));
        }
    }

    fn written() -> Vec<Record> {
        vec![
            node(0, None, Author::User, "The lamp was \u{1f56f}\n"),
            node(1, Some(0), Author::Model, ""),
            Record::Head(HeadMove {
                to: Some(1),
                why: StepKind::Write,
            }),
            Record::Text(StreamedText {
                node: 1,
                text: " lit.".to_string(),
                ids: vec![7, 8],
                ..StreamedText::default()
            }),
            Record::End(PassageEnd {
                node: 1,
                status: Status::Complete,
                why: None,
                maker: None,
                shared: None,
                rewound: vec![],
            }),
            Record::Settings(Settings::default()),
        ]
    }

    fn journal() -> (tempfile::TempDir, Sessions, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(dir.path());
        let mut journal = sessions
            .create(Some("s"), "2026-01-01T00:00:00Z", "0.1.0")
            .unwrap();
        journal.append(&written()).unwrap();
        journal.sync().unwrap();
        let bytes = std::fs::read(journal.path()).unwrap();
        (dir, sessions, bytes)
    }

    #[test]
    fn what_was_written_comes_back() {
        let (_dir, sessions, _) = journal();
        let (_, found) = sessions.open("s").unwrap();
        let text: Vec<&str> = found.story.path().iter().map(|node| node.text).collect();
        assert_eq!(text, ["The lamp was \u{1f56f}\n", " lit."]);
        assert_eq!(found.settings, Some(Settings::default()));
        assert!(found.read_only_reason.is_none() && found.torn == 0);
    }

    #[test]
    fn a_journal_cut_anywhere_opens_and_loses_only_the_cut_record() {
        let (dir, sessions, bytes) = journal();
        let path = dir.path().join("s/journal.jsonl");
        for len in 0..=bytes.len() {
            std::fs::write(&path, &bytes[..len]).unwrap();
            let (mut journal, found) = sessions.open("s").unwrap();
            let whole = bytes[..len].iter().filter(|byte| **byte == b'\n').count();
            let records = bytes[..found.len]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            assert_eq!(
                (records, found.read_only_reason),
                (whole, None),
                "cut at {len}"
            );
            let next = found.story.next_id();
            journal
                .append(&[node(next, None, Author::User, "on")])
                .unwrap();
            drop(journal);
            let (_, again) = sessions.open("s").unwrap();
            assert_eq!(
                again.story.nodes().last().map(|node| node.text.as_str()),
                Some("on")
            );
        }
    }

    #[test]
    fn a_torn_tail_is_set_aside_and_not_dropped() {
        let (dir, sessions, bytes) = journal();
        let path = dir.path().join("s/journal.jsonl");
        std::fs::write(&path, [&bytes[..], b"{\"v\":1,\"kind\":\"te"].concat()).unwrap();
        let (_, found) = sessions.open("s").unwrap();
        assert_eq!(found.torn, 17);
        let aside = std::fs::read(dir.path().join("s/torn-1.txt")).unwrap();
        assert_eq!(aside, b"{\"v\":1,\"kind\":\"te");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn what_other_systems_and_power_cuts_leave_is_no_damage() {
        let (dir, sessions, bytes) = journal();
        let path = dir.path().join("s/journal.jsonl");
        let marked = [BYTE_ORDER_MARK, &bytes].concat();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let returns = text.replace('\n', "\r\n").into_bytes();
        for (form, torn) in [
            (marked, 0),
            (returns, 0),
            ([&bytes[..], &[0; 4096]].concat(), 4096),
        ] {
            std::fs::write(&path, &form).unwrap();
            let (mut journal, found) = sessions.open("s").unwrap();
            assert_eq!((found.torn, found.zeros), (torn, torn > 0));
            assert_eq!((found.records, found.read_only_reason), (7, None));
            journal
                .append(&[node(2, Some(1), Author::User, "on")])
                .unwrap();
            drop(journal);
            let (_, again) = sessions.open("s").unwrap();
            assert_eq!((again.records, again.torn), (8, 0));
        }
    }

    #[test]
    fn a_later_version_is_read_and_never_written() {
        let (dir, sessions, bytes) = journal();
        let path = dir.path().join("s/journal.jsonl");
        let later = b"{\"v\":2,\"kind\":\"picture\"}\n{\"v\":1,\"kind\":\"head\",\"to\":0,\"why\":\"undo\"}\n";
        let whole = [&bytes[..], later].concat();
        std::fs::write(&path, &whole).unwrap();
        let (mut journal, found) = sessions.open("s").unwrap();
        assert_eq!(found.story.path().len(), 2);
        let error = journal
            .append(&[node(2, None, Author::User, "x")])
            .unwrap_err()
            .to_string();
        assert!(error.contains("read-only"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn a_whole_record_of_a_later_version_is_no_torn_tail() {
        let (dir, sessions, bytes) = journal();
        let path = dir.path().join("s/journal.jsonl");
        for last in [
            "{\"v\":2,\"kind\":\"head\",\"to\":0,\"why\":\"undo\"}\n",
            "{\"v\":2,\"kind\":\"head\"}\n",
        ] {
            let whole = [&bytes[..], last.as_bytes()].concat();
            std::fs::write(&path, &whole).unwrap();
            let (_, found) = sessions.open("s").unwrap();
            assert!(
                found
                    .read_only_reason
                    .unwrap()
                    .contains("a newer version, 2")
            );
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
    }

    #[test]
    fn a_session_that_cannot_be_begun_leaves_its_name_free() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(dir.path());
        std::fs::create_dir_all(dir.path().join("story-1/journal.jsonl")).unwrap();
        assert_eq!(sessions.create(None, "", "0").unwrap().name(), "story-2");
    }

    #[test]
    fn one_writer_at_a_time() {
        let (_dir, sessions, _) = journal();
        let _first = sessions.open("s").unwrap();
        let error = sessions.open("s").unwrap_err().to_string();
        assert!(error.contains("open in another illumine"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn others_on_the_machine_cannot_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let (dir, ..) = journal();
        let mode = |path: &str| {
            let meta = std::fs::metadata(dir.path().join(path)).unwrap();
            meta.permissions().mode() & 0o777
        };
        assert_eq!((mode("s"), mode("s/journal.jsonl")), (0o700, 0o600));
    }
}
