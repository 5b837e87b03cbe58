//! Runs the picture commands `/image`, `/grid`, `/scene`, `/vary`, `/lerp`, `/mix` and `/restyle`.
//!
//! A drawn picture becomes a passage without text. It is a child of the passage that it
//! illustrates. The picture's file is on disk before the journal mentions the picture.

use super::pending::{Illustration, Purpose};
use super::{Outcome, Refusal, Studio, Work, cannot, derive};
use crate::store::picture::provenance;
use crate::store::pictures;
use base::untrusted::{clean, clean_line};
use imagegen::picture_file::MAX_FILE_BYTES;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use story::command::{DrawOptions, PictureCommand};
use story::context::{Context, ContextPart, PartKind};
use story::message::{LengthGoal, Overflow, TextRequest};
use story::picture::{
    PictureRequest, PictureTask, PromptOrPicture, PromptSource, SourcePicture, StyleChoice,
};
use story::sentence::excerpt;
use story::{NodeId, Picture, Request, Settings, places};

/// The name of the prompt template that asks the text model to describe a passage.
const TASK: &str = "picture";
/// The default height of a picture in pixels.
const SIZE: u32 = 256;
/// The maximum length in bytes of the story text that the text model describes for a picture.
const DESCRIBED: usize = 1500;
/// The length in bytes below which a passage is described together with the previous passage.
const SHORT: usize = 80;
/// The default number of pictures that `/grid` draws.
const GRID: usize = 9;
/// The default number of pictures that `/lerp` draws.
const ROW: usize = 5;

/// The location of a picture's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PictureSource {
    File(PathBuf),
    /// The bytes of the file in memory, for a private session.
    Memory(Arc<[u8]>),
}

impl PictureSource {
    /// The bytes of the file; None if the file is missing or too large.
    pub fn bytes(&self) -> Option<Arc<[u8]>> {
        match self {
            PictureSource::File(path) => {
                let small =
                    std::fs::metadata(path).is_ok_and(|it| it.len() <= MAX_FILE_BYTES as u64);
                let bytes = std::fs::read(path).ok().filter(|_| small)?;
                Some(bytes.into())
            }
            PictureSource::Memory(bytes) => Some(bytes.clone()),
        }
    }
}

impl Studio {
    /// Whether pictures for the open session are being drawn.
    pub fn drawing(&self) -> bool {
        self.pending.draws(self.session.id)
    }

    /// The location of a picture's file; None if `id` is not a picture.
    pub fn picture(&self, id: NodeId) -> Option<PictureSource> {
        self.session.story.picture(id)?;
        if let Some(bytes) = self.session.in_memory_pictures.get(&id) {
            return Some(PictureSource::Memory(bytes.clone()));
        }
        let folder = self.session.journal.as_ref()?.folder();
        Some(PictureSource::File(pictures::path(folder, id)))
    }

    pub(super) fn draw(&mut self, what: PictureCommand) -> Result<Outcome, Refusal> {
        let parent = self.session.story.head();
        match what {
            PictureCommand::Image(wanted) => {
                let task = PictureTask::Prompt(self.words(&wanted)?);
                self.ask_for(task, &wanted, 1, (parent, None))
            }
            PictureCommand::Scene(wanted) => {
                let task = PictureTask::Scene(self.words(&wanted)?);
                self.ask_for(task, &wanted, 1, (parent, None))
            }
            PictureCommand::Grid(wanted) => {
                let every =
                    wanted.style.as_deref().map(StyleChoice::parse) == Some(StyleChoice::All);
                let count = if every { 1 } else { GRID };
                let task = PictureTask::Prompt(self.words(&wanted)?);
                self.ask_for(task, &wanted, count, (parent, None))
            }
            PictureCommand::Vary {
                amount,
                of,
                options: wanted,
            } => {
                let id = self.picture_named(of.as_deref())?;
                let of = self.source(id)?;
                let place = self.beside(id);
                self.ask_for(PictureTask::Vary { of, amount }, &wanted, 1, place)
            }
            PictureCommand::Lerp {
                from,
                to,
                options: wanted,
            } => {
                let at = PictureRequest::lerp_positions(wanted.count.unwrap_or(ROW));
                let (from, to) = (self.sight(&from)?, self.sight(&to)?);
                let one = DrawOptions {
                    count: Some(1),
                    ..wanted
                };
                self.ask_for(PictureTask::Lerp { from, to, at }, &one, 1, (parent, None))
            }
            PictureCommand::Mix {
                of,
                with,
                options: wanted,
            } => {
                let id = self.picture_named(Some(&of))?;
                let (of, with) = (self.source(id)?, self.sight(&with)?);
                self.ask_for(PictureTask::Mix { of, with }, &wanted, 1, (parent, None))
            }
            PictureCommand::Restyle {
                of,
                style,
                options: wanted,
            } => {
                let wanted = DrawOptions {
                    style: Some(style),
                    ..wanted
                };
                let shown = match &of {
                    Some(of) => self.picture_id(of).ok_or(of),
                    None => Ok(self.picture_named(None)?),
                };
                let (of, place) = match shown {
                    Ok(id) => (self.source(id)?, self.beside(id)),
                    Err(file) => (self.file_source(file)?, (parent, None)),
                };
                let words = Some(wanted.words.trim()).filter(|words| !words.is_empty());
                let words = words.map(|words| clean(words).into_owned());
                self.ask_for(PictureTask::Restyle { of, words }, &wanted, 1, place)
            }
        }
    }

