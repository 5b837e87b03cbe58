//! Runs `/memory`, `/note`, `/lore`, `/ban` and `/summarize`. These commands set texts that the
//! model reads alongside the story, and phrases that the model must not write.

use super::outcome::Listed;
use super::request::Ask;
use super::session::Afterwards;
use super::{Outcome, Refusal, Studio, cannot};
use base::search::{folded, same};
use base::untrusted::clean;
use sampler::ban::Ban;
use story::command::{ContinueLength, LoreCommand};
use story::frame::{FrameChange, Note};
use story::lore::{LoreEntry, Lorebook};
use story::record::{Change, StepKind};
use story::sentence::{count_noun, excerpt};
use story::{Command, Place, Record};

/// The name of the lorebook for entries added with `/lore add`.
const OWN: &str = "notes";

/// The instruction that makes the model write a summary.
const SUMMARIZE: &str = "Summary of the story so far, in a few sentences";

impl Studio {
    pub(super) fn memory(&mut self, text: Option<String>) -> Result<Outcome, Refusal> {
        let Some(text) = text else {
            return Ok(shown(
                &self.session.story.frame().memory,
                "memory",
                "/memory TEXT",
            ));
        };
        let text = unless_none(&text);
        let said = match text.is_empty() {
            true => "Removed the memory",
            false => "Set the memory; it is placed before the story",
        };
        self.set_frame(FrameChange::Memory { text }, said)
    }

    pub(super) fn note(&mut self, text: Option<String>) -> Result<Outcome, Refusal> {
        let note = &self.session.story.frame().note;
        let Some(text) = text else {
            let note = match note.text.as_str() {
                "" => String::new(),
                text => format!("{text}\n  {} paragraphs before the end", note.depth),
            };
            return Ok(shown(&note, "author's note", "/note TEXT"));
        };
        let (text, depth) = match text.rsplit_once("depth=") {
            Some((text, depth)) => {
                let depth = depth.trim().parse().ok().filter(|depth| *depth <= 100);
                let wrong = "The depth must be a number of paragraphs, for example /note rain is near depth=3";
                (text.trim(), depth.ok_or_else(|| cannot(wrong))?)
            }
            None => (text.as_str(), if note.depth == 0 { 3 } else { note.depth }),
        };
        let text = match text {
            "" => note.text.clone(),
            text => unless_none(text),
        };
        let said = match text.is_empty() {
            true => "Removed the author's note".to_string(),
            false => format!(
                "Set the author's note; it is inserted {depth} or more paragraphs before the end"
            ),
        };
        let note = Note { text, depth };
        self.set_frame(FrameChange::Note { note }, &said)
    }

    pub(super) fn lore(&mut self, lore: LoreCommand) -> Result<Outcome, Refusal> {
        match lore {
            LoreCommand::List => Ok(self.list_lore()),
            LoreCommand::Why => Ok(self.why_lore()),
            LoreCommand::On(name) => self.switch_lore(&name, true),
            LoreCommand::Off(name) => self.switch_lore(&name, false),
            LoreCommand::Add(fact) => self.add_lore(&fact),
        }
    }

    /// Parses a fact in the form `KEY, KEY: FACT`, and adds the fact to the session's own lorebook.
    fn add_lore(&mut self, fact: &str) -> Result<Outcome, Refusal> {
        let fact = clean(fact);
        let (keys, content) = fact.split_once(':').ok_or_else(|| {
            cannot("Write a fact as KEY, KEY: FACT, for example /lore add lamp, lantern: it never goes out; import files with /import")
        })?;
        let keys: Vec<String> = keys.split(',').map(|key| key.trim().to_string()).collect();
        if keys.iter().any(String::is_empty) || content.trim().is_empty() {
            return Err(cannot("Give both keys and a fact"));
        }
        let mut book = self
            .session
            .story
            .frame()
            .book(OWN)
            .cloned()
            .unwrap_or_else(|| Lorebook {
                name: OWN.to_string(),
                recursive: true,
                ..Lorebook::default()
            });
        let uid = book
            .entries
            .iter()
            .map(|entry| entry.uid + 1)
            .max()
            .unwrap_or(0);
        let name = keys[0].clone();
        book.entries.push(LoreEntry {
            uid,
            keys,
            content: content.trim().to_string(),
            ..LoreEntry::default()
        });
        self.take_book(
            book,
            format!("Added {name} to the lore; it is inserted when the story mentions it"),
        )
    }

    /// Adds a lorebook and turns it on.
    pub(super) fn take_book(&mut self, book: Lorebook, said: String) -> Result<Outcome, Refusal> {
        let name = book.name.clone();
        self.record(vec![Record::Book(book)])?;
        self.set_frame(FrameChange::Book { name, on: true }, &said)
    }

    fn switch_lore(&mut self, name: &str, on: bool) -> Result<Outcome, Refusal> {
        let frame = self.session.story.frame();
        let word = if on { "on" } else { "off" };
        if let Some(book) = frame.book(name) {
            let (name, said) = (book.name.clone(), format!("{} is {word}", book.name));
            return self.set_frame(FrameChange::Book { name, on }, &said);
        }
        let entries = frame
            .books()
            .flat_map(|(book, _)| book.entries.iter().map(move |e| (book, e)));
        let mut named = entries.filter(|(_, entry)| {
            same(entry.title(), name) || entry.keys.iter().any(|key| same(key, name))
        });
        let (book, entry) = named.next().ok_or_else(|| {
            cannot("There is no lorebook or entry of this name; list them with /lore")
        })?;
        let (said, uid) = (format!("{} is {word}", entry.title()), entry.uid);
        let book = book.name.clone();
        drop(named);
        self.set_frame(FrameChange::Entry { book, uid, on }, &said)
    }

