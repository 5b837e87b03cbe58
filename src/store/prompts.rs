//! Finds voices and prompt templates, first in the writer's own folder and then among the built-in
//! files.

use base::decode::decode;
use base::nearest::nearest;
use base::search::{combines, same};
use base::untrusted::clean_line;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use story::voice::{PromptTemplate, VoiceError};

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../prompts/", $name, ".md")))),*]
    };
}

/// The built-in voices and prompt templates, each as its name and its text.
pub const SHIPPED: &[(&str, &str)] = shipped![
    "advertising-copy",
    "dialogue",
    "diarist",
    "game-character",
    "game-level",
    "lesson",
    "marketing-email",
    "narrator",
    "news-report",
    "novel-chapter",
    "picture",
    "poem",
    "product-description",
    "screenplay",
    "short-story",
    "social-post",
    "translation",
];

/// The maximum size of a voice's file in bytes.
const LARGEST: u64 = 1 << 20;

/// The voices and prompt templates: the built-in files, and the files in the writer's own folder if
/// there is one.
#[derive(Clone, Debug, Default)]
pub struct Prompts {
    folder: Option<PathBuf>,
}

/// Why a voice cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    #[error("Unknown voice {name}; {instead}")]
    Unknown { name: String, instead: String },
    #[error("Cannot read {path}: {why}")]
    Io { path: PathBuf, why: String },
    #[error(transparent)]
    Voice(#[from] VoiceError),
}

/// One row of the list of voices.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptListing {
    pub name: String,
    /// Whether the voice's file is in the writer's own folder.
    pub own: bool,
    pub title: String,
    pub help: String,
    /// The names of the template's variables.
    pub takes: Vec<String>,
}

impl Prompts {
    pub fn new(folder: PathBuf) -> Prompts {
        let folder = Some(folder);
        Prompts { folder }
    }

    /// The names of all voices.
    pub fn names(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }

    /// Lists all voices with their descriptions. If a voice cannot be loaded, its description is
    /// the error message.
    pub fn list(&self) -> Vec<PromptListing> {
        let row = |(name, own): (String, bool)| {
            let read = self.find(&name);
            let wrong = |error: PromptError| clean_line(&error.to_string());
            let template = read.unwrap_or_else(|error| PromptTemplate {
                help: wrong(error),
                ..PromptTemplate::default()
            });
            let takes = template.variables.into_iter().map(|(name, _)| name);
            PromptListing {
                name,
                own,
                title: template.title,
                help: template.help,
                takes: takes.collect(),
            }
        };
        self.files().into_iter().map(row).collect()
    }

    /// Finds a voice or template by name.
    pub fn find(&self, name: &str) -> Result<PromptTemplate, PromptError> {
        Ok(PromptTemplate::parse(name, &self.text(name)?)?)
    }

    /// Returns the text of a voice's file.
    pub fn text(&self, name: &str) -> Result<String, PromptError> {
        let name = name.strip_suffix(".md").unwrap_or(name);
        // The folder may spell the name differently from how it was typed.
        let alike = || self.names().into_iter().find(|known| same(known, name));
        let stored = Some(name.to_string()).filter(|name| self.own_path(name).is_some());
        let stored = stored.or_else(alike).unwrap_or_else(|| name.to_string());
        let name = stored.as_str();
        if let Some(own) = self.own(name)? {
            return Ok(own);
        }
        let shipped = SHIPPED.iter().find(|(known, _)| *known == name);
        let text = shipped.map(|(_, text)| text.to_string());
        text.ok_or_else(|| self.unknown(name))
    }

    /// The path of the writer's own file for the voice `name`; None if there is no such file.
    fn own_path(&self, name: &str) -> Option<PathBuf> {
        let folder = self.folder.as_ref().filter(|_| plain(name))?;
        let path = folder.join(format!("{name}.md"));
        path.exists().then_some(path)
    }

