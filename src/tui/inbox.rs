//! The inputs of the event loop other than engine events: keys, signals, and the hangup of the
//! terminal.
//!
//! Two threads read these inputs and send them to the loop. The first blocks in crossterm, which
//! supports the keys of every terminal but never reports a hangup (crossterm keeps reading the
//! closed terminal). The second therefore waits for signals and for the hangup.

use super::half_blocks::PictureSlot;
use super::prepared::PreparedPicture;
use super::split;
use crossterm::event::Event as TerminalEvent;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP};
use signal_hook::flag;
use std::io::{self, IsTerminal, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

/// An input of the event loop.
pub enum Input {
    Terminal(TerminalEvent),
    Signal(i32),
    /// A thread other than the screen's has panicked with this message. If it is the engine's
    /// thread, the engine still answers requests.
    Panicked(String),
    /// A picture has been prepared and is ready to be drawn.
    Picture(PictureSlot, Box<PreparedPicture>),
}

/// The signals that the program handles: SIGTSTP suspends the program, and the others end it
/// cleanly.
const SIGNALS: [i32; 4] = [SIGHUP, SIGINT, SIGTERM, SIGTSTP];

/// Starts the two threads that send inputs to `inbox`. The threads run until the program ends.
pub fn open(inbox: Sender<Input>, pause: Pause) -> io::Result<()> {
    let (mut wakes, wake) = UnixStream::pair()?;
    let mut raised = Vec::new();
    for signal in SIGNALS {
        let flag = Arc::new(AtomicBool::new(false));
        flag::register(signal, flag.clone())?;
        signal_hook::low_level::pipe::register(signal, wake.try_clone()?)?;
        raised.push((signal, flag));
    }
    let keys = inbox.clone();
    thread::Builder::new()
        .name("keys".into())
        .spawn(move || read_keys(&keys, &pause))?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            while wait(&mut wakes) {
                for (signal, flag) in &raised {
                    if flag.swap(false, Ordering::SeqCst)
                        && inbox.send(Input::Signal(*signal)).is_err()
                    {
                        return;
                    }
                }
            }
            let _ = inbox.send(Input::Signal(SIGHUP));
        })?;
    Ok(())
}

/// A switch that pauses the reading of keys while another program uses the terminal.
#[derive(Clone, Default)]
pub struct Pause(Arc<Switch>);

#[derive(Default)]
struct Switch {
    on: AtomicBool,
    resting: AtomicBool,
}

/// How long the reading thread waits for a key before it checks the [`Pause`] switch.
const WAIT: Duration = Duration::from_millis(50);

impl Pause {
    /// Turns the pause on, and waits (only for a limited time) until the thread has stopped
    /// reading.
    pub fn on(&self) {
        self.0.on.store(true, Ordering::SeqCst);
        // The thread may be gone, so the wait is limited; a running thread pauses within that time.
        for _ in 0..30 {
            if self.0.resting.load(Ordering::SeqCst) {
                return;
            }
            thread::sleep(WAIT / 10);
        }
    }

    pub fn off(&self) {
        self.0.on.store(false, Ordering::SeqCst);
    }

    fn rest(&self) {
        while self.0.on.load(Ordering::SeqCst) {
            self.0.resting.store(true, Ordering::SeqCst);
            thread::sleep(WAIT / 10);
        }
        self.0.resting.store(false, Ordering::SeqCst);
    }
}

fn read_keys(inbox: &Sender<Input>, pause: &Pause) {
    loop {
        pause.rest();
        let event = match crossterm::event::poll(WAIT) {
            Ok(false) => continue,
            Ok(true) => crossterm::event::read(),
            Err(error) => Err(error),
        };
        let rest = || match crossterm::event::poll(split::PAUSE)? {
            true => crossterm::event::read().map(Some),
            false => Ok(None),
        };
        let Ok(events) = event.and_then(|event| split::whole(event, rest)) else {
            return;
        };
        for event in events {
            if inbox.send(Input::Terminal(event)).is_err() {
                return;
            }
        }
    }
}

/// Blocks until a signal arrives or the terminal hangs up. Returns false if the terminal has hung
/// up.
fn wait(wakes: &mut UnixStream) -> bool {
    let terminal = io::stdin().is_terminal().then(|| io::stdin().as_raw_fd());
    // A negative descriptor is ignored.
    let mut polled = [
        poll_for(wakes.as_raw_fd(), libc::POLLIN),
        poll_for(terminal.unwrap_or(-1), 0),
    ];
    // SAFETY: pointer and length describe an array that outlives the call.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, -1) };
    if ready < 0 {
        return io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
    }
    if polled[1].revents != 0 {
        return false;
    }
    wakes.read(&mut [0; 64]).is_ok_and(|bytes| bytes > 0)
}

fn poll_for(fd: RawFd, events: libc::c_short) -> libc::pollfd {
    libc::pollfd {
        fd,
        events,
        revents: 0,
    }
}
