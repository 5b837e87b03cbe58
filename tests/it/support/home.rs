//! Creates a separate home folder for each test. The tests use none of the user's own files except
//! the model.

use super::{ILLUMINE, encoder_path, model_path};
use illumine::store::{Recovered, recover_journal};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The time after which a child process that is still running counts as hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// A temporary home folder, which at first contains only the default model.
pub struct Home(TempDir);

/// A command line that has not been run yet, and its standard input.
pub struct Run {
    command: Command,
    input: Vec<u8>,
}

/// The output and the exit status of a program that has ended.
#[derive(Debug)]
pub struct Output {
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub status: ExitStatus,
}

/// A running program whose standard input is open.
pub struct Live {
    child: Child,
    input: Option<ChildStdin>,
    stdout: Stream,
    stderr: Stream,
}

impl Home {
    pub fn new() -> Home {
        let home = Home(tempfile::tempdir().unwrap());
        let model = model_path();
        let ours = home.model();
        fs::create_dir_all(ours.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&model, &ours).unwrap();
        // With its stamp next to it, the model need not be hashed at every start.
        let stamps = model
            .ancestors()
            .map(|folder| folder.join("stamps"))
            .find(|stamps| stamps.is_dir());
        for stamp in stamps
            .into_iter()
            .flat_map(|stamps| fs::read_dir(stamps).unwrap().flatten())
        {
            let to = home.models().join("stamps");
            fs::create_dir_all(&to).unwrap();
            let _ = fs::copy(stamp.path(), to.join(stamp.file_name()));
        }
        home
    }

    /// Creates a home folder that also contains the sentence encoder.
    pub fn with_encoder() -> Home {
        let home = Home::new();
        let encoder = encoder_path();
        let folder = home.models().join("all-minilm-l6-v2");
        fs::create_dir_all(&folder).unwrap();
        let ours = folder.join(encoder.file_name().unwrap());
        std::os::unix::fs::symlink(&encoder, ours).unwrap();
        home
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn models(&self) -> PathBuf {
        self.path().join(".local/share/illumine/models")
    }

    /// The path at which the program looks for the default model.
    pub fn model(&self) -> PathBuf {
        let file = model_path();
        self.models()
            .join("smollm2-135m")
            .join(file.file_name().unwrap())
    }

    pub fn sessions(&self) -> PathBuf {
        self.path().join(".local/share/illumine/sessions")
    }

    pub fn journal(&self, session: &str) -> PathBuf {
        self.sessions().join(session).join("journal.jsonl")
    }

    /// Reads a session's journal and recovers the session, as the program does when it opens a
    /// session.
    pub fn recovered(&self, session: &str) -> Recovered {
        recover_journal(&fs::read(self.journal(session)).unwrap())
    }

    /// Writes a file in this home folder and returns the path of the file.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Prepares a run of the program with these arguments in a clean environment: offline, on a
    /// dumb terminal, and with one thread, since many tests run at the same time.
    pub fn illumine(&self, args: &[&str]) -> Run {
        self.program(Path::new(ILLUMINE), args)
    }

    /// Like [`Home::illumine`], but runs the copy of the program at the path `program`.
    pub fn program(&self, program: &Path, args: &[&str]) -> Run {
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TERM", "dumb")
            .env("NO_COLOR", "1")
            .env("ILLUMINE_OFFLINE", "1")
            .env("ILLUMINE_THREADS", "1");
        Run {
            command,
            input: Vec::new(),
        }
    }
}

impl Run {
    pub fn variable(mut self, name: &str, value: &str) -> Run {
        self.command.env(name, value);
        self
    }

    pub fn without(mut self, name: &str) -> Run {
        self.command.env_remove(name);
        self
    }

    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Run {
        self.input = input.into();
        self
    }

