//! `illumine draw`: words in, pictures out, as PNG files.

use super::args::{Draw as Args, On};
use super::environment::{self, Paths};
use super::models::watched;
use super::{Exit, Failed, inline, note, print};
use illumine::engine::image_pipeline::{
    DrawError, ImagePipeline, MAX_PICTURES, find_weights, load_illuminator,
};
use illumine::model::device;
use illumine::model::encoder::SentenceEncoder;
use illumine::model::gan::picture_file::MAX_FILE_BYTES;
use illumine::model::upscaler::Upscaler;
use illumine::store::picture::{PictureError, Provenance, encode, provenance};
use illumine::story::picture::{Drawing, PictureRequest, Sight, Source, Style, Subject, Words};
use illumine::story::untrusted::{clean, clean_line};
use serde::Serialize;
use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    prompt: &'a str,
    concepts: &'a [(String, f32)],
    said: String,
    style: Option<&'a str>,
    pictures: Vec<Row<'a>>,
    weights: &'a str,
    timings: Timings,
}

#[derive(Serialize)]
struct Row<'a> {
    path: &'a Path,
    seed: u64,
}

#[derive(Clone, Copy, Serialize)]
struct Timings {
    load_ms: f64,
    draw_ms: f64,
}

pub fn run(paths: &Paths, args: &Args) -> Result<Exit, Failed> {
    let from = args.from.as_deref().map(made).transpose()?;
    let request = wanted(args, from.as_ref())?;
    let began = Instant::now();
    let mut pipeline = load(paths, args.weights.as_deref(), args.offline, &args.on)?;
    if request.enlarged {
        pipeline.upscaler = Some(upscaler(paths, args.offline, &args.on)?);
    }
    if let Some(from) = from.as_ref().filter(|_| args.vary.is_none()) {
        same_weights(from, &pipeline)?;
    }
    let loaded = Instant::now();
    let drawn = pipeline.draw(&request, &mut |_, _| {}, &mut || true);
    let drawn = drawn.map_err(|error| {
        let exit = match error {
            DrawError::Model(_) => Exit::Model,
            _ => Exit::Usage,
        };
        Failed::new(exit, error)
    })?;
    let drawn = drawn.ok_or_else(|| Failed::new(Exit::Interrupted, "Stopped"))?;
    let timings = Timings {
        load_ms: (loaded - began).as_secs_f64() * 1000.0,
        draw_ms: loaded.elapsed().as_secs_f64() * 1000.0,
    };
    let files = keep(args, &drawn)?;
    report(args, &files, &drawn, timings)
}

/// What is asked for, from the command line and from the picture that it names.
fn wanted(args: &Args, from: Option<&Provenance>) -> Result<PictureRequest, Failed> {
    let usage = |why: &str| Failed::new(Exit::Usage, why);
    let prompt = args.prompt.as_deref().map(|it| clean(it).into_owned());
    let same = from.map(PictureRequest::again);
    let subject = match (&same, &args.restyle) {
        (_, Some(file)) => Subject::Restyle {
            of: source(file)?,
            words: prompt,
        },
        (Some(_), _) if args.vary.is_some() => {
            let amount = args.vary.unwrap_or_default();
            if !(0.0..=1.0).contains(&amount) {
                return Err(usage(
                    "--vary takes an amount from 0 to 1, as in --vary 0.3",
                ));
            }
            let of = source(args.from.as_deref().unwrap_or(Path::new("")))?;
            Subject::Vary { of, amount }
        }
        (Some(same), _) => match prompt {
            Some(words) => Subject::Words(Words::Given(words)),
            None => same.subject.clone(),
        },
        (None, _) => words(args, prompt.unwrap_or_default()),
    };
    let own = |style: Style| match (&args.style, args.vary) {
        // A variation has its picture's style.
        (None, Some(_)) => Style::Usual,
        _ => style,
    };
    let style = match (&args.style, &same) {
        (Some(name), _) => Style::named(name),
        (None, Some(same)) => own(same.style.clone()),
        (None, None) => Style::Usual,
    };
    let background = args.background.clone();
    let background = background.or_else(|| same.as_ref().and_then(|it| it.background.clone()));
    Ok(PictureRequest {
        node: 0,
        subject,
        style,
        seeds: seeds(args, from)?,
        temperature: args
            .temperature
            .or(same.as_ref().and_then(|it| it.temperature)),
        guidance: args.guidance.or(same.as_ref().and_then(|it| it.guidance)),
        recall: args.recall.or(same.as_ref().and_then(|it| it.recall)),
        steps: args
            .steps
            .map(usize::from)
            .or(same.as_ref().and_then(|it| it.steps)),
        size: args.size.or(same.as_ref().map(|it| it.size)).unwrap_or(256),
        background: background.filter(|name| name != "none"),
        enlarged: args.enlarge || same.as_ref().is_some_and(|it| it.enlarged),
        build: environment::BUILD.to_string(),
    })
}

