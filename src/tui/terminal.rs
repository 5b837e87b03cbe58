//! Sets up the terminal, and restores it when the screen closes or the program panics.

use super::app::App;
use super::inbox::{Input, Pause};
use super::{Display, areas, view};
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

/// The terminal, set up for the full-screen program. Dropping this value restores the terminal.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<FrameBuffer>>,
    frame: FrameBuffer,
    hook: Arc<PanicHook>,
    pause: Pause,
}

type PanicHook = dyn Fn(&panic::PanicHookInfo<'_>) + Send + Sync;

/// Collects the bytes of a frame and sends them together, since ratatui flushes its output in the
/// middle of a frame.
#[derive(Clone, Default)]
struct FrameBuffer(Rc<RefCell<Vec<u8>>>);

impl Screen {
    /// Sets up the terminal and the panic hook.
    pub fn start(inbox: Sender<Input>, pause: Pause) -> io::Result<Screen> {
        let hook = catch_panics(inbox);
        let taken = enter_screen();
        let frame = FrameBuffer::default();
        let terminal = taken.and_then(|()| Terminal::new(CrosstermBackend::new(frame.clone())));
        match terminal {
            Ok(terminal) => Ok(Screen {
                terminal,
                frame,
                hook,
                pause,
            }),
            Err(error) => {
                restore_terminal();
                release_panics(&hook);
                Err(error)
            }
        }
    }
}

impl Screen {
    /// Draws one frame and sends all of its bytes together.
    pub fn paint(&mut self, draw: impl FnOnce(&mut ratatui::Frame)) -> io::Result<()> {
        queue!(self.frame, BeginSynchronizedUpdate)?;
        self.terminal.draw(draw)?;
        queue!(self.frame, EndSynchronizedUpdate)?;
        self.frame.send()
    }
}

impl Display for Screen {
    fn draw(&mut self, app: &mut App) -> io::Result<()> {
        self.paint(|frame| {
            let areas = areas::layout(app, frame.area());
            view::draw(frame, app, &areas);
        })
    }

    fn redraw(&mut self) -> io::Result<()> {
        // Not `clear`, which queries the terminal for the cursor's position: the reading thread
        // would get the answer.
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())?;
        self.frame.send()
    }

    fn edit(&mut self, editor: &Editor, text: &str) -> Result<String, EditorError> {
        self.pause.on();
        restore_terminal();
        let edited = editor.edit(text);
        let taken = enter_screen();
        self.pause.off();
        taken.map_err(|error| EditorError::Run(error.to_string()))?;
        edited
    }

    fn suspend(&mut self) -> io::Result<()> {
        restore_terminal();
        signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)?;
        enter_screen()?;
        self.redraw()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore_terminal();
        release_panics(&self.hook);
    }
}

impl FrameBuffer {
    fn send(&self) -> io::Result<()> {
        let bytes = self.0.take();
        let mut out = io::stdout().lock();
        out.write_all(&bytes)?;
        out.flush()
    }
}

impl Write for FrameBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether the terminal is set up for the screen. It must be restored only once, since restoring
/// the terminal a second time would move the cursor over a panic message.
static TAKEN: AtomicBool = AtomicBool::new(false);

fn enter_screen() -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste)
}

/// Restores the terminal if it is set up. Every step is tried, even if the terminal is gone.
fn restore_terminal() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    let _ = execute!(out, EndSynchronizedUpdate, DisableBracketedPaste);
    let _ = execute!(out, LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
}

/// Installs a panic hook, and returns the previous hook. A panic of this thread ends the program,
/// so the hook restores the terminal before the message is printed. The message of a panic in
/// another thread must not be printed over the screen, so the hook sends the message to the event
/// loop, which retains it until the terminal is restored.
fn catch_panics(inbox: Sender<Input>) -> Arc<PanicHook> {
    let before: Arc<PanicHook> = Arc::from(panic::take_hook());
    let (mine, inner) = (thread::current().id(), before.clone());
    panic::set_hook(Box::new(move |info| {
        if thread::current().id() == mine {
            restore_terminal();
            inner(info);
        } else {
            let _ = inbox.send(Input::Panicked(info.to_string()));
        }
    }));
    before
}

/// Restores the previous panic hook. Does nothing during a panic, when the hook cannot be changed.
fn release_panics(before: &Arc<PanicHook>) {
    if !thread::panicking() {
        let before = before.clone();
        panic::set_hook(Box::new(move |info| before(info)));
    }
}
