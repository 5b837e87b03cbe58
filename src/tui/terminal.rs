//! The terminal up and down: whatever happens, it is left as it was found.

use super::app::App;
use super::inbox::{Input, Pause};
use super::{Stage, areas, view};
use crate::editor::{Editor, EditorError};
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute, queue};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use std::cell::RefCell;
use std::io::{self, Write};
use std::panic;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread;

/// The screen while the program has it. Dropping it gives the terminal back.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Frame>>,
    frame: Frame,
    hook: Arc<PanicHook>,
    pause: Pause,
}

type PanicHook = dyn Fn(&panic::PanicHookInfo<'_>) + Send + Sync;

/// A frame's bytes, sent whole: ratatui flushes in the middle of one.
#[derive(Clone, Default)]
struct Frame(Rc<RefCell<Vec<u8>>>);

impl Screen {
    /// Takes the terminal.
    pub fn up(inbox: Sender<Input>, pause: Pause) -> io::Result<Screen> {
        let hook = catch_panics(inbox);
        let taken = take();
        let frame = Frame::default();
        let terminal = taken.and_then(|()| Terminal::new(CrosstermBackend::new(frame.clone())));
        match terminal {
            Ok(terminal) => Ok(Screen {
                terminal,
                frame,
                hook,
                pause,
            }),
            Err(error) => {
                give_back();
                release_panics(&hook);
                Err(error)
            }
        }
    }
}

impl Screen {
    /// Draws one frame and sends it whole.
    pub fn paint(&mut self, draw: impl FnOnce(&mut ratatui::Frame)) -> io::Result<()> {
        queue!(self.frame, BeginSynchronizedUpdate)?;
        self.terminal.draw(draw)?;
        queue!(self.frame, EndSynchronizedUpdate)?;
        self.frame.send()
    }
}

impl Stage for Screen {
    fn draw(&mut self, app: &mut App) -> io::Result<()> {
        self.paint(|frame| {
            let areas = areas::fit(app, frame.area());
            view::draw(frame, app, &areas);
        })
    }

    fn redraw(&mut self) -> io::Result<()> {
        // Not `clear`, which asks the terminal for the cursor: the reading thread would get the
        // answer.
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())?;
        self.frame.send()
    }

    fn edit(&mut self, editor: &Editor, text: &str) -> Result<String, EditorError> {
        self.pause.on();
        give_back();
        let edited = editor.edit(text);
        let taken = take();
        self.pause.off();
        taken.map_err(|error| EditorError::Run(error.to_string()))?;
        edited
    }

    fn suspend(&mut self) -> io::Result<()> {
        give_back();
        signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)?;
        take()?;
        self.redraw()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
        release_panics(&self.hook);
    }
}

impl Frame {
    fn send(&self) -> io::Result<()> {
        let bytes = self.0.take();
        let mut out = io::stdout().lock();
        out.write_all(&bytes)?;
        out.flush()
    }
}

impl Write for Frame {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether the program has the terminal: there is only one, and it is given back only once, since
/// the second time would move the cursor over the message of a panic.
static TAKEN: AtomicBool = AtomicBool::new(false);

fn take() -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste)
}

/// Every step is tried, even when the terminal is gone.
fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    let _ = execute!(out, EndSynchronizedUpdate, DisableBracketedPaste);
    let _ = execute!(out, LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
}

/// A panic of this thread ends the program: the terminal is given back before the message. A
/// panic of another is the engine's, which answers it with an event; its message must not be
/// written across the screen, and waits until the terminal is free.
fn catch_panics(inbox: Sender<Input>) -> Arc<PanicHook> {
    let before: Arc<PanicHook> = Arc::from(panic::take_hook());
    let (mine, inner) = (thread::current().id(), before.clone());
    panic::set_hook(Box::new(move |info| {
        if thread::current().id() == mine {
            give_back();
            inner(info);
        } else {
            let _ = inbox.send(Input::Panicked(info.to_string()));
        }
    }));
    before
}

/// Not while panicking: the hook cannot be changed then, and the program ends anyway.
fn release_panics(before: &Arc<PanicHook>) {
    if !thread::panicking() {
        let before = before.clone();
        panic::set_hook(Box::new(move |info| before(info)));
    }
}