/// Pictures of words alone.
fn words(args: &Args, prompt: String) -> Subject {
    match &args.lerp {
        Some(other) => Subject::Lerp {
            from: Sight::Prompt(prompt),
            to: Sight::Prompt(clean(other).into_owned()),
            at: PictureRequest::places(args.n.unwrap_or(5).into()),
        },
        None if args.scene => Subject::Scene(Words::Given(prompt)),
        None => Subject::Words(Words::Given(prompt)),
    }
}

/// A picture in a file, whoever made it.
fn source(path: &Path) -> Result<Source, Failed> {
    let shown = path.display();
    let usage = |why: &dyn std::fmt::Display| {
        Failed::new(Exit::Usage, format!("{shown} cannot be used: {why}"))
    };
    let size = std::fs::metadata(path).map_err(|why| usage(&why))?.len();
    if size > MAX_FILE_BYTES as u64 {
        return Err(usage(&format!(
            "it is larger than {} MB",
            MAX_FILE_BYTES >> 20
        )));
    }
    let file = std::fs::read(path).map_err(|why| usage(&why))?;
    Ok(Source {
        how: provenance(&file).ok(),
        file,
        name: shown.to_string(),
    })
}

/// How the picture in a file was made.
fn made(path: &Path) -> Result<Provenance, Failed> {
    let usage = |why: String| Failed::new(Exit::Usage, why);
    let file = std::fs::read(path);
    let file = file.map_err(|why| usage(format!("Cannot read {}: {why}", path.display())))?;
    provenance(&file)
        .map_err(|why| usage(format!("{} cannot be made again: {why}", path.display())))
}

fn same_weights(from: &Provenance, pipeline: &ImagePipeline) -> Result<(), Failed> {
    match pipeline.illuminator.reproduces(&from.weights) {
        true => Ok(()),
        false => Err(Failed::new(
            Exit::Model,
            "That picture was made with other weights; --weights names their folder",
        )),
    }
}

/// `--seeds`, or `--n` seeds from `--seed` on; another one each time when none is given.
fn seeds(args: &Args, from: Option<&Provenance>) -> Result<Vec<u64>, Failed> {
    if let Some(seeds) = &args.seeds {
        return listed(seeds).ok_or_else(|| {
            let why =
                format!("--seeds takes numbers and ranges, as in 0,1,4-6: {MAX_PICTURES} at most");
            Failed::new(Exit::Usage, why)
        });
    }
    // Short enough to be typed again.
    let fresh = || environment::entropy() % 1_000_000_000;
    let first = args.seed.or(from.map(|f| f.seed)).unwrap_or_else(fresh);
    let count = u64::from(args.n.unwrap_or(1));
    Ok((0..count).map(|n| first.wrapping_add(n)).collect())
}

fn listed(text: &str) -> Option<Vec<u64>> {
    let mut seeds = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: u64 = first.trim().parse().ok()?;
        let last: u64 = last.trim().parse().ok()?;
        if last < first || last - first >= MAX_PICTURES as u64 {
            return None;
        }
        seeds.extend(first..=last);
    }
    (1..=MAX_PICTURES).contains(&seeds.len()).then_some(seeds)
}

/// Encoder and weights, fetched and found.
pub fn load(
    paths: &Paths,
    weights: Option<&Path>,
    offline: bool,
    on: &On,
) -> Result<ImagePipeline, Failed> {
    let model = |why: &dyn std::fmt::Display| Failed::new(Exit::Model, why);
    let places = environment::weights(paths, weights);
    let threads = environment::threads(on.threads);
    // Found before the encoder is fetched, for which there is no use without them.
    let folder = self::find_weights(&places).map_err(|why| model(&why))?;
    let catalog = environment::catalog()?;
    let store = environment::model_store(paths, offline);
    let encoder = watched(|watch| store.ensure(catalog.encoder(), watch))?;
    let (illuminator, encoder) = std::thread::scope(|scope| {
        let encoder = scope.spawn(|| SentenceEncoder::on(&encoder, on.device));
        (
            load_illuminator(&folder, on.device, threads),
            encoder.join(),
        )
    });
    let illuminator = illuminator.map_err(|why| model(&why))?;
    let encoder = encoder.map_err(|_| model(&"The sentence encoder cannot be read"))?;
    Ok(ImagePipeline::new(
        Rc::new(encoder.map_err(|why| model(&why))?),
        illuminator,
    ))
}

