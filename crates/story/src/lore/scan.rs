//! Selects the lore entries for the next passage, and records why each was chosen or skipped.
//!
//! The rules are SillyTavern's (World Info: selective logic, probability, recursion, groups,
//! sticky, cooldown, delay), with two differences that make a passage repeatable: random numbers
//! come from the passage's seed, and timed effects follow from the entries that were active on the
//! path so far, so that each branch has its own.

mod groups;

use super::haystack::Haystack;
use super::matching::{EntryKeys, KeyMatch, KeyMatcher};
use super::{LoreEntry, Lorebook, SCAN_DEPTH};
use crate::card::Macros;
use crate::sentence::count_noun;
use base::hash::{fnv1a, split_mix};
use base::untrusted::clean_line;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// The input of a scan.
pub struct ScanInput<'a> {
    /// The texts of the path's passages, oldest first.
    pub passages: &'a [&'a str],
    /// The entries that keys activated earlier on the path. The number is how many passages the
    /// path had when the entry was activated.
    pub fired: &'a [(EntryId, usize)],
    /// The seed of the next passage.
    pub seed: u64,
    /// The values that replace macros such as `{{char}}` in keys.
    pub macros: Option<&'a Macros>,
}

/// The result of a scan.
pub struct ScanResult<'a> {
    /// The entries to insert, most important first. If the budget is exceeded, the last entries are
    /// dropped first.
    pub active: Vec<ActiveEntry<'a>>,
    pub skipped: Vec<SkippedEntry>,
    /// The entries that no rule rejects but whose keys do not occur. They can still be retrieved by
    /// meaning.
    pub unmatched: Vec<(&'a Lorebook, &'a LoreEntry)>,
}

/// The id of a lore entry: the name of its lorebook, and its number in that lorebook.
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
    /// The entry's content with macros expanded; None if there are no macro values.
    pub content: Option<String>,
}

impl ActiveEntry<'_> {
    /// The text of the entry that the model reads.
    pub fn text(&self) -> &str {
        self.content.as_deref().unwrap_or(&self.entry.content)
    }
}

/// The reason why an entry is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activation {
    Constant,
    Key(String),
    /// The entry is sticky for this many more passages.
    Sticky(u32),
    /// A key occurs in the content of another active entry.
    Recursive {
        by: String,
        key: String,
    },
}

/// An entry that was rejected by a rule although its keys matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedEntry {
    pub book: String,
    pub title: String,
    pub why: String,
}

/// The maximum number of rounds in which the content of newly active entries is searched for keys.
const MOST_PASSES: usize = 200;

/// Scans all lorebooks that are on; `off` returns whether the writer turned an entry off. The
/// active entries are in order of priority (the last are dropped first if the budget is exceeded):
/// constant ones first, then those matched in the story, then those matched in other entries, each
/// kind by descending `order`.
pub fn scan<'a>(
    books: &[&'a Lorebook],
    off: &dyn Fn(&Lorebook, &LoreEntry) -> bool,
    past: &ScanInput,
) -> ScanResult<'a> {
    let mut scan = Scan {
        past,
        matcher: KeyMatcher::default(),
        texts: HashMap::new(),
        active: Vec::new(),
        skipped: Vec::new(),
    };
    let mut waiting: Vec<Waiting> = Vec::new();
    for book in books {
        let entries = book.entries.iter().filter(|e| e.enabled && !off(book, e));
        for entry in entries {
            if scan.timing_allows(book, entry) {
                let keys = scan.matcher.prepare(entry, past.macros);
                waiting.push(Waiting { book, entry, keys });
            }
        }
    }
    scan.match_story(&mut waiting);
    let (mut from, mut told) = (0, String::new());
    for _ in 0..MOST_PASSES {
        let new = scan.active.len();
        if from == new || waiting.is_empty() {
            break;
        }
        scan.match_active(from, &mut told, &mut waiting);
        from = new;
    }
    scan.resolve_groups();
    scan.sort_by_priority();
    let (active, skipped) = (scan.active, scan.skipped);
    let kept_out: HashSet<(&str, &str)> = skipped
        .iter()
        .map(|skipped| (skipped.book.as_str(), skipped.title.as_str()))
        .collect();
    let unmatched = waiting
        .into_iter()
        .map(|it| (it.book, it.entry))
        .filter(|(book, entry)| {
            !entry.delay_until_recursion && !kept_out.contains(&(&*book.name, entry.title()))
        })
        .collect();
    ScanResult {
        active,
        skipped,
        unmatched,
    }
}

/// An entry that is not active yet.
struct Waiting<'a> {
    book: &'a Lorebook,
    entry: &'a LoreEntry,
    keys: EntryKeys,
}

