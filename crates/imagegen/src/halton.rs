//! The order in which the tokens of a picture are decoded. The order follows the Halton sequence
//! (1960) in bases 2 and 3: tokens are sorted by the first point of the sequence that falls into
//! their square of the picture (Halton-MaskGIT, Besnier et al. 2025). Any prefix of the order is
//! spread over the whole picture.

use super::config::{GRID, TOKENS};
use std::sync::LazyLock;

static ORDER: LazyLock<Vec<usize>> = LazyLock::new(|| {
    let mut order = Vec::with_capacity(TOKENS);
    let mut number = 1;
    while order.len() < TOKENS {
        let [row, column] =
            [2, 3].map(|base| (radical_inverse(number, base) * GRID as f64) as usize);
        let place = row * GRID + column;
        if !order.contains(&place) {
            order.push(place);
        }
        number += 1;
    }
    order
});

/// Iterates over the indices of all tokens of a picture in decoding order. The iteration starts at
/// position `first` of the order and wraps around.
pub fn halton_order(first: usize) -> impl Iterator<Item = usize> {
    let order = ORDER.iter().copied();
    order.cycle().skip(first % TOKENS).take(TOKENS)
}

/// Computes the radical inverse of a number: the digits of the number in a base, mirrored at the
/// radix point. The result is at least 0 and less than 1.
fn radical_inverse(mut number: usize, base: usize) -> f64 {
    let (mut sum, mut worth) = (0.0, 1.0);
    while number > 0 {
        worth /= base as f64;
        sum += (number % base) as f64 * worth;
        number /= base;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_mirrored_at_the_point() {
        // Six is 110 in base 2, and 20 in base 3.
        assert_eq!(radical_inverse(6, 2), 0.375);
        assert!((radical_inverse(6, 3) - 2.0 / 9.0).abs() < 1e-12);
    }

    #[test]
    fn each_place_comes_once_and_the_first_are_in_all_parts() {
        for first in [0, 5, 63, 64] {
            let mut places: Vec<usize> = halton_order(first).collect();
            let quarter = |place: &usize| (place / 32, place % GRID / 4);
            let mut quarters: Vec<_> = places[..8].iter().map(quarter).collect();
            quarters.sort();
            quarters.dedup();
            assert_eq!(quarters.len(), 4, "from {first}");
            places.sort();
            assert!(places.into_iter().eq(0..TOKENS));
        }
    }
}
