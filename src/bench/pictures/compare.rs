//! Compares the set of drawn pictures with sets of real pictures.

use super::features::extractor_input;
use super::{Evaluation, PicturesError, Report, Target};
use base::progress::Observer;
use std::collections::BTreeMap;
use train::features::WIDTH;
use train::measures::{
    Classifier, Features, diversity, entropy_score, frechet_distance, kernel_distance,
    nearest_neighbours, share_within,
};

/// The number of pictures drawn per prompt to measure diversity.
const TOGETHER: usize = 4;
/// The number of nearest neighbours (k) for precision and recall.
pub(super) const NEIGHBOURS: usize = 3;

impl Evaluation<'_> {
    /// Measures drawn pictures against real pictures, and adds the results to the report. As a
    /// baseline, real pictures are also measured against other real pictures.
    pub(super) fn compare(
        &self,
        report: &mut Report,
        classifier: &Classifier,
        drawn: &Features,
        held: &Features,
        learned: &Features,
    ) -> Result<(), PicturesError> {
        let seed = self.settings.seed;
        let others: Vec<usize> = (0..learned.len().min(held.len())).collect();
        let others = learned.pick(&others);
        let size = (drawn.len() / 2).clamp(2, 1000);
        let (mean, deviation) = kernel_distance(held, drawn, 50, size, seed)?;
        report.kernel_distance = [mean, deviation];
        let (mean, deviation) = kernel_distance(held, &others, 50, size, seed)?;
        report.kernel_distance_of_real = [mean, deviation];
        report.frechet_distance = frechet_distance(held, drawn)?;
        report.frechet_distance_of_real = frechet_distance(held, &others)?;
        report.precision = share_within(held, drawn, NEIGHBOURS)?;
        report.recall = share_within(drawn, held, NEIGHBOURS)?;
        report.entropy_score = entropy_score(&self.logits(classifier, drawn)?);
        report.entropy_score_of_real = entropy_score(&self.logits(classifier, held)?);
        Ok(())
    }

    /// Returns the similarity of each picture to each concept, as logits.
    fn logits(
        &self,
        classifier: &Classifier,
        features: &Features,
    ) -> Result<Features, PicturesError> {
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
        Ok(Features { width, values })
    }

    pub(super) fn copies(
        &self,
        report: &mut Report,
        drawn: &Features,
        held: &Features,
        learned: &Features,
        (asked, trained): (&[Target], &[usize]),
    ) -> Result<(), PicturesError> {
        let near = nearest_neighbours(drawn, learned)?;
        let same = near.iter().zip(asked);
        let same = same.filter(|((at, _), asked)| self.label(trained[*at]) == **asked);
        report.nearest_is_asked = same.count() as f64 / near.len() as f64;
        let median = |near: Vec<(usize, f64)>| {
            let mut far: Vec<f64> = near.into_iter().map(|(_, far)| far).collect();
            far.sort_by(f64::total_cmp);
            far[far.len() / 2]
        };
        report.nearest_distance =
            median(near) / median(nearest_neighbours(held, learned)?).max(1e-12);
        Ok(())
    }

    pub(super) fn variety(
        &self,
        report: &mut Report,
        seen_ones: &[usize],
        held: &Features,
        asked: &[Target],
        observer: &dyn Observer,
    ) -> Result<(), PicturesError> {
        const PROMPTS: usize = 24;
        let some = &seen_ones[..seen_ones.len().min(PROMPTS)];
        let mut sum = 0.0;
        for (at, one) in some.iter().enumerate() {
            observer.progress(
                "Prompts drawn several times",
                at as u64,
                Some(some.len() as u64),
            );
            observer.check()?;
            let seeds = (0..TOGETHER as u64).collect();
            let drawn = self.draw(self.label(*one), seeds)?;
            let pictures: Vec<Vec<f32>> = drawn
                .iter()
                .map(|picture| extractor_input(&picture.pixels, picture.size))
                .collect();
            sum += diversity(&Features::new(WIDTH, &self.extractor.features(&pictures)?));
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
