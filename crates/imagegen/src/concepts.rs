//! Concepts: the things for which the weights have a name and an embedding. Prompts are matched to
//! concepts.
//!
//! Each concept has aliases, which are its label and its own tags. Each alias has an embedding. The
//! similarity of a prompt to a concept is its similarity to the concept's nearest alias.

use super::config::Config;
use ::safetensors::SafeTensors;
use candle_core::{DType, Device, safetensors};

/// The table of concepts.
pub struct Concepts {
    labels: Vec<String>,
    /// For each alias, the index of its concept.
    concept: Vec<u32>,
    /// The unit embeddings of the aliases, one after another.
    embeddings: Vec<f32>,
    /// For each concept, the index of its first alias, which is its label.
    first: Vec<u32>,
    width: usize,
}

/// A concept and its cosine similarity to the prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    pub label: String,
    pub similarity: f32,
    pub(super) concept: u32,
}

/// The similarity of the best match, or 0 if there are no matches.
pub fn best_similarity(found: &[Match]) -> f32 {
    found.first().map_or(0.0, |nearest| nearest.similarity)
}

/// The maximum number of matches per prompt.
const MATCHES: usize = 4;
/// The factor by which similarities are multiplied before the softmax over the matches.
const SHARPNESS: f32 = 20.0;
/// The weight of a label's similarity in the ranking score. A concept's score is the similarity of
/// its nearest alias, plus this weight times the similarity of its label.
const LABEL_WEIGHT: f32 = 0.3;
/// The amount subtracted from the ranking score of a concept that the requested style does not
/// cover.
const STYLE_MISS_PENALTY: f32 = 0.15;
/// The weight of the prompt's own embedding in the blended embedding. The labels of the matches
/// have the remaining weight.
const PROMPT_SHARE: f32 = 0.5;

