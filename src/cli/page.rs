//! Writes the transcript to standard output, and notices and progress to standard error.

use base::progress::{Cancelled, Observer};
use base::untrusted::clean;
use hub::fetch::{self, ProgressMeter};
use illumine::line::{OutputClosed, Page};
use illumine::studio::{PictureSource, Work};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::RefCell;
use std::io::{IsTerminal, stderr, stdin, stdout};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::environment;
use super::inline;
use super::signals::Watch;
use super::{Failed, note, output};

/// A [`Page`] that writes the transcript to standard output.
pub struct TerminalPage {
    watch: Watch,
    bar: Meter,
    dim: bool,
    /// Whether the last line written has no line break yet.
    open: bool,
    show_end: bool,
    /// The error from writing to standard output, if any. A closed pipe does not count as an error.
    failure: Option<Failed>,
    /// The text that the next input line starts with; None if the input is not a terminal.
    begun: Option<TypedAhead>,
}

/// Text that is put at the start of the next input line, before the person types.
pub type TypedAhead = Rc<RefCell<String>>;

impl TerminalPage {
    /// Creates the page. If `show_end` is true, a line break is printed after each passage; a
    /// person needs it, but a pipe does not.
    pub fn new(watch: Watch, colour: bool, show_end: bool) -> TerminalPage {
        TerminalPage {
            watch,
            bar: Meter::new(),
            dim: colour && stderr().is_terminal(),
            open: false,
            show_end,
            failure: None,
            begun: None,
        }
    }

    /// Returns the error from writing to standard output, if there was one.
    pub fn outcome(&mut self) -> Result<(), Failed> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Returns a shared handle to the text that the next input line starts with.
    pub fn begun(&mut self) -> TypedAhead {
        self.begun.get_or_insert_default().clone()
    }

    fn put(&mut self, text: &str) -> Result<(), OutputClosed> {
        self.put_bytes(text.as_bytes())
    }

    fn put_bytes(&mut self, bytes: &[u8]) -> Result<(), OutputClosed> {
        match output::write(bytes) {
            Ok(true) => Ok(()),
            Ok(false) => Err(OutputClosed),
            Err(failed) => {
                self.failure.get_or_insert(failed);
                Err(OutputClosed)
            }
        }
    }
}

impl Page for TerminalPage {
    fn text(&mut self, text: &str) -> Result<(), OutputClosed> {
        if text.is_empty() {
            return Ok(());
        }
        self.bar.clear();
        self.open = !text.ends_with('\n');
        self.put(text)
    }

    fn end(&mut self) -> Result<(), OutputClosed> {
        if !self.show_end || !std::mem::take(&mut self.open) {
            return Ok(());
        }
        self.put("\n")
    }

    fn message(&mut self, text: &str) -> Result<(), OutputClosed> {
        self.bar.clear();
        self.put(&format!("{}\n", clean(text)))
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), OutputClosed> {
        self.bar.clear();
        if stdout().is_terminal() && std::str::from_utf8(bytes).is_err() {
            self.notice("This format is binary; give a file name for it");
            return Ok(());
        }
        self.open = false;
        self.put_bytes(bytes)
    }

    fn notice(&mut self, text: &str) {
        self.bar.clear();
        if std::mem::take(&mut self.open) && stdout().is_terminal() {
            let _ = self.put("\n");
        }
        let text = clean(text);
        match self.dim {
            true => note(&format!("\u{1b}[2m{text}\u{1b}[0m")),
            false => note(&text),
        }
    }

    fn edit(&mut self, text: &str) -> Option<Result<String, String>> {
        if !stdin().is_terminal() || !stdout().is_terminal() {
            return None;
        }
        let editor = environment::editor()?;
        Some(editor.edit(text).map_err(|error| error.to_string()))
    }

    fn suggested(&mut self, line: &str) -> Result<(), OutputClosed> {
        self.bar.clear();
        match &self.begun {
            Some(begun) => *begun.borrow_mut() = clean(line).replace('\n', " "),
            None => self.message(line)?,
        }
        Ok(())
    }

    fn pictures(&mut self, files: &[PictureSource], said: &str) -> Result<(), OutputClosed> {
        self.bar.clear();
        if inline::can() {
            let bytes = files.iter().filter_map(PictureSource::bytes);
            inline::show(&bytes.collect::<Vec<_>>());
            return self.message(said);
        }
        let path = match files.first() {
            Some(PictureSource::File(path)) => format!(": {}", path.display()),
            _ => String::new(),
        };
        self.message(&format!("{said}{path}"))
    }

