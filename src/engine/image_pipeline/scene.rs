//! Draws scenes. A prompt is split into a backdrop and up to three subjects, and each of these
//! parts is drawn as a layer. The store combines the layers into one picture.

use super::DrawError;
use super::job::{ImageJob, PictureLabel, concept_pairs};
use sampler::rng::derive;
use story::picture::{Derivation, DrawnPicture, Layer, PictureProvenance};

/// The maximum number of subjects in front of a backdrop.
const SUBJECTS: usize = 3;
/// The backdrop that is used if the prompt names none.
const BACKDROP: &str = "sunrise over mountains";
/// Prepositions that introduce a place.
const PLACES: &[&str] = &[
    "in", "on", "at", "by", "under", "over", "through", "inside", "before", "behind", "above",
    "below", "across", "against", "beneath", "along", "within", "outside", "amid", "into", "onto",
    "upon",
];
/// Words that separate subjects.
const BETWEEN: &[&str] = &[
    "and", "with", "beside", "near", "while", "as", "or", "then", "that", "which", "who",
    "holding", "carrying", "wearing",
];
/// Articles and similar words, which are skipped at the start of a part.
const ARTICLES: &[&str] = &[
    "a", "an", "the", "his", "her", "its", "their", "my", "your", "our", "this", "that", "there",
    "is", "are", "was", "were", "of", "to", "some",
];

/// Splits a prompt into the parts of a scene. The backdrop is the first part.
pub fn parts(words: &str) -> Vec<String> {
    let (mut backdrop, mut subjects) = (None, Vec::new());
    let (mut part, mut place): (Vec<&str>, bool) = (Vec::new(), false);
    let mut end = |part: &mut Vec<&str>, place: bool| {
        let begin = part.iter().position(|word| !is_in(ARTICLES, word));
        let named = begin.map(|begin| part[begin..].join(" "));
        part.clear();
        match named {
            None => {}
            Some(named) if place && backdrop.is_none() => backdrop = Some(named),
            Some(named) => subjects.push(named),
        }
    };
    for word in words.split_whitespace() {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let (next_place, between) = (is_in(PLACES, bare), is_in(BETWEEN, bare));
        if next_place || between {
            end(&mut part, place);
            place = next_place;
            continue;
        }
        if !bare.is_empty() {
            part.push(bare);
        }
        if word.ends_with([',', ';', '.', ':', '!', '?']) {
            end(&mut part, place);
            place = false;
        }
    }
    end(&mut part, place);
    subjects.truncate(SUBJECTS);
    let backdrop = backdrop.unwrap_or_else(|| BACKDROP.to_string());
    std::iter::once(backdrop).chain(subjects).collect()
}

fn is_in(list: &[&str], word: &str) -> bool {
    list.iter().any(|known| known.eq_ignore_ascii_case(word))
}

impl ImageJob<'_> {
    /// Draws one scene for each style and seed. Returns false if the request was stopped.
    pub(super) fn scene(&mut self, prompt: &str) -> Result<bool, DrawError> {
        let parts = parts(prompt);
        let styles = self.pipeline.style_numbers(&self.request.style, None)?;
        self.start(styles.len() * self.request.seeds.len())?;
        for style in styles {
            for seed in self.request.seeds.clone() {
                let label = PictureLabel {
                    prompt,
                    style,
                    seed,
                };
                let Some(scene) = self.compose(&label, &parts)? else {
                    return Ok(false);
                };
                self.done.push(scene);
                self.report_progress();
            }
        }
        Ok(true)
    }

    fn compose(
        &mut self,
        label: &PictureLabel,
        parts: &[String],
    ) -> Result<Option<DrawnPicture>, DrawError> {
        let (mut layers, mut concepts) = (Vec::new(), Vec::new());
        for (at, part) in parts.iter().enumerate() {
            let embedding = self.pipeline.embed_prompt(part)?;
            let seed = derive(label.seed, at as u64);
            let spec = self.image_spec(&embedding, label.style, &[seed]);
            let observer = self.observer;
            let keep_going = &mut || !observer.is_cancelled();
            let Some(drawn) = self.pipeline.illuminator.draw(&spec, keep_going)? else {
                return Ok(None);
            };
            layers.extend(drawn.pictures.into_iter().map(|picture| Layer {
                size: picture.size,
                pixels: picture.pixels,
            }));
            concepts.extend(concept_pairs(&drawn.concepts).into_iter().take(1));
        }
        let how = PictureProvenance {
            concepts,
            way: Derivation::Scene {
                parts: parts.to_vec(),
            },
            ..self.provenance(label, &[])
        };
        Ok(Some(DrawnPicture {
            layers,
            provenance: how,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn a_place_is_the_backdrop_and_things_stand_before_it() {
        for (words, expected) in [
            ("a ship on the sea under the moon", "sea|ship|moon"),
            (
                "The old keeper and his dog, a lamp in the tower.",
                "tower|old keeper|dog|lamp",
            ),
            ("a red dragon", "sunrise over mountains|red dragon"),
            ("in the forest", "forest"),
            ("a cat, a dog, a fox, a bear in a wood", "wood|cat|dog|fox"),
            ("", "sunrise over mountains"),
        ] {
            assert_eq!(parts(words).join("|"), expected, "{words}");
        }
    }
}
