//! Selects the lore entries for the next passage, and records why each was chosen or skipped.
//!
//! The rules are SillyTavern's (World Info: selective logic, probability, recursion, groups,
//! sticky, cooldown, delay), with two differences that make a passage repeatable: random numbers
//! come from the passage's seed, and timed effects follow from the entries that were active on the
//! path so far, so that each branch has its own.

use super::{Key, KeyLogic, LoreEntry, Lorebook, SCAN_DEPTH};
use crate::card::Macros;
use crate::sentence::count_noun;
use base::hash::{fnv1a, split_mix};
use base::untrusted::clean_line;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The input of a scan.
pub struct ScanInput<'a> {
    /// The passages of the path, oldest first.
    pub passages: &'a [&'a str],
    /// The entries that were active before, with the number of passages at that time.
    pub fired: &'a [(EntryId, usize)],
    /// The next passage's seed.
    pub seed: u64,
    /// The values of macros such as `{{char}}` in keys.
    pub macros: Option<&'a Macros>,
}

/// The result of a scan.
pub struct ScanResult<'a> {
    /// The entries to insert, in order of priority; the last ones are dropped first if the budget
    /// is exceeded.
    pub active: Vec<ActiveEntry<'a>>,
    pub skipped: Vec<SkippedEntry>,
    /// Entries whose keys do not occur and that no rule forbids: candidates for retrieval.
    pub unmatched: Vec<(&'a Lorebook, &'a LoreEntry)>,
}

/// The id of an entry that was activated by its keys (not because it is constant or sticky).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntryId {
    pub book: String,
    pub uid: u64,
}

/// An entry that goes into the context.
#[derive(Clone, Debug)]
pub struct ActiveEntry<'a> {
    pub book: &'a Lorebook,
    pub entry: &'a LoreEntry,
    pub why: Activation,
    /// Its content with macros expanded, if it has any.
    pub content: Option<String>,
}

impl ActiveEntry<'_> {
    /// The text that the model reads.
    pub fn text(&self) -> &str {
        self.content.as_deref().unwrap_or(&self.entry.content)
    }
}

/// Why an entry is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activation {
    Constant,
    Key(String),
    /// It is sticky for this many more passages.
    Sticky(u32),
    /// A key occurs in the content of another active entry.
    Recursive {
        by: String,
        key: String,
    },
}

/// An entry whose keys matched but that a rule rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedEntry {
    pub book: String,
    pub title: String,
    pub why: String,
}

/// Scans all lorebooks that are on; `off` returns whether the writer turned an entry off. The
/// active entries are sorted by priority: constant ones first, then those matched in the story,
/// then those matched in other entries, each group in descending `order`.
pub fn scan<'a>(
    books: &[&'a Lorebook],
    off: &dyn Fn(&Lorebook, &LoreEntry) -> bool,
    past: &ScanInput,
) -> ScanResult<'a> {
    let mut scan = Scan {
        past,
        texts: HashMap::new(),
        active: Vec::new(),
        skipped: Vec::new(),
    };
    let mut waiting: Vec<(&Lorebook, &LoreEntry)> = Vec::new();
    for book in books {
        let entries = book.entries.iter();
        waiting.extend(
            entries
                .filter(|e| e.enabled && !off(book, e))
                .map(|e| (*book, e)),
        );
    }
    waiting.retain(|(book, entry)| scan.timing_allows(book, entry));
    scan.match_story(&mut waiting);
    let mut from = 0;
    // Each pass removes at least one waiting entry, so the loop ends.
    while from < scan.active.len() {
        let new = scan.active.len();
        scan.match_active(from, &mut waiting);
        from = new;
    }
    scan.resolve_groups();
    scan.sort_by_priority();
    let (active, skipped) = (scan.active, scan.skipped);
    let forbidden = |book: &Lorebook, entry: &LoreEntry| {
        let same =
            |skipped: &SkippedEntry| skipped.book == book.name && skipped.title == entry.title();
        entry.delay_until_recursion || skipped.iter().any(same)
    };
    waiting.retain(|(book, entry)| !forbidden(book, entry));
    ScanResult {
        active,
        skipped,
        unmatched: waiting,
    }
}

