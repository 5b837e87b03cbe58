//! The fourth phase, which trains the refiner and the generator together. They are trained on
//! tokens sampled by the token Transformer, and against a critic that scores whole pictures.
//!
//! The tokens sampled for a picture's caption are refined and decoded to a picture. The target is
//! the real picture. The critic scores how real the decoded picture looks, and how well it matches
//! the caption. The encoder and the token Transformer are frozen.

mod losses;

use super::TrainError;
use super::adam::AdamOptions;
use super::batches::{DROP_STYLE, random_shift, shifted, text_or_none};
use super::checkpoint::Parts;
use super::data::dataset::PictureKey;
use super::losses::{LossWeights, mean_over_pairs, scalar};
use super::perceptual::{PerceptualLoss, feature_distance};
use super::phase::{Autoencoder, Phase, PhaseInput, PhaseKind, SampleSheet};
use super::picture_tokenizer::PictureTokenizer;
use super::step::{Metrics, Step};
use super::token_pool::TokenPool;
use super::token_table::TokenTable;
use super::trained::{NetworkState, TrainedNetwork};
use super::variables::{Tensors, dropout};
use candle_core::{Result, Tensor};
use imagegen::conditioning::Conditioning;
use imagegen::config::TOKENS;
use imagegen::critic::Critic;
use imagegen::generator::Generator;
use imagegen::layers::Dropout;
use imagegen::quantizer::FsqCodes;
use imagegen::quantizer::Quantizer;
use imagegen::refiner::Refiner;
use imagegen::retrieval_index::RetrievedExamples;
use imagegen::sampling::Sampling;
use losses::{contrastive_loss, critic_features, discounted_reconstruction, mismatched};
use sampler::rng::Rng;
use std::cell::RefCell;

pub struct RefinePhase<'a> {
    input: PhaseInput<'a>,
    table: TokenTable<'a>,
    pool: TokenPool,
    refiner: TrainedNetwork<Refiner>,
    generator: TrainedNetwork<Generator>,
    critic: TrainedNetwork<Critic>,
    quantizer: Quantizer,
    perceptual_loss: PerceptualLoss,
    weights: LossWeights,
}

/// The weights from earlier phases. `refiner` is None if no refiner has been trained yet.
pub struct RefineStart {
    pub autoencoder: Autoencoder,
    pub tokens: Tensors,
    pub refiner: Option<Tensors>,
}

const ADAM: AdamOptions = AdamOptions {
    beta1: 0.9,
    clip_norm: 5.0,
    orthogonal: true,
};
const CRITIC_ADAM: AdamOptions = AdamOptions {
    beta1: 0.5,
    clip_norm: 5.0,
    orthogonal: false,
};
/// The number of steps over which the critic's losses reach their full weight.
const RAMP_STEPS: f64 = 200.0;
/// The weight of the loss for real pictures paired with the text or the style of other pictures.
/// The critic should score such pairs as fake.
const MISMATCHED: f64 = 0.5;
/// The probability that another picture of the same concept is given as a retrieved example.
const RETRIEVED: f64 = 0.85;
/// The share of pictures that are refined without text.
const WITHOUT_TEXT: f64 = 0.05;
/// The share of pictures whose tokens are all sampled.
const ALL_SAMPLED: f64 = 0.6;
/// The share of pictures for which at least some tokens are sampled, including the pictures whose
/// tokens are all sampled.
const SOME_SAMPLED: f64 = 0.85;
/// The maximum random shift, in pixels, of the pictures that the perceptual network compares.
/// Without such shifts, the generator could lower the loss by patterns that are aligned with the
/// grid of the network.
const MAX_SHIFT: usize = 3;

/// Tokens of a batch of pictures, of which some are real and some are sampled.
struct MixedTokens {
    tokens: FsqCodes,
    /// For each picture, the share of its tokens that are sampled.
    sampled: Vec<f32>,
}

