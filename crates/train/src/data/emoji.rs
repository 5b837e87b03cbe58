//! Concepts and their captions, from the labels and tags of emojibase.
//!
//! A concept is one thing that can be drawn, whatever the style. Only concepts that suit stories
//! are used. Flags, signs, smileys, gestures and clock faces are left out.

use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};

/// One emoji from the data of emojibase.
#[derive(Clone, Debug, Deserialize)]
pub struct Emoji {
    pub label: String,
    hexcode: String,
    #[serde(default)]
    pub tags: Vec<String>,
    group: Option<u32>,
    subgroup: Option<u32>,
    #[serde(default)]
    skins: Vec<Skin>,
}

#[derive(Clone, Debug, Deserialize)]
struct Skin {
    hexcode: String,
    tone: Tone,
}

/// A skin tone from 1 (light) to 5 (dark), or one such tone for each of two people.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Tone {
    One(u8),
    Several(Vec<u8>),
}

/// The names of subgroups, from emojibase's file `messages.json`.
#[derive(Clone, Debug, Deserialize)]
struct Messages {
    subgroups: Vec<Subgroup>,
}

#[derive(Clone, Debug, Deserialize)]
struct Subgroup {
    order: u32,
    key: String,
}

/// All emoji, indexed by code points and by label.
pub struct EmojiIndex {
    emoji: Vec<Emoji>,
    subgroups: HashMap<u32, String>,
    /// For each sequence of code points, the index of the emoji and its skin tone. The tone is 0
    /// for an emoji without a tone, and None for an emoji with several tones.
    by_code: HashMap<String, (usize, Option<u8>)>,
    by_slug: HashMap<String, usize>,
    by_squashed: HashMap<String, usize>,
}

/// Emojibase's number for the smileys group. The following constants are the numbers for other
/// groups.
const SMILEYS: u32 = 0;
const PEOPLE: u32 = 1;
const NATURE: u32 = 3;
const FOOD: u32 = 4;
const PLACES: u32 = 5;
const ACTIVITIES: u32 = 6;
const OBJECTS: u32 = 7;

/// The subgroups used from the smileys group: creatures and marks.
const SMILEYS_KEPT: &[&str] = &["face-costume", "cat-face", "monkey-face", "emotion"];
/// The subgroups used from the people group: roles and activities.
const PEOPLE_KEPT: &[&str] = &[
    "person",
    "person-role",
    "person-fantasy",
    "person-activity",
    "person-sport",
    "person-resting",
];

/// A tag that at most this many emoji share is also a caption by itself.
const DISTINCTIVE: usize = 3;

impl EmojiIndex {
    /// Parses emojibase's `data.json` and `messages.json`.
    pub fn read(data: &[u8], messages: &[u8]) -> Result<EmojiIndex, serde_json::Error> {
        let emoji: Vec<Emoji> = serde_json::from_slice(data)?;
        let messages: Messages = serde_json::from_slice(messages)?;
        let mut by_code = HashMap::new();
        for (index, one) in emoji.iter().enumerate() {
            by_code.insert(plain_code(&one.hexcode), (index, Some(0)));
            for skin in &one.skins {
                let tone = match &skin.tone {
                    Tone::One(tone) => Some(*tone),
                    Tone::Several(tones) => tones.first().copied().filter(|_| tones.len() == 1),
                };
                by_code.insert(plain_code(&skin.hexcode), (index, tone));
            }
        }
        let named = emoji.iter().enumerate();
        let by_slug: HashMap<_, _> = named.map(|(i, e)| (slug(&e.label), i)).collect();
        let squash = |(slug, i): (&String, &usize)| (slug.replace('-', ""), *i);
        Ok(EmojiIndex {
            by_squashed: by_slug.iter().map(squash).collect(),
            subgroups: messages
                .subgroups
                .into_iter()
                .map(|s| (s.order, s.key))
                .collect(),
            emoji,
            by_code,
            by_slug,
        })
    }

    pub fn get(&self, index: usize) -> &Emoji {
        &self.emoji[index]
    }

