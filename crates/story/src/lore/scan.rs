//! Which entries are read for the next passage, and why each was or was not.
//!
//! The rules are SillyTavern's (World Info: selective logic, probability, recursion, groups,
//! sticky, cooldown, delay), with two differences that make a passage repeatable: chance comes
//! from the passage's seed, and timed effects are read from what fired on the way to here, so that
//! each branch has its own.

use super::{Book, Entry, Key, Logic, SCAN_DEPTH};
use crate::card::Macros;
use crate::sentence::several;
use base::hash::{fnv1a, split_mix};
use base::untrusted::clean_line;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What the rules look at.
pub struct Past<'a> {
    /// The passages on the way to here, oldest first.
    pub passages: &'a [&'a str],
    /// What fired before, and how many passages there were then.
    pub fired: &'a [(Fired, usize)],
    /// The next passage's seed.
    pub seed: u64,
    /// What `{{char}}` and its kin stand for in keys.
    pub macros: Option<&'a Macros>,
}

/// What the rules came to.
pub struct Scanned<'a> {
    /// The entries that are read, in the order in which they are kept when tokens run out.
    pub fires: Vec<Fires<'a>>,
    pub missed: Vec<Missed>,
    /// Those that nothing named and no rule forbids.
    pub unnamed: Vec<(&'a Book, &'a Entry)>,
}

/// Names an entry that fired by its keys (and not because it is constant, or sticks).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fired {
    pub book: String,
    pub uid: u64,
}

/// An entry to be read.
#[derive(Clone, Debug)]
pub struct Fires<'a> {
    pub book: &'a Book,
    pub entry: &'a Entry,
    pub why: Why,
    /// Its content as the model reads it, where macros make it another.
    pub content: Option<String>,
}

impl Fires<'_> {
    /// What the model reads of it.
    pub fn text(&self) -> &str {
        self.content.as_deref().unwrap_or(&self.entry.content)
    }
}

/// Why an entry is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    Constant,
    Key(String),
    /// It fired before and stays for so many passages more.
    Sticks(u32),
    /// The content of another entry names it.
    Named {
        by: String,
        key: String,
    },
}

/// An entry that would have been read, had it not been for a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    pub book: String,
    pub title: String,
    pub why: String,
}

/// Applies the rules of all books that are on; `off` tells entries that the writer switched off.
/// Those that fire come in the order in which they are kept when tokens run out: constant ones
/// first, then what the story names, then what other entries name, each by falling order.
pub fn scan<'a>(
    books: &[&'a Book],
    off: &dyn Fn(&Book, &Entry) -> bool,
    past: &Past,
) -> Scanned<'a> {
    let mut scan = Scan {
        past,
        texts: HashMap::new(),
        fires: Vec::new(),
        missed: Vec::new(),
    };
    let mut waiting: Vec<(&Book, &Entry)> = Vec::new();
    for book in books {
        let entries = book.entries.iter();
        waiting.extend(
            entries
                .filter(|e| e.enabled && !off(book, e))
                .map(|e| (*book, e)),
        );
    }
    waiting.retain(|(book, entry)| scan.ready(book, entry));
    scan.first_pass(&mut waiting);
    let mut from = 0;
    // Each pass takes at least one entry from those waiting, so this ends.
    while from < scan.fires.len() {
        let new = scan.fires.len();
        scan.named_pass(from, &mut waiting);
        from = new;
    }
    scan.groups();
    scan.sort();
    let (fires, missed) = (scan.fires, scan.missed);
    let forbidden = |book: &Book, entry: &Entry| {
        let same = |missed: &Missed| missed.book == book.name && missed.title == entry.title();
        entry.delay_until_recursion || missed.iter().any(same)
    };
    waiting.retain(|(book, entry)| !forbidden(book, entry));
    Scanned {
        fires,
        missed,
        unnamed: waiting,
    }
}

struct Scan<'a, 'p> {
    past: &'p Past<'p>,
    /// For each depth, the text that keys are looked for in, and the same in lower case.
    texts: HashMap<usize, (String, String)>,
    fires: Vec<Fires<'a>>,
    missed: Vec<Missed>,
}

