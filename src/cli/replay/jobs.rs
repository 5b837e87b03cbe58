//! Runs the cases on threads. Cases that use a model in this process run one after the other. If
//! there are several jobs, all other cases run in parallel.

use super::news::{Halt, News};
use super::page::ReplayPage;
use super::plan::Plan;
use super::runner::Runner;
use super::truth::Truth;
use super::{Exit, Failed};
use illumine::engine::Loader;
use illumine::engine::fan_out::SharedLoader;
use illumine::studio::{Setup, Studio};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, channel, sync_channel};
use std::thread::{Builder, scope};
use std::time::Duration;

/// The interval at which the main thread checks whether to stop the run, and updates the progress.
const TICK: Duration = Duration::from_millis(100);
/// The maximum number of messages that may wait for the main thread.
const WAITING: usize = 256;

/// A list of cases, and the number of threads that run them.
pub(super) struct Lane {
    cases: Vec<usize>,
    next: AtomicUsize,
    threads: usize,
}

/// The cases of a run, divided by the models that they use.
#[derive(Default)]
pub(super) struct Lanes {
    /// The cases that use no model in this process.
    remote: Option<Lane>,
    /// The cases that use models in this process. These lanes run one after the other, so that only
    /// one text model is loaded at a time.
    local: Vec<Lane>,
}

/// How the cases are divided.
pub(super) struct Division<'a> {
    /// The maximum number of cases that run at the same time if they use no model in this process.
    pub(super) jobs: usize,
    /// The maximum number of cases whose passages a model in this process writes together.
    pub(super) batch: usize,
    pub(super) is_remote: &'a dyn Fn(usize) -> bool,
    /// Returns the only model that a case uses, if the model runs in this process; None otherwise.
    pub(super) only_model: &'a dyn Fn(usize) -> Option<String>,
}

impl Division<'_> {
    /// Divides the cases into lanes. If `jobs` is more than 1, the cases that use no model in this
    /// process share a lane. If `batch` is more than 1, there is a lane for each model, with the
    /// cases that use only this model. The last lane has all other cases, and runs them one at a
    /// time.
    pub(super) fn divide(&self, cases: impl IntoIterator<Item = usize>) -> Lanes {
        let (remote, here): (Vec<usize>, Vec<usize>) = cases
            .into_iter()
            .partition(|index| self.jobs > 1 && (self.is_remote)(*index));
        let (mut models, mut batches, mut alone) = (HashMap::new(), Vec::new(), Vec::new());
        for index in here {
            match (self.only_model)(index).filter(|_| self.batch > 1) {
                Some(model) => {
                    let lane = *models.entry(model).or_insert(batches.len());
                    if lane == batches.len() {
                        batches.push(Vec::new());
                    }
                    batches[lane].push(index);
                }
                None => alone.push(index),
            }
        }
        let batches = batches
            .into_iter()
            .filter_map(|cases| Lane::new(cases, self.batch));
        Lanes {
            remote: Lane::new(remote, self.jobs),
            local: batches.chain(Lane::new(alone, 1)).collect(),
        }
    }
}

impl Lane {
    fn new(cases: Vec<usize>, threads: usize) -> Option<Lane> {
        let threads = threads.min(cases.len());
        (threads > 0).then(|| Lane {
            cases,
            next: AtomicUsize::new(0),
            threads,
        })
    }

    fn next(&self) -> Option<usize> {
        let next = self.next.fetch_add(1, Ordering::SeqCst);
        self.cases.get(next).copied()
    }
}

/// Everything that a thread needs to run cases.
pub(super) struct Start<'a, L> {
    pub(super) plan: &'a Plan<'a>,
    pub(super) truth: &'a Truth,
    pub(super) loader: &'a SharedLoader<L>,
    pub(super) setup: &'a Setup,
    pub(super) halt: &'a Halt,
}

