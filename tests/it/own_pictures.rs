//! Tests training on a folder of pictures with the real program: captions from file names, text
//! files and a table; resuming bit for bit; drawing with the exported weights; and fine-tuning.

use crate::support::home::{Home, plain};
use crate::support::tmux::Terminal;
use image::{Rgba, RgbaImage};
use std::fs;
use std::path::{Path, PathBuf};

/// Creates a folder with three drawings of each of ten concepts. Their file formats differ, and so
/// do the ways in which they are captioned. Returns the path of the folder.
pub fn drawings(home: &Home) -> PathBuf {
    let folder = home.path().join("my drawings");
    fs::create_dir_all(folder.join("ink")).unwrap();
    let things = [
        "disc", "bar", "post", "frame", "cross", "hill", "lake", "door", "star", "tree",
    ];
    let mut table = "file_name,text,style\n".to_string();
    for (number, thing) in things.iter().enumerate() {
        for drawing in 0..3u32 {
            let (name, end) = match drawing {
                0 => (format!("red_{thing}-1"), "png"),
                1 => (format!("ink/{number:04}"), "jpg"),
                _ => (format!("{number:04}"), "webp"),
            };
            let picture = picture(number as u32, drawing, end != "jpg");
            let path = folder.join(format!("{name}.{end}"));
            match end {
                "jpg" => image::DynamicImage::from(picture)
                    .to_rgb8()
                    .save(path)
                    .unwrap(),
                _ => picture.save(path).unwrap(),
            }
            match drawing {
                0 => {}
                1 => {
                    fs::write(folder.join(format!("{name}.txt")), format!("red {thing}\n")).unwrap()
                }
                _ => {
                    table += &format!("{name}.{end},red {thing},Oil\n");
                    table += &format!("{name}.{end},\"a {thing}, small\",\n");
                }
            }
        }
    }
    fs::write(folder.join("captions.csv"), table + "gone.png,a ghost,\n").unwrap();
    fs::write(folder.join("broken.png"), b"no picture").unwrap();
    folder
}

fn picture(thing: u32, drawing: u32, clear: bool) -> RgbaImage {
    RgbaImage::from_fn(40 + 8 * drawing, 48, |x, y| {
        let (x, y) = (x as i32 - 20, y as i32 - 24);
        let ink = match thing {
            0 => x * x + y * y < 200,
            1 => y.abs() < 6,
            2 => x.abs() < 6,
            3 => (8..14).contains(&x.abs().max(y.abs())),
            4 => x.abs() < 4 || y.abs() < 4,
            5 => y > x.abs() - 8,
            6 => x * x + 4 * y * y < 300,
            7 => x.abs() < 10 && y > -14,
            8 => x.abs() * y.abs() < 30,
            _ => x.abs() < 12 - y.abs() / 2,
        };
        match (ink, clear) {
            (true, _) => Rgba([180, 40 + 10 * drawing as u8, 30, 255]),
            (false, true) => Rgba([0; 4]),
            (false, false) => Rgba([255; 4]),
        }
    })
}

/// Trains a phase on a folder of pictures, and returns the messages on standard error.
pub fn trained(home: &Home, phase: &str, (data, run): (&Path, &Path), more: &[&str]) -> String {
    let (data, run) = (data.to_str().unwrap(), run.to_str().unwrap());
    let args = [
        "train", "gan", phase, "--data", data, "--run", run, "--batch", "4",
    ];
    let done = home.illumine(&[&args[..], more].concat()).run().expect(0);
    plain(&done.stderr);
    done.stderr
}

pub fn draws(home: &Home, weights: &Path, style: &str) -> RgbaImage {
    let out = home.path().join("drawn.png");
    let (weights, out) = (weights.to_str().unwrap(), out.to_str().unwrap());
    let words = [
        "draw",
        "a red disc",
        "--weights",
        weights,
        "--style",
        style,
        "-o",
        out,
    ];
    let drawn = home.illumine(&words).run().expect(0);
    assert!(
        drawn.stderr.contains("I drew: red disc 1.00"),
        "{}",
        drawn.stderr
    );
    image::open(out).unwrap().into_rgba8()
}

pub fn exported(home: &Home, (data, run): (&Path, &Path), more: &[&str]) -> PathBuf {
    let out = run.join("weights");
    let paths = [data, run, &out].map(|path| path.to_str().unwrap());
    let args = [
        "train", "export", "--data", paths[0], "--run", paths[1], "-o", paths[2],
    ];
    home.illumine(&[&args[..], more].concat()).run().expect(0);
    out
}

#[test]
fn a_folder_of_pictures_trains_resumes_and_draws() {
    let home = Home::with_encoder();
    let data = drawings(&home);
    // A run folder inside the data folder, as many users would have it: its sample sheets are not
    // training pictures.
    let (whole, parts) = (data.join("whole"), home.path().join("parts"));
    let whole = (data.as_path(), whole.as_path());
    let parts = (data.as_path(), parts.as_path());
    let small = |steps| ["--small", "--steps", steps];
    let said = trained(&home, "reconstruct", whole, &small("4"));
    assert!(
        said.contains("30 pictures of 10 concepts, 30 for training"),
        "{said}"
    );
    assert!(said.contains("styles: ink, oil, own"), "{said}");
    assert!(
        said.contains("2 skipped: broken.png (it is not a readable PNG")
            && said.contains("gone.png"),
        "{said}"
    );
    assert!(whole.1.join("reconstruct.png").is_file());
    trained(&home, "reconstruct", parts, &small("2"));
    let said = trained(&home, "reconstruct", parts, &small("4"));
    assert!(said.contains("Resuming after step 2"), "{said}");
    let bytes = |run: &Path| fs::read(run.join("reconstruct.safetensors")).unwrap();
    assert!(bytes(whole.1) == bytes(parts.1), "it went on to other bits");
    trained(&home, "tokens", whole, &small("4"));
    let weights = exported(&home, whole, &[]);
    assert_eq!(draws(&home, &weights, "OIL").dimensions(), (256, 256));
    // With other pictures, the run cannot be resumed.
    fs::create_dir(data.join("clay")).unwrap();
    let pot = data.join("clay/pot.png");
    picture(0, 1, true).save(pot).unwrap();
    let paths = [whole.0, whole.1].map(|path| path.to_str().unwrap());
    for phase in ["reconstruct", "tokens"] {
        let args = ["train", "gan", phase, "--data", paths[0], "--run", paths[1]];
        let more = ["--batch", "4", "--small"];
        let done = home.illumine(&[&args[..], &more].concat()).run().expect(2);
        assert!(done.stderr.contains("different dataset"), "{}", done.stderr);
    }
}

