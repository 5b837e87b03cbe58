//! `illumine sessions conflicts`, `restore` and `check --salvage`: ways to recover a session.

use super::{Exit, Failed, print};
use base::untrusted::clean_line;
use illumine::store::{Sessions, difference, shell_word};
use std::path::Path;
use story::Story;
use story::sentence::{count_noun, excerpt};

/// The maximum number of passages that are quoted from each story.
const QUOTED: usize = 5;

/// Lists the copies that a sync program left and compares them with the session, or opens one copy
/// as a new session.
pub fn conflicts(
    sessions: &Sessions,
    name: &str,
    copy: Option<usize>,
    to: Option<&str>,
) -> Result<Exit, Failed> {
    if let Some(number) = copy {
        let journal = sessions.open_copy(name, number, to)?;
        return print(&format!(
            "The copy is now the session {}, in {}; {name} and the copy are unchanged\n",
            journal.name(),
            journal.path().display()
        ));
    }
    let story = sessions.read(name)?.story;
    let copies = sessions.conflicting_copies(name)?;
    if copies.is_empty() {
        return print(&format!("{name} has no conflicting copies\n"));
    }
    let mut text = String::new();
    for (at, copy) in copies.iter().enumerate() {
        let found = difference(&story, &copy.recovered.story);
        text.push_str(&format!(
            "{}  {}, {}\n",
            at + 1,
            copy_name(&copy.path),
            count_noun(copy.recovered.story.nodes().len(), "passage")
        ));
        if let Some(why) = &copy.recovered.read_only_reason {
            text.push_str(&format!("   read up to the point where {why}\n"));
        }
        text.push_str(&quoted(&format!("only in {name}"), &found.first));
        text.push_str(&quoted("only in the copy", &found.second));
    }
    text.push_str(&format!(
        "illumine sessions conflicts {} N opens copy N as a session\n",
        shell_word(name)
    ));
    print(&text)
}

/// Formats the passages that only one of two stories has, under the heading `whose`.
fn quoted(whose: &str, passages: &[String]) -> String {
    let mut text = format!("   {whose}: {}\n", count(passages.len()));
    for passage in passages.iter().take(QUOTED) {
        let passage = clean_line(&excerpt(passage, 100));
        text.push_str(&format!("     {}\n", passage.trim()));
    }
    if passages.len() > QUOTED {
        text.push_str(&format!("     and {} more\n", passages.len() - QUOTED));
    }
    text
}

fn count(passages: usize) -> String {
    match passages {
        0 => "nothing".to_string(),
        some => count_noun(some, "passage"),
    }
}

/// Lists the daily backups of a session, or creates a new session from one backup.
pub fn restore(
    sessions: &Sessions,
    name: &str,
    date: Option<&str>,
    to: Option<&str>,
) -> Result<Exit, Failed> {
    if let Some(date) = date {
        let journal = sessions.restore(name, date, to)?;
        return print(&format!(
            "The backup is now the session {}, in {}; {name} is unchanged\n",
            journal.name(),
            journal.path().display()
        ));
    }
    let backups = sessions.backups(name)?;
    if backups.is_empty() {
        return print(&format!(
            "{name} has no backups yet; one is made when it is opened on another day\n"
        ));
    }
    let rows = backups
        .iter()
        .map(|backup| format!("{}  {:>9}\n", backup.date, backup.bytes));
    print(&rows.collect::<String>())
}

/// Reads a session past its damaged records, and writes the undamaged part to a new session.
pub fn salvage(sessions: &Sessions, name: &str) -> Result<Exit, Failed> {
    let salvaged = sessions.salvage(name)?;
    if salvaged.left_out.is_empty() {
        return print(&format!(
            "{name} has no damaged records; there is nothing to salvage\n"
        ));
    }
    if salvaged.story.nodes().is_empty() {
        let why = format!(
            "No record of {name} can be read; restore a backup with illumine sessions restore {}",
            shell_word(name)
        );
        return Err(Failed::new(Exit::Session, why));
    }
    let journal = sessions.save_salvaged(name, &salvaged)?;
    let mut text = String::new();
    for left_out in &salvaged.left_out {
        let words = match left_out.words() {
            0 => "none of its words can be read".to_string(),
            1 => "1 word".to_string(),
            words => format!("{words} words"),
        };
        let line = format!(
            "line {}: left out ({}), {words}",
            left_out.line, left_out.why
        );
        text.push_str(&line);
        if left_out.words() > 0 {
            let said = clean_line(&excerpt(&left_out.text, 300));
            text.push_str(&format!(": {}", said.trim()));
        }
        text.push('\n');
    }
    if salvaged.adjusted > 0 {
        text.push_str(&format!(
            "{} added empty in place of lost ones, or moved because their place is lost\n",
            count(salvaged.adjusted)
        ));
    }
    text.push_str(&format!(
        "Wrote {} with {} words to the session {}, in {}; {name} is unchanged\n",
        count(salvaged.story.nodes().len()),
        words(&salvaged.story),
        journal.name(),
        journal.path().display()
    ));
    print(&text)
}

fn words(story: &Story) -> usize {
    let nodes = story.nodes().iter();
    nodes.map(|node| node.text.split_whitespace().count()).sum()
}

/// Returns the name to show for a conflicting copy. This is the file's name, unless the file is
/// called `journal.jsonl` like any journal; then it is the folder's name. The result contains no
/// control characters.
pub fn copy_name(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
    match file.as_ref() {
        "journal.jsonl" => clean_line(&folder.to_string_lossy()),
        file => clean_line(file),
    }
}
