//! Measures all linear layers of a small model, for one token and for a prompt.
//!
//! The shapes are SmolLM2-135M's: 30 layers in Q4_1 and an output head in Q8_0, 96 MB in all. The
//! decoding speed is reported in bytes per second and as a share of the memory bandwidth that the
//! same threads reach. `ILLUMINE_THREADS` sets the number of threads; by default, all threads of
//! the machine are used.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used
)]

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kernels::linear::{Arena, Format, KernelFamily, Packed, Pool, Source, Write, matmul};

const HIDDEN: usize = 576;
const WIDE: usize = 1536;
const VOCABULARY: usize = 49_152;
const LAYERS: usize = 30;

/// Matrices that are multiplied by the same input.
type Step = Vec<Packed>;

struct Model {
    layers: Vec<Vec<Step>>,
    head: Step,
}

impl Model {
    fn new(pool: &Pool, format: Format, head: Format) -> Model {
        let mut arena = Arena::new();
        let mut step = |format: Format, rows: &[usize], cols: usize| -> Step {
            let matrix = |&rows: &usize| {
                let data = weights(format, rows, cols);
                Packed::pack(&mut arena, pool, format, &data, rows, cols).expect("shapes that fit")
            };
            rows.iter().map(matrix).collect()
        };
        let layer = |_| {
            vec![
                step(format, &[HIDDEN, 192, 192], HIDDEN),
                step(format, &[HIDDEN], HIDDEN),
                step(format, &[WIDE, WIDE], HIDDEN),
                step(format, &[HIDDEN], WIDE),
            ]
        };
        let layers = (0..LAYERS).map(layer).collect();
        Model {
            layers,
            head: step(head, &[VOCABULARY], HIDDEN),
        }
    }

    fn bytes(&self) -> usize {
        self.layers
            .iter()
            .flatten()
            .flatten()
            .chain(&self.head)
            .map(Packed::bytes)
            .sum()
    }

    /// Multiplies `m` input rows by the matrices of every layer, and `heads` of the rows by the
    /// output head.
    fn run(&self, pool: &Pool, x: &[f32], m: usize, heads: usize, out: &mut [f32]) {
        for step in self.layers.iter().flatten() {
            product(pool, step, x, m, out);
        }
        if heads > 0 {
            product(pool, &self.head, x, heads, out);
        }
    }
}

fn product(pool: &Pool, step: &Step, x: &[f32], m: usize, mut rest: &mut [f32]) {
    let weights: Vec<&Packed> = step.iter().collect();
    let mut outs = Vec::new();
    for weight in &weights {
        let (out, after) = rest.split_at_mut(m * weight.rows());
        outs.push(out);
        rest = after;
    }
    let x = Source::Rows(&x[..m * weights[0].cols()]);
    matmul(pool, &weights, x, m, &mut outs, Write::Set).expect("shapes that fit");
}

/// Creates weights from random bytes between 0 and 15, so that the scales are small half floats.
fn weights(format: Format, rows: usize, cols: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state & 0x0f) as u8
    };
    (0..rows * format.row_bytes(cols)).map(|_| next()).collect()
}

fn threads() -> usize {
    let wanted = std::env::var("ILLUMINE_THREADS")
        .ok()
        .and_then(|threads| threads.parse().ok());
    wanted.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Calls `run` 30 times and returns the shortest time in seconds.
fn best_of(mut run: impl FnMut()) -> f64 {
    let time = |_| {
        let began = Instant::now();
        run();
        began.elapsed().as_secs_f64()
    };
    (0..30).map(time).fold(f64::INFINITY, f64::min)
}

/// Measures how fast the pool's threads read memory, in gigabytes per second.
fn bandwidth(pool: &Pool) -> f64 {
    const UNIT: usize = 1 << 18;
    let memory = vec![1u64; 16 << 20];
    let sum = AtomicU64::new(0);
    let seconds = best_of(|| {
        pool.run(memory.len() / UNIT, &|unit| {
            let part: u64 = memory[unit * UNIT..][..UNIT].iter().sum();
            sum.fetch_add(part, Ordering::Relaxed);
        });
    });
    black_box(sum);
    (memory.len() * 8) as f64 / seconds / 1e9
}

fn linear(criterion: &mut Criterion) {
    let pool = Pool::new(threads());
    let x: Vec<f32> = (0..512 * WIDE)
        .map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0)
        .collect();
    let mut out = vec![0.0; 512 * 2 * WIDE];
    for (name, format) in [
        ("q4_1", Format::Q4_1),
        ("q4_0", Format::Q4_0),
        ("q5_0", Format::Q5_0),
        ("q8_0", Format::Q8_0),
    ] {
        let model = Model::new(&pool, format, Format::Q8_0);
        let mut group = criterion.benchmark_group(format!(
            "{name}, {} MB, {:?}",
            model.bytes() / 1_000_000,
            pool.family()
        ));
        group
            .sample_size(20)
            .measurement_time(Duration::from_secs(2))
            .warm_up_time(Duration::from_millis(500));
        let decode = best_of(|| model.run(&pool, &x, 1, 1, &mut out));
        let (bytes, limit) = (model.bytes() as f64, bandwidth(&pool));
        println!(
            "{name}: one token reads {:.1} GB/s, {:.0} % of the bandwidth of {limit:.1} GB/s",
            bytes / decode / 1e9,
            bytes / decode / 1e7 / limit
        );
        for m in [1, 2, 4, 8] {
            group.throughput(Throughput::Bytes(model.bytes() as u64));
            group.bench_function(format!("decode {m}"), |b| {
                b.iter(|| model.run(&pool, black_box(&x), m, m, &mut out));
            });
        }
        group.sample_size(10).throughput(Throughput::Elements(512));
        group.bench_function("prefill 512", |b| {
            b.iter(|| model.run(&pool, black_box(&x), 512, 1, &mut out))
        });
        group.finish();
    }
}

fn families(criterion: &mut Criterion) {
    let x: Vec<f32> = (0..128 * WIDE)
        .map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0)
        .collect();
    let mut out = vec![0.0; 128 * 2 * WIDE];
    for family in KernelFamily::ALL
        .into_iter()
        .filter(|family| family.is_supported())
    {
        let pool = Pool::with_family(threads(), family);
        let model = Model::new(&pool, Format::Q4_1, Format::Q8_0);
        let mut group = criterion.benchmark_group(format!("{family:?}"));
        group
            .sample_size(10)
            .measurement_time(Duration::from_secs(2))
            .warm_up_time(Duration::from_millis(500));
        for (m, heads) in [(1, 1), (128, 0)] {
            group.throughput(Throughput::Elements(m as u64));
            group.bench_function(format!("{m}"), |b| {
                b.iter(|| model.run(&pool, black_box(&x), m, heads, &mut out))
            });
        }
        group.finish();
    }
}

fn packing(criterion: &mut Criterion) {
    let pool = Pool::new(threads());
    let mut group = criterion.benchmark_group("pack");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(2));
    for format in Format::all() {
        let data = weights(format, 4096, WIDE);
        group.throughput(Throughput::Bytes(data.len() as u64));
        group.bench_function(format!("{format:?}"), |b| {
            b.iter(|| {
                Packed::pack(&mut Arena::new(), &pool, format, &data, 4096, WIDE)
                    .map(|packed| packed.bytes())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, linear, families, packing);
criterion_main!(benches);
