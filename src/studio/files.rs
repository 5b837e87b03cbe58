//! Runs the commands `/import`, `/export` and `/voice`.

use super::{Outcome, Refusal, Studio, cannot};
use crate::store::export::direction::language_tag;
use crate::store::export::{self, ExportFormat, ExportMeta, ExportScope};
use crate::store::{files, import};
use base::untrusted::clean_line;
use std::path::{Path, PathBuf};
use story::frame::FrameChange;
use story::import::{Import, ImportTarget, import_records};
use story::record::{Change, Step, StepKind};
use story::voice::{FilledTemplate, PromptTemplate, parse_assignments};
use story::{Author, Mode, Node, Record, Settings};

impl Studio {
    /// The names of all voices and templates that `/voice` accepts.
    pub fn voices(&self) -> Vec<String> {
        self.setup.prompts.names()
    }

    pub(super) fn import(&mut self, what: &str) -> Result<Outcome, Refusal> {
        let (file, user) = match what.rsplit_once(" user=") {
            Some((file, user)) => (file, Some(user.trim().trim_matches('"'))),
            None => (what, None),
        };
        let path = self.file_named(file);
        let import = import::load_file(&path).map_err(|error| cannot(&error.to_string()))?;
        let file = match &import.content {
            Import::Card {
                file: Some((ending, bytes)),
                ..
            } => self.keep_beside("card", ending, bytes)?,
            _ => None,
        };
        let session = ImportTarget {
            story: &self.session.story,
            mode: self.session.settings.mode,
            user,
            file,
        };
        let made = import_records(import, session).map_err(|unfit| cannot(&unfit.to_string()))?;
        self.note_down(made.records)?;
        if let Some(mode) = made.mode.filter(|mode| self.can(*mode)) {
            self.change(Settings {
                mode,
                ..self.session.settings.clone()
            })?;
        }
        let long = self
            .too_long()
            .map_or(String::new(), |long| format!(". {long}"));
        Ok(Outcome::Moved(format!(
            "{}; /undo reverts it{long}",
            made.said
        )))
    }

