//! Matches the cases of two runs, even if their scripts or folders differ.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

/// The cases that two runs have in common, and those that only one of them has. Each case is given
/// by its index in its run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// The cases that both runs have, in the order of the first run.
    pub both: Vec<(usize, usize)>,
    pub only_a: Vec<usize>,
    pub only_b: Vec<usize>,
}

/// Matches the cases of two runs. Each case is given by its file and its name.
///
/// If both runs have a file with the same path, the cases of that file are matched with each other.
/// For all other files, only the file name is compared, because the two runs may come from
/// different folders. If several cases of a file have the same name, they are matched in order: the
/// first with the first, and so on.
pub fn match_cases(a: &[(String, String)], b: &[(String, String)]) -> Matching {
    let files = |cases: &[(String, String)]| -> BTreeSet<String> {
        cases.iter().map(|(file, _)| file.clone()).collect()
    };
    let (files_a, files_b) = (files(a), files(b));
    let key = |(file, case): &(String, String)| {
        let known = files_a.contains(file) && files_b.contains(file);
        let name = Path::new(file).file_name().unwrap_or_default();
        match known {
            true => (file.clone(), case.clone()),
            false => (name.to_string_lossy().into_owned(), case.clone()),
        }
    };
    let mut left: BTreeMap<(String, String), VecDeque<usize>> = BTreeMap::new();
    for (at, case) in b.iter().enumerate() {
        left.entry(key(case)).or_default().push_back(at);
    }
    let mut found = Matching::default();
    for (at, case) in a.iter().enumerate() {
        match left.get_mut(&key(case)).and_then(VecDeque::pop_front) {
            Some(other) => found.both.push((at, other)),
            None => found.only_a.push(at),
        }
    }
    found.only_b = left.into_values().flatten().collect();
    found.only_b.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_matched_by_path_then_by_file_name() {
        let cases = |cases: &[(&str, &str)]| -> Vec<(String, String)> {
            let cases = cases.iter();
            cases.map(|(f, c)| (f.to_string(), c.to_string())).collect()
        };
        let a = cases(&[
            ("a.illum", "one"),
            ("/home/a/b.illum", "two"),
            ("a.illum", "twice"),
            ("a.illum", "twice"),
            ("a.illum", "gone"),
        ]);
        let b = cases(&[
            ("a.illum", "twice"),
            ("a.illum", "new"),
            ("/srv/b.illum", "two"),
            ("a.illum", "one"),
            ("a.illum", "twice"),
        ]);
        let found = match_cases(&a, &b);
        assert_eq!(found.both, [(0, 3), (1, 2), (2, 0), (3, 4)]);
        assert_eq!((found.only_a, found.only_b), (vec![4], vec![1]));
    }
}
