//! The retrieval policy, which determines which stored drawings serve as examples for a picture,
//! and how strongly they bias it.
//!
//! Training follows [`may_be_example`] too, and shows the networks random subsets of the allowed
//! examples. The rule by which a [`Retriever`] chooses among the allowed examples can therefore be
//! changed without retraining. There is at most one example per style, since the encoder would add
//! up two examples of the same style.

use super::concepts::Match;
use super::config::Config;
use super::design::Renumber;
use super::retrieval_index::{RetrievalIndex, RetrievedExamples};
use super::style_coverage::StyleCoverage;

/// The factor by which retrieval is weakened in two cases. In the first, no example's style shares
/// concepts with the requested style. Full strength would then copy too much: silhouettes would
/// stay black, and a restyled picture would not change. In the second, only a part of a picture is
/// sampled again. This part must fit the rest of the picture, so the examples must not outweigh the
/// rest.
const UNRELATED: f64 = 0.4;

/// Whether a drawing may be an example for a picture. Each is given by its concept and style. The
/// concepts must be the same, and the styles must differ, so that nothing is copied. Drawing and
/// training both follow this rule.
pub fn may_be_example(drawing: (u32, u32), wanted: (u32, Option<u32>)) -> bool {
    drawing.0 == wanted.0 && Some(drawing.1) != wanted.1
}

pub struct Retriever {
    index: RetrievalIndex,
    coverage: StyleCoverage,
}

impl Retriever {
    /// Creates a retriever. `counts` are the numbers of concepts and styles.
    pub fn new(index: RetrievalIndex, counts: (usize, usize)) -> Retriever {
        Retriever {
            coverage: StyleCoverage::new(&index, counts),
            index,
        }
    }

    /// Returns the stored drawings of the prompt's concept, if any, in styles other than the
    /// requested style. If some of the drawings are in styles that share concepts with the
    /// requested style, only those drawings are returned.
    pub fn retrieve(
        &self,
        concepts: &[Match],
        style: Option<u32>,
        config: &Config,
    ) -> RetrievedExamples {
        let known = |found: &&Match| found.similarity >= base::KNOWN_SIMILARITY;
        let found = concepts.first().filter(known);
        let examples = |found: &Match| {
            let wanted = (found.concept, style);
            let allowed = |own| may_be_example((found.concept, own), wanted);
            self.index.examples(found.concept, config, allowed)
        };
        let all: RetrievedExamples = found.map(examples).unwrap_or_default();
        match self.any_related(&all, style) {
            true => {
                let related = |own: &usize| self.coverage.shares_concepts(*own, style);
                all.into_iter().filter(|(own, _)| related(own)).collect()
            }
            false => all,
        }
    }

    /// Returns the factor by which the retrieval strength is multiplied. `partly` says whether only
    /// a part of the picture is sampled.
    pub fn strength(&self, examples: &RetrievedExamples, style: Option<u32>, partly: bool) -> f64 {
        match partly || !self.any_related(examples, style) {
            true => UNRELATED,
            false => 1.0,
        }
    }

    /// Whether the concept can be drawn in the style. A style of None means any style.
    pub fn covers(&self, concept: u32, style: Option<u32>) -> bool {
        self.coverage.covers(concept, style)
    }

    /// Removes the drawings for which `renumber` returns None, and renumbers the concepts and
    /// styles of the remaining drawings. `counts` are the numbers of concepts and styles that are
    /// left.
    pub fn remove_drawings(&mut self, renumber: Renumber, counts: (usize, usize)) {
        self.index = self.index.renumbered(renumber);
        self.coverage = StyleCoverage::new(&self.index, counts);
    }

    fn any_related(&self, examples: &RetrievedExamples, style: Option<u32>) -> bool {
        let related = |(own, _): &(usize, _)| self.coverage.shares_concepts(*own, style);
        examples.iter().any(related)
    }
}
