//! Drawn pictures compared with real ones, as sets.

use super::features::extractor_input;
use super::{Evaluation, PicturesError, Report, Target};
use crate::model::features::WIDTH;
use crate::train::measures::{
    Classifier, Rows, covers, diversity, entropy_score, frechet, kernel, nearest,
};
use std::collections::BTreeMap;

/// Pictures drawn of one prompt to measure diversity.
const TOGETHER: usize = 4;
/// k of the nearest-neighbour balls in precision and recall.
pub(super) const NEIGHBOURS: usize = 3;

impl Evaluation<'_> {
    /// Distances between drawn and real pictures, with real against real for scale.
    pub(super) fn compare(
        &self,
        report: &mut Report,
        classifier: &Classifier,
        drawn: &Rows,
        held: &Rows,
        learned: &Rows,
    ) -> Result<(), PicturesError> {
        let seed = self.settings.seed;
        let others: Vec<usize> = (0..learned.len().min(held.len())).collect();
        let others = learned.pick(&others);
        let size = (drawn.len() / 2).clamp(2, 1000);
        let (mean, deviation) = kernel(held, drawn, 50, size, seed)?;
        report.kernel_distance = [mean, deviation];
        let (mean, deviation) = kernel(held, &others, 50, size, seed)?;
        report.kernel_distance_of_real = [mean, deviation];
        report.frechet_distance = frechet(held, drawn)?;
        report.frechet_distance_of_real = frechet(held, &others)?;
        report.precision = covers(held, drawn, NEIGHBOURS)?;
        report.recall = covers(drawn, held, NEIGHBOURS)?;
        report.entropy_score = entropy_score(&self.logits(classifier, drawn)?);
        report.entropy_score_of_real = entropy_score(&self.logits(classifier, held)?);
        Ok(())
    }

    /// Similarity to each concept, as logits.
    fn logits(&self, classifier: &Classifier, features: &Rows) -> Result<Rows, PicturesError> {
        const SHARPNESS: f64 = 30.0;
        let taken = classifier.apply(features)?;
        let mut values = Vec::new();
        for at in 0..taken.len() {
            let words = taken.row(at);
            values.extend(self.embeddings.iter().map(|embedding| {
                let pairs = embedding.iter().zip(words);
                SHARPNESS * pairs.map(|(a, b)| f64::from(*a) * b).sum::<f64>()
            }));
        }
        let width = self.embeddings.len();
        Ok(Rows { width, values })
    }

    pub(super) fn copies(
        &self,
        report: &mut Report,
        drawn: &Rows,
        held: &Rows,
        learned: &Rows,
        (asked, trained): (&[Target], &[usize]),
    ) -> Result<(), PicturesError> {
        let near = nearest(drawn, learned)?;
        let same = near.iter().zip(asked);
        let same = same.filter(|((at, _), asked)| self.label(trained[*at]) == **asked);
        report.nearest_is_asked = same.count() as f64 / near.len() as f64;
        let median = |near: Vec<(usize, f64)>| {
            let mut far: Vec<f64> = near.into_iter().map(|(_, far)| far).collect();
            far.sort_by(f64::total_cmp);
            far[far.len() / 2]
        };
        report.nearest_distance = median(near) / median(nearest(held, learned)?).max(1e-12);
        Ok(())
    }

    pub(super) fn variety(
        &self,
        report: &mut Report,
        seen_ones: &[usize],
        held: &Rows,
        asked: &[Target],
        on_progress: &mut dyn FnMut(&str, usize, usize) -> bool,
    ) -> Result<(), PicturesError> {
        const PROMPTS: usize = 24;
        let some = &seen_ones[..seen_ones.len().min(PROMPTS)];
        let mut sum = 0.0;
        for (at, one) in some.iter().enumerate() {
            if !on_progress("Prompts drawn several times", at, some.len()) {
                return Err(PicturesError::Stopped);
            }
            let seeds = (0..TOGETHER as u64).collect();
            let drawn = self.draw(self.label(*one), seeds)?;
            let pictures: Vec<Vec<f32>> = drawn
                .iter()
                .map(|picture| extractor_input(&picture.pixels, picture.size))
                .collect();
            sum += diversity(&Rows::new(WIDTH, &self.extractor.of(&pictures)?));
        }
        report.diversity = sum / some.len().max(1) as f64;
        let mut things: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (at, asked) in asked.iter().enumerate() {
            things.entry(asked.concept).or_default().push(at);
        }
        let several: Vec<f64> = things
            .values()
            .filter(|rows| rows.len() > 1)
            .map(|rows| diversity(&held.pick(rows)))
            .collect();
        report.diversity_of_real = several.iter().sum::<f64>() / several.len().max(1) as f64;
        Ok(())
    }
}
