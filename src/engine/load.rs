//! Loads a model by its name, together with its tokenizer, chat template and KV cache.

mod fetching;

use super::backend::Backend;
use super::echo::{self, Echo};
use super::image_pipeline;
use super::local::Loaded;
use super::local::draft::{Draft, same_words};
use super::remote::{Backends, NotConnected, Remote};
use base::progress::Observer;
use base::untrusted::clean_line;
use fetching::watching;
use hub::catalog::{Catalog, Entry, ModelChoice};
use hub::fetch::ModelStore;
use imagegen::Illuminator;
use imagegen::upscaler::Upscaler;
use kernels::attention::KvType;
use llm::device;
use llm::gguf::Gguf;
use llm::sentence_encoder::SentenceEncoder;
use llm::template::ChatTemplate;
use llm::{ModelError, Placement, Tokenizer, check_supported};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use story::ModelInfo;

/// Loads models on the worker's thread.
pub trait Loader: Send {
    /// Loads a text model. `model` is a catalogue name, a path, a server's address, or the name of
    /// a backend in config.toml. If `model` is empty, the default model is loaded.
    fn load(&mut self, model: &str, observer: &dyn Observer)
    -> Result<Box<dyn Backend>, LoadError>;

    /// Loads the text encoder, which is used for retrieval and for drawing.
    fn encoder(&mut self, observer: &dyn Observer) -> Result<SentenceEncoder, LoadError>;

    /// Loads the image model. Returns the model and the name of its compute backend.
    fn illuminator(
        &mut self,
        _observer: &dyn Observer,
    ) -> Result<(Illuminator, String), LoadError> {
        Err(LoadError::Failed("No image model is loaded".into()))
    }

    /// Loads the image model and the text encoder. An implementation may load both at the same
    /// time.
    fn illuminator_and_encoder(
        &mut self,
        observer: &dyn Observer,
    ) -> Result<((Illuminator, String), SentenceEncoder), LoadError> {
        Ok((self.illuminator(observer)?, self.encoder(observer)?))
    }

    /// Loads the upscaler, which `--enlarge` uses.
    fn upscaler(&mut self, _observer: &dyn Observer) -> Result<Upscaler, LoadError> {
        Err(LoadError::Failed("No upscaler is loaded".into()))
    }
}

/// A loader that cannot load any model, for tests that create the engine's events themselves.
pub struct NoModel;

impl Loader for NoModel {
    fn load(&mut self, _: &str, _: &dyn Observer) -> Result<Box<dyn Backend>, LoadError> {
        Err(LoadError::Failed("No text model is loaded".to_string()))
    }

    fn encoder(&mut self, _: &dyn Observer) -> Result<SentenceEncoder, LoadError> {
        Err(LoadError::Failed("No text encoder is loaded".to_string()))
    }
}

#[derive(Debug)]
pub enum LoadError {
    Stopped,
    /// The reason in one plain sentence.
    Failed(String),
}

/// The loader of the program. It finds a model in the catalogue, downloads it and loads its GGUF
/// file onto a device, or it connects to a model server.
pub struct ModelLoader {
    pub catalog: Catalog,
    pub store: ModelStore,
    pub device: device::DeviceChoice,
    pub threads: usize,
    /// The KV cache type on a CPU.
    pub kv: KvType,
    /// The draft model: a name, a path or `none`. If this option is None, the catalogue chooses the
    /// draft model.
    pub draft: Option<String>,
    /// The folders that may contain the image model's weights. If there is only one folder, the
    /// user chose it.
    pub weights: Vec<PathBuf>,
    /// The servers that a model name can refer to.
    pub backends: Backends,
}

/// The device, number of threads and KV cache type that a model should use.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub device: device::DeviceChoice,
    pub threads: usize,
    pub kv: KvType,
}

/// The opened file of a local text model.
pub struct ModelFile {
    /// The name in the catalogue, or the path if the model is not in the catalogue.
    pub name: String,
    pub sha256: String,
    pub gguf: Gguf,
}

impl Loader for ModelLoader {
    fn load(
        &mut self,
        model: &str,
        observer: &dyn Observer,
    ) -> Result<Box<dyn Backend>, LoadError> {
        if model == echo::NAME {
            return Ok(Box::new(Echo::default()));
        }
        let Some(target) = self.backends.find(model) else {
            return Ok(Box::new(self.load_local(model, observer)?));
        };
        if self.store.offline {
            let why = "A model on a server needs the network, which --offline or HF_HUB_OFFLINE forbids; choose a model from `illumine models list`";
            return Err(LoadError::Failed(why.to_string()));
        }
        let target = target.map_err(LoadError::Failed)?;
        match Remote::connect(target, &self.backends.network, observer) {
            Ok(remote) => Ok(Box::new(remote)),
            Err(NotConnected::Stopped) => Err(LoadError::Stopped),
            Err(NotConnected::Failed(why)) => Err(LoadError::Failed(why)),
        }
    }

