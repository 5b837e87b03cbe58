//! Switches off the terminal's echo while the program queries the terminal. The terminal's answers
//! arrive like typed input, so they would otherwise appear on the screen.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, PoisonError};

/// The terminal and its original settings while its echo is off; None while the echo is on.
static BEFORE: Mutex<Option<(File, libc::termios)>> = Mutex::new(None);

/// A guard that restores the echo of the terminal when it is dropped.
pub struct EchoGuard(());

/// Whether the program is a shell's background job, which would be stopped if it queried the
/// terminal.
pub fn in_background() -> bool {
    terminal().is_some_and(|terminal| {
        // SAFETY: both calls only query a descriptor that we hold open.
        unsafe { libc::tcgetpgrp(terminal.as_raw_fd()) != libc::getpgrp() }
    })
}

/// Switches the echo off until the guard is dropped. Does nothing if there is no terminal.
pub fn off() -> EchoGuard {
    if let Some(terminal) = terminal() {
        // SAFETY: a termios contains only numbers, for which zero is valid.
        let mut modes: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a termios that outlives the call.
        if unsafe { libc::tcgetattr(terminal.as_raw_fd(), &mut modes) } == 0 {
            let before = modes;
            modes.c_lflag &= !libc::ECHO;
            set(&terminal, &modes);
            *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some((terminal, before));
        }
    }
    EchoGuard(())
}

/// Restores the echo. This is also called before the program exits.
pub fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((terminal, before)) = before {
        set(&terminal, &before);
    }
}

impl Drop for EchoGuard {
    fn drop(&mut self) {
        restore();
    }
}

fn terminal() -> Option<File> {
    let terminal = File::options().read(true).write(true).open("/dev/tty");
    terminal.ok()
}

fn set(terminal: &File, modes: &libc::termios) {
    // SAFETY: the pointer is to a termios that outlives the call.
    unsafe { libc::tcsetattr(terminal.as_raw_fd(), libc::TCSANOW, modes) };
}