    /// Saves a file in the session's folder and returns the name of the file. Does nothing in a
    /// private session.
    fn keep_beside(
        &mut self,
        name: &str,
        ending: &str,
        bytes: &[u8],
    ) -> Result<Option<String>, Refusal> {
        self.session.ensure_journal(&self.setup)?;
        self.session.ensure_place()?;
        let Some(journal) = &self.session.journal else {
            return Ok(None);
        };
        journal.writable()?;
        let folder = journal.folder();
        let path = files::free_path(folder, name, ending);
        files::write_file(&path, bytes, false).map_err(|error| cannot(&error.to_string()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Some(name.into_owned()))
    }

    pub(super) fn export(
        &mut self,
        format: Option<&str>,
        rest: Option<&str>,
    ) -> Result<Outcome, Refusal> {
        let Some(word) = format else {
            return Ok(Outcome::Said(formats()));
        };
        let wanted = Wanted::read(word, rest.unwrap_or_default())?;
        let mut meta = ExportMeta {
            language: wanted.language.clone(),
            ..self.meta()
        };
        let to_output = wanted.file.as_deref() == Some("-");
        let path = match &wanted.file {
            Some(file) if !to_output => self.file_named(file),
            _ => files::free_path(Path::new(""), &meta.title, wanted.format.ending()),
        };
        meta.beside = (!to_output).then(|| export::pictures_folder_name(&path, wanted.over));
        let bytes = export::encode_export(
            &self.session.story,
            wanted.format,
            wanted.extent,
            &meta,
            &path,
        );
        let bytes = bytes.map_err(|error| cannot(&error.to_string()))?;
        if to_output {
            return Ok(Outcome::Bytes(bytes));
        }
        let put = files::write_file(&path, &bytes, wanted.over);
        put.map_err(|error| cannot(&error.to_string()))?;
        let beside = export::write_picture_files(
            &self.session.story,
            wanted.format,
            wanted.extent,
            &meta,
            &path,
        );
        beside.map_err(|error| cannot(&error.to_string()))?;
        let whole = std::path::absolute(&path).unwrap_or(path);
        let shown = clean_line(&whole.display().to_string());
        let left_out = export::left_out(&self.session.story, wanted.format);
        Ok(Outcome::Said(format!("Wrote {shown}{left_out}")))
    }

    /// The metadata of the story, for an export.
    fn meta(&self) -> ExportMeta {
        ExportMeta {
            title: self.session_name().unwrap_or("story").to_string(),
            now: (self.setup.now)(),
            build: self.setup.build.clone(),
            system: self.session.settings.system.clone(),
            language: String::new(),
            folder: self
                .session
                .journal
                .as_ref()
                .map(|it| it.folder().to_path_buf()),
            held: self.session.in_memory_pictures.clone(),
            beside: None,
        }
    }

    pub(super) fn voice(&mut self, what: Option<&str>) -> Result<Outcome, Refusal> {
        let Some(what) = what else {
            return Ok(Outcome::Said(self.voice_now()));
        };
        let (name, rest) = what.split_once(char::is_whitespace).unwrap_or((what, ""));
        if matches!(name.to_lowercase().as_str(), "none" | "off") {
            return self.set_frame(FrameChange::Voice { voice: None }, "Removed the voice");
        }
        let wrong = |error: &dyn std::fmt::Display| cannot(&error.to_string());
        let given = parse_assignments(rest).map_err(|error| wrong(&error))?;
        let template = self
            .setup
            .prompts
            .find(name)
            .map_err(|error| wrong(&error))?;
        let filled = template
            .fill_variables(&given)
            .map_err(|error| wrong(&error))?;
        let settings = template.apply_to(self.session.settings.clone());
        let settings = settings.and_then(|settings| self.setup.asked.apply_to(settings));
        let settings = settings.map_err(|error| wrong(&error))?;
        if !self.can(settings.mode) {
            return Err(cannot(
                "This voice needs chat mode, but the model has no chat template",
            ));
        }
        if settings != self.session.settings {
            self.change(settings)?;
        }
        let begun = self.take_voice(filled)?;
        let said = said(&template, begun);
        match begun {
            true => Ok(Outcome::Moved(said)),
            false => Ok(Outcome::Said(said)),
        }
    }

    /// Sets the voice. If the story is empty, also adds the voice's opening words, as part of the
    /// same step. Returns whether opening words were added.
    fn take_voice(&mut self, filled: FilledTemplate) -> Result<bool, Refusal> {
        let set = FrameChange::Voice {
            voice: Some(filled.voice),
        };
        let mut changes = vec![Change::Frame { set }];
        let turn = self.session.settings.mode == Mode::Chat;
        let text = if turn { filled.ask } else { filled.begin };
        let empty = self
            .session
            .story
            .path()
            .iter()
            .all(|passage| passage.text.is_empty());
        let begins = empty && !text.is_empty();
        let mut records = Vec::new();
        if begins {
            let id = self.session.story.next_id();
            records.push(Record::Node(Node {
                id,
                parent: self.session.story.head(),
                author: Author::Prompt,
                turn,
                text,
                ..Node::default()
            }));
            changes.insert(0, Change::Head { to: Some(id) });
        }
        let why = StepKind::Frame;
        records.push(Record::Step(Step { why, changes }));
        self.note_down(records)?;
        Ok(begins)
    }

    fn voice_now(&self) -> String {
        let names = self.voices().join(", ");
        match &self.session.story.frame().voice {
            Some(voice) => format!(
                "The voice is {}; remove it with /voice none\n{}",
                clean_line(&voice.name),
                voice.text
            ),
            None => format!("No voice is set; choose one with /voice NAME: {names}"),
        }
    }

    /// Whether the loaded model supports the given mode; true if no model is loaded.
    fn can(&self, mode: Mode) -> bool {
        mode == Mode::Prose || self.about().is_none_or(|about| about.chat)
    }

    /// Parses a file name that the writer typed. Quotation marks are optional, and `~` stands for
    /// the home folder.
    pub(super) fn file_named(&self, name: &str) -> PathBuf {
        let name = name.trim();
        let inner = name
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let name = inner.unwrap_or(name);
        match (name.strip_prefix("~/"), &self.setup.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(name),
        }
    }
}

/// The arguments of `/export`.
struct Wanted {
    format: ExportFormat,
    extent: ExportScope,
    /// A BCP 47 language tag; empty if none was given.
    language: String,
    file: Option<String>,
    over: bool,
}

impl Wanted {
    /// Parses `FORMAT [tree] [lang=TAG] [FILE] [!]`. If the writer gave only a file name, its
    /// extension determines the format.
    fn read(word: &str, rest: &str) -> Result<Wanted, Refusal> {
        let rest = rest.trim();
        let (rest, over) = match rest.strip_suffix('!') {
            Some(rest) => (rest.trim(), true),
            None => (rest, false),
        };
        let (extent, rest) = match rest.strip_prefix("tree") {
            Some("") => (ExportScope::Tree, ""),
            Some(file) if file.starts_with(' ') => (ExportScope::Tree, file.trim()),
            _ => (ExportScope::Path, rest),
        };
        let (language, rest) = match rest.strip_prefix("lang=") {
            Some(rest) => {
                let (tag, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                let tag = language_tag(tag).map_err(|error| cannot(&error.to_string()))?;
                (tag, rest.trim())
            }
            None => (String::new(), rest),
        };
        if word == "-" && rest.is_empty() {
            return Ok(Wanted {
                format: ExportFormat::Markdown,
                extent,
                language,
                file: Some(word.to_string()),
                over,
            });
        }
        let named = ExportFormat::of_file(Path::new(word)).filter(|_| rest.is_empty());
        let (format, file) = match (ExportFormat::parse(word), named) {
            (Err(_), Some(format)) => (format, word),
            (format, _) => (format.map_err(|error| cannot(&error.to_string()))?, rest),
        };
        let file = (!file.is_empty()).then(|| file.to_string());
        Ok(Wanted {
            format,
            extent,
            language,
            file,
            over,
        })
    }
}

fn formats() -> String {
    let row = |(_, names, _, help): &(ExportFormat, &[&str], &str, &str)| {
        format!("  /export {:<10} {help}", names[0])
    };
    let rows: Vec<String> = export::FORMATS.iter().map(row).collect();
    format!(
        "{}\nAdd \"tree\" to export every branch, lang=TAG for the language of a book (for example lang=de-AT), a file name (- is standard output), and ! at the end to overwrite a file",
        rows.join("\n")
    )
}

fn said(template: &PromptTemplate, begun: bool) -> String {
    let settings: Vec<String> = template
        .sampling
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let preset = match settings.is_empty() {
        true => String::new(),
        false => format!("; {}", clean_line(&settings.join(", "))),
    };
    let next = if begun {
        "; an empty line continues"
    } else {
        ""
    };
    format!(
        "The voice is {} ({}){preset}{next}",
        template.name,
        clean_line(&template.title)
    )
}
