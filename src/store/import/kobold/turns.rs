//! Splits a KoboldAI chunk into turns, at the markers of an instruct story or at the names in a
//! chat.
//!
//! Each turn retains its part of the original chunk, so that an export can write the chunk
//! unchanged.

use story::Author;

/// How a story marks its turns.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Style {
    /// Prose, without turns.
    #[default]
    Plain,
    /// The marker `{{[INPUT]}}` precedes the writer's text, and `{{[OUTPUT]}}` precedes the model's
    /// text.
    Instruct,
    /// The speaker's name and a colon precede each turn, at the beginning of a line.
    Chat {
        user: String,
        /// The names of the other speakers; if the list is empty, any name counts as a speaker.
        others: Vec<String>,
    },
}

/// The marker before a turn of the writer.
pub const INPUT: &str = "{{[INPUT]}}";
/// The marker before a turn of the model.
pub const OUTPUT: &str = "{{[OUTPUT]}}";

const MARKS: [(&str, Option<Author>); 6] = [
    (INPUT, Some(Author::User)),
    (OUTPUT, Some(Author::Model)),
    ("{{[SYSTEM]}}", Some(Author::Prompt)),
    ("{{[INPUT_END]}}", None),
    ("{{[OUTPUT_END]}}", None),
    ("{{[SYSTEM_END]}}", None),
];

/// The speaker at the end of a passage.
#[derive(Clone, Debug, PartialEq)]
pub struct Speaking {
    pub author: Author,
    pub name: Option<String>,
    /// Whether the text ends directly after a marker or a speaker's name.
    pub fresh: bool,
}

impl Speaking {
    /// The state before the first marker or speaker's name.
    pub const START: Speaking = Speaking {
        author: Author::Prompt,
        name: None,
        fresh: false,
    };
}

/// A turn in a chunk, or the part of a chunk that continues the previous turn.
#[derive(Debug, PartialEq)]
pub struct Turn<'a> {
    pub author: Author,
    pub name: Option<String>,
    /// Whether the text begins a new message rather than continuing the previous message.
    pub begins: bool,
    pub text: String,
    pub raw: &'a str,
}

impl Style {
    /// Splits a chunk into turns. `speaking` is the speaker before the chunk, and is set to the
    /// speaker at the end of the chunk.
    pub fn split<'a>(&self, chunk: &'a str, speaking: &mut Speaking) -> Vec<Turn<'a>> {
        let cuts = match self {
            Style::Plain => Vec::new(),
            Style::Instruct => marks(chunk),
            Style::Chat { user, others } => names(chunk, user, others),
        };
        let mut turns: Vec<Turn> = Vec::new();
        let mut from = 0;
        let ends = cuts.iter().map(|cut| cut.at).chain([chunk.len()]);
        let labels = std::iter::once(None).chain(cuts.iter().map(Some));
        for (label, end) in labels.zip(ends) {
            let begin = label.map_or(0, |cut| cut.at + cut.length);
            if let Some(author) = label.and_then(|cut| cut.author) {
                speaking.author = author;
                speaking.name = label.and_then(|cut| cut.name.clone());
                speaking.fresh = true;
            }
            let said = &chunk[begin..end];
            if said.trim().is_empty() {
                continue;
            }
            // Blank text before a turn belongs to that turn, and blank text after the last turn to
            // the last.
            let begins = speaking.fresh;
            // The next chunk may continue where this one ends.
            let trimmed = match end < chunk.len() {
                true => said.trim_end_matches('\n'),
                false => said,
            };
            turns.push(Turn {
                author: speaking.author,
                name: speaking.name.clone(),
                begins,
                text: match begins {
                    true => trimmed.trim_start().to_string(),
                    false => trimmed.to_string(),
                },
                raw: &chunk[from..end],
            });
            speaking.fresh = false;
            from = end;
        }
        match turns.last_mut() {
            Some(last) if from < chunk.len() => {
                let start = from - last.raw.len();
                last.raw = &chunk[start..];
            }
            Some(_) => {}
            None => turns.push(Turn {
                author: speaking.author,
                name: speaking.name.clone(),
                begins: true,
                text: String::new(),
                raw: chunk,
            }),
        }
        turns
    }
}

