<<<<<<< HEAD
//! Completions on the screen: the list under the line, and the ghost behind the cursor.

use crate::story::command::{self, Completes};
use crate::story::sampling::find;
use crate::studio::complete::{Candidates, candidates};
=======
//! Completion of commands and their arguments, from the table of commands.

use crate::story::command::{self, COMMANDS, Completes, Spec};
use crate::story::sampling::{SETTINGS, find};

/// A completion candidate.
#[derive(Debug, PartialEq)]
pub struct Candidates {
    /// Where the word to be replaced starts.
    pub from: usize,
    pub found: Vec<Candidate>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    pub word: String,
    /// A one-line description.
    pub note: String,
}
>>>>>>> 9c259bb (Plain words: a glossary, README, help, errors and notices in the field's terms)

/// The completions on the screen, and which of them is selected.
#[derive(Debug, PartialEq)]
pub struct Hints {
    pub candidates: Candidates,
    pub chosen: Option<usize>,
}

impl Hints {
    /// Hints for the line up to the cursor, if there are any.
    pub fn at(line: &str, names: impl Fn(Completes) -> Vec<String>) -> Option<Hints> {
        let candidates = candidates(line, names)?;
        Some(Hints {
            candidates,
            chosen: None,
        })
    }

    /// Selects the next or the previous candidate, cyclically.
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

<<<<<<< HEAD
/// What the command on the line still takes, to show behind the cursor.
=======
/// The candidates for the line up to the cursor; `names` looks up models or sessions.
pub fn candidates(line: &str, names: impl Fn(Completes) -> Vec<String>) -> Option<Candidates> {
    let command = line
        .strip_prefix('/')
        .filter(|rest| !rest.starts_with('/'))?;
    if line.contains('\n') {
        return None;
    }
    let Some((name, rest)) = command.split_once(' ') else {
        return some(1, commands(command, "/"));
    };
    let spec = command::find(name)?;
    let typed = match spec.completes {
        // Options stand among the words.
        Completes::Styles => rest.rsplit(' ').next().unwrap_or(rest),
        _ => rest.trim_start(),
    };
    let from = line.len() - typed.len();
    let mut all = match spec.completes {
        Completes::Commands => commands(typed, ""),
        what => arguments(what, names),
    };
    let typed = typed.to_lowercase();
    if spec.completes == Completes::Styles && typed.is_empty() {
        return None;
    }
    all.retain(|one| one.word.to_lowercase().starts_with(&typed));
    some(from, all)
}

fn arguments(what: Completes, names: impl Fn(Completes) -> Vec<String>) -> Vec<Candidate> {
    let word = |word: &str, note: &str| Candidate {
        word: word.to_string(),
        note: note.to_string(),
    };
    match what {
        Completes::Nothing | Completes::Commands => Vec::new(),
        Completes::Settings => SETTINGS
            .iter()
            .map(|one| word(one.name, one.help))
            .collect(),
        Completes::Modes => vec![
            word("prose", "the model continues the text"),
            word("chat", "each line is a turn, and the model answers"),
        ],
        Completes::Swipes => vec![
            word("next", "or generate a new one, past the newest"),
            word("prev", ""),
        ],
        Completes::Models | Completes::Sessions | Completes::Marks | Completes::Voices => {
            names(what).iter().map(|name| word(name, "")).collect()
        }
        Completes::Styles => {
            let styles = names(what);
            let styles = styles.iter().map(|name| word(&format!("style={name}"), ""));
            let options = command::OPTIONS.iter().map(|option| word(option, ""));
            styles.chain(options.skip(1)).collect()
        }
        Completes::Reaches | Completes::Formats | Completes::LoreWords => {
            let words = command::words(what).iter();
            words.map(|name| word(name, "")).collect()
        }
    }
}

/// The arguments that the command on the line still takes, shown after the cursor.
>>>>>>> 9c259bb (Plain words: a glossary, README, help, errors and notices in the field's terms)
pub fn ghost(line: &str) -> Option<String> {
    let command = line.strip_prefix('/')?;
    let (name, rest) = command
        .split_once(' ')
        .map_or((command, None), |(name, rest)| (name, Some(rest)));
    let spec = command::find(name)?;
    match rest {
        None if !spec.args.is_empty() => Some(format!(" {}", spec.args)),
        Some("") => Some(spec.args.to_string()),
        Some(rest) if spec.completes == Completes::Settings => {
            let (name, value) = rest.trim_start().split_once(' ')?;
            let setting = find(name).ok().filter(|_| value.is_empty())?;
            Some(setting.args.to_string())
        }
        _ => None,
    }
}

/// Whether a command takes arguments, so that Enter completes it instead of running it.
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
