//! `illumine sessions export` and `import`: exchanges stories with other programs.

use super::args::{Export, Import};
use super::environment::{self, BUILD, Paths};
use super::{Exit, Failed, output, print};
use base::untrusted::clean_line;
use illumine::store::export::direction::language_tag;
use illumine::store::export::{self, ExportFormat, ExportMeta, ExportScope};
use illumine::store::files::{self, FileError};
use illumine::store::import::ImportError;
use illumine::store::{Journal, Sessions, StoreError, import, made_from};
use std::io::{IsTerminal, stdout};
use std::path::{Path, PathBuf};
use story::import::{Import as Brought, ImportTarget, import_records};
use story::sentence::count_noun;
use story::{Record, Settings, Story};

pub fn export(paths: &Paths, args: &Export) -> Result<Exit, Failed> {
    let sessions = Sessions::new(args.sessions.as_ref().unwrap_or(&paths.sessions));
    let recovered = sessions.read(&args.name)?;
    let file = args
        .output
        .as_deref()
        .filter(|file| *file != Path::new("-"));
    let format = match (&args.format, file) {
        (Some(word), _) => ExportFormat::parse(word).map_err(usage)?,
        (None, Some(file)) => ExportFormat::of_file(file).unwrap_or(ExportFormat::Markdown),
        (None, None) => ExportFormat::Markdown,
    };
    let language = args.language.as_deref().map(language_tag);
    let language = language.transpose().map_err(usage)?;
    let mut meta = ExportMeta {
        title: ExportMeta::title_or(args.title.as_deref(), &args.name),
        now: environment::now(),
        build: BUILD.to_string(),
        system: recovered.settings.unwrap_or_default().system,
        language: language.unwrap_or_default(),
        folder: Some(sessions.folder(&args.name)?),
        ..ExportMeta::default()
    };
    let path = match file {
        Some(file) => file.to_path_buf(),
        None => files::free_path(Path::new(""), &args.name, format.ending()),
    };
    let to_output = args.output.as_deref() == Some(Path::new("-"));
    meta.beside = (!to_output).then(|| export::pictures_folder_name(&path, args.force));
    let extent = if args.tree {
        ExportScope::Tree
    } else {
        ExportScope::Path
    };
    let bytes =
        export::encode_export(&recovered.story, format, extent, &meta, &path).map_err(usage)?;
    if to_output {
        if stdout().is_terminal() && std::str::from_utf8(&bytes).is_err() {
            let why =
                "This format is binary; write it to a file with -o, or pipe it to another program";
            return Err(Failed::new(Exit::Usage, why));
        }
        return output::write(&bytes).map(|_| Exit::Well);
    }
    files::write_file(&path, &bytes, args.force).map_err(output::not_written)?;
    export::write_picture_files(&recovered.story, format, extent, &meta, &path).map_err(usage)?;
    let left_out = export::left_out(&recovered.story, format);
    print_line(&format!("Wrote {}{left_out}", path.display()))
}

pub fn import(paths: &Paths, args: &Import) -> Result<Exit, Failed> {
    let sessions = Sessions::new(args.sessions.as_ref().unwrap_or(&paths.sessions));
    let mut brought = match import::load_file(&args.file) {
        Err(ImportError::Journal) => return import_journal(&sessions, args),
        brought => brought.map_err(usage)?,
    };
    let mut settings: Settings = super::config::read(&paths.config)?;
    let card = match &mut brought.content {
        Brought::Card { file, .. } => file.take(),
        Brought::Book(_) | Brought::Story(_) | Brought::Text(_) => None,
    };
    let card = card.map(|(ending, bytes)| (format!("card.{ending}"), bytes));
    let own_name = match &brought.content {
        Brought::Card { card, .. } => made_from(&card.name()),
        Brought::Book(_) | Brought::Story(_) | Brought::Text(_) => None,
    };
    let story = Story::default();
    let session = ImportTarget {
        story: &story,
        mode: settings.mode,
        user: args.user.as_deref(),
        file: card.as_ref().map(|(name, _)| name.clone()),
    };
    let made = import_records(brought, session).map_err(usage)?;
    settings.mode = made.mode.unwrap_or(settings.mode);
    let mut records = vec![Record::Settings(settings)];
    records.extend(made.records);
    let mut journal = begin(&sessions, args, own_name).map_err(|error| not_imported(&error))?;
    if let Err(failed) = fill(&mut journal, &records, card) {
        // A session without its story would look like a finished import.
        sessions.discard(journal);
        return Err(failed);
    }
    print_line(&format!("{}: {}", journal.name(), made.said))
}

