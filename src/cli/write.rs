//! `illumine write`: prints one passage for one prompt and saves nothing.

use super::args::Write as Args;
use super::environment::{self, Paths};
use super::follow::follow;
use super::signals;
use super::{Exit, Failed};
use base::decode::{MARK, decode, unix_lines};
use base::untrusted::clean;
use illumine::store::prompts::Prompts;
use illumine::studio::{Notice, Outcome, Setup, Studio};
use serde::Serialize;
use std::io::{IsTerminal, Read, stdin, stdout};
use std::sync::mpsc::Receiver;
use story::command::Completion;
use story::frame::Voice;
use story::message::{Overflow, PassageStats};
use story::voice::{self, PromptTemplate};
use story::{Command, Mode, ModelInfo, Node, Reply, Status};

/// The maximum length of a prompt in bytes. No model's context is long enough for such a prompt.
const LONGEST: u64 = 16 << 20;

/// The object that `--json` prints.
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
    /// The number of new tokens that were draft tokens accepted by the model.
    #[serde(rename = "guessed")]
    accepted_drafts: usize,
}

pub fn run(paths: &Paths, args: &Args) -> Result<Exit, Failed> {
    let template = match &args.template {
        Some(name) => Some(Prompts::new(paths.prompts.clone()).find(name)?),
        None => None,
    };
    let settings = environment::settings_with(paths, &args.common, template.as_ref())?;
    let (voice, own) = fill_template(template.as_ref(), &args.var, &[], settings.mode)?;
    let prompt = match own.filter(|_| args.prompt.is_none()) {
        Some(own) => own,
        None => prompt_text(args)?,
    };
    let setup = Setup {
        defaults: settings,
        // The text goes to standard output and nowhere else.
        private: true,
        ..environment::setup(paths, &args.common)?
    };
    let seed = setup.defaults.sampling.seed.unwrap_or(setup.entropy);
    let (mut studio, replies) = super::studio_with(paths, &args.common, setup)?;
    let watch = signals::listen(studio.stopper());
    watch.working(true);
    studio.load_model();
    if args.echo {
        super::print(&prompt)?;
    }
    let overflow = match args.crop {
        true => Overflow::Crop,
        false => Overflow::Refuse,
    };
    let completion = Completion {
        prompt,
        voice,
        overflow,
    };
    let Outcome::Started(node) = studio.run(Command::Complete(Box::new(completion)))? else {
        return Err(Failed::new(Exit::Engine, "Nothing started; try again"));
    };
    follow_events(&mut studio, &replies, !args.json)?;
    let written = studio.story().node(node);
    let text = written.map_or("", |node| node.text.as_str());
    if args.json {
        super::print(&report(&studio, written, seed)?)?;
    } else if stdout().is_terminal() && !text.ends_with('\n') {
        super::print("\n")?;
    }
    watch.working(false);
    let status = written.map(|node| node.status);
    match watch.interrupts() {
        // The server went away before the end.
        0 if status == Some(Status::Interrupted) => Ok(Exit::Engine),
        0 => Ok(Exit::Well),
        _ => Ok(Exit::Interrupted),
    }
}

/// Returns the prompt argument, or all of standard input if there is no prompt argument.
fn prompt_text(args: &Args) -> Result<String, Failed> {
    let usage = |why: &str| Failed::new(Exit::Usage, why);
    let prompt = match &args.prompt {
        Some(prompt) => clean(prompt.strip_prefix(MARK).unwrap_or(prompt)).into_owned(),
        None => read_stdin()?,
    };
    match prompt.is_empty() {
        true => Err(usage("The prompt is empty; give some text to continue")),
        false => Ok(prompt),
    }
}

/// Reads standard input, and removes the final line break, which `echo` adds.
fn read_stdin() -> Result<String, Failed> {
    let usage = |why: &str| Failed::new(Exit::Usage, why);
    if stdin().is_terminal() {
        return Err(usage(
            "No prompt; give one, for example illumine write \"Once upon a time\", or pipe one in",
        ));
    }
    let mut bytes = Vec::new();
    let read = stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes);
    read.map_err(|error| usage(&format!("Cannot read standard input ({error})")))?;
    if bytes.len() as u64 > LONGEST {
        return Err(usage(&format!(
            "The prompt is longer than {} MB; shorten it",
            LONGEST >> 20
        )));
    }
    let text = decode(bytes).map_err(|error| usage(&format!("The prompt {error}")))?;
    let text = unix_lines(&text);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(clean(text).into_owned())
}

/// Fills in the template. Returns the voice and, if there are any, the opening words. The variables
/// in `more` override those in `given`.
pub fn fill_template(
    template: Option<&PromptTemplate>,
    given: &[String],
    more: &[(String, String)],
    mode: Mode,
) -> Result<(Option<Voice>, Option<String>), Failed> {
    let Some(template) = template else {
        return Ok((None, None));
    };
    let usage = |error| Failed::new(Exit::Usage, error);
    let given: Result<Vec<_>, _> = given
        .iter()
        .map(|pair| voice::parse_assignment(pair))
        .collect();
    let mut given = given.map_err(usage)?;
    given.extend_from_slice(more);
    let filled = template.fill_variables(&given).map_err(usage)?;
    let own = match mode {
        Mode::Prose => filled.begin,
        Mode::Chat => filled.ask,
    };
    Ok((Some(filled.voice), Some(own).filter(|own| !own.is_empty())))
}

/// Handles notices until the passage has ended.
fn follow_events(
    studio: &mut Studio,
    replies: &Receiver<Reply>,
    stream: bool,
) -> Result<(), Failed> {
    follow(studio, replies, |studio, notice| {
        match notice {
            Notice::Text { text, .. } if stream => {
                let reader_is_there = super::output::write(text.as_bytes())?;
                if !reader_is_there {
                    studio.stop();
                }
            }
            Notice::LeftOut(tokens) => super::complain(&format!(
                "The oldest {tokens} tokens of the prompt were left out"
            )),
            // Other notices are for an interactive writer.
            _ => {}
        }
        Ok(())
    })
}

fn report(studio: &Studio, written: Option<&Node>, seed: u64) -> Result<String, Failed> {
    let (none, unknown) = (PassageStats::default(), ModelInfo::default());
    let stats = studio.last_stats().unwrap_or(&none);
    let about = studio.about().unwrap_or(&unknown);
    let report = Report {
        text: written.map_or("", |node| &node.text),
        prompt_ids: &stats.prompt_ids,
        ids: written.map_or(&[], |node| &node.ids),
        stop: written.map_or(Status::Failed, |node| node.status),
        seed,
        model: Model {
            name: &about.name,
            sha256: &about.sha256,
        },
        timings: Timings {
            load_ms: about.load_ms,
            prefill_ms: stats.prefill_ms,
            prefill_tps: stats.prefill_tps(),
            decode_ms: stats.decode_ms,
            decode_tps: stats.decode_tps(),
            reused: stats.reused,
            accepted_drafts: stats.accepted_drafts,
        },
    };
    let json = serde_json::to_string(&report);
    let json = json.map_err(|error| Failed::new(Exit::Engine, error))?;
    Ok(format!("{json}\n"))
}
