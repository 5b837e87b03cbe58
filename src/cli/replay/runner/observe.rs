//! Collects the results of a typed line for its expectations, including numbers that a model must
//! measure.

use super::{Fault, Runner};
use crate::cli::Exit;
use illumine::line;
use illumine::store::export::bare_text;
use replay::expect::{Expectation, Finding, Observed};
use replay::golden::Goldens;
use story::Story;
use story::message::Measurement;
use story::places::find_place;

impl Runner<'_> {
    /// Checks an expectation. If a model must measure a number first and cannot do so, the result
    /// is an error instead of a failed expectation.
    pub(super) fn check(
        &mut self,
        expectation: &Expectation,
        goldens: &Goldens,
    ) -> Result<Finding, Fault> {
        let question = self.observe(None, |seen| expectation.question(seen));
        let measured = question
            .map(|question| self.measure_text(question))
            .transpose()?;
        Ok(self.observe(measured, |seen| expectation.check(seen, goldens)))
    }

    /// Has a model measure a number, and returns the number.
    fn measure_text(&mut self, question: Measurement) -> Result<f64, Fault> {
        let (answer, notice) = (self.page.answer.clone(), self.page.notice.clone());
        self.page.measured = None;
        self.studio.measure(question);
        let settled = line::settle(&mut self.studio, &self.events, &mut self.page);
        let why = std::mem::replace(&mut self.page.notice, notice);
        self.page.answer = answer;
        match (settled, self.page.measured) {
            (_, Some(number)) => Ok(number),
            (Ok(Some(cause)), None) => Err((why, cause.into())),
            (_, None) => Err(("The measurement was stopped".to_string(), Exit::Engine)),
        }
    }

    /// Calls `look` with the results of the last line. `measured` is the number that a model
    /// measured for the expectation, if any.
    fn observe<T>(&self, measured: Option<f64>, look: impl FnOnce(&Observed) -> T) -> T {
        let story = self.studio.story();
        let head = story.head().and_then(|id| story.node(id));
        let generated = head.filter(|node| node.provenance.is_some());
        let stats = self.studio.last_stats().filter(|_| generated.is_some());
        let tokens = generated.map(|node| node.ids.len()).filter(|ids| *ids > 0);
        let versions = head.map_or(Vec::new(), |node| story.versions(node.id));
        let versions = versions.into_iter().filter_map(|id| story.node(id));
        let passage = |place: &str| text_at(story, place);
        let nodes = story.nodes().iter().rev();
        let drawn = nodes.filter_map(|node| node.picture.as_ref());
        let mut drawn = drawn.filter(|_| !self.page.pictures.is_empty());
        let picture = drawn.next().map(|picture| &picture.provenance);
        let observed = Observed {
            text: &last_text(story),
            story: &bare_text(story),
            answer: &self.page.answer,
            refused: self.refused.as_deref(),
            status: head.map(|node| node.status),
            tokens: tokens.or(stats.map(|stats| stats.new_tokens)),
            milliseconds: self.took,
            tokens_per_second: stats.map(|stats| stats.decode_tps()),
            versions: versions.map(|node| node.text.as_str()).collect(),
            pictures: self.page.pictures.clone(),
            picture_style: picture.and_then(|it| it.style.as_deref()),
            picture_concepts: picture.map_or(Vec::new(), |it| {
                let known = it.concepts.iter();
                let known = known.filter(|(_, near)| *near >= base::KNOWN_SIMILARITY);
                known.map(|(name, _)| name.as_str()).collect()
            }),
            cost: self.studio.about().filter(|it| it.is_local()).map(|_| 0.0),
            measured,
            passage: &passage,
        };
        look(&observed)
    }
}

/// Returns the text of the last passage of the current story. If the passage continues earlier
/// passages, their text is included.
fn last_text(story: &Story) -> String {
    let mut parts = Vec::new();
    for passage in story.path().iter().rev() {
        parts.push(passage.text);
        if !passage.continues_previous() {
            break;
        }
    }
    parts.into_iter().rev().collect()
}

fn text_at(story: &Story, place: &str) -> Result<String, String> {
    let found = find_place(story, place).map_err(|error| format!("{error}."))?;
    let node = found.node.and_then(|id| story.node(id));
    let node = node.ok_or_else(|| "There is no passage at this place.".to_string())?;
    Ok(node.text.clone())
}
