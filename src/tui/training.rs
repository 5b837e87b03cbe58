//! The live view of a training run: progress, loss curves, the latest sample sheet.
//!
//! The run is on another thread and sends updates; a key or a signal asks it to stop. This module
//! uses no data, networks or checkpoints: [`View`] is the state, `view` draws it.

mod curve;
mod view;

use super::gallery::{Gallery, PictureMode};
use super::inbox::{self, Input};
use super::{Display, Graphics, probe, terminal};
use crossterm::event::{Event as TerminalEvent, KeyCode, KeyModifiers};
use signal_hook::consts::{SIGHUP, SIGTSTP};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};
pub use view::{View, clock};

/// An update from a run.
pub enum Update {
    /// The run resumed from a checkpoint at this step.
    Resumed(u64),
    /// A step, with its losses by name.
    Step(u64, Vec<(&'static str, f64)>),
    /// A checkpoint was saved.
    Checkpointed(u64),
    /// A sample sheet: a PNG file, its width and height.
    Sheet(Vec<u8>, u32, u32),
    /// A warning for the user.
    Warning(String),
}

/// The description of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The name of the phase, for example "tokens".
    pub phase: String,
    /// The run folder.
    pub folder: PathBuf,
    /// The total number of steps.
    pub steps: u64,
    /// The number of examples per step.
    pub batch: usize,
    /// The word for several examples, for example "pictures".
    pub unit: &'static str,
}

/// The terminal's capabilities.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScreenOptions {
    /// Whether to use colour; false if NO_COLOR is set.
    pub colour: bool,
    pub all_colours: bool,
    pub graphics: Graphics,
}

/// How the live view ended.
#[derive(Debug)]
pub struct ScreenResult {
    /// Whether the user asked twice to stop, so that the program ends without waiting for the run.
    pub at_once: bool,
    /// Messages to print after the screen has closed.
    pub remarks: Vec<String>,
}

/// The time between two frames.
const FRAME: Duration = Duration::from_millis(100);

/// Shows the run until its updates end. Sets `stop` when the user asks to stop; the run then saves
/// a checkpoint and ends by itself.
pub fn watch(
    run: Run,
    news: &Receiver<Update>,
    stop: &AtomicBool,
    looks: ScreenOptions,
) -> io::Result<ScreenResult> {
    let began = Instant::now();
    let (sender, inbox) = mpsc::channel();
    let pause = inbox::Pause::default();
    let mut screen = terminal::Screen::start(sender.clone(), pause.clone())?;
    let asked = probe::ask(looks.graphics);
    let means = PictureMode::of(asked.picker, looks.colour, looks.all_colours);
    let mut late = asked.late;
    let mut view = View::new(run, looks.colour, Gallery::new(means));
    inbox::open(sender, pause)?;
    let mut watched = ScreenResult {
        at_once: false,
        remarks: Vec::new(),
    };
    let mut gone = false;
    loop {
        let over = drain(&mut view, news, began.elapsed());
        if over || watched.at_once {
            break;
        }
        // Even if the terminal is gone, the run ends with a checkpoint, so that no steps are lost.
        gone = gone || screen.paint(|frame| view.draw(frame)).is_err();
        if gone {
            stop.store(true, Ordering::SeqCst);
        }
        let Ok(input) = inbox.recv_timeout(FRAME) else {
            continue;
        };
        match input {
            Input::Terminal(TerminalEvent::Key(key)) if late.takes(&key) => {}
            Input::Terminal(TerminalEvent::Key(key)) if ends(key.code, key.modifiers) => {
                watched.at_once = stop.swap(true, Ordering::SeqCst) && !gone;
                view.stopping = true;
            }
            Input::Signal(SIGTSTP) => gone = gone || screen.suspend().is_err(),
            Input::Signal(signal) => {
                gone |= signal == SIGHUP;
                stop.store(true, Ordering::SeqCst);
                view.stopping = true;
            }
            Input::Panicked(text) => watched.remarks.push(text),
            _ => {}
        }
    }
    drop(screen);
    watched.remarks.extend(view.into_remarks());
    Ok(watched)
}

fn ends(key: KeyCode, modifiers: KeyModifiers) -> bool {
    let control = modifiers.contains(KeyModifiers::CONTROL);
    match key {
        KeyCode::Char('c') => control,
        KeyCode::Char('q') | KeyCode::Esc => true,
        _ => false,
    }
}

/// Handles waiting updates. Returns true if no more will come.
fn drain(view: &mut View, news: &Receiver<Update>, now: Duration) -> bool {
    loop {
        match news.try_recv() {
            Ok(update) => view.take(update, now),
            Err(TryRecvError::Empty) => {
                view.now = now;
                return false;
            }
            Err(TryRecvError::Disconnected) => return true,
        }
    }
}
