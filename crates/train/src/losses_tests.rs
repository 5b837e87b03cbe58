//! Tests of each loss against values computed by hand.

use super::*;
use candle_core::Device;

fn scores(numbers: &[f32]) -> Tensor {
    Tensor::new(numbers, &Device::Cpu).unwrap()
}

fn number(tensor: Result<Tensor>) -> f32 {
    tensor.unwrap().to_scalar::<f32>().unwrap()
}

#[track_caller]
fn close(found: f32, wanted: f32) {
    assert!(
        (found - wanted).abs() < 2e-5 * wanted.abs().max(1.0),
        "{found} for {wanted}"
    );
}

/// Returns the losses of the discriminator and the generator for the real scores 2 and -1 and the
/// generated scores 0.5 and -3.
fn parts(name: &str) -> (f32, f32) {
    let loss: GanLoss = name.parse().unwrap();
    let (real, drawn) = (scores(&[2.0, -1.0]), scores(&[0.5, -3.0]));
    (
        number(loss.discriminator(&real, &drawn)),
        number(loss.generator(&real, &drawn)),
    )
}

#[test]
fn cross_entropy() {
    let (discriminator, generator) = parts("bce");
    // ln(1 + e^-2) = 0.126928, ln(1 + e^1) = 1.313262; ln(1 + e^0.5) = 0.974077, ln(1 + e^-3) =
    // 0.048587.
    close(
        discriminator,
        (0.126_928 + 1.313_262 + 0.974_077 + 0.048_587) / 2.0,
    );
    // ln(1 + e^-0.5) = 0.474077, ln(1 + e^3) = 3.048587.
    close(generator, (0.474_077 + 3.048_587) / 2.0);
}

#[test]
fn hinge() {
    // max(0, 1 - 2) = 0, max(0, 1 + 1) = 2; max(0, 1.5) = 1.5, max(0, -2) = 0.
    assert_eq!(
        parts("hinge"),
        ((0.0 + 2.0) / 2.0 + (1.5 + 0.0) / 2.0, 1.25)
    );
}

#[test]
fn least_squares() {
    // (1 + 4) / 2 and (0.25 + 9) / 2, halved; the generator's (0.25 + 16) / 2, halved.
    assert_eq!(parts("lsgan"), (0.5 * (2.5 + 4.625), 0.5 * 8.125));
}

#[test]
fn wasserstein() {
    assert_eq!(parts("wgan"), (-1.25 - 0.5, 1.25));
}

#[test]
fn relativistic() {
    let (discriminator, generator) = parts("relativistic");
    // Differences 1.5 and 2: ln(1 + e^-1.5) = 0.201413, ln(1 + e^-2) = 0.126928; 1.701413,
    // 2.126928.
    close(discriminator, (0.201_413 + 0.126_928) / 2.0);
    close(generator, (1.701_413 + 2.126_928) / 2.0);
}

#[test]
fn a_loss_of_another_name_is_refused_with_the_names_there_are() {
    let why = "wasserstein-ish".parse::<GanLoss>().unwrap_err();
    assert_eq!(
        why,
        "the loss must be one of bce, hinge, lsgan, wgan, relativistic"
    );
}

#[test]
fn softplus_of_large_numbers_is_a_number() {
    let found = softplus(&scores(&[-200.0, 0.0, 200.0]))
        .unwrap()
        .to_vec1::<f32>()
        .unwrap();
    assert_eq!(found[0], 0.0);
    close(found[1], std::f32::consts::LN_2);
    assert_eq!(found[2], 200.0);
}

#[test]
fn the_slope_is_the_length_of_the_gradient_and_has_a_gradient_itself() {
    // score = a x0² + x1 at (3, 1): the gradient is (6 a, 1); with a = 0.5 its length is √10.
    let a = Var::new(0.5f32, &Device::Cpu).unwrap();
    let score = |x: &Tensor| {
        let first = x.narrow(1, 0, 1)?.sqr()?.broadcast_mul(a.as_tensor())?;
        (first + x.narrow(1, 1, 1)?)?.squeeze(1)
    };
    let x = Tensor::new(&[[3.0f32, 1.0]], &Device::Cpu).unwrap();
    let slope = gradient_norm(&x, &score).unwrap();
    close(slope.to_vec1::<f32>().unwrap()[0], 10f32.sqrt());
    close(number(zero_centred_penalty(&slope)), 5.0);
    close(
        number(one_centred_penalty(&slope)),
        (10f32.sqrt() - 1.0).powi(2),
    );
    // d/da √(36 a² + 1) = 36 a / √(36 a² + 1).
    let gradients = slope.sum_all().unwrap().backward().unwrap();
    close(
        number(Ok(gradients.get(a.as_tensor()).unwrap().clone())),
        18.0 / 10f32.sqrt(),
    );
}

#[test]
fn reconstruction_counts_pixels_at_four_sizes_and_edges() {
    // One channel of 8 by 8, one pixel apart by 64: the mean is 1 at each of four sizes; of the 56
    // differences in each direction two (in a corner one) are 64.
    let mut numbers = vec![0f32; 64];
    numbers[9] = 64.0;
    let x = Tensor::from_vec(numbers, (1, 1, 8, 8), &Device::Cpu).unwrap();
    let y = x.zeros_like().unwrap();
    close(
        number(reconstruction_loss(&x, &y)),
        4.0 + 2.0 * 2.0 * 64.0 / 56.0,
    );
    assert_eq!(number(reconstruction_loss(&x, &x)), 0.0);
}

#[test]
fn matching_adds_the_stages_up() {
    let real = [scores(&[1.0, 3.0]), scores(&[0.0])];
    let drawn = [scores(&[0.0, 5.0]), scores(&[0.25])];
    close(number(feature_matching_loss(&real, &drawn)), 1.5 + 0.25);
}

#[test]
fn divergence_from_the_standard_normal_distribution() {
    let row = |a: f32, b: f32| Tensor::new(&[[a, b]], &Device::Cpu).unwrap();
    assert_eq!(number(kl_divergence(&row(0.0, 0.0), &row(0.0, 0.0))), 0.0);
    // ½ (1 + 1 - 1 - 0) + ½ (0 + 4 - 1 - ln 4) = 0.5 + 0.806853.
    let found = number(kl_divergence(&row(1.0, 0.0), &row(0.0, 4f32.ln())));
    close(found, 1.306_853);
}
