//! Preference data: pairs of texts for the same prompt, with the one that a person chose.
//!
//! A pair is a line of JSON in TRL's preference format, which DPO trainers read: `prompt`, `chosen`
//! and `rejected` are strings, or lists of messages for a chat. The other fields describe the
//! origin of the texts.

mod file;
mod scores;
mod table;

pub use file::PairFile;
pub use scores::{Contestant, Game, Standings, standings};
pub use table::{Tally, standings_text};

use crate::report::{CaseReport, Message, Role, Verdict};
use base::hash::sha256;
use serde::{Deserialize, Serialize};

/// A text of a pair: a string for prose, or messages for a chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    Prose(String),
    Chat(Vec<Message>),
}

impl Default for Content {
    fn default() -> Content {
        Content::Prose(String::new())
    }
}

impl Content {
    /// Returns the content as plain text. The messages of a chat are separated by empty lines.
    pub fn text(&self) -> String {
        match self {
            Content::Prose(text) => text.clone(),
            Content::Chat(messages) => {
                let texts = messages.iter().map(|it| it.content.as_str());
                texts.collect::<Vec<_>>().join("\n\n")
            }
        }
    }
}

/// The better text of a pair, if there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Winner {
    A,
    B,
    /// Both texts are equally good.
    #[default]
    Tie,
    BothBad,
}

/// One of the two sides of a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    #[default]
    A,
    B,
}

/// The origin of a text: one side of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// The name of the side of the comparison, such as a model or a list of settings.
    pub name: String,
    /// The model, with its checksum and backend; empty if it is unknown.
    pub model: String,
    pub settings: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// A pair of texts with a person's choice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    pub prompt: Content,
    /// The better text; the text of A if neither text is better.
    pub chosen: Content,
    pub rejected: Content,
    /// Whether the pair is an example for training: one text is better, and both texts continue the
    /// same prompt.
    #[serde(default = "yes")]
    pub train: bool,
    /// None if the pair does not come from a comparison.
    #[serde(default)]
    pub winner: Option<Winner>,
    #[serde(default)]
    pub a: Origin,
    #[serde(default)]
    pub b: Origin,
    #[serde(default)]
    pub file: String,
    #[serde(default)]
    pub case: String,
    /// Whether the names of the sides were hidden.
    #[serde(default)]
    pub blind: bool,
    /// The side whose text was shown on the left.
    #[serde(default)]
    pub left: Side,
    /// The seed that chose the left side; None if A was on the left as usual.
    #[serde(default)]
    pub shuffle: Option<u64>,
    /// The time of the choice, in RFC 3339 format.
    #[serde(default)]
    pub time: String,
}

fn yes() -> bool {
    true
}

/// Two texts for the same case, from which a person can choose.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offer {
    pub file: String,
    pub case: String,
    pub prompt: Content,
    /// The texts of A and B that follow the prompt.
    pub texts: [Content; 2],
    /// Whether both sides have the same prompt.
    pub same_prompt: bool,
    pub origins: [Origin; 2],
}

impl Offer {
    /// Returns the two texts of a case, from two runs with these names. Returns None if a person
    /// cannot choose between them: the texts are equal, one of them is empty, or a line could not
    /// run.
    pub fn new(names: [&str; 2], a: &CaseReport, b: &CaseReport) -> Option<Offer> {
        let broken = |report: &CaseReport| report.verdict == Verdict::Error;
        if broken(a) || broken(b) {
            return None;
        }
        let pairs = a.messages.iter().zip(&b.messages);
        let shared = pairs.take_while(|(a, b)| a == b).count();
        let rests = [&a.messages[shared..], &b.messages[shared..]];
        let begins = |rest: &[Message]| rest.first().map(|first| first.role);
        let same_prompt = rests.map(begins) == [Some(Role::Assistant); 2];
        let chat = a.is_chat() || b.is_chat();
        let texts = rests.map(|rest| content(rest, chat));
        if texts.iter().any(|text| text.text().trim().is_empty()) || texts[0] == texts[1] {
            return None;
        }
        let reports = [a, b];
        Some(Offer {
            file: a.file.clone(),
            case: a.case.clone(),
            prompt: content(&a.messages[..shared], chat),
            texts,
            same_prompt,
            origins: [0, 1].map(|at| Origin {
                name: names[at].to_string(),
                model: reports[at].model.clone().unwrap_or_default(),
                settings: reports[at].settings.clone(),
                seed: reports[at].seed,
            }),
        })
    }

    /// Returns a digest of the case and both texts, which does not depend on the order of the
    /// texts. A pair with the same digest records a choice between the same texts.
    pub fn digest(&self) -> String {
        digest(&self.case, &self.prompt, [&self.texts[0], &self.texts[1]])
    }

    /// Returns the side that is shown on the left if the sides are shuffled with this seed.
    pub fn left(&self, seed: u64) -> Side {
        let name = base::hash::fnv1a(&format!("{}\n{}", self.case, self.digest()));
        match sampler::rng::derive(seed, name) & 1 {
            0 => Side::A,
            _ => Side::B,
        }
    }

    /// Returns the pair that records a choice. `pair` contains the fields that describe the choice
    /// itself, such as its time.
    pub fn pair(&self, winner: Winner, pair: Pair) -> Pair {
        let [a, b] = self.texts.clone();
        let (chosen, rejected) = match winner {
            Winner::A | Winner::Tie | Winner::BothBad => (a, b),
            Winner::B => (b, a),
        };
        let [a, b] = self.origins.clone();
        Pair {
            prompt: self.prompt.clone(),
            chosen,
            rejected,
            train: self.same_prompt && matches!(winner, Winner::A | Winner::B),
            winner: Some(winner),
            a,
            b,
            file: self.file.clone(),
            case: self.case.clone(),
            ..pair
        }
    }

