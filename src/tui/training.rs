//! The live view of a training run: progress, loss curves and the latest sample sheet.
//!
//! The training runs on another thread and sends updates. A key or a signal asks the training to
//! stop. This module uses no datasets, networks or checkpoints: [`View`] is the state of the live
//! view, and the module `view` draws this state.

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

/// An update that the training thread sends to the live view.
pub enum Update {
    /// The training resumed from a checkpoint that was saved after this step.
    Resumed(u64),
    /// A training step has ended: its number, and the name and value of each loss.
    Step(u64, Vec<(&'static str, f64)>),
    /// A checkpoint was saved after this step.
    Checkpointed(u64),
    /// A sample sheet: the bytes of a PNG file, and its width and height in pixels.
    Sheet(Vec<u8>, u32, u32),
    /// A warning for the user.
    Warning(String),
}

/// The description of a run, as shown in the live view.
#[derive(Clone, Debug)]
pub struct Run {
    /// The name of the phase, for example "tokens".
    pub phase: String,
    /// The folder of the run.
    pub folder: PathBuf,
    /// The total number of steps.
    pub steps: u64,
    /// The number of examples per step.
    pub batch: usize,
    /// The plural noun for the training examples, for example "pictures".
    pub unit: &'static str,
}

/// The colours and the graphics that the live view may use.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScreenOptions {
    /// Whether to use colour; false if NO_COLOR is set.
    pub colour: bool,
    pub all_colours: bool,
    pub graphics: Graphics,
}

/// The result of [`watch`].
#[derive(Debug)]
pub struct ScreenResult {
    /// Whether the user asked twice to stop. If so, the program ends without waiting for the
    /// training.
    pub at_once: bool,
    /// Messages to print after the screen has closed.
    pub remarks: Vec<String>,
}

/// The time between two frames of the live view.
const FRAME: Duration = Duration::from_millis(100);

/// Shows the run until the training thread closes the channel `news`. When the user requests a
/// stop, sets `stop`, so that the training saves a checkpoint and ends.
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

/// Handles all updates that are waiting in the channel. Returns true if the channel is closed.
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
