//! Writes several continuations of one story side by side.
//!
//! If the server supports `n`, a single request is sent for all continuations. Otherwise, each
//! continuation has a separate request. These requests are sent in parallel, or one after another
//! if the server answers only one at a time. Continuations written in parallel have separate
//! threads, which run the code for a single passage, so each continuation has its own stop strings,
//! bans, length and errors.

use super::Remote;
use super::asking::{Begun, Wish};
use super::source::{Share, Source, spread};
use super::write;
use crate::engine::backend::{Answer, Failure, Listener};
use crate::engine::length::most_tokens;
use crate::engine::text::build;
use base::progress::{Cancelled, Observer};
use remote::{Kind, Prompt};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, Scope};
use std::time::Duration;
use story::message::{PassageStats, TextRequest};
use story::{Event, SharedRequest, Status};

/// The interval at which the request's thread checks for a stop request.
const TICK: Duration = Duration::from_millis(30);

/// Writes a passage for each request. Tells the listener how each passage except the last ended,
/// and returns how the last one ended.
pub fn candidates(
    remote: &mut Remote,
    requests: &[TextRequest],
    listener: &dyn Listener,
) -> Answer {
    let mut endings = Endings::new(requests, listener);
    if requests.len() < 2 || remote.flavour().answers_one_at_a_time() {
        for (index, request) in requests.iter().enumerate() {
            let answer = match listener.is_cancelled() {
                true => Ok((Status::Stopped, PassageStats::default())),
                false => write::write(remote, request, listener),
            };
            endings.add(index, answer);
        }
        return endings.close();
    }
    let shared = share(remote, requests, listener)?;
    write_together(remote, requests, shared, &mut endings);
    endings.close()
}

/// A report that a candidate's thread sends to the thread of the request.
enum Report {
    Event(Event),
    Progress(String, u64, Option<u64>),
    Over(usize, Answer, Box<Remote>),
}

/// Opens one stream for all candidates. Returns None if each candidate needs a separate request.
fn share(
    remote: &mut Remote,
    requests: &[TextRequest],
    listener: &dyn Listener,
) -> Result<Option<Begun>, Failure> {
    let Some((first, others)) = requests.split_first() else {
        return Ok(None);
    };
    let same = |other: &TextRequest| other.sampling == first.sampling && other.goal == first.goal;
    let alike = others.iter().all(same) && requests.iter().all(|it| it.begin.is_empty());
    let takes = remote.flavour().takes_choices() && !remote.refused.contains("n");
    if !alike || !takes {
        return Ok(None);
    }
    // Random words in the context may make the candidates' prompts differ.
    let prompts = requests
        .iter()
        .map(|request| Ok(build(remote, request)?.prompt));
    let Ok(prompts) = prompts.collect::<Result<Vec<Prompt>, Failure>>() else {
        return Ok(None);
    };
    if prompts.iter().any(|prompt| *prompt != prompts[0]) {
        return Ok(None);
    }
    let wish = Wish {
        prompt: prompts[0].clone(),
        seed: first.seed,
        most: most_tokens(first),
        likely: 0,
        bias: Vec::new(),
        choices: requests.len(),
        stream: true,
    };
    match remote.begin(first, &wish, listener) {
        Ok(begun) => Ok(Some(begun)),
        Err(error) => match error.kind {
            // Separate requests would only make these errors worse.
            Kind::Busy { .. } | Kind::Silent { .. } | Kind::Unreachable(_) => Err(error.into()),
            // Separate requests handle or report any other error.
            _ => Ok(None),
        },
    }
}

fn write_together(
    remote: &mut Remote,
    requests: &[TextRequest],
    shared: Option<Begun>,
    endings: &mut Endings,
) {
    let stop = AtomicBool::new(false);
    let (sender, reports) = channel();
    std::thread::scope(|scope| {
        let mut shares = shared.map_or(Vec::new(), |begun| shares(scope, begun, requests, &stop));
        for (index, request) in requests.iter().enumerate() {
            let share = (!shares.is_empty()).then(|| shares.remove(0));
            let mut own = remote.clone();
            let relay = Relay {
                reports: sender.clone(),
                stop: &stop,
            };
            let begun = Builder::new().spawn_scoped(scope, move || {
                let answer = write::write_from(&mut own, request, share, &relay);
                // Sending fails only if the whole request is already over.
                let _ = relay
                    .reports
                    .send(Report::Over(index, answer, Box::new(own)));
            });
            if let Err(why) = begun {
                endings.add(index, Err(Failure::engine(format!("Cannot write: {why}"))));
            }
        }
        drop(sender);
        listen(remote, &reports, &stop, endings);
    });
}

/// Starts a thread that reads the shared stream. Returns the part of the stream that each candidate
/// receives.
fn shares<'scope>(
    scope: &'scope Scope<'scope, '_>,
    begun: Begun,
    requests: &[TextRequest],
    stop: &'scope AtomicBool,
) -> Vec<Share> {
    let Begun {
        protocol,
        source: Source::Own(stream),
        first,
    } = begun
    else {
        return Vec::new();
    };
    let shared = |choice| SharedRequest {
        // The seed that `share` sent.
        seed: requests[0].seed,
        number: choice + 1,
        of: requests.len(),
    };
    let (senders, shares) = (0..requests.len())
        .map(|choice| {
            let (sender, steps) = channel();
            let share = Share {
                protocol,
                choice,
                request: shared(choice),
                steps,
            };
            (sender, share)
        })
        .unzip();
    let reads = move || spread(protocol, *stream, first, senders, &Stopping(stop));
    match Builder::new().spawn_scoped(scope, reads) {
        Ok(_) => shares,
        Err(_) => Vec::new(),
    }
}

