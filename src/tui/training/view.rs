//! The state of the live view, and the functions that draw this state.

use super::super::gallery::Gallery;
use super::super::half_blocks::PictureSlot;
use super::super::theme;
use super::curve::Curve;
use super::{Run, Update};
use crate::studio::PictureSource;
use base::untrusted::clean_line;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use std::time::Duration;
use story::NodeId;

/// The width of the left margin in columns.
const LEFT: u16 = 3;
/// The maximum number of warnings on the screen. Older warnings are not shown.
const SAID: usize = 3;

pub struct View {
    run: Run,
    colour: bool,
    gallery: Gallery,
    /// The current time, measured from the opening of the live view.
    pub(super) now: Duration,
    /// Whether the user has asked to stop.
    pub(super) stopping: bool,
    step: u64,
    /// The number and the time of the first step, from which the speed is computed.
    first: Option<(u64, Duration)>,
    /// The time of the latest step.
    last: Duration,
    kept: Option<u64>,
    curves: Vec<(&'static str, Curve)>,
    said: Vec<String>,
    sheet: Option<Sheet>,
}

struct Sheet {
    number: NodeId,
    /// The training step after which the sheet was drawn.
    step: u64,
    file: PictureSource,
    width: u32,
    height: u32,
}

impl View {
    pub fn new(run: Run, colour: bool, gallery: Gallery) -> View {
        View {
            run,
            colour,
            gallery,
            now: Duration::ZERO,
            stopping: false,
            step: 0,
            first: None,
            last: Duration::ZERO,
            kept: None,
            curves: Vec::new(),
            said: Vec::new(),
            sheet: None,
        }
    }

    /// Handles an update that arrived at `now`.
    pub fn take(&mut self, update: Update, now: Duration) {
        self.now = now;
        match update {
            Update::Resumed(step) => (self.step, self.kept) = (step, Some(step)),
            Update::Checkpointed(step) => self.kept = Some(step),
            Update::Warning(words) => self.said.push(words),
            Update::Step(number, metrics) => {
                (self.step, self.last) = (number, now);
                self.first.get_or_insert((number, now));
                for (name, value) in metrics {
                    match self.curves.iter_mut().find(|(own, _)| *own == name) {
                        Some((_, curve)) => curve.push(value),
                        None => self.curves.push((name, Curve::new(value))),
                    }
                }
            }
            Update::Sheet(file, width, height) => {
                let number = self.sheet.as_ref().map_or(0, |sheet| sheet.number) + 1;
                self.gallery.clear();
                self.sheet = Some(Sheet {
                    number,
                    step: self.step,
                    file: PictureSource::Memory(file.into()),
                    width,
                    height,
                });
            }
        }
    }

    /// The warnings, to be printed after the screen has closed.
    pub(super) fn into_remarks(self) -> Vec<String> {
        self.said
    }

    /// The speed in examples per second; None until the second step has ended.
    fn pace(&self) -> Option<f64> {
        let (first, began) = self.first?;
        let seconds = self.last.checked_sub(began)?.as_secs_f64();
        let done = (self.step - first) as f64 * self.run.batch as f64;
        (seconds > 0.0).then(|| done / seconds)
    }

    pub fn draw(&mut self, frame: &mut Frame) {
        let area = frame.area();
        let inner = Rect {
            x: LEFT.min(area.width),
            width: area.width.saturating_sub(2 * LEFT),
            ..area
        };
        let buffer = frame.buffer_mut();
        let mut top = 1;
        let mut line = |text: &str, style: Style| {
            if top < inner.height {
                let text: String = clean_line(text);
                let width = usize::from(inner.width);
                buffer.set_stringn(inner.x, inner.y + top, text, width, style);
            }
            top += 1;
        };
        let title = format!(
            "Training {} in {}",
            self.run.phase,
            self.run.folder.display()
        );
        line(&title, theme::strong());
        line(&self.progress(inner.width), self.ink());
        line(&self.times(), theme::quiet());
        line("", Style::new());
        for (name, curve) in &self.curves {
            let numbers = format!("{name:<14}{:>10.4}  ", curve.smooth());
            let room = usize::from(inner.width).saturating_sub(numbers.len());
            line(&format!("{numbers}{}", curve.bars(room)), Style::new());
        }
        if self.curves.is_empty() {
            line("Running the first step", theme::quiet());
        }
        line("", Style::new());
        let bottom = self.bottom(inner, buffer);
        let free = Rect {
            y: inner.y + top.min(inner.height),
            height: bottom.saturating_sub(top),
            ..inner
        };
        self.draw_sheet(free, buffer);
    }

    /// The progress of the run as a line of text, for example "step 1,234 of 10,000 ━━━━━━╌╌╌╌ 12
    /// %".
    fn progress(&self, width: u16) -> String {
        let (done, all) = (self.step, self.run.steps.max(1));
        let words = format!("step {} of {} ", thousands(done), thousands(all));
        let share = (done as f64 / all as f64).min(1.0);
        let percent = format!(" {:.0} %", (share * 100.0).floor());
        let room = usize::from(width).saturating_sub(words.chars().count() + percent.len());
        let room = room.min(40);
        let full = (share * room as f64).floor() as usize;
        let bar = "━".repeat(full) + &"╌".repeat(room - full);
        words + &bar + &percent
    }

