//! `illumine train gan` and `illumine train export`: runs on disk, shown on a screen of their own
//! or told of in lines.

use super::args::Gan as Args;
use super::environment::{self, Paths};
use super::models::watched;
use super::page::Meter;
use super::teller::{Teller, keep_sheet};
use super::{Exit, Failed, complain, note, pictures, print};
use illumine::model::device;
use illumine::model::encoder::SentenceEncoder;
use illumine::story::hash::sha256;
use illumine::train::batches::captions;
use illumine::train::data::file::Pictures;
use illumine::train::job::{Job, check, train as run_job};
use illumine::train::judge::Means;
use illumine::train::run::{End, News};
use illumine::train::{TrainError, export as exports};
use illumine::tui::training::{self as screen, Looks, Run, Update};
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
                format!("{threads} threads cannot be had: {why}"),
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
        rate: args.rate,
        keep: args.keep,
        sheets: args.sheets,
        means: Means {
            loss: args.loss,
            adversarial: args.adversarial.unwrap_or(match args.phase.as_str() {
                REFINE => 0.05,
                _ => Means::default().adversarial,
            }),
            r1: args.r1,
            divergence: args.divergence,
            ..Means::default()
        },
        belonging: args.belonging,
        perceptual: perceptual(args),
        look: None,
    };
    check(&job, &pictures.styles).map_err(failed)?;
    if job.perceptual > 0.0 {
        job.look = Some(eyes(paths, args.offline)?);
    }
    let digest = pictures::digest(&pictures)?;
    let embeddings = embedded(paths, &pictures, &args.run, args.on.device, args.offline)?;
    let train =
        |watch: &mut dyn FnMut(News) -> bool| run_job(&job, &pictures, &digest, &embeddings, watch);
    let end = match live(args) {
        true => shown(args, train)?,
        false => told(args, train)?,
    };
    match end.map_err(failed)? {
        End::Done => Ok(Exit::Well),
        End::Stopped => {
            note("Stopped; the same command goes on from the checkpoint");
            Ok(Exit::Interrupted)
        }
    }
}

const REFINE: &str = "refine";

/// How much it counts how unlike pictures look, in the phases that ask it.
fn perceptual(args: &Args) -> f64 {
    let usual = match args.phase.as_str() {
        REFINE => 1.0,
        "reconstruct" | "paint" if args.small => 0.0,
        "reconstruct" | "paint" => 1.0,
        _ => return 0.0,
    };
    args.perceptual.unwrap_or(usual)
}

/// The network that tells how unlike pictures look.
fn eyes(paths: &Paths, offline: bool) -> Result<PathBuf, Failed> {
    let catalog = environment::catalog()?;
    let store = environment::model_store(paths, offline);
    watched(|watch| store.ensure(catalog.perceptual(), watch))
}

type Trained = Result<End, TrainError>;

/// Whether somebody looks at a screen that can be drawn on.
fn live(args: &Args) -> bool {
    let dumb = environment::variable("TERM").as_deref() == Some("dumb");
    !args.plain && !dumb && stdin().is_terminal() && stdout().is_terminal()
}

/// Trains, and says how it goes in lines. The first Ctrl+C ends the run with a checkpoint, the
/// second at once.
fn told(
    args: &Args,
    train: impl FnOnce(&mut dyn FnMut(News) -> bool) -> Trained,
) -> Result<Trained, Failed> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let code = i32::from(Exit::Signal(signal as u8).code());
        // Where signals cannot be had, the run goes on without.
        let _ = flag::register_conditional_shutdown(signal, code, stop.clone());
        let _ = flag::register(signal, stop.clone());
    }
    let mut teller = Teller::new(args);
    Ok(train(&mut |news| {
        teller.tell(news);
        !stop.load(Ordering::SeqCst)
    }))
}

/// Trains on a thread of its own, and shows how it goes on the screen.
fn shown(
    args: &Args,
    train: impl FnOnce(&mut dyn FnMut(News) -> bool) -> Trained + Send,
) -> Result<Trained, Failed> {
    let engine = |why: &dyn std::fmt::Display| Failed::new(Exit::Engine, why);
    let stop = AtomicBool::new(false);
    let run = Run {
        phase: args.phase.clone(),
        folder: args.run.display().to_string(),
        steps: args.steps,
        batch: usize::from(args.batch),
    };
    let looks = Looks {
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
                "The screen cannot be used ({why}); --plain prints lines"
            )),
        }
        if watched.as_ref().is_ok_and(|watched| watched.at_once) {
            note("Stopped at once; the last checkpoint stands");
            std::process::exit(i32::from(Exit::Interrupted.code()));
        }
        let trained = trained.join();
        watched.map_err(|why| engine(&why))?;
        trained.map_err(|_| engine(&"Training broke off; the last checkpoint stands"))
    })
}

fn update(args: &Args, news: News) -> Update {
    match news {
        News::Resumed(step) => Update::Resumed(step),
        News::Step { number, metrics } => Update::Step(number, metrics.clone()),
        News::Kept(step) => Update::Kept(step),
        News::Warning(words) => Update::Warning(words.to_string()),
        News::Sheet(sheet) => match keep_sheet(args, &sheet) {
            Ok((file, (width, height))) => Update::Sheet(file, width, height),
            Err(why) => Update::Warning(why),
        },
    }
}

/// `from`: the weights that the run began with.
pub fn export(
    paths: &Paths,
    run: &Path,
    (data, from): (&Path, Option<&Path>),
    out: &Path,
    offline: bool,
) -> Result<Exit, Failed> {
    let pictures = pictures::read(data)?;
    let embeddings = embedded(paths, &pictures, run, device::Choice::Cpu, offline)?;
    let mut meter = Meter::new();
    let mut tell =
        |done: usize, all: usize| meter.count("Pictures remembered", done as u64, all as u64);
    let written = exports::export(run, out, &pictures, &embeddings, from, &mut tell);
    meter.clear();
    written.map_err(failed)?;
    print(&format!(
        "{} holds a set of weights that draws\n",
        out.display()
    ))
}

/// The embeddings of all captions; kept in the run's folder, since there are tens of thousands.
fn embedded(
    paths: &Paths,
    pictures: &Pictures,
    run: &Path,
    device: device::Choice,
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
    let encoder = watched(|watch| store.ensure(catalog.encoder(), watch))?;
    let mut meter = Meter::new();
    let encoder = SentenceEncoder::on(&encoder, device).map_err(|why| model(&why))?;
    let embeddings = encoder.embed_all(&captions, &mut |done| {
        meter.count("Captions read", done as u64, captions.len() as u64);
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
