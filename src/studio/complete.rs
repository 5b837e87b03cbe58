//! Completes command names and arguments in the typed line, for every front end.

use super::Studio;
use crate::store::export;
use base::search::begins;
use std::collections::HashMap;
use story::command::{self, ArgumentKind, COMMANDS, CommandSpec};
use story::sampling::SETTINGS;

/// The candidates for a completion.
#[derive(Debug, PartialEq)]
pub struct Candidates {
    /// The byte offset in the line at which the word to be replaced starts.
    pub from: usize,
    pub found: Vec<Candidate>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    pub word: String,
    /// A one-line description of the candidate.
    pub note: String,
    /// Whether an argument may follow the word. If so, a line editor adds a space after the word.
    pub more: bool,
}

impl Studio {
    /// The candidates for completing `line`, which is the text before the cursor.
    pub fn completions(&self, line: &str) -> Option<Candidates> {
        candidates(line, |kind| {
            let mut names = self.names(kind);
            if let (ArgumentKind::Models, Some(servers)) = (kind, &self.setup.servers) {
                names.extend(servers.look());
            }
            names
        })
    }

    /// Returns a completer with a copy of all current names, for a line editor that has no access
    /// to the studio.
    pub fn completer(&self) -> Completer {
        let kinds = ArgumentKind::ALL.iter();
        let mut names: HashMap<_, _> = kinds.map(|kind| (*kind, self.names(*kind))).collect();
        // Only servers already found are listed, since no list has been opened.
        if let (Some(models), Some(servers)) =
            (names.get_mut(&ArgumentKind::Models), &self.setup.servers)
        {
            models.extend(servers.known());
        }
        Completer(names)
    }

    /// All names of the given kind, for example of sessions or marks; empty for a kind with a fixed
    /// list of words.
    fn names(&self, kind: ArgumentKind) -> Vec<String> {
        match kind {
            ArgumentKind::Models => self.setup.models.clone(),
            ArgumentKind::Sessions => self.setup.sessions.names().unwrap_or_default(),
            ArgumentKind::Voices => self.voices(),
            ArgumentKind::Styles => self.setup.styles.clone(),
            ArgumentKind::Marks => self.story().marks().keys().cloned().collect(),
            ArgumentKind::Nothing
            | ArgumentKind::Settings
            | ArgumentKind::Modes
            | ArgumentKind::Commands
            | ArgumentKind::Swipes
            | ArgumentKind::Reaches
            | ArgumentKind::Formats
            | ArgumentKind::LoreWords => Vec::new(),
        }
    }
}

/// Completes lines, using a copy of the names of each kind.
#[derive(Default)]
pub struct Completer(HashMap<ArgumentKind, Vec<String>>);

impl Completer {
    /// The candidates for completing `line`, which is the text before the cursor.
    pub fn candidates(&self, line: &str) -> Option<Candidates> {
        let names = |kind| self.0.get(&kind).cloned().unwrap_or_default();
        candidates(line, names)
    }
}

/// The candidates for completing `line`, which is the text before the cursor. `names` returns all
/// names of a kind, for example of models or sessions.
fn candidates(line: &str, names: impl Fn(ArgumentKind) -> Vec<String>) -> Option<Candidates> {
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
        // Options may appear among the words.
        ArgumentKind::Styles => rest.rsplit(' ').next().unwrap_or(rest),
        _ => rest.trim_start(),
    };
    let from = line.len() - typed.len();
    let mut all = match spec.completes {
        ArgumentKind::Commands => commands(typed, ""),
        what => arguments(what, names),
    };
    if spec.completes == ArgumentKind::Styles && typed.is_empty() {
        return None;
    }
    all.retain(|one| begins(&one.word, typed));
    some(from, all)
}