#[test]
fn finished_weights_are_a_beginning_and_new_styles_are_named() {
    let home = Home::with_encoder();
    let data = drawings(&home);
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/illuminator");
    let from = ["--from", tiny.to_str().unwrap(), "--steps", "2"];
    let run = home.path().join("run");
    let run = (data.as_path(), run.as_path());
    let said = trained(&home, "tokens", run, &from);
    assert!(said.contains("lack these styles:"), "{said}");
    // Networks that were not trained are copied from the weights.
    let weights = exported(&home, run, &from[..2]);
    draws(&home, &weights, "own");
    let table = fs::read(weights.join("concepts.safetensors")).unwrap();
    let table = String::from_utf8_lossy(&table);
    assert!(
        table.contains("red disc") && table.contains("castle"),
        "what they knew is kept"
    );
    let same = |name: &str| {
        let read = |folder: &Path| {
            candle_core::safetensors::load(folder.join(name), &candle_core::Device::Cpu).unwrap()
        };
        let (mine, theirs) = (read(&weights), read(&tiny));
        let numbers = |tensor: &candle_core::Tensor| {
            let tensor = tensor.to_dtype(candle_core::DType::F16).unwrap();
            tensor
                .flatten_all()
                .unwrap()
                .to_vec1::<half::f16>()
                .unwrap()
        };
        theirs
            .keys()
            .all(|name| name.contains("style") || numbers(&mine[name]) == numbers(&theirs[name]))
    };
    assert!(same("encoder.safetensors") && same("generator.safetensors"));
    assert!(!same("tokens.safetensors"));
    // A run that started differently is not mixed with them.
    let other = home.path().join("other");
    trained(
        &home,
        "reconstruct",
        (&data, &other),
        &["--small", "--steps", "1"],
    );
    let (data, other) = (data.to_str().unwrap(), other.to_str().unwrap());
    let args = ["train", "gan", "tokens", "--data", data, "--run", other];
    let done = home.illumine(&[&args[..], &from].concat()).run().expect(2);
    assert!(done.stderr.contains("different --from"), "{}", done.stderr);
    // The error comes before anything is embedded.
    let args = ["train", "gan", "refine", "--data", data, "--run", other];
    let blind = [&args[..], &["--perceptual", "0"]].concat();
    let done = home.illumine(&blind).run().expect(2);
    let why = "set --perceptual above 0";
    assert!(done.stderr.contains(why), "{}", done.stderr);
}

#[test]
fn a_folder_that_nothing_can_be_learned_from_is_answered_in_a_sentence() {
    let home = Home::with_encoder();
    let data = home.path().join("few");
    fs::create_dir(&data).unwrap();
    let run = home.path().join("run");
    let sentence = || {
        let (data, run) = (data.to_str().unwrap(), run.to_str().unwrap());
        let args = ["train", "gan", "reconstruct", "--data", data, "--run", run];
        home.illumine(&args).run().sentence(2)
    };
    assert!(sentence().contains("contains no pictures"));
    picture(0, 0, true).save(data.join("fox.png")).unwrap();
    picture(1, 0, true).save(data.join("owl.png")).unwrap();
    assert!(sentence().contains("2 can be used, but training needs at least 8"));
    fs::write(data.join("metadata.csv"), "file_name;text\n").unwrap();
    assert!(sentence().contains("no column file_name"));
}

/// The live view shows a run, a key stops the run properly, and the same command resumes the run.
#[test]
fn a_run_is_watched_on_a_screen_and_ended_by_a_key() {
    let home = Home::with_encoder();
    let data = drawings(&home);
    let run = home.path().join("run");
    let args = [
        "train",
        "gan",
        "reconstruct",
        "--data",
        data.to_str().unwrap(),
        "--run",
        run.to_str().unwrap(),
        "--batch",
        "2",
        "--small",
        "--steps",
        "1000000",
        "--sheets",
        "2",
    ];
    let terminal = Terminal::start_in(home, 80, 24, &args);
    let screen = terminal.wait_for("pictures/s");
    assert!(screen.contains("Training reconstruct in"), "{screen}");
    terminal.wait("the loss and a sheet", |screen| {
        screen.contains("loss") && screen.contains("Samples after step")
    });
    terminal.keys(&["q"]);
    let screen = terminal.wait_for("[ended 130]");
    assert!(screen.contains("resume from the checkpoint"), "{screen}");
    assert!(run.join("reconstruct.safetensors").is_file() && run.join("reconstruct.png").is_file());
    terminal.again(&args);
    terminal.wait_for("pictures/s");
    terminal.signal("TERM");
    terminal.wait_for("[ended 130]");
}
