//! Metrics based on nearest neighbours: precision, recall, diversity and memorization.

use super::Features;
use super::Result;

/// Returns the share of `rows` that lie among `others`. A row lies among `others` if its distance
/// from some row r of `others` is at most the distance of r from its own `k`th nearest neighbour in
/// `others` (Kynkäänniemi et al. 2019). Precision is the share of generated rows that lie among
/// real rows; recall is the share of real rows that lie among generated rows.
pub fn share_within(others: &Features, rows: &Features, k: usize) -> Result<f64> {
    let count = others.len();
    let own = others.distances(others)?;
    let radius = |row: &[f64]| {
        let mut row = row.to_vec();
        // The nearest is the row itself.
        let at = k.min(count - 1);
        *row.select_nth_unstable_by(at, f64::total_cmp).1
    };
    let radii: Vec<f64> = own.chunks_exact(count).map(radius).collect();
    let between = rows.distances(others)?;
    let inside = |row: &&[f64]| row.iter().zip(&radii).any(|(d, radius)| d <= radius);
    let among = between.chunks_exact(count).filter(inside).count();
    Ok(among as f64 / rows.len() as f64)
}

/// Computes the mean cosine distance over all pairs of rows, which is 0 if all rows are the same.
pub fn diversity(rows: &Features) -> f64 {
    let count = rows.len();
    let length = |row: &[f64]| row.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
    let (mut sum, mut pairs) = (0.0, 0);
    for one in 0..count {
        for other in one + 1..count {
            let (a, b) = (rows.row(one), rows.row(other));
            let dot: f64 = a.iter().zip(b).map(|(x, y)| x * y).sum();
            sum += 1.0 - dot / (length(a) * length(b));
            pairs += 1;
        }
    }
    sum / f64::from(pairs.max(1))
}

/// For each row of `rows`, returns the index of the nearest row of `others`, and its distance.
pub fn nearest_neighbours(rows: &Features, others: &Features) -> Result<Vec<(usize, f64)>> {
    let between = rows.distances(others)?;
    let least = |row: &[f64]| {
        let near = row.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
        near.map_or((0, 0.0), |(at, d)| (at, d.sqrt()))
    };
    Ok(between.chunks_exact(others.len()).map(least).collect())
}
