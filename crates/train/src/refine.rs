//! The fourth phase: refiner and generator together, on what the token Transformer composes, against
//! a critic that sees whole pictures.
//!
//! What is composed of a picture's words is painted, and the real picture says how it should look;
//! the critic says whether it is sharp, and shows what the words say. The encoder and the token
//! Transformer stay as they are.

use super::TrainError;
use super::batches::{ANY_STYLE, Batches, a_little, moved, worded_where};
use super::checkpoint::Parts;
use super::discriminator::scalar;
use super::losses::{GanLoss, reconstruction};
use super::perceptual::{PerceptualLoss, apart};
use super::picture_tokenizer::PictureTokenizer;
use super::reconstruct::{TrainedNetwork, bytes};
use super::run::{Metrics, Phase, SampleSheet};
use super::token_pool::TokenPool;
use super::token_table::Table;
use super::variables::{Tensors, dropout, fixed, make};
use candle_core::{Result, Tensor};
use candle_nn::loss::cross_entropy;
use imagegen::conditioning::Conditioning;
use imagegen::config::{Config, TOKENS};
use imagegen::critic::Critic;
use imagegen::generator::Generator;
use imagegen::layers::Dropout;
use imagegen::quantizer::Quantizer;
use imagegen::refiner::Refiner;
use imagegen::retrieval_index::RetrievedExamples;
use imagegen::sampling::Sampling;
use imagegen::tokens::FsqCodes;
use sampler::rng::Rng;
use std::cell::RefCell;

pub struct RefinePhase<'a> {
    batches: &'a Batches<'a>,
    config: Config,
    batch: usize,
    table: Table,
    pool: Pool,
    refiner: TrainedNetwork<Refiner>,
    generator: TrainedNetwork<Generator>,
    critic: TrainedNetwork<Critic>,
    quantizer: Quantizer,
    look: PerceptualLoss,
    means: LossWeights,
}

/// How refiner, generator and critic are set against each other.
#[derive(Clone, Copy, Debug)]
pub struct LossWeights {
    pub loss: GanLoss,
    /// Weight of the critic's scores beside reconstruction.
    pub adversarial: f64,
    /// Weight of a picture's being told from others of the batch by its words.
    pub belonging: f64,
}

/// What the phases before made: of encoder, generator, token Transformer, and of a refiner that was
/// trained already.
pub struct RefineStart {
    pub encoder: Tensors,
    pub generator: Tensors,
    pub tokens: Tensors,
    pub refiner: Option<Tensors>,
}

const CLIP: f64 = 5.0;
/// Steps over which the critic's word comes in.
const RAMP: f64 = 200.0;
/// Weight of real pictures beside the words or the style of others, as false ones.
const MISMATCHED: f64 = 0.5;
/// How many of the other pictures of a thing are shown beside one that is refined.
const SHOWN: f64 = 0.85;
/// The share of pictures that are refined without words.
const WORDLESS: f64 = 0.05;
/// The shares of pictures that are wholly as they were composed, and wholly or partly.
const COMPOSED: f64 = 0.6;
const PARTLY: f64 = 0.85;
/// How much less the pixels of what was composed are held to the real picture's: it shows the same
/// thing, and need not be the same drawing.
const FREE: f64 = 0.2;
/// How far pictures are moved before they are looked at, in pixels: or patterns that only the
/// network's own grid can see would be rewarded.
const MOVED: usize = 3;
/// Of the perceptual network's features, those that the critic looks at.
const STAGES: [usize; 3] = [2, 3, 5];

