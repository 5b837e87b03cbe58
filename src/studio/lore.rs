//! Finds the active lore entries of a passage, and the reasons why the entries are active.

use super::Studio;
use base::untrusted::clean;
use story::lore::{Activation, ActiveEntry, EntryId, ScanInput, ScanResult, scan};
use story::sentence::count_noun;
use story::{Passage, Place};

impl Studio {
    /// Scans the passages of a path for lore. Returns the entries that are active at the end of the
    /// path, the entries that a rule rejected, and the inactive entries.
    pub(super) fn scanned(&self, path: &[Passage], seed: u64) -> ScanResult<'_> {
        let frame = self.session.story.frame();
        let passages: Vec<&str> = path.iter().map(|passage| passage.text).collect();
        let before = path.iter().enumerate().filter_map(|(at, passage)| {
            let how = passage.provenance.as_ref()?;
            Some(how.lore.iter().map(move |fired| (fired.clone(), at)))
        });
        let before: Vec<(EntryId, usize)> = before.flatten().collect();
        let macros = frame.character.as_ref().map(|it| it.macros(seed));
        let past = ScanInput {
            passages: &passages,
            fired: &before,
            seed,
            macros: macros.as_ref(),
        };
        let mut scanned = scan(
            &frame.enabled_books(),
            &|book, entry| frame.is_entry_disabled(book, entry),
            &past,
        );
        for fires in &mut scanned.active {
            fires.content = macros.as_ref().map(|it| it.expand(fires.text()));
        }
        scanned
            .active
            .retain(|fires| !fires.text().trim().is_empty());
        scanned
    }

    /// Returns one line for each lore entry that is active at a place, with the reason why the
    /// entry is active.
    pub(super) fn lore_lines(&mut self, place: Place, seed: u64) -> Vec<String> {
        let path = self.session.story.path_at(place);
        let ScanResult {
            active: fires,
            skipped: missed,
            ..
        } = self.scanned(&path, seed);
        let line = |fires: &ActiveEntry| {
            let why = match &fires.why {
                Activation::Constant => "always active".to_string(),
                Activation::Key(key) => format!("the story contains \"{}\"", clean(key)),
                Activation::Sticky(left) => {
                    format!("sticky for {}", count_noun(*left as usize, "more passage"))
                }
                Activation::Recursive { by, key } => format!("{by} contains \"{}\"", clean(key)),
            };
            format!("+ {} ({}): {why}", fires.entry.title(), fires.book.name)
        };
        let lines = fires.iter().map(line).collect();
        self.session.rejected_lore = missed;
        lines
    }
}
