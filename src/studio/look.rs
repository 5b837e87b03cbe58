//! Commands that show the story without changing it: `/tree`, `/find`, `/diff`, `/why`, `/context`.

use super::outcome::Listed;
use super::pending::Purpose;
use super::request::healing;
use super::{Outcome, Refusal, Studio, Work, cannot};
use base::search::Needle;
use base::untrusted::clean;
use story::diff;
use story::message::{LengthGoal, Measurement};
use story::sampling::SETTINGS;
use story::sentence::{count_noun, excerpt, excerpt_around};
use story::{Author, Command, Node, NodeId, Passage, Place, Request, Sampling, places};

/// The maximum number of rows in a list.
const MOST: usize = 2000;

impl Studio {
    /// Lists all passages as a tree. If the story forks after a passage, each branch is listed
    /// below that passage and indented.
    pub(super) fn tree(&mut self) -> Outcome {
        if self.session.story.nodes().is_empty() {
            return Outcome::Said("The story is empty".to_string());
        }
        let on_path: std::collections::HashSet<NodeId> = self
            .session
            .story
            .path()
            .iter()
            .map(|passage| passage.id)
            .collect();
        let origin = |id: &NodeId| Some(self.session.story.node(*id)?.copied_from?.node);
        let copied: std::collections::HashSet<NodeId> = on_path
            .iter()
            .flat_map(|id| std::iter::successors(origin(id), origin))
            .collect();
        let mut listed = Vec::new();
        let mut waiting: Vec<(NodeId, usize)> = self
            .session
            .story
            .roots()
            .iter()
            .rev()
            .map(|id| (*id, 0))
            .collect();
        let several = waiting.len() > 1;
        waiting
            .iter_mut()
            .for_each(|(_, depth)| *depth = usize::from(several));
        while let Some((id, depth)) = waiting.pop() {
            let Some(node) = self.session.story.node(id).filter(|_| listed.len() < MOST) else {
                break;
            };
            let here = on_path.contains(&id);
            // Hides copies that an edit made, since their text is already on the path, except at a
            // branch's end.
            let twin = !here
                && (node.copied_from.is_some() || copied.contains(&id))
                && !self.session.story.children(id).is_empty()
                && !self.session.story.marks().values().any(|mark| *mark == id);
            if !self.session.story.is_hidden(id) && !twin {
                listed.push(self.branch_row(node, depth, on_path.contains(&id)));
            }
            let children = self.session.story.children(id);
            // A picture is not a branch.
            let way = |id: &&NodeId| {
                !self.session.story.is_hidden(**id) && self.session.story.picture(**id).is_none()
            };
            let shown = children.iter().filter(way).count();
            let deeper = depth + usize::from(shown > 1);
            let (pictures, passages): (Vec<NodeId>, Vec<NodeId>) = children
                .iter()
                .rev()
                .partition(|id| self.session.story.picture(**id).is_some());
            waiting.extend(passages.into_iter().map(|id| (id, deeper)));
            waiting.extend(pictures.into_iter().map(|id| (id, depth + 1)));
        }
        self.list_up("All passages; /pick N goes there", listed)
    }

    fn branch_row(&self, node: &Node, depth: usize, on_path: bool) -> Listed {
        let here = match self.session.story.head() == Some(node.id) {
            true => "◆",
            false if on_path || self.session.story.is_shown(node.id) => "●",
            false => "○",
        };
        let marks = self
            .session
            .story
            .marks()
            .iter()
            .filter(|(_, at)| **at == node.id);
        let marks: String = marks.map(|(name, _)| format!(" [{name}]")).collect();
        let inside = node.cut.map_or("", |_| " (inside)");
        let indent = "  ".repeat(depth.min(20));
        let text = match node.text.trim() {
            "" if node.picture.is_some() => excerpt(&title(node), 60),
            "" => "(a place)".to_string(),
            text => excerpt(text, 60),
        };
        let who = who(node);
        Listed {
            label: format!("{indent}{here} #{} {who}{inside}: {text}{marks}", node.id),
            command: Command::Goto(format!("#{}", node.id)),
        }
    }

    pub(super) fn list_marks(&mut self) -> Outcome {
        let row = |(name, id): (&String, &NodeId)| {
            let text = self.session.story.node(*id).map_or("", |node| &node.text);
            Listed {
                label: format!("{name}: #{id} {}", excerpt(text, 60)),
                command: Command::Goto(name.clone()),
            }
        };
        let listed: Vec<Listed> = self.session.story.marks().iter().map(row).collect();
        match listed.is_empty() {
            true => {
                Outcome::Said("There are no marks yet; set one here with /mark NAME".to_string())
            }
            false => self.list_up("Marks; /pick N goes there", listed),
        }
    }

