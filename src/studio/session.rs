//! The state of one session, as a single value that is replaced when another session is opened.

use super::{Listed, Refusal, Setup, cannot};
use crate::store::{Journal, Recovered, pictures, shell_word};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use story::lore::SkippedEntry;
use story::message::{PassageStats, RetrievedPassage, WarmCache};
use story::record::{PassageEnd, StreamedText};
use story::{NodeId, Record, Settings, Status, Story};

/// The id of a session, unique while the program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SessionId(u64);

impl SessionId {
    pub(super) fn next(self) -> SessionId {
        SessionId(self.0 + 1)
    }
}

/// One session: its story, its journal, and its state.
#[derive(Default)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) story: Story,
    pub(super) settings: Settings,
    /// The journal; None before the first text, and in a private session.
    pub(super) journal: Option<Journal>,
    /// Records that could not be written to disk yet.
    pub(super) unsaved: Vec<Record>,
    /// Received text that is not in the journal yet, for each passage in progress.
    pub(super) streamed: Vec<StreamedText>,
    /// The statistics of the last passage.
    pub(super) last_stats: Option<PassageStats>,
    /// The list that `/pick` chooses from.
    pub(super) listed: Vec<Listed>,
    /// The action to run when a passage ends, by the id of the passage.
    pub(super) afterwards: HashMap<NodeId, Afterwards>,
    /// The continuations of the last `/gen`, which may still be incomplete.
    pub(super) candidates: Vec<NodeId>,
    /// The banned phrases avoided in each passage that is still being generated.
    pub(super) rewound: HashMap<NodeId, Vec<String>>,
    /// The lore entries that a rule excluded from the last context.
    pub(super) rejected_lore: Vec<SkippedEntry>,
    /// The titles of active lore entries that were left out of the last context because they
    /// exceeded the lore budget.
    pub(super) lore_over_budget: Vec<String>,
    /// The passages retrieved for the last request.
    pub(super) recalled: Vec<RetrievedPassage>,
    /// The start of the last context, as a passage and a byte offset in that passage; None if the
    /// context contained the whole story.
    pub(super) context_start: Option<(NodeId, usize)>,
    /// Whether the writer has been warned that the context is nearly full.
    pub(super) warned: bool,
    /// The picture files of a private session, by the id of the picture.
    pub(super) in_memory_pictures: BTreeMap<NodeId, Arc<[u8]>>,
    /// The KV cache that was saved with the session and has not been restored yet.
    pub(super) warm: Option<WarmCache>,
    /// Notices for the writer about the session's files.
    pub(super) remarks: Vec<String>,
    /// The day of the last backup, in the form YYYY-MM-DD.
    pub(super) backed_up: String,
}

/// An action to run when a passage ends.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Afterwards {
    /// Appends the rest of the old path to the new passage. The rest runs from byte `from` of the
    /// passage at `index` on the old path to `head`, the end of the old path.
    Graft {
        head: Option<NodeId>,
        index: usize,
        from: usize,
    },
    /// Uses the passage as the summary.
    Summary,
}

/// A session that was loaded from disk.
pub(super) struct Opened {
    pub(super) session: Session,
    /// The message for the writer.
    pub(super) said: String,
    /// Whether flags or the environment changed the saved settings of the session.
    pub(super) settings_changed: bool,
}

impl Session {
    /// Creates a session with an empty story, in memory only.
    pub(super) fn new(settings: Settings) -> Session {
        Session {
            settings,
            ..Session::default()
        }
    }

    /// Creates a session on disk.
    pub(super) fn create(
        setup: &Setup,
        name: &str,
        settings: Settings,
    ) -> Result<Session, Refusal> {
        let began = (setup.now)();
        let journal = setup.sessions.create(Some(name), &began, &setup.build)?;
        let mut session = Session {
            journal: Some(journal),
            // A new session has nothing to back up.
            backed_up: today(setup),
            ..Session::new(settings)
        };
        let settings = Record::Settings(session.settings.clone());
        session.record(vec![settings], setup)?;
        Ok(session)
    }

    /// Loads a session from disk.
    pub(super) fn open(setup: &Setup, name: &str) -> Result<Opened, Refusal> {
        let (journal, recovered) = setup.sessions.open(name)?;
        let copies = setup.sessions.copy_count(journal.name());
        let said = opened(&journal, &recovered, copies);
        let kept = recovered.settings.unwrap_or_else(|| setup.defaults.clone());
        let settings = setup.asked.apply_to(kept.clone());
        let settings = settings.map_err(|error| cannot(&error.to_string()))?;
        let settings_changed = settings != kept;
        let mut session = Session {
            story: recovered.story,
            warm: journal.load_warm_cache(&setup.build),
            journal: Some(journal),
            ..Session::new(settings)
        };
        session.back_up(setup);
        Ok(Opened {
            session,
            said,
            settings_changed,
        })
    }

    /// The session's name; None while it has no journal.
    pub(super) fn name(&self) -> Option<&str> {
        self.journal.as_ref().map(Journal::name)
    }

    pub(super) fn read_only(&self) -> Option<&str> {
        self.journal.as_ref().and_then(Journal::read_only)
    }

    /// Ends the passages that were still being written when the program last ended. Their status
    /// becomes "interrupted".
    pub(super) fn end_interrupted(&mut self, setup: &Setup) -> Result<(), Refusal> {
        let running = self.story.all_running().to_vec();
        if running.is_empty() {
            return Ok(());
        }
        if self.read_only().is_some() {
            self.story.interrupt();
            return Ok(());
        }
        let end = |node| {
            Record::End(PassageEnd {
                node,
                status: Status::Interrupted,
                why: None,
                maker: None,
                shared: None,
                rewound: Vec::new(),
            })
        };
        self.record(running.into_iter().map(end).collect(), setup)
    }