/// Runs the cases of all lanes. `take` is called on this thread with each message; the run stops if
/// `take` returns false.
pub(super) fn run<L: Loader + 'static>(
    start: &Start<L>,
    lanes: &Lanes,
    warnings: &std::sync::mpsc::Receiver<String>,
    take: &mut dyn FnMut(News) -> bool,
) -> Result<(), Failed> {
    let (sender, news) = sync_channel(WAITING);
    scope(|scope| {
        let beside = lanes.remote.as_ref().map(|lane| {
            let news = sender.clone();
            scope.spawn(move || share(start, lane, &news))
        });
        let local = sender.clone();
        let in_turn = scope.spawn(move || {
            let mut lanes = lanes.local.iter();
            lanes.try_for_each(|lane| share(start, lane, &local))
        });
        drop(sender);
        let mut closed = false;
        loop {
            let next = match news.recv_timeout(TICK) {
                Ok(next) => next,
                Err(RecvTimeoutError::Timeout) => News::Tick,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            for why in warnings.try_iter() {
                take(News::Warned(why));
            }
            if !take(next) {
                start.halt.stop();
            }
            if start.halt.is_set() {
                // A thread may have begun a request just before it saw the mark.
                start.halt.stop();
                if !std::mem::replace(&mut closed, true) {
                    start.loader.shut_down();
                }
            }
        }
        for why in warnings.try_iter() {
            take(News::Warned(why));
        }
        let ended = beside.into_iter().chain([in_turn]);
        let mut ended = ended.map(|thread| thread.join().unwrap_or(Err(Fault::Broken)));
        match ended.find_map(Result::err) {
            None => Ok(()),
            Some(Fault::NoThread(error)) => Err(Failed::new(
                Exit::Engine,
                format!(
                    "Cannot start another thread ({error}); use a lower number with --jobs or --batch"
                ),
            )),
            Some(Fault::Broken) => Err(Failed::new(
                Exit::Engine,
                "A case ended unexpectedly, and others did not run; run the cases alone to find it",
            )),
        }
    })
}

/// The reason why a lane did not run all its cases.
enum Fault {
    NoThread(std::io::Error),
    Broken,
}

/// Runs the cases of a lane on its threads.
fn share<L: Loader + 'static>(
    start: &Start<L>,
    lane: &Lane,
    news: &SyncSender<News>,
) -> Result<(), Fault> {
    scope(|scope| {
        let mut threads = Vec::new();
        let mut fault = None;
        for _ in 0..lane.threads {
            let named = Builder::new().name("replay".to_string());
            let news = news.clone();
            match named.spawn_scoped(scope, move || work(start, lane, news)) {
                Ok(thread) => threads.push(thread),
                Err(error) => fault = Some(Fault::NoThread(error)),
            }
        }
        let broken = threads.into_iter().filter_map(|it| it.join().err()).count();
        match fault {
            _ if broken > 0 => Err(Fault::Broken),
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    })
}

/// Runs cases of a lane until none is left.
fn work<L: Loader + 'static>(start: &Start<L>, lane: &Lane, news: SyncSender<News>) {
    let (sender, events) = channel();
    let (engine, findings) = start.truth.engine(start.loader.clone(), sender);
    start.halt.add(engine.stopper());
    let studio = Studio::new(engine, start.setup.clone());
    let page = ReplayPage::new(start.halt.clone(), news.clone());
    let plan = start.plan;
    let mut runner = Runner::new(studio, events, page, plan.args, (start.truth, findings));
    while let Some(index) = lane.next().filter(|_| !start.halt.is_set()) {
        let (script, case) = plan.cases[index];
        let settings = plan.settings(index).unwrap_or_default();
        let Some(mut ran) = runner.case(script, case, &settings) else {
            return;
        };
        ran.report.mode = plan.mode(index);
        ran.report = plan.steadied(index, ran.report);
        ran.report.digest = plan.digest(index);
        if news.send(News::Ended(index, Box::new(ran))).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(lanes: &Lanes) -> Vec<(&[usize], usize)> {
        let all = lanes.remote.iter().chain(&lanes.local);
        all.map(|it| (&it.cases[..], it.threads)).collect()
    }

    #[test]
    fn cases_run_beside_those_that_use_the_same_model() {
        let model = |index: usize| match index {
            9 => None,
            _ => Some(format!("model {}", index % 3)),
        };
        let division = |jobs, batch| Division {
            jobs,
            batch,
            is_remote: &|index| index.is_multiple_of(2),
            only_model: &model,
        };
        let lanes = division(3, 4).divide(0..14);
        let wanted: [(&[usize], usize); 5] = [
            (&[0, 2, 4, 6, 8, 10, 12], 3),
            (&[1, 7, 13], 3),
            (&[3], 1),
            (&[5, 11], 2),
            (&[9], 1),
        ];
        assert_eq!(parts(&lanes), wanted);
        let all: Vec<usize> = (0..7).collect();
        assert_eq!(parts(&division(1, 1).divide(0..7)), [(&all[..], 1)]);
        assert_eq!(
            parts(&division(1, 4).divide(7..10)),
            [(&[7][..], 1), (&[8], 1), (&[9], 1)]
        );
        let few = division(9, 4).divide([2]);
        let lane = few.remote.as_ref().unwrap();
        assert_eq!((lane.next(), lane.next()), (Some(2), None));
    }
}
