//! What the picture commands do: `/image`, `/grid`, `/scene`, `/vary`, `/lerp`, `/mix`, `/restyle`.
//!
//! A picture is asked of the engine and, once drawn, is a passage without words beside the one
//! that it illustrates. Its file is on the disk before the journal speaks of it.

use super::choices::Listed;
use super::{Notice, Outcome, Refusal, Studio, Work, cannot, derive};
use crate::model::gan::reading::LARGEST;
use crate::store::picture::{encode, provenance, size};
use crate::store::pictures;
use crate::story::command::{Draw, Wanted};
use crate::story::context::{Context, Kind, Part};
use crate::story::message::{Fault, Goal, Overflow, TextRequest};
use crate::story::picture::{
    Drawing, PictureRequest, Provenance, Sight, Source, Style, Subject, Words,
};
use crate::story::record::{Change, Move, Step};
use crate::story::sentence::excerpt;
use crate::story::untrusted::{clean, clean_line};
use crate::story::{
    Author, Command, Event, Node, NodeId, Picture, Record, Request, Settings, Status, places,
};
use std::path::PathBuf;
use std::sync::Arc;

/// The prompt that has the text model describe a passage.
const TASK: &str = "picture";
/// Pixels of a picture's file where no other size is asked for.
const SIZE: u32 = 256;
/// Letters of a passage that are described.
const DESCRIBED: usize = 1500;
/// A passage shorter than this is described with the one before it.
const SHORT: usize = 80;
/// Pictures of `/grid` and of `/lerp`.
const GRID: usize = 9;
const ROW: usize = 5;

/// Pictures that the engine was asked for.
#[derive(Clone, Debug)]
pub(super) struct Awaited {
    /// The number that the first will have.
    node: NodeId,
    /// The passage that they illustrate.
    parent: Option<NodeId>,
    /// They are versions of this picture.
    beside: Option<NodeId>,
}

/// Where the file of a picture is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    File(PathBuf),
    /// Of a private session, or while the disk refuses it.
    Memory(Arc<[u8]>),
}

impl Kept {
    /// The bytes of the file; none where it is missing.
    pub fn bytes(&self) -> Option<Arc<[u8]>> {
        match self {
            Kept::File(path) => {
                let small = std::fs::metadata(path).is_ok_and(|it| it.len() <= LARGEST as u64);
                let bytes = std::fs::read(path).ok().filter(|_| small)?;
                Some(bytes.into())
            }
            Kept::Memory(bytes) => Some(bytes.clone()),
        }
    }
}

impl Studio {
    /// Whether pictures are being drawn.
    pub fn drawing(&self) -> bool {
        self.awaited.is_some()
    }

    /// Where the file of a picture of the story is.
    pub fn picture(&self, id: NodeId) -> Option<Kept> {
        self.story.picture(id)?;
        if let Some(bytes) = self.held.get(&id) {
            return Some(Kept::Memory(bytes.clone()));
        }
        let folder = self.journal.as_ref()?.folder();
        Some(Kept::File(pictures::path(folder, id)))
    }

    /// Styles that the illuminator knows by name.
    pub fn styles(&self) -> &[String] {
        &self.setup.styles
    }

