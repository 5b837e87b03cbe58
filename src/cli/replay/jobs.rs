//! Runs the cases on threads: those that use no model in this process side by side, the others in
//! turn.

use super::news::{Halt, News};
use super::page::ReplayPage;
use super::plan::Plan;
use super::runner::Runner;
use super::truth::Truth;
use super::{Exit, Failed};
use illumine::engine::Loader;
use illumine::engine::fan_out::SharedLoader;
use illumine::studio::{Setup, Studio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, channel, sync_channel};
use std::thread::{Builder, scope};
use std::time::Duration;

/// How often the main thread checks whether the run is to stop, and updates the progress.
const TICK: Duration = Duration::from_millis(100);
/// How many reports may wait for the main thread.
const WAITING: usize = 256;

/// Cases that a number of threads share.
pub(super) struct Lane {
    cases: Vec<usize>,
    next: AtomicUsize,
    threads: usize,
    /// Whether the cases use no model in this process.
    remote: bool,
}

impl Lane {
    /// Divides the cases: with several jobs, those that use no model in this process get a lane of
    /// their own.
    pub(super) fn divide(
        cases: impl IntoIterator<Item = usize>,
        jobs: usize,
        is_remote: impl Fn(usize) -> bool,
    ) -> Vec<Lane> {
        let (remote, here): (Vec<usize>, Vec<usize>) = cases
            .into_iter()
            .partition(|index| jobs > 1 && is_remote(*index));
        let threads = jobs.min(remote.len());
        let lane = |cases, threads, remote| Lane {
            cases,
            next: AtomicUsize::new(0),
            threads,
            remote,
        };
        let lanes = [lane(remote, threads, true), lane(here, 1, false)];
        let full = lanes.into_iter().filter(|lane| !lane.cases.is_empty());
        full.collect()
    }

    /// Whether the cases run one after the other, however many jobs there are.
    pub(super) fn is_in_turn(&self) -> bool {
        !self.remote
    }

    fn next(&self) -> Option<usize> {
        let next = self.next.fetch_add(1, Ordering::SeqCst);
        self.cases.get(next).copied()
    }
}

/// What each thread starts with.
pub(super) struct Start<'a, L> {
    pub(super) plan: &'a Plan<'a>,
    pub(super) truth: &'a Truth,
    pub(super) loader: &'a SharedLoader<L>,
    pub(super) setup: &'a Setup,
    pub(super) halt: &'a Halt,
}

/// Runs the cases of all lanes. `take` receives the news on this thread; if it returns false, the
/// run stops.
pub(super) fn run<L: Loader + 'static>(
    start: &Start<L>,
    lanes: &[Lane],
    warnings: &std::sync::mpsc::Receiver<String>,
    take: &mut dyn FnMut(News) -> bool,
) -> Result<(), Failed> {
    let (sender, news) = sync_channel(WAITING);
    scope(|scope| {
        let mut threads = Vec::new();
        let mut fault = None;
        for lane in lanes {
            for _ in 0..lane.threads {
                let news = sender.clone();
                let named = Builder::new().name("replay".to_string());
                match named.spawn_scoped(scope, move || work(start, lane, news)) {
                    Ok(thread) => threads.push(thread),
                    Err(error) => fault = Some(error),
                }
            }
        }
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
        let broken = threads.into_iter().filter_map(|it| it.join().err()).count();
        match (broken, fault) {
            (0, None) => Ok(()),
            (0, Some(error)) => Err(Failed::new(
                Exit::Engine,
                format!("Cannot start another thread ({error}); use a lower number with --jobs"),
            )),
            (_, _) => Err(Failed::new(
                Exit::Engine,
                "A case ended unexpectedly, and others did not run; run the cases alone to find it",
            )),
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

    #[test]
    fn only_cases_on_servers_run_side_by_side() {
        let even = |index: usize| index.is_multiple_of(2);
        let lanes = Lane::divide(0..7, 3, even);
        let parts: Vec<_> = lanes.iter().map(|it| (&it.cases[..], it.threads)).collect();
        assert_eq!(parts, [(&[0, 2, 4, 6][..], 3), (&[1, 3, 5][..], 1)]);
        let one = Lane::divide(0..7, 1, even);
        assert!(one.len() == 1 && one[0].is_in_turn() && one[0].cases.len() == 7);
        let few = Lane::divide(0..2, 9, |_| true);
        assert!(few.len() == 1 && few[0].threads == 2);
        assert_eq!(few[0].next(), Some(0));
        assert_eq!((few[0].next(), few[0].next()), (Some(1), None));
    }
}