/// The conditioning for the refiner and for the generator. Each network has its own vector for
/// missing text.
struct Conditionings {
    refiner: Conditioning,
    generator: Conditioning,
}

/// The input of the critic: the conditioning, and the features of real and of generated pictures.
/// The features come from several stages of the perceptual network.
struct CriticInput<'a> {
    real: Vec<Tensor>,
    generated: Vec<Tensor>,
    conditioning: &'a Conditioning,
}

/// The losses of the critic in one training step.
struct CriticLosses {
    adversarial: f64,
    contrastive: f64,
}

/// The losses of the refiner and the generator that depend on the critic's scores of generated
/// pictures.
struct CriticFeedback {
    adversarial: Tensor,
    contrastive: Tensor,
    /// The mean score of the real pictures minus the mean score of the generated pictures.
    gap: f64,
}

impl<'a> RefinePhase<'a> {
    pub fn new(
        input: PhaseInput<'a>,
        start: RefineStart,
        weights: LossWeights,
        perceptual_loss: PerceptualLoss,
    ) -> std::result::Result<RefinePhase<'a>, TrainError> {
        let Autoencoder { encoder, generator } = start.autoencoder;
        let tokenizer = PictureTokenizer::new(&encoder, input.config, input.device())?;
        // The token Transformer has already learned how text, style and retrieved examples relate.
        let refiner = start.refiner.unwrap_or_else(|| start.tokens.clone());
        Ok(RefinePhase {
            table: TokenTable::new(&input, &tokenizer)?,
            pool: TokenPool::new(&input, &start.tokens)?,
            refiner: input.trainable(refiner, ADAM, |w, config| {
                Refiner::new(&w.with_autograd(), config)
            })?,
            generator: input.trainable(generator, ADAM, |w, config| {
                Generator::new(&w.with_autograd(), config)
            })?,
            critic: input.trainable(Tensors::new(), CRITIC_ADAM, |w, config| {
                Critic::new(&w.with_autograd(), config)
            })?,
            quantizer: tokenizer.quantizer,
            perceptual_loss,
            weights,
            input,
        })
    }

    /// Chooses the tokens to refine. For some pictures all tokens are sampled, for others only some
    /// tokens, and for the rest all tokens are real.
    fn mixed_tokens(&self, keys: impl Iterator<Item = PictureKey>, rng: &mut Rng) -> MixedTokens {
        let digits = self.input.config.codes_per_token();
        let (mut tokens, mut sampled) = (Vec::new(), Vec::new());
        for key in keys {
            let (kind, share) = (rng.next_f64(), rng.next_f64());
            let share = match kind {
                kind if kind < ALL_SAMPLED => 1.0,
                kind if kind < SOME_SAMPLED => share,
                _ => 0.0,
            };
            let real = self.table.tokens(key);
            let pooled = self.pool.tokens(key);
            let mut used = 0;
            let samples = pooled.unwrap_or(real).chunks(digits);
            for (real, sample) in real.chunks(digits).zip(samples) {
                let takes = rng.next_f64() < share;
                tokens.extend(if takes { sample } else { real });
                used += usize::from(takes && pooled.is_some());
            }
            sampled.push(used as f32 / TOKENS as f32);
        }
        MixedTokens {
            tokens: FsqCodes(tokens),
            sampled,
        }
    }

    /// Returns the conditioning for the refiner and the generator. For some pictures both text and
    /// style are removed, and for others only the style.
    fn conditionings(&self, conditioning: &Conditioning, rng: &mut Rng) -> Result<Conditionings> {
        let chances: Vec<f64> = (0..conditioning.len()).map(|_| rng.next_f64()).collect();
        let has_text: Vec<bool> = chances.iter().map(|c| *c >= WITHOUT_TEXT).collect();
        let has_style = chances
            .iter()
            .map(|c| *c >= WITHOUT_TEXT + 2.0 * DROP_STYLE);
        let styles = conditioning.style.iter().zip(has_style);
        let style: Vec<_> = styles
            .map(|(style, keeps)| style.filter(|_| keeps))
            .collect();
        let conditioning = |none: &Tensor| {
            Ok::<_, candle_core::Error>(Conditioning {
                text: text_or_none(&has_text, &conditioning.text, none)?,
                style: style.clone(),
                flip: conditioning.flip.clone(),
            })
        };
        Ok(Conditionings {
            refiner: conditioning(self.refiner.network.null_text())?,
            generator: conditioning(self.generator.network.null_text())?,
        })
    }

    /// Refines tokens and decodes them to pictures `[batch, 4, size, size]`.
    fn generate(
        &self,
        tokens: &FsqCodes,
        conditionings: &Conditionings,
        shown: &[RetrievedExamples],
        drop: &Dropout,
    ) -> Result<Tensor> {
        let values = self.quantizer.token_values(tokens, self.input.device())?;
        let refiner = &self.refiner.network;
        let values = refiner.forward((tokens, &values), &conditionings.refiner, shown, drop)?;
        let generator = &self.generator.network;
        generator.forward(&values, &conditionings.generator)
    }

    /// Takes one training step of the critic.
    fn train_critic(&mut self, input: &CriticInput, step: Step) -> Result<CriticLosses> {
        let (critic, conditioning) = (&self.critic.network, input.conditioning);
        let style = conditioning.style_rows(0)?;
        let generated: Vec<Tensor> = input.generated.iter().map(Tensor::detach).collect();
        let of_real = critic.forward(&input.real, &conditioning.text, &style)?;
        let of_generated = critic.forward(&generated, &conditioning.text, &style)?;
        let other = mismatched(&conditioning.text, &style)?;
        let of_mismatched = critic.forward(&input.real, &other.text, &other.style)?;
        let against = |fake: &[Tensor]| {
            mean_over_pairs(&of_real.scores, fake, |real, fake| {
                self.weights.gan_loss.discriminator(real, fake)
            })
        };
        let mismatched = (against(&of_mismatched.scores)? * MISMATCHED)?;
        let adversarial = (against(&of_generated.scores)? + mismatched)?;
        let contrastive =
            contrastive_loss(&critic.caption_logits(&of_real.whole, &conditioning.text)?)?;
        let gradients = (&adversarial + &contrastive)?.backward()?;
        let losses = CriticLosses {
            adversarial: scalar(&adversarial)?,
            contrastive: scalar(&contrastive)?,
        };
        self.critic.step(&gradients, step)?;
        Ok(losses)
    }

    /// Computes the losses of the refiner and the generator from the scores of the critic.
    fn critic_feedback(&self, input: &CriticInput) -> Result<CriticFeedback> {
        let (critic, conditioning) = (&self.critic.network, input.conditioning);
        let style = conditioning.style_rows(0)?;
        let of_real = critic
            .forward(&input.real, &conditioning.text, &style)?
            .scores;
        let of_real: Vec<Tensor> = of_real.iter().map(Tensor::detach).collect();
        let of_generated = critic.forward(&input.generated, &conditioning.text, &style)?;
        let adversarial = mean_over_pairs(&of_real, &of_generated.scores, |real, fake| {
            self.weights.gan_loss.generator(real, fake)
        })?;
        let gap = mean_over_pairs(&of_real, &of_generated.scores, |real, fake| {
            (real - fake)?.mean_all()
        })?;
        Ok(CriticFeedback {
            contrastive: contrastive_loss(
                &critic.caption_logits(&of_generated.whole, &conditioning.text)?,
            )?,
            gap: scalar(&gap)?,
            adversarial,
        })
    }
}

