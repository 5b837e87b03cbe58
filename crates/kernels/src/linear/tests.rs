//! Tests the properties that hold for every format and every kernel family.

use proptest::prelude::*;

use super::activations::Activations;
use super::quantize::Forms;
use super::*;
use random::{Random, weights};

#[allow(unreachable_pub, reason = "crates/llm compiles this file too")]
mod random;

fn inputs(len: usize, random: &mut Random) -> Vec<f32> {
    (0..len).map(|_| random.float() * 3.0).collect()
}

fn product(pool: &Pool, format: Format, data: &[u8], n: usize, x: &[f32], m: usize) -> Vec<f32> {
    let packed = Packed::pack(&mut Arena::new(), pool, format, data, n, x.len() / m).unwrap();
    let mut out = vec![f32::NAN; m * n];
    matmul(
        pool,
        &[&packed],
        Source::Rows(x),
        m,
        &mut [&mut out],
        Write::Set,
    )
    .unwrap();
    out
}

/// Checks that `out` is close to the exact product, computed in f64 from the values that the
/// weights and the quantized inputs represent.
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

/// Quantizes the rows of `x`, which have `k` values each, and returns the values that the codes
/// represent.
fn dequantized(x: &[f32], k: usize) -> Vec<f32> {
    let pool = Pool::with_family(1, KernelFamily::Portable);
    let mut activations = Activations::default();
    let mut values = Vec::new();
    for row in x.chunks_exact(k) {
        activations.quantize(&pool, Source::Rows(row), 1, k, Forms::CODES);
        let group = activations.group(Source::Rows(row), k, 0, 1);
        for (codes, scale) in group.codes.chunks_exact(BLOCK).zip(group.scales) {
            values.extend(codes.iter().map(|&code| f32::from(code) * scale));
        }
    }
    values
}

fn families() -> impl Iterator<Item = KernelFamily> {
    KernelFamily::ALL
        .into_iter()
        .filter(|family| family.is_supported())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_family_gives_the_same_and_right_product(
        seed in any::<u64>(), n in 1usize..70, blocks in 1usize..51, m in 1usize..40,
    ) {
        for format in Format::all() {
            let mut random = Random(seed);
            let k = (blocks * BLOCK).next_multiple_of(format.spec().block);
            let (data, x) = (weights(format, n, k, &mut random), inputs(m * k, &mut random));
            let first = product(&Pool::with_family(1, KernelFamily::Portable), format, &data, n, &x, m);
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
    fn one_row_and_many_give_the_same(seed in any::<u64>(), n in 1usize..70, blocks in 1usize..51, m in 2usize..40) {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn joined_is_each_step_alone(seed in any::<u64>(), blocks in 1usize..6, wide in 1usize..5, n in 1usize..40, m in 1usize..70) {
        let join = |a: &[f32], b: &[f32], out: &mut [f32]| {
            out.iter_mut().zip(a).zip(b).for_each(|((out, a), b)| *out = a.max(0.0) * b);
        };
        for (format, family) in Format::all().flat_map(|format| families().map(move |family| (format, family))) {
            let mut random = Random(seed);
            let block = format.spec().block;
            let k = (blocks * BLOCK).next_multiple_of(block);
            let middle = (wide * BLOCK).next_multiple_of(Format::Q4_1.spec().block);
            let x = inputs(m * k, &mut random);
            let [a, b] = [0; 2].map(|_| weights(format, middle, k, &mut random));
            let c = weights(Format::Q4_1, n, middle, &mut random);
            let pool = Pool::with_family(2, family);
            let (left, right) = (product(&pool, format, &a, middle, &x, m), product(&pool, format, &b, middle, &x, m));
            let mut both = vec![0.0; m * middle];
            join(&left, &right, &mut both);
            let apart = product(&pool, Format::Q4_1, &c, n, &both, m);
            let pack = |format, data: &[u8], n, k| Packed::pack(&mut Arena::new(), &pool, format, data, n, k).unwrap();
            let (a, b, c) = (pack(format, &a, middle, k), pack(format, &b, middle, k), pack(Format::Q4_1, &c, n, middle));
            prop_assert!(can_fuse([&a, &b], &c));
            let mut out = vec![f32::NAN; m * n];
            fused_pair(&pool, [&a, &b], &join, Source::Rows(&x), m).unwrap().times(&c, &mut out, Write::Set).unwrap();
            prop_assert!(same_bits(&apart, &out), "{format:?} {family:?} {m}x{n}x{middle}x{k}");
        }
    }
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// Multiplies weights with extreme bytes by inputs with extreme codes. All bytes of the weights,
/// except the half-float scales, are 0, 0x80 or 0xff; all codes of the inputs are 127 or all are
/// -127.
#[test]
fn extremes_do_not_overflow() {
    let (n, k) = (16, 256);
    for (format, byte) in
        Format::all().flat_map(|format| [0, 0x80, 0xff].map(|byte| (format, byte)))
    {
        if format.is_float() {
            continue;
        }
        let mut data = vec![byte; n * format.row_bytes(k)];
        for block in data.chunks_exact_mut(format.spec().bytes) {
            for &at in format.half_floats() {
                block[at..at + 2].copy_from_slice(&half::f16::ONE.to_le_bytes());
            }
        }
        for sign in [1.0, -1.0] {
            let x = vec![sign; k];
            for family in families() {
                let out = product(&Pool::with_family(1, family), format, &data, n, &x, 1);
                check_values(format, &data, n, &x, 1, &out);
            }
        }
    }
}

#[test]
fn wrong_shapes_are_errors() {
    let (pool, mut arena) = (Pool::new(1), Arena::new());
    let mut pack =
        |bytes: usize, n, k| Packed::pack(&mut arena, &pool, Format::Q8_0, &vec![0; bytes], n, k);
    assert!(matches!(pack(34, 1, 33), Err(LinearError::Columns { .. })));
    assert!(matches!(pack(34, 1, 0), Err(LinearError::Columns { .. })));
    assert!(matches!(pack(33, 1, 32), Err(LinearError::Bytes { .. })));
    let weight = pack(34, 1, 32).unwrap();
    let run = |x: &[f32], m, out: &mut [f32]| {
        matmul(
            &pool,
            &[&weight],
            Source::Rows(x),
            m,
            &mut [out],
            Write::Set,
        )
    };
    assert!(run(&[0.0; 32], 2, &mut [0.0; 2]).is_err());
    assert!(run(&[0.0; 32], 1, &mut [0.0; 2]).is_err());
    assert!(run(&[0.0; 32], 1, &mut [0.0; 1]).is_ok());
    assert!(run(&[], 0, &mut []).is_ok());
    assert!(dequantize_row(Format::Q8_0, &[0; 34], 1, 32, &mut [0.0; 32]).is_err());
    assert!(dequantize_row(Format::Q8_0, &[0; 34], 0, 32, &mut [0.0; 31]).is_err());
}
