//! From a model's name to a model in memory, with its tokenizer, template and cache.

use super::draw;
use super::fetching::watching;
use super::speculate::Ahead;
use crate::model::catalog::{Catalog, Choice, Entry};
use crate::model::device;
use crate::model::encoder::SentenceEncoder;
use crate::model::fetch::ModelStore;
use crate::model::gan::Illuminator;
use crate::model::gguf::Gguf;
use crate::model::sampler::dry::Breakers;
use crate::model::template::Template;
use crate::model::transformer::attention::kv::Kind;
use crate::model::{Branch, ModelError, Placement, Rows, TextModel, Tokenizer, supported};
use crate::story::About;
use crate::story::untrusted::clean_line;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Makes models on the worker's thread.
pub trait Loader: Send {
    /// `model` is a catalogue name, a path, or empty for the default.
    fn load(
        &mut self,
        model: &str,
        progress: &mut dyn FnMut(&str, u64, Option<u64>),
        stopped: &dyn Fn() -> bool,
    ) -> Result<Loaded, LoadError>;

    /// The sentence encoder, by which old passages are recalled and pictures are drawn.
    fn encoder(
        &mut self,
        progress: &mut dyn FnMut(&str, u64, Option<u64>),
        stopped: &dyn Fn() -> bool,
    ) -> Result<SentenceEncoder, LoadError>;

    /// What draws, and the name of what computes.
    fn illuminator(
        &mut self,
        _progress: &mut dyn FnMut(&str, u64, Option<u64>),
        _stopped: &dyn Fn() -> bool,
    ) -> Result<(Illuminator, String), LoadError> {
        Err(LoadError::Failed("There is nothing here that draws".into()))
    }
}

#[derive(Debug)]
pub enum LoadError {
    Stopped,
    /// One plain sentence.
    Failed(String),
}

/// A model and all that belongs to it.
pub struct Loaded {
    pub about: About,
    pub model: Box<dyn TextModel>,
    pub tokenizer: Tokenizer,
    pub template: Option<Template>,
    /// The tokens in the KV cache, in order, without those that were guessed.
    held: Vec<u32>,
    ahead: Ahead,
    /// Whether tokens are guessed at all.
    pub speculate: bool,
    breakers: Option<(Vec<String>, Breakers)>,
}

impl Loaded {
    pub fn new(
        about: About,
        model: Box<dyn TextModel>,
        tokenizer: Tokenizer,
        template: Option<Template>,
    ) -> Loaded {
        Loaded {
            about,
            model,
            tokenizer,
            template,
            held: Vec::new(),
            ahead: Ahead::default(),
            speculate: true,
            breakers: None,
        }
    }

    /// How many tokens at the start of `ids` the cache already holds.
    pub fn keep_common(&self, ids: &[u32]) -> usize {
        let pairs = self.held.iter().zip(ids);
        pairs.take_while(|(held, id)| held == id).count()
    }

    /// Forgets all but the first `keep` tokens.
    pub fn rewind(&mut self, keep: usize) {
        self.ahead.forget();
        self.model.rewind(keep.min(self.held.len()));
        self.held.truncate(self.model.len());
    }

    pub fn forget(&mut self) {
        self.rewind(0);
    }

    /// The token of a line end, which XTC must not take away.
    pub fn newline(&self) -> Option<u32> {
        let ids = self.tokenizer.encode("\n").ok()?;
        ids.first().copied().filter(|_| ids.len() == 1)
    }

    /// Reads tokens; see [`TextModel::feed`].
    pub fn feed(
        &mut self,
        ids: &[u32],
        rows: Rows,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        if let ([id], Rows::Last | Rows::Best(_)) = (ids, rows) {
            return self.next(*id, rows, stopped);
        }
        self.rewind(self.held.len());
        let logits = self.model.feed(ids, rows, stopped)?;
        if logits.is_some() {
            self.held.extend(ids);
        }
        Ok(logits)
    }

