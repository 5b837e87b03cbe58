//! Measures how long a session of many passages takes to open.

use crate::store::{Sessions, StoreError};
use std::time::Instant;
use story::record::{HeadMove, PassageEnd, StepKind, StreamedText};
use story::{Author, Node, Provenance, Record, Status};

/// Creates the journal records of a session with `passages` passages, written alternately by a
/// person and the model.
pub fn records(passages: u64) -> Vec<Record> {
    let mut records = Vec::new();
    for id in 0..passages {
        let model = id % 2 == 1;
        let (author, status, text) = match model {
            true => (Author::Model, Status::Running, ""),
            false => (Author::User, Status::Whole, "The keeper lit the lamp."),
        };
        records.push(Record::Node(Node {
            id,
            parent: id.checked_sub(1),
            author,
            status,
            text: text.to_string(),
            provenance: model.then(Provenance::default),
            ..Node::default()
        }));
        let (to, why) = (Some(id), StepKind::Write);
        records.push(Record::Head(HeadMove { to, why }));
        if model {
            records.push(Record::Text(StreamedText {
                node: id,
                text: " It burned until the morning, and nobody came.".to_string(),
                ids: (0..11).collect(),
                ..StreamedText::default()
            }));
            records.push(Record::End(PassageEnd {
                node: id,
                status: Status::Complete,
                why: None,
                maker: None,
                shared: None,
                rewound: Vec::new(),
            }));
        }
    }
    records
}

/// Writes a session with `passages` passages, and returns the name of the session.
pub fn write(sessions: &Sessions, passages: u64) -> Result<String, StoreError> {
    let name = format!("bench-{passages}");
    let mut journal = sessions.create(Some(&name), "2026-01-01T00:00:00Z", "bench")?;
    journal.append(&records(passages))?;
    Ok(name)
}

/// Opens a session `runs` times, and returns how long each time took in milliseconds.
pub fn open(sessions: &Sessions, name: &str, runs: u16) -> Result<Vec<f64>, StoreError> {
    let once = |_| {
        let began = Instant::now();
        let (_, recovered) = sessions.open(name)?;
        let took = began.elapsed().as_secs_f64() * 1000.0;
        drop(recovered);
        Ok(took)
    };
    (0..runs).map(once).collect()
}
