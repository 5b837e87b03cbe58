//! The held-out split. A hash of the names determines the split of each picture, so no list is
//! stored, and pictures keep their split when the dataset grows.

use sha2::{Digest, Sha256};

/// The split that a picture belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Split {
    Train,
    /// The picture is held out, but training includes its concept in other styles.
    HeldOutPair,
    /// The picture is held out, along with all other pictures of its concept.
    HeldOutConcept,
}

/// A name is held out if its hash, a number from 0 to 9,999, is less than this: one name in twenty.
const HELD_OUT: u64 = 500;
const BUCKETS: u64 = 10_000;

/// Returns the split for pictures of the concept `label` in the given style. It does not depend on
/// the skin tone.
///
/// A concept is held out if the first eight bytes of SHA-256("illumine concept LABEL"), as a
/// little-endian number modulo 10,000, are less than 500. A pair of concept and style is held out
/// by the same rule, applied to "illumine pair STYLE LABEL".
pub fn split_of(label: &str, style: &str) -> Split {
    if is_held_out(&format!("illumine concept {label}")) {
        Split::HeldOutConcept
    } else if is_held_out(&format!("illumine pair {style} {label}")) {
        Split::HeldOutPair
    } else {
        Split::Train
    }
}

fn is_held_out(name: &str) -> bool {
    let digest = Sha256::digest(name);
    let first = digest.iter().take(8).rev();
    first.fold(0u64, |number, byte| number << 8 | u64::from(*byte)) % BUCKETS < HELD_OUT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_one_in_twenty_of_each_kind_is_held_out() {
        let parts: Vec<Split> = (0..20_000)
            .map(|n| split_of(&format!("concept {n}"), "noto"))
            .collect();
        let share = |part| parts.iter().filter(|p| **p == part).count() as f64 / 20_000.0;
        assert!((share(Split::HeldOutConcept) - 0.05).abs() < 0.005);
        assert!((share(Split::HeldOutPair) - 0.05).abs() < 0.005);
    }

    #[test]
    fn a_held_concept_is_held_in_every_style() {
        let held = (0..).map(|n| format!("concept {n}"));
        let held = held.filter(|label| split_of(label, "noto") == Split::HeldOutConcept);
        for label in held.take(20) {
            assert_eq!(split_of(&label, "ink"), Split::HeldOutConcept);
        }
    }
}
