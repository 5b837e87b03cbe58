//! The full-screen front end, which shows the story, an input line and a status line.
//!
//! The main loop handles waiting events, draws the screen if something changed, and sleeps
//! otherwise. The studio stores the story, and only commands change the story. [`App`] is the state
//! of the front end, and `view` draws it. Only `terminal` and `inbox` do I/O.

mod app;
mod areas;
pub mod choosing;
mod columns;
mod complete;
mod editing;
mod frame_times;
mod gallery;
mod half_blocks;
mod history;
mod inbox;
mod input;
mod interrupt;
mod items;
pub mod keymap;
mod keys;
mod message;
mod meter;
mod overlay;
mod page;
mod paragraph;
mod prepared;
mod probe;
mod spans;
mod split;
mod status;
mod terminal;
mod theme;
#[cfg(feature = "train")]
pub mod training;
mod view;
mod words;
mod wrap;

#[cfg(test)]
mod tests;

pub use app::App;
pub use frame_times::frame_times;
pub use probe::TerminalHints as Graphics;

use crate::editor::{Editor, EditorError};
use crate::studio::Studio;
use app::LoopAction;
use crossterm::event::Event as TerminalEvent;
use gallery::{Gallery, PictureMode};
use inbox::Input;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTSTP};
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};
use story::{Command, Reply};

/// The minimum time between two frames, so that streaming text does not redraw the screen too
/// often.
const FRAME_INTERVAL: Duration = Duration::from_millis(33);
/// The time between two polls of engine events while the engine is busy.
const EVENT_POLL: Duration = Duration::from_millis(10);
/// The maximum time to wait, when the writer quits, for generation to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// The screen's options, which the caller of [`run`] sets.
#[derive(Default)]
pub struct Options {
    /// The command to run when the screen starts, if any.
    pub first_command: Option<Command>,
    /// The notice to show when the screen starts, if any.
    pub notice: Option<String>,
    /// The input lines of earlier sessions, oldest first.
    pub history: Vec<String>,
    /// Whether to use colour; false if NO_COLOR is set.
    pub colour: bool,
    /// Whether to use true colour; if false, 256 colours are used.
    pub all_colours: bool,
    /// What the environment variables say about the terminal's support for graphics.
    pub graphics: Graphics,
    /// The key bindings: the built-in bindings and those that the writer has configured.
    pub keys: keymap::Keymap,
    /// The writer's own text editor, if the writer has one.
    pub editor: Option<Editor>,
    /// Whether the model prefills a line while the writer is still typing the line.
    pub read_ahead: bool,
}

/// The result of [`run`]: why the screen closed, and what the caller must still save or print.
#[derive(Debug)]
pub struct Exit {
    pub why: ExitReason,
    /// The name of the session that was open when the screen closed; None if that session has no
    /// journal.
    pub session: Option<String>,
    /// The lines to add to the history file; empty for a private session.
    pub history: Vec<String>,
    /// Messages that could not be shown on the screen, to be printed now that it has closed.
    pub remarks: Vec<String>,
    /// Whether saving the end of the story failed.
    pub unsaved: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    Quit,
    /// Ctrl+C was pressed twice.
    Interrupted,
    /// The program received this signal. SIGHUP also stands for the loss of the terminal.
    Signal(i32),
}

impl ExitReason {
    /// The program's exit code if it ends for this reason.
    pub fn code(self) -> u8 {
        match self {
            ExitReason::Quit => 0,
            ExitReason::Interrupted => 130,
            ExitReason::Signal(signal) => 128 + signal as u8,
        }
    }
}

/// The surface that the app draws on: the terminal, or a buffer in tests.
trait Display {
    fn draw(&mut self, app: &mut App) -> io::Result<()>;
    /// Draws the whole screen again.
    fn redraw(&mut self) -> io::Result<()>;
    /// Opens `text` in the writer's editor, which uses the terminal until the editor exits. Returns
    /// the edited text.
    fn edit(&mut self, editor: &Editor, text: &str) -> Result<String, EditorError>;
    /// Suspends the program. When the program resumes, takes over the terminal again.
    fn suspend(&mut self) -> io::Result<()>;
}

/// Runs the screen until the writer quits, a signal arrives or the terminal disappears.
pub fn run(studio: Studio, events: Receiver<Reply>, options: Options) -> anyhow::Result<Exit> {
    let began = Instant::now();
    let (colour, all_colours) = (options.colour, options.all_colours);
    let graphics = options.graphics;
    let mut app = App::new(studio, options);
    let (sender, inbox) = mpsc::channel();
    let pause = inbox::Pause::default();
    let mut screen = terminal::Screen::start(sender.clone(), pause.clone())?;
    // Queries the terminal before any key is read, because answers arrive like keys.
    let asked = probe::ask(graphics);
    let means = PictureMode::of(asked.picker, colour, all_colours);
    app.gallery = Gallery::open(means, sender.clone());
    app.late = asked.late;
    if !asked.typed.is_empty() {
        app.paste(&asked.typed);
    }
    inbox::open(sender, pause)?;
    let sources = Sources {
        inbox: &inbox,
        events: &events,
        clock: &|| began.elapsed(),
    };
    let mut remarks = Vec::new();
    let why = run_loop(&mut app, &mut screen, &sources, &mut remarks);
    wind_down(&mut app, &events);
    drop(screen);
    let (mut studio, history) = app.into_parts();
    let finished = studio.finish();
    remarks.extend(studio.remarks());
    let unsaved = finished.is_err();
    remarks.extend(finished.err().map(|refusal| refusal.to_string()));
    let session = studio.session_name().map(str::to_string);
    Ok(Exit {
        why,
        session,
        history,
        remarks,
        unsaved,
    })
}

