//! Style coverage: which concepts can be drawn in which style.
//!
//! Most styles share their concepts, so that a concept known in one of these styles can be drawn in
//! any of them. A style is exclusive if most of its concepts exist in no other style; the
//! silhouettes are an example. A concept known only in an exclusive style can be drawn in no other
//! style. A concept without any drawing can be drawn in every style.

use super::retrieval_index::RetrievalIndex;

#[derive(Debug, Default)]
pub struct StyleCoverage {
    /// For each concept and each style, whether the index has a drawing of the concept in the
    /// style.
    known: Vec<Vec<bool>>,
    /// For each style, whether it is exclusive: whether most of its concepts exist in no other
    /// style.
    exclusive: Vec<bool>,
}

impl StyleCoverage {
    /// Computes the coverage from the drawings in the index. The second parameter is the number of
    /// concepts and the number of styles.
    pub fn new(index: &RetrievalIndex, (concepts, styles): (usize, usize)) -> StyleCoverage {
        let mut known = vec![vec![false; styles]; concepts];
        for (concept, style) in index.keys() {
            // A drawing whose style is not in the weights counts for no style.
            if let Some(known) = known[concept as usize].get_mut(style as usize) {
                *known = true;
            }
        }
        let exclusive = |style: usize| {
            let own = || known.iter().filter(|known| known[style]);
            let only = own().filter(|known| known.iter().filter(|known| **known).count() == 1);
            2 * only.count() > own().count()
        };
        StyleCoverage {
            exclusive: (0..styles).map(exclusive).collect(),
            known,
        }
    }

    /// Whether a concept can be drawn in the requested style. A requested style of None means any
    /// style.
    pub fn covers(&self, concept: u32, wanted: Option<u32>) -> bool {
        let known = self.known.get(concept as usize);
        let Some(known) = known.filter(|known| known.contains(&true)) else {
            return true;
        };
        let mut styles = known.iter().enumerate().filter(|(_, known)| **known);
        styles.any(|(style, _)| Some(style as u32) == wanted || self.shares_concepts(style, wanted))
    }

    /// Whether a style shares its concepts with the requested style. This is the case if neither is
    /// exclusive. A requested style of None counts as not exclusive.
    pub fn shares_concepts(&self, style: usize, wanted: Option<u32>) -> bool {
        let shares = |style: usize| self.exclusive.get(style) == Some(&false);
        shares(style) && wanted.is_none_or(|wanted| shares(wanted as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn what_is_known_as_a_silhouette_alone_fits_no_other_style() {
        let json = include_bytes!("../../../tests/reference/illuminator/config.json");
        let config = Config::parse(json).unwrap();
        let mut index = RetrievalIndex::default();
        // Dragon and owl in two styles; ship, bee and owl as silhouettes.
        for key in [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 2), (3, 2)] {
            index.insert(key, &[0; 128], &config);
        }
        let coverage = StyleCoverage::new(&index, (5, 3));
        let fits = |wanted| [0, 1, 2, 3, 4].map(|concept| coverage.covers(concept, wanted));
        assert_eq!(fits(Some(0)), [true, true, false, false, true]);
        assert_eq!(fits(Some(2)), [false, true, true, true, true]);
        assert_eq!(fits(None), [true, true, false, false, true]);
        assert!(coverage.covers(9, None));
        let near = |wanted| [0, 1, 2, 3].map(|style| coverage.shares_concepts(style, wanted));
        assert_eq!(near(Some(0)), [true, true, false, false]);
        assert_eq!(near(None), near(Some(1)));
        assert_eq!(near(Some(2)), [false; 4]);
    }
}
