//! Finds the drawings of an icon set and the concept that each drawing shows.

use super::emoji::{EmojiIndex, slug};
use super::render::Drawing;
use super::sets::NamingScheme;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};

/// The content of an icon set's `icons.json`, with the icons in the order of their names.
#[derive(Deserialize)]
struct Icons {
    #[serde(default = "sixteen")]
    width: f64,
    #[serde(default = "sixteen")]
    height: f64,
    #[serde(default)]
    left: f64,
    #[serde(default)]
    top: f64,
    icons: BTreeMap<String, Icon>,
}

#[derive(Deserialize)]
struct Icon {
    body: String,
    left: Option<f64>,
    top: Option<f64>,
    width: Option<f64>,
    height: Option<f64>,
}

fn sixteen() -> f64 {
    16.0
}

/// The concept that a drawing shows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IconConcept {
    /// An emoji, given as an index in the `EmojiIndex`.
    Emoji(usize),
    /// The name of a subject that is not an emoji, taken from the icon set.
    Name(String),
}

/// A drawing with its concept and its skin tone (0 for none).
pub struct ConceptIcon {
    pub concept: IconConcept,
    pub tone: u8,
    pub drawing: Drawing,
}

/// Returns the drawings of an icon set that suit stories, one for each pair of concept and skin
/// tone, in a fixed order.
///
/// `icons` is the content of the package's icons.json; `codes` is the content of its chars.json, if
/// it has one.
pub fn concept_icons(
    icons: &[u8],
    codes: Option<&[u8]>,
    names: NamingScheme,
    words: &EmojiIndex,
) -> Result<Vec<ConceptIcon>, serde_json::Error> {
    let icons: Icons = serde_json::from_slice(icons)?;
    let codes = match codes {
        Some(codes) => serde_json::from_slice::<BTreeMap<String, String>>(codes)?,
        None => BTreeMap::new(),
    };
    let mut codes_of: HashMap<&str, Vec<&str>> = HashMap::new();
    for (code, name) in &codes {
        codes_of.entry(name).or_default().push(code);
    }
    // If a concept has several drawings, the one named after it is used.
    let mut found: BTreeMap<(IconConcept, u8), (bool, &str)> = BTreeMap::new();
    for name in icons.icons.keys() {
        let codes = codes_of.get(name.as_str()).map_or(&[][..], Vec::as_slice);
        let Some((shows, tone)) = concept_of(name, codes, names, words) else {
            continue;
        };
        let exact =
            matches!(&shows, IconConcept::Emoji(index) if slug(&words.get(*index).label) == *name);
        let best = found.entry((shows, tone)).or_insert((exact, name));
        if exact && !best.0 {
            *best = (true, name);
        }
    }
    let subject = |((shows, tone), (_, name)): ((IconConcept, u8), (bool, &str))| ConceptIcon {
        drawing: drawing(&icons, &icons.icons[name]),
        concept: shows,
        tone,
    };
    Ok(found.into_iter().map(subject).collect())
}

fn drawing(set: &Icons, icon: &Icon) -> Drawing {
    Drawing {
        body: icon.body.clone(),
        left: icon.left.unwrap_or(set.left),
        top: icon.top.unwrap_or(set.top),
        width: icon.width.unwrap_or(set.width),
        height: icon.height.unwrap_or(set.height),
    }
}

/// Returns the concept and the skin tone of an icon, or None if the icon does not suit stories.
fn concept_of(
    name: &str,
    codes: &[&str],
    names: NamingScheme,
    words: &EmojiIndex,
) -> Option<(IconConcept, u8)> {
    let by_code = codes.iter().find_map(|code| words.by_code(code));
    if let Some((index, tone)) = by_code {
        let tone = tone?;
        return words
            .in_stories(index)
            .then_some((IconConcept::Emoji(index), tone));
    }
    if has_tone(name) {
        return None;
    }
    let squashed = || match names {
        NamingScheme::Squashed => words.by_squashed(name),
        NamingScheme::Emoji | NamingScheme::Own => None,
    };
    if let Some(index) = words.by_slug(name).or_else(squashed) {
        return words
            .in_stories(index)
            .then_some((IconConcept::Emoji(index), 0));
    }
    (names == NamingScheme::Own).then(|| (IconConcept::Name(name.replace('-', " ")), 0))
}

