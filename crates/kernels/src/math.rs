//! Operations on a row of floats between two matrix products: norms, activation functions and
//! softmax.
//!
//! **Invariant:** the results are bit-identical in every kernel family, and do not depend on
//! whether a row is processed alone or in a batch. To ensure this, every sum is computed in 16
//! lanes, and e^x by a function of our own.

/// The number of lanes in which a sum is computed: one AVX-512 register or two AVX2 registers.
pub const LANES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    Silu,
    /// GELU, computed by its tanh approximation.
    Gelu,
}

/// Defines a function that calls `$body`, compiled for the instructions of the kernel family
/// `family`.
#[macro_export]
macro_rules! dispatch_simd {
    ($(#[$doc:meta])* $name:ident, $body:ident, ($($arg:ident: $kind:ty),*)) => {
        $(#[$doc])*
        #[inline]
        pub fn $name(family: $crate::linear::KernelFamily, $($arg: $kind),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,fma,f16c")]
                fn avx512($($arg: $kind),*) {
                    $body($($arg),*);
                }
                #[target_feature(enable = "avx2,fma,f16c")]
                fn avx2($($arg: $kind),*) {
                    $body($($arg),*);
                }
                match family {
                    // SAFETY: a family is used only if the processor supports it.
                    $crate::linear::KernelFamily::Amx | $crate::linear::KernelFamily::Avx512Vnni => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::linear::KernelFamily::AvxVnni | $crate::linear::KernelFamily::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::linear::KernelFamily::Portable => {}
                }
            }
            let _ = family;
            $body($($arg),*);
        }
    };
}

dispatch_simd!(
    /// Computes the RMSNorm of a row (Zhang & Sennrich 2019): `out = x / sqrt(mean(x^2) + eps) *
    /// weight`.
    rms_norm, rms_norm_row, (x: &[f32], weight: &[f32], eps: f32, out: &mut [f32])
);

dispatch_simd!(
    /// Replaces a row with its RMSNorm.
    rms_norm_in_place, rms_norm_row_in_place, (x: &mut [f32], weight: &[f32], eps: f32)
);

dispatch_simd!(
    /// Computes `out = activation(gate) * up`, element by element.
    gated, gated_row, (activation: Activation, gate: &[f32], up: &[f32], out: &mut [f32])
);

#[inline(always)]
fn rms_norm_row(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let scale = rms_scale(x, eps);
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = x * scale * weight;
    }
}

#[inline(always)]
fn rms_norm_row_in_place(x: &mut [f32], weight: &[f32], eps: f32) {
    let scale = rms_scale(x, eps);
    for (x, weight) in x.iter_mut().zip(weight) {
        *x = *x * scale * weight;
    }
}

#[inline(always)]
fn rms_scale(x: &[f32], eps: f32) -> f32 {
    let mut sums = [0f32; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum = x.mul_add(*x, *sum);
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest) {
        *sum = x.mul_add(*x, *sum);
    }
    (sum_lanes(sums) / x.len() as f32 + eps).sqrt().recip()
}

#[inline(always)]
fn gated_row(activation: Activation, gate: &[f32], up: &[f32], out: &mut [f32]) {
    let rows = out.iter_mut().zip(gate).zip(up);
    match activation {
        Activation::Silu => rows.for_each(|((out, gate), up)| *out = gate * sigmoid(*gate) * up),
        Activation::Gelu => rows.for_each(|((out, gate), up)| *out = gelu(*gate) * up),
    }
}

/// Computes the tanh approximation of GELU (Hendrycks & Gimpel 2016): 0.5 x (1 + tanh(u)), which is
/// equal to x sigmoid(2u).
#[inline(always)]
fn gelu(x: f32) -> f32 {
    const ROOT: f32 = 0.797_884_6;
    let u = ROOT * x * (x * x).mul_add(0.044_715, 1.0);
    x * sigmoid(2.0 * u)
}

/// Computes the logistic function 1 / (1 + e^-x).
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    let above = if x >= 0.0 { 1.0 } else { e };
    above / (1.0 + e)
}

