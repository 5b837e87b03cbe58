//! Parses the arguments of picture commands. Options of the form `name=value` may stand anywhere
//! among the words of the prompt.

use super::arguments::expects;
use super::{Command, ParseError};
use std::str::FromStr;

/// A command that draws pictures.
#[derive(Clone, Debug, PartialEq)]
pub enum PictureCommand {
    Image(DrawOptions),
    /// Draw many pictures from which the writer can pick one.
    Grid(DrawOptions),
    /// Draw a backdrop and the subjects in front of it.
    Scene(DrawOptions),
    /// Predict part of a picture's tokens again. `amount` is the share of the tokens; `of` is the
    /// picture, by default the last one.
    Vary {
        amount: f64,
        of: Option<String>,
        options: DrawOptions,
    },
    /// Interpolate between two prompts or pictures.
    Lerp {
        from: String,
        to: String,
        options: DrawOptions,
    },
    Mix {
        of: String,
        with: String,
        options: DrawOptions,
    },
    /// Redraw a picture in another style. `of` is a picture or a file, by default the last picture.
    Restyle {
        of: Option<String>,
        style: String,
        options: DrawOptions,
    },
}

/// The prompt and the options of a picture command.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DrawOptions {
    pub words: String,
    pub style: Option<String>,
    pub count: Option<usize>,
    pub seed: Option<u64>,
    pub temperature: Option<f64>,
    pub guidance: Option<f64>,
    pub retrieval_strength: Option<f64>,
    /// The output size in pixels.
    pub size: Option<u32>,
    /// The background colour, as `#rrggbb`.
    pub background: Option<String>,
}

/// The names of the options, each followed by `=`.
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

/// The maximum number of pictures that one command may draw.
const MOST: usize = 64;

pub(super) fn parse_image(rest: &str) -> Result<Command, ParseError> {
    Ok(Command::Draw(PictureCommand::Image(parse_options(
        rest, "/image",
    )?)))
}

pub(super) fn parse_scene(rest: &str) -> Result<Command, ParseError> {
    Ok(Command::Draw(PictureCommand::Scene(parse_options(
        rest, "/scene",
    )?)))
}

pub(super) fn parse_grid(rest: &str) -> Result<Command, ParseError> {
    Ok(Command::Draw(PictureCommand::Grid(parse_options(
        rest, "/grid",
    )?)))
}

pub(super) fn parse_vary(rest: &str) -> Result<Command, ParseError> {
    let what = "an amount from 0 to 1, and optionally #PICTURE and a number of pictures, for example /vary 0.3 #12";
    let mut options = parse_options(rest, "/vary")?;
    let (mut amount, mut of) = (None, None);
    for word in std::mem::take(&mut options.words).split_whitespace() {
        match (parse_share(word), word.parse::<usize>()) {
            _ if word.starts_with('#') => of = Some(word.to_string()),
            (Some(share), _) if amount.is_none() => amount = Some(share),
            (_, Ok(count)) if (1..=MOST).contains(&count) => options.count = Some(count),
            _ => return Err(expects("/vary", what)),
        }
    }
    let amount = amount.ok_or_else(|| expects("/vary", what))?;
    Ok(Command::Draw(PictureCommand::Vary {
        amount,
        of,
        options,
    }))
}

pub(super) fn parse_lerp(rest: &str) -> Result<Command, ParseError> {
    let what = "two prompts in quotes or two pictures, and optionally a number of pictures, for example /lerp \"a fox\" #12";
    let mut options = parse_options(rest, "/lerp")?;
    let mut words = split_quoted(&std::mem::take(&mut options.words));
    let count = words.get(2).and_then(|word| word.parse().ok());
    if let Some(count) = count.filter(|count| (2..=MOST).contains(count)) {
        options.count = Some(count);
        words.truncate(2);
    }
    match <[String; 2]>::try_from(words) {
        Ok([from, to]) => Ok(Command::Draw(PictureCommand::Lerp { from, to, options })),
        Err(_) => Err(expects("/lerp", what)),
    }
}

