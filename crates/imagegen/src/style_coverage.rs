//! Which things can be drawn in a style: those that are remembered in it, or in others like it.
//!
//! Most styles have their things in common, and one is led from one to the other. A style whose things
//! are in no other as a rule, as silhouettes are, stays what it is whatever is asked for: what is known
//! in such a style alone fits no other. Of what nothing is remembered, nothing speaks against it.

use super::retrieval_index::RetrievalIndex;

#[derive(Debug, Default)]
pub struct StyleCoverage {
    /// Of each concept, whether it is remembered in each style.
    known: Vec<Vec<bool>>,
    /// Of each style, whether its things are in no other as a rule.
    alone: Vec<bool>,
}

impl StyleCoverage {
    /// There are so many concepts and styles.
    pub fn new(memory: &RetrievalIndex, (concepts, styles): (usize, usize)) -> StyleCoverage {
        let mut known = vec![vec![false; styles]; concepts];
        for (concept, style) in memory.keys() {
            // One in no style that is known is like none.
            if let Some(known) = known[concept as usize].get_mut(style as usize) {
                *known = true;
            }
        }
        let alone = |style: usize| {
            let own = || known.iter().filter(|known| known[style]);
            let only = own().filter(|known| known.iter().filter(|known| **known).count() == 1);
            2 * only.count() > own().count()
        };
        StyleCoverage {
            alone: (0..styles).map(alone).collect(),
            known,
        }
    }

    /// Whether a concept can be drawn in a style; None for any.
    pub fn fits(&self, concept: u32, wanted: Option<u32>) -> bool {
        let known = self.known.get(concept as usize);
        let Some(known) = known.filter(|known| known.contains(&true)) else {
            return true;
        };
        let mut styles = known.iter().enumerate().filter(|(_, known)| **known);
        styles.any(|(style, _)| Some(style as u32) == wanted || self.near(style, wanted))
    }

    /// Whether a style has its things in common with the one that is asked for; None is any of those
    /// that have things in common.
    pub fn near(&self, style: usize, wanted: Option<u32>) -> bool {
        let shares = |style: usize| self.alone.get(style) == Some(&false);
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
        let mut memory = RetrievalIndex::default();
        // Dragon and owl in two styles; ship, bee and owl as silhouettes.
        for key in [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 2), (3, 2)] {
            memory.keep(key, &[0; 128], &config);
        }
        let fitting = StyleCoverage::new(&memory, (5, 3));
        let fits = |wanted| [0, 1, 2, 3, 4].map(|concept| fitting.fits(concept, wanted));
        assert_eq!(fits(Some(0)), [true, true, false, false, true]);
        assert_eq!(fits(Some(2)), [false, true, true, true, true]);
        assert_eq!(fits(None), [true, true, false, false, true]);
        assert!(fitting.fits(9, None));
        let near = |wanted| [0, 1, 2, 3].map(|style| fitting.near(style, wanted));
        assert_eq!(near(Some(0)), [true, true, false, false]);
        assert_eq!(near(None), near(Some(1)));
        assert_eq!(near(Some(2)), [false; 4]);
    }
}