struct Scan<'a, 'p> {
    past: &'p ScanInput<'p>,
    matcher: KeyMatcher,
    /// For each number of passages to search, the text that is searched for keys.
    texts: HashMap<usize, Haystack>,
    active: Vec<ActiveEntry<'a>>,
    skipped: Vec<SkippedEntry>,
}

/// The maximum number of texts that are stored in `texts`.
const MOST_DEPTHS: usize = 16;

impl<'a> Scan<'a, '_> {
    /// Whether an entry's keys are to be searched for. They are not if the entry is on cooldown or
    /// delayed, or if it is still sticky; a sticky entry is activated at once.
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
            if cooldown > 0 && since <= sticky.saturating_add(cooldown) {
                let left = sticky.saturating_add(cooldown) - since + 1;
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

    fn match_story(&mut self, waiting: &mut Vec<Waiting<'a>>) {
        let mut still = Vec::new();
        for it in std::mem::take(waiting) {
            if it.entry.constant {
                self.activate_by_chance(it.book, it.entry, Activation::Constant);
                continue;
            }
            if it.entry.delay_until_recursion {
                still.push(it);
                continue;
            }
            let depth = self.depth(&it);
            self.hold_text(depth, "");
            let Some(text) = self.texts.get(&depth) else {
                continue;
            };
            match self.matcher.matches(it.entry, &it.keys, text) {
                KeyMatch::Matched(key) => {
                    self.activate_by_chance(it.book, it.entry, Activation::Key(key))
                }
                KeyMatch::NotMatched => still.push(it),
                KeyMatch::Blocked(why) => {
                    self.skip(it.book, it.entry, why);
                    still.push(it);
                }
            }
        }
        *waiting = still;
    }

    fn depth(&self, it: &Waiting) -> usize {
        let depth = it.entry.scan_depth.or(it.book.scan_depth);
        depth.unwrap_or(SCAN_DEPTH).min(self.past.passages.len())
    }

    /// Joins the last `depth` passages and `more`, and stores the result in `texts`. Does nothing
    /// if a text for this depth is already stored.
    fn hold_text(&mut self, depth: usize, more: &str) {
        if self.texts.contains_key(&depth) {
            return;
        }
        if self.texts.len() >= MOST_DEPTHS {
            self.texts.clear();
        }
        let passages = self.past.passages;
        let mut parts = passages[passages.len() - depth..].to_vec();
        parts.extend(Some(more).filter(|more| !more.is_empty()));
        self.texts.insert(depth, Haystack::new(&parts.join("\n")));
    }

    /// Searches the contents of `active[from..]` for the keys of the waiting entries. As in
    /// SillyTavern, the text searched is the story followed by the contents of all active entries
    /// (`told`).
    fn match_active(&mut self, from: usize, told: &mut String, waiting: &mut Vec<Waiting<'a>>) {
        let open = |it: &&ActiveEntry| it.book.recursive && !it.entry.prevent_recursion;
        let sources: Vec<(String, Haystack)> = self.active[from..]
            .iter()
            .filter(open)
            .map(|it| {
                (
                    clean_line(it.entry.title()),
                    Haystack::new(&it.entry.content),
                )
            })
            .collect();
        // The model never reads more than this either.
        if sources.is_empty() || told.len() >= Haystack::LONGEST {
            return;
        }
        let texts: Vec<&str> = sources.iter().map(|(_, it)| it.text.as_str()).collect();
        let new = Haystack::new(&texts.join("\n"));
        *told += &new.text;
        told.push('\n');
        self.texts.clear();
        let alone = Haystack::new(told);
        let mut still = Vec::new();
        for it in std::mem::take(waiting) {
            let open = it.book.recursive && !it.entry.exclude_recursion;
            if !open || !self.matcher.any_occurs(&it.keys, &new) {
                still.push(it);
                continue;
            }
            let depth = self.depth(&it);
            self.hold_text(depth, told);
            let text = match it.entry.delay_until_recursion {
                true => Some(&alone),
                false => self.texts.get(&depth),
            };
            let found = text.map(|text| self.matcher.matches(it.entry, &it.keys, text));
            let Some(KeyMatch::Matched(key)) = found else {
                still.push(it);
                continue;
            };
            let by = sources
                .iter()
                .find(|(_, text)| self.matcher.any_occurs(&it.keys, text));
            let by = by.map_or(String::new(), |(title, _)| title.clone());
            self.activate_by_chance(it.book, it.entry, Activation::Recursive { by, key });
        }
        *waiting = still;
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

    /// Returns a random number in [0, 1) for this entry and passage. It is computed by SplitMix64
    /// from the seed, the lorebook and the entry.
    fn chance(&self, book: &Lorebook, entry: &LoreEntry) -> f64 {
        let z = split_mix(self.past.seed ^ fnv1a(&book.name), entry.uid);
        (z >> 11) as f64 / (1u64 << 53) as f64
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

#[cfg(test)]
mod tests;