impl<'a> RefinePhase<'a> {
    pub fn new(
        batches: &'a Batches<'a>,
        config: &Config,
        (batch, seed): (usize, u64),
        before: RefineStart,
        (means, look): (LossWeights, PerceptualLoss),
    ) -> Result<RefinePhase<'a>> {
        let device = batches.device();
        let tokenizer = PictureTokenizer::new(&before.encoder, config, device)?;
        // What composes knows how words, style and what is remembered belong together.
        let begin = before.refiner.unwrap_or_else(|| before.tokens.clone());
        let refiner = make(begin, seed, device, |weights| {
            Refiner::new(&weights.with_autograd(), config)
        })?;
        let generator = make(before.generator, seed, device, |weights| {
            Generator::new(&weights.with_autograd(), config)
        })?;
        let critic = make(Tensors::new(), seed, device, |weights| {
            Critic::new(&weights.with_autograd(), config)
        })?;
        let table = Table::new(batches, &tokenizer)?;
        Ok(RefinePhase {
            pool: Pool::new(&before.tokens, config, batches)?,
            table,
            refiner: TrainedNetwork::new(refiner, 0.9, CLIP)?.orthogonal(),
            generator: TrainedNetwork::new(generator, 0.9, CLIP)?.orthogonal(),
            critic: TrainedNetwork::new(critic, 0.5, CLIP)?,
            quantizer: tokenizer.quantizer,
            config: config.clone(),
            batches,
            batch,
            look,
            means,
        })
    }

    /// Tokens to refine, some of them composed, and which share of each picture's is.
    fn partly_composed(
        &self,
        index: &[usize],
        flip: &[bool],
        rng: &mut Rng,
    ) -> (FsqCodes, Vec<f32>) {
        let wide = self.config.codes_per_token();
        let (mut all, mut shares) = (Vec::new(), Vec::new());
        for (at, flip) in index.iter().zip(flip) {
            let (chance, share) = (rng.next_f64(), rng.next_f64());
            let share = match chance {
                chance if chance < COMPOSED => 1.0,
                chance if chance < PARTLY => share,
                _ => 0.0,
            };
            let real = self.table.tokens(*at, *flip);
            let composed = self.pool.of(*at, *flip);
            let mut used = 0;
            let drafts = composed.unwrap_or(real).chunks(wide);
            for (real, draft) in real.chunks(wide).zip(drafts) {
                let takes = rng.next_f64() < share;
                all.extend(if takes { draft } else { real });
                used += usize::from(takes && composed.is_some());
            }
            shares.push(used as f32 / TOKENS as f32);
        }
        (FsqCodes(all), shares)
    }

    /// What refiner and generator hear of a wish: some rows have no words, some no style.
    fn heard(&self, conditioning: &Conditioning, rng: &mut Rng) -> Result<[Conditioning; 2]> {
        let chances: Vec<f64> = (0..conditioning.len()).map(|_| rng.next_f64()).collect();
        let worded: Vec<bool> = chances.iter().map(|c| *c >= WORDLESS).collect();
        let styled = chances.iter().map(|c| *c >= WORDLESS + 2.0 * ANY_STYLE);
        let styles = conditioning.style.iter().zip(styled);
        let style: Vec<_> = styles
            .map(|(style, keeps)| style.filter(|_| keeps))
            .collect();
        let heard = |none: &Tensor| {
            Ok::<_, candle_core::Error>(Conditioning {
                text: worded_where(&worded, &conditioning.text, none)?,
                style: style.clone(),
                flip: conditioning.flip.clone(),
            })
        };
        let (refiner, generator) = (&self.refiner.network, &self.generator.network);
        Ok([heard(refiner.null_text())?, heard(generator.null_text())?])
    }

    /// What is painted of tokens, under the wish that each network hears.
    fn painted(
        &self,
        tokens: &FsqCodes,
        [refined, painted]: [&Conditioning; 2],
        shown: &[RetrievedExamples],
        drop: &Dropout,
    ) -> Result<Tensor> {
        let values = self.quantizer.token_values(tokens, self.batches.device())?;
        let refiner = &self.refiner.network;
        let values = refiner.forward((tokens, &values), refined, shown, drop)?;
        self.generator.network.forward(&values, painted)
    }

    /// One step of the critic. Returns its loss, and how badly it tells the words of real pictures.
    fn judge(
        &mut self,
        (real, drawn): (&[Tensor], &[Tensor]),
        conditioning: &Conditioning,
        (rate, number): (f64, u64),
    ) -> Result<[f64; 2]> {
        let (critic, style) = (&self.critic.network, conditioning.style_rows(0)?);
        let drawn: Vec<Tensor> = drawn.iter().map(Tensor::detach).collect();
        let of_real = critic.forward(real, &conditioning.text, &style)?;
        let of_drawn = critic.forward(&drawn, &conditioning.text, &style)?;
        let (words, manner) = mismatched(&conditioning.text, &style)?;
        let others = critic.forward(real, &words, &manner)?;
        let part = |false_: &[Tensor]| {
            mean(&of_real.scores, false_, |real, false_| {
                self.means.loss.discriminator(real, false_)
            })
        };
        let against = (part(&of_drawn.scores)? + (part(&others.scores)? * MISMATCHED)?)?;
        let told = told(&critic.caption_logits(&of_real.whole, &conditioning.text)?)?;
        let gradients = (&against + &told)?.backward()?;
        let losses = [scalar(&against)?, scalar(&told)?];
        self.critic.step(&gradients, rate, number)?;
        Ok(losses)
    }

    /// What the critic says of drawn pictures beside the real ones: the adversarial loss, how badly
    /// words are told by them, and how far below the real ones they score.
    fn criticism(
        &self,
        (real, drawn): (&[Tensor], &[Tensor]),
        conditioning: &Conditioning,
    ) -> Result<(Tensor, Tensor, f64)> {
        let (critic, style) = (&self.critic.network, conditioning.style_rows(0)?);
        let of_real = critic.forward(real, &conditioning.text, &style)?.scores;
        let of_real: Vec<Tensor> = of_real.iter().map(Tensor::detach).collect();
        let of_drawn = critic.forward(drawn, &conditioning.text, &style)?;
        let fooled = mean(&of_real, &of_drawn.scores, |real, drawn| {
            self.means.loss.generator(real, drawn)
        })?;
        let gap = mean(&of_real, &of_drawn.scores, |real, drawn| {
            (real - drawn)?.mean_all()
        })?;
        let told = told(&critic.caption_logits(&of_drawn.whole, &conditioning.text)?)?;
        Ok((fooled, told, scalar(&gap)?))
    }
}

