//! Describes the rows that an import leaves out.

use story::sentence::count_noun;

/// The rows of one kind that an import left out.
#[derive(Debug, Default)]
pub struct Skipped {
    rows: Vec<(String, &'static str)>,
    count: usize,
}

/// The maximum number of rows that a notice names. Further rows are only counted.
const NAMED: usize = 4;

impl Skipped {
    /// Records that the row at `place` in the file was left out, and why.
    pub fn note(&mut self, place: impl std::fmt::Display, why: &'static str) {
        self.count += 1;
        if self.rows.len() < NAMED {
            let place: String = place.to_string().chars().take(40).collect();
            self.rows.push((place, why));
        }
    }

    /// The place of the first row that was left out, with the reason. An error shows it if no row
    /// of the file can be used.
    pub fn first(&self) -> Option<String> {
        let (place, why) = self.rows.first()?;
        Some(format!("{place} {why}"))
    }

    /// A clause about all rows that were left out; None if no row was left out. `one` is the noun
    /// for one row.
    pub fn notice(&self, one: &str) -> Option<String> {
        if self.count == 0 {
            return None;
        }
        let named = self
            .rows
            .iter()
            .map(|(place, why)| format!("{place} {why}"));
        let mut named: Vec<String> = named.collect();
        if self.count > named.len() {
            named.push(format!("and {} more", self.count - named.len()));
        }
        Some(format!(
            "left out {} ({})",
            count_noun(self.count, one),
            named.join(", ")
        ))
    }
}