    /// Reads one token, and with it those that may follow.
    fn next(
        &mut self,
        id: u32,
        rows: Rows,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        if let Some(logits) = self.ahead.take(id) {
            self.held.push(id);
            return Ok(Some(logits));
        }
        self.rewind(self.held.len());
        let room = self.model.context().saturating_sub(self.held.len() + 2);
        let guesses = match self.speculate && self.model.exact_in_batches() {
            true => self.ahead.guess(&self.held, id, room),
            false => Vec::new(),
        };
        let fed = [&[id], guesses.as_slice()].concat();
        let rows = if guesses.is_empty() { rows } else { Rows::All };
        let Some(mut logits) = self.model.feed(&fed, rows, stopped)? else {
            return Ok(None);
        };
        let width = logits.len() / fed.len();
        let later = logits
            .chunks_exact(width.max(1))
            .skip(1)
            .map(<[f32]>::to_vec);
        self.ahead.note(&guesses, later.collect());
        logits.truncate(width);
        self.held.push(id);
        Ok(Some(logits))
    }

    /// What was read, to be kept on disk: its tokens, and what the model remembers of them (the
    /// format is told in `model/transformer/snapshot.rs`). None where that cannot be done.
    pub fn save(&self) -> Option<(Vec<u32>, Vec<u8>)> {
        let read = self.held.len();
        let bytes = self.model.save(0, read, &self.about.sha256)?;
        Some((self.held.clone(), bytes))
    }

    /// Puts back what was saved, in place of what is held. After an error nothing is held.
    pub fn restore(&mut self, ids: &[u32], bytes: &[u8]) -> Result<(), ModelError> {
        self.forget();
        self.model.restore(bytes, &self.about.sha256)?;
        if self.model.len() != ids.len() {
            self.forget();
            return Err(ModelError::Snapshot("its tokens are others"));
        }
        self.held = ids.to_vec();
        Ok(())
    }

    /// Takes over what a branch has read: `tokens` are all that then lie in the cache, or more.
    pub fn adopt(&mut self, branch: &Branch, tokens: &[u32]) {
        self.rewind(self.held.len());
        self.model.adopt(branch);
        let read = self.model.len().min(tokens.len());
        self.held = tokens[..read].to_vec();
    }

    /// DRY's breakers as tokens: a walk over the vocabulary, kept until the strings change.
    pub fn breakers(&mut self, strings: &[String]) -> Breakers {
        if let Some((_, breakers)) = self.breakers.as_ref().filter(|(kept, _)| kept == strings) {
            return breakers.clone();
        }
        let tokens =
            (0..self.tokenizer.len() as u32).map(|id| (id, self.tokenizer.bytes(id).to_vec()));
        let breakers = Breakers::new(tokens, strings);
        self.breakers = Some((strings.to_vec(), breakers.clone()));
        breakers
    }
}

/// The real loader: catalogue, fetch, GGUF, device.
pub struct ModelLoader {
    pub catalog: Catalog,
    pub store: ModelStore,
    pub device: device::Choice,
    pub threads: usize,
    /// How keys and values are kept on a CPU.
    pub kv: Kind,
    /// Where the illuminator's weights may be; one alone was named by the user.
    pub weights: Vec<PathBuf>,
}

/// Where a model is wanted, before the device is opened.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub device: device::Choice,
    pub threads: usize,
    pub kv: Kind,
}

/// A model's file, found and verified.
struct Found {
    name: String,
    path: PathBuf,
    sha256: String,
    /// Already open, where it had to be looked at.
    gguf: Option<Gguf>,
}

impl Loader for ModelLoader {
    fn load(
        &mut self,
        model: &str,
        progress: &mut dyn FnMut(&str, u64, Option<u64>),
        stopped: &dyn Fn() -> bool,
    ) -> Result<Loaded, LoadError> {
        let found = self.find(model, progress, stopped)?;
        if stopped() {
            return Err(LoadError::Stopped);
        }
        progress(&format!("Reading {}", found.name), 0, None);
        let place = Place {
            device: self.device,
            threads: self.threads,
            kv: self.kv,
        };
        let gguf = match found.gguf {
            Some(gguf) => Ok(gguf),
            None => Gguf::open(&found.path).map_err(ModelError::from),
        };
        let loaded = gguf.and_then(|gguf| read_open(&found.name, gguf, found.sha256, place));
        loaded.map_err(|error| LoadError::Failed(error.to_string()))
    }

