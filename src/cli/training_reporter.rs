//! Reports a training run as plain lines, and saves the latest sample sheet next to the checkpoint.

use super::args::Gan as Args;
use super::{complain, note};
use illumine::store::picture;
use illumine::train::run::{Metrics, News, Sheet};
use illumine::tui::training::clock;
use std::time::{Duration, Instant};

/// The interval between lines.
const OFTEN: Duration = Duration::from_secs(10);

pub struct TrainingReporter<'a> {
    args: &'a Args,
    began: Instant,
    said: Option<Instant>,
    first: Option<u64>,
}

impl TrainingReporter<'_> {
    pub fn new(args: &Args) -> TrainingReporter<'_> {
        TrainingReporter {
            args,
            began: Instant::now(),
            said: None,
            first: None,
        }
    }

    pub fn report(&mut self, news: News) {
        match news {
            News::Resumed(step) => note(&format!("Resuming after step {step}")),
            News::Step { number, metrics } => self.step(number, metrics),
            News::Kept(step) => note(&format!("Checkpoint after step {step}")),
            News::Warning(words) => complain(words),
            News::Sheet(sheet) => match save_sheet(self.args, &sheet) {
                Ok(_) => note(&format!("Sheet in {}", sheet_of(self.args).display())),
                Err(why) => complain(&why),
            },
        }
    }

    fn step(&mut self, number: u64, metrics: &Metrics) {
        let first = *self.first.get_or_insert(number);
        let due = self.said.is_none_or(|said| said.elapsed() >= OFTEN);
        if !due && number < self.args.steps {
            return;
        }
        self.said = Some(Instant::now());
        let done = (number - first + 1) as f64;
        let pace = done / self.began.elapsed().as_secs_f64().max(1e-9);
        let left = self.args.steps.saturating_sub(number) as f64 / pace;
        let number_of = |(name, value): &(&str, f64)| format!("{name} {value:.4}");
        let numbers: Vec<String> = metrics.iter().map(number_of).collect();
        note(&format!(
            "step {number} of {}  {}  {:.1} pictures/s  {} left",
            self.args.steps,
            numbers.join("  "),
            pace * f64::from(self.args.batch),
            clock(left),
        ));
    }
}

fn sheet_of(args: &Args) -> std::path::PathBuf {
    args.run.join(format!("{}.png", args.phase))
}

/// Writes a sample sheet next to the checkpoint. Returns its file, width and height, or the error.
pub fn save_sheet(args: &Args, sheet: &Sheet) -> Result<(Vec<u8>, (u32, u32)), String> {
    let failed = |why: &dyn std::fmt::Display| format!("Cannot write the sample sheet ({why})");
    let png = picture::sheet(&sheet.rows, sheet.size).map_err(|why| failed(&why))?;
    std::fs::write(sheet_of(args), &png).map_err(|why| failed(&why))?;
    Ok((png, picture::sheet_size(&sheet.rows, sheet.size)))
}
