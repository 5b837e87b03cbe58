//! `illumine train gan` and `illumine train export`: runs on disk, told of in lines.

use super::args::Gan as Args;
use super::environment::{self, Paths};
use super::models::watched;
use super::page::Meter;
use super::{Exit, Failed, complain, note, pictures, print};
use illumine::model::device;
use illumine::model::encoder::SentenceEncoder;
use illumine::store::picture;
use illumine::story::hash::sha256;
use illumine::train::batches::captions;
use illumine::train::data::file::Pictures;
use illumine::train::job::{Job, train as run_job};
use illumine::train::judge::Means;
use illumine::train::run::{End, Metrics, News, Sheet};
use illumine::train::{TrainError, export as exports};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often a line is printed.
const OFTEN: Duration = Duration::from_secs(10);

pub fn train(paths: &Paths, args: &Args) -> Result<Exit, Failed> {
    if let Some(threads) = args.on.threads {
        // Candle computes on rayon's own pool; it can be sized once, before anything uses it.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(usize::from(threads));
        pool.build_global().map_err(|why| {
            Failed::new(
                Exit::Usage,
                format!("{threads} threads cannot be had: {why}"),
            )
        })?;
    }
    let (pictures, digest) = pictures::read(&args.data)?;
    let embeddings = embedded(paths, &pictures, &args.run, args.on.device, args.offline)?;
    let job = Job {
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
            adversarial: args.adversarial,
            r1: args.r1,
            divergence: args.divergence,
            ..Means::default()
        },
    };
    let mut teller = Teller::new(args);
    let end = run_job(&job, &pictures, &digest, &embeddings, &mut |news| {
        teller.tell(news)
    });
    match end.map_err(failed)? {
        End::Done => Ok(Exit::Well),
        End::Stopped => Ok(Exit::Interrupted),
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
    let (pictures, _) = pictures::read(data)?;
    let embeddings = embedded(paths, &pictures, run, device::Choice::Cpu, offline)?;
    exports::export(run, out, &pictures, &embeddings, from).map_err(failed)?;
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

fn failed(error: TrainError) -> Failed {
    let exit = match error {
        TrainError::Disk(..) => Exit::Session,
        TrainError::Diverged(_) | TrainError::Compute(_) => Exit::Engine,
        _ => Exit::Usage,
    };
    Failed::new(exit, error)
}

/// Says how a run goes: a line now and then, and the latest sheet beside the checkpoint.
struct Teller<'a> {
    args: &'a Args,
    began: Instant,
    said: Option<Instant>,
    first: Option<u64>,
}

impl Teller<'_> {
    fn new(args: &Args) -> Teller<'_> {
        Teller {
            args,
            began: Instant::now(),
            said: None,
            first: None,
        }
    }

    fn tell(&mut self, news: News) -> bool {
        match news {
            News::Resumed(step) => note(&format!("Going on after step {step}")),
            News::Step { number, metrics } => self.step(number, metrics),
            News::Kept(step) => note(&format!("Checkpoint after step {step}")),
            News::Warning(words) => complain(words),
            News::Sheet(sheet) => self.sheet(&sheet),
        }
        true
    }

    fn step(&mut self, number: u64, metrics: &Metrics) {
        let first = *self.first.get_or_insert(number);
        let due = self.said.is_none_or(|said| said.elapsed() >= OFTEN);
        if !due && number < self.args.steps {
            return;
        }
        self.said = Some(Instant::now());
        let done = (number - first + 1) as f64;
        let pace = done / self.began.elapsed().as_secs_f64().max(1e-9);
        let left = self.args.steps.saturating_sub(number) as f64 / pace;
        let number_of = |(name, value): &(&str, f64)| format!("{name} {value:.4}");
        let numbers: Vec<String> = metrics.iter().map(number_of).collect();
        note(&format!(
            "step {number} of {}  {}  {:.1} pictures/s  {} left",
            self.args.steps,
            numbers.join("  "),
            pace * f64::from(self.args.batch),
            clock(left),
        ));
    }

    fn sheet(&self, sheet: &Sheet) {
        let path = self.args.run.join(format!("{}.png", self.args.phase));
        let drawn = picture::sheet(&sheet.rows, sheet.size).map_err(|why| why.to_string());
        let kept = drawn.and_then(|png| std::fs::write(&path, png).map_err(|why| why.to_string()));
        match kept {
            Ok(()) => note(&format!("Sheet in {}", path.display())),
            Err(why) => complain(&format!("The sheet cannot be written ({why})")),
        }
    }
}

/// Seconds as hours and minutes.
fn clock(seconds: f64) -> String {
    let minutes = (seconds / 60.0).ceil() as u64;
    match minutes {
        0..60 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_said_in_hours_and_minutes() {
        assert_eq!(clock(59.0), "1 min");
        assert_eq!(clock(7_261.0), "2 h 2 min");
    }
}
