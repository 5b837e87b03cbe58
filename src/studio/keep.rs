//! From the story to the disk: every change is a record, and a record that the disk refuses waits.

use super::{Refusal, Studio, cannot};
use crate::store::Journal;
use crate::story::Record;

impl Studio {
    /// Puts the text that has come so far into the story and the journal.
    pub fn flush(&mut self) -> Result<(), Refusal> {
        let streamed = std::mem::take(&mut self.streamed);
        match streamed.is_empty() {
            true => Ok(()),
            false => self.record(streamed.into_iter().map(Record::Text).collect()),
        }
    }

    /// Takes records into the story and then to disk. The story has them even when the disk does
    /// not: they wait, and are written as soon as it can.
    pub(super) fn record(&mut self, records: Vec<Record>) -> Result<(), Refusal> {
        self.journal.as_ref().map_or(Ok(()), Journal::writable)?;
        for record in &records {
            let applied = self.story.apply(record);
            applied.map_err(|misfit| cannot(&misfit.to_string()))?;
        }
        if self.setup.private {
            return Ok(());
        }
        self.unsaved.extend(records);
        self.ensure_journal()?;
        self.write_unsaved()
    }

    pub(super) fn ensure_journal(&mut self) -> Result<(), Refusal> {
        if self.journal.is_some() || self.setup.private {
            return Ok(());
        }
        let began = (self.setup.now)();
        let journal = self
            .setup
            .sessions
            .create(None, &began, &self.setup.build)?;
        self.journal = Some(journal);
        self.unsaved
            .insert(0, Record::Settings(self.settings.clone()));
        Ok(())
    }

    pub(super) fn write_unsaved(&mut self) -> Result<(), Refusal> {
        let Some(journal) = self.journal.as_mut() else {
            return Ok(());
        };
        journal.append(&self.unsaved)?;
        self.unsaved.clear();
        Ok(())
    }

    pub(super) fn sync(&mut self) -> Result<(), Refusal> {
        match &mut self.journal {
            Some(journal) if journal.read_only().is_none() => Ok(journal.sync()?),
            _ => Ok(()),
        }
    }
}