pub(super) fn parse_mix(rest: &str) -> Result<Command, ParseError> {
    let what =
        "a picture, and a second picture or a prompt in quotes, for example /mix #12 \"at night\"";
    let mut options = parse_options(rest, "/mix")?;
    match <[String; 2]>::try_from(split_quoted(&std::mem::take(&mut options.words))) {
        Ok([of, with]) => Ok(Command::Draw(PictureCommand::Mix { of, with, options })),
        Err(_) => Err(expects("/mix", what)),
    }
}

pub(super) fn parse_restyle(rest: &str) -> Result<Command, ParseError> {
    let what = "a picture or a file, and a style, for example /restyle #12 ink or /restyle \"my cat.jpg\" blob a cat";
    let mut options = parse_options(rest, "/restyle")?;
    let mut words = split_quoted(&std::mem::take(&mut options.words)).into_iter();
    let named = match (words.next(), words.next().or(options.style.clone())) {
        (Some(of), Some(style)) => Some((Some(of), style)),
        // No style name contains these characters.
        (Some(style), None) => (!style.contains(['#', '.', '/'])).then_some((None, style)),
        (None, style) => style.map(|style| (None, style)),
    };
    let Some((of, style)) = named else {
        return Err(expects("/restyle", what));
    };
    options.words = words.collect::<Vec<String>>().join(" ");
    Ok(Command::Draw(PictureCommand::Restyle {
        of,
        style,
        options,
    }))
}

/// Separates the options of a command from its prompt.
fn parse_options(rest: &str, name: &str) -> Result<DrawOptions, ParseError> {
    let mut options = DrawOptions::default();
    let mut words = Vec::new();
    for word in rest.split_whitespace() {
        let Some((option, value)) = word.split_once('=') else {
            words.push(word);
            continue;
        };
        match option {
            "style" => options.style = Some(value.to_string()),
            "n" => {
                let what = format!("n from 1 to {MOST}, for example {name} n=4");
                options.count =
                    Some(parse_within(value, 1, MOST).ok_or_else(|| expects(name, &what))?);
            }
            "seed" => {
                options.seed = Some(parse_value(
                    value,
                    name,
                    "a number as the seed, for example seed=7",
                )?)
            }
            "temperature" => {
                let what = "a temperature from 0 to 10, for example temperature=0.8";
                let value = parse_within(value, 0.0, 10.0).ok_or_else(|| expects(name, what))?;
                options.temperature = Some(value);
            }
            "guidance" => {
                let what = "a guidance scale from -20 to 20, for example guidance=2.5";
                let value = parse_within(value, -20.0, 20.0).ok_or_else(|| expects(name, what))?;
                options.guidance = Some(value);
            }
            // Older scripts use `recall`.
            "retrieval" | "recall" => {
                let what = "a retrieval strength from 0 to 20, for example retrieval=1.5";
                let value = parse_within(value, 0.0, 20.0).ok_or_else(|| expects(name, what))?;
                options.retrieval_strength = Some(value);
            }
            "size" => {
                let what = "a size from 16 to 2048 pixels, for example size=256";
                options.size =
                    Some(parse_within(value, 16, 2048).ok_or_else(|| expects(name, what))?);
            }
            "background" => {
                let digits = value.strip_prefix('#').unwrap_or(value);
                let sound = digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit());
                let what = "a colour of six hexadecimal digits, for example background=#f5e6c8";
                options.background = Some(
                    sound
                        .then(|| value.to_string())
                        .ok_or_else(|| expects(name, what))?,
                );
            }
            // Any other word with `=` is part of the prompt.
            _ => words.push(word),
        }
    }
    options.words = words.join(" ");
    Ok(options)
}

