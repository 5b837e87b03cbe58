//! `illumine draw`: draws PNG files from a prompt.

use super::args::{Common, Draw as Args};
use super::environment::{self, Paths};
use super::follow::follow;
use super::{Exit, Failed, inline, note, print, signals, studio};
use base::untrusted::{clean, clean_line};
use illumine::engine::image_pipeline::MAX_PICTURES;
use illumine::store::files::write_file;
use illumine::store::picture::provenance;
use illumine::studio::{Notice, Studio, Work, file_source};
use serde::Serialize;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;
use story::picture::{
    PictureProvenance, PictureRequest, PictureTask, PromptOrPicture, PromptSource, SourcePicture,
    StyleChoice,
};
use story::{Command, NodeId, Reply};

/// The object that `--json` prints.
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
    let from = args.from.as_deref().map(load_provenance).transpose()?;
    let request = build_request(args, from.as_ref())?;
    let began = Instant::now();
    let common = Common {
        on: args.on.clone(),
        weights: args.weights.clone(),
        offline: args.offline,
        // Nothing is saved except the requested files.
        private: true,
        ..Common::default()
    };
    let (mut studio, replies) = studio(paths, &common)?;
    let watch = signals::listen(studio.stopper());
    watch.working(true);
    studio.run(Command::Illustrate(Box::new(request)))?;
    let (nodes, loaded) = follow_events(&mut studio, &replies)?;
    if watch.interrupts() > 0 {
        return Err(Failed::new(Exit::Interrupted, "Stopped"));
    }
    let timings = Timings {
        load_ms: (loaded - began).as_secs_f64() * 1000.0,
        draw_ms: loaded.elapsed().as_secs_f64() * 1000.0,
    };
    let drawn: Vec<Drawn> = nodes.iter().filter_map(|id| drawn(&studio, *id)).collect();
    let files = save_pictures(args, &drawn)?;
    watch.working(false);
    report(args, &files, &drawn, timings)
}

/// A drawn picture: its PNG file and its provenance.
struct Drawn<'a> {
    file: Arc<[u8]>,
    provenance: &'a PictureProvenance,
}

fn drawn(studio: &Studio, id: NodeId) -> Option<Drawn<'_>> {
    Some(Drawn {
        file: studio.picture(id)?.bytes()?,
        provenance: &studio.story().picture(id)?.provenance,
    })
}

/// Handles the engine's events until the pictures are drawn. Returns the ids of the pictures and
/// the time at which the models finished loading.
fn follow_events(
    studio: &mut Studio,
    replies: &Receiver<Reply>,
) -> Result<(Vec<NodeId>, Instant), Failed> {
    let (mut nodes, mut loaded) = (Vec::new(), None);
    follow(studio, replies, |studio, notice| {
        match notice {
            Notice::Progress if matches!(studio.work(), Work::Drawing { .. }) => {
                loaded.get_or_insert_with(Instant::now);
            }
            Notice::Drawn { nodes: drawn, .. } => nodes = drawn,
            // Other notices are for an interactive writer.
            _ => {}
        }
        Ok(())
    })?;
    Ok((nodes, loaded.unwrap_or_else(Instant::now)))
}

/// Builds the request from the command line and from the picture given by `--from`.
fn build_request(args: &Args, from: Option<&PictureProvenance>) -> Result<PictureRequest, Failed> {
    let usage = |why: &str| Failed::new(Exit::Usage, why);
    let prompt = args.prompt.as_deref().map(|it| clean(it).into_owned());
    let same = from.map(PictureRequest::reproduce);
    let task = match (&same, &args.restyle) {
        (_, Some(file)) => PictureTask::Restyle {
            of: load_source(file)?,
            words: prompt,
        },
        (Some(_), _) if args.vary.is_some() => {
            let amount = args.vary.unwrap_or_default();
            if !(0.0..=1.0).contains(&amount) {
                return Err(usage(
                    "--vary takes an amount from 0 to 1, for example --vary 0.3",
                ));
            }
            let of = load_source(args.from.as_deref().unwrap_or(Path::new("")))?;
            PictureTask::Vary { of, amount }
        }
        (Some(same), _) => match prompt {
            Some(words) => PictureTask::Prompt(PromptSource::Given(words)),
            None => same.task.clone(),
        },
        (None, _) => prompt_task(args, prompt.unwrap_or_default()),
    };
    let own = |style: StyleChoice| match (&args.style, args.vary) {
        // A variation keeps its picture's style.
        (None, Some(_)) => StyleChoice::Default,
        _ => style,
    };
    let style = match (&args.style, &same) {
        (Some(name), _) => StyleChoice::parse(name),
        (None, Some(same)) => own(same.style.clone()),
        (None, None) => StyleChoice::Default,
    };
    let background = args.background.clone();
    let background = background.or_else(|| same.as_ref().and_then(|it| it.background.clone()));
    Ok(PictureRequest {
        node: 0,
        task,
        style,
        seeds: seeds(args, from)?,
        temperature: args
            .temperature
            .or(same.as_ref().and_then(|it| it.temperature)),
        guidance: args.guidance.or(same.as_ref().and_then(|it| it.guidance)),
        retrieval_strength: args
            .retrieval
            .or(same.as_ref().and_then(|it| it.retrieval_strength)),
        steps: args
            .steps
            .map(usize::from)
            .or(same.as_ref().and_then(|it| it.steps)),
        size: args.size.or(same.as_ref().map(|it| it.size)).unwrap_or(256),
        background: background.filter(|name| name != "none"),
        enlarged: args.enlarge || same.as_ref().is_some_and(|it| it.enlarged),
        // A variation may use any weights.
        weights: from
            .filter(|_| args.vary.is_none())
            .map(|it| it.weights.clone()),
        build: environment::BUILD.to_string(),
    })
}

