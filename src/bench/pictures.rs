//! Evaluates the pictures that the illuminator draws: how often a classifier trained on real
//! pictures recognizes them, how far they are from real pictures, how diverse they are, and whether
//! they merely repeat training pictures.
//!
//! The features come from EfficientNet-lite0 (`train::features`), and the formulas from
//! `train::measures`. Silhouettes (the style `ink`) are excluded, since each concept has only one
//! silhouette, so none can be held out.

mod compare;
mod features;

use crate::engine::image_pipeline::{DrawError, ImagePipeline};
use base::progress::{Cancelled, Observer};
use compare::NEIGHBOURS;
use imagegen::sampling::Sampling;
use sampler::rng::Rng;
use serde::Serialize;
use train::data::dataset::Dataset;
use train::data::split::Split;
use train::features::{FeatureExtractor, WIDTH};
use train::measures::{Classifier, Features};

/// How many pictures to evaluate, and how to draw them.
#[derive(Clone, Copy, Debug)]
pub struct EvaluationSettings {
    /// The number of pictures to draw for each of the three splits: seen pictures, held-out pairs
    /// and held-out concepts.
    pub drawn: usize,
    /// The maximum number of real pictures to which the classifier is fitted.
    pub learned: usize,
    pub seed: u64,
    pub sampling: Sampling,
    /// The share (0 to 1) of a real picture's tokens that are predicted again. At 0, only the
    /// encoder and the decoder are evaluated, which gives an upper bound for the token Transformer.
    /// If None, pictures are drawn from captions instead.
    pub redrawn: Option<f64>,
}

/// The concept and the style of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    concept: u32,
    style: u32,
}

/// The number of evaluated pictures, and the shares of these pictures that the classifier
/// recognized.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Recognized {
    pub pictures: usize,
    pub top1: f64,
    pub top5: f64,
    pub style: f64,
    /// The share of pictures whose own caption ranks first among 100 captions.
    pub r_precision: f64,
}

/// How often the classifier recognized drawn pictures, and real pictures of the same concepts and
/// styles.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Compared {
    pub drawn: Recognized,
    pub real: Recognized,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub features: &'static str,
    /// The number of concepts from which the classifier chooses.
    pub concepts: usize,
    pub seen: Compared,
    pub held_out_pairs: Compared,
    pub held_out_concepts: Compared,
    /// The kernel distance between drawn and real pictures: its mean and standard deviation.
    pub kernel_distance: [f64; 2],
    /// The kernel distance between two sets of real pictures: its mean and standard deviation.
    pub kernel_distance_of_real: [f64; 2],
    pub frechet_distance: f64,
    pub frechet_distance_of_real: f64,
    pub entropy_score: f64,
    pub entropy_score_of_real: f64,
    pub precision: f64,
    pub recall: f64,
    /// The mean distance between pictures drawn for the same prompt.
    pub diversity: f64,
    /// The mean distance between real pictures of the same concept in different styles.
    pub diversity_of_real: f64,
    /// The share of drawn pictures whose nearest training picture has the requested concept and
    /// style.
    pub nearest_is_asked: f64,
    /// The median distance of drawn pictures from their nearest training pictures, divided by the
    /// median distance of held-out real pictures from their nearest training pictures.
    pub nearest_distance: f64,
}

