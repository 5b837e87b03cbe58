//! Orthogonalized momentum (Muon; Jordan et al. 2024). A matrix of averaged gradients keeps its
//! singular vectors, but all its singular values become about one, so that rare directions are
//! learned as fast as frequent directions. Updates are scaled as in Liu et al. 2025 (arXiv
//! 2502.16982), so that Adam's learning rate and weight decay can be used unchanged.

use candle_core::{Result, Tensor};

/// The decay rate of the moving average of gradients.
pub const MOMENTUM: f64 = 0.95;
/// The coefficients of x, x³ and x⁵ in the polynomial that one iteration computes.
const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];
const ITERATIONS: usize = 5;
/// Matrices with at least this many rows and columns are multiplied in bfloat16 if the CPU has
/// matrix registers. This is precise enough, since the iteration is only an approximation.
const LARGE: usize = 32;
/// The typical root mean square of Adam's updates at a learning rate of one.
const ADAM_RMS: f64 = 0.2;

/// Computes the update of a matrix `[rows, columns]` for a learning rate of one.
pub fn update(matrix: &Tensor) -> Result<Tensor> {
    let (rows, columns) = matrix.dims2()?;
    let scale = ADAM_RMS * (rows.max(columns) as f64).sqrt();
    orthogonal(matrix)? * scale
}

/// Approximates the nearest matrix with orthonormal rows (or with orthonormal columns, if there are
/// more rows than columns) by Newton-Schulz iteration. The singular values of the result lie
/// between about 0.7 and 1.2.
fn orthogonal(matrix: &Tensor) -> Result<Tensor> {
    let (rows, columns) = matrix.dims2()?;
    let tall = rows > columns;
    let turned = |x: &Tensor| match tall {
        true => x.t()?.contiguous(),
        false => Ok(x.clone()),
    };
    let large = rows.min(columns) >= LARGE;
    let quick = large && matrix.device().is_cpu() && autograd::is_supported();
    let times = |x: &Tensor, y: &Tensor| match quick {
        true => autograd::matmul(x, y),
        false => x.matmul(y),
    };
    let length = matrix.sqr()?.sum_all()?.sqrt()?;
    let mut x = turned(&matrix.broadcast_div(&(length + 1e-7)?)?)?;
    for _ in 0..ITERATIONS {
        let square = match quick {
            true => autograd::matmul_transposed(&x, &x)?,
            false => x.matmul(&x.t()?)?,
        };
        let more = ((&square * COEFFICIENTS[1])? + (times(&square, &square)? * COEFFICIENTS[2])?)?;
        x = ((&x * COEFFICIENTS[0])? + times(&more, &x)?)?;
    }
    turned(&x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variables::noise;
    use candle_core::Device;
    use sampler::rng::Rng;

    #[test]
    fn a_single_number_goes_the_way_of_the_polynomial() {
        let [a, b, c] = COEFFICIENTS;
        let round = |x: f64| a * x + b * x.powi(3) + c * x.powi(5);
        let wanted = (0..ITERATIONS).fold(1.0, |x, _| round(x));
        for number in [5.0f32, -0.01] {
            let one = Tensor::new(&[[number]], &Device::Cpu).unwrap();
            let found = orthogonal(&one).unwrap().to_vec2::<f32>().unwrap()[0][0];
            let wanted = wanted * f64::from(number.signum());
            assert!((f64::from(found) - wanted).abs() < 1e-3, "{found} {wanted}");
        }
    }

    #[test]
    fn rows_become_about_orthonormal_whichever_side_is_longer() {
        for (rows, columns) in [(6, 20), (20, 6), (8, 8), (40, 100), (96, 33)] {
            let matrix = noise(&[rows, columns], &mut Rng::new(1), &Device::Cpu).unwrap();
            let x = orthogonal(&matrix).unwrap();
            assert_eq!(x.dims(), [rows, columns]);
            let x = if rows > columns { x.t().unwrap() } else { x };
            let x = x.contiguous().unwrap();
            let square = x.matmul(&x.t().unwrap()).unwrap();
            for (row, values) in square.to_vec2::<f32>().unwrap().iter().enumerate() {
                for (column, value) in values.iter().enumerate() {
                    let wanted = if row == column { 0.3..1.6 } else { -0.5..0.5 };
                    assert!(wanted.contains(value), "{row}, {column}: {value}");
                }
            }
        }
    }
}