    fn list_lore(&mut self) -> Outcome {
        let mut listed = Vec::new();
        let frame = self.session.story.frame();
        for (book, on) in frame.books() {
            let count = book.entries.len();
            let turn = |on: bool, name: &str| match on {
                true => Command::Lore(LoreCommand::Off(name.to_string())),
                false => Command::Lore(LoreCommand::On(name.to_string())),
            };
            listed.push(Listed {
                label: format!(
                    "{}  ({}, {})",
                    book.name,
                    count_noun(count, "entry"),
                    word(on)
                ),
                command: turn(on, &book.name),
            });
            for entry in &book.entries {
                let on = entry.enabled && !frame.is_entry_disabled(book, entry);
                let keys = entry.keys.join(", ");
                let content = excerpt(&entry.content, 60);
                listed.push(Listed {
                    label: format!("  {} [{keys}] {content} ({})", entry.title(), word(on)),
                    command: turn(on, entry.title()),
                });
            }
        }
        match listed.is_empty() {
            true => Outcome::Said(
                "There is no lore yet; add some with /lore add KEY, KEY: FACT, or import a file with /import"
                    .to_string(),
            ),
            false => self.list_up("Lore; /pick N turns it on or off", listed),
        }
    }

    /// Lists the lore entries that are active for the next passage, and the rejected entries, each
    /// with the reason.
    fn why_lore(&mut self) -> Outcome {
        let seed = self.setup.entropy;
        let lines = self.lore_lines(Place::after(self.session.story.head()), seed);
        let nothing = lines.is_empty()
            && self.session.rejected_lore.is_empty()
            && self.session.recalled.is_empty();
        let frame = self.session.story.frame();
        let mut lines = match nothing {
            true => vec!["No lore entry matches the story.".to_string()],
            false => lines,
        };
        for (book, _) in frame.books().filter(|(_, on)| !on) {
            lines.push(format!(
                "- {}: the lorebook is off; turn it on with /lore on {}",
                book.name, book.name
            ));
        }
        for found in &self.session.recalled {
            lines.push(format!(
                "+ {}: retrieved (similarity {:.2}): {}",
                found.what, found.near, found.begins
            ));
        }
        for missed in &self.session.rejected_lore {
            lines.push(format!(
                "- {} ({}): {}",
                missed.title, missed.book, missed.why
            ));
        }
        for title in &self.session.lore_over_budget {
            lines.push(format!("- {title}: left out, over the lore budget"));
        }
        Outcome::Said(lines.join("\n"))
    }

    pub(super) fn ban(&mut self, phrase: Option<&str>) -> Result<Outcome, Refusal> {
        let Some(phrase) = phrase else {
            let banned = &self.session.settings.sampling.banned_phrases;
            let rows = banned.iter().enumerate();
            let rows: Vec<String> = rows
                .map(|(at, ban)| format!("{:>3}  {ban}", at + 1))
                .collect();
            return Ok(shown(&rows.join("\n"), "banned phrase", "/ban PHRASE"));
        };
        let ban = Ban::parse(&clean(phrase)).map_err(|error| cannot(&error.to_string()))?;
        let said = match ban.strength {
            None => format!("Banned {ban}"),
            Some(strength) => format!(
                "\"{}\" is now less likely (strength {strength})",
                ban.phrase
            ),
        };
        let mut settings = self.session.settings.clone();
        let banned = &mut settings.sampling.banned_phrases;
        banned.retain(|known| known.phrase != ban.phrase);
        banned.push(ban);
        self.change(settings)?;
        Ok(Outcome::Said(said))
    }

    pub(super) fn unban(&mut self, phrase: &str) -> Result<Outcome, Refusal> {
        let mut settings = self.session.settings.clone();
        let banned = &mut settings.sampling.banned_phrases;
        let before = banned.len();
        let listed = phrase
            .trim()
            .parse()
            .ok()
            .and_then(|n: usize| banned.get(n.wrapping_sub(1)));
        let wanted = match listed {
            Some(ban) => folded(&ban.phrase),
            None => folded(phrase.trim_matches('"')),
        };
        banned.retain(|ban| wanted != "all" && folded(&ban.phrase) != wanted);
        if banned.len() == before {
            return Err(cannot("This phrase is not banned; list the bans with /ban"));
        }
        self.change(settings)?;
        Ok(Outcome::Said("Lifted the ban".to_string()))
    }

    pub(super) fn summarize(&mut self) -> Result<Outcome, Refusal> {
        if self.session.story.head().is_none() {
            return Err(cannot("The story is empty; there is nothing to summarize"));
        }
        let node = self.session.story.next_id();
        let ask = Ask {
            instruct: Some(SUMMARIZE.to_string()),
            reach: ContinueLength::Paragraph,
            aside: true,
            ..Ask::default()
        };
        let place = Place::after(self.session.story.head());
        let started = self.start(place, StepKind::Frame, ask)?;
        self.session.afterwards.insert(node, Afterwards::Summary);
        Ok(started)
    }

    pub(super) fn set_frame(&mut self, set: FrameChange, said: &str) -> Result<Outcome, Refusal> {
        self.do_step(StepKind::Frame, vec![Change::Frame { set }])?;
        Ok(Outcome::Said(said.to_string()))
    }
}

fn shown(text: &str, what: &str, how: &str) -> Outcome {
    Outcome::Said(match text {
        "" => format!("No {what} is set; set it with {how}"),
        text => text.to_string(),
    })
}

fn unless_none(text: &str) -> String {
    match text.trim().to_lowercase().as_str() {
        "none" | "off" | "\"\"" => String::new(),
        _ => clean(text).into_owned(),
    }
}

fn word(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}