    /// Adds the received text to the story and the journal.
    pub(super) fn flush(&mut self, setup: &Setup) -> Result<(), Refusal> {
        let streamed = std::mem::take(&mut self.streamed);
        match streamed.is_empty() {
            true => Ok(()),
            false => self.record(streamed.into_iter().map(Record::Text).collect(), setup),
        }
    }

    /// Applies records to the story and then writes them to disk. If writing fails, the records
    /// stay in memory and are written as soon as possible.
    pub(super) fn record(&mut self, records: Vec<Record>, setup: &Setup) -> Result<(), Refusal> {
        self.journal.as_ref().map_or(Ok(()), Journal::writable)?;
        for record in &records {
            let applied = self.story.apply(record);
            applied.map_err(|misfit| cannot(&misfit.to_string()))?;
        }
        if setup.private {
            return Ok(());
        }
        self.unsaved.extend(records);
        self.ensure_journal(setup)?;
        self.write_unsaved(setup)
    }

    pub(super) fn ensure_journal(&mut self, setup: &Setup) -> Result<(), Refusal> {
        if self.journal.is_some() || setup.private {
            return Ok(());
        }
        let began = (setup.now)();
        let journal = setup.sessions.create(None, &began, &setup.build)?;
        self.journal = Some(journal);
        self.backed_up = today(setup);
        let settings = Record::Settings(self.settings.clone());
        self.unsaved.insert(0, settings);
        Ok(())
    }

    pub(super) fn write_unsaved(&mut self, setup: &Setup) -> Result<(), Refusal> {
        self.back_up(setup);
        let Some(journal) = self.journal.as_mut() else {
            return Ok(());
        };
        journal.append(&self.unsaved)?;
        self.unsaved.clear();
        self.gather_news();
        Ok(())
    }

    /// Makes sure that the session's folder contains the whole story.
    pub(super) fn ensure_place(&mut self) -> Result<(), Refusal> {
        if let Some(journal) = &mut self.journal {
            journal.ensure_place()?;
        }
        self.gather_news();
        Ok(())
    }

    /// Collects the journal's notices, and appends the number of missing pictures (if any) to each
    /// notice.
    fn gather_news(&mut self) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        let news = journal.take_news();
        if news.is_empty() {
            return;
        }
        let folder = journal.folder();
        let nodes = self.story.nodes().iter();
        let pictures = nodes.filter(|node| node.picture.is_some());
        let missing = pictures.filter(|node| !pictures::path(folder, node.id).exists());
        let missing = match missing.count() {
            0 => String::new(),
            1 => "; one of its pictures is gone with the old folder".to_string(),
            count => format!("; {count} of its pictures are gone with the old folder"),
        };
        let news = news.into_iter().map(|said| said + &missing);
        self.remarks.extend(news);
    }

    /// Backs up the journal once a day, before the first record of the day is added.
    fn back_up(&mut self, setup: &Setup) {
        let today = today(setup);
        let Some(journal) = self.journal.as_ref().filter(|_| self.backed_up != today) else {
            return;
        };
        // A backup is tried only once a day, even if it fails; the writer is told, and saving
        // continues.
        if let Err(error) = journal.back_up(&today, setup.backups) {
            let why = format!("Today's backup could not be written: {error}");
            self.remarks.push(why);
        }
        self.backed_up = today;
    }

    pub(super) fn sync(&mut self) -> Result<(), Refusal> {
        match &mut self.journal {
            Some(journal) if journal.read_only().is_none() => Ok(journal.sync()?),
            _ => Ok(()),
        }
    }

    /// Saves everything to disk before another session replaces this one.
    pub(super) fn close(&mut self, setup: &Setup) -> Result<(), Refusal> {
        self.flush(setup)?;
        if !self.unsaved.is_empty() {
            self.ensure_journal(setup)?;
            self.write_unsaved(setup)?;
        }
        self.ensure_place()?;
        self.sync()
    }
}

/// Today's date in the form YYYY-MM-DD.
fn today(setup: &Setup) -> String {
    (setup.now)().chars().take(10).collect()
}

fn opened(journal: &Journal, recovered: &Recovered, copies: usize) -> String {
    let name = journal.name();
    let word = shell_word(name);
    let copies = match copies {
        0 => String::new(),
        1 => format!(
            "; a sync program left a conflicting copy of it: illumine sessions conflicts {word}"
        ),
        copies => format!(
            "; a sync program left {copies} conflicting copies of it: illumine sessions conflicts {word}"
        ),
    };
    let opened = match (&recovered.read_only_reason, recovered.torn) {
        (Some(why), _) if recovered.damaged => format!(
            "Opened {name} read-only because {why}; illumine sessions check --salvage {word} copies the sound records to a new session"
        ),
        (Some(why), _) => format!("Opened {name} read-only because {why}"),
        (None, 0) => format!("Opened {name}"),
        (None, torn) if recovered.zeros => format!(
            "Opened {name}; moved {torn} bytes of zeros at its end, left by a power cut, to a file beside its journal: the newest text may be missing"
        ),
        (None, torn) => format!(
            "Opened {name}; moved an incomplete record of {torn} bytes, left by a crash, to a file beside its journal"
        ),
    };
    opened + &copies
}
