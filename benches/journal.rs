//! How long a session takes to open, by its passages.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use illumine::store::recover;
use illumine::story::record::{Ended, Head, Move, Streamed, VERSION};
use illumine::story::{Author, Node, Provenance, Record, Status};
use serde::Serialize;

#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    #[serde(flatten)]
    record: &'a Record,
}

/// A journal as a session of so many passages leaves it: a person's and the model's in turn.
fn journal(passages: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut write = |record: &Record| {
        serde_json::to_writer(&mut bytes, &Line { v: VERSION, record }).expect("plain data");
        bytes.push(b'\n');
    };
    for id in 0..passages {
        let model = id % 2 == 1;
        write(&Record::Node(Node {
            id,
            parent: id.checked_sub(1),
            author: if model { Author::Model } else { Author::User },
            status: if model {
                Status::Running
            } else {
                Status::Whole
            },
            text: if model {
                String::new()
            } else {
                "The keeper lit the lamp.".to_string()
            },
            how: model.then(Provenance::default),
            ..Node::default()
        }));
        write(&Record::Head(Head {
            to: Some(id),
            why: Move::Write,
        }));
        if model {
            write(&Record::Text(Streamed {
                node: id,
                text: " It burned until the morning, and nobody came.".to_string(),
                ids: (0..11).collect(),
                healed: 0,
            }));
            write(&Record::End(Ended {
                node: id,
                status: Status::Complete,
                why: None,
                maker: None,
                rewound: Vec::new(),
            }));
        }
    }
    bytes
}

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    group.sample_size(10);
    for passages in [1_000, 10_000, 100_000] {
        let bytes = journal(passages);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(passages), &bytes, |b, bytes| {
            b.iter(|| {
                let found = recover(bytes);
                assert_eq!(found.story.nodes().len() as u64, passages);
            })
        });
    }
    group.finish();
}

criterion_group!(benches, open);
criterion_main!(benches);