/// The network that enlarges, fetched and read.
fn upscaler(paths: &Paths, offline: bool, on: &On) -> Result<Upscaler, Failed> {
    let model = |why: &dyn std::fmt::Display| Failed::new(Exit::Model, why);
    let catalog = environment::catalog()?;
    let store = environment::model_store(paths, offline);
    let path = watched(|watch| store.ensure(catalog.enlarger(), watch))?;
    let device = device::open(on.device).map_err(|why| model(&why))?;
    Upscaler::load(&path, &device).map_err(|why| model(&why))
}

/// Writes the files; several pictures are told apart by their seeds, or by numbers from 1 where
/// some share a seed.
fn keep(args: &Args, drawn: &[Drawing]) -> Result<Vec<PathBuf>, Failed> {
    let seeds: HashSet<u64> = drawn.iter().map(|drawing| drawing.how.seed).collect();
    let mut files = Vec::new();
    for (at, drawing) in (1..).zip(drawn) {
        let bytes = encode(&drawing.layers, &drawing.how).map_err(|why| {
            let exit = match why {
                PictureError::NoPng(_) => Exit::Engine,
                _ => Exit::Usage,
            };
            Failed::new(exit, why)
        })?;
        let number = match seeds.len() == drawn.len() {
            true => drawing.how.seed,
            false => at,
        };
        let path = match drawn.len() {
            1 => args.out.clone(),
            _ => numbered(&args.out, number),
        };
        write(&path, &bytes)?;
        files.push(path);
    }
    Ok(files)
}

fn numbered(out: &Path, seed: u64) -> PathBuf {
    let stem = out.file_stem().unwrap_or_default().to_string_lossy();
    out.with_file_name(format!("{stem}-{seed}.png"))
}

/// The file is whole, or it is not there.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failed> {
    let partial = path.with_extension("png.part");
    let written = std::fs::File::create(&partial)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| std::fs::rename(&partial, path));
    written.map_err(|why| {
        let _ = std::fs::remove_file(&partial);
        let why = format!("Cannot write {}: {why}", path.display());
        Failed::new(Exit::Session, why)
    })
}

fn report(
    args: &Args,
    files: &[PathBuf],
    drawn: &[Drawing],
    timings: Timings,
) -> Result<Exit, Failed> {
    let Some(first) = drawn.first().map(|drawing| &drawing.how) else {
        return Ok(Exit::Well);
    };
    let rows = || {
        let pairs = files.iter().zip(drawn);
        pairs.map(|(path, drawing)| Row {
            path,
            seed: drawing.how.seed,
        })
    };
    if args.json {
        let report = Report {
            prompt: &first.prompt,
            concepts: &first.concepts,
            said: first.said(),
            style: first.style.as_deref(),
            pictures: rows().collect(),
            weights: &first.weights,
            timings,
        };
        let json = serde_json::to_string(&report).unwrap_or_default();
        return print(&format!("{json}\n"));
    }
    if inline::can() {
        let shown = files.iter().filter_map(|path| std::fs::read(path).ok());
        inline::show(&shown.collect::<Vec<_>>());
    }
    note(&format!("I drew: {}", clean_line(&first.said())));
    let line = |row: Row| format!("{} (seed {})\n", row.path.display(), row.seed);
    print(&rows().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_numbers_and_ranges() {
        assert_eq!(listed("0,1,4-6"), Some(vec![0, 1, 4, 5, 6]));
        assert_eq!(listed("7"), Some(vec![7]));
        assert_eq!(listed("0-18446744073709551615"), None);
        assert_eq!(listed("3-1"), None);
        assert_eq!(listed("a"), None);
        assert_eq!(listed(""), None);
        assert_eq!(listed("0-63,64"), None);
    }

    #[test]
    fn several_pictures_are_told_apart_by_their_seeds() {
        assert_eq!(
            numbered(Path::new("a/fox.png"), 7),
            Path::new("a/fox-7.png")
        );
    }
}