/// How far what is painted is from the real pictures, those less of which more was composed.
fn held_to(real: &Tensor, painted: &Tensor, shares: &[f32]) -> Result<Tensor> {
    let held = shares.iter().map(|share| 1.0 - FREE as f32 * share);
    let held = Tensor::from_vec(held.collect(), (shares.len(), 1, 1, 1), real.device())?;
    reconstruction(&real.broadcast_mul(&held)?, &painted.broadcast_mul(&held)?)
}

/// Of the first half of a batch the words of another picture, of the second another's style; where that
/// is its own after all, real is told from real, which has no slope.
fn mismatched(text: &Tensor, style: &Tensor) -> Result<(Tensor, Tensor)> {
    let half = style.dim(0)? / 2;
    let halves = |first: &Tensor, second: &Tensor| {
        let rest = second.dim(0)? - half;
        Tensor::cat(
            &[first.narrow(0, 0, half)?, second.narrow(0, half, rest)?],
            0,
        )
    };
    let text_of_others = text.roll(1, 0)?;
    Ok((
        halves(&text_of_others, text)?,
        halves(style, &style.roll(1, 0)?)?,
    ))
}

/// The mean over all scores of what pairs of them cost.
fn mean(
    real: &[Tensor],
    false_: &[Tensor],
    loss: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let losses = real
        .iter()
        .zip(false_)
        .map(|(real, false_)| loss(real, false_));
    let losses = losses.collect::<Result<Vec<Tensor>>>()?;
    Tensor::stack(&losses, 0)?.mean_all()
}

/// How badly each picture is told from the others by its words: logits `[batch, batch]`.
fn told(logits: &Tensor) -> Result<Tensor> {
    let own = Tensor::arange(0u32, logits.dim(0)? as u32, logits.device())?;
    cross_entropy(logits, &own)
}

fn looked_at(features: &[Tensor]) -> Vec<Tensor> {
    STAGES.map(|stage| features[stage].clone()).to_vec()
}