/// Whether the name of an icon without a code point shows that the icon is a skin-tone variant.
fn has_tone(name: &str) -> bool {
    let tones = [
        "-light",
        "-medium-light",
        "-medium",
        "-medium-dark",
        "-dark",
    ];
    name.contains("-skin-tone") || tones.iter().any(|tone| name.ends_with(tone))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMOJI: &str = r#"[
        {"label": "open lock", "hexcode": "1F513", "group": 7, "subgroup": 77},
        {"label": "dragon", "hexcode": "1F409", "group": 3, "subgroup": 37},
        {"label": "flag: France", "hexcode": "1F1EB-1F1F7", "group": 9, "subgroup": 98},
        {"label": "mage", "hexcode": "1F9D9", "group": 1, "subgroup": 26,
         "skins": [{"hexcode": "1F9D9-1F3FB", "tone": 1}]}
    ]"#;

    fn found(names: NamingScheme, icons: &str, codes: Option<&str>) -> Vec<(String, u8, String)> {
        let messages = r#"{"subgroups": [{"order": 26, "key": "person-fantasy"}]}"#;
        let words = EmojiIndex::read(EMOJI.as_bytes(), messages.as_bytes()).unwrap();
        let icons = format!("{{\"width\": 24, \"icons\": {icons}}}");
        let subjects = concept_icons(icons.as_bytes(), codes.map(str::as_bytes), names, &words);
        let name = |shows| match shows {
            IconConcept::Emoji(index) => words.get(index).label.clone(),
            IconConcept::Name(name) => format!("own: {name}"),
        };
        let subjects = subjects.unwrap().into_iter();
        subjects
            .map(|s| (name(s.concept), s.tone, s.drawing.body))
            .collect()
    }

    fn row(label: &str, tone: u8, body: &str) -> (String, u8, String) {
        (label.into(), tone, body.into())
    }

    #[test]
    fn code_points_come_before_names_and_flags_are_left_out() {
        let icons = r#"{"a": {"body": "A"}, "b": {"body": "B"}, "c": {"body": "C"}, "dragon": {"body": "D"}}"#;
        let codes = r#"{"1f9d9": "a", "1f9d9-1f3fb": "b", "1f1eb-1f1f7": "c"}"#;
        assert_eq!(
            found(NamingScheme::Emoji, icons, Some(codes)),
            [
                row("dragon", 0, "D"),
                row("mage", 0, "A"),
                row("mage", 1, "B")
            ]
        );
    }

    #[test]
    fn of_two_drawings_of_one_thing_the_one_named_after_it_is_taken() {
        let icons = r#"{"a-dragon": {"body": "A"}, "dragon": {"body": "D"}}"#;
        let codes = r#"{"1f409": "a-dragon"}"#;
        assert_eq!(
            found(NamingScheme::Emoji, icons, Some(codes)),
            [row("dragon", 0, "D")]
        );
    }

    #[test]
    fn names_in_one_word_and_names_of_the_sets_own_are_read_where_the_set_has_them() {
        let icons = r#"{"openlock": {"body": "O"}, "plague-doctor": {"body": "P"}}"#;
        assert_eq!(found(NamingScheme::Emoji, icons, None), []);
        assert_eq!(
            found(NamingScheme::Squashed, icons, None),
            [row("open lock", 0, "O")]
        );
        assert_eq!(
            found(NamingScheme::Own, icons, None),
            [
                row("own: openlock", 0, "O"),
                row("own: plague doctor", 0, "P")
            ]
        );
    }

    #[test]
    fn a_skin_tone_that_no_code_point_explains_is_left_out() {
        let icons = r#"{"mage-dark": {"body": "M"}, "mage": {"body": "N"}}"#;
        assert_eq!(
            found(NamingScheme::Emoji, icons, None),
            [row("mage", 0, "N")]
        );
    }
}