/// Forwards the candidates' events until all candidates have ended.
fn listen(
    remote: &mut Remote,
    reports: &Receiver<Report>,
    stop: &AtomicBool,
    endings: &mut Endings,
) {
    let listener = endings.listener;
    let mut writes = false;
    loop {
        let goes_on = match reports.recv_timeout(TICK) {
            Ok(Report::Event(event)) => {
                writes |= matches!(event, Event::Piece { .. });
                match event {
                    // Progress with one prompt must not hide candidates already being written.
                    Event::Prefill { .. } if writes => true,
                    Event::Warned(why) => endings.warn(why),
                    event => listener.tell(event),
                }
            }
            Ok(Report::Progress(step, done, total)) => {
                listener.progress(&step, done, total);
                true
            }
            Ok(Report::Over(index, answer, own)) => {
                remote.learn(*own, index == 0);
                endings.add(index, answer)
            }
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if !goes_on || listener.is_cancelled() {
            stop.store(true, Ordering::SeqCst);
        }
    }
}

impl Remote {
    /// Takes over what a candidate's requests revealed about the server. If `all` is true, also
    /// takes over the token counts and the place where the prompt's story starts.
    fn learn(&mut self, other: Remote, all: bool) {
        self.refused.extend(other.refused);
        self.said.extend(other.said);
        self.only_chats |= other.only_chats;
        self.refuses_prefill |= other.refuses_prefill;
        self.about.context = self.about.context.min(other.about.context);
        self.memory.learn(&other.memory, all);
        if all {
            self.counts = other.counts;
        }
    }
}

/// A listener that sends a candidate's events to the thread of the request.
struct Relay<'a> {
    reports: Sender<Report>,
    stop: &'a AtomicBool,
}

struct Stopping<'a>(&'a AtomicBool);

impl Observer for Stopping<'_> {
    fn progress(&self, _: &str, _: u64, _: Option<u64>) {}

    fn check(&self) -> Result<(), Cancelled> {
        match self.0.load(Ordering::SeqCst) {
            true => Err(Cancelled),
            false => Ok(()),
        }
    }
}

impl Observer for Relay<'_> {
    fn progress(&self, step: &str, done: u64, total: Option<u64>) {
        let report = Report::Progress(step.to_string(), done, total);
        // Losing a progress report does no harm.
        let _ = self.reports.send(report);
    }

    fn check(&self) -> Result<(), Cancelled> {
        Stopping(self.stop).check()
    }
}

impl Listener for Relay<'_> {
    fn tell(&self, event: Event) -> bool {
        self.reports.send(Report::Event(event)).is_ok()
    }
}

/// Collects how the candidates ended. If one candidate fails, the other candidates are kept.
struct Endings<'a> {
    requests: &'a [TextRequest],
    listener: &'a dyn Listener,
    answers: Vec<Option<Answer>>,
    /// The warnings already shown, since several candidates often cause the same warning.
    warned: HashSet<String>,
}

impl<'a> Endings<'a> {
    fn new(requests: &'a [TextRequest], listener: &'a dyn Listener) -> Endings<'a> {
        Endings {
            requests,
            listener,
            answers: vec![None; requests.len()],
            warned: HashSet::new(),
        }
    }

    fn warn(&mut self, why: String) -> bool {
        !self.warned.insert(why.clone()) || self.listener.tell(Event::Warned(why))
    }

    /// Records how a candidate ended. Tells the listener, unless the candidate failed or is the
    /// last. Returns false if the listener wants to stop.
    fn add(&mut self, index: usize, answer: Answer) -> bool {
        let goes_on = match &answer {
            Ok((status, stats)) => self.end(index, *status, stats.clone()),
            Err(_) => true,
        };
        self.answers[index] = Some(answer);
        goes_on
    }

    fn end(&self, index: usize, status: Status, stats: PassageStats) -> bool {
        let last = index + 1 == self.requests.len();
        last || self.listener.tell(Event::Ended {
            node: self.requests[index].node,
            status,
            stats,
        })
    }

    /// Returns how the last candidate ended, or an error if all candidates failed.
    fn close(mut self) -> Answer {
        let lost = || Err(Failure::engine("The candidate was lost; try /gen again"));
        let answers = std::mem::take(&mut self.answers).into_iter();
        let answers: Vec<Answer> = answers.map(|answer| answer.unwrap_or_else(lost)).collect();
        let failed = |answer: &Answer| answer.as_ref().err().cloned();
        if let Some(first) = answers.first().and_then(failed)
            && answers.iter().all(Result::is_err)
        {
            return Err(first);
        }
        let mut last = Ok((Status::Complete, PassageStats::default()));
        for (index, answer) in answers.into_iter().enumerate() {
            last = answer.or_else(|failure| {
                self.warn(failure.why);
                self.end(index, Status::Failed, PassageStats::default());
                Ok((Status::Failed, PassageStats::default()))
            });
        }
        last
    }
}