/// The event loop's two channels (terminal input and the engine's replies) and its clock.
struct Sources<'a> {
    inbox: &'a Receiver<Input>,
    events: &'a Receiver<Reply>,
    clock: &'a dyn Fn() -> Duration,
}

/// Runs the event loop until the program must end, and returns the reason. If drawing to the
/// terminal fails, the terminal counts as disconnected, and the reason is SIGHUP.
fn run_loop(
    app: &mut App,
    stage: &mut dyn Display,
    sources: &Sources,
    remarks: &mut Vec<String>,
) -> ExitReason {
    let mut engine = true;
    let mut stale = true;
    let mut next_frame = Duration::ZERO;
    loop {
        let now = (sources.clock)();
        stale |= app.tick(now) | take_events(app, sources.events, &mut engine);
        match perform_action(app, stage) {
            Ok(Some(why)) => return why,
            Ok(None) => {}
            Err(_) => return ExitReason::Signal(SIGHUP),
        }
        if stale && now >= next_frame {
            if stage.draw(app).is_err() {
                return ExitReason::Signal(SIGHUP);
            }
            (stale, next_frame) = (false, now + FRAME_INTERVAL);
        }
        let frame = stale.then(|| next_frame.saturating_sub(now));
        let patience = wait_limit(app, now, engine);
        let Some(input) = wait(sources.inbox, frame.or(patience)) else {
            continue;
        };
        app.tick((sources.clock)());
        for input in std::iter::once(input).chain(sources.inbox.try_iter()) {
            take_input(app, input, remarks);
            if app.loop_action.is_some() {
                break;
            }
        }
        // Typed text is shown at once.
        (stale, next_frame) = (true, Duration::ZERO);
    }
}

/// The maximum time that the event loop may sleep; None if the loop may sleep until an event
/// arrives.
fn wait_limit(app: &App, now: Duration, engine: bool) -> Option<Duration> {
    let glance = (app.studio.busy() && engine).then_some(EVENT_POLL);
    let wake = app.wakes_at().map(|at| at.saturating_sub(now));
    [glance, wake].into_iter().flatten().min()
}

/// Handles all replies of the engine that are waiting. Returns true if anything arrived.
fn take_events(app: &mut App, events: &Receiver<Reply>, engine: &mut bool) -> bool {
    let mut came = false;
    loop {
        match events.try_recv() {
            Ok(reply) => app.absorb(reply),
            Err(TryRecvError::Disconnected) if *engine => {
                *engine = false;
                app.engine_lost();
            }
            Err(_) => break,
        }
        came = true;
    }
    if came {
        app.flush();
    }
    came
}

fn take_input(app: &mut App, input: Input, remarks: &mut Vec<String>) {
    match input {
        Input::Terminal(TerminalEvent::Key(key)) if app.late.takes(&key) => {}
        Input::Terminal(TerminalEvent::Key(key)) => app.key(key),
        Input::Terminal(TerminalEvent::Paste(text)) => app.paste(&text),
        // The size is queried for every frame.
        Input::Terminal(_) => {}
        Input::Signal(SIGTSTP) => app.loop_action = Some(LoopAction::Suspend),
        Input::Signal(SIGINT) => app.leave(ExitReason::Interrupted),
        Input::Signal(signal) => app.leave(ExitReason::Signal(signal)),
        Input::Panicked(text) => remarks.push(text),
        Input::Picture(frame, ready) => app.gallery.insert(frame, *ready),
    }
}

/// Performs the action that the app has requested, if any. Returns a reason if the program must
/// end.
fn perform_action(app: &mut App, stage: &mut dyn Display) -> io::Result<Option<ExitReason>> {
    match app.loop_action.take() {
        Some(LoopAction::Leave(why)) => return Ok(Some(why)),
        Some(LoopAction::Suspend) => {
            stage.suspend()?;
            app.gallery.clear();
        }
        Some(LoopAction::Redraw) => {
            stage.redraw()?;
            app.gallery.clear();
        }
        Some(LoopAction::Editor) => {
            if let Some((editor, text)) = app.for_editor() {
                let edited = stage.edit(&editor, &text);
                stage.redraw()?;
                app.gallery.clear();
                app.edited(edited);
            }
        }
        None => {}
    }
    Ok(None)
}

/// Waits for the next input, for at most `patience`. Returns None on a timeout. If no more input
/// can arrive, returns the signal SIGHUP.
fn wait(inbox: &Receiver<Input>, patience: Option<Duration>) -> Option<Input> {
    let Some(patience) = patience else {
        return Some(inbox.recv().unwrap_or(Input::Signal(SIGHUP)));
    };
    match inbox.recv_timeout(patience) {
        Ok(input) => Some(input),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => Some(Input::Signal(SIGHUP)),
    }
}

/// Stops generation and handles the remaining replies, so that the journal is complete.
fn wind_down(app: &mut App, events: &Receiver<Reply>) {
    app.studio.stop();
    let until = Instant::now() + STOP_TIMEOUT;
    while app.studio.writing() {
        let left = until.saturating_duration_since(Instant::now());
        match events.recv_timeout(left) {
            Ok(reply) => app.absorb(reply),
            Err(_) => break,
        }
    }
    app.flush();
}