    /// Returns the index of the emoji with the code points `code`, and its skin tone: 0 for no
    /// tone, None for several tones.
    pub fn by_code(&self, code: &str) -> Option<(usize, Option<u8>)> {
        self.by_code.get(&plain_code(code)).copied()
    }

    /// Returns the index of the emoji whose label is `name` when written in lower case with
    /// hyphens.
    pub fn by_slug(&self, name: &str) -> Option<usize> {
        self.by_slug.get(name).copied()
    }

    /// Returns the index of the emoji whose label is `name` when written in lower case as one word.
    pub fn by_squashed(&self, name: &str) -> Option<usize> {
        self.by_squashed.get(name).copied()
    }

    /// Whether a picture of this emoji suits stories.
    pub fn in_stories(&self, index: usize) -> bool {
        let emoji = &self.emoji[index];
        let kept = |kept: &[&str]| {
            let key = emoji.subgroup.and_then(|s| self.subgroups.get(&s));
            key.is_some_and(|key| kept.contains(&key.as_str()))
        };
        match emoji.group {
            Some(NATURE | FOOD | ACTIVITIES | OBJECTS) => true,
            Some(PLACES) => !(emoji.label.contains("o’clock") || emoji.label.contains("thirty")),
            Some(PEOPLE) => kept(PEOPLE_KEPT),
            Some(SMILEYS) => kept(SMILEYS_KEPT),
            _ => false,
        }
    }

    /// Returns the captions of each emoji, starting with its label. A tag that at most three of the
    /// emoji share is also a caption by itself.
    pub fn captions(&self, emoji: &[usize]) -> Vec<Vec<String>> {
        let mut sharing: BTreeMap<&str, usize> = BTreeMap::new();
        for tag in emoji.iter().flat_map(|index| &self.emoji[*index].tags) {
            *sharing.entry(tag).or_default() += 1;
        }
        let one = |index: &usize| {
            let Emoji { label, tags, .. } = &self.emoji[*index];
            let own = tags
                .iter()
                .filter(|tag| sharing[tag.as_str()] <= DISTINCTIVE);
            captions(label, tags, own)
        };
        emoji.iter().map(one).collect()
    }
}

/// Returns the captions of a concept: its label (alone, with an article, and with tags), and each
/// of the distinctive tags `own` by itself.
fn captions<'a>(
    label: &str,
    tags: &[String],
    own: impl Iterator<Item = &'a String>,
) -> Vec<String> {
    let plain = label.strip_prefix("person ").unwrap_or(label);
    let mut all = vec![label.to_string(), plain.to_string(), with_article(plain)];
    if !tags.is_empty() {
        let several: Vec<&str> = tags.iter().take(6).map(String::as_str).collect();
        all.push(format!("{plain}, {}", several.join(", ")));
    }
    all.extend(tags.iter().take(3).map(|tag| format!("{plain} {tag}")));
    all.extend(own.cloned());
    once_each(all)
}

/// Returns the captions of a concept that has a name but no tags: the name, without and with an
/// article.
pub fn captions_of_name(name: &str) -> Vec<String> {
    once_each(vec![name.to_string(), with_article(name)])
}

/// Appends a skin tone to a person's caption; a tone without a name leaves the caption unchanged.
pub fn with_tone(caption: &str, tone: u8) -> String {
    const TONES: [&str; 5] = ["light", "medium-light", "medium", "medium-dark", "dark"];
    match TONES.get(usize::from(tone).wrapping_sub(1)) {
        Some(tone) => format!("{caption}, {tone} skin"),
        None => caption.to_string(),
    }
}

fn with_article(name: &str) -> String {
    match name.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U']) {
        true => format!("an {name}"),
        false => format!("a {name}"),
    }
}

fn once_each(all: Vec<String>) -> Vec<String> {
    let mut once: Vec<String> = Vec::with_capacity(all.len());
    for caption in all {
        if !once.contains(&caption) {
            once.push(caption);
        }
    }
    once
}

