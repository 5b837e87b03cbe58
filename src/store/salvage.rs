//! Salvages a damaged journal: skips the damaged records and copies the undamaged records.

use super::journal::lines;
use super::recover::{BYTE_ORDER_MARK, parse_line};
use super::rescue::bring_files;
use super::{Journal, Sessions, StoreError};
use std::fs;
use story::record::Change;
use story::{Author, Node, NodeId, Record, Status, Story};

/// A record that could not be salvaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The line number of the record in the journal, counted from 1.
    pub line: usize,
    pub why: String,
    /// The readable part of the record's text.
    pub text: String,
}

/// The part of a damaged journal that could be salvaged.
#[derive(Debug, Default)]
pub struct Salvaged {
    pub story: Story,
    pub left_out: Vec<LeftOut>,
    /// The number of passages that replace lost passages, or that were moved because their parents
    /// are lost.
    pub adjusted: usize,
    /// The salvaged records as lines of a journal.
    bytes: Vec<u8>,
}

impl LeftOut {
    pub fn words(&self) -> usize {
        self.text.split_whitespace().count()
    }
}

impl Sessions {
    /// Salvages the undamaged records of a session's journal.
    pub fn salvage(&self, name: &str) -> Result<Salvaged, StoreError> {
        let path = self.folder(name)?.join(super::place::FILE);
        if !path.is_file() {
            return Err(StoreError::Unknown(name.to_string()));
        }
        let bytes = fs::read(&path).map_err(|error| StoreError::io("read", &path, error))?;
        Ok(salvage(&bytes))
    }

    /// Saves the salvaged records as a new session and copies the pictures. The damaged session is
    /// not changed.
    pub fn save_salvaged(&self, name: &str, salvaged: &Salvaged) -> Result<Journal, StoreError> {
        let beside = format!("{}-salvaged", self.resolve(name)?);
        let journal = self.create_copy(&beside, &salvaged.bytes)?;
        bring_files(&self.folder(name)?, journal.folder());
        Ok(journal)
    }
}

/// Salvages the records of a journal. Leaves out each record that is damaged or that cannot be
/// applied to the story.
fn salvage(bytes: &[u8]) -> Salvaged {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let mut found = Salvaged::default();
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        // A power cut can leave zeros before a later record.
        let zeros = line.iter().take_while(|byte| **byte == 0).count();
        let line = line[zeros..].trim_ascii();
        if line.is_empty() {
            continue;
        }
        let read = match parse_line(line) {
            Ok(record) => found.take(record, line),
            Err(why) => Err(why.to_string()),
        };
        if let Err(why) = read {
            found.left_out.push(LeftOut {
                line: at + 1,
                why,
                text: readable_text(line),
            });
        }
    }
    found
}

impl Salvaged {
    /// Applies a record to the story. If the record refers to lost passages, empty passages replace
    /// them.
    fn take(&mut self, record: Record, line: &[u8]) -> Result<(), String> {
        if record == Record::Unknown {
            return Err("its kind comes from a newer version".to_string());
        }
        if self.story.apply(&record).is_ok() {
            self.bytes.extend_from_slice(line);
            self.bytes.push(b'\n');
            return Ok(());
        }
        self.fill_gap(&record);
        let tried = self.story.apply(&record);
        let Err(misfit) = tried else {
            return self.write(&record);
        };
        let Record::Node(node) = record else {
            return Err(misfit.to_string());
        };
        // If its parent is lost, it goes after the passages before the damage.
        let parent = node.parent.filter(|parent| *parent < self.story.next_id());
        let moved = Record::Node(Node {
            parent: parent.or(self.latest()),
            cut: None,
            copied_from: None,
            ..node
        });
        self.story
            .apply(&moved)
            .map_err(|misfit| misfit.to_string())?;
        self.adjusted += 1;
        self.write(&moved)
    }

    /// The parent to use for a passage whose own parent is lost: the newest passage if it directly
    /// follows the head, otherwise the head.
    fn latest(&self) -> Option<NodeId> {
        let head = self.story.head();
        let last = self.story.nodes().last();
        let after = last.filter(|node| node.parent == head && !node.aside);
        after.map(|node| node.id).or(head)
    }

    fn write(&mut self, record: &Record) -> Result<(), String> {
        let line = lines(std::slice::from_ref(record)).map_err(|error| error.to_string())?;
        self.bytes.extend(line);
        Ok(())
    }

    /// Adds empty passages in place of missing passages that a record needs. Does nothing if there
    /// are more missing passages than lost records.
    fn fill_gap(&mut self, record: &Record) {
        let Some(needed) = needed(record) else {
            return;
        };
        let lost = self.left_out.len() as u64;
        let missing = (needed + 1).saturating_sub(self.story.next_id());
        if missing > lost {
            return;
        }
        for _ in 0..missing {
            let stand_in = Record::Node(Node {
                id: self.story.next_id(),
                parent: self.latest(),
                author: Author::Model,
                // More of its text may follow; if no record ends it, opening the session ends it.
                status: Status::Running,
                ..Node::default()
            });
            if self.story.apply(&stand_in).is_ok() {
                self.adjusted += 1;
                // It cannot fail: an empty passage is plain data.
                let _ = self.write(&stand_in);
            }
        }
    }
}

