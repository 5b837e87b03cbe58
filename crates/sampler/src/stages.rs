//! The stages of the sampler chain, in order, and the logits that each stage must see.
//!
//! Stages before top-k either change the logits or raise the floor below which top-k ignores
//! tokens. Stages after top-k remove candidates from the list that top-k gathered, and get the
//! candidates' probabilities from `weigh`. A stage before top-k cannot remove candidates, because
//! top-k gathers them again.
//!
//! A GPU may send only the highest logits if these determine the sampled token. This depends on the
//! needs of every stage, so a new stage does not compile until [`Sampler::needs`] lists it.

use crate::Sampler;

/// A stage of the sampler chain, which leads from logits to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Penalties,
    Dry,
    TopNSigma,
    TopK,
    TypicalP,
    TopP,
    MinP,
    Xtc,
    Mirostat,
    Temperature,
}

/// The logits that a stage must see for its result to be the same as with all logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// The stage is off, or uses only the candidates that the preceding stages left.
    Nothing,
    /// The stage can lower this many logits, so this many additional logits must be available.
    Spare(usize),
    /// The stage keeps only the highest logits, at most this many.
    Highest(usize),
    /// The stage needs all logits, for example for a mean over the vocabulary.
    All,
}

impl Stage {
    /// The stages that change logits.
    pub(crate) const PENALTIES: [Stage; 2] = [Stage::Penalties, Stage::Dry];
    /// The stages that remove candidates. Mirostat replaces all of them.
    pub(crate) const CUTS: [Stage; 6] = [
        Stage::TopNSigma,
        Stage::TopK,
        Stage::TypicalP,
        Stage::TopP,
        Stage::MinP,
        Stage::Xtc,
    ];
    /// The stages that sample the token.
    const DRAWS: [Stage; 2] = [Stage::Mirostat, Stage::Temperature];

    fn all() -> impl Iterator<Item = Stage> {
        let before = Stage::PENALTIES.into_iter().chain(Stage::CUTS);
        before.chain(Stage::DRAWS)
    }
}

impl Sampler {
    /// The number of highest logits that determine the next token; the remaining logits may be
    /// `-inf`. None if every logit matters.
    pub fn sufficient_top_k(&self) -> Option<usize> {
        let (mut highest, mut spare) = (None, 0);
        for stage in Stage::all() {
            match self.needs(stage) {
                Needs::Nothing => {}
                Needs::Spare(count) => spare += count,
                Needs::Highest(count) => highest = Some(count),
                Needs::All => return None,
            }
        }
        highest.map(|count: usize| count.saturating_add(spare))
    }

    /// Whether min-p is on and may run before top-k. It may if no stage between top-k and min-p
    /// removes candidates. Top-k and min-p both keep the best candidates, so their order then makes
    /// no difference.
    pub(crate) fn min_p_may_go_first(&self) -> bool {
        let after = Stage::CUTS
            .into_iter()
            .skip_while(|stage| *stage != Stage::TopK);
        let between = after.skip(1).take_while(|stage| *stage != Stage::MinP);
        self.is_on(Stage::MinP) && !between.into_iter().any(|stage| self.is_on(stage))
    }

    /// Whether the stage has any effect with the current settings.
    fn is_on(&self, stage: Stage) -> bool {
        let s = &self.sampling;
        match stage {
            Stage::Penalties => self.penalties.lowered() != Some(0),
            Stage::Dry => !self.dry.off(),
            Stage::TopNSigma => s.top_n_sigma > 0.0,
            Stage::TopK => s.top_k > 0,
            Stage::TypicalP => s.typical_p < 1.0,
            Stage::TopP => s.top_p < 1.0,
            Stage::MinP => s.min_p > 0.0,
            Stage::Xtc => s.xtc_probability > 0.0,
            Stage::Mirostat => s.mirostat == 2,
            Stage::Temperature => true,
        }
    }

