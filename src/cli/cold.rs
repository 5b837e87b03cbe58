//! Cold-start benchmark: runs this program and measures the time to its first output and its peak
//! memory.

use super::args::Bench as Args;
use super::{Exit, Failed};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

pub struct ColdStart {
    pub ms: f64,
    pub megabytes: f64,
}

/// A short prompt: 17 tokens for the default model.
const PROMPT: &str = "The lamp on the wall went out, and nobody in the old house knew why it";

pub fn starts(args: &Args) -> Result<Vec<ColdStart>, Failed> {
    (0..args.repeat).map(|_| measure_start(args)).collect()
}

fn measure_start(args: &Args) -> Result<ColdStart, Failed> {
    let failed = |error: std::io::Error| Failed::new(Exit::Engine, error);
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(["write", "--max-tokens", "8", PROMPT]);
    if let Some(model) = &args.model {
        command.args(["--model", model]);
    }
    if let Some(threads) = args.on.threads {
        command.args(["--threads", &threads.to_string()]);
    }
    let began = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let mut out = child.stdout.take();
    let mut text = [0; 1];
    if let Some(out) = &mut out {
        out.read_exact(&mut text).map_err(failed)?;
    }
    let ms = began.elapsed().as_secs_f64() * 1000.0;
    if let Some(out) = &mut out {
        out.read_to_end(&mut Vec::new()).map_err(failed)?;
    }
    let megabytes = peak_memory(child).map_err(failed)?;
    Ok(ColdStart { ms, megabytes })
}

/// Waits for a program to end, and returns its peak memory in megabytes.
#[cfg(unix)]
fn peak_memory(child: Child) -> std::io::Result<f64> {
    let mut status = 0;
    // SAFETY: the struct contains only numbers, for which zero is valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the child is ours and is not waited for elsewhere; both pointers are to local
    // variables.
    let waited = unsafe { libc::wait4(child.id() as i32, &mut status, 0, &mut usage) };
    if waited < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // Linux counts in kibibytes, macOS in bytes (see getrusage(2)).
    let unit = if cfg!(target_os = "macos") {
        1.0
    } else {
        1024.0
    };
    Ok(usage.ru_maxrss as f64 * unit / 1e6)
}

#[cfg(not(unix))]
fn peak_memory(mut child: Child) -> std::io::Result<f64> {
    child.wait()?;
    Ok(f64::NAN)
}