    fn encoder(&mut self, observer: &dyn Observer) -> Result<SentenceEncoder, LoadError> {
        let path = self.fetch(self.catalog.encoder(), observer)?;
        let encoder = SentenceEncoder::open(&path, self.device);
        encoder.map_err(|error| LoadError::Failed(error.to_string()))
    }

    fn illuminator(&mut self, observer: &dyn Observer) -> Result<(Illuminator, String), LoadError> {
        observer.progress("Loading the image model", 0, None);
        let folder =
            image_pipeline::find_weights(&self.weights).map_err(image_pipeline::DrawError::from);
        let read =
            folder.and_then(|it| image_pipeline::load_illuminator(&it, self.device, self.threads));
        read.map_err(|error| LoadError::Failed(error.to_string()))
    }

    fn illuminator_and_encoder(
        &mut self,
        observer: &dyn Observer,
    ) -> Result<((Illuminator, String), SentenceEncoder), LoadError> {
        let failed = |error: &dyn std::fmt::Display| LoadError::Failed(error.to_string());
        // Weights first: without them, downloading the encoder is pointless.
        let folder = image_pipeline::find_weights(&self.weights).map_err(|why| failed(&why))?;
        let encoder = self.fetch(self.catalog.encoder(), observer)?;
        observer.progress("Loading the image model", 0, None);
        let (device, threads) = (self.device, self.threads);
        let (illuminator, encoder) = std::thread::scope(|scope| {
            let encoder = scope.spawn(|| SentenceEncoder::open(&encoder, device));
            let illuminator = image_pipeline::load_illuminator(&folder, device, threads);
            (illuminator, encoder.join())
        });
        let illuminator = illuminator.map_err(|why| failed(&why))?;
        let encoder = encoder.map_err(|_| failed(&"Cannot load the text encoder"))?;
        Ok((illuminator, encoder.map_err(|why| failed(&why))?))
    }

    fn upscaler(&mut self, observer: &dyn Observer) -> Result<Upscaler, LoadError> {
        let failed = |error: &dyn std::fmt::Display| LoadError::Failed(error.to_string());
        let path = self.fetch(self.catalog.enlarger(), observer)?;
        let device = device::open(self.device).map_err(|why| failed(&why))?;
        Upscaler::load(&path, &device).map_err(|why| failed(&why))
    }
}

impl ModelLoader {
    /// Creates a loader with the default settings: one thread, no named servers, no folders of
    /// image weights, and the catalogue's choice of draft model.
    pub fn new(catalog: Catalog, store: ModelStore) -> ModelLoader {
        ModelLoader {
            catalog,
            store,
            device: device::DeviceChoice::default(),
            threads: 1,
            kv: KvType::default(),
            draft: None,
            weights: Vec::new(),
            backends: Backends::default(),
        }
    }

    /// Whether a model in this process gives the same results whatever else is in the batch.
    pub fn is_batch_invariant(&self) -> bool {
        device::open(self.device).is_ok_and(|device| device.is_cpu())
    }

    /// Loads a model into this process, together with its draft model.
    pub fn load_local(&self, model: &str, observer: &dyn Observer) -> Result<Loaded, LoadError> {
        let file = self.find_file(model, observer)?;
        if observer.is_cancelled() {
            return Err(LoadError::Stopped);
        }
        observer.progress(&format!("Loading {}", file.name), 0, None);
        let place = Place {
            device: self.device,
            threads: self.threads,
            kv: self.kv,
        };
        let wanted = self.draft_for(&file.name);
        let mut loaded = read_file(file, place).map_err(failed)?;
        if let Some(wanted) = wanted {
            self.add_draft(&mut loaded, &wanted, place, observer)?;
        }
        Ok(loaded)
    }

    /// Returns the name and checksum of a model in the catalogue, or the checksum of a model file.
    /// Does not load or download the model. Returns only the name if the model is on a server or is
    /// not found.
    pub fn identity(&self, model: &str, observer: &dyn Observer) -> String {
        if self.backends.find(model).is_some() {
            return model.to_string();
        }
        let choice = match model {
            "" => Ok(ModelChoice::Entry(self.catalog.default_entry())),
            wanted => self.catalog.resolve(wanted),
        };
        let sha256 = |path: &Path| self.store.sha256_of(path, &mut watching(observer)).ok();
        match choice {
            Ok(ModelChoice::Entry(entry)) => {
                let known = entry.sha256.clone();
                let found = || self.store.local_path(entry).as_deref().and_then(sha256);
                format!(
                    "{} {}",
                    entry.name,
                    known.or_else(found).unwrap_or_default()
                )
            }
            Ok(ModelChoice::File(path)) => sha256(&path).unwrap_or_else(|| model.to_string()),
            Err(_) => model.to_string(),
        }
    }

    /// Returns the name or path of the draft model to load with the model `name`; None if no draft
    /// model is to be loaded.
    fn draft_for(&self, name: &str) -> Option<String> {
        let usual = || {
            let entries = self.catalog.entries().iter();
            let own = entries.filter(|entry| entry.name == name);
            own.filter_map(|entry| entry.draft.clone()).next()
        };
        let wanted = self.draft.clone().or_else(usual);
        wanted.filter(|wanted| wanted != "none")
    }

