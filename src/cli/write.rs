//! `illumine write`: one prompt, one passage, on standard output and nowhere else.

use super::args::Write as Args;
use super::environment::{self, Paths};
use super::page::Meter;
use super::signals;
use super::{Exit, Failed};
use illumine::engine::Engine;
use illumine::store::prompts::Prompts;
use illumine::story::context::{Beside, build};
use illumine::story::frame::Frame;
use illumine::story::message::{Goal, Overflow, Recall, Stats, TextRequest};
use illumine::story::untrusted::clean;
use illumine::story::voice::{self, Template};
use illumine::story::{
    About, Author, Event, Mode, Node, Passage, Reply, Request, Settings, Status,
};
use illumine::studio::Work;
use serde::Serialize;
use std::io::{IsTerminal, Read, Write, stdin, stdout};
use std::sync::mpsc::{Receiver, channel};

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    text: &'a str,
    prompt_ids: &'a [u32],
    ids: &'a [u32],
    stop: Status,
    seed: u64,
    model: Model<'a>,
    timings: Timings,
}

#[derive(Serialize)]
struct Model<'a> {
    name: &'a str,
    sha256: &'a str,
}

#[derive(Serialize)]
struct Timings {
    load_ms: f64,
    prefill_ms: f64,
    prefill_tps: f64,
    decode_ms: f64,
    decode_tps: f64,
    reused: usize,
    /// Of the new tokens, those that were guessed and read along with the one before.
    guessed: usize,
}

/// What came of the request.
#[derive(Default)]
struct Written {
    about: About,
    text: String,
    ids: Vec<u32>,
    stats: Stats,
    status: Option<Status>,
}

pub fn run(paths: &Paths, args: &Args) -> Result<Exit, Failed> {
    let template = match &args.template {
        Some(name) => Some(Prompts::new(paths.prompts.clone()).find(name)?),
        None => None,
    };
    let settings = environment::settings_with(paths, &args.common, template.as_ref())?;
    let (frame, own) = filled(template.as_ref(), args, settings.mode)?;
    let prompt = match own.filter(|_| args.prompt.is_none()) {
        Some(own) => own,
        None => prompt(args)?,
    };
    let seed = settings.sampling.seed.unwrap_or_else(environment::entropy);
    let (sender, events) = channel();
    let engine = Engine::start(environment::loader(paths, &args.common)?, sender);
    let watch = signals::listen(engine.stopper());
    watch.working(true);
    engine.submit(Request::Load {
        model: settings.model.clone(),
    });
    engine.submit(request(&settings, &frame, &prompt, seed, args.crop));
    if args.echo {
        super::print(&prompt)?;
    }
    let stream = !args.json;
    let written = follow(&engine, &events, stream)?;
    let status = written.status.unwrap_or(Status::Failed);
    if args.json {
        super::print(&report(&written, status, seed)?)?;
    } else if stdout().is_terminal() && !written.text.ends_with('\n') {
        super::print("\n")?;
    }
    watch.working(false);
    match watch.interrupts() {
        0 => Ok(Exit::Well),
        _ => Ok(Exit::Interrupted),
    }
}

/// The prompt as given, or all of standard input.
fn prompt(args: &Args) -> Result<String, Failed> {
    let usage = |why: &str| Failed::new(Exit::Usage, why);
    let prompt = match &args.prompt {
        Some(prompt) => clean(prompt).into_owned(),
        None => piped()?,
    };
    match prompt.is_empty() {
        true => Err(usage("The prompt is empty; give the words to continue")),
        false => Ok(prompt),
    }
}

/// The line end that `echo` adds is not part of the prompt.
fn piped() -> Result<String, Failed> {
    let usage = |why: &str| Failed::new(Exit::Usage, why);
    if stdin().is_terminal() {
        return Err(usage(
            "Give a prompt, as in illumine write \"Once upon a time\", or pipe one in",
        ));
    }
    let mut bytes = Vec::new();
    let read = stdin().lock().read_to_end(&mut bytes);
    read.map_err(|error| usage(&format!("Standard input cannot be read ({error})")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        usage(&format!(
            "The prompt is not UTF-8 (at byte {at}); convert it, for example with iconv"
        ))
    })?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    Ok(clean(text).into_owned())
}