    fn working(&mut self, work: &Work) {
        self.watch.working(*work != Work::Nothing);
        self.bar.show(work);
    }
}

/// Shows progress on standard error: as a bar on a terminal, otherwise as occasional lines.
pub struct Meter {
    bar: Option<ProgressBar>,
    /// The template that determines what the bar shows.
    template: &'static str,
    pace: ProgressMeter,
    began: Instant,
    said: Option<(String, u64)>,
}

const MOMENT: Duration = Duration::from_secs(2);

impl Meter {
    pub fn new() -> Meter {
        Meter {
            bar: None,
            template: "",
            pace: ProgressMeter::default(),
            began: Instant::now(),
            said: None,
        }
    }

    pub fn show(&mut self, work: &Work) {
        match work {
            Work::Loading { what, done, total } => self.bytes(what, *done, *total),
            Work::Reading {
                done,
                total,
                reused,
            } if total - reused > 256 && done < total => {
                self.bar(
                    "Evaluating the story",
                    *done as u64,
                    Some(*total as u64),
                    TOKENS,
                );
            }
            Work::Thinking { words } => self.bar("Thinking", *words as u64, None, WORDS),
            Work::Drawing { done, total } if *total > 4 => {
                self.bar("Drawing", *done as u64, Some(*total as u64), THINGS);
            }
            _ => self.clear(),
        }
    }

    /// Shows how many bytes have been downloaded or read.
    pub fn bytes(&mut self, what: &str, done: u64, total: Option<u64>) {
        if done == 0 && total.is_none() {
            return;
        }
        if stderr().is_terminal() {
            return self.bar(what, done, total, BYTES);
        }
        // Elsewhere, prints one line per tenth, and none for a short task.
        if self.began.elapsed() < MOMENT {
            return;
        }
        let tenth = total
            .filter(|total| *total > 0)
            .map_or(0, |total| done * 10 / total);
        let now = (what.to_string(), tenth);
        if self.said.as_ref() != Some(&now) {
            self.said = Some(now);
            let what = clean(what).into_owned();
            let progress = fetch::Progress { what, done, total };
            note(&self.pace.line(self.began.elapsed(), &progress));
        }
    }

    /// Shows that `done` of `all` items are finished, but only on a terminal.
    pub fn count(&mut self, what: &str, done: u64, all: u64) {
        self.bar(what, done, Some(all), THINGS);
    }

    /// Shows how many cases have ended, but only on a terminal. `after` is the text that follows
    /// the numbers.
    pub fn cases(&mut self, done: u64, all: u64, after: &str) {
        self.bar(after, done, Some(all), CASES);
    }

    fn bar(&mut self, what: &str, done: u64, total: Option<u64>, template: &'static str) {
        if !stderr().is_terminal() {
            return;
        }
        if self.template != template {
            self.clear();
            self.template = template;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let target = ProgressDrawTarget::stderr_with_hz(10);
            let bar = ProgressBar::with_draw_target(total, target).with_position(done);
            let style = ProgressStyle::with_template(template);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        bar.set_message(clean(what).into_owned());
        if let Some(total) = total {
            bar.set_length(total);
        }
        bar.set_position(done);
    }

    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Shows the progress of work that cannot be stopped. Dropping this value removes the display.
pub struct Progress {
    meter: RefCell<Meter>,
    bytes: bool,
}

impl Progress {
    pub fn of_bytes() -> Progress {
        let (meter, bytes) = (RefCell::new(Meter::new()), true);
        Progress { meter, bytes }
    }

    pub fn of_things() -> Progress {
        let (meter, bytes) = (RefCell::new(Meter::new()), false);
        Progress { meter, bytes }
    }
}

impl Observer for Progress {
    fn progress(&self, step: &str, done: u64, total: Option<u64>) {
        let mut meter = self.meter.borrow_mut();
        match self.bytes {
            true => meter.bytes(step, done, total),
            false => meter.count(step, done, total.unwrap_or_default()),
        }
    }

    fn check(&self) -> Result<(), Cancelled> {
        Ok(())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.meter.borrow_mut().clear();
    }
}

const BYTES: &str = "{msg} [{bar:24}] {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left";
const CASES: &str = "[{bar:24}] {pos} of {len} cases{msg}";
const THINGS: &str = "{msg} [{bar:24}] {pos} of {len}";
const WORDS: &str = "{msg}, {pos} words";
const TOKENS: &str = "{msg} [{bar:24}] {pos} of {len} tokens";
