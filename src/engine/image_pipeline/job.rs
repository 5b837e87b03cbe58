//! An image job: draws the pictures of one request, and creates the provenance of each picture.

use super::prompt::PromptEmbedding;
use super::{BATCH, DrawError, ImagePipeline, KeepGoing, MAX_PICTURES, PictureStyle};
use base::progress::Observer;
use base::untrusted::{clean, clean_line};
use imagegen::ImageError;
use imagegen::concepts::Match;
use imagegen::encoded::EncodedPicture;
use imagegen::sampling::Sampling;
use imagegen::{GeneratedImages, Illuminator, ImageSpec, Picture};
use story::picture::{
    Derivation, DrawnPicture, Layer, LerpTarget, PictureProvenance, PictureRequest, PromptOrPicture,
};

/// A request for pictures, and the pictures that are finished.
pub(super) struct ImageJob<'a> {
    pub(super) pipeline: &'a ImagePipeline,
    pub(super) request: &'a PictureRequest,
    pub(super) sampling: Sampling,
    pub(super) done: Vec<DrawnPicture>,
    pub(super) total: usize,
    pub(super) observer: &'a dyn Observer,
}

/// The prompt, style and seed of a picture, for its provenance.
pub(super) struct PictureLabel<'a> {
    pub(super) prompt: &'a str,
    pub(super) style: Option<u32>,
    pub(super) seed: u64,
}