impl<'a> Scan<'a, '_> {
    /// Whether time allows an entry to fire; an entry that sticks is taken at once.
    fn ready(&mut self, book: &'a Book, entry: &'a Entry) -> bool {
        let now = self.past.passages.len();
        let last = self.past.fired.iter().rev();
        let last = last.filter(|(fired, _)| fired.uid == entry.uid && fired.book == book.name);
        let since = last.map(|(_, at)| now.saturating_sub(*at) as u32).next();
        let sticky = entry.sticky.unwrap_or(0);
        if let Some(since) = since {
            if since <= sticky && sticky > 0 {
                let why = Why::Sticks(sticky - since);
                self.fire(book, entry, why);
                return false;
            }
            let cooldown = entry.cooldown.unwrap_or(0);
            if cooldown > 0 && since <= sticky + cooldown {
                let left = sticky + cooldown - since + 1;
                self.miss(
                    book,
                    entry,
                    format!(
                        "it is on cooldown for {}",
                        several(left as usize, "more passage")
                    ),
                );
                return false;
            }
        }
        let delay = entry.delay.unwrap_or(0) as usize;
        if now < delay {
            self.miss(book, entry, format!("it is delayed until passage {delay}"));
            return false;
        }
        true
    }

    fn fire(&mut self, book: &'a Book, entry: &'a Entry, why: Why) {
        let content = None;
        self.fires.push(Fires {
            book,
            entry,
            why,
            content,
        });
    }

    fn first_pass(&mut self, waiting: &mut Vec<(&'a Book, &'a Entry)>) {
        let mut still = Vec::new();
        for (book, entry) in std::mem::take(waiting) {
            if entry.constant {
                self.draw(book, entry, Why::Constant);
                continue;
            }
            if entry.delay_until_recursion {
                still.push((book, entry));
                continue;
            }
            let depth = entry.scan_depth.or(book.scan_depth).unwrap_or(SCAN_DEPTH);
            let passages = self.past.passages;
            let (text, lower) = self.texts.entry(depth).or_insert_with(|| {
                let from = passages.len().saturating_sub(depth);
                let text = passages[from..].join("\n");
                let lower = text.to_lowercase();
                (text, lower)
            });
            match matches(entry, text, lower, self.past.macros) {
                Match::Yes(key) => self.draw(book, entry, Why::Key(key)),
                Match::No => still.push((book, entry)),
                Match::But(why) => {
                    self.miss(book, entry, why);
                    still.push((book, entry));
                }
            }
        }
        *waiting = still;
    }

    fn named_pass(&mut self, from: usize, waiting: &mut Vec<(&'a Book, &'a Entry)>) {
        let new: Vec<Fires> = self.fires[from..].to_vec();
        let sources = new
            .iter()
            .filter(|f| f.book.recursive && !f.entry.prevent_recursion);
        for source in sources {
            let text = &source.entry.content;
            let lower = text.to_lowercase();
            let by = source.entry.title();
            waiting.retain(|(book, entry)| {
                let open = book.recursive && !entry.exclude_recursion;
                match matches(entry, text, &lower, self.past.macros) {
                    Match::Yes(key) if open => {
                        let by = clean_line(by);
                        self.draw(book, entry, Why::Named { by, key });
                        false
                    }
                    _ => true,
                }
            });
        }
    }

    /// An entry fires, if chance allows.
    fn draw(&mut self, book: &'a Book, entry: &'a Entry, why: Why) {
        let chance = self.chance(book, entry);
        if entry.use_probability && chance * 100.0 >= entry.probability {
            let why = format!("not selected at random ({} %)", entry.probability);
            return self.miss(book, entry, why);
        }
        self.fire(book, entry, why);
    }

    /// A number in [0, 1) of this passage and entry alone: SplitMix64 of seed, book and entry.
    fn chance(&self, book: &Book, entry: &Entry) -> f64 {
        let z = split_mix(self.past.seed ^ fnv1a(&book.name), entry.uid);
        (z >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Of each group one stays: the one that overrides with the highest order, or one by weight.
    fn groups(&mut self) {
        let mut groups: Vec<String> = Vec::new();
        for fires in &self.fires {
            for group in names(&fires.entry.group) {
                if !groups.iter().any(|known| known == group) {
                    groups.push(group.to_string());
                }
            }
        }
        for group in groups {
            let within = |fires: &Fires| names(&fires.entry.group).any(|name| name == group);
            let members: Vec<usize> = (0..self.fires.len())
                .filter(|at| within(&self.fires[*at]))
                .collect();
            if members.len() < 2 {
                continue;
            }
            let winner = self.winner(&members);
            for at in members.into_iter().rev().filter(|at| *at != winner) {
                let lost = self.fires.remove(at);
                let why = format!(
                    "another entry of the group \"{}\" was selected",
                    clean_line(&group)
                );
                self.miss(lost.book, lost.entry, why);
            }
        }
    }

    fn winner(&self, members: &[usize]) -> usize {
        let fires = |at: &usize| &self.fires[*at];
        let sticking = members
            .iter()
            .find(|at| matches!(fires(at).why, Why::Sticks(_)));
        if let Some(at) = sticking {
            return *at;
        }
        let over = members.iter().filter(|at| fires(at).entry.group_override);
        if let Some(at) = over.max_by_key(|at| fires(at).entry.order) {
            return *at;
        }
        let weight = |at: &usize| fires(at).entry.group_weight.max(0.0);
        let total: f64 = members.iter().map(weight).sum();
        let first = fires(&members[0]);
        let mut left = self.chance(first.book, first.entry) * total;
        for at in members {
            left -= weight(at);
            if left < 0.0 {
                return *at;
            }
        }
        members[0]
    }

    fn sort(&mut self) {
        let class = |why: &Why| match why {
            Why::Constant => 0,
            Why::Key(_) | Why::Sticks(_) => 1,
            Why::Named { .. } => 2,
        };
        self.fires.sort_by(|a, b| {
            let order = b.entry.order.cmp(&a.entry.order);
            class(&a.why).cmp(&class(&b.why)).then(order)
        });
    }

    fn miss(&mut self, book: &Book, entry: &Entry, why: String) {
        self.missed.push(Missed {
            book: book.name.clone(),
            title: entry.title().to_string(),
            why,
        });
    }
}

fn names(group: &str) -> impl Iterator<Item = &str> {
    group
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
}

enum Match {
    Yes(String),
    No,
    /// A first key is there, but a rule says no.
    But(String),
}

fn matches(entry: &Entry, text: &str, lower: &str, macros: Option<&Macros>) -> Match {
    let (case, whole) = (
        entry.case_sensitive.unwrap_or(false),
        entry.whole_words.unwrap_or(false),
    );
    let mut broken = None;
    let mut found = |keys: &[String]| -> Vec<String> {
        let there = |key: &String| match Key::new(key, case, whole, entry.use_regex) {
            Ok(key) => key.is_in(text, lower),
            Err(why) => {
                broken = Some(why);
                false
            }
        };
        let said = |key: &String| match macros {
            Some(macros) if key.contains("{{") => macros.expand(key),
            _ => key.clone(),
        };
        keys.iter().map(said).filter(there).collect()
    };
    let first = found(&entry.keys);
    let second = found(&entry.secondary);
    let never = found(&entry.never);
    let Some(key) = first.first() else {
        return broken.map_or(Match::No, Match::But);
    };
    if let Some(other) = never.first() {
        let (key, other) = (clean_line(key), clean_line(other));
        return Match::But(format!("\"{key}\" matched, but so did \"{other}\""));
    }
    if !entry.selective || entry.secondary.is_empty() {
        return Match::Yes(key.clone());
    }
    let all = second.len() == entry.secondary.len();
    let (yes, why) = match entry.logic {
        Logic::AndAny => (!second.is_empty(), "none of its secondary keys matched"),
        Logic::AndAll => (all, "not all of its secondary keys matched"),
        Logic::NotAny => (second.is_empty(), "one of its secondary keys matched"),
        Logic::NotAll => (!all, "all of its secondary keys matched"),
    };
    match (yes, second.first()) {
        (true, Some(other)) => Match::Yes(format!("{key} + {other}")),
        (true, None) => Match::Yes(key.clone()),
        (false, _) => Match::But(format!("\"{}\" matched, but {why}", clean_line(key))),
    }
}

#[cfg(test)]
mod tests;