/// The template's voice, and its own first words where it has some.
fn filled(
    template: Option<&Template>,
    args: &Args,
    mode: Mode,
) -> Result<(Frame, Option<String>), Failed> {
    let Some(template) = template else {
        return Ok((Frame::default(), None));
    };
    let usage = |error| Failed::new(Exit::Usage, error);
    let given: Result<Vec<_>, _> = args.var.iter().map(|pair| voice::value(pair)).collect();
    let filled = template.fill(&given.map_err(usage)?).map_err(usage)?;
    let own = match mode {
        Mode::Prose => filled.begin,
        Mode::Chat => filled.ask,
    };
    let mut frame = Frame::default();
    frame.voice = Some(filled.voice);
    Ok((frame, Some(own).filter(|own| !own.is_empty())))
}

fn request(settings: &Settings, frame: &Frame, prompt: &str, seed: u64, crop: bool) -> Request {
    let node = Node {
        author: Author::Prompt,
        text: prompt.to_string(),
        turn: settings.mode == Mode::Chat,
        ..Node::default()
    };
    let path = [Passage::whole(&node)];
    let most = settings.sampling.recall as usize;
    Request::Text(TextRequest {
        node: 1,
        context: build(settings, frame, &path, &Beside::default()),
        sampling: settings.sampling.clone(),
        seed,
        // A program that asks for so many tokens gets them, after exactly its words.
        goal: Goal::Exact,
        bans: settings.sampling.banned_phrases.clone(),
        heal: false,
        begin: Vec::new(),
        recall: (most > 0).then(|| Recall {
            most,
            lore: Vec::new(),
        }),
        overflow: if crop {
            Overflow::Crop
        } else {
            Overflow::Refuse
        },
    })
}

/// Follows the engine to the end of the passage.
fn follow(engine: &Engine, events: &Receiver<Reply>, stream: bool) -> Result<Written, Failed> {
    let mut written = Written::default();
    let mut meter = Meter::new();
    for Reply { event, .. } in events {
        match event {
            Event::Loading { what, done, total } => {
                meter.show(&Work::Loading { what, done, total })
            }
            Event::Ready(about, _) => {
                meter.clear();
                if let Some(note) = &about.note {
                    super::complain(note);
                }
                written.about = about;
            }
            Event::Prefill {
                done,
                total,
                reused,
                cut,
                ..
            } => {
                let dropped = cut.dropped;
                if done == reused && dropped > 0 {
                    super::complain(&format!(
                        "The oldest {dropped} tokens of the prompt were left out"
                    ));
                }
                meter.show(&Work::Reading {
                    done,
                    total,
                    reused,
                });
            }
            Event::Piece { text, ids, .. } => {
                meter.clear();
                if stream && put(&text).is_err() {
                    engine.stopper().stop();
                }
                written.text.push_str(&text);
                written.ids.extend(ids);
            }
            Event::Done {
                node: Some(_),
                status,
                stats,
            } => {
                written.stats = stats;
                written.status = Some(status);
                return Ok(written);
            }
            Event::Warned(why) => super::complain(&why),
            Event::Rewound { .. }
            | Event::Recalled(_)
            | Event::Alternatives(_)
            | Event::Suggested(_)
            | Event::Explained(_)
            | Event::Kept(_)
            | Event::Ended { .. }
            | Event::Drawing { .. }
            | Event::Drawn { .. } => {}
            Event::Done { .. } => {}
            Event::Failed { why, fault, .. } => {
                meter.clear();
                return Err(Failed::new(fault.into(), why));
            }
        }
    }
    Err(Failed::new(
        Exit::Engine,
        "The engine has stopped; try again",
    ))
}

fn put(text: &str) -> std::io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn report(written: &Written, status: Status, seed: u64) -> Result<String, Failed> {
    let stats = &written.stats;
    let report = Report {
        text: &written.text,
        prompt_ids: &stats.prompt_ids,
        ids: &written.ids,
        stop: status,
        seed,
        model: Model {
            name: &written.about.name,
            sha256: &written.about.sha256,
        },
        timings: Timings {
            load_ms: written.about.load_ms,
            prefill_ms: stats.prefill_ms,
            prefill_tps: stats.prefill_tps(),
            decode_ms: stats.decode_ms,
            decode_tps: stats.decode_tps(),
            reused: stats.reused,
            guessed: stats.guessed,
        },
    };
    let json = serde_json::to_string(&report);
    let json = json.map_err(|error| Failed::new(Exit::Engine, error))?;
    Ok(format!("{json}\n"))
}
