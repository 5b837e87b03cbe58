//! The screen of a training run: how far it is, its numbers as curves, the latest sheet.
//!
//! The run itself is on another thread and sends its news here; a key or a signal asks it to stop.
//! Knows no data, no network and no checkpoint: [`View`] is the state, `view` draws it.

mod curve;
mod view;

use super::gallery::{Gallery, Means};
use super::inbox::{self, Input};
use super::{Graphics, Stage, probe, terminal};
use crossterm::event::{Event as TerminalEvent, KeyCode, KeyModifiers};
use signal_hook::consts::{SIGHUP, SIGTSTP};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};
pub use view::{View, clock};

/// News of a run.
pub enum Update {
    /// A checkpoint was found: so many steps are done.
    Resumed(u64),
    /// A step, with its numbers by name.
    Step(u64, Vec<(&'static str, f64)>),
    /// A checkpoint was written.
    Kept(u64),
    /// Something to look at: a PNG file, its width and height.
    Sheet(Vec<u8>, u32, u32),
    /// Something that a person should know.
    Warning(String),
}

/// What the run is, for its screen.
#[derive(Clone, Debug)]
pub struct Run {
    /// Such as "tokens".
    pub phase: String,
    /// Where it is kept.
    pub folder: String,
    /// Steps in all.
    pub steps: u64,
    /// Pictures of a step.
    pub batch: usize,
}

/// How the terminal shows things.
#[derive(Clone, Copy, Debug, Default)]
pub struct Looks {
    /// False where NO_COLOR is set.
    pub colour: bool,
    pub all_colours: bool,
    pub graphics: Graphics,
}

/// How watching ended.
#[derive(Debug)]
pub struct Watched {
    /// Asked twice to stop: the run is not to be waited for.
    pub at_once: bool,
    /// What could not be said on the screen, and what was said there that should stay.
    pub remarks: Vec<String>,
}

/// Between two frames.
const FRAME: Duration = Duration::from_millis(100);

/// Shows the run until its news end. `stop` is set where somebody asks for the end; the run then
/// keeps a checkpoint and ends by itself.
pub fn watch(
    run: Run,
    news: &Receiver<Update>,
    stop: &AtomicBool,
    looks: Looks,
) -> io::Result<Watched> {
    let began = Instant::now();
    let (sender, inbox) = mpsc::channel();
    let pause = inbox::Pause::default();
    let mut screen = terminal::Screen::up(sender.clone(), pause.clone())?;
    let asked = probe::ask(looks.graphics);
    let means = Means::of(asked.picker, looks.colour, looks.all_colours);
    let mut late = asked.late;
    let mut view = View::new(run, looks.colour, Gallery::new(means));
    inbox::open(sender, pause)?;
    let mut watched = Watched {
        at_once: false,
        remarks: Vec::new(),
    };
    let mut gone = false;
    loop {
        let over = drain(&mut view, news, began.elapsed());
        if over || watched.at_once {
            break;
        }
        // A terminal that is gone is no reason to lose steps: the run ends in order.
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

/// Takes what has come; true when no more will.
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