/// Replaces each score by e^(score - max), where max is the highest score. Returns the sum of the
/// new values.
#[inline(always)]
pub fn softmax(scores: &mut [f32]) -> f32 {
    let mut most = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = scores.as_chunks_mut::<LANES>();
    // The last scores, padded to a full register.
    let mut last = [f32::NEG_INFINITY; LANES];
    last[..rest.len()].copy_from_slice(rest);
    for chunk in chunks.iter().chain([&last]) {
        for (most, score) in most.iter_mut().zip(chunk) {
            *most = if *score > *most { *score } else { *most };
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            most[lane] = most[lane].max(most[lane + width]);
        }
        width /= 2;
    }
    let max = most[0];
    let mut sums = [0f32; LANES];
    for chunk in chunks {
        for (score, sum) in chunk.iter_mut().zip(&mut sums) {
            *score = exp(*score - max);
            *sum += *score;
        }
    }
    for (lane, (score, sum)) in last.iter_mut().zip(&mut sums).enumerate() {
        let power = exp(*score - max);
        *score = if lane < rest.len() { power } else { 0.0 };
        *sum += *score;
    }
    rest.copy_from_slice(&last[..rest.len()]);
    sum_lanes(sums)
}

/// Sums 16 lanes in pairs, which leaves 8, 4, 2 and then 1.
#[inline(always)]
pub fn sum_lanes(mut sums: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

/// Computes e^x for x <= 0, to about 2 units in the last place, by Cody-Waite reduction by ln 2 and
/// the polynomial of Cephes' expf (Moshier 1989). The system's function is not used, so that the
/// results are the same on all machines.
#[inline(always)]
fn exp(x: f32) -> f32 {
    let x = x.max(-87.0);
    // Adding 1.5 * 2^23 rounds to the nearest whole number and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-0.693_359_4, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    let p = 1.987_569_1e-4f32;
    let p = p.mul_add(r, 1.398_2e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_5e-1);
    let p = p.mul_add(r, 5e-1);
    let e = p.mul_add(r * r, r) + 1.0;
    let power = (shifted.to_bits() << 23).wrapping_add(127 << 23);
    e * f32::from_bits(power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::KernelFamily;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn exp_is_close_to_the_real_one(x in -86f32..0.0) {
            let exact = (x as f64).exp();
            prop_assert!(((exp(x) as f64 - exact) / exact).abs() < 3e-7, "{x}");
        }

        #[test]
        fn activations_are_close_to_their_definitions(x in -30f32..30.0) {
            let exact = x as f64;
            let silu = exact / (1.0 + (-exact).exp());
            let u = (2.0 / std::f64::consts::PI).sqrt() * (exact + 0.044715 * exact.powi(3));
            let tanh = 0.5 * exact * (1.0 + u.tanh());
            for (activation, exact) in [(Activation::Silu, silu), (Activation::Gelu, tanh)] {
                let mut out = [0.0];
                gated(KernelFamily::best(), activation, &[x], &[1.0], &mut out);
                let error = (f64::from(out[0]) - exact).abs();
                prop_assert!(error < 2e-6 * (1.0 + exact.abs()), "{activation:?} of {x}: {error}");
            }
        }

        #[test]
        fn every_family_gives_the_same_bits(values in proptest::collection::vec(-9f32..9.0, 1..200)) {
            let weight: Vec<f32> = values.iter().map(|value| 1.0 - value / 20.0).collect();
            let all = |family| {
                let mut out = vec![0.0; 3 * values.len()];
                let (norm, rest) = out.split_at_mut(values.len());
                let (silu, gelu) = rest.split_at_mut(values.len());
                rms_norm(family, &values, &weight, 1e-5, norm);
                gated(family, Activation::Silu, &values, &weight, silu);
                gated(family, Activation::Gelu, &values, &weight, gelu);
                out
            };
            let plain = all(KernelFamily::Portable);
            for family in KernelFamily::ALL.into_iter().filter(|family| family.is_supported()) {
                prop_assert_eq!(&plain, &all(family), "{:?}", family);
            }
        }
    }

    #[test]
    fn exp_of_nothing_is_one_and_of_much_is_nothing() {
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1000.0) < 1e-37);
    }
}