/// The drawing task when there is no source picture: an interpolation, a scene or a single drawing,
/// depending on the flags.
fn prompt_task(args: &Args, prompt: String) -> PictureTask {
    match &args.lerp {
        Some(other) => PictureTask::Lerp {
            from: PromptOrPicture::Prompt(prompt),
            to: PromptOrPicture::Prompt(clean(other).into_owned()),
            at: PictureRequest::lerp_positions(args.n.unwrap_or(5).into()),
        },
        None if args.scene => PictureTask::Scene(PromptSource::Given(prompt)),
        None => PictureTask::Prompt(PromptSource::Given(prompt)),
    }
}

/// Reads a picture file, whether illumine drew it or not.
fn load_source(path: &Path) -> Result<SourcePicture, Failed> {
    let shown = path.display().to_string();
    let usage = |why| Failed::new(Exit::Usage, format!("Cannot use {shown}: {why}"));
    file_source(path, shown.clone()).map_err(usage)
}

/// Reads the provenance of a picture file.
fn load_provenance(path: &Path) -> Result<PictureProvenance, Failed> {
    let usage = |why: String| Failed::new(Exit::Usage, why);
    let file = std::fs::read(path);
    let file = file.map_err(|why| usage(format!("Cannot read {}: {why}", path.display())))?;
    provenance(&file).map_err(|why| usage(format!("Cannot reproduce {}: {why}", path.display())))
}

/// Chooses the seeds: those in `--seeds` if it is given, otherwise `--n` consecutive seeds. The
/// first of these is `--seed` if it is given, otherwise the seed of the `--from` picture, otherwise
/// a random seed.
fn seeds(args: &Args, from: Option<&PictureProvenance>) -> Result<Vec<u64>, Failed> {
    if let Some(seeds) = &args.seeds {
        return parse_seeds(seeds).ok_or_else(|| {
            let why = format!(
                "--seeds takes up to {MAX_PICTURES} numbers and ranges, for example 0,1,4-6"
            );
            Failed::new(Exit::Usage, why)
        });
    }
    // Random seeds are short enough to retype.
    let fresh = || environment::entropy() % 1_000_000_000;
    let first = args.seed.or(from.map(|f| f.seed)).unwrap_or_else(fresh);
    let count = u64::from(args.n.unwrap_or(1));
    Ok((0..count).map(|n| first.wrapping_add(n)).collect())
}

fn parse_seeds(text: &str) -> Option<Vec<u64>> {
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

/// Writes the picture files and returns their paths. If there are several files, their names
/// contain the pictures' seeds, or numbers from 1 if some pictures share a seed.
fn save_pictures(args: &Args, drawn: &[Drawn]) -> Result<Vec<PathBuf>, Failed> {
    let seeds: HashSet<u64> = drawn
        .iter()
        .map(|drawing| drawing.provenance.seed)
        .collect();
    let mut files = Vec::new();
    for (at, drawing) in (1..).zip(drawn) {
        let number = match seeds.len() == drawn.len() {
            true => drawing.provenance.seed,
            false => at,
        };
        let path = match drawn.len() {
            1 => args.out.clone(),
            _ => numbered_path(&args.out, number),
        };
        // A redrawn picture replaces the old one.
        let written = write_file(&path, &drawing.file, true);
        written.map_err(|why| Failed::new(Exit::Session, why))?;
        files.push(path);
    }
    Ok(files)
}

fn numbered_path(out: &Path, seed: u64) -> PathBuf {
    let stem = out.file_stem().unwrap_or_default().to_string_lossy();
    out.with_file_name(format!("{stem}-{seed}.png"))
}

fn report(
    args: &Args,
    files: &[PathBuf],
    drawn: &[Drawn],
    timings: Timings,
) -> Result<Exit, Failed> {
    let Some(first) = drawn.first().map(|drawing| drawing.provenance) else {
        return Ok(Exit::Well);
    };
    let rows = || {
        let pairs = files.iter().zip(drawn);
        pairs.map(|(path, drawing)| Row {
            path,
            seed: drawing.provenance.seed,
        })
    };
    if args.json {
        let report = Report {
            prompt: &first.prompt,
            concepts: &first.concepts,
            said: first.concept_summary(),
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
    note(&format!("I drew: {}", clean_line(&first.concept_summary())));
    let line = |row: Row| format!("{} (seed {})\n", row.path.display(), row.seed);
    print(&rows().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_numbers_and_ranges() {
        assert_eq!(parse_seeds("0,1,4-6"), Some(vec![0, 1, 4, 5, 6]));
        assert_eq!(parse_seeds("7"), Some(vec![7]));
        assert_eq!(parse_seeds("0-18446744073709551615"), None);
        assert_eq!(parse_seeds("3-1"), None);
        assert_eq!(parse_seeds("a"), None);
        assert_eq!(parse_seeds(""), None);
        assert_eq!(parse_seeds("0-63,64"), None);
    }

    #[test]
    fn several_pictures_are_told_apart_by_their_seeds() {
        assert_eq!(
            numbered_path(Path::new("a/fox.png"), 7),
            Path::new("a/fox-7.png")
        );
    }
}