fn parse_value<T: FromStr>(value: &str, name: &str, what: &str) -> Result<T, ParseError> {
    value.parse().map_err(|_| expects(name, what))
}

fn parse_within<T: FromStr + PartialOrd>(value: &str, least: T, most: T) -> Option<T> {
    let value = value.parse().ok();
    value.filter(|value| *value >= least && *value <= most)
}

/// Parses a share such as `0.3` or `30%`.
fn parse_share(word: &str) -> Option<f64> {
    match word.strip_suffix('%') {
        Some(percent) => parse_within(percent, 0.0, 100.0).map(|percent: f64| percent / 100.0),
        None => parse_within(word, 0.0, 1.0),
    }
}

/// Splits a text into words; text in quotes counts as one word.
fn split_quoted(text: &str) -> Vec<String> {
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

    fn draw(line: &str) -> PictureCommand {
        match parse(line) {
            Ok(Command::Draw(draw)) => draw,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn words_and_options_may_stand_in_any_order() {
        let options = DrawOptions {
            words: "a red dragon e=mc2".to_string(),
            style: Some("ink".to_string()),
            count: Some(4),
            seed: Some(7),
            temperature: Some(0.8),
            guidance: Some(-1.5),
            retrieval_strength: Some(0.02),
            size: Some(128),
            background: Some("#f5e6c8".to_string()),
        };
        let line = "/img a style=ink red n=4 dragon seed=7 temperature=0.8 e=mc2 guidance=-1.5 recall=0.02 size=128 background=#f5e6c8";
        assert_eq!(draw(line), PictureCommand::Image(options.clone()));
        let renamed = line.replace("recall=", "retrieval=");
        assert_eq!(draw(&renamed), PictureCommand::Image(options));
        assert_eq!(
            draw("/scene"),
            PictureCommand::Scene(DrawOptions::default())
        );
    }

    #[test]
    fn pictures_are_named_by_number_and_several_words_by_quotes() {
        let PictureCommand::Vary {
            amount,
            of,
            options,
        } = draw("/vary 30% #12 3")
        else {
            panic!()
        };
        assert_eq!(
            (amount, of.as_deref(), options.count),
            (0.3, Some("#12"), Some(3))
        );
        assert!(matches!(
            draw("/vary 1"),
            PictureCommand::Vary {
                amount: 1.0,
                of: None,
                ..
            }
        ));
        let PictureCommand::Lerp { from, to, options } = draw("/lerp \"a red fox\" #3 7") else {
            panic!()
        };
        assert_eq!(
            (from.as_str(), to.as_str(), options.count),
            ("a red fox", "#3", Some(7))
        );
        let PictureCommand::Restyle { of, style, options } =
            draw("/restyle \"my cat.jpg\" ink a cat")
        else {
            panic!()
        };
        assert_eq!((of.as_deref(), style.as_str()), (Some("my cat.jpg"), "ink"));
        assert_eq!(options.words, "a cat");
        for line in ["/restyle ink", "/restyle style=ink"] {
            let PictureCommand::Restyle { of, style, .. } = draw(line) else {
                panic!()
            };
            assert_eq!((of, style.as_str()), (None, "ink"), "{line}");
        }
        assert!(matches!(draw("/mix #1 #2"), PictureCommand::Mix { .. }));
    }

    #[test]
    fn what_cannot_be_is_one_sentence() {
        for (line, part) in [
            ("/image fox n=0", "n from 1 to 64"),
            ("/image fox n=9999999999999999999999", "n from 1"),
            ("/image fox seed=x", "a number as the seed"),
            ("/image fox temperature=nan", "temperature from 0"),
            ("/image fox size=9", "16 to 2048"),
            ("/image fox background=red", "hexadecimal"),
            ("/vary", "an amount"),
            ("/vary 2", "an amount"),
            ("/vary 0.5 fox", "an amount"),
            ("/lerp a fox to a castle", "in quotes"),
            ("/mix #1", "a second picture"),
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
