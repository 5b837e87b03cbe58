//! `illumine train gan` and `illumine train export`: training runs, with a live view or plain
//! lines.

use super::args::Gan as Args;
use super::environment::{self, Paths};
use super::models::with_progress;
use super::page::Meter;
use super::training_reporter::{TrainingReporter, save_sheet};
use super::{Exit, Failed, complain, note, pictures, print};
use illumine::model::device;
use illumine::model::encoder::SentenceEncoder;
use illumine::story::hash::sha256;
use illumine::train::batches::captions;
use illumine::train::data::dataset::Dataset;
use illumine::train::discriminator::LossWeights;
use illumine::train::job::{Job, check, train as run_job};
use illumine::train::run::{RunOutcome, TrainingEvent};
use illumine::train::{TrainError, export as exports};
use illumine::tui::training::{self as screen, Run, ScreenOptions, Update};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::io::{IsTerminal, stdin, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

pub fn train(paths: &Paths, args: &Args) -> Result<Exit, Failed> {
    if let Some(threads) = args.on.threads {
        // Candle computes on threads of its own, and on rayon's pool; both can be sized once, before
        // anything uses them.
        // SAFETY: nothing runs yet beside this thread.
        unsafe { std::env::set_var("CANDLE_NUM_THREADS", threads.to_string()) };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(usize::from(threads));
        pool.build_global().map_err(|why| {
            Failed::new(
                Exit::Usage,
                format!("Cannot start {threads} threads: {why}"),
            )
        })?;
    }
    let pictures = pictures::read(&args.data)?;
    let mut job = Job {
        phase: args.phase.clone(),
        run: args.run.clone(),
        small: args.small,
        from: args.from.clone(),
        device: args.on.device,
        seed: args.seed,
        batch: usize::from(args.batch),
        steps: args.steps,
        decay: args.decay,
        rate: args.learning_rate,
        keep: args.checkpoint_every,
        sheets: args.sample_every,
        means: LossWeights {
            loss: args.loss,
            adversarial: args.adversarial.unwrap_or(match args.phase.as_str() {
                REFINE => 0.05,
                _ => LossWeights::default().adversarial,
            }),
            r1: args.r1,
            divergence: args.divergence,
            ..LossWeights::default()
        },
        belonging: args.caption_contrastive,
        perceptual: perceptual_weight(args),
        look: None,
    };
    check(&job, &pictures.styles).map_err(failed)?;
    if job.perceptual > 0.0 {
        job.look = Some(fetch_perceptual_network(paths, args.offline)?);
    }
    let digest = pictures::digest(&pictures)?;
    let embeddings = embed_captions(paths, &pictures, &args.run, args.on.device, args.offline)?;
    let train = |watch: &mut dyn FnMut(TrainingEvent) -> bool| {
        run_job(&job, &pictures, &digest, &embeddings, watch)
    };
    let end = match wants_screen(args) {
        true => run_with_screen(args, train)?,
        false => run_with_lines(args, train)?,
    };
    match end.map_err(failed)? {
        RunOutcome::Done => Ok(Exit::Well),
        RunOutcome::Stopped => {
            note("Stopped; run the same command again to resume from the checkpoint");
            Ok(Exit::Interrupted)
        }
    }
}

const REFINE: &str = "refine";

/// The perceptual loss weight, for the phases that use it.
fn perceptual_weight(args: &Args) -> f64 {
    let usual = match args.phase.as_str() {
        REFINE => 1.0,
        "reconstruct" | "paint" if args.small => 0.0,
        "reconstruct" | "paint" => 1.0,
        _ => return 0.0,
    };
    args.perceptual.unwrap_or(usual)
}

/// Downloads the network for the perceptual loss.
fn fetch_perceptual_network(paths: &Paths, offline: bool) -> Result<PathBuf, Failed> {
    let catalog = environment::catalog()?;
    let store = environment::model_store(paths, offline);
    with_progress(|watch| store.ensure(catalog.perceptual(), watch))
}

type Trained = Result<RunOutcome, TrainError>;

/// Whether standard output is a terminal that can show the live view.
fn wants_screen(args: &Args) -> bool {
    let dumb = environment::variable("TERM").as_deref() == Some("dumb");
    !args.plain && !dumb && stdin().is_terminal() && stdout().is_terminal()
}

/// Trains and reports in plain lines. The first Ctrl+C ends the run with a checkpoint, the second
/// ends it immediately.
fn run_with_lines(
    args: &Args,
    train: impl FnOnce(&mut dyn FnMut(TrainingEvent) -> bool) -> Trained,
) -> Result<Trained, Failed> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let code = i32::from(Exit::Signal(signal as u8).code());
        // Where signals cannot be had, the run goes on without.
        let _ = flag::register_conditional_shutdown(signal, code, stop.clone());
        let _ = flag::register(signal, stop.clone());
    }
    let mut teller = TrainingReporter::new(args);
    Ok(train(&mut |news| {
        teller.report(news);
        !stop.load(Ordering::SeqCst)
    }))
}

/// Trains on a thread of its own and shows the live view.
fn run_with_screen(
    args: &Args,
    train: impl FnOnce(&mut dyn FnMut(TrainingEvent) -> bool) -> Trained + Send,
) -> Result<Trained, Failed> {
    let engine = |why: &dyn std::fmt::Display| Failed::new(Exit::Engine, why);
    let stop = AtomicBool::new(false);
    let run = Run {
        phase: args.phase.clone(),
        folder: args.run.display().to_string(),
        steps: args.steps,
        batch: usize::from(args.batch),
    };
    let looks = ScreenOptions {
        colour: environment::colour(),
        all_colours: environment::all_colours(),
        graphics: environment::graphics(),
    };
    let (sender, news) = channel();
    std::thread::scope(|scope| {
        let stop = &stop;
        let trained = scope.spawn(move || {
            train(&mut |news| {
                // Nobody looks any more: the run is to end.
                let heard = sender.send(update(args, news)).is_ok();
                heard && !stop.load(Ordering::SeqCst)
            })
        });
        let watched = screen::watch(run, &news, stop, looks);
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

fn update(args: &Args, news: TrainingEvent) -> Update {
    match news {
        TrainingEvent::Resumed(step) => Update::Resumed(step),
        TrainingEvent::Step { number, metrics } => Update::Step(number, metrics.clone()),
        TrainingEvent::Checkpointed(step) => Update::Kept(step),
        TrainingEvent::Warning(words) => Update::Warning(words.to_string()),
        TrainingEvent::Sheet(sheet) => match save_sheet(args, &sheet) {
            Ok((file, (width, height))) => Update::Sheet(file, width, height),
            Err(why) => Update::Warning(why),
        },
    }
}

/// Exports a run. `from` holds the weights that it started from.
pub fn export(
    paths: &Paths,
    run: &Path,
    (data, from): (&Path, Option<&Path>),
    out: &Path,
    offline: bool,
) -> Result<Exit, Failed> {
    let pictures = pictures::read(data)?;
    let embeddings = embed_captions(paths, &pictures, run, device::DeviceChoice::Cpu, offline)?;
    let mut meter = Meter::new();
    let mut tell =
        |done: usize, all: usize| meter.count("Pictures indexed", done as u64, all as u64);
    let written = exports::export(run, out, &pictures, &embeddings, from, &mut tell);
    meter.clear();
    written.map_err(failed)?;
    print(&format!("Wrote the weights to {}\n", out.display()))
}

/// Embeds all captions, and caches the embeddings in the run's folder, since there are tens of
/// thousands.
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
    if bytes.len() == captions.len() * illumine::model::encoder::WIDTH * 4 {
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
