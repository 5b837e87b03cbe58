use super::*;
use candle_core::{D, DType, Device, Var};
use candle_nn::ops;

/// Creates a variable whose values are exact in bfloat16, so that a matrix product does not round
/// them.
fn wave(shape: &[usize], step: f32) -> Var {
    let count: usize = shape.iter().product();
    let numbers: Vec<f32> = (0..count).map(|at| (at as f32 * step).sin()).collect();
    let exact = Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap();
    let rounded = exact.to_dtype(DType::BF16).unwrap();
    Var::from_tensor(&rounded.to_dtype(DType::F32).unwrap()).unwrap()
}

/// Returns the distance between two tensors, divided by the magnitude of `other`.
fn apart(one: &Tensor, other: &Tensor) -> f32 {
    assert_eq!(one.dims(), other.dims());
    let length = |x: Tensor| {
        x.sqr()
            .unwrap()
            .sum_all()
            .unwrap()
            .to_scalar::<f32>()
            .unwrap()
    };
    (length((one - other).unwrap()) / length(other.clone())).sqrt()
}

/// Asserts that our result and candle's result differ by less than `near`, relative to their
/// magnitude, and that the gradients of `inputs` do too.
fn alike(inputs: &[&Var], near: f32, ours: Tensor, candles: Tensor) {
    assert!(apart(&ours, &candles) < near, "{}", apart(&ours, &candles));
    let pull = wave(ours.dims(), 0.9);
    let gradients = |y: &Tensor| {
        let loss = (y * pull.as_tensor().detach()).unwrap().sum_all().unwrap();
        loss.backward().unwrap()
    };
    let (ours, candles) = (gradients(&ours), gradients(&candles));
    for (at, input) in inputs.iter().enumerate() {
        let far = apart(ours.get(input).unwrap(), candles.get(input).unwrap());
        assert!(far < near, "gradient {at}: {far}");
    }
}

/// Reports that a test did not run, so that a runner can count the skipped tests. The line is
/// written directly to standard error, because the test harness does not capture it there. With
/// `ILLUMINE_NO_SKIP=1`, the test fails instead.
fn skip(reason: &str) {
    use std::io::Write;
    let strict = std::env::var("ILLUMINE_NO_SKIP").is_ok_and(|value| value == "1");
    assert!(!strict, "skipped, which ILLUMINE_NO_SKIP forbids: {reason}");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {reason}");
}

/// The tolerance for results whose intermediate values are rounded to bfloat16's eight bits.
const ROUGH: f32 = 2e-2;
const EXACT: f32 = 1e-5;

#[test]
fn rows_times_a_matrix() {
    if !is_supported() {
        return skip("this processor has no AMX");
    }
    for (rows, inputs, outputs) in [(69, 256, 768), (33, 40, 17), (1, 3, 5), (1100, 64, 32)] {
        let (x, weight) = (wave(&[rows, inputs], 0.7), wave(&[outputs, inputs], 0.31));
        let bias = wave(&[outputs], 1.1);
        let ours = affine(&x, &weight, &bias).unwrap();
        let candles = x.matmul(&weight.t().unwrap()).unwrap();
        let candles = candles.broadcast_add(&bias).unwrap();
        alike(&[&x, &weight, &bias], EXACT, ours, candles);
        let columns = matmul(&x, &weight.t().unwrap()).unwrap();
        let rows = matmul_transposed(&x, &weight).unwrap();
        assert_eq!(apart(&columns, &rows), 0.0);
    }
}

#[test]
fn norms_with_a_scale_for_each_picture_and_for_all() {
    for batch in [1, 3] {
        let x = wave(&[3, 5, 24], 0.7);
        let (scale, shift) = (wave(&[batch, 1, 24], 0.3), wave(&[batch, 1, 24], 0.4));
        let ours = modulated_norm(&x, &scale, &shift).unwrap();
        let centred = x
            .broadcast_sub(&x.mean_keepdim(D::Minus1).unwrap())
            .unwrap();
        let variance = centred.sqr().unwrap().mean_keepdim(D::Minus1).unwrap();
        let deviation = (variance + 1e-5).unwrap().sqrt().unwrap();
        let normal = centred.broadcast_div(&deviation).unwrap();
        let candles = normal
            .broadcast_mul(&(scale.as_tensor() + 1.0).unwrap())
            .unwrap();
        let candles = candles.broadcast_add(&shift).unwrap();
        alike(&[&x, &scale, &shift], EXACT, ours, candles);
    }
}

#[test]
fn squares_of_what_is_above_zero() {
    let x = wave(&[7, 33], 0.7);
    let candles = x.relu().unwrap().sqr().unwrap();
    alike(&[&x], EXACT, squared_relu(&x).unwrap(), candles);
    let nothing = Tensor::new(&[f32::NAN, 1.0], &Device::Cpu).unwrap();
    let kept = squared_relu(&nothing).unwrap().to_vec1::<f32>().unwrap();
    assert!(kept[0].is_nan(), "training checks for NaN");
}

#[test]
fn attention_of_every_token_to_every_other() {
    if !is_supported() {
        return skip("this processor has no AMX");
    }
    for (tokens, width, heads) in [(69, 256, 4), (16, 64, 2), (5, 24, 3)] {
        let qkv = wave(&[2, tokens, 3 * width], 0.37);
        let ours = attend(&qkv, heads).unwrap();
        let dim = width / heads;
        let parts = qkv.reshape((2, tokens, 3, heads, dim)).unwrap();
        let part = |at: usize| {
            let part = parts.narrow(2, at, 1).unwrap().squeeze(2).unwrap();
            part.transpose(1, 2).unwrap().contiguous().unwrap()
        };
        let scores = part(0).matmul(&part(1).t().unwrap()).unwrap();
        let scores = (scores * (dim as f64).sqrt().recip()).unwrap();
        let weights = ops::softmax(&scores, D::Minus1).unwrap();
        let mixed = weights.matmul(&part(2)).unwrap();
        let candles = mixed
            .transpose(1, 2)
            .unwrap()
            .reshape((2, tokens, width))
            .unwrap();
        alike(&[&qkv], ROUGH, ours, candles);
    }
}

#[test]
fn a_result_does_not_depend_on_threads_or_on_what_lies_beside() {
    if !is_supported() {
        return skip("this processor has no AMX");
    }
    let (x, weight) = (wave(&[300, 96], 0.7), wave(&[160, 96], 0.3));
    let several = || matmul_transposed(&x, &weight).unwrap();
    let bits = |x: &Tensor| -> Vec<u32> {
        let numbers = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        numbers.into_iter().map(f32::to_bits).collect()
    };
    let one = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    let whole = several();
    assert_eq!(bits(&whole), bits(&one.install(several)));
    let few = matmul_transposed(&x.narrow(0, 100, 3).unwrap(), &weight).unwrap();
    assert_eq!(
        bits(&whole.narrow(0, 100, 3).unwrap().contiguous().unwrap()),
        bits(&few)
    );
}
