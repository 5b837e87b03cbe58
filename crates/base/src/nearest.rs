//! "Did you mean": finds the known name closest to a mistyped one.

use strsim::osa_distance;

/// The maximum length, in bytes, of an input to compare. A longer input is not a typo.
const LONGEST: usize = 80;

/// Returns the name nearest to `typed`, or None if no name is near enough.
///
/// A name is near enough if it starts with `typed`, or if its distance from `typed` is at most a
/// third of the length of the longer of the two. The distance is the optimal string alignment
/// distance (Levenshtein with transpositions).
pub fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if typed.len() > LONGEST {
        return None;
    }
    let typed = typed.to_lowercase();
    names
        .into_iter()
        .filter_map(|name| {
            let far = osa_distance(&typed, &name.to_lowercase());
            let near = far <= typed.len().max(name.len()).div_ceil(3);
            let begins = typed.len() >= 2 && name.to_lowercase().starts_with(&typed);
            (near || begins).then_some((if begins { 0 } else { far }, name))
        })
        .min_by_key(|(far, _)| *far)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        let names = ["retry", "redo", "quit"];
        assert_eq!(nearest("rtery", names), Some("retry"));
        assert_eq!(nearest("qit", names), Some("quit"));
        assert_eq!(nearest("zzzzzz", names), None);
    }

    #[test]
    fn distances_worked_out_by_hand() {
        assert_eq!(osa_distance("kitten", "sitting"), 3);
        assert_eq!(osa_distance("ab", "ba"), 1);
        assert_eq!(osa_distance("", "abc"), 3);
    }
}