    fn ask_for(
        &mut self,
        task: PictureTask,
        wanted: &DrawOptions,
        count: usize,
        (parent, beside): (Option<NodeId>, Option<NodeId>),
    ) -> Result<Outcome, Refusal> {
        if let Some(journal) = &self.session.journal {
            journal.writable()?;
        }
        let node = self.session.story.next_id();
        let base = self
            .session
            .settings
            .sampling
            .seed
            .unwrap_or(self.setup.entropy);
        // The seed is short enough to retype.
        let seed = wanted.seed.unwrap_or(derive(base, node) % 1_000_000_000);
        let count = wanted.count.unwrap_or(count) as u64;
        let style = wanted.style.as_deref().map(StyleChoice::parse);
        let request = PictureRequest {
            enlarged: false,
            weights: None,
            node,
            task,
            style: style.unwrap_or_default(),
            seeds: (0..count).map(|n| seed.wrapping_add(n)).collect(),
            temperature: wanted.temperature,
            guidance: wanted.guidance,
            retrieval_strength: wanted.retrieval_strength,
            steps: None,
            size: wanted.size.unwrap_or(SIZE),
            background: wanted.background.clone(),
            build: self.setup.build.clone(),
        };
        Ok(self.submit_picture(request, Illustration { parent, beside }))
    }

    /// Requests pictures that illustrate the passage at the head. `request` is complete except for
    /// the passage id, which this function sets.
    pub(super) fn illustrate(&mut self, request: PictureRequest) -> Result<Outcome, Refusal> {
        let node = self.session.story.next_id();
        let parent = self.session.story.head();
        let place = Illustration {
            parent,
            beside: None,
        };
        Ok(self.submit_picture(PictureRequest { node, ..request }, place))
    }

    fn submit_picture(&mut self, request: PictureRequest, place: Illustration) -> Outcome {
        let work = Work::Drawing { done: 0, total: 0 };
        let request = Request::Picture(Box::new(request));
        self.send(request, Purpose::Pictures(place), work);
        Outcome::Asked
    }

    /// Returns the prompt that the writer gave. If there is none, returns the text of the last
    /// passage, and the request that makes the text model describe that text.
    fn words(&mut self, wanted: &DrawOptions) -> Result<PromptSource, Refusal> {
        let words = clean(wanted.words.trim()).into_owned();
        if !words.is_empty() {
            return Ok(PromptSource::Given(words));
        }
        let text = self.last_words();
        if text.trim().is_empty() {
            return Err(cannot(
                "There is no passage to illustrate yet; give a prompt, for example /image a red dragon asleep",
            ));
        }
        let ask = Box::new(self.description(&text)?);
        Ok(PromptSource::Passage { text, ask })
    }

    /// The text of the last passage. If the passage is short, the text before the passage is
    /// included.
    fn last_words(&self) -> String {
        let path = self.session.story.path();
        let mut text = String::new();
        for passage in path.iter().rev() {
            text.insert_str(0, passage.text);
            if text.trim().len() >= SHORT && !passage.continues_previous() {
                break;
            }
        }
        let from = text.len().saturating_sub(DESCRIBED);
        let from = (from..).find(|at| text.is_char_boundary(*at));
        text.split_off(from.unwrap_or(0))
    }

    /// Builds the request to the text model for a one-line description of a passage.
    fn description(&mut self, text: &str) -> Result<TextRequest, Refusal> {
        let wrong = |error: &dyn std::fmt::Display| cannot(&error.to_string());
        let template = self.setup.prompts.find(TASK);
        let template = template.map_err(|error| wrong(&error))?;
        let line = text.split_whitespace().collect::<Vec<&str>>().join(" ");
        let filled = template.fill_variables(&[("passage".to_string(), line)]);
        let filled = filled.map_err(|error| wrong(&error))?;
        let sampling = template.apply_to(Settings::default());
        let sampling = sampling.map_err(|error| wrong(&error))?.sampling;
        let parts = vec![
            ContextPart::plain(PartKind::Voice, filled.voice.text),
            ContextPart::plain(PartKind::Separator, "\n\n"),
            ContextPart::plain(PartKind::Instruction, filled.begin),
        ];
        Ok(TextRequest {
            node: self.session.story.next_id(),
            context: Context::Prose {
                parts,
                after: String::new(),
            },
            seed: 0,
            overflow: Overflow::Crop,
            goal: LengthGoal::Exact,
            bans: Vec::new(),
            heal: false,
            begin: Vec::new(),
            retrieval: None,
            sampling,
        })
    }

