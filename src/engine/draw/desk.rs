//! One request on the drawing desk: each way of drawing, and what is noted of every picture.

use super::hear::Heard;
use super::{Artist, DrawError, GoOn, Own, PICTURES, TOGETHER};
use crate::model::ImageError;
use crate::model::gan::code::Code;
use crate::model::gan::concepts::Match;
use crate::model::gan::sampling::Sampling;
use crate::model::gan::{Drawn, Illuminator, Order, Picture};
use crate::story::picture::{Drawing, End, Layer, PictureRequest, Provenance, Sight, Way};
use crate::story::progress::Observer;
use crate::story::untrusted::{clean, clean_line};

/// One request while it is being drawn.
pub(super) struct Desk<'a> {
    pub(super) artist: &'a Artist,
    pub(super) request: &'a PictureRequest,
    pub(super) sampling: Sampling,
    pub(super) done: Vec<Drawing>,
    pub(super) total: usize,
    pub(super) observer: &'a dyn Observer,
}

/// What leads a picture.
pub(super) struct Lead<'a> {
    pub(super) prompt: &'a str,
    pub(super) style: Option<u32>,
    pub(super) seed: u64,
}

impl Desk<'_> {
    /// Says how many pictures are done.
    pub(super) fn drawn(&self, done: usize, total: usize) {
        let total = Some(total as u64);
        self.observer.progress("Drawing", done as u64, total);
    }

    /// One picture for each style and seed.
    pub(super) fn words(&mut self, prompt: &str) -> Result<bool, DrawError> {
        let styles = self.artist.styles(&self.request.style, None)?;
        let heard = self.artist.hear(prompt)?;
        self.each(
            prompt,
            &heard,
            &styles,
            &|_| Way::Words,
            |it, order, go_on| it.draw(order, go_on),
        )
    }

    pub(super) fn vary(
        &mut self,
        code: &Code,
        led: &Sight,
        amount: f64,
    ) -> Result<bool, DrawError> {
        let (prompt, own) = sight(led);
        let styles = self.artist.styles(&self.request.style, own)?;
        let heard = self.artist.hear(prompt)?;
        let spelled = code.spell();
        let way = |_: u64| Way::Vary {
            tokens: spelled.clone(),
            amount,
        };
        self.each(prompt, &heard, &styles, &way, |it, order, go_on| {
            it.vary(order, code, amount, go_on)
        })
    }

    pub(super) fn restyle(&mut self, code: &Code, words: &str) -> Result<bool, DrawError> {
        let styles = self.artist.styles(&self.request.style, None)?;
        let heard = self.artist.hear(words)?;
        let spelled = code.spell();
        let way = |_: u64| Way::Restyle {
            tokens: spelled.clone(),
        };
        self.each(words, &heard, &styles, &way, |it, order, go_on| {
            it.restyle(order, code, go_on)
        })
    }

    /// The seeds of each style, a few at once.
    fn each(
        &mut self,
        prompt: &str,
        heard: &Heard,
        styles: &[Option<u32>],
        way: &dyn Fn(u64) -> Way,
        make: impl Fn(&Illuminator, &Order, GoOn) -> Result<Option<Drawn>, ImageError>,
    ) -> Result<bool, DrawError> {
        self.begin(styles.len() * self.request.seeds.len())?;
        let observer = self.observer;
        let go_on = &mut || !observer.is_cancelled();
        for style in styles {
            for seeds in self.request.seeds.chunks(TOGETHER) {
                let order = self.order(heard, *style, seeds);
                let Some(drawn) = make(&self.artist.illuminator, &order, go_on)? else {
                    return Ok(false);
                };
                for (at, seed) in seeds.iter().enumerate() {
                    let lead = Lead {
                        prompt,
                        style: *style,
                        seed: *seed,
                    };
                    let drawing = self.drawing(&lead, &drawn, at, way(*seed));
                    self.done.push(drawing);
                }
                self.drawn(self.done.len(), self.total);
            }
        }
        Ok(true)
    }

    /// Pictures at places on the way from one to the other.
    pub(super) fn lerp(
        &mut self,
        from: &Sight,
        to: &Sight,
        places: &[f64],
    ) -> Result<bool, DrawError> {
        self.begin(places.len())?;
        let observer = self.observer;
        let go_on = &mut || !observer.is_cancelled();
        let (one, other) = (self.end(from)?, self.end(to)?);
        let order = |(end, style): &(End, Option<u32>)| {
            let heard = self.artist.hear(&end.prompt)?;
            Ok::<Order, DrawError>(self.order(&heard, *style, &[end.seed]))
        };
        let (first, last) = (order(&one)?, order(&other)?);
        for at in places {
            let illuminator = &self.artist.illuminator;
            let Some(drawn) = illuminator.lerp(&first, &last, *at, go_on)? else {
                return Ok(false);
            };
            let lead = Lead {
                prompt: &one.0.prompt,
                style: one.1,
                seed: one.0.seed,
            };
            let way = Way::Lerp {
                other: Box::new(other.0.clone()),
                at: *at,
            };
            let drawing = self.drawing(&lead, &drawn, 0, way);
            self.done.push(drawing);
            self.drawn(self.done.len(), self.total);
        }
        Ok(true)
    }

    /// Two prompts share their chance, so that they differ in words alone.
    fn end(&self, sight: &Sight) -> Result<(End, Option<u32>), DrawError> {
        let (prompt, own) = self::sight(sight);
        if prompt.trim().is_empty() {
            return Err(DrawError::NoWords);
        }
        let styles = self.artist.styles(&self.request.style, own)?;
        let style = styles.first().copied().flatten();
        let seed = match sight {
            Sight::Picture(how) => how.seed,
            Sight::Prompt(_) => self.request.seeds.first().copied().unwrap_or_default(),
        };
        let end = End {
            prompt: prompt.to_string(),
            style: self.artist.style_name(style),
            seed,
        };
        Ok((end, style))
    }

    pub(super) fn begin(&mut self, count: usize) -> Result<(), DrawError> {
        if count > PICTURES {
            return Err(DrawError::Many(count));
        }
        self.total = count;
        self.drawn(0, count);
        Ok(())
    }

    pub(super) fn order(&self, heard: &Heard, style: Option<u32>, seeds: &[u64]) -> Order {
        Order {
            embedding: heard.words.clone(),
            subject: heard.subject.clone(),
            style,
            seeds: seeds.to_vec(),
            sampling: self.sampling,
        }
    }

    fn drawing(&self, lead: &Lead, drawn: &Drawn, at: usize, way: Way) -> Drawing {
        let layer = |picture: &Picture| Layer {
            size: picture.size,
            pixels: picture.pixels.clone(),
        };
        Drawing {
            layers: drawn.pictures.get(at).map(layer).into_iter().collect(),
            how: Provenance {
                tokens: drawn.codes.get(at).map(Code::spell).unwrap_or_default(),
                way,
                ..self.how(lead, &drawn.concepts)
            },
        }
    }

    pub(super) fn how(&self, lead: &Lead, concepts: &[Match]) -> Provenance {
        Provenance {
            prompt: clean(lead.prompt).into_owned(),
            concepts: named(concepts),
            style: self.artist.style_name(lead.style),
            seed: lead.seed,
            steps: self.sampling.steps,
            temperature: self.sampling.temperature,
            guidance: self.sampling.guidance,
            recall: self.sampling.recall,
            size: self.request.size,
            background: self.request.background.clone(),
            enlarged: self.request.enlarged,
            weights: self.artist.illuminator.sha256.clone(),
            backend: self.artist.backend.clone(),
            build: self.request.build.clone(),
            ..Provenance::default()
        }
    }
}

fn sight(sight: &Sight) -> (&str, Own<'_>) {
    match sight {
        Sight::Prompt(words) => (words, None),
        Sight::Picture(how) => (&how.prompt, Some(how.style.as_deref())),
    }
}

pub(super) fn named(concepts: &[Match]) -> Vec<(String, f32)> {
    let pair = |found: &Match| (clean_line(&found.label), found.similarity);
    concepts.iter().map(pair).collect()
}