fn arguments(what: ArgumentKind, names: impl Fn(ArgumentKind) -> Vec<String>) -> Vec<Candidate> {
    let word = |word: &str, note: &str| Candidate {
        word: word.to_string(),
        note: note.to_string(),
        more: matches!(what, ArgumentKind::Settings),
    };
    match what {
        ArgumentKind::Nothing | ArgumentKind::Commands => Vec::new(),
        ArgumentKind::Settings => SETTINGS
            .iter()
            .map(|one| word(one.name, one.help))
            .collect(),
        ArgumentKind::Modes => vec![
            word("prose", "the model continues the text"),
            word("chat", "each line is a turn, and the model answers"),
        ],
        ArgumentKind::Swipes => vec![
            word("next", "or, after the newest, generate a new one"),
            word("prev", ""),
        ],
        ArgumentKind::Models
        | ArgumentKind::Sessions
        | ArgumentKind::Marks
        | ArgumentKind::Voices => names(what).iter().map(|name| word(name, "")).collect(),
        ArgumentKind::Styles => {
            let styles = names(what);
            let styles = styles.iter().map(|name| Candidate {
                more: true,
                ..word(&format!("style={name}"), "")
            });
            let options = command::OPTIONS.iter().map(|option| word(option, ""));
            styles.chain(options.skip(1)).collect()
        }
        ArgumentKind::Formats => export::names().iter().map(|name| word(name, "")).collect(),
        ArgumentKind::Reaches | ArgumentKind::LoreWords => {
            let words = command::fixed_completions(what).iter();
            words.map(|name| word(name, "")).collect()
        }
    }
}

fn commands(typed: &str, slash: &str) -> Vec<Candidate> {
    let typed = typed.to_lowercase();
    let candidate = |spec: &CommandSpec, name: &str| Candidate {
        word: name.to_string(),
        note: format!("{slash}{name} {}\t{}", spec.args, spec.help),
        more: !slash.is_empty(),
    };
    let fits = |name: &str| name.starts_with(&typed);
    let named = COMMANDS.iter().filter(|spec| fits(spec.name));
    let mut found: Vec<Candidate> = named.map(|spec| candidate(spec, spec.name)).collect();
    if found.is_empty() {
        for spec in COMMANDS {
            let aliases = spec.aliases.iter().filter(|alias| fits(alias));
            found.extend(aliases.map(|alias| candidate(spec, alias)));
        }
    }
    found
}

fn some(from: usize, found: Vec<Candidate>) -> Option<Candidates> {
    (!found.is_empty()).then_some(Candidates { from, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let names = |what| match what {
            ArgumentKind::Models => vec!["smollm2-135m".to_string(), "smollm2-360m".to_string()],
            ArgumentKind::Styles => vec!["noto".to_string(), "ink".to_string()],
            _ => vec!["story-1".to_string(), "The harbour".to_string()],
        };
        let found = candidates(line, names)
            .map(|candidates| candidates.found)
            .unwrap_or_default();
        found.into_iter().map(|one| one.word).collect()
    }

    #[test]
    fn names_arguments_and_nothing_else_are_completed() {
        assert_eq!(words("/re"), ["retry", "redo", "restyle"]);
        assert_eq!(words("/rege"), ["regen", "regenerate"]);
        assert_eq!(words("/model smollm2-3"), ["smollm2-360m"]);
        assert_eq!(words("/open the"), ["The harbour"]);
        assert_eq!(words("/mode "), ["prose", "chat"]);
        assert_eq!(words("/set top_k"), ["top_k"]);
        assert_eq!(words("/help unD"), ["undo"]);
        assert_eq!(words("/export e"), ["epub"]);
        assert_eq!(words("/image a fox style=i"), ["style=ink"]);
        assert_eq!(words("/image a fox se"), ["seed="]);
        assert!(words("/image a fox ").is_empty());
        assert!(words("//re").is_empty() && words("re").is_empty() && words("/undo ").is_empty());
    }

    #[test]
    fn a_name_a_setting_and_a_style_are_gone_on_from() {
        let more = |line: &str| {
            let found = candidates(line, |_| vec!["ink".to_string()]);
            found.is_some_and(|candidates| candidates.found.iter().all(|one| one.more))
        };
        assert!(more("/re") && more("/set top") && more("/image a fox style="));
        assert!(!more("/help und") && !more("/mode "));
    }
}