/// The highest passage id that must exist before a record can be applied; None if the record needs
/// no passage.
fn needed(record: &Record) -> Option<NodeId> {
    let named = |change: &Change| match change {
        Change::Head { to } => *to,
        Change::Hidden { node, .. } | Change::Shown { node, .. } => Some(*node),
        Change::Mark { node, .. } => *node,
        Change::Frame { .. } => None,
    };
    match record {
        Record::Node(node) => node.id.checked_sub(1),
        Record::Text(streamed) => Some(streamed.node),
        Record::End(ended) => Some(ended.node),
        Record::Head(head) => head.to,
        Record::Step(step) => step.changes.iter().filter_map(named).max(),
        Record::Session(_)
        | Record::Undo(_)
        | Record::Redo(_)
        | Record::Book(_)
        | Record::Settings(_)
        | Record::Unknown => None,
    }
}

/// The readable part of the text of a damaged record.
fn readable_text(line: &[u8]) -> String {
    const KEY: &str = "\"text\":\"";
    let line = String::from_utf8_lossy(line);
    let Some(begins) = line.find(KEY) else {
        return String::new();
    };
    let rest = &line[begins + KEY.len()..];
    let mut escaped = false;
    let end = rest.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    let text = &rest[..end.unwrap_or(rest.len())];
    let parsed = serde_json::from_str(&format!("\"{text}\""));
    parsed.unwrap_or_else(|_| text.replace("\\n", "\n").replace("\\\"", "\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use story::record::{HeadMove, PassageEnd, StepKind, StreamedText};

    /// The records of three turns. Each turn consists of a line by the writer and a passage that
    /// arrives in two pieces.
    fn records() -> Vec<Record> {
        let mut records = Vec::new();
        for turn in 0..3 {
            let (asked, told) = (turn * 2, turn * 2 + 1);
            let head = |to| {
                let (to, why) = (Some(to), StepKind::Write);
                Record::Head(HeadMove { to, why })
            };
            records.push(Record::Node(Node {
                id: asked,
                parent: asked.checked_sub(1),
                author: Author::User,
                text: format!("Gate {turn} was \"open\". "),
                ..Node::default()
            }));
            records.push(Record::Node(Node {
                id: told,
                parent: Some(asked),
                author: Author::Model,
                status: Status::Running,
                ..Node::default()
            }));
            records.push(head(told));
            for piece in ["Rain ", "fell. "] {
                records.push(Record::Text(StreamedText {
                    node: told,
                    text: format!("{piece}{turn} "),
                    ..StreamedText::default()
                }));
            }
            records.push(Record::End(PassageEnd {
                node: told,
                status: Status::Complete,
                why: None,
                maker: None,
                shared: None,
                rewound: Vec::new(),
            }));
        }
        records
    }

    fn text(story: &Story) -> String {
        story.path().iter().map(|passage| passage.text).collect()
    }

    #[test]
    fn any_one_damaged_line_costs_that_line_alone() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(dir.path());
        let mut journal = sessions.create(Some("s"), "", "1").unwrap();
        journal.append(&records()).unwrap();
        let path = journal.path();
        drop(journal);
        let sound = fs::read(&path).unwrap();
        let whole: Vec<String> = text(&sessions.read("s").unwrap().story)
            .split_whitespace()
            .map(str::to_string)
            .collect();
        let count = sound.split(|byte| *byte == b'\n').count() - 1;
        for at in 1..count {
            let mut lines: Vec<Vec<u8>> = sound
                .split(|byte| *byte == b'\n')
                .map(<[u8]>::to_vec)
                .collect();
            lines[at][1] = b'\'';
            let damaged = lines.join(&b'\n');
            fs::write(&path, &damaged).unwrap();
            let salvaged = sessions.salvage("s").unwrap();
            assert_eq!(salvaged.left_out.len(), 1, "line {}", at + 1);
            let left_out = &salvaged.left_out[0];
            assert_eq!(left_out.line, at + 1);
            let saved = sessions.save_salvaged("s", &salvaged).unwrap();
            let (name, kept) = (saved.name().to_string(), saved.path());
            drop(saved);
            let (opened, found) = sessions.open(&name).unwrap();
            assert_eq!(found.read_only_reason, None, "line {}", at + 1);
            let words = text(&found.story).split_whitespace().count();
            // Without the last head record, the story ends earlier.
            let lost_head = at == count - 4;
            if !lost_head {
                assert_eq!(words + left_out.words(), whole.len(), "line {}", at + 1);
            }
            assert_eq!(fs::read(&path).unwrap(), damaged, "it is not changed");
            drop(opened);
            fs::remove_dir_all(kept.parent().unwrap()).unwrap();
        }
    }

    #[test]
    fn what_can_be_read_of_a_lost_record_is_said() {
        let line = br#"{"v":1,"kind":"node","id":x,"text":"He said \"no\".\nThen 42 l"#;
        assert_eq!(readable_text(line), "He said \"no\".\nThen 42 l");
        assert_eq!(readable_text(b"{\"v\":1,"), "");
    }

    #[test]
    fn a_record_that_makes_no_sense_does_not_invent_passages() {
        let mut found = salvage(b"garbage\n");
        let far = Record::End(PassageEnd {
            node: 9_000_000,
            status: Status::Complete,
            why: None,
            maker: None,
            shared: None,
            rewound: Vec::new(),
        });
        assert!(found.take(far, b"").is_err());
        assert!(found.story.nodes().is_empty());
    }
}