    fn own(&self, name: &str) -> Result<Option<String>, PromptError> {
        let Some(path) = self.own_path(name) else {
            return Ok(None);
        };
        let wrong = |why: String| PromptError::Io {
            path: path.clone(),
            why,
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let mut bytes = Vec::new();
        let read = file.take(LARGEST + 1).read_to_end(&mut bytes);
        read.map_err(|error| wrong(error.to_string()))?;
        if bytes.len() as u64 > LARGEST {
            let why = "it is larger than 1 MB, the limit for a voice";
            return Err(wrong(why.to_string()));
        }
        let text = decode(bytes).map_err(|error| wrong(format!("it {error}")))?;
        Ok(Some(text))
    }

    /// All voices by name. The value is true if the voice's file is in the writer's own folder.
    fn files(&self) -> BTreeMap<String, bool> {
        let shipped = SHIPPED.iter().map(|(name, _)| (name.to_string(), false));
        let mut files: BTreeMap<String, bool> = shipped.collect();
        let folder = self.folder.as_deref().map(fs::read_dir);
        for entry in folder.into_iter().flatten().flatten().flatten() {
            let path = entry.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let readme = name.eq_ignore_ascii_case("readme");
            if is_markdown(&path) && plain(&name) && !readme {
                files.insert(name.to_string(), true);
            }
        }
        files
    }

    fn unknown(&self, name: &str) -> PromptError {
        let name = clean_line(&name.chars().take(40).collect::<String>());
        let names = self.names();
        let instead = match nearest(&name, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("available voices: {}", names.join(", ")),
        };
        PromptError::Unknown { name, instead }
    }
}

fn is_markdown(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "md")
}

/// Whether a voice's name contains only characters that are safe in the name of a file.
fn plain(name: &str) -> bool {
    let first = name.chars().next().is_some_and(char::is_alphanumeric);
    first
        && name.chars().count() <= 60
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || combines(c) || "-_ ".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_voice_that_comes_along_can_be_used() {
        for (name, text) in SHIPPED {
            let template = PromptTemplate::parse(name, text).unwrap();
            assert!(
                !template.title.is_empty() && !template.help.is_empty(),
                "{name}"
            );
            let filled = template.fill_variables(&template.example).unwrap();
            let prose = format!("{}\n{}", filled.voice.text, filled.begin);
            let chat = format!("{}\n{}", filled.voice.text, filled.ask);
            assert_eq!(template.example.len(), template.variables.len(), "{name}");
            for (variable, value) in &template.example {
                assert!(
                    prose.contains(value.as_str()),
                    "{name} lacks {variable} in prose"
                );
                assert!(
                    chat.contains(value.as_str()),
                    "{name} lacks {variable} in a chat"
                );
            }
            // A trailing space would displace the one before the first generated word.
            assert!(!filled.begin.ends_with(' '), "{name}");
            assert_eq!(filled.begin.is_empty(), filled.ask.is_empty(), "{name}");
        }
    }

    #[test]
    fn every_file_of_the_folder_comes_along() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts");
        let files = Prompts::new(folder).files();
        assert!(files.values().all(|own| *own), "{files:?}");
        assert_eq!(files.len(), SHIPPED.len());
    }

    #[test]
    fn the_writers_own_stand_first_and_none_leads_out() {
        let folder = tempfile::tempdir().unwrap();
        let own = "+++\ntitle = \"Mine\"\n+++\nIn my own words.";
        fs::write(folder.path().join("narrator.md"), own).unwrap();
        fs::write(folder.path().join("broken.md"), "no").unwrap();
        let prompts = Prompts::new(folder.path().to_path_buf());
        assert_eq!(prompts.find("narrator").unwrap().title, "Mine");
        assert!(prompts.find("poem").is_ok() && prompts.find("Poem").is_ok());
        fs::write(folder.path().join("e\u{301}poque.md"), own).unwrap();
        assert_eq!(prompts.find("Époque").unwrap().title, "Mine");
        let marked = format!("\u{feff}{own}").replace('\n', "\r\n");
        fs::write(folder.path().join("marked.md"), marked).unwrap();
        assert_eq!(prompts.find("marked").unwrap().title, "Mine");
        assert!(prompts.text("marked").unwrap().starts_with("+++"));
        let said = |name| prompts.find(name).unwrap_err().to_string();
        assert!(said("narator").contains("did you mean narrator"));
        assert!(said("../narrator").contains("Unknown voice"));
        assert!(said("broken").contains("+++"));
        let rows = prompts.list();
        assert!(rows.iter().any(|row| row.name == "narrator" && row.own));
        assert!(
            rows.iter()
                .any(|row| row.name == "broken" && row.help.contains("+++"))
        );
    }
}
