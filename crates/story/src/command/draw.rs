//! What the picture commands take: words, and `name=value` among them in any place.

use super::read::wants;
use super::{Command, ParseError};
use std::str::FromStr;

/// A picture command.
#[derive(Clone, Debug, PartialEq)]
pub enum Draw {
    Image(Wanted),
    /// Many at once, to pick from.
    Grid(Wanted),
    /// A backdrop and what stands before it.
    Scene(Wanted),
    /// A share of a picture's tokens written anew; of the last picture where none is named.
    Vary {
        amount: f64,
        of: Option<String>,
        wanted: Wanted,
    },
    /// From one prompt or picture to another.
    Lerp {
        from: String,
        to: String,
        wanted: Wanted,
    },
    Mix {
        of: String,
        with: String,
        wanted: Wanted,
    },
    /// A file or a picture, or else the last one, in another style.
    Restyle {
        of: Option<String>,
        style: String,
        wanted: Wanted,
    },
}

/// How pictures are wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    pub words: String,
    pub style: Option<String>,
    pub count: Option<usize>,
    pub seed: Option<u64>,
    pub temperature: Option<f64>,
    pub guidance: Option<f64>,
    pub recall: Option<f64>,
    /// Pixels of the file.
    pub size: Option<u32>,
    /// `#rrggbb`.
    pub background: Option<String>,
}

/// What may stand before `=`.
pub const OPTIONS: &[&str] = &[
    "style=",
    "n=",
    "seed=",
    "temperature=",
    "guidance=",
    "retrieval=",
    "size=",
    "background=",
];

/// Pictures that one command draws at most.
const MOST: usize = 64;

pub(super) fn image(rest: &str) -> Result<Command, ParseError> {
    Ok(Command::Draw(Draw::Image(wanted(rest, "/image")?)))
}

pub(super) fn scene(rest: &str) -> Result<Command, ParseError> {
    Ok(Command::Draw(Draw::Scene(wanted(rest, "/scene")?)))
}

pub(super) fn grid(rest: &str) -> Result<Command, ParseError> {
    Ok(Command::Draw(Draw::Grid(wanted(rest, "/grid")?)))
}

pub(super) fn vary(rest: &str) -> Result<Command, ParseError> {
    let what = "an amount from 0 to 1, and optionally #PICTURE and a number of pictures, for example /vary 0.3 #12";
    let mut wanted = wanted(rest, "/vary")?;
    let (mut amount, mut of) = (None, None);
    for word in std::mem::take(&mut wanted.words).split_whitespace() {
        match (share(word), word.parse::<usize>()) {
            _ if word.starts_with('#') => of = Some(word.to_string()),
            (Some(share), _) if amount.is_none() => amount = Some(share),
            (_, Ok(count)) if (1..=MOST).contains(&count) => wanted.count = Some(count),
            _ => return Err(wants("/vary", what)),
        }
    }
    let amount = amount.ok_or_else(|| wants("/vary", what))?;
    Ok(Command::Draw(Draw::Vary { amount, of, wanted }))
}

pub(super) fn lerp(rest: &str) -> Result<Command, ParseError> {
    let what = "two prompts in quotes or two pictures, and optionally a number of pictures, for example /lerp \"a fox\" #12";
    let mut wanted = wanted(rest, "/lerp")?;
    let mut words = pieces(&std::mem::take(&mut wanted.words));
    let count = words.get(2).and_then(|word| word.parse().ok());
    if let Some(count) = count.filter(|count| (2..=MOST).contains(count)) {
        wanted.count = Some(count);
        words.truncate(2);
    }
    match <[String; 2]>::try_from(words) {
        Ok([from, to]) => Ok(Command::Draw(Draw::Lerp { from, to, wanted })),
        Err(_) => Err(wants("/lerp", what)),
    }
}

pub(super) fn mix(rest: &str) -> Result<Command, ParseError> {
    let what =
        "a picture, and a second picture or a prompt in quotes, for example /mix #12 \"at night\"";
    let mut wanted = wanted(rest, "/mix")?;
    match <[String; 2]>::try_from(pieces(&std::mem::take(&mut wanted.words))) {
        Ok([of, with]) => Ok(Command::Draw(Draw::Mix { of, with, wanted })),
        Err(_) => Err(wants("/mix", what)),
    }
}

pub(super) fn restyle(rest: &str) -> Result<Command, ParseError> {
    let what = "a picture or a file, and a style, for example /restyle #12 ink or /restyle \"my cat.jpg\" blob a cat";
    let mut wanted = wanted(rest, "/restyle")?;
    let mut words = pieces(&std::mem::take(&mut wanted.words)).into_iter();
    let named = match (words.next(), words.next().or(wanted.style.clone())) {
        (Some(of), Some(style)) => Some((Some(of), style)),
        // No style is written so.
        (Some(style), None) => (!style.contains(['#', '.', '/'])).then_some((None, style)),
        (None, style) => style.map(|style| (None, style)),
    };
    let Some((of, style)) = named else {
        return Err(wants("/restyle", what));
    };
    wanted.words = words.collect::<Vec<String>>().join(" ");
    Ok(Command::Draw(Draw::Restyle { of, style, wanted }))
}

