//! Computes the eigenvalues of a symmetric matrix by Householder tridiagonalization and QR steps
//! with implicit shifts (Golub and Van Loan, Matrix Computations, 8.3).

/// Returns the eigenvalues of a symmetric matrix `[size, size]` in no particular order.
pub fn eigenvalues(mut matrix: Vec<f64>, size: usize) -> Vec<f64> {
    let (mut diagonal, mut beside) = reduced(&mut matrix, size);
    let mut last = size;
    let mut patience = 60 * size;
    while last > 1 && patience > 0 {
        let tiny = |at: usize, diagonal: &[f64], beside: &[f64]| {
            beside[at].abs() <= f64::EPSILON * (diagonal[at].abs() + diagonal[at + 1].abs())
        };
        if tiny(last - 2, &diagonal, &beside) {
            beside[last - 2] = 0.0;
            last -= 1;
            continue;
        }
        let mut first = last - 1;
        while first > 0 && !tiny(first - 1, &diagonal, &beside) {
            first -= 1;
        }
        step(&mut diagonal[first..last], &mut beside[first..last - 1]);
        patience -= 1;
    }
    diagonal
}

/// Returns the diagonal and the off-diagonal of a tridiagonal matrix that has the same eigenvalues
/// as `matrix`.
fn reduced(matrix: &mut [f64], size: usize) -> (Vec<f64>, Vec<f64>) {
    let mut beside = vec![0f64; size.saturating_sub(1)];
    for column in 0..size.saturating_sub(1) {
        let from = column + 1;
        let mut vector: Vec<f64> = (from..size)
            .map(|row| matrix[row * size + column])
            .collect();
        let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
        if length == 0.0 {
            continue;
        }
        let alpha = if vector[0] > 0.0 { -length } else { length };
        beside[column] = alpha;
        vector[0] -= alpha;
        let squared: f64 = vector.iter().map(|x| x * x).sum();
        if squared == 0.0 {
            continue;
        }
        let beta = 2.0 / squared;
        // p = β A v, w = p - β/2 (pᵀv) v, A ← A - v wᵀ - w vᵀ.
        let rows = size - from;
        let row = |at: usize| (from + at) * size + from;
        let mut w: Vec<f64> = (0..rows)
            .map(|at| {
                let own = &matrix[row(at)..][..rows];
                beta * own.iter().zip(&vector).map(|(a, v)| a * v).sum::<f64>()
            })
            .collect();
        let half: f64 = beta / 2.0 * w.iter().zip(&vector).map(|(w, v)| w * v).sum::<f64>();
        w.iter_mut().zip(&vector).for_each(|(w, v)| *w -= half * v);
        for at in 0..rows {
            let (v, x) = (vector[at], w[at]);
            let own = &mut matrix[row(at)..][..rows];
            for ((a, w), u) in own.iter_mut().zip(&w).zip(&vector) {
                *a -= v * w + x * u;
            }
        }
    }
    let diagonal = (0..size).map(|at| matrix[at * size + at]).collect();
    (diagonal, beside)
}

/// Takes one QR step with Wilkinson's shift.
fn step(diagonal: &mut [f64], beside: &mut [f64]) {
    let last = diagonal.len() - 1;
    let half = (diagonal[last - 1] - diagonal[last]) / 2.0;
    let off = beside[last - 1];
    let sign = if half < 0.0 { -1.0 } else { 1.0 };
    let shift = diagonal[last] - off * off / (half + sign * half.hypot(off));
    let (mut x, mut z) = (diagonal[0] - shift, beside[0]);
    for at in 0..last {
        let length = x.hypot(z);
        let (c, s) = match length == 0.0 {
            true => (1.0, 0.0),
            false => (x / length, -z / length),
        };
        if at > 0 {
            beside[at - 1] = length;
        }
        let (a, b, e) = (diagonal[at], diagonal[at + 1], beside[at]);
        diagonal[at] = c * c * a - 2.0 * c * s * e + s * s * b;
        diagonal[at + 1] = s * s * a + 2.0 * c * s * e + c * c * b;
        beside[at] = c * s * (a - b) + (c * c - s * s) * e;
        if at + 1 < last {
            x = beside[at];
            z = -s * beside[at + 1];
            beside[at + 1] *= c;
        }
    }
}
