//! Reports a training run: prints occasional lines, and saves the latest sample sheet next to the
//! checkpoint.

use super::{complain, note};
use ::train::phase::SampleSheet;
use ::train::run::TrainingEvent;
use ::train::step::Metrics;
use illumine::store::picture;
use illumine::tui::training::{Run, clock};
use std::time::{Duration, Instant};

/// The minimum time between two printed lines.
const OFTEN: Duration = Duration::from_secs(10);

pub struct TrainingReporter<'a> {
    run: &'a Run,
    began: Instant,
    said: Option<Instant>,
    first: Option<u64>,
}

impl TrainingReporter<'_> {
    pub fn new(run: &Run) -> TrainingReporter<'_> {
        TrainingReporter {
            run,
            began: Instant::now(),
            said: None,
            first: None,
        }
    }

    pub fn report(&mut self, news: TrainingEvent) {
        match news {
            TrainingEvent::Resumed(step) => note(&format!("Resuming after step {step}")),
            TrainingEvent::Step { number, metrics } => self.step(number, metrics),
            TrainingEvent::Checkpointed(step) => note(&format!("Checkpoint after step {step}")),
            TrainingEvent::Warning(words) => complain(words),
            TrainingEvent::Sheet(sheet) => match save_sheet(self.run, &sheet) {
                Ok(_) => note(&format!("Sample sheet: {}", sheet_of(self.run).display())),
                Err(why) => complain(&why),
            },
        }
    }

    fn step(&mut self, number: u64, metrics: &Metrics) {
        let first = *self.first.get_or_insert(number);
        let due = self.said.is_none_or(|said| said.elapsed() >= OFTEN);
        if !due && number < self.run.steps {
            return;
        }
        self.said = Some(Instant::now());
        let done = (number - first + 1) as f64;
        let pace = done / self.began.elapsed().as_secs_f64().max(1e-9);
        let left = self.run.steps.saturating_sub(number) as f64 / pace;
        let number_of = |(name, value): &(&str, f64)| format!("{name} {value:.4}");
        let numbers: Vec<String> = metrics.iter().map(number_of).collect();
        note(&format!(
            "step {number} of {}  {}  {:.1} {}/s  {} left",
            self.run.steps,
            numbers.join("  "),
            pace * self.run.batch as f64,
            self.run.unit,
            clock(left),
        ));
    }
}

fn sheet_of(run: &Run) -> std::path::PathBuf {
    SampleSheet::path(&run.folder, &run.phase)
}

/// Saves a sample sheet next to the checkpoint. Returns the file's bytes and the sheet's width and
/// height, or the reason why saving failed.
pub fn save_sheet(run: &Run, sheet: &SampleSheet) -> Result<(Vec<u8>, (u32, u32)), String> {
    let failed = |why: &dyn std::fmt::Display| format!("Cannot write the sample sheet ({why})");
    let png = picture::sheet(&sheet.rows, sheet.size).map_err(|why| failed(&why))?;
    std::fs::write(sheet_of(run), &png).map_err(|why| failed(&why))?;
    Ok((png, picture::sheet_size(&sheet.rows, sheet.size)))
}
