//! Reads a cassette. Only the positions of the answers stay in memory; each answer is read from the
//! file when it is needed.

use super::nearest::{Sketch, finalists, miss, nearest};
use super::question::Question;
use super::{Header, Line, RecordedModel, Take, VERSION};
use crate::report::Failure;
use base::hash::{fnv1a, sha256};
use base::untrusted::{clean_key, clean_line};
use serde_json::error::Category;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use story::sentence::count_noun;

/// The maximum length of a line, in bytes.
const LONGEST: u64 = 64 << 20;
/// The maximum number of answers in a cassette.
const MOST: usize = 4_000_000;

/// How the answer to a request is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// By the request's key.
    Strict,
    /// By the order: the n-th request gets the n-th answer.
    InOrder,
    /// By the request's text and settings, whichever model is used.
    AnyModel,
}

/// A cassette in which every line has been checked.
pub struct Cassette {
    /// The path of the file as the user entered it.
    name: String,
    matching: Matching,
    /// A checksum of all lines of the file.
    digest: String,
    models: Vec<RecordedModel>,
    answers: Vec<Answer>,
    /// For each request key, the indices of its answers in the order in which they were recorded.
    by_key: HashMap<u128, Vec<usize>>,
    state: Mutex<State>,
    sketches: OnceLock<Vec<Sketch>>,
}

/// Where an answer is in the file, and which model and case it belongs to.
#[derive(Clone, Copy)]
struct Answer {
    at: u64,
    line: usize,
    /// A hash of the model's checksum.
    model: u64,
    /// A hash of the name of the case that made the request.
    case: u64,
}

struct State {
    file: BufReader<File>,
    /// The number of requests made so far.
    asked: usize,
    /// How often each request was made. A request is identified by its key, a hash of the model,
    /// and a hash of the case. The last is None if the request has no recorded answer for that
    /// case.
    asked_of: HashMap<(u128, u64, Option<u64>), usize>,
}

impl Cassette {
    /// Opens a cassette and checks all of its lines.
    pub fn open(path: &Path, matching: Matching) -> Result<Cassette, String> {
        let name = clean_line(&path.to_string_lossy());
        let failed = |error: io::Error| format!("Cannot read the cassette {name}: {error}");
        let mut file = BufReader::new(crate::files::open(path).map_err(failed)?);
        let mut buffer = Vec::new();
        let (mut at, mut line, mut digest) = (0, 0, String::new());
        let (mut models, mut answers) = (Vec::new(), Vec::new());
        let mut by_key: HashMap<u128, Vec<usize>> = HashMap::new();
        while read_line(&mut file, &mut buffer).map_err(failed)? {
            line += 1;
            let here = at;
            at += buffer.len() as u64;
            let damaged = |why: &str| format!("{name}:{line}: {why}; record the cassette again");
            if buffer.len() as u64 > LONGEST {
                let why = format!("This line is longer than {} MB", LONGEST >> 20);
                return Err(damaged(&why));
            }
            digest = sha256((digest + &sha256(&buffer)).as_bytes());
            if line == 1 {
                check_header(&buffer, &name)?;
                continue;
            }
            if buffer.trim_ascii().is_empty() {
                continue;
            }
            match parse(&buffer).map_err(|why| damaged(&why))? {
                Line::Model(model) => models.push(cleaned(model)),
                Line::Answer(take) => {
                    if answers.len() >= MOST {
                        return Err(damaged("The cassette has too many answers"));
                    }
                    let model = fnv1a(&take.question.model);
                    let key = match matching {
                        Matching::AnyModel => take.question.to_any_model().key(),
                        Matching::Strict | Matching::InOrder => take.key,
                    };
                    let key = parse_key(&key);
                    let key = key.ok_or_else(|| damaged("The key is not 32 hexadecimal digits"))?;
                    by_key.entry(key).or_default().push(answers.len());
                    answers.push(Answer {
                        at: here,
                        line,
                        model,
                        case: fnv1a(&take.case),
                    });
                }
            }
        }
        if line == 0 {
            check_header(b"", &name)?;
        }
        Ok(Cassette {
            name,
            matching,
            digest,
            models,
            answers,
            by_key,
            state: Mutex::new(State {
                file,
                asked: 0,
                asked_of: HashMap::new(),
            }),
            sketches: OnceLock::new(),
        })
    }

