//! Computes distances between two sets of pictures.

use super::Features;
use super::Result;
use super::eigen::eigenvalues;
use candle_core::{Device, Tensor};
use sampler::rng::Rng;

/// Computes the kernel distance of the metric KID (Bińkowski et al. 2018): the unbiased squared
/// maximum mean discrepancy with the kernel (x·y / width + 1)³. Returns the mean and the standard
/// deviation over `subsets` random subsets of `size` rows each.
pub fn kernel_distance(
    a: &Features,
    b: &Features,
    subsets: usize,
    size: usize,
    seed: u64,
) -> Result<(f64, f64)> {
    let size = size.min(a.len()).min(b.len());
    let mut rng = Rng::new(seed);
    let mut found = Vec::new();
    for _ in 0..subsets.max(1) {
        let (a, b) = (subset(a, size, &mut rng), subset(b, size, &mut rng));
        found.push(discrepancy(&a, &b)?);
    }
    let count = found.len() as f64;
    let mean = found.iter().sum::<f64>() / count;
    let square = |x: &f64| (x - mean).powi(2);
    let deviation = (found.iter().map(square).sum::<f64>() / count).sqrt();
    Ok((mean, deviation))
}

/// Returns `size` random rows without repetition. If there are exactly `size` rows, all rows are
/// returned in order.
fn subset(rows: &Features, size: usize, rng: &mut Rng) -> Features {
    if size == rows.len() {
        return rows.clone();
    }
    let mut order: Vec<usize> = (0..rows.len()).collect();
    for at in 0..size {
        let other = at + (rng.next_u64() % (order.len() - at) as u64) as usize;
        order.swap(at, other);
    }
    rows.pick(&order[..size])
}

fn discrepancy(a: &Features, b: &Features) -> Result<f64> {
    let (x, y) = (a.tensor()?, b.tensor()?);
    let kernel = |x: &Tensor, y: &Tensor| -> Result<Vec<f64>> {
        let products = x.matmul(&y.t()?)?.flatten_all()?.to_vec1::<f64>()?;
        let cube = |product: f64| (product / a.width as f64 + 1.0).powi(3);
        Ok(products.into_iter().map(cube).collect())
    };
    let size = a.len();
    let others = (size * (size - 1)) as f64;
    // Pairs of a row with itself are left out.
    let off_diagonal = |all: Vec<f64>| {
        let whole: f64 = all.iter().sum();
        let own: f64 = all.iter().step_by(size + 1).sum();
        (whole - own) / others
    };
    let between = kernel(&x, &y)?.iter().sum::<f64>() / (size * size) as f64;
    Ok(off_diagonal(kernel(&x, &x)?) + off_diagonal(kernel(&y, &y)?) - 2.0 * between)
}

/// Computes the Fréchet distance of the metric FID (Heusel et al. 2017): |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ -
/// 2 (Σ₁ Σ₂)^½).
///
/// Σ₁ Σ₂ has the same eigenvalues as the symmetric matrix Lᵀ Σ₂ L, where Σ₁ = L Lᵀ.
pub fn frechet_distance(a: &Features, b: &Features) -> Result<f64> {
    let between_means: f64 = a
        .mean()
        .iter()
        .zip(b.mean())
        .map(|(x, y)| (x - y).powi(2))
        .sum();
    let (first, second) = (covariance(a)?, covariance(b)?);
    let trace = |matrix: &Tensor| -> Result<f64> {
        let all = matrix.flatten_all()?.to_vec1::<f64>()?;
        Ok(all.iter().step_by(a.width + 1).sum())
    };
    let lower = cholesky(first.flatten_all()?.to_vec1()?, a.width);
    let lower = Tensor::from_vec(lower, (a.width, a.width), &Device::Cpu)?;
    let middle = lower.t()?.contiguous()?.matmul(&second)?.matmul(&lower)?;
    let values = eigenvalues(middle.flatten_all()?.to_vec1()?, a.width);
    let roots: f64 = values.iter().map(|x| x.max(0.0).sqrt()).sum();
    Ok(between_means + trace(&first)? + trace(&second)? - 2.0 * roots)
}

fn covariance(rows: &Features) -> Result<Tensor> {
    let centred = rows.centred()?;
    let products = centred.t()?.contiguous()?.matmul(&centred)?;
    Ok(products.affine(1.0 / (rows.len() as f64 - 1.0), 0.0)?)
}

/// Returns the Cholesky factor L of a matrix, so that L Lᵀ equals the matrix. Directions without
/// variance, which are frequent in a covariance of few rows, become columns of zeros.
pub(super) fn cholesky(mut matrix: Vec<f64>, size: usize) -> Vec<f64> {
    let largest = (0..size)
        .map(|at| matrix[at * size + at])
        .fold(0.0, f64::max);
    for column in 0..size {
        let (before, rest) = matrix.split_at_mut(column * size);
        let _ = before;
        let own = &mut rest[..size];
        let square = own[column] - own[..column].iter().map(|x| x * x).sum::<f64>();
        let root = if square > largest * 1e-12 {
            square.sqrt()
        } else {
            0.0
        };
        own[column] = root;
        own[column + 1..].fill(0.0);
        let own = own[..=column].to_vec();
        for row in rest[size..].chunks_exact_mut(size) {
            let dot: f64 = row[..column].iter().zip(&own).map(|(x, y)| x * y).sum();
            row[column] = if root > 0.0 {
                (row[column] - dot) / root
            } else {
                0.0
            };
        }
    }
    matrix
}

/// Computes the formula of the Inception Score (Salimans et al. 2016) on a classifier's logits
/// `[rows, classes]`: the exponential of the mean divergence of each picture's class distribution
/// from the average class distribution. The score ranges from 1 to the number of classes.
pub fn entropy_score(logits: &Features) -> f64 {
    let chances: Vec<Vec<f64>> = logits
        .values
        .chunks_exact(logits.width)
        .map(softmax)
        .collect();
    let count = chances.len() as f64;
    let mut all = vec![0f64; logits.width];
    for row in &chances {
        all.iter_mut()
            .zip(row)
            .for_each(|(sum, p)| *sum += p / count);
    }
    let divergence = |row: &Vec<f64>| -> f64 {
        let terms = row.iter().zip(&all).filter(|(p, _)| **p > 0.0);
        terms.map(|(p, all)| p * (p / all).ln()).sum()
    };
    (chances.iter().map(divergence).sum::<f64>() / count).exp()
}

fn softmax(row: &[f64]) -> Vec<f64> {
    let top = row.iter().copied().fold(f64::MIN, f64::max);
    let powers: Vec<f64> = row.iter().map(|x| (x - top).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|x| x / sum).collect()
}
