//! `illumine write --each`: writes a passage for each case of a file. A model server receives many
//! requests at the same time; a local model writes one passage after another.

mod case_file;
mod merge;
mod progress;
mod results;
mod row;

use super::args::{Common, Write as Args};
use super::environment::{self, Paths, variable};
use super::shard::Shard;
use super::{Exit, Failed, backends, complain, note, signals, write};
use base::hash::split_mix;
use case_file::CaseFile;
use illumine::engine::Stop;
use illumine::engine::fan_out::{Cases, End, Ended, News, Plan};
use illumine::store::prompts::Prompts;
use illumine::studio::{CasePrompt, case_request, run_cases};
use progress::{Progress, Tally, summary};
use remote::is_address;
use results::{Outcome, ResultRow, Results, Usage};
use row::Case;
use std::collections::BTreeSet;
use std::time::Duration;
use story::message::{Overflow, TextRequest};
use story::voice::PromptTemplate;
use story::{Author, SettingOverrides, Settings};

/// Whether the arguments contain `--each` or `--merge`.
pub fn is_asked(args: &Args) -> bool {
    args.many.each.is_some() || !args.many.merge.is_empty()
}

pub fn run(paths: &Paths, args: &Args) -> Result<Exit, Failed> {
    let many = &args.many;
    if let Some((out, inputs)) = many.merge.split_first() {
        return merge::run(out, inputs, many.each.as_deref());
    }
    let Some(file) = &many.each else {
        return Err(Failed::new(Exit::Usage, "--each FILE is missing"));
    };
    let shard = Shard::find(many.shard.as_deref(), variable);
    let shard = shard.map_err(|why| Failed::new(Exit::Usage, why))?;
    let mut requests = Requests::new(paths, args)?;
    let (results, done) = Results::open(many.output.as_deref())?;
    let mut cases = CaseFile::open(file)?;
    let finished = cases.keep(shard.as_ref(), &done);
    say_begin(&cases, shard.as_ref(), finished);
    let entropy = environment::entropy();
    requests.entropy = entropy;
    let plan = Plan {
        jobs: many.jobs.map(usize::from),
        retries: many.retries,
        limit: Duration::from_secs(many.timeout),
        entropy,
        model: requests.settings.model.clone(),
    };
    let total = cases.rows.len();
    let mut sink = Sink {
        results,
        progress: Progress::new(total),
        tally: Tally {
            total,
            ..Tally::default()
        },
        failure: None,
    };
    let stop = Stop::default();
    let watch = signals::listen(stop.clone());
    let mut loader = environment::loader(paths, &args.common)?;
    watch.working(true);
    let mut feed = Feed {
        cases: &cases,
        requests,
        next: 0,
    };
    let end = match total {
        0 => End::Complete,
        _ => run_cases(&mut loader, &plan, &mut feed, &stop, &mut |news| {
            sink.take(news, &cases)
        }),
    };
    let outcome = sink.end(end, watch.interrupts() > 0);
    watch.working(false);
    outcome
}

fn say_begin(cases: &CaseFile, shard: Option<&Shard>, finished: usize) {
    let mut line = match cases.rows.len() {
        1 => "1 case to write".to_string(),
        count => format!("{count} cases to write"),
    };
    if finished > 0 {
        line += &format!(", {finished} already written");
    }
    if let Some(shard) = shard {
        line += &format!(", {} (from {})", shard.name(), shard.source);
    }
    note(&line);
    if !cases.unused.is_empty() {
        let names: Vec<&str> = cases.unused.iter().map(String::as_str).collect();
        note(&format!("Ignored fields: {}", names.join(", ")));
    }
}

/// Builds requests from the rows of the case file.
struct Requests {
    settings: Settings,
    template: Option<PromptTemplate>,
    /// The values of `--var`.
    variables: Vec<String>,
    overflow: Overflow,
    common: Common,
    /// The names of the servers in config.toml.
    servers: BTreeSet<String>,
    entropy: u64,
}

impl Requests {
    fn new(paths: &Paths, args: &Args) -> Result<Requests, Failed> {
        let template = match &args.template {
            Some(name) => Some(Prompts::new(paths.prompts.clone()).find(name)?),
            None => None,
        };
        Ok(Requests {
            settings: environment::settings_with(paths, &args.common, template.as_ref())?,
            template,
            variables: args.var.clone(),
            overflow: match args.crop {
                true => Overflow::Crop,
                false => Overflow::Refuse,
            },
            common: args.common.clone(),
            servers: environment::backends(paths, &args.common)?
                .named
                .into_keys()
                .collect(),
            entropy: 0,
        })
    }

    fn request(&self, case: Case, line: u32) -> Result<(String, TextRequest), String> {
        let model = case.model.map(|name| self.model(name));
        let asked = SettingOverrides {
            model: model.transpose()?,
            mode: case.mode,
            system: case.system,
            sampling: case.sampling,
        };
        let settings = asked.apply_to(self.settings.clone());
        let settings = settings.map_err(|error| error.to_string())?;
        let template = self.template.as_ref();
        if template.is_none() && !case.variables.is_empty() {
            return Err("vars need a template; name one with --template".to_string());
        }
        let filled =
            write::fill_template(template, &self.variables, &case.variables, settings.mode);
        let (voice, own) = filled.map_err(|failed| failed.why)?;
        let messages = match (case.messages, own) {
            (Some(messages), _) => messages,
            (None, Some(own)) => vec![(Author::Prompt, own)],
            (None, None) => return Err("it has no prompt; add one".to_string()),
        };
        // Each case gets its own seed unless one is set; its result includes the seed.
        let random = || split_mix(self.entropy, u64::from(line));
        let seed = settings.sampling.seed.unwrap_or_else(random);
        let prompt = CasePrompt { messages, voice };
        let request = case_request(&settings, prompt, self.overflow, seed);
        Ok((settings.model, request))
    }