    pub(super) fn draw(&mut self, what: Draw) -> Result<Outcome, Refusal> {
        let parent = self.story.head();
        match what {
            Draw::Image(wanted) => {
                let subject = Subject::Words(self.words(&wanted)?);
                self.ask_for(subject, &wanted, 1, (parent, None))
            }
            Draw::Scene(wanted) => {
                let subject = Subject::Scene(self.words(&wanted)?);
                self.ask_for(subject, &wanted, 1, (parent, None))
            }
            Draw::Grid(wanted) => {
                let every = wanted.style.as_deref().map(Style::named) == Some(Style::All);
                let count = if every { 1 } else { GRID };
                let subject = Subject::Words(self.words(&wanted)?);
                self.ask_for(subject, &wanted, count, (parent, None))
            }
            Draw::Vary { amount, of, wanted } => {
                let id = self.picture_named(of.as_deref())?;
                let of = self.source(id)?;
                let place = self.beside(id);
                self.ask_for(Subject::Vary { of, amount }, &wanted, 1, place)
            }
            Draw::Lerp { from, to, wanted } => {
                let at = PictureRequest::places(wanted.count.unwrap_or(ROW));
                let (from, to) = (self.sight(&from)?, self.sight(&to)?);
                let one = Wanted {
                    count: Some(1),
                    ..wanted
                };
                self.ask_for(Subject::Lerp { from, to, at }, &one, 1, (parent, None))
            }
            Draw::Mix { of, with, wanted } => {
                let id = self.picture_named(Some(&of))?;
                let (of, with) = (self.source(id)?, self.sight(&with)?);
                self.ask_for(Subject::Mix { of, with }, &wanted, 1, (parent, None))
            }
            Draw::Restyle { of, style, wanted } => {
                let wanted = Wanted {
                    style: Some(style),
                    ..wanted
                };
                let (of, place) = match self.picture_id(&of) {
                    Some(id) => (self.source(id)?, self.beside(id)),
                    None => (self.file_source(&of)?, (parent, None)),
                };
                let words = Some(wanted.words.trim()).filter(|words| !words.is_empty());
                let words = words.map(|words| clean(words).into_owned());
                self.ask_for(Subject::Restyle { of, words }, &wanted, 1, place)
            }
        }
    }

    fn ask_for(
        &mut self,
        subject: Subject,
        wanted: &Wanted,
        count: usize,
        (parent, beside): (Option<NodeId>, Option<NodeId>),
    ) -> Result<Outcome, Refusal> {
        if let Some(journal) = &self.journal {
            journal.writable()?;
        }
        let node = self.story.next_id();
        let base = self.settings.sampling.seed.unwrap_or(self.setup.entropy);
        // Short enough to be typed again.
        let seed = wanted.seed.unwrap_or(derive(base, node) % 1_000_000_000);
        let count = wanted.count.unwrap_or(count) as u64;
        let style = wanted.style.as_deref().map(Style::named);
        let request = PictureRequest {
            node,
            subject,
            style: style.unwrap_or_default(),
            seeds: (0..count).map(|n| seed.wrapping_add(n)).collect(),
            temperature: wanted.temperature,
            guidance: wanted.guidance,
            steps: None,
            size: wanted.size.unwrap_or(SIZE),
            background: wanted.background.clone(),
            build: self.setup.build.clone(),
        };
        self.awaited = Some(Awaited {
            node,
            parent,
            beside,
        });
        if self.work == Work::Nothing {
            self.work = Work::Drawing { done: 0, total: 0 };
        }
        self.engine.submit(Request::Picture(Box::new(request)));
        Ok(Outcome::Asked)
    }

    /// The words that were given, or the last passage and how to ask for a line about it.
    fn words(&mut self, wanted: &Wanted) -> Result<Words, Refusal> {
        let words = clean(wanted.words.trim()).into_owned();
        if !words.is_empty() {
            return Ok(Words::Given(words));
        }
        let text = self.last_words();
        if text.trim().is_empty() {
            return Err(cannot(
                "There is no passage to draw yet; say what to draw, as in /image a red dragon asleep",
            ));
        }
        let ask = Box::new(self.description(&text)?);
        Ok(Words::Passage { text, ask })
    }

    /// The last passage; more of the story where that says little.
    fn last_words(&self) -> String {
        let path = self.story.path();
        let mut text = String::new();
        for passage in path.iter().rev() {
            text.insert_str(0, passage.text);
            let joined = passage.joins || passage.cut.is_some();
            if text.trim().len() >= SHORT && !joined {
                break;
            }
        }
        let from = text.len().saturating_sub(DESCRIBED);
        let from = (from..).find(|at| text.is_char_boundary(*at));
        text.split_off(from.unwrap_or(0))
    }

