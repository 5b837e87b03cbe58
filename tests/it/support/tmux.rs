//! Runs the real program in a real terminal: tmux types keys and reads the screen.

use super::{Home, ILLUMINE};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A terminal in which illumine runs. Dropping this value ends the program and the terminal.
pub struct Terminal {
    socket: String,
    pub home: Home,
}

/// The maximum time to wait for the expected text on the screen.
const PATIENCE: Duration = Duration::from_secs(90);

impl Terminal {
    /// Starts `illumine ARGS…` in a terminal of this size, with a new home folder.
    pub fn start(columns: u16, rows: u16, args: &[&str]) -> Terminal {
        Terminal::start_in(Home::new(), columns, rows, args)
    }

    pub fn start_in(home: Home, columns: u16, rows: u16, args: &[&str]) -> Terminal {
        need_tmux();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let socket = format!("illumine-test-{}-{number}", std::process::id());
        let terminal = Terminal { socket, home };
        let line = terminal.line(args);
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let size = ["-x", &columns, "-y", &rows];
        let new = ["-f", "/dev/null", "new-session", "-d"];
        terminal.tmux(&[&new[..], &size[..], &[&line]].concat());
        terminal
    }

    /// Starts the program again in the same terminal and home folder.
    pub fn again(&self, args: &[&str]) {
        self.tmux(&["respawn-pane", "-k", &self.line(args)]);
    }

    /// The shell command that runs the program. After the program has ended, the command keeps the
    /// terminal open, so that a test can see what the program leaves behind.
    fn line(&self, args: &[&str]) -> String {
        let words: Vec<String> = args.iter().map(|word| format!("'{word}'")).collect();
        format!(
            "cd {0}; env -i HOME={0} PATH=/usr/bin:/bin TERM=tmux-256color LANG=C.UTF-8 {1} {2}; echo \"[ended $?]\"; stty -a | grep -o ' -\\?icanon'; exec cat",
            self.home.path().display(),
            ILLUMINE,
            words.join(" ")
        )
    }

    /// Types text literally.
    pub fn text(&self, text: &str) {
        self.tmux(&["send-keys", "-l", "--", text]);
    }

    /// Presses keys, given by the names that tmux uses, such as Enter, Escape, C-c and M-r.
    pub fn keys(&self, keys: &[&str]) {
        let mut words = vec!["send-keys"];
        words.extend(keys);
        self.tmux(&words);
    }

    /// Pastes text in the way that a terminal does (bracketed paste).
    pub fn paste(&self, text: &str) {
        let file = self.home.path().join("paste");
        std::fs::write(&file, text).unwrap();
        self.tmux(&["load-buffer", file.to_str().unwrap()]);
        self.tmux(&["paste-buffer", "-p", "-r"]);
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.tmux(&["resize-window", "-x", &columns, "-y", &rows]);
    }

    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until `wished` returns true for the text on the screen, and returns that text. Panics
    /// with the text on the screen if this takes too long.
    pub fn wait(&self, what: &str, wished: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if wished(&screen) {
                return screen;
            }
            assert!(
                Instant::now() < until,
                "waited in vain for {what}:\n{screen}"
            );
            std::thread::sleep(Duration::from_millis(15));
        }
    }

    pub fn wait_for(&self, text: &str) -> String {
        self.wait(text, |screen| screen.contains(text))
    }

    /// Sends a signal to the program in the terminal.
    pub fn signal(&self, name: &str) {
        let name = format!("-{name}");
        let pane = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let killed = Command::new("pkill")
            .args([name.as_str(), "-P", pane.trim(), "-f", ILLUMINE])
            .status();
        assert!(
            killed.is_ok_and(|status| status.success()),
            "no program to signal"
        );
    }

    /// Every record of a session's journal.
    pub fn journal(&self, session: &str) -> Vec<serde_json::Value> {
        let path = self.home.path().join(".local/share/illumine/sessions");
        let path = path.join(session).join("journal.jsonl");
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn tmux(&self, words: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-L", &self.socket])
            .args(words)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {words:?}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .args(["-L", &self.socket, "kill-server"])
            .output();
    }
}

/// Puts together the text of a passage from the records of a journal.
pub fn passage(records: &[serde_json::Value], node: u64) -> String {
    let first = records
        .iter()
        .find(|record| record["kind"] == "node" && record["id"] == node);
    let pieces = records
        .iter()
        .filter(|record| record["kind"] == "text" && record["node"] == node);
    let text = |record: &serde_json::Value| record["text"].as_str().unwrap_or_default().to_string();
    first.into_iter().chain(pieces).map(text).collect()
}

/// Panics if tmux or pkill is not installed. The terminal tests run in tmux and use pkill to send
/// signals to the program.
fn need_tmux() {
    static MISSING: OnceLock<Option<&str>> = OnceLock::new();
    let missing = MISSING.get_or_init(|| {
        let runs = |program: &str| Command::new(program).arg("-V").output().is_ok();
        ["tmux", "pkill"].into_iter().find(|program| !runs(program))
    });
    if let Some(program) = missing {
        panic!(
            "the terminal tests need {program}; run `apt-get install tmux procps`, or its like, and then the tests again"
        );
    }
}
