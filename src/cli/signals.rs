//! Handles signals for the line-based front ends. Ctrl+C stops the passage; SIGHUP and SIGTERM end
//! the program as soon as the text generated so far is on disk.

use super::{Exit, echo};
use illumine::engine::Stop;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The maximum time to wait for a stopped passage to be written to disk.
const PATIENCE: Duration = Duration::from_secs(2);

/// State shared by the signal thread and the front end.
#[derive(Clone, Default)]
pub struct Watch {
    working: Arc<AtomicBool>,
    ending: Arc<AtomicBool>,
    interrupts: Arc<AtomicU32>,
}

impl Watch {
    /// Tells the signal thread whether work is in progress, such as a passage that must be on disk
    /// before the program ends. If a signal is already ending the program, `working(false)` does
    /// not return, so that no new work starts.
    pub fn working(&self, working: bool) {
        self.working.store(working, Ordering::SeqCst);
        while !working && self.ending.load(Ordering::SeqCst) {
            thread::park();
        }
    }

    /// The number of times that Ctrl+C was pressed.
    pub fn interrupts(&self) -> u32 {
        self.interrupts.load(Ordering::SeqCst)
    }
}

/// Starts the signal thread. If signals are unavailable, the program runs without them.
pub fn listen(stop: Stop) -> Watch {
    listen_with(move || stop.stop())
}

/// Starts the signal thread, which calls `stop` when a signal arrives. If signals are unavailable,
/// the program runs without them.
pub fn listen_with(stop: impl Fn() + Send + 'static) -> Watch {
    let watch = Watch::default();
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else {
        return watch;
    };
    let shared = watch.clone();
    thread::spawn(move || {
        for signal in signals.forever() {
            stop();
            let working = shared.working.load(Ordering::SeqCst);
            if signal == SIGINT {
                let times = shared.interrupts.fetch_add(1, Ordering::SeqCst) + 1;
                // The first Ctrl+C stops the work; a later one, or one with nothing to stop, quits.
                if working && times < 3 {
                    continue;
                }
            }
            shared.ending.store(true, Ordering::SeqCst);
            wait(&shared, &stop);
            echo::restore();
            std::process::exit(i32::from(Exit::Signal(signal as u8).code()));
        }
    });
    watch
}

fn wait(watch: &Watch, stop: &impl Fn()) {
    let until = Instant::now() + PATIENCE;
    while watch.working.load(Ordering::SeqCst) && Instant::now() < until {
        // A passage may have started since.
        stop();
        thread::sleep(Duration::from_millis(5));
    }
}

/// Silences the panic messages of worker threads. The engine reports such a panic as an event, and
/// the message itself would appear in the middle of the story.
pub fn keep_quiet_about_workers() {
    let (main, said) = (std::thread::current().id(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().id() == main {
            said(info);
        }
    }));
}