    fn encoder(
        &mut self,
        progress: &mut dyn FnMut(&str, u64, Option<u64>),
        stopped: &dyn Fn() -> bool,
    ) -> Result<SentenceEncoder, LoadError> {
        let path = self.fetch(self.catalog.encoder(), progress, stopped)?;
        let encoder = SentenceEncoder::on(&path, self.device);
        encoder.map_err(|error| LoadError::Failed(error.to_string()))
    }

    fn illuminator(
        &mut self,
        progress: &mut dyn FnMut(&str, u64, Option<u64>),
        _stopped: &dyn Fn() -> bool,
    ) -> Result<(Illuminator, String), LoadError> {
        progress("Reading the illuminator", 0, None);
        let folder = draw::weights(&self.weights);
        let read = folder.and_then(|it| draw::illuminator(&it, self.device, self.threads));
        read.map_err(|error| LoadError::Failed(error.to_string()))
    }
}

impl ModelLoader {
    fn fetch(
        &self,
        entry: &Entry,
        progress: &mut dyn FnMut(&str, u64, Option<u64>),
        stopped: &dyn Fn() -> bool,
    ) -> Result<PathBuf, LoadError> {
        Ok(self.store.ensure(entry, &mut watching(progress, stopped))?)
    }

    /// Where the model's file is, fetched when need be, and its SHA-256.
    fn find(
        &self,
        model: &str,
        progress: &mut dyn FnMut(&str, u64, Option<u64>),
        stopped: &dyn Fn() -> bool,
    ) -> Result<Found, LoadError> {
        let choice = match model {
            "" => Choice::Entry(self.catalog.default_entry()),
            wanted => {
                let choice = self.catalog.choose(wanted);
                choice.map_err(|error| LoadError::Failed(error.to_string()))?
            }
        };
        let (name, path, gguf) = match choice {
            Choice::Entry(entry) => {
                let path = self.fetch(entry, progress, stopped)?;
                (entry.name.clone(), path, None)
            }
            Choice::File(path) => {
                // A file that is no model is said before it is read whole for its checksum.
                let gguf = Gguf::open(&path).map_err(ModelError::from);
                let usable = gguf.and_then(|gguf| supported(&gguf).map(|()| gguf));
                let gguf = usable.map_err(|error| LoadError::Failed(error.to_string()))?;
                (path.display().to_string(), path, Some(gguf))
            }
        };
        let sha256 = self
            .store
            .sha256_of(&path, &mut watching(progress, stopped))?;
        Ok(Found {
            name,
            path,
            sha256,
            gguf,
        })
    }
}

/// Reads a GGUF file into memory.
pub fn read(
    name: &str,
    path: &Path,
    sha256: String,
    placement: Place,
) -> Result<Loaded, ModelError> {
    read_open(name, Gguf::open(path)?, sha256, placement)
}

fn read_open(
    name: &str,
    gguf: Gguf,
    sha256: String,
    placement: Place,
) -> Result<Loaded, ModelError> {
    let began = Instant::now();
    let gguf = Arc::new(gguf);
    supported(&gguf)?;
    let device = device::open(placement.device)?;
    let place = Placement {
        kv: placement.kv,
        ..Placement::on(device.clone(), placement.threads)
    };
    // The vocabulary takes about as long as the weights, and neither needs the other.
    let (words, model) = std::thread::scope(|scope| {
        let words = scope.spawn(|| {
            let template = gguf.text("tokenizer.chat_template");
            // A template that cannot be compiled spoils chat, not prose.
            let template = template.and_then(|source| Template::new(source.into_owned()).ok());
            (Tokenizer::from_gguf(&gguf), template)
        });
        let model = crate::model::load_text(gguf.clone(), &place);
        (words.join(), model)
    });
    let (tokenizer, template) = words.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let (tokenizer, model) = (tokenizer?, model?);
    let about = About {
        name: clean_line(name),
        sha256,
        architecture: clean_line(&gguf.text("general.architecture").unwrap_or_default()),
        backend: format!("{} {}", device::name(&device), model.kernels())
            .trim_end()
            .to_string(),
        context: model.context(),
        vocabulary: tokenizer.len(),
        chat: template.is_some(),
        load_ms: began.elapsed().as_secs_f64() * 1000.0,
        note: tokenizer.note().map(str::to_string),
    };
    Ok(Loaded::new(about, model, tokenizer, template))
}
