//! Describes the rows that an import leaves out.

use story::sentence::count_noun;

/// Rows of one kind that could not be used.
#[derive(Debug, Default)]
pub struct Skipped {
    rows: Vec<(String, &'static str)>,
    count: usize,
}

/// The number of rows to name; the others are only counted.
const NAMED: usize = 4;

impl Skipped {
    /// Records a row that was left out: its place in the file, and the reason.
    pub fn note(&mut self, place: impl std::fmt::Display, why: &'static str) {
        self.count += 1;
        if self.rows.len() < NAMED {
            let place: String = place.to_string().chars().take(40).collect();
            self.rows.push((place, why));
        }
    }

    /// The first row that was left out, and why; for the error if no row of the file can be used.
    pub fn first(&self) -> Option<String> {
        let (place, why) = self.rows.first()?;
        Some(format!("{place} {why}"))
    }

    /// A clause about all rows that were left out; None if there are none. `one` is the word for
    /// one row.
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