/// Creates a session from a journal, for example a conflicting copy, a backup, or a journal from
/// another machine.
fn import_journal(sessions: &Sessions, args: &Import) -> Result<Exit, Failed> {
    let stem = args.file.file_stem().unwrap_or_default().to_string_lossy();
    let own = made_from(&stem).unwrap_or_else(|| "journal".to_string());
    let taken = sessions.import_journal(&args.file, args.name.as_deref(), &own);
    let taken = taken.map_err(|error| not_imported(&error))?;
    let Some((journal, recovered)) = taken else {
        let why = "The file is an illumine journal whose first record cannot be read; replace its session's journal.jsonl with it, and read past the damage with `illumine sessions check --salvage`";
        return Err(Failed::new(Exit::Usage, why));
    };
    let passages = count_noun(recovered.story.nodes().len(), "passage");
    let damage = recovered.read_only_reason;
    let damage = damage.map_or(String::new(), |why| {
        format!(
            "; it is read-only because {why}; `illumine sessions check --salvage` reads past that"
        )
    });
    let name = journal.name();
    print_line(&format!(
        "{name}: Created a session from the journal: {passages}{damage}"
    ))
}

/// Writes the contents of a new session: `records` and, if a character card was imported, the
/// card's file.
fn fill(
    journal: &mut Journal,
    records: &[Record],
    card: Option<(String, Vec<u8>)>,
) -> Result<(), Failed> {
    if let Some((name, bytes)) = card {
        let path: PathBuf = journal.folder().join(name);
        let written = files::write_file(&path, &bytes, false);
        written.map_err(|error| match error {
            FileError::Full(path) => not_imported(&StoreError::Full { path }),
            FileError::Io { path, source } => not_imported(&StoreError::io("write", &path, source)),
            FileError::Taken(_) => usage(error),
        })?;
    }
    let written = journal.append(records).and_then(|()| journal.sync());
    written.map_err(|error| not_imported(&error))
}

/// Returns the error to report if the disk is full or fails during an import. The usual message
/// would be wrong, since it says that the text is still in memory.
fn not_imported(error: &StoreError) -> Failed {
    let why = match error {
        StoreError::Full { path } => format!(
            "The disk is full ({}), so nothing was imported; free some space and import the file again",
            path.display()
        ),
        StoreError::Broken { path, source, .. } => format!(
            "The disk failed at {} ({source}), so nothing was imported; import the file again when the disk works, or choose another folder with --sessions",
            path.display()
        ),
        other => other.to_string(),
    };
    Failed::new(Exit::Session, why)
}

/// Creates the session and names it as requested or, by default, after the imported file. If no
/// part of the file's name is valid, the session gets the name of the imported character or,
/// without a character, a number.
fn begin(sessions: &Sessions, args: &Import, own: Option<String>) -> Result<Journal, StoreError> {
    let now = environment::now();
    if let Some(name) = &args.name {
        return sessions.create(Some(name), &now, BUILD);
    }
    let stem = args.file.file_stem().unwrap_or_default();
    match (made_from(&stem.to_string_lossy()), own) {
        // The same file is not imported twice by mistake.
        (Some(name), _) if stem.to_str() == Some(&name) => {
            sessions.create(Some(&name), &now, BUILD)
        }
        (Some(name), _) | (None, Some(name)) => sessions.create_free(&name, &now, BUILD),
        (None, None) => sessions.create(None, &now, BUILD),
    }
}

fn print_line(text: &str) -> Result<Exit, Failed> {
    print(&format!("{}\n", clean_line(text)))
}

fn usage(error: impl std::fmt::Display) -> Failed {
    Failed::new(Exit::Usage, error)
}