    fn times(&self) -> String {
        let mut parts = Vec::new();
        if let Some(pace) = self.pace() {
            parts.push(format!("{pace:.1} {}/s", self.run.unit));
            let left = self.run.steps.saturating_sub(self.step) as f64 * self.run.batch as f64;
            parts.push(format!("{} left", clock(left / pace.max(1e-9))));
        }
        parts.push(match self.kept {
            Some(step) => format!("checkpoint after step {}", thousands(step)),
            None => "no checkpoint yet".to_string(),
        });
        parts.join(" · ")
    }

    /// Draws the warnings and the help for the keys at the bottom of the screen. Returns the first
    /// row that they occupy.
    fn bottom(&self, inner: Rect, buffer: &mut Buffer) -> u16 {
        let help = match self.stopping {
            true => {
                "Stopping after this step; press q again to stop immediately, without a checkpoint"
            }
            false => "q stops after this step and saves a checkpoint",
        };
        let from = self.said.len().saturating_sub(SAID);
        let warnings = self.said[from..].iter().map(|words| (words.as_str(), true));
        let rows: Vec<(&str, bool)> = warnings.chain([(help, false)]).collect();
        let top = inner.height.saturating_sub(rows.len() as u16);
        for (y, (words, warns)) in (inner.y + top..inner.bottom()).zip(rows) {
            let style = match warns {
                true => theme::strong(),
                false => theme::quiet(),
            };
            let words = clean_line(words);
            buffer.set_stringn(inner.x, y, words, usize::from(inner.width), style);
        }
        top
    }

    /// Draws the latest sample sheet as large as possible, below a line with the number of its
    /// step.
    fn draw_sheet(&mut self, area: Rect, buffer: &mut Buffer) {
        let Some(sheet) = &self.sheet else {
            return;
        };
        if area.height < 4 || area.width < 8 || !self.gallery.shows() {
            return;
        }
        let words = format!("Samples after step {}", thousands(sheet.step));
        let width = usize::from(area.width);
        buffer.set_stringn(area.x, area.y, words, width, theme::quiet());
        let room = Rect {
            y: area.y + 1,
            height: area.height - 2,
            ..area
        };
        // A cell counts as twice as high as wide.
        let aspect = f64::from(sheet.width) / f64::from(sheet.height.max(1));
        let wide = (2.0 * f64::from(room.height) * aspect).round();
        let width = wide.clamp(1.0, f64::from(room.width));
        let height = (width / aspect / 2.0).round();
        let height = height.clamp(1.0, f64::from(room.height));
        let fitted = PictureSlot {
            node: sheet.number,
            width: width as u16,
            height: height as u16,
        };
        self.gallery.request(fitted, Some(sheet.file.clone()));
        self.gallery.draw(fitted, room, 0, buffer);
    }

    fn ink(&self) -> Style {
        match self.colour {
            true => Style::new().fg(Color::Cyan),
            false => Style::new(),
        }
    }
}

/// Formats a number with thousands separators, for example "1,234,567".
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a number of seconds as hours and minutes.
pub fn clock(seconds: f64) -> String {
    let minutes = (seconds / 60.0).ceil() as u64;
    match minutes {
        0..60 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::gallery::PictureMode;
    use super::*;
    use crate::store::picture::sheet;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn view(means: PictureMode) -> View {
        let run = Run {
            phase: "tokens".into(),
            folder: "run".into(),
            steps: 12_000,
            batch: 32,
            unit: "pictures",
        };
        View::new(run, true, Gallery::new(means))
    }

    fn screen(view: &mut View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let row = |y: u16| {
            let cells = (0..width).map(|x| buffer[(x, y)].symbol());
            cells.collect::<String>().trim_end().to_string() + "\n"
        };
        (0..height).map(row).collect()
    }

    fn trained(view: &mut View) {
        view.take(Update::Resumed(1_000), Duration::ZERO);
        for n in 0..40u64 {
            let metrics = vec![("loss", 5.0 - n as f64 / 20.0), ("gap", 0.5)];
            let update = Update::Step(1_001 + n, metrics);
            view.take(update, Duration::from_millis(500 * n));
        }
        view.take(Update::Checkpointed(1_040), Duration::from_secs(20));
    }

    #[test]
    fn a_run_shows_how_far_it_is_and_its_numbers() {
        let mut view = view(PictureMode::HalfBlocks { all_colours: true });
        insta::assert_snapshot!("begun", screen(&mut view, 72, 10));
        trained(&mut view);
        let row = vec![[200u8, 30, 30, 255].repeat(16 * 16); 2];
        let png = sheet(&[row], 16).unwrap();
        view.take(Update::Sheet(png, 36, 18), Duration::from_secs(20));
        view.take(
            Update::Warning("The loss climbs\u{7}".into()),
            Duration::from_secs(20),
        );
        insta::assert_snapshot!("runs", screen(&mut view, 72, 20));
        view.stopping = true;
        assert!(screen(&mut view, 72, 20).contains("Stopping after this step"));
    }

    #[test]
    fn time_left_is_said_in_hours_and_minutes() {
        assert_eq!(clock(59.0), "1 min");
        assert_eq!(clock(7_261.0), "2 h 2 min");
    }

    #[test]
    fn a_small_screen_and_none_at_all_are_no_panic() {
        let mut view = view(PictureMode::HalfBlocks { all_colours: false });
        trained(&mut view);
        let png = sheet(&[vec![vec![9; 16 * 16 * 4]]], 16).unwrap();
        view.take(Update::Sheet(png, 18, 18), Duration::from_secs(20));
        for (width, height) in [(1, 1), (5, 3), (12, 9), (200, 4), (9, 60)] {
            screen(&mut view, width, height);
        }
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}
