//! `illumine train gan` and `illumine train export`: trains the image model and exports its
//! weights. Progress is shown in a live view or as lines of text.

use super::args::Gan as Args;
use super::environment::{self, Paths};
use super::models::with_progress;
use super::page::{Meter, Progress};
use super::training_reporter::{TrainingReporter, save_sheet};
use super::{Exit, Failed, complain, note, pictures, print};
use ::train::batches::captions;
use ::train::data::dataset::Dataset;
use ::train::export::Export;
use ::train::job::{Job, TrainingData, check, train as run_job};
use ::train::losses::LossWeights;
use ::train::run::{RunOutcome, Schedule, TrainingEvent};
use ::train::{TrainError, export as exports};
use base::hash::sha256;
use base::progress::{Cancelled, Observer};
use illumine::tui::training::{self as screen, Run, ScreenOptions, Update};
use llm::device;
use llm::sentence_encoder::SentenceEncoder;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::io::{IsTerminal, stdin, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

pub fn train(paths: &Paths, args: &Args) -> Result<Exit, Failed> {
    set_threads(args.on.threads)?;
    let dataset = pictures::read(&args.data)?;
    let mut job = job(args);
    check(&job, &dataset.styles).map_err(failed)?;
    if job.weights.perceptual > 0.0 {
        job.perceptual_network = Some(fetch_perceptual_network(paths, args.offline)?);
    }
    let sha256 = pictures::digest(&dataset)?;
    let embeddings = embed_captions(paths, &dataset, &args.run, args.on.device, args.offline)?;
    let data = TrainingData {
        dataset: &dataset,
        sha256: &sha256,
        embeddings: &embeddings,
    };
    let train = |observer: &dyn Observer, on_event: &mut dyn FnMut(TrainingEvent)| {
        run_job(&job, data, observer, on_event)
    };
    let run = Run {
        phase: job.phase.to_string(),
        folder: job.run.clone(),
        steps: job.schedule.steps,
        batch: job.schedule.batch_size,
        unit: "pictures",
    };
    show(&run, args.plain, train)
}

/// Sets the number of threads on which candle computes; None leaves the default. A training command
/// must call this function before any other.
pub(super) fn set_threads(threads: Option<u16>) -> Result<(), Failed> {
    let Some(threads) = threads else {
        return Ok(());
    };
    // Candle computes on its own threads and on rayon's pool; both can be sized once, before
    // anything uses them.
    // SAFETY: no other thread is running yet.
    unsafe { std::env::set_var("CANDLE_NUM_THREADS", threads.to_string()) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(usize::from(threads));
    pool.build_global().map_err(|why| {
        Failed::new(
            Exit::Usage,
            format!("Cannot start {threads} threads: {why}"),
        )
    })
}

/// Runs `train`, which trains a model of any kind, and shows its events in the live view. If
/// `plain` is true or the terminal is not suitable, prints the events as lines instead. Ctrl+C
/// saves a checkpoint and ends the run.
pub(super) fn show(
    run: &Run,
    plain: bool,
    train: impl FnOnce(&dyn Observer, &mut dyn FnMut(TrainingEvent)) -> Trained + Send,
) -> Result<Exit, Failed> {
    let outcome = match wants_screen(plain) {
        true => run_with_screen(run, train)?,
        false => run_with_lines(run, train)?,
    };
    match outcome.map_err(failed)? {
        RunOutcome::Done => Ok(Exit::Well),
        RunOutcome::Stopped => {
            note("Stopped; run the same command again to resume from the checkpoint");
            Ok(Exit::Interrupted)
        }
    }
}

/// Creates the training job that the flags describe, without the perceptual network.
fn job(args: &Args) -> Job {
    let defaults = LossWeights::of(args.phase, args.small);
    let perceptual = args.perceptual.unwrap_or(defaults.perceptual);
    Job {
        phase: args.phase,
        run: args.run.clone(),
        small: args.small,
        from: args.from.clone(),
        device: args.on.device,
        schedule: Schedule {
            seed: args.seed,
            batch_size: usize::from(args.batch),
            steps: args.steps,
            decay_steps: args.decay,
            learning_rate: args.learning_rate,
            checkpoint_every: args.checkpoint_every,
            sample_every: args.sample_every,
        },
        weights: LossWeights {
            gan_loss: args.loss,
            adversarial: args.adversarial.unwrap_or(defaults.adversarial),
            r1: args.r1,
            kl: args.divergence,
            caption_contrastive: args.caption_contrastive,
            perceptual: match args.phase.has_perceptual_loss() {
                true => perceptual,
                false => 0.0,
            },
            ..defaults
        },
        perceptual_network: None,
    }
}

/// Returns the path of the perceptual loss network, which is downloaded if it is missing.
fn fetch_perceptual_network(paths: &Paths, offline: bool) -> Result<PathBuf, Failed> {
    let catalog = environment::catalog()?;
    let store = environment::model_store(paths, offline);
    with_progress(|watch| store.ensure(catalog.perceptual(), watch))
}

type Trained = Result<RunOutcome, TrainError>;

/// Whether to show the live view. The live view needs a terminal that can draw a screen.
fn wants_screen(plain: bool) -> bool {
    let dumb = environment::variable("TERM").as_deref() == Some("dumb");
    !plain && !dumb && stdin().is_terminal() && stdout().is_terminal()
}

/// An observer that cancels a run as soon as the flag is set. It ignores progress, since the run
/// reports progress as events.
struct StopFlag<'a>(&'a AtomicBool);

impl Observer for StopFlag<'_> {
    fn progress(&self, _: &str, _: u64, _: Option<u64>) {}

    fn check(&self) -> Result<(), Cancelled> {
        match self.0.load(Ordering::SeqCst) {
            true => Err(Cancelled),
            false => Ok(()),
        }
    }
}