/// A marker or a speaker's name in a chunk: its position, its length, and the speaker.
struct Cut {
    at: usize,
    length: usize,
    author: Option<Author>,
    name: Option<String>,
}

fn marks(chunk: &str) -> Vec<Cut> {
    let found = chunk.match_indices("{{[").filter_map(|(at, _)| {
        let rest = &chunk[at..];
        let (mark, author) = MARKS.iter().find(|(mark, _)| rest.starts_with(mark))?;
        Some(Cut {
            at,
            length: mark.len(),
            author: *author,
            name: None,
        })
    });
    found.collect()
}

fn names(chunk: &str, user: &str, others: &[String]) -> Vec<Cut> {
    const LONGEST: usize = 40;
    let mut found = Vec::new();
    let mut at = 0;
    for line in chunk.split_inclusive('\n') {
        let label = line.split_once(':').map(|(name, rest)| (name.trim(), rest));
        let named = label.filter(|(name, rest)| {
            let ends = rest.is_empty() || rest.starts_with([' ', '\n']);
            let anybody = others.is_empty() && !name.is_empty() && name.chars().count() <= LONGEST;
            ends && (*name == user || anybody || others.iter().any(|other| other == name))
        });
        if let Some((name, rest)) = named {
            let author = match name == user {
                true => Author::User,
                false => Author::Model,
            };
            found.push(Cut {
                at,
                length: line.len() - rest.len(),
                author: Some(author),
                name: Some(name.to_string()),
            });
        }
        at += line.len();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split<'a>(style: &Style, chunks: &[&'a str]) -> Vec<Turn<'a>> {
        let mut speaking = Speaking::START;
        let turns = chunks
            .iter()
            .flat_map(|chunk| style.split(chunk, &mut speaking));
        let turns: Vec<Turn> = turns.collect();
        let raw: String = turns.iter().map(|turn| turn.raw).collect();
        assert_eq!(raw, chunks.concat(), "nothing is lost");
        turns
    }

    fn said(turns: &[Turn]) -> Vec<(Author, String, bool)> {
        let turn = |turn: &Turn| (turn.author, turn.text.clone(), turn.begins);
        turns.iter().map(turn).collect()
    }

    #[test]
    fn marks_part_turns_also_over_several_chunks() {
        let chunks = [
            "Rules.\n{{[INPUT]}}\nName a tree.\n{{[OUTPUT]}}\n",
            "Oak",
            " and ash.",
            "\n{{[INPUT]}}\nAnother.\n{{[INPUT_END]}}{{[OUTPUT]}}\nElm.\n",
            "{{[INPUT]}}",
        ];
        assert_eq!(
            said(&split(&Style::Instruct, &chunks)),
            [
                (Author::Prompt, "Rules.".to_string(), false),
                (Author::User, "Name a tree.".to_string(), true),
                (Author::Model, "Oak".to_string(), true),
                (Author::Model, " and ash.".to_string(), false),
                (Author::User, "Another.".to_string(), true),
                (Author::Model, "Elm.\n".to_string(), true),
                (Author::User, String::new(), true),
            ]
        );
    }

    #[test]
    fn names_part_the_turns_of_a_chat() {
        let style = Style::Chat {
            user: "Ida".to_string(),
            others: vec!["Tove".to_string()],
        };
        let chunks = [
            "\nIda: Ship ahoy: look!\nTove:",
            " Where?\nNote: fog.",
            "\nIda: There.",
        ];
        let turns = split(&style, &chunks);
        let names: Vec<&str> = turns
            .iter()
            .filter_map(|turn| turn.name.as_deref())
            .collect();
        assert_eq!(names, ["Ida", "Tove", "Ida"]);
        assert_eq!(turns[0].text, "Ship ahoy: look!");
        assert_eq!(turns[1].text, "Where?\nNote: fog.");
        assert_eq!(turns[2].author, Author::User);
    }
}
