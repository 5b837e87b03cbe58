//! "Did you mean": the closest of some names to a mistyped one.

/// What is longer than this is no slip of the finger, and comparing it takes time.
const LONGEST: usize = 80;

/// The name nearest to `typed`, when it is near enough to be what was meant.
///
/// Optimal string alignment distance (Levenshtein with swaps of neighbours), at most a third of
/// the longer word, or any name that `typed` begins.
pub fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if typed.len() > LONGEST {
        return None;
    }
    let typed = typed.to_lowercase();
    names
        .into_iter()
        .filter_map(|name| {
            let far = distance(&typed, &name.to_lowercase());
            let near = far <= typed.len().max(name.len()).div_ceil(3);
            let begins = typed.len() >= 2 && name.to_lowercase().starts_with(&typed);
            (near || begins).then_some((if begins { 0 } else { far }, name))
        })
        .min_by_key(|(far, _)| *far)
        .map(|(_, name)| name)
}

fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        rows[i][0] = i;
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(rows[i][j - 1] + 1)
                .min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
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
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("", "abc"), 3);
    }
}
