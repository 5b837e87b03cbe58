//! `--log FILE`: a log for bug reports. The writer's text is logged only with `--log-words`.

use super::args::Log;
use super::environment::BUILD;
use super::{Exit, Failed};
use illumine::engine::trace::WORDS;
use kernels::linear::KernelFamily;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;
use tracing::level_filters::LevelFilter;
use tracing::{error, info};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts the log, if requested, and logs a description of the machine.
pub fn begin(args: &Log, command: &str) -> Result<(), Failed> {
    let Some(path) = &args.log else {
        return Ok(());
    };
    let file = open(path).map_err(|error| {
        let why = format!(
            "Cannot write the log {} ({error}); choose a file in a writable folder",
            path.display()
        );
        Failed::new(Exit::Usage, why)
    })?;
    let words = match args.log_words {
        true => LevelFilter::TRACE,
        false => LevelFilter::OFF,
    };
    let own = LevelFilter::DEBUG;
    let targets = Targets::new()
        .with_target("illumine", own)
        .with_target(WORDS, words);
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(Mutex::new(Lines(file)));
    // Fails only for a second subscriber, and there is just one.
    let _ = tracing_subscriber::registry()
        .with(lines)
        .with(targets)
        .try_init();
    info!(
        version = BUILD,
        command,
        system = std::env::consts::OS,
        processor = std::env::consts::ARCH,
        features = features(),
        kernels = ?KernelFamily::best(),
        processors = super::environment::threads(None),
        words = args.log_words,
        "begun"
    );
    Ok(())
}

/// Logs how the program ended. The text of an error may quote the story, so it is logged only with
/// `--log-words`.
pub fn end(result: &Result<Exit, Failed>) {
    match result {
        Ok(exit) => info!(code = exit.code(), "ended"),
        Err(failed) => {
            error!(code = failed.exit.code(), exit = ?failed.exit, "ended");
            tracing::trace!(target: WORDS, why = failed.why);
        }
    }
}

/// Opens the log file so that only its owner can read it. New lines are appended to an existing
/// file.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    file.set_permissions(mode)?;
    Ok(file)
}

/// Returns the processor features that the kernels use, by their names in `/proc/cpuinfo`.
fn features() -> String {
    #[cfg(target_arch = "x86_64")]
    {
        let known = [
            ("avx2", is_x86_feature_detected!("avx2")),
            ("fma", is_x86_feature_detected!("fma")),
            ("f16c", is_x86_feature_detected!("f16c")),
            ("avx_vnni", is_x86_feature_detected!("avxvnni")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("avx512bw", is_x86_feature_detected!("avx512bw")),
            ("avx512_vnni", is_x86_feature_detected!("avx512vnni")),
        ];
        let here = known.iter().filter(|(_, here)| *here);
        here.map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
    }
    #[cfg(not(target_arch = "x86_64"))]
    String::new()
}

/// Writes each event as one line. Control characters are escaped, so that displaying the log in a
/// terminal is safe.
struct Lines(File);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let mut line = String::with_capacity(text.len());
        for c in text.trim_end_matches('\n').chars() {
            match c.is_control() {
                true => line.extend(c.escape_default()),
                false => line.push(c),
            }
        }
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