    /// Returns the full name of the model that a row calls `name`. If the run uses a server, `name`
    /// refers to a model on that server, unless `name` is itself a server's address.
    fn model(&self, name: String) -> Result<String, String> {
        let usual = self.settings.model.as_str();
        let (server, _) = usual.split_once(':').unwrap_or((usual, ""));
        let on_server = match &self.common.backend {
            Some(server) => Some(server.clone()),
            None if is_address(usual) => Some(usual.to_string()),
            None => self.servers.get(server).cloned(),
        };
        let elsewhere = is_address(&name);
        let common = Common {
            backend: on_server.filter(|_| !elsewhere),
            model: Some(name),
            ..Common::default()
        };
        let model = backends::model_of(&common).map_err(|failed| failed.why)?;
        Ok(model.unwrap_or_default())
    }
}

/// Supplies the cases of a case file, one after another.
struct Feed<'a> {
    cases: &'a CaseFile,
    requests: Requests,
    next: usize,
}

impl Cases for Feed<'_> {
    fn next(&mut self) -> Option<usize> {
        let next = self.next;
        self.next += 1;
        (next < self.cases.rows.len()).then_some(next)
    }

    fn request(&mut self, case: usize) -> Result<(String, TextRequest), String> {
        let place = self.cases.rows[case];
        let asked = self.cases.row(place).case?;
        let request = self.requests.request(asked, place.line);
        request.map_err(|why| match why.starts_with("Line ") {
            true => why,
            false => format!("Line {} cannot be used: {why}", place.line),
        })
    }
}

/// Handles the events of a run: writes the results and shows the progress.
struct Sink {
    results: Results,
    progress: Progress,
    tally: Tally,
    /// The first failure to write a result.
    failure: Option<Failed>,
}

impl Sink {
    fn take(&mut self, news: News, cases: &CaseFile) -> bool {
        match news {
            News::Loading { what, .. } => self.progress.loading(what),
            News::Ready(about) => {
                if let Some(why) = &about.note {
                    self.progress.say(why);
                }
            }
            News::Warned(why) => self.progress.say(why),
            News::Pace { in_flight, .. } => {
                self.tally.in_flight = in_flight;
                self.tally.peak = self.tally.peak.max(in_flight);
                self.progress.show(&self.tally);
            }
            News::Ended(ended) => return self.ended(&ended, cases),
        }
        true
    }

    fn ended(&mut self, ended: &Ended, cases: &CaseFile) -> bool {
        self.tally.retries += u64::from(ended.attempts.saturating_sub(1));
        let outcome = match &ended.passage {
            Ok(written) => {
                self.tally.written += 1;
                self.tally.tokens += written.stats.new_tokens;
                Outcome::Written {
                    text: &written.text,
                    finish: written.status,
                    tokens: written.stats.new_tokens,
                    usage: Usage {
                        prompt_tokens: written.stats.prompt_tokens,
                        completion_tokens: written.stats.new_tokens,
                        cached_tokens: written.stats.reused,
                    },
                }
            }
            Err(failure) => {
                self.tally.failed += 1;
                Outcome::Failed {
                    error: &failure.why,
                }
            }
        };
        let place = cases.rows[ended.case];
        let row = ResultRow {
            id: &cases.row(place).id,
            line: place.line,
            outcome,
            seconds: (ended.took.as_secs_f64() * 1e3).round() / 1e3,
            attempts: ended.attempts,
            model: &ended.model,
            seed: ended.seed,
            ended: environment::now(),
        };
        self.progress.show(&self.tally);
        match self.results.write(&row) {
            Ok(reader_is_there) => reader_is_there,
            Err(failed) => {
                self.failure.get_or_insert(failed);
                false
            }
        }
    }

    /// Reports the summary of the run, and returns the exit code.
    fn end(mut self, end: End, interrupted: bool) -> Result<Exit, Failed> {
        self.results.finish();
        let time = self.progress.finish();
        note(&summary(&self.tally, time));
        if let Some(failed) = self.failure {
            return Err(failed);
        }
        let left = self.tally.total - self.tally.written - self.tally.failed;
        match end {
            End::NoModel(why) => return Err(Failed::new(Exit::Model, why)),
            End::Hopeless(why) => {
                let why =
                    format!("{why}; {left} cases are left; run the same command again to resume");
                return Err(Failed::new(Exit::Model, why));
            }
            End::Stopped if interrupted => {
                complain(&format!(
                    "{left} cases are left; run the same command again to resume"
                ));
                return Ok(Exit::Interrupted);
            }
            End::Stopped | End::Complete => {}
        }
        Ok(match self.tally.failed {
            0 => Exit::Well,
            _ => Exit::Engine,
        })
    }
}