/// Trains and prints lines of progress. The first Ctrl+C saves a checkpoint and ends the run; a
/// second Ctrl+C ends the run immediately.
fn run_with_lines(
    run: &Run,
    train: impl FnOnce(&dyn Observer, &mut dyn FnMut(TrainingEvent)) -> Trained,
) -> Result<Trained, Failed> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let code = i32::from(Exit::Signal(signal as u8).code());
        // If signals are unavailable, the run continues without them.
        let _ = flag::register_conditional_shutdown(signal, code, stop.clone());
        let _ = flag::register(signal, stop.clone());
    }
    let mut reporter = TrainingReporter::new(run);
    Ok(train(&StopFlag(&stop), &mut |event| reporter.report(event)))
}

/// Trains on a separate thread and shows the live view.
fn run_with_screen(
    run: &Run,
    train: impl FnOnce(&dyn Observer, &mut dyn FnMut(TrainingEvent)) -> Trained + Send,
) -> Result<Trained, Failed> {
    let engine = |why: &dyn std::fmt::Display| Failed::new(Exit::Engine, why);
    let stop = AtomicBool::new(false);
    let options = ScreenOptions {
        colour: environment::colour(),
        all_colours: environment::all_colours(),
        graphics: environment::graphics(),
    };
    let (sender, news) = channel();
    std::thread::scope(|scope| {
        let stop = &stop;
        let trained = scope.spawn(move || {
            train(&StopFlag(stop), &mut |event| {
                // Without a screen, nobody is watching the run, so it ends.
                if sender.send(update(run, event)).is_err() {
                    stop.store(true, Ordering::SeqCst);
                }
            })
        });
        let watched = screen::watch(run.clone(), &news, stop, options);
        stop.store(true, Ordering::SeqCst);
        match &watched {
            Ok(watched) => watched.remarks.iter().for_each(|words| complain(words)),
            Err(why) => complain(&format!(
                "Cannot use the terminal screen ({why}); use --plain to print lines"
            )),
        }
        if watched.as_ref().is_ok_and(|watched| watched.at_once) {
            note("Stopped immediately; the last checkpoint is intact");
            std::process::exit(i32::from(Exit::Interrupted.code()));
        }
        let trained = trained.join();
        watched.map_err(|why| engine(&why))?;
        trained.map_err(|_| engine(&"Training failed; the last checkpoint is intact"))
    })
}

