//! Steps of orthogonal shape (Muon; Jordan et al. 2024): of a matrix of gradients the directions are
//! kept and their lengths made alike, so that what is rarely asked of it is learned as fast as what
//! is asked often. The scale is that of Liu et al. 2025 (arXiv 2502.16982), with which Adam's rate
//! and decay hold.

use candle_core::{Result, Tensor};

/// How much of the gradients before stays at each step.
pub const MOMENTUM: f64 = 0.95;
/// The polynomial of one round: of x, its cube and its fifth power.
const ROUND: [f64; 3] = [3.4445, -4.7750, 2.0315];
const ROUNDS: usize = 5;
/// Matrices of so many rows and columns are multiplied in bfloat16 where that is quick, which is
/// exact enough: the result is an approximation either way.
const LARGE: usize = 32;
/// A step of Adam's moves numbers by this much of its rate, as a rule.
const USUAL: f64 = 0.2;

/// What a matrix `[rows, columns]` is to be moved by at a rate of one.
pub fn step(matrix: &Tensor) -> Result<Tensor> {
    let (rows, columns) = matrix.dims2()?;
    let scale = USUAL * (rows.max(columns) as f64).sqrt();
    orthogonal(matrix)? * scale
}

/// The nearest matrix whose rows (or columns, if they are fewer) are about orthonormal, by Newton
/// and Schulz: singular values end between 0.7 and 1.2.
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
    for _ in 0..ROUNDS {
        let square = match quick {
            true => autograd::matmul_transposed(&x, &x)?,
            false => x.matmul(&x.t()?)?,
        };
        let more = ((&square * ROUND[1])? + (times(&square, &square)? * ROUND[2])?)?;
        x = ((&x * ROUND[0])? + times(&more, &x)?)?;
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
        let [a, b, c] = ROUND;
        let round = |x: f64| a * x + b * x.powi(3) + c * x.powi(5);
        let wanted = (0..ROUNDS).fold(1.0, |x, _| round(x));
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