impl Concepts {
    /// Parses `concepts.safetensors`. The file contains the tensors `embeddings` `[aliases, width]`
    /// and `concept` `[aliases]`, and the labels in its header.
    pub fn parse(bytes: &[u8], config: &Config) -> Result<Concepts, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|why| why.to_string())?;
        let labels = header
            .metadata()
            .as_ref()
            .and_then(|words| words.get("labels"));
        let labels: Vec<String> = serde_json::from_str(labels.ok_or("it has no labels")?)
            .map_err(|why| why.to_string())?;
        let text = |why: candle_core::Error| why.to_string();
        let tensors = safetensors::load_buffer(bytes, &Device::Cpu).map_err(text)?;
        let tensor = |name: &str| tensors.get(name).ok_or(format!("it has no {name}"));
        let concept = tensor("concept")?.to_vec1::<u32>().map_err(text)?;
        let embeddings = tensor("embeddings")?.to_dtype(DType::F32).map_err(text)?;
        let whole = embeddings.dims() == [concept.len(), config.text];
        let first = first_aliases(&concept, labels.len());
        let first = first.ok_or("its concepts do not match its labels")?;
        if !whole || first.contains(&u32::MAX) || labels.is_empty() {
            return Err("its tables do not match each other".into());
        }
        Ok(Concepts {
            labels,
            concept,
            embeddings: embeddings
                .flatten_all()
                .and_then(|e| e.to_vec1())
                .map_err(text)?,
            first,
            width: config.text,
        })
    }

    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Iterates over all aliases. Each item is the label of the alias's concept and the unit
    /// embedding of the alias.
    pub fn aliases(&self) -> impl Iterator<Item = (&str, &[f32])> {
        let labels = self.concept.iter().map(|at| &self.labels[*at as usize]);
        let embeddings = self.embeddings.chunks_exact(self.width);
        labels.map(String::as_str).zip(embeddings)
    }

    /// Returns the concepts nearest to a unit embedding, best first. `fits` says whether the
    /// requested style covers a concept. Concepts that do not fit rank lower, and are left out if
    /// the best concept fits.
    pub fn nearest(&self, embedding: &[f32], fits: &dyn Fn(u32) -> bool) -> Vec<Match> {
        let mut best = vec![f32::NEG_INFINITY; self.labels.len()];
        let aliases = self.embeddings.chunks_exact(self.width);
        let like = aliases.map(|alias| alias.iter().zip(embedding).map(|(a, b)| a * b).sum());
        let like: Vec<f32> = like.collect();
        for (similarity, concept) in like.iter().zip(&self.concept) {
            let best = &mut best[*concept as usize];
            *best = best.max(*similarity);
        }
        let rank = |(at, best): (usize, &f32)| {
            let unfit = if fits(at as u32) {
                0.0
            } else {
                STYLE_MISS_PENALTY
            };
            best + LABEL_WEIGHT * like[self.first[at] as usize] - unfit
        };
        // Concepts can share an alias: "crown" must rank above "person with crown".
        let rank: Vec<f32> = best.iter().enumerate().map(rank).collect();
        let mut order: Vec<usize> = (0..best.len()).collect();
        order.sort_by(|a, b| rank[*b].total_cmp(&rank[*a]).then(a.cmp(b)));
        let fitting = order.first().is_some_and(|first| fits(*first as u32));
        let found = order.into_iter().take(MATCHES);
        let found = found.filter(|concept| !fitting || fits(*concept as u32));
        let found = found.map(|concept| Match {
            label: self.labels[concept].clone(),
            similarity: best[concept],
            concept: concept as u32,
        });
        found.collect()
    }

    /// Returns a copy of the table without the concepts whose label satisfies `removed`, and the
    /// new index of each concept. The new index of a removed concept is None.
    pub fn without(&self, removed: &dyn Fn(&str) -> bool) -> (Concepts, Vec<Option<u32>>) {
        let (mut labels, mut numbers) = (Vec::new(), Vec::new());
        for label in &self.labels {
            let kept = !removed(label);
            numbers.push(kept.then_some(labels.len() as u32));
            labels.extend(kept.then(|| label.clone()));
        }
        let (mut concept, mut embeddings) = (Vec::new(), Vec::new());
        let rows = self.embeddings.chunks_exact(self.width);
        for (own, row) in self.concept.iter().zip(rows) {
            if let Some(number) = numbers[*own as usize] {
                concept.push(number);
                embeddings.extend_from_slice(row);
            }
        }
        let kept = Concepts {
            first: first_aliases(&concept, labels.len()).unwrap_or_default(),
            labels,
            concept,
            embeddings,
            width: self.width,
        };
        (kept, numbers)
    }

    /// Computes the embedding that conditions the networks. It averages two vectors, the prompt's
    /// embedding and a weighted mean of the matched labels' embeddings, and scales the result to
    /// length one.
    pub fn blend(&self, embedding: &[f32], nearest: &[Match]) -> Vec<f32> {
        let best = nearest.first().map_or(0.0, |first| first.similarity);
        let weight = |m: &Match| (SHARPNESS * (m.similarity - best)).exp();
        let all: f32 = nearest.iter().map(weight).sum();
        let mut led: Vec<f32> = embedding.iter().map(|x| PROMPT_SHARE * x).collect();
        for found in nearest {
            let alias = self.first[found.concept as usize] as usize;
            let label = &self.embeddings[alias * self.width..][..self.width];
            let share = (1.0 - PROMPT_SHARE) * weight(found) / all;
            led.iter_mut().zip(label).for_each(|(x, y)| *x += share * y);
        }
        let length = led.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
        led.into_iter().map(|x| x / length).collect()
    }
}

