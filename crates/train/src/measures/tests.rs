//! Compares the metrics with results that torch-fidelity 0.4.0 (kernel, Fréchet, entropy score) and
//! scikit-learn (neighbours, ridge, cosine distances) computed in 64 bits on the same features.

use super::*;

fn rows(count: usize, s: f64) -> Features {
    let value = |i: usize, j: usize| {
        let (i, j) = (i as f64, j as f64);
        (0.37 * i * (1.0 + s) + 1.13 * j + s).sin() + 0.5 * (0.05 * i * j + s).cos() + s * 0.3
    };
    let values = (0..count).flat_map(|i| (0..6).map(move |j| value(i, j)));
    Features {
        width: 6,
        values: values.collect(),
    }
}

fn near(found: f64, wanted: f64) {
    assert!(
        (found - wanted).abs() < 1e-9 * wanted.abs().max(1.0),
        "{found} is not {wanted}"
    );
}

#[test]
fn distances_between_sets() {
    let (a, b) = (rows(40, 0.0), rows(30, 0.9));
    let first: Vec<usize> = (0..30).collect();
    let (mean, deviation) = kernel_distance(&a.pick(&first), &b, 3, 30, 1).unwrap();
    near(mean, -0.11282277655968498);
    assert_eq!(deviation, 0.0);
    let found = frechet_distance(&a, &b).unwrap();
    assert!((found - 0.25507706129908136).abs() < 1e-6, "{found}");
    // A set compared with itself; and one without variance in one direction.
    assert!(frechet_distance(&a, &a).unwrap().abs() < 1e-6);
    let flat = Features {
        width: 6,
        values: a
            .values
            .iter()
            .enumerate()
            .map(|(at, x)| if at % 6 == 2 { 0.0 } else { *x })
            .collect(),
    };
    assert!(frechet_distance(&flat, &flat).unwrap().abs() < 1e-6);
    assert!(frechet_distance(&a, &flat).unwrap() > 0.1);
}

#[test]
fn a_subset_is_drawn_by_its_seed() {
    let (a, b) = (rows(40, 0.0), rows(30, 0.9));
    let one = kernel_distance(&a, &b, 4, 10, 1).unwrap();
    assert_eq!(one, kernel_distance(&a, &b, 4, 10, 1).unwrap());
    assert_ne!(one, kernel_distance(&a, &b, 4, 10, 2).unwrap());
    assert!(one.1 > 0.0);
}

#[test]
fn the_entropy_of_what_pictures_are_taken_for() {
    let logits = rows(40, 0.0);
    let twice = Features {
        width: 6,
        values: logits.values.iter().map(|x| x * 2.0).collect(),
    };
    near(entropy_score(&twice), 1.7527159267468095);
}

#[test]
fn precision_recall_neighbours_and_diversity() {
    let (a, b) = (rows(40, 0.0), rows(30, 0.9));
    near(share_within(&a, &b, 3).unwrap(), 0.9);
    near(share_within(&b, &a, 3).unwrap(), 1.0);
    let found = nearest_neighbours(&b, &a).unwrap();
    for ((_, found), wanted) in found.iter().zip([0.41985441, 0.4205092, 0.48734922]) {
        assert!((found - wanted).abs() < 1e-7);
    }
    near(diversity(&a.pick(&[0, 1, 2, 3, 4])), 0.20097764889818545);
}

#[test]
fn a_ridge_regression() {
    let (a, b) = (rows(40, 0.0), rows(30, 0.9));
    let values = (0..40).flat_map(|i| [(0.2 * i as f64).cos(), (0.3 * i as f64).sin()]);
    let targets = Features {
        width: 2,
        values: values.collect(),
    };
    let learned = Classifier::fit(&a, &targets, 0.5).unwrap();
    let found = learned.apply(&b.pick(&[0, 1, 2])).unwrap();
    let wanted = [
        0.9941950172078657,
        0.7881719801257039,
        0.9991378939604367,
        1.012313203571419,
        0.9646120991089888,
        1.2076856068490793,
    ];
    for (found, wanted) in found.values.iter().zip(wanted) {
        near(*found, wanted);
    }
}

#[test]
fn eigenvalues_add_up_and_multiply() {
    // 2 - 2 cos(kπ / (n + 1)), the eigenvalues of the second difference.
    let size = 9;
    let mut matrix = vec![0f64; size * size];
    for at in 0..size {
        matrix[at * size + at] = 2.0;
        if at + 1 < size {
            matrix[at * size + at + 1] = -1.0;
            matrix[(at + 1) * size + at] = -1.0;
        }
    }
    let mut found = eigen::eigenvalues(matrix, size);
    found.sort_by(f64::total_cmp);
    for (k, found) in found.iter().enumerate() {
        let angle = (k + 1) as f64 * std::f64::consts::PI / (size + 1) as f64;
        near(*found, 2.0 - 2.0 * angle.cos());
    }
}
