//! Completions on the screen: the list of candidates, and the ghost text after the cursor.

use crate::studio::complete::Candidates;
use story::command::{self, ArgumentKind};
use story::sampling::find;

/// The completions on the screen, and the index of the selected completion.
#[derive(Debug, PartialEq)]
pub struct Hints {
    pub candidates: Candidates,
    pub chosen: Option<usize>,
}

impl Hints {
    pub fn new(candidates: Candidates) -> Hints {
        Hints {
            candidates,
            chosen: None,
        }
    }

    /// Moves the selection by `step` candidates, wrapping around at the ends. Returns the word of
    /// the newly selected candidate.
    pub fn step(&mut self, step: isize) -> &str {
        let count = self.candidates.found.len();
        let next = match self.chosen {
            Some(at) => (at as isize + step).rem_euclid(count as isize) as usize,
            None if step > 0 => 0,
            None => count - 1,
        };
        self.chosen = Some(next);
        &self.candidates.found[next].word
    }
}

/// The ghost text to show after the cursor: the arguments that the typed command can still take.
pub fn ghost(line: &str) -> Option<String> {
    let command = line.strip_prefix('/')?;
    let (name, rest) = command
        .split_once(' ')
        .map_or((command, None), |(name, rest)| (name, Some(rest)));
    let spec = command::find(name)?;
    match rest {
        None if !spec.args.is_empty() => Some(format!(" {}", spec.args)),
        Some("") => Some(spec.args.to_string()),
        Some(rest) if spec.completes == ArgumentKind::Settings => {
            let (name, value) = rest.trim_start().split_once(' ')?;
            let setting = find(name).ok().filter(|_| value.is_empty())?;
            Some(setting.args.to_string())
        }
        _ => None,
    }
}

/// Whether the command with this name takes arguments, so that completing the name also adds a
/// space.
pub fn takes_something(name: &str) -> bool {
    command::find(name).is_some_and(|spec| !spec.args.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ghost_says_what_a_command_takes() {
        assert_eq!(ghost("/retry").as_deref(), Some(" [seed=N]"));
        assert_eq!(ghost("/retry ").as_deref(), Some("[seed=N]"));
        assert_eq!(ghost("/next"), None);
        assert!(ghost("/set temperature ").is_some());
        assert_eq!(ghost("retry"), None);
    }
}
