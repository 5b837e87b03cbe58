//! Retrieval: puts old passages and lore that are relevant to the story's end back into the
//! context.
//!
//! The text at the end of the story is compared with the text that no longer fits the model's
//! context, one stretch at a time, and with each inactive lore entry. The most similar stretches
//! and entries are inserted some paragraphs before the end. The text encoder computes the
//! embeddings.

use super::backend::{Backend, Failure};
use base::hash::fnv1a;
use base::progress::Observer;
use llm::ModelError;
use llm::sentence_encoder::{SentenceEncoder, WIDTH};
use std::collections::HashMap;
use std::rc::Rc;
use story::context::{ContextPart, PartKind};
use story::message::{Retrieval, RetrievedPassage, TextRequest};
use story::sentence::{excerpt, sentence_ends};
use story::{Context, NodeId};

/// The minimum cosine similarity of a candidate to the query.
const NEAR: f32 = 0.2;
/// The approximate lengths, in bytes, of the two texts that form the query. Both texts end at the
/// story's end; the second also includes earlier text.
const NOW: [usize; 2] = [120, 500];
/// The weights of the two texts that form the query.
const SAYS: [f32; 2] = [0.7, 0.3];
/// The minimum length of a stretch, in bytes. Every stretch ends at the end of a sentence.
const STRETCH: usize = 400;

/// The text encoder, with a cache of the embeddings computed so far.
pub struct Retriever {
    encoder: Rc<SentenceEncoder>,
    known: HashMap<u64, Vec<f32>>,
}

/// A candidate for retrieval: a stretch of old text, or a lore entry.
#[derive(Debug, PartialEq)]
struct Stretch {
    /// The text to embed.
    words: String,
    part: ContextPart,
    label: String,
    near: f32,
}

impl Retriever {
    pub fn new(encoder: Rc<SentenceEncoder>) -> Retriever {
        let known = HashMap::new();
        Retriever { encoder, known }
    }

    /// Inserts the most similar candidates into the request's context, and returns them; returns
    /// None if stopped.
    pub fn retrieve(
        &mut self,
        backend: &dyn Backend,
        request: &mut TextRequest,
        observer: &dyn Observer,
    ) -> Result<Option<Vec<RetrievedPassage>>, Failure> {
        let Some(wanted) = request.retrieval.take() else {
            return Ok(Some(Vec::new()));
        };
        let begins = backend.context_start(request)?;
        let mut found = lore(&request.context, &wanted);
        found.extend(begins.map_or(Vec::new(), |begins| forgotten(&request.context, begins)));
        let now = NOW.map(|bytes| end(&request.context, bytes));
        if found.is_empty() || now[0].trim().is_empty() {
            return Ok(Some(Vec::new()));
        }
        if !self.learn(&now, &found, observer)? {
            return Ok(None);
        }
        let found = self.nearest(&now, found, wanted.most);
        let said = found.iter().map(Stretch::said).collect();
        let parts = found.into_iter().map(|stretch| stretch.part).collect();
        let context = std::mem::replace(&mut request.context, Context::empty());
        request.context = context.with_retrieved(parts);
        Ok(Some(said))
    }

    /// Embeds those texts whose embeddings are not cached yet. Returns false if stopped.
    fn learn(
        &mut self,
        now: &[String],
        found: &[Stretch],
        observer: &dyn Observer,
    ) -> Result<bool, ModelError> {
        let texts = found.iter().map(|stretch| stretch.words.as_str());
        let unknown = texts
            .chain(now.iter().map(String::as_str))
            .filter(|text| !self.known.contains_key(&fnv1a(text)));
        let unknown: Vec<String> = unknown.map(String::from).collect();
        let rows = self
            .encoder
            .embed_all(&unknown, &mut |_| !observer.is_cancelled())?;
        let Some(rows) = rows else {
            return Ok(false);
        };
        let rows = rows.chunks_exact(WIDTH).map(<[f32]>::to_vec);
        let names = unknown.iter().map(|text| fnv1a(text));
        self.known.extend(names.zip(rows));
        Ok(true)
    }

    /// Returns up to `most` of the most similar candidates, without changing their order.
    fn nearest(&self, now: &[String], mut found: Vec<Stretch>, most: usize) -> Vec<Stretch> {
        let row = |text: &str| self.known.get(&fnv1a(text)).map_or(&[][..], Vec::as_slice);
        for stretch in &mut found {
            let there = row(&stretch.words);
            let cosine = |text: &String| -> f32 {
                let pairs = row(text).iter().zip(there);
                pairs.map(|(a, b)| a * b).sum()
            };
            stretch.near = now
                .iter()
                .zip(SAYS)
                .map(|(it, says)| says * cosine(it))
                .sum();
        }
        let mut order: Vec<f32> = found.iter().map(|stretch| stretch.near).collect();
        order.sort_by(|a, b| b.total_cmp(a));
        let least = order.get(most.saturating_sub(1)).copied().unwrap_or(NEAR);
        found.retain(|stretch| stretch.near >= least.max(NEAR));
        found.truncate(most);
        found
    }
}

/// The highest cosine similarity between `text` and any text in `others`.
pub fn similarity(
    encoder: &SentenceEncoder,
    text: &str,
    others: &[String],
) -> Result<f64, ModelError> {
    let here = encoder.embed(text)?;
    let mut highest = -1.0_f64;
    for other in others {
        let there = encoder.embed(other)?;
        let cosine: f32 = here.iter().zip(&there).map(|(a, b)| a * b).sum();
        highest = highest.max(f64::from(cosine));
    }
    Ok(highest)
}