    /// Searches all branches for `words`, and lists the newest passages first.
    pub(super) fn find(&mut self, words: &str) -> Outcome {
        let wanted = Needle::new(words);
        let found = self.session.story.nodes().iter().rev().filter_map(|node| {
            let around = match &node.picture {
                Some(_) => excerpt_around(&title(node), &wanted, 80)?,
                None => excerpt_around(&node.text, &wanted, 80)?,
            };
            Some(Listed {
                label: format!("#{} {}: {around}", node.id, who(node)),
                command: Command::Goto(format!("#{}", node.id)),
            })
        });
        let listed: Vec<Listed> = found.take(MOST).collect();
        match listed.len() {
            0 => Outcome::Said(format!("No branch contains \"{}\"", excerpt(words, 60))),
            n => {
                let say = if n == 1 { "contains" } else { "contain" };
                let title = format!("{} {say} it; /pick N goes there", count_noun(n, "passage"));
                self.list_up(&title, listed)
            }
        }
    }

    pub(super) fn diff(&self, a: &str, b: &str) -> Result<Outcome, Refusal> {
        let (a, b) = (
            places::find_place(&self.session.story, a)?,
            places::find_place(&self.session.story, b)?,
        );
        let text = |place| -> String {
            let path = self.session.story.path_at(place);
            path.iter().map(|passage| passage.text).collect()
        };
        let (left, right) = (text(a), text(b));
        if left == right {
            return Ok(Outcome::Said("The two are identical".to_string()));
        }
        Ok(Outcome::Diff(diff::diff_words(&left, &right)))
    }

    /// Describes the provenance of a passage, and how much of the story each author wrote.
    pub(super) fn why(&self, place: Option<&str>) -> Result<Outcome, Refusal> {
        let place = places::find_place(&self.session.story, place.unwrap_or("."))?;
        let node = place.node.and_then(|id| self.session.story.node(id));
        let node = node.ok_or_else(|| cannot("The story is empty"))?;
        if let Some(picture) = &node.picture {
            let lines = self.why_picture(node.id, picture);
            return Ok(Outcome::Said(lines.join("\n")));
        }
        let mut lines = vec![format!("#{} by {}, {}", node.id, who(node), ended(node))];
        if let Some(of) = node.copied_from {
            lines.push(format!(
                "  copied from #{}, bytes {} to {}",
                of.node, of.from, of.to
            ));
        }
        if let Some(how) = &node.provenance {
            let maker = &how.maker;
            lines.push(format!("  model {} on {}", maker.model, maker.backend));
            lines.push(format!("  sha256 {}", maker.model_sha256));
            lines.push(format!(
                "  {} mode, seed {}, {}",
                how.mode.name(),
                how.seed,
                how.build
            ));
            lines.extend(how.shared.map(|it| {
                format!(
                    "  text {} of {} from one request with seed {}; a single request does not reproduce it",
                    it.number, it.of, it.seed
                )
            }));
            lines.push(format!("  {}", differing(&how.sampling)));
            lines.extend(without_effect(&maker.cannot, &how.sampling));
            match &how.goal {
                LengthGoal::Exact | LengthGoal::Near => {}
                LengthGoal::Sentence => lines.push("  up to the end of a sentence".to_string()),
                LengthGoal::Paragraph => lines.push("  up to the end of a paragraph".to_string()),
                LengthGoal::Until(words) => lines.push(format!("  up to {words:?}")),
            }
            if let Some(instruct) = &how.instruct {
                lines.push(format!("  instruction: {instruct}"));
            }
            if !how.begin.is_empty() {
                lines.push("  its first word was chosen".to_string());
            }
            for fired in &how.lore {
                let book = self.session.story.frame().book(&fired.book);
                let entry = book.and_then(|b| b.entries.iter().find(|e| e.uid == fired.uid));
                let title = entry.map_or("an entry", |entry| entry.title());
                lines.push(format!("  lore: {title} of {}", fired.book));
            }
            if !node.rewound.is_empty() {
                let phrases = counted(&node.rewound);
                lines.push(format!("  banned phrases avoided: {phrases}"));
            }
            lines.push(format!("  context {}", how.context_digest));
        }
        lines.extend(self.thought(node));
        let versions = self.session.story.versions(node.id).len();
        if versions > 1 {
            lines.push(format!("  {versions} versions"));
        }
        lines.push(authors(&self.session.story.path()));
        if let Some(stats) = &self.session.last_stats {
            lines.push(format!(
                "The last passage had a prompt of {} tokens, {} of them reused, and generated {} at {:.1} per second",
                stats.prompt_tokens,
                stats.reused,
                stats.new_tokens,
                stats.decode_tps()
            ));
        }
        Ok(Outcome::Said(lines.join("\n")))
    }

    /// The model's thoughts for a passage, as lines to show. If the passage is a copy made by an
    /// edit, the thoughts are those of the original passage.
    fn thought(&self, node: &Node) -> Vec<String> {
        let origin = |node: &&Node| self.session.story.node(node.copied_from?.node);
        let mut origins = std::iter::successors(Some(node), origin);
        let Some(node) = origins.find(|node| !node.thought.trim().is_empty()) else {
            return Vec::new();
        };
        let words = node.thought.split_whitespace().count();
        let thought = clean(node.thought.trim());
        let first = format!("  thought for {}:", count_noun(words, "word"));
        let rows = thought.lines().map(|line| format!("    {line}"));
        std::iter::once(first).chain(rows).collect()
    }

