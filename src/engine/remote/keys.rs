//! Finds the API key for a server. If a command prints the key, the command runs when the server is
//! first used.

use base::progress::Observer;
use base::untrusted::clean_line;
use remote::Key;
use std::fmt;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

/// The source of a server's key.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum KeySource {
    #[default]
    Nowhere,
    Known(Key),
    Command(KeyCommand),
    /// The key is missing; the text says why.
    Missing(String),
}

impl KeySource {
    /// Returns the key; None if the server needs none. The error says why the key cannot be
    /// obtained.
    pub fn key(&self, observer: &dyn Observer) -> Result<Option<Key>, String> {
        match self {
            KeySource::Nowhere => Ok(None),
            KeySource::Known(key) => Ok(Some(key.clone())),
            KeySource::Command(command) => command.key(observer).map(Some),
            KeySource::Missing(why) => Err(why.clone()),
        }
    }
}

/// A program that prints a key, and the program's arguments. The program is started without a
/// shell.
#[derive(Clone)]
pub struct KeyCommand {
    words: Vec<String>,
    /// The printed key, cached so that a password manager prompts only once.
    found: Arc<OnceLock<Key>>,
}

/// The maximum number of bytes to read from each output of the command.
const LONGEST: u64 = 64 << 10;
/// The maximum number of characters to quote from the command's error output.
const QUOTED: usize = 200;
/// How long the command may run. The limit is long because the command may open a window and ask
/// for a password.
const PATIENCE: Duration = Duration::from_secs(60);
/// The interval between checks for a stop request while waiting.
const TICK: Duration = Duration::from_millis(20);

impl KeyCommand {
    /// Creates a command from a program and its arguments; None if no program is named.
    pub fn new(words: Vec<String>) -> Option<KeyCommand> {
        let named = words.first().is_some_and(|program| !program.is_empty());
        named.then(|| KeyCommand {
            words,
            found: Arc::default(),
        })
    }

    fn program(&self) -> String {
        clean_line(self.words.first().map_or("", String::as_str))
    }

    fn key(&self, observer: &dyn Observer) -> Result<Key, String> {
        if let Some(key) = self.found.get() {
            return Ok(key.clone());
        }
        let printed = self.run(observer, PATIENCE)?;
        let key = Key::new(&printed).ok_or_else(|| {
            let program = self.program();
            format!("key_command ({program}) must print only the key; correct it in config.toml")
        })?;
        Ok(self.found.get_or_init(|| key).clone())
    }

    /// Runs the command and returns its output. Error messages never quote the output, which may be
    /// the key.
    fn run(&self, observer: &dyn Observer, patience: Duration) -> Result<String, String> {
        let program = self.program();
        let failed = |why: &str| {
            format!(
                "key_command ({program}) failed{why}; run it in a terminal, or correct it in config.toml"
            )
        };
        let mut command = Command::new(self.words.first().map_or("", String::as_str));
        command.args(self.words.get(1..).unwrap_or_default());
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|why| failed(&format!(": {why}")))?;
        let printed = child.stdout.take().map(read_apart);
        let said = child.stderr.take().map(read_apart);
        let success = wait(&mut child, observer, patience);
        let text = |reader: Option<JoinHandle<String>>| {
            let text = reader.and_then(|reader| reader.join().ok());
            text.unwrap_or_default()
        };
        match success {
            Ok(true) => Ok(text(printed)),
            Ok(false) => {
                let said = clean_line(text(said).trim());
                let said: String = said.chars().take(QUOTED).collect();
                Err(failed(&match said.is_empty() {
                    true => String::new(),
                    false => format!(": {said}"),
                }))
            }
            Err(why) => Err(failed(why)),
        }
    }
}

/// Reads an output of the program on a separate thread, so that a full pipe does not block the
/// program.
fn read_apart(output: impl Read + Send + 'static) -> JoinHandle<String> {
    spawn(move || {
        let mut bytes = Vec::new();
        // Errors are ignored: the bytes read so far are used.
        let _ = output.take(LONGEST).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits for the program to exit, and returns whether it succeeded. Kills the program if it takes
/// too long or the wait is cancelled.
fn wait(
    child: &mut Child,
    observer: &dyn Observer,
    patience: Duration,
) -> Result<bool, &'static str> {
    let began = Instant::now();
    loop {
        let why = match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if observer.is_cancelled() => ", since it was stopped",
            Ok(None) if began.elapsed() > patience => ", since it took more than a minute",
            Ok(None) => {
                sleep(TICK);
                continue;
            }
            Err(_) => ", since its exit status is unknown",
        };
        // Killing fails if the program has just ended, which does no harm.
        let _ = child.kill();
        let _ = child.wait();
        return Err(why);
    }
}

impl fmt::Debug for KeyCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyCommand({})", self.program())
    }
}

impl PartialEq for KeyCommand {
    fn eq(&self, other: &KeyCommand) -> bool {
        self.words == other.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::progress::Unobserved;

    fn command(words: &[&str]) -> KeyCommand {
        KeyCommand::new(words.iter().map(|word| word.to_string()).collect()).unwrap()
    }

    #[test]
    fn a_command_prints_the_key_once_and_without_a_shell() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("runs");
        let script = format!("echo run >> '{}'; echo sk-7", file.display());
        let source = KeySource::Command(command(&["sh", "-c", &script]));
        assert_eq!(source.key(&Unobserved), Ok(Key::new("sk-7")));
        assert_eq!(source.clone().key(&Unobserved), Ok(Key::new("sk-7")));
        assert_eq!(std::fs::read_to_string(file).unwrap(), "run\n");
        let plain = command(&["echo", "$HOME;ls"]);
        assert_eq!(plain.key(&Unobserved).ok(), Key::new("$HOME;ls"));
    }

    #[test]
    fn a_failure_quotes_the_error_and_never_what_was_printed() {
        for script in [
            "echo sk-planted; echo 'no \u{1b}[31mkeyring' >&2; exit 3",
            "echo sk-planted two",
            "echo sk-planted; head -c 9999999 /dev/zero >&2; exit 1",
        ] {
            let why = command(&["sh", "-c", script]).key(&Unobserved).unwrap_err();
            assert!(why.contains("key_command (sh)"), "{why}");
            assert!(
                !why.contains("sk-planted") && !why.contains('\u{1b}'),
                "{why}"
            );
            assert!(why.chars().count() < 400);
        }
        let said = command(&["sh", "-c", "echo no keyring >&2; exit 3"]).key(&Unobserved);
        assert!(said.unwrap_err().contains("failed: no keyring; run it"));
        let missing = command(&["/no/such/program"]).key(&Unobserved);
        assert!(missing.unwrap_err().contains("/no/such/program"));
        assert!(
            KeyCommand::new(vec![]).is_none() && KeyCommand::new(vec![String::new()]).is_none()
        );
    }

    #[test]
    fn a_command_that_hangs_is_ended() {
        let began = Instant::now();
        let why = command(&["sleep", "60"]).run(&Unobserved, Duration::from_millis(50));
        assert!(why.unwrap_err().contains("took more than a minute"));
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}