struct Scan<'a, 'p> {
    past: &'p ScanInput<'p>,
    /// For each depth, the text to search for keys, and the same in lower case.
    texts: HashMap<usize, (String, String)>,
    active: Vec<ActiveEntry<'a>>,
    skipped: Vec<SkippedEntry>,
}

impl<'a> Scan<'a, '_> {
    /// Whether timed effects allow an entry to become active; a sticky entry becomes active
    /// immediately.
    fn timing_allows(&mut self, book: &'a Lorebook, entry: &'a LoreEntry) -> bool {
        let now = self.past.passages.len();
        let last = self.past.fired.iter().rev();
        let last = last.filter(|(fired, _)| fired.uid == entry.uid && fired.book == book.name);
        let since = last.map(|(_, at)| now.saturating_sub(*at) as u32).next();
        let sticky = entry.sticky.unwrap_or(0);
        if let Some(since) = since {
            if since <= sticky && sticky > 0 {
                let why = Activation::Sticky(sticky - since);
                self.activate(book, entry, why);
                return false;
            }
            let cooldown = entry.cooldown.unwrap_or(0);
            if cooldown > 0 && since <= sticky + cooldown {
                let left = sticky + cooldown - since + 1;
                self.skip(
                    book,
                    entry,
                    format!(
                        "it is on cooldown for {}",
                        count_noun(left as usize, "more passage")
                    ),
                );
                return false;
            }
        }
        let delay = entry.delay.unwrap_or(0) as usize;
        if now < delay {
            self.skip(book, entry, format!("it is delayed until passage {delay}"));
            return false;
        }
        true
    }

    fn activate(&mut self, book: &'a Lorebook, entry: &'a LoreEntry, why: Activation) {
        let content = None;
        self.active.push(ActiveEntry {
            book,
            entry,
            why,
            content,
        });
    }

    fn match_story(&mut self, waiting: &mut Vec<(&'a Lorebook, &'a LoreEntry)>) {
        let mut still = Vec::new();
        for (book, entry) in std::mem::take(waiting) {
            if entry.constant {
                self.activate_by_chance(book, entry, Activation::Constant);
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
            match match_entry(entry, text, lower, self.past.macros) {
                KeyMatch::Matched(key) => {
                    self.activate_by_chance(book, entry, Activation::Key(key))
                }
                KeyMatch::NotMatched => still.push((book, entry)),
                KeyMatch::Blocked(why) => {
                    self.skip(book, entry, why);
                    still.push((book, entry));
                }
            }
        }
        *waiting = still;
    }

    fn match_active(&mut self, from: usize, waiting: &mut Vec<(&'a Lorebook, &'a LoreEntry)>) {
        let new: Vec<ActiveEntry> = self.active[from..].to_vec();
        let sources = new
            .iter()
            .filter(|f| f.book.recursive && !f.entry.prevent_recursion);
        for source in sources {
            let text = &source.entry.content;
            let lower = text.to_lowercase();
            let by = source.entry.title();
            waiting.retain(|(book, entry)| {
                let open = book.recursive && !entry.exclude_recursion;
                match match_entry(entry, text, &lower, self.past.macros) {
                    KeyMatch::Matched(key) if open => {
                        let by = clean_line(by);
                        self.activate_by_chance(book, entry, Activation::Recursive { by, key });
                        false
                    }
                    _ => true,
                }
            });
        }
    }

    /// Activates an entry with its configured probability.
    fn activate_by_chance(&mut self, book: &'a Lorebook, entry: &'a LoreEntry, why: Activation) {
        let chance = self.chance(book, entry);
        if entry.use_probability && chance * 100.0 >= entry.probability {
            let why = format!("not selected at random ({} %)", entry.probability);
            return self.skip(book, entry, why);
        }
        self.activate(book, entry, why);
    }

    /// A random number in [0, 1) for this passage and entry: SplitMix64 of seed, book and entry.
    fn chance(&self, book: &Lorebook, entry: &LoreEntry) -> f64 {
        let z = split_mix(self.past.seed ^ fnv1a(&book.name), entry.uid);
        (z >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Keeps one entry of each group: the overriding one with the highest order, or a random one by
    /// weight.
    fn resolve_groups(&mut self) {
        let mut groups: Vec<String> = Vec::new();
        for active in &self.active {
            for group in group_names(&active.entry.group) {
                if !groups.iter().any(|known| known == group) {
                    groups.push(group.to_string());
                }
            }
        }
        for group in groups {
            let within =
                |active: &ActiveEntry| group_names(&active.entry.group).any(|name| name == group);
            let members: Vec<usize> = (0..self.active.len())
                .filter(|at| within(&self.active[*at]))
                .collect();
            if members.len() < 2 {
                continue;
            }
            let winner = self.group_winner(&members);
            for at in members.into_iter().rev().filter(|at| *at != winner) {
                let lost = self.active.remove(at);
                let why = format!(
                    "another entry of the group \"{}\" was selected",
                    clean_line(&group)
                );
                self.skip(lost.book, lost.entry, why);
            }
        }
    }

    fn group_winner(&self, members: &[usize]) -> usize {
        let active = |at: &usize| &self.active[*at];
        let sticking = members
            .iter()
            .find(|at| matches!(active(at).why, Activation::Sticky(_)));
        if let Some(at) = sticking {
            return *at;
        }
        let over = members.iter().filter(|at| active(at).entry.group_override);
        if let Some(at) = over.max_by_key(|at| active(at).entry.order) {
            return *at;
        }
        let weight = |at: &usize| active(at).entry.group_weight.max(0.0);
        let total: f64 = members.iter().map(weight).sum();
        let first = active(&members[0]);
        let mut left = self.chance(first.book, first.entry) * total;
        for at in members {
            left -= weight(at);
            if left < 0.0 {
                return *at;
            }
        }
        members[0]
    }

    fn sort_by_priority(&mut self) {
        let class = |why: &Activation| match why {
            Activation::Constant => 0,
            Activation::Key(_) | Activation::Sticky(_) => 1,
            Activation::Recursive { .. } => 2,
        };
        self.active.sort_by(|a, b| {
            let order = b.entry.order.cmp(&a.entry.order);
            class(&a.why).cmp(&class(&b.why)).then(order)
        });
    }

    fn skip(&mut self, book: &Lorebook, entry: &LoreEntry, why: String) {
        self.skipped.push(SkippedEntry {
            book: book.name.clone(),
            title: entry.title().to_string(),
            why,
        });
    }
}

fn group_names(group: &str) -> impl Iterator<Item = &str> {
    group
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
}

enum KeyMatch {
    Matched(String),
    NotMatched,
    /// A primary key matched, but a rule rejects the entry.
    Blocked(String),
}

fn match_entry(entry: &LoreEntry, text: &str, lower: &str, macros: Option<&Macros>) -> KeyMatch {
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
        return broken.map_or(KeyMatch::NotMatched, KeyMatch::Blocked);
    };
    if let Some(other) = never.first() {
        let (key, other) = (clean_line(key), clean_line(other));
        return KeyMatch::Blocked(format!("\"{key}\" matched, but so did \"{other}\""));
    }
    if !entry.selective || entry.secondary.is_empty() {
        return KeyMatch::Matched(key.clone());
    }
    let all = second.len() == entry.secondary.len();
    let (yes, why) = match entry.logic {
        KeyLogic::AndAny => (!second.is_empty(), "none of its secondary keys matched"),
        KeyLogic::AndAll => (all, "not all of its secondary keys matched"),
        KeyLogic::NotAny => (second.is_empty(), "one of its secondary keys matched"),
        KeyLogic::NotAll => (!all, "all of its secondary keys matched"),
    };
    match (yes, second.first()) {
        (true, Some(other)) => KeyMatch::Matched(format!("{key} + {other}")),
        (true, None) => KeyMatch::Matched(key.clone()),
        (false, _) => KeyMatch::Blocked(format!("\"{}\" matched, but {why}", clean_line(key))),
    }
}

#[cfg(test)]
mod tests;