    /// The path of the file as the user entered it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A checksum of all lines of the cassette.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the model that was loaded under the name `requested`. If the name is empty and no
    /// model has it, returns the only model in the cassette, provided that there is just one.
    pub fn model(&self, requested: &str) -> Result<&RecordedModel, String> {
        let named = self.models.iter().find(|it| it.requested == requested);
        if let Some(model) = named {
            return Ok(model);
        }
        match &self.models[..] {
            [only] if requested.is_empty() => Ok(only),
            models => {
                let names = models.iter().map(|model| match model.requested.as_str() {
                    "" => model.about.name.clone(),
                    named => clean_line(named),
                });
                let names: Vec<String> = names.collect();
                let wanted = match requested {
                    "" => "the default model".to_string(),
                    named => clean_key(named),
                };
                Err(format!(
                    "The cassette {} has no answers of {wanted}; it has those of {}",
                    self.name,
                    match names.is_empty() {
                        true => "no model".to_string(),
                        false => names.join(", "),
                    }
                ))
            }
        }
    }

    /// Returns the model with this SHA-256.
    pub fn model_with(&self, sha256: &str) -> Option<&RecordedModel> {
        self.models
            .iter()
            .find(|model| model.about.sha256 == sha256)
    }

    /// Returns the answer to a request of the case `case`, or an explanation of why there is none.
    /// If several cases make the same request, each case gets the answers that were recorded for
    /// it, in whatever order the cases run.
    pub fn answer(&self, question: &Question, case: &str) -> Result<Take, Box<Failure>> {
        let failed = |why: String| {
            Box::new(Failure {
                why,
                ..Failure::default()
            })
        };
        let key = match self.matching {
            Matching::AnyModel => question.to_any_model().key(),
            Matching::Strict | Matching::InOrder => question.key(),
        };
        let mut state = self.state();
        state.asked += 1;
        let number = match self.matching {
            Matching::InOrder => Some(state.asked - 1).filter(|it| *it < self.answers.len()),
            Matching::Strict | Matching::AnyModel => {
                let key = parse_key(&key).unwrap_or_default();
                let same = self.by_key.get(&key).map_or(&[][..], Vec::as_slice);
                // Answers of the same model come first, if there are any.
                let model = fnv1a(&question.model);
                let is_own = |number: &&usize| self.answers[**number].model == model;
                let own: Vec<usize> = same.iter().filter(is_own).copied().collect();
                let same = if own.is_empty() { same } else { &own };
                let case = fnv1a(case);
                let is_of_case = |number: &&usize| self.answers[**number].case == case;
                let of_case: Vec<usize> = same.iter().filter(is_of_case).copied().collect();
                let (same, case) = match of_case.is_empty() {
                    true => (same, None),
                    false => (&of_case[..], Some(case)),
                };
                let times = state.asked_of.entry((key, model, case)).or_default();
                // A request that was recorded less often gets its last answer again.
                let found = same.get(*times).or(same.last()).copied();
                *times += 1;
                found
            }
        };
        let asked = state.asked;
        drop(state);
        let Some(number) = number else {
            return Err(match self.matching {
                Matching::InOrder => failed(format!(
                    "The cassette {} has only {}, but this is request {asked}.",
                    self.name,
                    count_noun(self.answers.len(), "answer")
                )),
                Matching::Strict | Matching::AnyModel => self.missing(question),
            });
        };
        let take = self.take(number).map_err(failed)?;
        if take.question.kind != question.kind {
            return Err(failed(format!(
                "Request {asked} is for {}, but answer {asked} of the cassette {} is {}.",
                question.kind.name(),
                self.name,
                take.question.kind.name()
            )));
        }
        Ok(take)
    }