/// Words, without the options among them.
fn wanted(rest: &str, name: &str) -> Result<Wanted, ParseError> {
    let mut wanted = Wanted::default();
    let mut words = Vec::new();
    for word in rest.split_whitespace() {
        let Some((option, value)) = word.split_once('=') else {
            words.push(word);
            continue;
        };
        match option {
            "style" => wanted.style = Some(value.to_string()),
            "n" => {
                let what = format!("n from 1 to {MOST}, for example {name} n=4");
                wanted.count = Some(within(value, 1, MOST).ok_or_else(|| wants(name, &what))?);
            }
            "seed" => {
                wanted.seed = Some(read(
                    value,
                    name,
                    "a number as the seed, for example seed=7",
                )?)
            }
            "temperature" => {
                let what = "a temperature from 0 to 10, for example temperature=0.8";
                let value = within(value, 0.0, 10.0).ok_or_else(|| wants(name, what))?;
                wanted.temperature = Some(value);
            }
            "guidance" => {
                let what = "a guidance scale from -20 to 20, for example guidance=2.5";
                let value = within(value, -20.0, 20.0).ok_or_else(|| wants(name, what))?;
                wanted.guidance = Some(value);
            }
            // Older scripts say recall.
            "retrieval" | "recall" => {
                let what = "a retrieval strength from 0 to 20, for example retrieval=1.5";
                let value = within(value, 0.0, 20.0).ok_or_else(|| wants(name, what))?;
                wanted.recall = Some(value);
            }
            "size" => {
                let what = "a size from 16 to 2048 pixels, for example size=256";
                wanted.size = Some(within(value, 16, 2048).ok_or_else(|| wants(name, what))?);
            }
            "background" => {
                let digits = value.strip_prefix('#').unwrap_or(value);
                let sound = digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit());
                let what = "a colour of six hexadecimal digits, for example background=#f5e6c8";
                wanted.background = Some(
                    sound
                        .then(|| value.to_string())
                        .ok_or_else(|| wants(name, what))?,
                );
            }
            // Whatever else has such a mark in it is words.
            _ => words.push(word),
        }
    }
    wanted.words = words.join(" ");
    Ok(wanted)
}

fn read<T: FromStr>(value: &str, name: &str, what: &str) -> Result<T, ParseError> {
    value.parse().map_err(|_| wants(name, what))
}

fn within<T: FromStr + PartialOrd>(value: &str, least: T, most: T) -> Option<T> {
    let value = value.parse().ok();
    value.filter(|value| *value >= least && *value <= most)
}

/// `0.3` or `30%`.
fn share(word: &str) -> Option<f64> {
    match word.strip_suffix('%') {
        Some(percent) => within(percent, 0.0, 100.0).map(|percent: f64| percent / 100.0),
        None => within(word, 0.0, 1.0),
    }
}

/// Words, and several words in quotes as one.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (piece, after) = match rest.strip_prefix('"') {
            Some(inner) => inner.split_once('"').unwrap_or((inner, "")),
            None => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        pieces.push(piece.to_string());
        rest = after.trim_start();
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn draw(line: &str) -> Draw {
        match parse(line) {
            Ok(Command::Draw(draw)) => draw,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn words_and_options_may_stand_in_any_order() {
        let wanted = Wanted {
            words: "a red dragon e=mc2".to_string(),
            style: Some("ink".to_string()),
            count: Some(4),
            seed: Some(7),
            temperature: Some(0.8),
            guidance: Some(-1.5),
            recall: Some(0.02),
            size: Some(128),
            background: Some("#f5e6c8".to_string()),
        };
        let line = "/img a style=ink red n=4 dragon seed=7 temperature=0.8 e=mc2 guidance=-1.5 recall=0.02 size=128 background=#f5e6c8";
        assert_eq!(draw(line), Draw::Image(wanted.clone()));
        let renamed = line.replace("recall=", "retrieval=");
        assert_eq!(draw(&renamed), Draw::Image(wanted));
        assert_eq!(draw("/scene"), Draw::Scene(Wanted::default()));
    }

    #[test]
    fn pictures_are_named_by_number_and_several_words_by_quotes() {
        let Draw::Vary { amount, of, wanted } = draw("/vary 30% #12 3") else {
            panic!()
        };
        assert_eq!(
            (amount, of.as_deref(), wanted.count),
            (0.3, Some("#12"), Some(3))
        );
        assert!(matches!(
            draw("/vary 1"),
            Draw::Vary {
                amount: 1.0,
                of: None,
                ..
            }
        ));
        let Draw::Lerp { from, to, wanted } = draw("/lerp \"a red fox\" #3 7") else {
            panic!()
        };
        assert_eq!(
            (from.as_str(), to.as_str(), wanted.count),
            ("a red fox", "#3", Some(7))
        );
        let Draw::Restyle { of, style, wanted } = draw("/restyle \"my cat.jpg\" ink a cat") else {
            panic!()
        };
        assert_eq!((of.as_deref(), style.as_str()), (Some("my cat.jpg"), "ink"));
        assert_eq!(wanted.words, "a cat");
        for line in ["/restyle ink", "/restyle style=ink"] {
            let Draw::Restyle { of, style, .. } = draw(line) else {
                panic!()
            };
            assert_eq!((of, style.as_str()), (None, "ink"), "{line}");
        }
        assert!(matches!(draw("/mix #1 #2"), Draw::Mix { .. }));
    }

    #[test]
    fn what_cannot_be_is_one_sentence() {
        for (line, part) in [
            ("/image fox n=0", "n from 1 to 64"),
            ("/image fox n=9999999999999999999999", "n from 1"),
            ("/image fox seed=x", "a number for seed"),
            ("/image fox temperature=nan", "temperature from 0"),
            ("/image fox size=9", "16 to 2048"),
            ("/image fox background=red", "hexadecimal"),
            ("/vary", "an amount"),
            ("/vary 2", "an amount"),
            ("/vary 0.5 fox", "an amount"),
            ("/lerp a fox to a castle", "in quotes"),
            ("/mix #1", "another"),
            ("/restyle #1", "a style"),
            ("/restyle cat.jpg", "a style"),
            ("/restyle", "a style"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(
                error.contains(part) && !error.contains('\n'),
                "{line}: {error}"
            );
        }
    }
}