impl Phase for RefinePhase<'_> {
    fn name(&self) -> &'static str {
        PhaseKind::Refine.name()
    }

    fn networks(&mut self) -> Vec<(&'static str, &mut NetworkState)> {
        vec![
            ("refiner", &mut self.refiner.state),
            ("generator", &mut self.generator.state),
            ("critic", &mut self.critic.state),
        ]
    }

    fn other_parts(&self) -> Result<Parts> {
        Ok(Parts::from([("composed".into(), self.pool.save()?)]))
    }

    fn restore_other_parts(&mut self, parts: &mut Parts) -> Result<()> {
        self.pool.restore(parts.remove("composed"))
    }

    fn step(&mut self, step: Step, rng: &mut Rng) -> std::result::Result<Metrics, TrainError> {
        let batch = self.input.batches.sample(self.input.batch_size, rng)?;
        let (real, conditioning) = (&batch.pictures, &batch.conditioning);
        self.pool.fill(&batch, &self.table, rng)?;
        let mixed = self.mixed_tokens(batch.keys(), rng);
        let shown = self.table.retrieved_examples(&batch, RETRIEVED, rng);
        let conditionings = self.conditionings(conditioning, rng)?;
        let device = self.input.device();
        let rng = RefCell::new(rng);
        let mask = |shape: &[usize]| dropout(shape, &mut rng.borrow_mut(), device);
        let drop = Dropout::Masks(&mask);
        let generated = self.generate(&mixed.tokens, &conditionings, &shown, &drop)?;

        let by = random_shift(MAX_SHIFT, &mut rng.borrow_mut());
        let of_real = self
            .perceptual_loss
            .features(&shifted(&real.detach(), by)?)?;
        let of_generated = self.perceptual_loss.features(&shifted(&generated, by)?)?;
        let input = CriticInput {
            real: critic_features(&of_real),
            generated: critic_features(&of_generated),
            conditioning,
        };
        let critic = self.train_critic(&input, step)?;
        let feedback = self.critic_feedback(&input)?;

        let reconstruction = discounted_reconstruction(real, &generated, &mixed.sampled)?;
        let perceptual = feature_distance(&of_real, &of_generated)?;
        let adversarial = (&feedback.adversarial * self.weights.adversarial)?;
        let contrastive = (&feedback.contrastive * self.weights.caption_contrastive)?;
        let by_critic = ((adversarial + contrastive)? * step.ramp(RAMP_STEPS))?;
        let weighted = (&perceptual * self.perceptual_loss.weight())?;
        let loss = ((&reconstruction + weighted)? + by_critic)?;
        let gradients = loss.backward()?;
        self.refiner.step(&gradients, step)?;
        self.generator.step(&gradients, step)?;
        Ok(vec![
            ("loss", scalar(&reconstruction)?),
            ("perceptual", scalar(&perceptual)?),
            ("critic", critic.adversarial),
            ("critic match", critic.contrastive),
            ("generator", scalar(&feedback.adversarial)?),
            ("caption match", scalar(&feedback.contrastive)?),
            ("gap", feedback.gap),
        ])
    }

    /// Returns a sample sheet. Below each real picture are two drawings from its caption: the first
    /// without refinement, the second refined.
    fn sheet(&self) -> std::result::Result<Option<SampleSheet>, TrainError> {
        const ROW: usize = 12;
        let batches = self.input.batches;
        let index = batches.evenly_spaced(ROW);
        let batch = batches.labelled(&index)?;
        let conditioning = &batch.conditioning;
        let shown = self.table.all_examples(&index);
        let mut rngs: Vec<Rng> = index.iter().map(|_| Rng::new(1)).collect();
        let tokens = self
            .pool
            .sample(conditioning, &shown, &Sampling::default(), &mut rngs)?;
        let values = self.quantizer.token_values(&tokens, self.input.device())?;
        let generator = self
            .input
            .frozen(&self.generator.state.ema, Generator::new)?;
        let refiner = self.input.frozen(&self.refiner.state.ema, Refiner::new)?;
        let refined = refiner.forward((&tokens, &values), conditioning, &shown, &Dropout::None)?;
        let sampled = generator.forward(&values, conditioning)?;
        let refined = generator.forward(&refined, conditioning)?;
        let rows = [batch.pictures, sampled, refined];
        Ok(Some(SampleSheet::new(batches.size(), &rows)?))
    }
}