    /// Adds a draft model to a loaded model. If the draft model cannot be used, the model runs
    /// without it. The user is then warned, but only if the draft model was the user's choice.
    fn add_draft(
        &self,
        loaded: &mut Loaded,
        wanted: &str,
        place: Place,
        observer: &dyn Observer,
    ) -> Result<(), LoadError> {
        if !loaded.model.is_batch_invariant() {
            return Ok(());
        }
        let found = match self.find(wanted, observer) {
            Err(LoadError::Stopped) => return Err(LoadError::Stopped),
            Err(LoadError::Failed(why)) => Err(why),
            Ok(file) => read_file(file, place).map_err(|error| error.to_string()),
        };
        let why = match found {
            Ok(draft) if same_words(&draft.tokenizer, &loaded.tokenizer) => {
                loaded.draft = Some(Draft::new(draft.about.name, draft.model));
                return Ok(());
            }
            Ok(_) => "its vocabulary differs".to_string(),
            Err(why) => why,
        };
        // Nobody requested the catalogue's choice, so its failure is not reported.
        if self.draft.is_some() {
            let wanted = clean_line(wanted);
            loaded.about.note = Some(format!("Cannot use {wanted} as the draft model: {why}"));
        }
        Ok(())
    }

    fn fetch(&self, entry: &Entry, observer: &dyn Observer) -> Result<PathBuf, LoadError> {
        Ok(self.store.ensure(entry, &mut watching(observer))?)
    }

    /// Finds and opens the file of a local text model, which is downloaded if necessary. `model` is
    /// a catalogue name or a path; if it is empty, the default model is used. Returns an error if
    /// the model is on a server.
    pub fn find_file(&self, model: &str, observer: &dyn Observer) -> Result<ModelFile, LoadError> {
        if self.backends.find(model).is_some() {
            let why = "This needs a local model, not one on a server; choose one with --model NAME";
            return Err(LoadError::Failed(why.to_string()));
        }
        self.find(model, observer)
    }

    fn find(&self, model: &str, observer: &dyn Observer) -> Result<ModelFile, LoadError> {
        let choice = match model {
            "" => ModelChoice::Entry(self.catalog.default_entry()),
            wanted => {
                let choice = self.catalog.resolve(wanted);
                choice.map_err(|error| LoadError::Failed(error.to_string()))?
            }
        };
        let (name, path) = match choice {
            ModelChoice::Entry(entry) => (entry.name.clone(), self.fetch(entry, observer)?),
            ModelChoice::File(path) => (path.display().to_string(), path),
        };
        // Rejects a file that is not a model before reading all of it for the checksum.
        let gguf = Gguf::open(&path).map_err(|error| failed(error.into()))?;
        check_supported(&gguf).map_err(failed)?;
        let sha256 = self.store.sha256_of(&path, &mut watching(observer))?;
        Ok(ModelFile { name, sha256, gguf })
    }
}

fn failed(error: ModelError) -> LoadError {
    LoadError::Failed(error.to_string())
}

/// Loads a GGUF file.
pub fn read(
    name: &str,
    path: &Path,
    sha256: String,
    placement: Place,
) -> Result<Loaded, ModelError> {
    let (name, gguf) = (name.to_string(), Gguf::open(path)?);
    read_file(ModelFile { name, sha256, gguf }, placement)
}

fn read_file(file: ModelFile, placement: Place) -> Result<Loaded, ModelError> {
    let began = Instant::now();
    let gguf = Arc::new(file.gguf);
    check_supported(&gguf)?;
    let device = device::open(placement.device)?;
    let place = Placement {
        kv: placement.kv,
        ..Placement::new(device.clone(), placement.threads)
    };
    // Vocabulary and weights take about equally long, and neither needs the other.
    let (words, model) = std::thread::scope(|scope| {
        let words = scope.spawn(|| {
            let template = gguf.text("tokenizer.chat_template");
            // A template that cannot be compiled affects only chat, not prose.
            let template = template.and_then(|source| ChatTemplate::new(source.into_owned()).ok());
            (Tokenizer::from_gguf(&gguf), template)
        });
        let model = llm::load_text(gguf.clone(), &place);
        (words.join(), model)
    });
    let (tokenizer, template) = words.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let (tokenizer, model) = (tokenizer?, model?);
    let about = ModelInfo {
        name: clean_line(&file.name),
        sha256: file.sha256,
        architecture: clean_line(&gguf.text("general.architecture").unwrap_or_default()),
        backend: format!("{} {}", device::name(&device), model.kernel_family())
            .trim_end()
            .to_string(),
        context: model.context(),
        vocabulary: tokenizer.len(),
        chat: template.is_some(),
        load_ms: began.elapsed().as_secs_f64() * 1000.0,
        note: tokenizer.note().map(str::to_string),
        cannot: Vec::new(),
    };
    Ok(Loaded::new(about, model, tokenizer, template))
}
