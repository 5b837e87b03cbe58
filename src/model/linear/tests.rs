//! What holds for every format and every kernel family.

use proptest::prelude::*;

use super::quantize::Activations;
use super::*;

/// The smallest generator that will do.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    fn float(&mut self) -> f32 {
        self.next() as f32 / (1u32 << 30) as f32 - 1.0
    }
}

/// Blocks of random weights, with scales of a sensible size.
fn weights(format: Format, n: usize, k: usize, random: &mut Random) -> Vec<u8> {
    let mut data: Vec<u8> = (0..n * format.row_bytes(k))
        .map(|_| random.next() as u8)
        .collect();
    let halfs: &[usize] = match format {
        Format::Q4_0 | Format::Q5_0 | Format::Q8_0 => &[0],
        Format::Q4_1 | Format::Q5_1 | Format::Q4K | Format::Q5K => &[0, 2],
        Format::Q6K => &[208],
        Format::F16 | Format::BF16 | Format::F32 => &[],
    };
    for block in data.chunks_exact_mut(format.spec().bytes) {
        for &at in halfs {
            let scale = half::f16::from_f32(random.float() / 100.0);
            block[at..at + 2].copy_from_slice(&scale.to_le_bytes());
        }
        match format {
            Format::F16 => floats(block, |x| half::f16::from_f32(x).to_le_bytes(), random),
            Format::BF16 => floats(block, |x| half::bf16::from_f32(x).to_le_bytes(), random),
            Format::F32 => floats(block, f32::to_le_bytes, random),
            _ => {}
        }
    }
    data
}

fn floats<const W: usize>(block: &mut [u8], bytes: fn(f32) -> [u8; W], random: &mut Random) {
    for value in block.chunks_exact_mut(W) {
        value.copy_from_slice(&bytes(random.float()));
    }
}

fn inputs(len: usize, random: &mut Random) -> Vec<f32> {
    (0..len).map(|_| random.float() * 3.0).collect()
}

fn product(pool: &Pool, format: Format, data: &[u8], n: usize, x: &[f32], m: usize) -> Vec<f32> {
    let packed = Packed::pack(&mut Arena::new(), pool, format, data, n, x.len() / m).unwrap();
    let mut out = vec![f32::NAN; m * n];
    matmul(pool, &[&packed], x, m, &mut [&mut out]).unwrap();
    out
}

/// Holds `out` to sums in f64 of the values that weights and quantized inputs stand for.
fn check_values(format: Format, data: &[u8], n: usize, x: &[f32], m: usize, out: &[f32]) {
    let k = x.len() / m;
    let x: Vec<f32> = if format.is_float() {
        x.to_vec()
    } else {
        dequantized(x, k)
    };
    let mut weight = vec![0.0; k];
    for row in 0..n {
        dequantize_row(format, data, row, k, &mut weight).unwrap();
        for (i, x) in x.chunks_exact(k).enumerate() {
            let terms = x
                .iter()
                .zip(&weight)
                .map(|(&a, &b)| f64::from(a) * f64::from(b));
            let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), t| (sum + t, size + t.abs()));
            let error = (f64::from(out[i * n + row]) - sum).abs();
            assert!(
                error <= 1e-6 * size + 1e-9,
                "{format:?} {n}x{k}, output {i}, {row}: {error} of {size}"
            );
        }
    }
}

/// What the quantized input stands for.
fn dequantized(x: &[f32], k: usize) -> Vec<f32> {
    let pool = Pool::with_family(1, Family::Portable);
    let mut activations = Activations::default();
    let mut values = Vec::new();
    for row in x.chunks_exact(k) {
        activations.quantize(&pool, row, k);
        let group = activations.group(row, k, 0, 1);
        for (codes, scale) in group.codes.chunks_exact(BLOCK).zip(group.scales) {
            values.extend(codes.iter().map(|&code| f32::from(code) * scale));
        }
    }
    values
}

fn families() -> impl Iterator<Item = Family> {
    Family::ALL.into_iter().filter(|family| family.is_here())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_family_gives_the_same_and_right_product(
        seed in any::<u64>(), n in 1usize..70, blocks in 1usize..51, m in 1usize..20,
    ) {
        for format in Format::all() {
            let mut random = Random(seed);
            let k = (blocks * BLOCK).next_multiple_of(format.spec().block);
            let (data, x) = (weights(format, n, k, &mut random), inputs(m * k, &mut random));
            let first = product(&Pool::with_family(1, Family::Portable), format, &data, n, &x, m);
            check_values(format, &data, n, &x, m, &first);
            for family in families() {
                for threads in [1, 2, 3] {
                    let out = product(&Pool::with_family(threads, family), format, &data, n, &x, m);
                    prop_assert!(same_bits(&first, &out), "{format:?} {family:?} {threads} threads {m}x{n}x{k}");
                }
            }
        }
    }

    #[test]
    fn one_row_and_many_give_the_same(seed in any::<u64>(), n in 1usize..70, blocks in 1usize..51, m in 2usize..20) {
        for (format, family) in Format::all().flat_map(|format| families().map(move |family| (format, family))) {
            let mut random = Random(seed);
            let k = (blocks * BLOCK).next_multiple_of(format.spec().block);
            let (data, x) = (weights(format, n, k, &mut random), inputs(m * k, &mut random));
            let pool = Pool::with_family(1, family);
            let many = product(&pool, format, &data, n, &x, m);
            for (x, many) in x.chunks_exact(k).zip(many.chunks_exact(n)) {
                let one = product(&pool, format, &data, n, x, 1);
                prop_assert!(same_bits(many, &one), "{format:?} {family:?} {m}x{n}x{k}");
            }
        }
    }
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}