impl Phase for RefinePhase<'_> {
    fn name(&self) -> &'static str {
        "refine"
    }

    fn parts(&self) -> std::result::Result<Parts, TrainError> {
        let mut parts = Parts::new();
        self.refiner.keep("refiner", &mut parts)?;
        self.generator.keep("generator", &mut parts)?;
        self.critic.keep("critic", &mut parts)?;
        parts.insert("composed".into(), self.pool.keep()?);
        Ok(parts)
    }

    fn restore(&mut self, mut parts: Parts) -> std::result::Result<(), TrainError> {
        self.refiner.restore("refiner", &mut parts)?;
        self.generator.restore("generator", &mut parts)?;
        self.critic.restore("critic", &mut parts)?;
        Ok(self.pool.restore(parts.remove("composed"))?)
    }

    fn step(
        &mut self,
        number: u64,
        rate: f64,
        rng: &mut Rng,
    ) -> std::result::Result<Metrics, TrainError> {
        let drawn = self.batches.draw(self.batch, rng)?;
        let (real, conditioning) = (&drawn.pictures, &drawn.conditioning);
        self.pool.compose(self.batches, &drawn, &self.table, rng)?;
        let (tokens, shares) = self.partly_composed(&drawn.index, &conditioning.flip, rng);
        let share = (SHOWN, &self.config);
        let shown = self.table.shown(self.batches, &drawn, share, rng);
        let [refined, under] = self.heard(conditioning, rng)?;
        let device = self.batches.device();
        let chance = RefCell::new(rng);
        let mask = |shape: &[usize]| dropout(shape, &mut chance.borrow_mut(), device);
        let painted = self.painted(&tokens, [&refined, &under], &shown, &Dropout::Masks(&mask))?;

        let by = a_little(MOVED, &mut chance.borrow_mut());
        let wanted = self.look.features(&moved(&real.detach(), by)?)?;
        let found = self.look.features(&moved(&painted, by)?)?;
        let both = (&looked_at(&wanted)[..], &looked_at(&found)[..]);
        let [judged, told] = self.judge(both, conditioning, (rate, number))?;
        let (fooled, belongs, gap) = self.criticism(both, conditioning)?;

        let same = held_to(real, &painted, &shares)?;
        let unlike = apart(&wanted, &found)?;
        let against = (&fooled * self.means.adversarial)?;
        let against = (against + (&belongs * self.means.belonging)?)?;
        let ramp = (number as f64 / RAMP).min(1.0);
        let loss = ((&same + (&unlike * self.look.weight())?)? + (against * ramp)?)?;
        let gradients = loss.backward()?;
        self.refiner.step(&gradients, rate, number)?;
        self.generator.step(&gradients, rate, number)?;
        Ok(vec![
            ("loss", scalar(&same)?),
            ("unlike", scalar(&unlike)?),
            ("critic", judged),
            ("told", told),
            ("generator", scalar(&fooled)?),
            ("belongs", scalar(&belongs)?),
            ("gap", gap),
        ])
    }

    /// Real pictures, each above what is painted of what was composed of its words, as it was and
    /// refined.
    fn sheet(&self) -> std::result::Result<SampleSheet, TrainError> {
        const ROW: usize = 12;
        let device = self.batches.device();
        let pictures = self.batches.pictures();
        let step = (pictures.len() / ROW).max(1);
        let index: Vec<usize> = (0..pictures.len()).step_by(step).take(ROW).collect();
        let batch = self.batches.labelled(&index)?;
        let conditioning = &batch.conditioning;
        let others = |at: &usize| self.table.others(self.batches, (*at, false), || true);
        let shown: Vec<RetrievedExamples> = index.iter().map(others).collect();
        let mut rngs: Vec<Rng> = index.iter().map(|_| Rng::new(1)).collect();
        let tokens = self
            .pool
            .write((conditioning, &shown), &Sampling::default(), &mut rngs)?;
        let values = self.quantizer.token_values(&tokens, device)?;
        let generator = fixed(&self.generator.mean, device, |w| {
            Generator::new(w, &self.config)
        })?;
        let refiner = fixed(&self.refiner.mean, device, |w| {
            Refiner::new(w, &self.config)
        })?;
        let refined = refiner.forward((&tokens, &values), conditioning, &shown, &Dropout::None)?;
        Ok(SampleSheet {
            size: pictures.size as usize,
            rows: vec![
                bytes(&batch.pictures)?,
                bytes(&generator.forward(&values, conditioning)?)?,
                bytes(&generator.forward(&refined, conditioning)?)?,
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn half_of_a_batch_is_shown_beside_other_words_and_half_beside_another_style() {
        let cpu = &Device::Cpu;
        let text = Tensor::new(&[[0f32], [1.0], [2.0], [3.0], [4.0]], cpu).unwrap();
        let style = Tensor::new(&[5u32, 6, 7, 8, 9], cpu).unwrap();
        let (words, manner) = mismatched(&text, &style).unwrap();
        let words = words.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(words, [4.0, 0.0, 2.0, 3.0, 4.0]);
        assert_eq!(manner.to_vec1::<u32>().unwrap(), [5, 6, 6, 7, 8]);
    }
}
