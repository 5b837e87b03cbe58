//! What a script says about how its cases run: where the answers come from, and on which server or
//! device the model runs.

use crate::position::ScriptError;
use crate::words::{Rest, Variables};
use std::path::{Path, PathBuf};

/// The minimum number of hexadecimal digits of a checksum in a script.
const SHORTEST: usize = 8;

/// Where the answers of a case come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Answers {
    /// The model generates every passage anew.
    #[default]
    Recompute,
    /// The answers in this cassette are played.
    Cassette(PathBuf),
    /// The model is checked against the answers in this cassette.
    Verify {
        cassette: PathBuf,
        /// How far the log-probability of a token may differ from the recorded one; None for the
        /// default.
        tolerance: Option<f64>,
    },
}

/// How a case runs, as far as the script specifies it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    pub answers: Option<Answers>,
    /// The address of a model server, or the name of a backend in config.toml.
    pub backend: Option<String>,
    /// The device: auto, cpu, cuda, cuda:N or metal.
    pub device: Option<String>,
    /// The number of CPU threads.
    pub threads: Option<u16>,
    /// The first hexadecimal digits of the SHA-256 of the model's file.
    pub sha256: Option<String>,
}

impl Conditions {
    /// Sets `backend`, `device` or `threads`. Returns an error if the value is invalid.
    pub(super) fn set(&mut self, word: &str, value: String) -> Result<(), String> {
        match word {
            "backend" => self.backend = Some(value),
            "device" => {
                let value = value.to_lowercase();
                if !is_device(&value) {
                    return Err("A device is auto, cpu, cuda, cuda:N or metal".to_string());
                }
                self.device = Some(value);
            }
            _ => {
                let number = value
                    .parse()
                    .ok()
                    .filter(|number| (1..=512).contains(number));
                let number = number.ok_or("threads takes a number from 1 to 512")?;
                self.threads = Some(number);
            }
        }
        Ok(())
    }
}

fn is_device(name: &str) -> bool {
    let number = name.strip_prefix("cuda:");
    let is_number = number.is_some_and(|number| number.parse::<usize>().is_ok());
    ["auto", "cpu", "cuda", "metal"].contains(&name) || is_number
}

/// Splits the value of a `model` line into the model's name and the checksum after it, as in
/// `tale.gguf sha256=b179c952`.
pub(super) fn pinned_model(value: &str) -> (&str, Result<Option<String>, String>) {
    let parts = value.rsplit_once(char::is_whitespace);
    let parts = parts.and_then(|(name, last)| Some((name, last.strip_prefix("sha256=")?)));
    let Some((name, digits)) = parts else {
        return (value, Ok(None));
    };
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let checksum = match is_hex && (SHORTEST..=64).contains(&digits.len()) {
        true => Ok(Some(digits.to_lowercase())),
        false => Err(format!(
            "sha256= takes {SHORTEST} to 64 hexadecimal digits, the first of the checksum that illumine models info NAME shows"
        )),
    };
    (name.trim_end(), checksum)
}

/// Parses `answers recompute`, `answers cassette FILE` and `answers verify FILE [tolerance NUMBER]`.
pub(super) fn answers(
    rest: &Rest,
    variables: &Variables,
    folder: &Path,
) -> Result<Answers, ScriptError> {
    let words = rest.words(variables)?;
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    Ok(match texts[..] {
        ["recompute"] => Answers::Recompute,
        ["cassette", file] => Answers::Cassette(folder.join(file)),
        ["verify", file] => Answers::Verify {
            cassette: folder.join(file),
            tolerance: None,
        },
        ["verify", file, "tolerance", number] => {
            let tolerance = number.parse().ok();
            let tolerance = tolerance.filter(|number| (0.0..=100.0).contains(number));
            let wrong = || ScriptError::new(&words[3].at, "tolerance takes a number from 0 to 100");
            Answers::Verify {
                cassette: folder.join(file),
                tolerance: Some(tolerance.ok_or_else(wrong)?),
            }
        }
        _ => {
            let why = "answers takes recompute, cassette FILE or verify FILE, which tolerance NUMBER may follow";
            return Err(ScriptError::new(&rest.at, why));
        }
    })
}