impl ImageJob<'_> {
    /// Reports how many pictures are finished.
    pub(super) fn report_progress(&self) {
        let (done, total) = (self.done.len() as u64, self.total as u64);
        self.observer.progress("Drawing", done, Some(total));
    }

    /// Draws one picture of the prompt for each style and seed. Returns false if the request was
    /// stopped.
    pub(super) fn words(&mut self, prompt: &str) -> Result<bool, DrawError> {
        let styles = self.pipeline.style_numbers(&self.request.style, None)?;
        let embedding = self.pipeline.embed_prompt(prompt)?;
        self.each(
            prompt,
            &embedding,
            &styles,
            &|_| Derivation::Prompt,
            |it, spec, keep_going| it.draw(spec, keep_going),
        )
    }

    pub(super) fn vary(
        &mut self,
        code: &EncodedPicture,
        led: &PromptOrPicture,
        amount: f64,
    ) -> Result<bool, DrawError> {
        let (prompt, own) = sight(led);
        let styles = self.pipeline.style_numbers(&self.request.style, own)?;
        let embedding = self.pipeline.embed_prompt(prompt)?;
        let spelled = code.to_hex();
        let way = |_: u64| Derivation::Vary {
            tokens: spelled.clone(),
            amount,
        };
        self.each(prompt, &embedding, &styles, &way, |it, spec, keep_going| {
            it.vary(spec, code, amount, keep_going)
        })
    }

    pub(super) fn restyle(
        &mut self,
        code: &EncodedPicture,
        words: &str,
    ) -> Result<bool, DrawError> {
        let styles = self.pipeline.style_numbers(&self.request.style, None)?;
        let embedding = self.pipeline.embed_prompt(words)?;
        let spelled = code.to_hex();
        let way = |_: u64| Derivation::Restyle {
            tokens: spelled.clone(),
        };
        self.each(words, &embedding, &styles, &way, |it, spec, keep_going| {
            it.restyle(spec, code, keep_going)
        })
    }

    /// Generates a picture for each style and seed by calling `make` for each batch of pictures.
    /// Returns false if the request was stopped.
    fn each(
        &mut self,
        prompt: &str,
        embedding: &PromptEmbedding,
        styles: &[Option<u32>],
        way: &dyn Fn(u64) -> Derivation,
        make: impl Fn(
            &Illuminator,
            &ImageSpec,
            KeepGoing,
        ) -> Result<Option<GeneratedImages>, ImageError>,
    ) -> Result<bool, DrawError> {
        self.start(styles.len() * self.request.seeds.len())?;
        let observer = self.observer;
        let keep_going = &mut || !observer.is_cancelled();
        for style in styles {
            for seeds in self.request.seeds.chunks(BATCH) {
                let spec = self.image_spec(embedding, *style, seeds);
                let Some(generated) = make(&self.pipeline.illuminator, &spec, keep_going)? else {
                    return Ok(false);
                };
                for (at, seed) in seeds.iter().enumerate() {
                    let label = PictureLabel {
                        prompt,
                        style: *style,
                        seed: *seed,
                    };
                    let drawing = self.drawing(&label, &generated, at, way(*seed));
                    self.done.push(drawing);
                }
                self.report_progress();
            }
        }
        Ok(true)
    }

    /// Draws pictures at given positions between two ends, each of which is a prompt or a picture.
    /// Returns false if the request was stopped.
    pub(super) fn lerp(
        &mut self,
        from: &PromptOrPicture,
        to: &PromptOrPicture,
        places: &[f64],
    ) -> Result<bool, DrawError> {
        self.start(places.len())?;
        let (one, other) = (self.endpoint(from)?, self.endpoint(to)?);
        let spec_of = |(end, style): &(LerpTarget, Option<u32>)| {
            let embedding = self.pipeline.embed_prompt(&end.prompt)?;
            Ok::<ImageSpec, DrawError>(self.image_spec(&embedding, *style, &[end.seed]))
        };
        let (first, last) = (spec_of(&one)?, spec_of(&other)?);
        let observer = self.observer;
        let keep_going = &mut || !observer.is_cancelled();
        for at in places {
            let illuminator = &self.pipeline.illuminator;
            let Some(generated) = illuminator.interpolate(&first, &last, *at, keep_going)? else {
                return Ok(false);
            };
            let label = PictureLabel {
                prompt: &one.0.prompt,
                style: one.1,
                seed: one.0.seed,
            };
            let way = Derivation::Lerp {
                other: Box::new(other.0.clone()),
                at: *at,
            };
            let drawing = self.drawing(&label, &generated, 0, way);
            self.done.push(drawing);
            self.report_progress();
        }
        Ok(true)
    }

    /// Returns one end of an interpolation, and the index of its style. If both ends are prompts,
    /// they get the same seed, so that they differ only in their text.
    fn endpoint(&self, sight: &PromptOrPicture) -> Result<(LerpTarget, Option<u32>), DrawError> {
        let (prompt, own) = self::sight(sight);
        if prompt.trim().is_empty() {
            return Err(DrawError::NoWords);
        }
        let styles = self.pipeline.style_numbers(&self.request.style, own)?;
        let style = styles.first().copied().flatten();
        let seed = match sight {
            PromptOrPicture::Picture(how) => how.seed,
            PromptOrPicture::Prompt(_) => self.request.seeds.first().copied().unwrap_or_default(),
        };
        let end = LerpTarget {
            prompt: prompt.to_string(),
            style: self.pipeline.style_name(style),
            seed,
        };
        Ok((end, style))
    }

    pub(super) fn start(&mut self, count: usize) -> Result<(), DrawError> {
        if count > MAX_PICTURES {
            return Err(DrawError::Many(count));
        }
        self.total = count;
        self.report_progress();
        Ok(())
    }

    pub(super) fn image_spec(
        &self,
        embedding: &PromptEmbedding,
        style: Option<u32>,
        seeds: &[u64],
    ) -> ImageSpec {
        ImageSpec {
            embedding: embedding.words.clone(),
            subject: embedding.subject.clone(),
            style,
            seeds: seeds.to_vec(),
            sampling: self.sampling,
        }
    }

    fn drawing(
        &self,
        label: &PictureLabel,
        generated: &GeneratedImages,
        at: usize,
        way: Derivation,
    ) -> DrawnPicture {
        let layer = |picture: &Picture| Layer {
            size: picture.size,
            pixels: picture.pixels.clone(),
        };
        DrawnPicture {
            layers: generated.pictures.get(at).map(layer).into_iter().collect(),
            provenance: PictureProvenance {
                tokens: generated
                    .encoded
                    .get(at)
                    .map(EncodedPicture::to_hex)
                    .unwrap_or_default(),
                way,
                ..self.provenance(label, &generated.concepts)
            },
        }
    }

    pub(super) fn provenance(&self, label: &PictureLabel, concepts: &[Match]) -> PictureProvenance {
        PictureProvenance {
            prompt: clean(label.prompt).into_owned(),
            concepts: concept_pairs(concepts),
            style: self.pipeline.style_name(label.style),
            seed: label.seed,
            steps: self.sampling.steps,
            temperature: self.sampling.temperature,
            guidance: self.sampling.guidance,
            retrieval_strength: self.sampling.retrieval_strength,
            size: self.request.size,
            background: self.request.background.clone(),
            enlarged: self.request.enlarged,
            weights: self.pipeline.illuminator.sha256.clone(),
            backend: self.pipeline.backend.clone(),
            build: self.request.build.clone(),
            ..PictureProvenance::default()
        }
    }
}

fn sight(sight: &PromptOrPicture) -> (&str, PictureStyle<'_>) {
    match sight {
        PromptOrPicture::Prompt(words) => (words, None),
        PromptOrPicture::Picture(how) => (&how.prompt, Some(how.style.as_deref())),
    }
}

pub(super) fn concept_pairs(concepts: &[Match]) -> Vec<(String, f32)> {
    let pair = |found: &Match| (clean_line(&found.label), found.similarity);
    concepts.iter().map(pair).collect()
}
