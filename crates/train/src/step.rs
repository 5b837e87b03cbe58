//! A step of training, and what it measures.

/// The metrics of a step, by name.
pub type Metrics = Vec<(&'static str, f64)>;

/// A step of a run: its number and learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The number of the step, counted from 1.
    pub number: u64,
    pub learning_rate: f64,
}

impl Step {
    /// The same step with its learning rate multiplied by `factor`.
    pub fn scaled(self, factor: f64) -> Step {
        Step {
            learning_rate: self.learning_rate * factor,
            ..self
        }
    }

    /// A factor that rises from 0 to 1 over the first `steps` of a run.
    pub fn ramp(self, steps: f64) -> f64 {
        (self.number as f64 / steps).min(1.0)
    }
}