/// The reason why the evaluation failed.
#[derive(Debug, thiserror::Error)]
pub enum PicturesError {
    #[error(transparent)]
    Features(#[from] train::TrainError),
    #[error(transparent)]
    Model(#[from] llm::ModelError),
    #[error(transparent)]
    Image(#[from] imagegen::ImageError),
    #[error(transparent)]
    Draw(#[from] DrawError),
    #[error("The dataset has too few pictures to evaluate; rebuild it with `illumine train data`")]
    Few,
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// The number of captions that are ranked for each picture to compute R-precision.
const CAPTIONS: usize = 100;
/// The strength of the regularization of the classifier's ridge regression.
const STRENGTH: f64 = 30.0;
const SILHOUETTES: &str = "ink";

/// The state of an evaluation: its inputs, its settings, and the concepts to choose from.
struct Evaluation<'a> {
    pipeline: &'a ImagePipeline,
    extractor: &'a FeatureExtractor,
    pictures: &'a Dataset,
    settings: EvaluationSettings,
    /// The concepts from which the classifier chooses. `embeddings` contains their embeddings in
    /// the same order.
    concepts: Vec<u32>,
    embeddings: Vec<Vec<f32>>,
    rng: Rng,
}

/// Evaluates the pictures that an image pipeline draws.
pub fn evaluate(
    pipeline: &ImagePipeline,
    extractor: &FeatureExtractor,
    pictures: &Dataset,
    settings: EvaluationSettings,
    observer: &dyn Observer,
) -> Result<Report, PicturesError> {
    let mut evaluation = Evaluation::new(pipeline, extractor, pictures, settings)?;
    let mut trained = evaluation.part(Split::Train);
    evaluation.shuffle(&mut trained);
    let [seen, pairs, new] = evaluation.asked(&mut trained)?;
    let learned = &trained[..trained.len().min(settings.learned)];
    let real = evaluation.features_of_real(learned, observer)?;
    let classifier = evaluation.classifier(learned, &real)?;
    let mut report = Report {
        features: "EfficientNet-lite0, 128 pixels",
        concepts: evaluation.concepts.len(),
        ..Report::default()
    };
    let (mut all_drawn, mut all_real, mut all_asked) = (Vec::new(), Vec::new(), Vec::new());
    for (some, compared) in [
        (&seen, &mut report.seen),
        (&pairs, &mut report.held_out_pairs),
        (&new, &mut report.held_out_concepts),
    ] {
        let asked: Vec<Target> = some.iter().map(|at| evaluation.label(*at)).collect();
        let drawn = evaluation.features_of_drawn(some, observer)?;
        let real = evaluation.features_of_real(some, observer)?;
        compared.drawn = evaluation.recognized(&classifier, &drawn, &asked)?;
        compared.real = evaluation.recognized(&classifier, &real, &asked)?;
        all_drawn.extend(drawn.values);
        all_real.extend(real.values);
        all_asked.extend(asked);
    }
    let width = WIDTH;
    let (drawn, held) = (
        Features {
            width,
            values: all_drawn,
        },
        Features {
            width,
            values: all_real,
        },
    );
    evaluation.compare(&mut report, &classifier, &drawn, &held, &real)?;
    evaluation.copies(&mut report, &drawn, &held, &real, (&all_asked, learned))?;
    evaluation.variety(&mut report, &seen, &held, &all_asked, observer)?;
    Ok(report)
}

impl<'a> Evaluation<'a> {
    fn new(
        pipeline: &'a ImagePipeline,
        extractor: &'a FeatureExtractor,
        pictures: &'a Dataset,
        settings: EvaluationSettings,
    ) -> Result<Evaluation<'a>, PicturesError> {
        let mut evaluation = Evaluation {
            pipeline,
            extractor,
            pictures,
            settings,
            concepts: Vec::new(),
            embeddings: Vec::new(),
            rng: Rng::new(settings.seed),
        };
        let usable = (0..pictures.len()).filter(|at| evaluation.usable(*at));
        let mut concepts: Vec<u32> = usable.map(|at| pictures.concept[at]).collect();
        concepts.sort_unstable();
        concepts.dedup();
        let labels = concepts.iter().map(|concept| evaluation.words(*concept));
        let labels: Vec<String> = labels.map(str::to_string).collect();
        let rows = pipeline.encoder.embed_all(&labels, &mut |_| true)?;
        let width = llm::sentence_encoder::WIDTH;
        let rows = rows.unwrap_or_default();
        evaluation.embeddings = rows.chunks_exact(width).map(<[f32]>::to_vec).collect();
        evaluation.concepts = concepts;
        Ok(evaluation)
    }

    fn words(&self, concept: u32) -> &'a str {
        &self.pictures.concepts[concept as usize].label
    }

    fn usable(&self, at: usize) -> bool {
        let style = self.pictures.style[at] as usize;
        self.pictures.tone[at] == 0 && self.pictures.styles[style] != SILHOUETTES
    }

    fn part(&self, part: Split) -> Vec<usize> {
        let all = 0..self.pictures.len();
        all.filter(|at| self.pictures.split[*at] == part && self.usable(*at))
            .collect()
    }

    fn label(&self, at: usize) -> Target {
        Target {
            concept: self.pictures.concept[at],
            style: self.pictures.style[at],
        }
    }

    fn shuffle(&mut self, order: &mut [usize]) {
        for at in (1..order.len()).rev() {
            let other = (self.rng.next_u64() % (at as u64 + 1)) as usize;
            order.swap(at, other);
        }
    }

    /// Chooses random pictures from each split. Their concepts and styles will be drawn. Pictures
    /// chosen from the training split are removed from `trained`, so that the classifier is not
    /// fitted to them.
    fn asked(&mut self, trained: &mut Vec<usize>) -> Result<[Vec<usize>; 3], PicturesError> {
        let most = self.settings.drawn;
        let (held, new) = (
            self.part(Split::HeldOutPair),
            self.part(Split::HeldOutConcept),
        );
        let mut some = |mut all: Vec<usize>| {
            self.shuffle(&mut all);
            all.truncate(most);
            all
        };
        let (pairs, new) = (some(held), some(new));
        let seen = trained.split_off(trained.len() - most.min(trained.len() / 2));
        match seen.len().min(pairs.len()).min(new.len()) > NEIGHBOURS {
            true => Ok([seen, pairs, new]),
            false => Err(PicturesError::Few),
        }
    }

    /// Fits the classifier to the real pictures at `learned`. It maps the features of a picture to
    /// the embedding of the concept and to one score for each style. The score should be 1 for the
    /// style of the picture, and 0 for all other styles.
    fn classifier(
        &self,
        learned: &[usize],
        features: &Features,
    ) -> Result<Classifier, PicturesError> {
        let styles = self.pictures.styles.len();
        let mut values = Vec::new();
        for at in learned {
            let Target { concept, style } = self.label(*at);
            let place = self.concepts.binary_search(&concept).unwrap_or(0);
            values.extend(&self.embeddings[place]);
            values.extend((0..styles).map(|other| f32::from(u8::from(other == style as usize))));
        }
        let targets = Features::new(llm::sentence_encoder::WIDTH + styles, &values);
        Ok(Classifier::fit(features, &targets, STRENGTH)?)
    }

    fn recognized(
        &self,
        classifier: &Classifier,
        features: &Features,
        asked: &[Target],
    ) -> Result<Recognized, PicturesError> {
        let width = llm::sentence_encoder::WIDTH;
        let taken = classifier.apply(features)?;
        let mut found = Recognized {
            pictures: asked.len(),
            ..Recognized::default()
        };
        let one = 1.0 / asked.len().max(1) as f64;
        for (at, asked) in asked.iter().enumerate() {
            let (words, styles) = taken.row(at).split_at(width);
            let near = |place: usize| -> f64 {
                let pairs = self.embeddings[place].iter().zip(words);
                pairs.map(|(a, b)| f64::from(*a) * b).sum()
            };
            let own = self.concepts.binary_search(&asked.concept).unwrap_or(0);
            let wanted = near(own);
            let places = 0..self.concepts.len();
            let nearer = places
                .filter(|place| *place != own && near(*place) >= wanted)
                .count();
            found.top1 += if nearer == 0 { one } else { 0.0 };
            found.top5 += if nearer < 5 { one } else { 0.0 };
            // 99 other captions, spread evenly over all concepts.
            let step = (self.concepts.len() / CAPTIONS).max(1);
            let others = (1..CAPTIONS).map(|n| (own + n * step) % self.concepts.len());
            let first = others
                .filter(|place| *place != own)
                .all(|place| near(place) < wanted);
            found.r_precision += if first { one } else { 0.0 };
            let best = (0..styles.len()).max_by(|a, b| styles[*a].total_cmp(&styles[*b]));
            found.style += if best == Some(asked.style as usize) {
                one
            } else {
                0.0
            };
        }
        Ok(found)
    }
}