    fn needs(&self, stage: Stage) -> Needs {
        // Greedy sampling takes the best token after the penalties and runs no other stage.
        let greedy = self.temperature() == 0.0;
        let all_if = |on: bool| if on { Needs::All } else { Needs::Nothing };
        match stage {
            // A penalty that raises logits may raise any of them.
            Stage::Penalties => self.penalties.lowered().map_or(Needs::All, Needs::Spare),
            Stage::Dry => all_if(self.is_on(stage)),
            Stage::TopNSigma | Stage::Mirostat => all_if(!greedy && self.is_on(stage)),
            Stage::TopK if greedy || !self.is_on(stage) => Needs::Nothing,
            Stage::TopK => Needs::Highest(self.sampling.top_k as usize),
            Stage::TypicalP | Stage::TopP | Stage::MinP | Stage::Xtc => Needs::Nothing,
            Stage::Temperature if greedy => Needs::Highest(1),
            Stage::Temperature => Needs::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{plain, sampler};
    use crate::{Sampling, rng::Rng};

    /// Changes the settings so that one stage is on.
    fn switch_on(stage: Stage, s: &mut Sampling) {
        match stage {
            Stage::Penalties => s.frequency_penalty = 0.5,
            Stage::Dry => s.dry_multiplier = 0.8,
            Stage::TopNSigma => s.top_n_sigma = 1.0,
            Stage::TopK => s.top_k = 9,
            Stage::TypicalP => s.typical_p = 0.7,
            Stage::TopP => s.top_p = 0.8,
            Stage::MinP => s.min_p = 0.1,
            Stage::Xtc => (s.xtc_threshold, s.xtc_probability) = (0.1, 1.0),
            Stage::Mirostat => s.mirostat = 2,
            Stage::Temperature => s.temperature = 0.0,
        }
    }

    #[test]
    fn no_stage_is_counted_twice_or_left_out() {
        let stages: Vec<Stage> = Stage::all().collect();
        for (index, stage) in stages.iter().enumerate() {
            assert_eq!(*stage as usize, index);
        }
        assert_eq!(stages.len(), Stage::Temperature as usize + 1);
    }

    #[test]
    fn what_a_stage_says_it_needs_settles_the_token_for_each_pair_of_stages() {
        let mut rng = Rng::new(7);
        let logits: Vec<f32> = (0..400).map(|_| rng.next_normal() as f32 * 3.0).collect();
        let history = [3, 7, 3, 9, 3, 7, 3];
        for (one, other) in Stage::all().flat_map(|one| Stage::all().map(move |b| (one, b))) {
            let mut sampling = plain();
            switch_on(one, &mut sampling);
            switch_on(other, &mut sampling);
            for seed in 0..20 {
                let mut all = sampler(&sampling, seed);
                history.iter().for_each(|token| all.accept(*token));
                let mut few = all.clone();
                let Some(count) = all.sufficient_top_k() else {
                    continue;
                };
                let mut order = logits.clone();
                order.sort_by(|a, b| b.total_cmp(a));
                let told = |logit: &f32| match *logit >= order[count - 1] {
                    true => *logit,
                    false => f32::NEG_INFINITY,
                };
                let told: Vec<f32> = logits.iter().map(told).collect();
                let whole = all.sample_with(&logits);
                assert_eq!(whole, few.sample_with(&told), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn min_p_goes_first_only_where_no_cut_stands_between_it_and_top_k() {
        for stage in Stage::all() {
            let mut sampling = plain();
            switch_on(Stage::MinP, &mut sampling);
            switch_on(stage, &mut sampling);
            let place = |stage| Stage::CUTS.iter().position(|cut| *cut == stage);
            let (top_k, min_p) = (place(Stage::TopK), place(Stage::MinP));
            let between = place(stage) > top_k && place(stage) < min_p;
            let first = sampler(&sampling, 1).min_p_may_go_first();
            assert_eq!(first, !between, "{stage:?}");
        }
    }
}