    /// What the text model is asked, to describe a passage in a line.
    fn description(&mut self, text: &str) -> Result<TextRequest, Refusal> {
        let wrong = |error: &dyn std::fmt::Display| cannot(&error.to_string());
        let template = self.setup.prompts.find(TASK);
        let template = template.map_err(|error| wrong(&error))?;
        let line = text.split_whitespace().collect::<Vec<&str>>().join(" ");
        let filled = template.fill(&[("passage".to_string(), line)]);
        let filled = filled.map_err(|error| wrong(&error))?;
        let sampling = template.over(Settings::default());
        let sampling = sampling.map_err(|error| wrong(&error))?.sampling;
        let parts = vec![
            Part::plain(Kind::Voice, filled.voice.text),
            Part::plain(Kind::Gap, "\n\n"),
            Part::plain(Kind::Instruct, filled.begin),
        ];
        Ok(TextRequest {
            node: self.story.next_id(),
            context: Context::Prose {
                parts,
                after: String::new(),
            },
            seed: 0,
            overflow: Overflow::Crop,
            goal: Goal::Exact,
            bans: Vec::new(),
            heal: false,
            begin: Vec::new(),
            recall: None,
            sampling,
        })
    }

    /// The picture of this name: a number, or a passage that has one; without a name, the last.
    fn picture_named(&self, name: Option<&str>) -> Result<NodeId, Refusal> {
        let path = self.story.path();
        let on_page = self.story.pictures_on(&path);
        let Some(name) = name else {
            let last = on_page.last().map(|(_, id)| *id);
            return last
                .ok_or_else(|| cannot("There is no picture on the page yet; /image draws one"));
        };
        let id = places::find(&self.story, name)?.node;
        let own = id.filter(|id| self.story.picture(*id).is_some());
        let on = |id: NodeId| {
            let at = path.iter().position(|passage| passage.id == id)? + 1;
            let there = on_page.iter().rev().find(|(after, _)| *after == at);
            there.map(|(_, picture)| *picture)
        };
        own.or_else(|| on(id?)).ok_or_else(|| {
            cannot(&format!(
                "{} is no picture; /tree shows which passages are",
                clean_line(&excerpt(name, 40))
            ))
        })
    }

    /// The picture that `#12` names; None for whatever else was meant.
    fn picture_id(&self, name: &str) -> Option<NodeId> {
        let number = name.strip_prefix('#').unwrap_or(name);
        let id = number.parse().ok()?;
        self.story.picture(id).map(|_| id)
    }

    fn source(&self, id: NodeId) -> Result<Source, Refusal> {
        let how = self.story.picture(id).map(|picture| picture.how.clone());
        let file = self.picture(id).and_then(|kept| kept.bytes());
        let whole = how.as_ref().is_some_and(|how| !how.tokens.is_empty());
        let file = match file {
            Some(file) => file.to_vec(),
            // Its tokens say all that is needed.
            None if whole => Vec::new(),
            None => return Err(cannot(&format!("The file of picture #{id} is missing"))),
        };
        let name = Picture::file(id);
        Ok(Source { how, file, name })
    }