/// Returns the index of the first alias of each concept, or `u32::MAX` for a concept without
/// aliases. Returns None if an alias refers to a concept that does not exist.
fn first_aliases(concept: &[u32], concepts: usize) -> Option<Vec<u32>> {
    let mut first = vec![u32::MAX; concepts];
    for (alias, concept) in concept.iter().enumerate().rev() {
        *first.get_mut(*concept as usize)? = alias as u32;
    }
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Tensor;
    use std::collections::HashMap;

    fn tiny() -> Config {
        let json = include_bytes!("../../../tests/reference/illuminator/config.json");
        let config = Config::parse(json).unwrap();
        Config { text: 8, ..config }
    }

    fn file(concept: &[u32], labels: &str) -> Vec<u8> {
        let mut embeddings = vec![0f32; concept.len() * 8];
        (0..concept.len()).for_each(|alias| embeddings[alias * 8 + alias] = 1.0);
        let embeddings = Tensor::from_vec(embeddings, (concept.len(), 8), &Device::Cpu).unwrap();
        let concept = Tensor::new(concept, &Device::Cpu).unwrap();
        let words = HashMap::from([("labels".to_string(), labels.to_string())]);
        let tensors = [("embeddings", &embeddings), ("concept", &concept)];
        ::safetensors::serialize(tensors, Some(words)).unwrap()
    }

    fn unit(at: usize, and: usize) -> Vec<f32> {
        let mut unit = vec![0f32; 8];
        (unit[at], unit[and]) = (0.8, 0.6);
        unit
    }

    #[test]
    fn a_concept_is_matched_by_the_best_of_its_aliases() {
        let table = file(&[0, 0, 1], r#"["dragon", "bed"]"#);
        let table = Concepts::parse(&table, &tiny()).unwrap();
        let found = table.nearest(&unit(1, 2), &|_| true);
        let found: Vec<_> = found
            .iter()
            .map(|m| (m.label.as_str(), m.similarity))
            .collect();
        assert_eq!(found, [("dragon", 0.8), ("bed", 0.6)]);
        let aliases: Vec<_> = table.aliases().collect();
        assert_eq!(aliases[1].0, "dragon");
        assert_eq!(
            aliases[2],
            ("bed", &[0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0][..])
        );
    }

    #[test]
    fn of_things_with_an_alias_in_common_the_one_that_is_called_so_comes_first() {
        let table = file(&[0, 0, 1], r#"["person with crown", "crown"]"#);
        let mut table = Concepts::parse(&table, &tiny()).unwrap();
        // The first concept's other alias gets the embedding of the second's label.
        table.embeddings.copy_within(16..24, 8);
        let found = table.nearest(&unit(2, 0), &|_| true);
        assert_eq!(
            (found[0].label.as_str(), found[0].similarity),
            ("crown", 0.8)
        );
        assert_eq!(found[1].similarity, 0.8);
    }

    #[test]
    fn what_does_not_fit_comes_behind_what_is_about_as_near() {
        let table = file(&[0, 1, 2], r#"["lantern", "paper lantern", "lamp"]"#);
        let table = Concepts::parse(&table, &tiny()).unwrap();
        let labels = |prompt: [f32; 3], fits: &dyn Fn(u32) -> bool| {
            let found = table.nearest(&[&prompt[..], &[0.0; 5]].concat(), fits);
            found.into_iter().map(|m| m.label).collect::<Vec<_>>()
        };
        let near = [0.7, 0.65, 0.2];
        let first_is_out = |concept| concept != 0;
        assert_eq!(labels(near, &|_| true)[0], "lantern");
        assert_eq!(labels(near, &first_is_out), ["paper lantern", "lamp"]);
        // No fitting concept is near: a near one that does not fit beats a wrong one.
        let far = [0.9, 0.3, 0.2];
        assert_eq!(
            labels(far, &first_is_out)[..2],
            ["lantern", "paper lantern"]
        );
        assert_eq!(labels(near, &|_| false), labels(near, &|_| true));
    }

    #[test]
    fn a_table_without_a_concept_has_the_others_under_new_numbers() {
        let table = file(&[0, 0, 1, 2], r#"["dragon", "bed", "owl"]"#);
        let table = Concepts::parse(&table, &tiny()).unwrap();
        let (table, numbers) = table.without(&|label| label == "dragon");
        assert_eq!(numbers, [None, Some(0), Some(1)]);
        assert_eq!(table.labels(), ["bed", "owl"]);
        assert_eq!((&table.first, &table.concept), (&vec![0, 1], &vec![0, 1]));
        assert_eq!(table.nearest(&unit(3, 0), &|_| true)[0].label, "owl");
    }

    #[test]
    fn a_prompt_is_led_towards_the_labels_of_what_it_matches() {
        let table = file(&[0, 0, 1], r#"["dragon", "bed"]"#);
        let table = Concepts::parse(&table, &tiny()).unwrap();
        let prompt = unit(1, 2);
        let led = table.blend(&prompt, &table.nearest(&prompt, &|_| true));
        // exp(20 * (0.6 - 0.8)) = 0.0183: dragon's label (axis 0) has 0.982 of half the weight.
        let length = (0.491f32 * 0.491 + 0.4 * 0.4 + 0.309 * 0.309).sqrt();
        for (got, want) in led.iter().zip([0.491, 0.4, 0.309]) {
            assert!((got - want / length).abs() < 1e-3, "{led:?}");
        }
    }

    #[test]
    fn tables_that_do_not_fit_are_refused() {
        let config = tiny();
        assert!(Concepts::parse(b"", &config).is_err());
        assert!(Concepts::parse(&file(&[0, 2], r#"["a", "b"]"#), &config).is_err());
        assert!(Concepts::parse(&file(&[0, 0], r#"["a", "b"]"#), &config).is_err());
        assert!(Concepts::parse(&file(&[0], "[]"), &config).is_err());
    }
}
