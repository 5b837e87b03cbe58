//! Benchmarks long sessions in a temporary folder. Measures the time to open a session, and the
//! time to draw a frame while text is being generated.

use super::environment::{self, Paths};
use super::{Exit, Failed};
use illumine::bench::sessions;
use illumine::engine::{Engine, NoModel};
use illumine::store::Sessions;
use illumine::store::prompts::Prompts;
use illumine::studio::{Setup, Studio};
use illumine::tui;
use std::path::PathBuf;
use std::sync::mpsc;
use story::{Command, SettingOverrides, Settings};

/// The lengths of the sessions that are opened, in passages.
const PASSAGES: [u64; 3] = [1_000, 10_000, 100_000];
/// The number of frames drawn in a session of 1,000 passages.
const FRAMES: usize = 200;

/// The folder of the temporary sessions, which is removed when this value is dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs the benchmarks. Returns the name of each measurement and its results in milliseconds.
pub fn rows(paths: &Paths, runs: u16) -> Result<Vec<(String, Vec<f64>)>, Failed> {
    let failed = |error: &dyn std::fmt::Display| Failed::new(Exit::Session, error);
    let folder = Folder(
        paths
            .sessions
            .with_file_name(format!("bench-{}", std::process::id())),
    );
    let sessions = Sessions::new(&folder.0);
    let mut rows = Vec::new();
    for passages in PASSAGES {
        let name = sessions::write(&sessions, passages).map_err(|why| failed(&why))?;
        let times = sessions::open(&sessions, &name, runs).map_err(|why| failed(&why))?;
        rows.push((format!("open a session of {passages} passages"), times));
    }
    let (events, _inbox) = mpsc::channel();
    let setup = Setup {
        sessions,
        defaults: Settings::default(),
        asked: SettingOverrides::default(),
        build: environment::BUILD.to_string(),
        entropy: 1,
        now: environment::now,
        backups: 0,
        private: false,
        prompts: Prompts::default(),
        home: None,
        servers: None,
        styles: Vec::new(),
        models: Vec::new(),
    };
    let mut studio = Studio::new(Engine::start(NoModel, events), setup);
    let name = format!("bench-{}", PASSAGES[0]);
    let opened = studio.run(Command::Open(name));
    opened.map_err(|why| failed(&why))?;
    let times = tui::frame_times(studio, FRAMES);
    let times = times.ok_or_else(|| failed(&"No frame could be drawn"))?;
    let times = times.iter().map(|time| time.as_secs_f64() * 1000.0);
    let what = format!("a frame while text streams, {} passages", PASSAGES[0]);
    rows.push((what, times.collect()));
    Ok(rows)
}