    /// Returns the winner that is recorded in a stored pair with the same digest. A and B are the
    /// sides of this offer; they may be swapped in the pair.
    pub fn winner_of(&self, pair: &Pair) -> Winner {
        match pair.winner {
            Some(Winner::Tie) => Winner::Tie,
            Some(Winner::BothBad) => Winner::BothBad,
            Some(Winner::A | Winner::B) | None if pair.chosen == self.texts[0] => Winner::A,
            Some(Winner::A | Winner::B) | None => Winner::B,
        }
    }
}

impl Pair {
    /// Returns the digest, which equals that of an offer of the same texts.
    pub fn digest(&self) -> String {
        digest(&self.case, &self.prompt, [&self.chosen, &self.rejected])
    }
}

fn digest(case: &str, prompt: &Content, texts: [&Content; 2]) -> String {
    let mut texts = texts.map(Content::text);
    texts.sort();
    let [first, second] = texts;
    let whole = [case, &prompt.text(), &first, &second].join("\u{0}");
    sha256(whole.as_bytes())
}

/// Converts messages to a text of a pair. In prose, the system message comes before the story.
fn content(messages: &[Message], chat: bool) -> Content {
    if chat {
        return Content::Chat(messages.to_vec());
    }
    let text = |message: &Message| match message.role {
        Role::System => format!("{}\n\n", message.content),
        Role::User | Role::Assistant => message.content.clone(),
    };
    Content::Prose(messages.iter().map(text).collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn message(role: Role, content: &str) -> Message {
        Message {
            role,
            content: content.to_string(),
        }
    }

    pub(crate) fn report(mode: &str, messages: &[(Role, &str)]) -> CaseReport {
        CaseReport {
            file: "a.illum".to_string(),
            case: "lamp".to_string(),
            settings: format!("mode={mode},seed=3"),
            seed: Some(3),
            model: Some("m".to_string()),
            messages: messages.iter().map(|(r, c)| message(*r, c)).collect(),
            ..CaseReport::default()
        }
    }

    pub(crate) fn offer(a: &str, b: &str) -> Offer {
        let told = |text| {
            report(
                "prose",
                &[(Role::User, "The lamp"), (Role::Assistant, text)],
            )
        };
        Offer::new(["x", "y"], &told(a), &told(b)).unwrap()
    }

    #[test]
    fn a_pair_of_prose_has_strings_and_a_pair_of_a_chat_has_messages() {
        let mut offer = offer(" went out.", " fell.");
        offer.origins[1].name = "z".to_string();
        let pair = offer.pair(Winner::B, Pair::default());
        assert_eq!(pair.prompt, Content::Prose("The lamp".to_string()));
        assert_eq!(pair.chosen.text(), " fell.");
        assert!(pair.train && pair.b.name == "z" && pair.a.seed == Some(3));
        let json = serde_json::to_value(&pair).unwrap();
        assert_eq!(json["rejected"], " went out.");
        assert_eq!((&json["winner"], &json["left"]), (&"b".into(), &"a".into()));
        let turns = |text| {
            let said = [
                (Role::System, "Be kind."),
                (Role::User, "Hi"),
                (Role::Assistant, text),
            ];
            report("chat", &said)
        };
        let chat = Offer::new(["x", "y"], &turns("Hello"), &turns("Ho")).unwrap();
        let json = serde_json::to_value(chat.pair(Winner::BothBad, Pair::default())).unwrap();
        assert_eq!(json["prompt"][0]["role"], "system");
        assert_eq!(json["chosen"][0]["content"], "Hello");
        assert_eq!(
            (&json["train"], &json["winner"]),
            (&false.into(), &"both-bad".into())
        );
        let back: Pair = serde_json::from_value(json).unwrap();
        assert_eq!(back.digest(), chat.digest());
    }

    #[test]
    fn equal_empty_and_broken_texts_are_not_offered() {
        let told = |text| {
            report(
                "prose",
                &[(Role::User, "The lamp"), (Role::Assistant, text)],
            )
        };
        let offer = |a: &CaseReport, b: &CaseReport| Offer::new(["x", "y"], a, b);
        assert_eq!(offer(&told(" x"), &told(" x")), None);
        assert_eq!(offer(&told(" x"), &told("\n")), None);
        let broken = CaseReport {
            verdict: Verdict::Error,
            ..told(" y")
        };
        assert_eq!(offer(&told(" x"), &broken), None);
        // A pair with two prompts is kept, but nothing is trained on it.
        let other = report("prose", &[(Role::User, "A lamp"), (Role::Assistant, " x")]);
        let pair = offer(&told(" x"), &other).unwrap();
        assert!(!pair.pair(Winner::A, Pair::default()).train);
    }

    #[test]
    fn the_sides_are_shuffled_by_a_seed_and_a_pair_is_known_again() {
        let both = offer(" went out.", " fell.");
        let swapped = Offer {
            texts: [both.texts[1].clone(), both.texts[0].clone()],
            ..both.clone()
        };
        let pair = both.pair(Winner::A, Pair::default());
        assert_eq!(
            (swapped.digest(), pair.digest()),
            (both.digest(), both.digest())
        );
        assert_eq!(both.winner_of(&pair), Winner::A);
        assert_eq!(swapped.winner_of(&pair), Winner::B);
        let left = |seed| {
            let offers = (0..200).map(|n| offer(&format!(" {n}"), " fell."));
            offers.map(|it| it.left(seed)).collect::<Vec<_>>()
        };
        let (one, two) = (left(1), left(2));
        let on_left = one.iter().filter(|side| **side == Side::A).count();
        assert!((70..130).contains(&on_left), "{on_left}");
        assert!(one == left(1) && one != two);
    }
}