    /// Limits every file that the program writes to a size of this many bytes. Exceeding the limit
    /// causes a write error instead of a signal.
    pub fn file_limit(mut self, bytes: u64) -> Run {
        let limit = move || {
            // SAFETY: plain system calls on our own data, allowed between fork and exec.
            let done = unsafe {
                libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
                let mut limit = std::mem::zeroed();
                libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit);
                limit.rlim_cur = bytes;
                libc::setrlimit(libc::RLIMIT_FSIZE, &limit)
            };
            match done {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // SAFETY: as above.
        unsafe { self.command.pre_exec(limit) };
        self
    }

    /// Runs the program: writes the input to standard input, closes standard input, and waits until
    /// the program exits.
    pub fn run(self) -> Output {
        let input = self.input.clone();
        let mut live = self.start();
        let mut stdin = live.input.take().unwrap();
        // A child that does not read its input must not hold up the test.
        let writer = thread::spawn(move || stdin.write_all(&input));
        let output = live.end();
        let _ = writer.join();
        output
    }

    /// Starts the program and leaves its standard input open.
    pub fn start(mut self) -> Live {
        // A shell's background job ignores Ctrl+C, and so do its children.
        let hear = || {
            // SAFETY: a plain system call, allowed between fork and exec.
            unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
            Ok(())
        };
        // SAFETY: as above.
        unsafe { self.command.pre_exec(hear) };
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        Live {
            input: child.stdin.take(),
            stdout: Stream::follow(child.stdout.take().unwrap()),
            stderr: Stream::follow(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Like [`Run::run`], but `set` can redirect the program's standard input, output or error.
    pub fn with(mut self, set: impl FnOnce(&mut Command)) -> Output {
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        set(&mut self.command);
        let mut child = self.command.spawn().unwrap();
        let stream = |pipe: Option<Box<dyn Read + Send>>| pipe.map(Stream::follow);
        let stdout = stream(child.stdout.take().map(|pipe| Box::new(pipe) as _));
        let stderr = stream(child.stderr.take().map(|pipe| Box::new(pipe) as _));
        let status = wait(&mut child, PATIENCE);
        Output {
            status,
            stdout: stdout.map(|mut stream| stream.whole()).unwrap_or_default(),
            stderr: text(stderr.map(|mut stream| stream.whole()).unwrap_or_default()),
        }
    }
}

impl Live {
    pub fn say(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(line.as_bytes()).unwrap();
        input.write_all(b"\n").unwrap();
    }

    /// Waits until the program has written at least `bytes` bytes to standard output. Returns
    /// everything that the program has written there.
    pub fn printed(&mut self, bytes: usize) -> Vec<u8> {
        self.stdout.until(|held| held.len() >= bytes)
    }

    /// Waits until the program has written this text to standard error.
    pub fn complained(&mut self, part: &str) {
        let has = |held: &[u8]| String::from_utf8_lossy(held).contains(part);
        self.stderr.until(has);
    }

    /// Removes the limit that [`Run::file_limit`] set.
    pub fn lift_file_limit(&self) {
        let id = self.child.id() as i32;
        // SAFETY: plain system calls on our own data.
        let done = unsafe {
            let mut limit: libc::rlimit = std::mem::zeroed();
            libc::prlimit(id, libc::RLIMIT_FSIZE, std::ptr::null(), &mut limit);
            limit.rlim_cur = limit.rlim_max;
            libc::prlimit(id, libc::RLIMIT_FSIZE, &limit, std::ptr::null_mut())
        };
        assert_eq!(done, 0);
    }

    pub fn signal(&self, signal: i32) {
        let id = self.child.id() as i32;
        // SAFETY: a plain system call; the child is ours and not waited for yet.
        assert_eq!(unsafe { libc::kill(id, signal) }, 0);
    }

    /// Waits until the program exits, without closing its standard input.
    pub fn ended_within(mut self, limit: Duration) -> Output {
        let status = wait(&mut self.child, limit);
        self.output(status)
    }

    /// Closes standard input and waits until the program exits.
    pub fn end(mut self) -> Output {
        self.input = None;
        let status = wait(&mut self.child, PATIENCE);
        self.output(status)
    }

    fn output(mut self, status: ExitStatus) -> Output {
        Output {
            status,
            stdout: self.stdout.whole(),
            stderr: text(self.stderr.whole()),
        }
    }
}

impl Output {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// Asserts that the program exited with this code. If not, the test fails with all of the
    /// program's output.
    #[track_caller]
    pub fn expect(self, code: i32) -> Output {
        assert_eq!(
            self.code(),
            Some(code),
            "stdout: {}\nstderr: {}",
            lossy(&self.stdout),
            self.stderr
        );
        self
    }

    /// Asserts that the program exited with this code and wrote one plain sentence to standard
    /// error. Returns the sentence.
    #[track_caller]
    pub fn sentence(self, code: i32) -> String {
        let output = self.expect(code);
        let said = output.stderr.as_str();
        plain(said);
        // On a slow machine, the progress of a checksum may be printed first.
        let mut lines = said.lines().filter(|line| !line.starts_with("Checking "));
        let line = lines.next().unwrap_or_default();
        assert_eq!(lines.next(), None, "more than one line: {said}");
        let line = line
            .strip_prefix("illumine: ")
            .unwrap_or_else(|| panic!("whose words? {said}"));
        line.to_string()
    }
}

/// Asserts that a text from standard error is readable: it contains no panic message and no escape
/// sequence.
#[track_caller]
pub fn plain(said: &str) {
    for word in [
        "panicked",
        "RUST_BACKTRACE",
        "stack backtrace",
        "unwrap",
        "Os {",
        "Err(",
    ] {
        assert!(!said.contains(word), "{said}");
    }
    let harmless = |c: char| !c.is_control() || c == '\n';
    assert!(said.chars().all(harmless), "{said:?}");
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits until a child process exits. If the process is still running after `limit`, kills the
/// process and fails the test.
fn wait(child: &mut Child, limit: Duration) -> ExitStatus {
    let until = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the program had not ended after {limit:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The output of a child process, which a thread reads as it arrives.
struct Stream {
    pieces: Receiver<Vec<u8>>,
    held: Vec<u8>,
}

impl Stream {
    fn follow(mut pipe: impl Read + Send + 'static) -> Stream {
        let (sender, pieces) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count) = pipe.read(&mut buffer) {
                if count == 0 || sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Stream {
            pieces,
            held: Vec::new(),
        }
    }

    fn until(&mut self, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        while !enough(&self.held) {
            match self.pieces.recv_timeout(PATIENCE) {
                Ok(piece) => self.held.extend(piece),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("nothing more came after {}", lossy(&self.held))
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it ended after {}", lossy(&self.held))
                }
            }
        }
        self.held.clone()
    }

    fn whole(&mut self) -> Vec<u8> {
        self.held.extend(self.pieces.iter().flatten());
        std::mem::take(&mut self.held)
    }
}
