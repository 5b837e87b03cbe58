//! Starts the cases of a plan. Prepares the loader and the setup that all threads share, and
//! handles Ctrl+C.

use super::super::environment::{self, Paths};
use super::super::signals::{self, Watch};
use super::super::{Failed, note};
use super::jobs::{self, Division, Start};
use super::news::{Halt, News};
use super::plan::{Plan, SEED};
use super::truth::Truth;
use illumine::engine::ModelLoader;
use illumine::engine::fan_out::{Pacing, SharedLoader};
use illumine::studio::Setup;
use std::sync::mpsc::channel;
use std::time::Duration;
use story::sentence::count_noun;

/// Stops a run when Ctrl+C is pressed.
pub(super) struct Control {
    halt: Halt,
    watch: Watch,
}

impl Control {
    pub(super) fn listen() -> Control {
        let halt = Halt::default();
        let watch = signals::listen_with({
            let halt = halt.clone();
            move || halt.stop()
        });
        // The program may end only once the reports are complete.
        watch.working(true);
        Control { halt, watch }
    }

    pub(super) fn interrupted(&self) -> bool {
        self.watch.interrupts() > 0
    }

    /// Whether the run has been stopped, so that no more cases begin.
    pub(super) fn is_stopped(&self) -> bool {
        self.halt.is_set()
    }

    /// Call this when the reports are complete. From then on, a signal may end the program.
    pub(super) fn end(&self) {
        self.watch.working(false);
    }
}

/// Runs those cases of a plan whose indices are in `cases`. Returns the total number of retried
/// requests.
pub(super) fn launch(
    paths: &Paths,
    plan: &Plan,
    truth: &Truth,
    loader: ModelLoader,
    control: &Control,
    cases: Vec<usize>,
    take: &mut dyn FnMut(News) -> bool,
) -> Result<u64, Failed> {
    let args = plan.args;
    let servers = loader.backends.clone();
    let is_server = |model: &str| truth.plays() || servers.find(model).is_some();
    let jobs = usize::from(args.many.jobs);
    // Both `--bail` and a cassette depend on the order of the cases, and on a GPU the results depend
    // on the batch.
    let in_turn = args.many.bail.is_some() || truth.uses_cassette();
    let batches = !in_turn && loader.is_batch_invariant();
    let division = Division {
        jobs,
        batch: if batches { args.many.batch.into() } else { 1 },
        is_remote: &|index| plan.is_remote(index, &is_server),
        only_model: &|index| plan.only_model(index).filter(|model| !is_server(model)),
    };
    let lanes = division.divide(cases);
    let pacing = Pacing {
        jobs: Some(jobs),
        retries: args.many.retries,
        limit: Duration::from_secs(args.many.timeout),
        entropy: environment::entropy(),
        resident: division.batch > 1,
    };
    let (warn, warnings) = channel();
    let loader = SharedLoader::new(loader, pacing, move |why| {
        // Nobody is warned once the run is over.
        let _ = warn.send(why.to_string());
    });
    let setup = Setup {
        // Every case is private, and nothing depends on chance.
        private: true,
        entropy: SEED,
        ..environment::setup(paths, &args.common)?
    };
    let start = Start {
        plan,
        truth,
        loader: &loader,
        setup: &setup,
        halt: &control.halt,
    };
    jobs::run(&start, &lanes, &warnings, take)?;
    Ok(loader.retries())
}

/// Prints how many cases will run, if the run is a shard or resumes an earlier run.
pub(super) fn say_left(plan: &Plan, left: usize) {
    let many = &plan.args.many;
    if plan.shard.is_some() || many.resume.is_some() {
        let mut line = format!("{} to run", count_noun(left, "case"));
        let earlier = plan.cases.len() - left;
        if many.resume.is_some() {
            line += &format!(", {earlier} from the earlier run");
        }
        if let Some(shard) = &plan.shard {
            line += &format!(", {} (from {})", shard.name(), shard.source);
        }
        note(&line);
    }
}