    fn file_source(&self, name: &str) -> Result<Source, Refusal> {
        let path = self.file_named(name);
        let shown = clean_line(&path.display().to_string());
        let wrong = |why: &str| cannot(&format!("{shown} cannot be used: {why}"));
        let known = std::fs::metadata(&path);
        let known = known.map_err(|error| wrong(&error.to_string()))?;
        if !known.is_file() {
            return Err(wrong("it is no file"));
        }
        if known.len() > LARGEST as u64 {
            return Err(wrong(&format!("it is larger than {} MB", LARGEST >> 20)));
        }
        let file = std::fs::read(&path).map_err(|error| wrong(&error.to_string()))?;
        let how = provenance(&file).ok();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Source {
            how,
            file,
            name: name.into_owned(),
        })
    }

    /// A picture of the story, one in a file that says how it was made, or words.
    fn sight(&self, name: &str) -> Result<Sight, Refusal> {
        if let Some(picture) = self.picture_id(name).and_then(|id| self.story.picture(id)) {
            return Ok(Sight::Picture(picture.how.clone()));
        }
        if name.starts_with('#') {
            self.picture_named(Some(name))?;
        }
        if name.ends_with(".png") && self.file_named(name).is_file() {
            let how = self.file_source(name)?.how;
            let none = || cannot("That file does not say how it was made; give words in its place");
            return how.map(Sight::Picture).ok_or_else(none);
        }
        match clean(name.trim()).into_owned() {
            words if words.is_empty() => Err(cannot("There is nothing to draw in empty quotes")),
            words => Ok(Sight::Prompt(words)),
        }
    }

    /// Where a version of a picture stands: beside it.
    fn beside(&self, id: NodeId) -> (Option<NodeId>, Option<NodeId>) {
        let parent = self.story.node(id).and_then(|node| node.parent);
        let first = self.story.picture(id).and_then(|picture| picture.beside);
        (parent, Some(first.unwrap_or(id)))
    }

    /// Puts a picture on the page in place of its other versions, and goes to its passage where
    /// the story as it stands does not lead there.
    pub(super) fn show(&mut self, id: NodeId) -> Result<Outcome, Refusal> {
        let parent = self.story.node(id).and_then(|node| node.parent);
        let path = self.story.path();
        let here = parent.is_none() || path.iter().any(|passage| Some(passage.id) == parent);
        let mut changes = self.instead(id, Some(id));
        if !here {
            changes.insert(0, Change::Head { to: parent });
        }
        if self.story.is_hidden(id) {
            let hidden = false;
            changes.push(Change::Hidden { node: id, hidden });
        }
        if !changes.is_empty() {
            self.do_step(Move::Draw, changes)?;
        }
        let versions = self.story.picture_versions(id);
        let at = versions.iter().position(|other| *other == id).unwrap_or(0);
        let which = match versions.len() {
            0 | 1 => String::new(),
            count => format!(", version {} of {count}", at + 1),
        };
        let title = self.story.picture(id).map(|picture| picture.how.title());
        let title = excerpt(&title.unwrap_or_default(), 60);
        Ok(Outcome::Moved(format!("Picture #{id}{which}: {title}")))
    }

    /// What takes the versions of `of` from the page and puts `shown` there.
    fn instead(&self, of: NodeId, shown: Option<NodeId>) -> Vec<Change> {
        let others = self.story.picture_versions(of).into_iter();
        let others = others.filter(|id| Some(*id) != shown && self.story.is_shown(*id));
        let mut changes: Vec<Change> = others
            .map(|node| Change::Shown { node, shown: false })
            .collect();
        let new = shown.filter(|id| !self.story.is_shown(*id));
        changes.extend(new.map(|node| Change::Shown { node, shown: true }));
        changes
    }

    /// Takes a picture from the page and puts it away.
    pub(super) fn delete_picture(&mut self, id: NodeId) -> Result<Outcome, Refusal> {
        let hide = Change::Hidden {
            node: id,
            hidden: true,
        };
        let mut changes = vec![hide];
        if self.story.is_shown(id) {
            changes.push(Change::Shown {
                node: id,
                shown: false,
            });
        }
        self.do_step(Move::Delete, changes)?;
        Ok(Outcome::Moved(format!(
            "Picture #{id} is put away; /undo brings it back"
        )))
    }

    /// Takes the engine's news of pictures; what is no such news comes back.
    pub(super) fn drawing_news(&mut self, event: Event) -> Result<Vec<Notice>, Event> {
        let Some(awaited) = self.awaited.clone() else {
            return Err(event);
        };
        match event {
            Event::Drawing { node, done, total } if node == awaited.node => {
                self.work = Work::Drawing { done, total };
                Ok(Vec::new())
            }
            Event::Drawn { node, drawings } if node == awaited.node => {
                Ok(self.drew(&awaited, drawings))
            }
            Event::Done { node, status, .. } if node == Some(awaited.node) => {
                self.awaited = None;
                self.work = Work::Nothing;
                Ok(match status {
                    Status::Stopped => {
                        vec![Notice::Info("Stopped; nothing was drawn".to_string())]
                    }
                    _ => Vec::new(),
                })
            }
            Event::Failed { node, why, fault } if node == Some(awaited.node) => {
                self.awaited = None;
                self.work = Work::Nothing;
                Ok(vec![Notice::Error(why, fault)])
            }
            other => Err(other),
        }
    }

    /// Pictures come into the story.
    fn drew(&mut self, awaited: &Awaited, drawings: Vec<Drawing>) -> Vec<Notice> {
        let mut records = Vec::new();
        let mut rows = Vec::new();
        let several = drawings.len() > 1;
        let first = self.story.next_id();
        for (id, drawing) in (first..).zip(&drawings) {
            let bytes = match encode(&drawing.layers, &drawing.how) {
                Ok(bytes) => bytes,
                Err(why) => {
                    let why = format!("The picture cannot be kept: {why}");
                    return vec![Notice::Error(why, Fault::Engine)];
                }
            };
            let (width, height) = size(&drawing.how);
            let own = several && id > first;
            let picture = Picture {
                sha256: pictures::sha256(&bytes),
                width,
                height,
                beside: awaited.beside.or(own.then_some(first)),
                how: drawing.how.clone(),
            };
            self.held.insert(id, bytes.into());
            records.push(Record::Node(Node {
                id,
                parent: awaited.parent,
                author: Author::Model,
                aside: true,
                status: Status::Complete,
                picture: Some(Box::new(picture)),
                ..Node::default()
            }));
            rows.push(listed(id, &drawing.how));
        }
        let Some(last) = drawings.first() else {
            return Vec::new();
        };
        let mut changes = match awaited.beside {
            Some(beside) => self.instead(beside, None),
            None => Vec::new(),
        };
        changes.push(Change::Shown {
            node: first,
            shown: true,
        });
        let why = Move::Draw;
        records.push(Record::Step(Step { why, changes }));
        let kept = self.record(records).and_then(|()| self.sync());
        let nodes: Vec<NodeId> = (first..).take(drawings.len()).collect();
        let said = said(first, &last.how, nodes.len());
        let mut notices = vec![Notice::Drawn { nodes, said }];
        if let Err(refusal) = kept {
            notices.push(Notice::Error(refusal.to_string(), Fault::Store));
        }
        if several {
            self.listed.clone_from(&rows);
            let title = "Pictures; /pick N puts another in this one's place".to_string();
            notices.push(Notice::List(title, rows));
        }
        notices
    }

    /// How a picture came to be, a line each.
    pub(super) fn why_picture(&self, id: NodeId, picture: &Picture) -> Vec<String> {
        let how = &picture.how;
        let mut lines = vec![
            format!("#{id} is a picture of {}", how.title()),
            format!("  taken for {}", how.said()),
            format!(
                "  style {}, seed {}, {}",
                how.style.as_deref().unwrap_or("any"),
                how.seed,
                how.build
            ),
            format!(
                "  {} rounds, temperature {}, guidance {}, {} by {} pixels",
                how.steps, how.temperature, how.guidance, picture.width, picture.height
            ),
            format!("  weights {} on {}", how.weights, how.backend),
            format!("  sha256 {}", picture.sha256),
        ];
        if let Some(Kept::File(path)) = self.picture(id) {
            lines.push(format!("  in {}", path.display()));
        }
        let versions = self.story.picture_versions(id).len();
        if versions > 1 {
            lines.push(format!("  {versions} versions"));
        }
        lines
    }
}

fn listed(id: NodeId, how: &Provenance) -> Listed {
    let style = how.style.as_deref().unwrap_or("any style");
    let title = excerpt(&how.title(), 80);
    Listed {
        label: format!("#{id} {style}, seed {}: {title}", how.seed),
        command: Command::Goto(format!("#{id}")),
    }
}

/// What was drawn, and of what.
fn said(first: NodeId, how: &Provenance, count: usize) -> String {
    let title = excerpt(&how.title(), 60);
    let which = match count {
        1 => format!("#{first}, seed {}", how.seed),
        count => format!("{count} pictures from #{first} on"),
    };
    format!("I drew: {} (“{title}”, {which})", how.said())
}