/// Normalizes code points: converts them to lower case, and removes joiners and variation
/// selectors, which icon sets use inconsistently.
fn plain_code(code: &str) -> String {
    let code = code.to_ascii_lowercase();
    let points = code
        .split('-')
        .filter(|point| !["fe0f", "200d"].contains(point));
    points.collect::<Vec<_>>().join("-")
}

/// Converts a label to the form used in file names: lower case, with hyphens.
pub fn slug(label: &str) -> String {
    let mut slug = String::new();
    for letter in label.to_lowercase().chars() {
        match letter {
            '’' | '\'' | '“' | '”' | '!' => {}
            'a'..='z' | '0'..='9' => slug.push(letter),
            'ñ' => slug.push('n'),
            'é' => slug.push('e'),
            'ã' | 'å' => slug.push('a'),
            'í' => slug.push('i'),
            'ô' => slug.push('o'),
            'ç' => slug.push('c'),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    slug.trim_end_matches('-').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> EmojiIndex {
        let data = r#"[
            {"label": "dragon", "hexcode": "1F409", "tags": ["animal", "fairy tale"], "group": 3, "subgroup": 37},
            {"label": "wolf", "hexcode": "1F43A", "tags": ["animal", "face"], "group": 3, "subgroup": 34},
            {"label": "fox", "hexcode": "1F98A", "tags": ["animal", "face"], "group": 3, "subgroup": 34},
            {"label": "owl", "hexcode": "1F989", "tags": ["animal", "bird"], "group": 3, "subgroup": 35},
            {"label": "person bowing", "hexcode": "1F647", "group": 1, "subgroup": 24},
            {"label": "woman astronaut", "hexcode": "1F469-200D-1F680", "tags": ["space"], "group": 1, "subgroup": 25,
             "skins": [{"hexcode": "1F469-1F3FF-200D-1F680", "tone": 5}]},
            {"label": "five-thirty", "hexcode": "1F560", "group": 5, "subgroup": 58},
            {"label": "piñata", "hexcode": "1FA85", "group": 6, "subgroup": 63}
        ]"#;
        let messages = r#"{"subgroups": [{"order": 24, "key": "person-gesture"},
            {"order": 25, "key": "person-role"}]}"#;
        EmojiIndex::read(data.as_bytes(), messages.as_bytes()).unwrap()
    }

    #[test]
    fn a_picture_is_found_by_code_points_with_or_without_joiners() {
        let words = vocabulary();
        assert_eq!(words.by_code("1f469-1f680"), Some((5, Some(0))));
        assert_eq!(words.by_code("1f469-1f3ff-200d-1f680"), Some((5, Some(5))));
        assert_eq!(words.by_code("1f600"), None);
    }

    #[test]
    fn a_picture_is_found_by_its_label_as_sets_write_it() {
        let words = vocabulary();
        assert_eq!(words.by_slug("pinata"), Some(7));
        assert_eq!(words.by_squashed("personbowing"), Some(4));
        assert_eq!(slug("Rock ’n’ roll!"), "rock-n-roll");
    }

    #[test]
    fn stories_get_dragons_and_astronauts_but_no_gestures_and_clock_faces() {
        let words = vocabulary();
        let kept: Vec<bool> = (0..8).map(|index| words.in_stories(index)).collect();
        assert_eq!(kept, [true, true, true, true, false, true, false, true]);
    }

    #[test]
    fn captions_are_labels_tags_and_tags_of_few_things_alone() {
        let words = vocabulary();
        let captions = words.captions(&[0, 1, 2, 3]);
        assert_eq!(
            captions[3],
            [
                "owl",
                "an owl",
                "owl, animal, bird",
                "owl animal",
                "owl bird",
                "bird"
            ]
        );
        assert!(!captions[0].contains(&"animal".to_string()));
        assert!(captions[0].contains(&"fairy tale".to_string()));
    }

    #[test]
    fn a_skin_tone_is_said_in_words() {
        assert_eq!(with_tone("a wizard", 5), "a wizard, dark skin");
        assert_eq!(with_tone("a wizard", 0), "a wizard");
    }
}