    /// Finds a picture by its number or its passage. If `name` is None, finds the last picture on
    /// the current branch.
    fn picture_named(&self, name: Option<&str>) -> Result<NodeId, Refusal> {
        let path = self.session.story.path();
        let on_page = self.session.story.pictures_on(&path);
        let Some(name) = name else {
            let last = on_page.last().map(|(_, id)| *id);
            return last.ok_or_else(|| cannot("There is no picture yet; draw one with /image"));
        };
        let id = places::find_place(&self.session.story, name)?.node;
        let own = id.filter(|id| self.session.story.picture(*id).is_some());
        let on = |id: NodeId| {
            let at = path.iter().position(|passage| passage.id == id)? + 1;
            let there = on_page.iter().rev().find(|(after, _)| *after == at);
            there.map(|(_, picture)| *picture)
        };
        own.or_else(|| on(id?)).ok_or_else(|| {
            cannot(&format!(
                "{} is not a picture; /tree shows which passages are",
                clean_line(&excerpt(name, 40))
            ))
        })
    }

    /// Parses the number of a picture in the story, such as `#12`; None for any other text.
    fn picture_id(&self, name: &str) -> Option<NodeId> {
        let number = name.strip_prefix('#').unwrap_or(name);
        let id = number.parse().ok()?;
        self.session.story.picture(id).map(|_| id)
    }

    fn source(&self, id: NodeId) -> Result<SourcePicture, Refusal> {
        let how = self
            .session
            .story
            .picture(id)
            .map(|picture| picture.provenance.clone());
        let file = self.picture(id).and_then(|kept| kept.bytes());
        let whole = how.as_ref().is_some_and(|how| !how.tokens.is_empty());
        let file = match file {
            Some(file) => file.to_vec(),
            // The file is not needed, since the picture's tokens are known.
            None if whole => Vec::new(),
            None => return Err(cannot(&format!("The file of picture #{id} is missing"))),
        };
        let name = Picture::file_name(id);
        Ok(SourcePicture {
            provenance: how,
            file,
            name,
        })
    }

    fn file_source(&self, name: &str) -> Result<SourcePicture, Refusal> {
        let path = self.file_named(name);
        let shown = clean_line(&path.display().to_string());
        let wrong = |why: &str| cannot(&format!("Cannot use {shown}: {why}"));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        file_source(&path, name.into_owned()).map_err(|why| wrong(&why))
    }

    /// Parses an argument of `/lerp` or `/mix`: a picture of the story, a file with provenance, or
    /// a prompt.
    fn sight(&self, name: &str) -> Result<PromptOrPicture, Refusal> {
        if let Some(picture) = self
            .picture_id(name)
            .and_then(|id| self.session.story.picture(id))
        {
            return Ok(PromptOrPicture::Picture(Box::new(
                picture.provenance.clone(),
            )));
        }
        if name.starts_with('#') {
            self.picture_named(Some(name))?;
        }
        if name.ends_with(".png") && self.file_named(name).is_file() {
            let how = self.file_source(name)?.provenance;
            let none = || cannot("That file has no provenance; give a prompt instead");
            return how
                .map(Box::new)
                .map(PromptOrPicture::Picture)
                .ok_or_else(none);
        }
        match clean(name.trim()).into_owned() {
            words if words.is_empty() => Err(cannot("The quoted prompt is empty")),
            words => Ok(PromptOrPicture::Prompt(words)),
        }
    }

    /// The place for a new version of picture `id`: the passage that the picture illustrates, and
    /// the first version of the picture.
    fn beside(&self, id: NodeId) -> (Option<NodeId>, Option<NodeId>) {
        let parent = self.session.story.node(id).and_then(|node| node.parent);
        let first = self
            .session
            .story
            .picture(id)
            .and_then(|picture| picture.beside);
        (parent, Some(first.unwrap_or(id)))
    }
}

/// Loads a picture from a file, whichever program wrote the file. The error says why the file
/// cannot be used.
pub fn file_source(path: &Path, name: String) -> Result<SourcePicture, String> {
    let known = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !known.is_file() {
        return Err("it is not a file".to_string());
    }
    if known.len() > MAX_FILE_BYTES as u64 {
        return Err(format!("it is larger than {} MB", MAX_FILE_BYTES >> 20));
    }
    let file = std::fs::read(path).map_err(|error| error.to_string())?;
    let how = provenance(&file).ok();
    Ok(SourcePicture {
        provenance: how,
        file,
        name,
    })
}