impl Stretch {
    fn said(&self) -> RetrievedPassage {
        let begins = excerpt(&self.words, 24);
        RetrievedPassage {
            what: match self.part.kind {
                PartKind::Retrieved { .. } => format!("{} \"{begins}\"", self.label),
                _ => self.label.clone(),
            },
            near: self.near,
            begins: excerpt(&self.words, 60),
        }
    }
}

fn parts(context: &Context) -> Box<dyn Iterator<Item = &ContextPart> + '_> {
    match context {
        Context::Prose { parts, .. } => Box::new(parts.iter()),
        Context::Chat { messages, .. } => Box::new(messages.iter().flat_map(|m| m.parts.iter())),
    }
}

fn story(context: &Context) -> impl Iterator<Item = (NodeId, usize, &str)> {
    parts(context).filter_map(|part| match part.kind {
        PartKind::Story { node, from } => Some((node, from, part.text.as_str())),
        _ => None,
    })
}

/// The last sentences of the story: all that start within the last `bytes` bytes, but at least one
/// sentence.
fn end(context: &Context, bytes: usize) -> String {
    let text: String = story(context).map(|(.., text)| text).collect();
    let text = text.trim_end();
    // A sentence is seldom longer than this, and a whole book need not be searched.
    let near = text.floor_char_boundary(text.len().saturating_sub(bytes + 1000));
    let text = &text[near..];
    let from = text.len().saturating_sub(bytes);
    let starts = sentence_ends(text)
        .into_iter()
        .filter(|at| *at < text.len());
    let starts: Vec<usize> = starts.collect();
    let first = starts.iter().find(|at| **at >= from).or(starts.last());
    text[first.copied().unwrap_or(0)..].to_string()
}

/// Returns the lore entries that may be retrieved. Entries that exceed the lore budget are dropped
/// later.
fn lore(context: &Context, wanted: &Retrieval) -> Vec<Stretch> {
    let ranks = parts(context).filter_map(|part| match part.kind {
        PartKind::Lore { rank, .. } => Some(rank + 1),
        _ => None,
    });
    let first = ranks.max().unwrap_or(0);
    let entries = wanted.lore.iter().enumerate();
    let stretch = |(at, entry): (usize, &story::message::UnmatchedLore)| Stretch {
        label: format!("lore {}", entry.title),
        words: entry.text.trim().to_string(),
        part: ContextPart::plain(
            PartKind::Lore {
                title: entry.title.clone(),
                rank: first + at,
                budget: entry.budget,
            },
            format!("[{}]", entry.text.trim()),
        ),
        near: 0.0,
    };
    entries.map(stretch).collect()
}

/// Splits the part of the story that was dropped from the context into stretches of a few
/// sentences. The first stretch starts at the story's beginning, so that the stretches do not
/// change while the story grows.
fn forgotten(context: &Context, begins: (NodeId, usize)) -> Vec<Stretch> {
    let mut found = Vec::new();
    let (mut text, mut place) = (String::new(), None);
    for (node, from, words) in story(context) {
        let left = begins.1.saturating_sub(from);
        let here = match node == begins.0 {
            true => &words[..words.floor_char_boundary(left.min(words.len()))],
            false => words,
        };
        let mut at = 0;
        for end in sentence_ends(here) {
            place = place.or(Some((node, from + at)));
            text.push_str(&here[at..end]);
            at = end;
            if text.len() >= STRETCH {
                found.extend(stretch(&mut text, &mut place));
            }
        }
        if node == begins.0 && left <= words.len() {
            break;
        }
    }
    found.extend(stretch(&mut text, &mut place));
    found
}

fn stretch(text: &mut String, place: &mut Option<(NodeId, usize)>) -> Option<Stretch> {
    let (node, from) = place.take()?;
    let words = std::mem::take(text);
    let words = words.trim();
    let (label, near) = (format!("#{node}"), 0.0);
    (!words.is_empty()).then(|| Stretch {
        part: ContextPart::plain(
            PartKind::Retrieved { node, from },
            format!("[Earlier: {words}]"),
        ),
        words: words.to_string(),
        label,
        near,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prose(texts: &[&str]) -> Context {
        let part = |(at, text): (usize, &&str)| {
            let (node, from) = (at as NodeId, 0);
            ContextPart::plain(PartKind::Story { node, from }, *text)
        };
        Context::Prose {
            parts: texts.iter().enumerate().map(part).collect(),
            after: String::new(),
        }
    }

    #[test]
    fn only_what_is_not_read_is_forgotten() {
        let long = "The mill stood by the river, and nobody had worked in it for years. ".repeat(6);
        let context = prose(&[&long, &long, "Then it rained."]);
        let all = forgotten(&context, (2, 0));
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].part.kind, PartKind::Retrieved { node: 0, from: 0 });
        assert_eq!(all[1].label, "#1");
        let less = forgotten(&context, (1, 10));
        assert_eq!(less.len(), 2);
        assert_eq!(less[1].part.text, "[Earlier: The mill s]");
        assert!(forgotten(&context, (0, 0)).is_empty());
    }

    /// The stretches do not change while the story grows, so each stretch is embedded only once.
    #[test]
    fn stretches_hold_while_the_story_grows() {
        let texts: Vec<String> = (0..9)
            .map(|n| format!("In the year {n} the river rose again. Nobody spoke of it. "))
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let short = forgotten(&prose(&texts), (8, 0));
        let long = forgotten(&prose(&[&texts[..], &texts[..]].concat()), (8, 0));
        assert_eq!(short, long);
    }
}