    /// Reads the answer with the index `number` from the file.
    fn take(&self, number: usize) -> Result<Take, String> {
        let Answer { at, line, .. } = self.answers[number];
        let mut buffer = Vec::new();
        let mut state = self.state();
        let file = &mut state.file;
        let read = file.seek(SeekFrom::Start(at));
        let read = read.and_then(|_| read_line(file, &mut buffer));
        read.map_err(|error| format!("Cannot read the cassette {}: {error}", self.name))?;
        drop(state);
        match parse(&buffer) {
            Ok(Line::Answer(take)) => Ok(take),
            Ok(Line::Model(_)) | Err(_) => Err(format!(
                "{}:{line}: The cassette changed while it was played; run the replay again",
                self.name
            )),
        }
    }

    /// Explains that a request has no recorded answer, and how it differs from the nearest recorded
    /// request.
    fn missing(&self, question: &Question) -> Box<Failure> {
        let question = match self.matching {
            Matching::AnyModel => question.to_any_model(),
            Matching::Strict | Matching::InOrder => question.clone(),
        };
        let sketches = self.sketches.get_or_init(|| {
            let takes = (0..self.answers.len()).map(|number| self.take(number));
            takes
                .map(|take| take.map_or(Sketch::default(), |take| Sketch::new(&take.question)))
                .collect()
        });
        let recorded = finalists(&question, sketches).into_iter();
        let recorded = recorded.filter_map(|number| {
            let question = self.take(number).ok()?.question;
            let question = match self.matching {
                Matching::AnyModel => question.to_any_model(),
                Matching::Strict | Matching::InOrder => question,
            };
            Some((self.answers[number].line, question))
        });
        let found = nearest(&question, recorded.collect());
        Box::new(miss(&self.name, &question, found))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replaces the contents of `buffer` with the next line, reading at most one byte more than the
/// largest allowed length. Returns false at the end of the file.
fn read_line(file: &mut BufReader<File>, buffer: &mut Vec<u8>) -> io::Result<bool> {
    buffer.clear();
    file.take(LONGEST + 1).read_until(b'\n', buffer)?;
    Ok(!buffer.is_empty())
}

fn check_header(line: &[u8], name: &str) -> Result<(), String> {
    match serde_json::from_slice::<Header>(line) {
        Ok(header) if header.version == VERSION => Ok(()),
        Ok(header) if header.version > VERSION => Err(format!(
            "The cassette {name} was recorded by a newer illumine ({}); update illumine, or record it again",
            clean_key(&header.build)
        )),
        Ok(_) | Err(_) => Err(format!(
            "{name} is not a cassette; record one with illumine replay SCRIPT --record FILE"
        )),
    }
}

/// Parses any line other than the header. If the line is an answer, checks that it is complete.
fn parse(line: &[u8]) -> Result<Line, String> {
    let parsed: Line = serde_json::from_slice(line).map_err(|error| match error.classify() {
        Category::Eof => "The line is incomplete".to_string(),
        Category::Syntax | Category::Io => {
            format!("The line is not JSON (column {})", error.column())
        }
        Category::Data => {
            let why = clean_line(&error.to_string());
            let why = why.split(" at line ").next().unwrap_or_default();
            let short: String = why.chars().take(120).collect();
            format!("The line is damaged: {short} (column {})", error.column())
        }
    })?;
    if let Line::Answer(take) = &parsed {
        let ends = |place: usize| take.events[place].1.is_end();
        let last = take.events.len().checked_sub(1);
        let whole = last.is_some_and(ends) && !(0..take.events.len() - 1).any(ends);
        let timed = take.events.iter().all(|(time, _)| *time >= 0.0);
        if !whole || !timed {
            return Err("The answer has no end, or times below 0".to_string());
        }
    }
    Ok(parsed)
}

/// Returns the model with its texts cleaned, so that they are safe to show.
fn cleaned(mut model: RecordedModel) -> RecordedModel {
    let about = &mut model.about;
    for text in [
        &mut about.name,
        &mut about.sha256,
        &mut about.architecture,
        &mut about.backend,
    ] {
        *text = clean_line(text);
    }
    about.note = about.note.as_deref().map(clean_line);
    about
        .cannot
        .iter_mut()
        .for_each(|name| *name = clean_line(name));
    model
}

fn parse_key(key: &str) -> Option<u128> {
    let digits = key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    u128::from_str_radix(key, 16).ok().filter(|_| digits)
}