fn update(run: &Run, event: TrainingEvent) -> Update {
    match event {
        TrainingEvent::Resumed(step) => Update::Resumed(step),
        TrainingEvent::Step { number, metrics } => Update::Step(number, metrics.clone()),
        TrainingEvent::Checkpointed(step) => Update::Checkpointed(step),
        TrainingEvent::Warning(words) => Update::Warning(words.to_string()),
        TrainingEvent::Sheet(sheet) => match save_sheet(run, &sheet) {
            Ok((file, (width, height))) => Update::Sheet(file, width, height),
            Err(why) => Update::Warning(why),
        },
    }
}

/// The arguments of `illumine train export`.
pub struct ExportArgs<'a> {
    pub run: &'a Path,
    pub data: &'a Path,
    /// The weights that the run started from.
    pub from: Option<&'a Path>,
    pub out: &'a Path,
    pub offline: bool,
}

pub fn export(paths: &Paths, args: &ExportArgs) -> Result<Exit, Failed> {
    let dataset = pictures::read(args.data)?;
    let embeddings = embed_captions(
        paths,
        &dataset,
        args.run,
        device::DeviceChoice::Cpu,
        args.offline,
    )?;
    let meter = Progress::of_things();
    let written = exports::export(
        &Export {
            run: args.run,
            out: args.out,
            from: args.from,
            dataset: &dataset,
            embeddings: &embeddings,
        },
        &meter,
    );
    drop(meter);
    written.map_err(failed)?;
    print(&format!("Wrote the weights to {}\n", args.out.display()))
}

/// Returns the embeddings of all captions. The embeddings are cached in the run's folder, since
/// there may be tens of thousands of captions.
fn embed_captions(
    paths: &Paths,
    pictures: &Dataset,
    run: &Path,
    device: device::DeviceChoice,
    offline: bool,
) -> Result<Vec<f32>, Failed> {
    let captions = captions(pictures);
    let name = sha256(captions.join("\n").as_bytes());
    let path = run.join(format!("captions-{}.f32", &name[..16]));
    let bytes = std::fs::read(&path).unwrap_or_default();
    if bytes.len() == captions.len() * llm::sentence_encoder::WIDTH * 4 {
        let words = bytes.chunks_exact(4);
        return Ok(words
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect());
    }
    let model = |why: &dyn std::fmt::Display| Failed::new(Exit::Model, why);
    let catalog = environment::catalog()?;
    let store = environment::model_store(paths, offline);
    let encoder = with_progress(|watch| store.ensure(catalog.encoder(), watch))?;
    let mut meter = Meter::new();
    let encoder = SentenceEncoder::open(&encoder, device).map_err(|why| model(&why))?;
    let embeddings = encoder.embed_all(&captions, &mut |done| {
        meter.count("Captions embedded", done as u64, captions.len() as u64);
        true
    });
    meter.clear();
    let embeddings = embeddings.map_err(|why| model(&why))?.unwrap_or_default();
    let bytes: Vec<u8> = embeddings.iter().flat_map(|x| x.to_le_bytes()).collect();
    let kept = std::fs::create_dir_all(run).and_then(|()| std::fs::write(&path, bytes));
    kept.map_err(|why| {
        let why = format!("Cannot write {}: {why}", path.display());
        Failed::new(Exit::Session, why)
    })?;
    Ok(embeddings)
}

pub fn failed(error: TrainError) -> Failed {
    let exit = match error {
        TrainError::Disk(..) => Exit::Session,
        TrainError::Diverged(_) | TrainError::Compute(_) => Exit::Engine,
        _ => Exit::Usage,
    };
    Failed::new(exit, error)
}
