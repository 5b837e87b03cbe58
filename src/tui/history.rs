//! The input history, navigated with Up and Down.

/// The maximum number of lines in the history.
const LIMIT: usize = 1000;

#[derive(Debug, Default)]
pub struct History {
    lines: Vec<String>,
    /// The number of lines that were loaded when the program started.
    old: usize,
    /// The index of the history line in the input; None while the input is a new line.
    at: Option<usize>,
    draft: String,
}

impl History {
    pub fn new(mut lines: Vec<String>) -> History {
        lines.drain(..lines.len().saturating_sub(LIMIT));
        let old = lines.len();
        History {
            lines,
            old,
            ..History::default()
        }
    }

    pub fn add(&mut self, line: &str) {
        self.at = None;
        let again = self.lines.last().is_some_and(|last| last == line);
        if !line.trim().is_empty() && !again {
            self.lines.push(line.to_string());
        }
    }

    /// Goes back to the previous line of the history and returns that line. `now` is the text in
    /// the input; if it is a new line, it is saved as a draft.
    pub fn older(&mut self, now: &str) -> Option<&str> {
        let at = self.at.unwrap_or(self.lines.len()).checked_sub(1)?;
        if self.at.is_none() {
            self.draft = now.to_string();
        }
        self.at = Some(at);
        self.lines.get(at).map(String::as_str)
    }

    pub fn newer(&mut self) -> Option<&str> {
        let at = self.at? + 1;
        self.at = (at < self.lines.len()).then_some(at);
        match self.at {
            Some(at) => self.lines.get(at).map(String::as_str),
            None => Some(&self.draft),
        }
    }

    /// The lines added since the program started.
    pub fn added(self) -> Vec<String> {
        let mut lines = self.lines;
        lines.split_off(self.old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_goes_back_and_down_returns_to_the_draft() {
        let mut history = History::new(vec!["one".into()]);
        history.add("two");
        history.add("two");
        assert_eq!(history.older("half a li"), Some("two"));
        assert_eq!(history.older("two"), Some("one"));
        assert_eq!(history.older("one"), None);
        assert_eq!(history.newer(), Some("two"));
        assert_eq!(history.newer(), Some("half a li"));
        assert_eq!(history.newer(), None);
        assert_eq!(history.added(), ["two"]);
    }
}
