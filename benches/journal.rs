//! Measures how long it takes to open sessions with increasing numbers of passages.

#![allow(clippy::expect_used, clippy::unwrap_used)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use illumine::bench::sessions::write;
use illumine::store::Sessions;

fn open(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for sessions");
    let sessions = Sessions::new(folder.path());
    let mut group = criterion.benchmark_group("open");
    group.sample_size(10);
    for passages in [1_000, 10_000, 100_000] {
        let name = write(&sessions, passages).expect("room for a session");
        let journal = folder.path().join(&name).join("journal.jsonl");
        let bytes = std::fs::metadata(journal).map_or(0, |file| file.len());
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(BenchmarkId::from_parameter(passages), |b| {
            b.iter(|| {
                let (_, found) = sessions.open(&name).expect("a sound session");
                assert_eq!(found.story.nodes().len() as u64, passages);
            })
        });
    }
    group.finish();
}

criterion_group!(benches, open);
criterion_main!(benches);
