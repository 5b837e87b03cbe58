//! A training step and its metrics.

/// The metrics of a step, as pairs of a name and a value.
pub type Metrics = Vec<(&'static str, f64)>;

/// The number and the learning rate of a training step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The number of the step, counted from 1.
    pub number: u64,
    pub learning_rate: f64,
}

impl Step {
    /// Returns the same step with its learning rate multiplied by `factor`.
    pub fn scaled(self, factor: f64) -> Step {
        Step {
            learning_rate: self.learning_rate * factor,
            ..self
        }
    }

    /// A factor that rises linearly from 0 to 1 over the first `steps` steps, and is 1 afterwards.
    pub fn ramp(self, steps: f64) -> f64 {
        (self.number as f64 / steps).min(1.0)
    }
}