    /// Requests a measurement of a text. The result arrives as a notice.
    pub fn measure(&mut self, what: Measurement) {
        self.send(Request::Measure(what), Purpose::Show, Work::Writing);
    }

    /// Requests the context of the next passage.
    pub(super) fn explain(&mut self) -> Result<Outcome, Refusal> {
        self.needs(|can| can.explain, "show its context")?;
        let place = Place::after(self.session.story.head());
        let seed = self.setup.entropy;
        let request = self.question(place, healing(), seed);
        self.send(Request::Explain(request), Purpose::Show, Work::Writing);
        Ok(Outcome::Asked)
    }
}

/// The title of a picture.
fn title(node: &Node) -> String {
    let picture = node.picture.as_ref();
    picture.map_or(String::new(), |picture| picture.provenance.title())
}

fn who(node: &Node) -> &'static str {
    match (node.aside, node.edited, node.author) {
        _ if node.picture.is_some() => "picture",
        (true, _, _) => "summary",
        (_, true, _) => "you (edited)",
        (_, _, Author::Prompt) => "prompt",
        (_, _, Author::User) => "you",
        (_, _, Author::Model) => "model",
    }
}

fn ended(node: &Node) -> String {
    let status = serde_json::to_value(node.status).ok();
    let status = status.and_then(|value| value.as_str().map(str::to_string));
    status.unwrap_or_default().replace('_', " ")
}

/// The settings that differ from their defaults.
fn differing(sampling: &Sampling) -> String {
    let default = Sampling::default();
    let differs = SETTINGS.iter().filter_map(|row| {
        let value = row.get(sampling);
        (value != row.get(&default)).then(|| format!("{} {value}", row.name))
    });
    let differs: Vec<String> = differs.collect();
    match differs.is_empty() {
        true => "default settings".to_string(),
        false => differs.join(", "),
    }
}

/// A line that names the settings that had no effect on the model server; None if all of them had
/// an effect.
fn without_effect(cannot: &[String], sampling: &Sampling) -> Option<String> {
    // Greedy sampling has every other stage off.
    let off = Sampling::greedy();
    let asked = |row: &&story::sampling::Setting| row.get(sampling) != row.get(&off);
    let named = SETTINGS
        .iter()
        .filter(|row| cannot.iter().any(|name| name == row.name));
    let names: Vec<&str> = named.filter(asked).map(|row| row.name).collect();
    (!names.is_empty()).then(|| format!("  without effect on this server: {}", names.join(", ")))
}

/// Lists each phrase once, with the number of times that it occurs in `phrases`.
pub(super) fn counted(phrases: &[String]) -> String {
    let mut found: Vec<(&str, usize)> = Vec::new();
    for phrase in phrases {
        match found.iter_mut().find(|(known, _)| known == phrase) {
            Some((_, count)) => *count += 1,
            None => found.push((phrase, 1)),
        }
    }
    let said = |(phrase, count): &(&str, usize)| {
        let phrase = excerpt(phrase, 60);
        match count {
            1 => format!("\"{phrase}\""),
            count => format!("\"{phrase}\" ({count} times)"),
        }
    };
    const SHOWN: usize = 8;
    let mut all: Vec<String> = found.iter().take(SHOWN).map(said).collect();
    if found.len() > SHOWN {
        all.push(format!("{} more", found.len() - SHOWN));
    }
    all.join(", ")
}

/// A line that says how many characters of the story each author wrote.
fn authors(path: &[Passage]) -> String {
    let count = |fits: &dyn Fn(&Passage) -> bool| -> usize {
        let own = path.iter().filter(|passage| fits(passage));
        own.map(|passage| passage.text.chars().count()).sum()
    };
    let edited = count(&|passage| passage.edited);
    // The model's text in an imported file was not written by a model here.
    let brought =
        |passage: &Passage| passage.author == Author::Model && passage.provenance.is_none();
    let by =
        |author| count(&|passage| !passage.edited && !brought(passage) && passage.author == author);
    let parts = [
        ("prompt", by(Author::Prompt)),
        (
            "from a file",
            count(&|passage| !passage.edited && brought(passage)),
        ),
        ("you", by(Author::User)),
        ("model", by(Author::Model)),
        ("edited", edited),
    ];
    let parts = parts.iter().filter(|(_, n)| *n > 0);
    let parts: Vec<String> = parts.map(|(name, n)| format!("{name} {n}")).collect();
    format!("Characters of the story: {}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_that_would_have_done_something_are_said_to_be_without_effect() {
        let cannot = ["dry_multiplier".to_string(), "mirostat".to_string()];
        let said = without_effect(&cannot, &Sampling::default()).unwrap();
        assert_eq!(said, "  without effect on this server: dry_multiplier");
        assert_eq!(without_effect(&cannot, &Sampling::greedy()), None);
        assert_eq!(without_effect(&[], &Sampling::default()), None);
    }
}
