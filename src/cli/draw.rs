//! `illumine draw`: words in, pictures out, as PNG files.

use super::args::{Draw as Args, On};
use super::environment::{self, Paths};
use super::page::Meter;
use super::{Exit, Failed, note, print};
use illumine::engine::draw::{Artist, Commission, DrawError, said};
use illumine::model::gan::sampling::Sampling;
use illumine::model::gan::{Drawn, FILES, Picture};
use illumine::store::picture::{PictureError, Provenance, encode, provenance};
use illumine::story::untrusted::{clean, clean_line};
use serde::Serialize;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Pictures of one prompt at once.
const PICTURES: usize = 64;

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
    let how = wanted(args, from.as_ref())?;
    let began = Instant::now();
    let artist = load(paths, args.weights.as_deref(), args.offline, &args.on)?;
    if let Some(from) = &from {
        same_weights(from, &artist)?;
    }
    let loaded = Instant::now();
    let seeds = seeds(args, from.as_ref())?;
    let commission = Commission {
        prompt: how.prompt.clone(),
        style: style(args, &how, &artist),
        seeds,
        sampling: Sampling {
            steps: how.steps,
            temperature: how.temperature,
            guidance: how.guidance,
            ..Sampling::default()
        },
    };
    let drawn = artist.draw(&commission, &mut || true).map_err(|error| {
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
    let how = Provenance {
        style: commission.style.clone(),
        concepts: concepts(&drawn),
        weights: artist.illuminator.sha256.clone(),
        backend: artist.backend.clone(),
        ..how
    };
    let files = keep(args, &how, &commission.seeds, &drawn.pictures)?;
    report(args, &how, &commission.seeds, &files, &drawn, timings)
}

/// Everything of the provenance that is known before drawing.
fn wanted(args: &Args, from: Option<&Provenance>) -> Result<Provenance, Failed> {
    let usage = |why: &str| Failed::new(Exit::Usage, why);
    let defaults = Sampling::default();
    let prompt = args
        .prompt
        .as_deref()
        .map(|words| clean(words).into_owned());
    let prompt = prompt.or_else(|| from.map(|from| from.prompt.clone()));
    let prompt = prompt.ok_or_else(|| {
        usage("Say what to draw, as in illumine draw \"a red dragon asleep\" -o dragon.png")
    })?;
    let known = |own: Option<f64>, from: Option<f64>, default: f64| own.or(from).unwrap_or(default);
    let temperature = known(
        args.temperature,
        from.map(|f| f.temperature),
        defaults.temperature,
    );
    let guidance = known(args.guidance, from.map(|f| f.guidance), defaults.guidance);
    if !(0.0..=10.0).contains(&temperature) || !(-20.0..=20.0).contains(&guidance) {
        return Err(usage("A temperature is 0 to 10, guidance -20 to 20"));
    }
    let steps = args.steps.map(usize::from).or(from.map(|f| f.steps));
    let background = args
        .background
        .clone()
        .or(from.and_then(|f| f.background.clone()));
    Ok(Provenance {
        prompt,
        concepts: Vec::new(),
        style: args.style.clone().or(from.and_then(|f| f.style.clone())),
        seed: 0,
        steps: steps.unwrap_or(defaults.steps).clamp(1, 64),
        temperature,
        guidance,
        size: args.size.or(from.map(|f| f.size)).unwrap_or(256),
        background: background.filter(|name| name != "none"),
        weights: String::new(),
        backend: String::new(),
        build: environment::BUILD.to_string(),
    })
}

/// The style that was asked for; the first one otherwise. `any` leaves it to the model.
fn style(args: &Args, how: &Provenance, artist: &Artist) -> Option<String> {
    let first = || match args.from {
        None => artist.illuminator.config.styles.first().cloned(),
        Some(_) => None,
    };
    how.style
        .clone()
        .or_else(first)
        .filter(|name| name != "any")
}

/// How the picture in a file was made.
fn made(path: &Path) -> Result<Provenance, Failed> {
    let usage = |why: String| Failed::new(Exit::Usage, why);
    let file = std::fs::read(path);
    let file = file.map_err(|why| usage(format!("Cannot read {}: {why}", path.display())))?;
    provenance(&file)
        .map_err(|why| usage(format!("{} cannot be made again: {why}", path.display())))
}

fn same_weights(from: &Provenance, artist: &Artist) -> Result<(), Failed> {
    match from.weights == artist.illuminator.sha256 {
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
                format!("--seeds takes numbers and ranges, as in 0,1,4-6: {PICTURES} at most");
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
        if last < first || last - first >= PICTURES as u64 {
            return None;
        }
        seeds.extend(first..=last);
    }
    (1..=PICTURES).contains(&seeds.len()).then_some(seeds)
}

/// Encoder and weights, fetched and found.
pub fn load(
    paths: &Paths,
    weights: Option<&Path>,
    offline: bool,
    on: &On,
) -> Result<Artist, Failed> {
    let model = |why: &dyn std::fmt::Display| Failed::new(Exit::Model, why);
    let catalog = environment::catalog()?;
    let store = environment::model_store(paths, offline);
    let mut meter = Meter::new();
    let encoder = store.ensure(catalog.encoder(), &mut |news| {
        meter.bytes(&news.what, news.done, news.total);
        ControlFlow::Continue(())
    });
    meter.clear();
    let encoder = encoder.map_err(|why| model(&why))?;
    let weights = self::weights(paths, weights)?;
    let threads = environment::threads(on.threads);
    Artist::load(&encoder, &weights, on.device, threads).map_err(|why| model(&why))
}

fn weights(paths: &Paths, named: Option<&Path>) -> Result<PathBuf, Failed> {
    const NAME: &str = "illuminator-64";
    if let Some(named) = named {
        return Ok(named.to_path_buf());
    }
    let program = std::env::current_exe().unwrap_or_default();
    let beside = program
        .ancestors()
        .map(|folder| folder.join("models").join(NAME));
    let mut places = std::iter::once(paths.models.join(NAME)).chain(beside);
    let found = places.find(|folder| FILES.iter().all(|name| folder.join(name).is_file()));
    found.ok_or_else(|| {
        let why = "The illuminator's weights are not here; --weights names their folder, and `illumine train` makes one";
        Failed::new(Exit::Model, why)
    })
}

fn concepts(drawn: &Drawn) -> Vec<(String, f32)> {
    let concepts = drawn.concepts.iter();
    concepts
        .map(|found| (found.label.clone(), found.similarity))
        .collect()
}

/// Writes the files; several pictures are told apart by their seeds.
fn keep(
    args: &Args,
    how: &Provenance,
    seeds: &[u64],
    pictures: &[Picture],
) -> Result<Vec<PathBuf>, Failed> {
    let mut files = Vec::new();
    for (seed, picture) in seeds.iter().zip(pictures) {
        let how = Provenance {
            seed: *seed,
            ..how.clone()
        };
        let bytes = encode(picture, &how).map_err(|why| {
            let exit = match why {
                PictureError::NoPng(_) => Exit::Engine,
                _ => Exit::Usage,
            };
            Failed::new(exit, why)
        })?;
        let path = match seeds.len() {
            1 => args.out.clone(),
            _ => numbered(&args.out, *seed),
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
    how: &Provenance,
    seeds: &[u64],
    files: &[PathBuf],
    drawn: &Drawn,
    timings: Timings,
) -> Result<Exit, Failed> {
    let rows = || {
        files
            .iter()
            .zip(seeds)
            .map(|(path, seed)| Row { path, seed: *seed })
    };
    if args.json {
        let report = Report {
            prompt: &how.prompt,
            concepts: &how.concepts,
            said: said(&drawn.concepts),
            style: how.style.as_deref(),
            pictures: rows().collect(),
            weights: &how.weights,
            timings,
        };
        let json = serde_json::to_string(&report).unwrap_or_default();
        return print(&format!("{json}\n"));
    }
    note(&format!("I drew: {}", clean_line(&said(&drawn.concepts))));
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
