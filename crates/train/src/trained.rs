//! A network in training, with its variables, their moving average, and the state of the optimizer.

use super::adam::{Adam, AdamOptions};
use super::checkpoint::Parts;
use super::step::Step;
use super::variables::{Tensors, Variables, update_ema};
use candle_core::backprop::GradStore;
use candle_core::{Error, Result};

/// A network and its training state.
///
/// [`PhaseInput::trainable`](super::phase::PhaseInput::trainable) creates such a network from
/// `imagegen`'s `Weights`. For any other model, create the initial tensors yourself.
/// [`Variables::new`] makes them trainable, the network uses [`Variables::get`] in its forward
/// pass, and [`NetworkState::new`] adds the optimizer. [`AdamOptions::orthogonal`] must be off.
/// `tests/lora.rs` is a complete example.
pub struct TrainedNetwork<N> {
    pub network: N,
    pub state: NetworkState,
}

/// The variables of a network, their exponential moving average, and Adam's moments.
pub struct NetworkState {
    variables: Variables,
    /// The moving average of the variables, which is used for drawing because it is less noisy than
    /// the variables themselves.
    pub ema: Tensors,
    adam: Adam,
}

impl<N> TrainedNetwork<N> {
    /// Takes an optimizer step. Returns the norm of the gradients.
    pub fn step(&mut self, gradients: &GradStore, step: Step) -> Result<f64> {
        self.state.step(gradients, step)
    }
}

impl NetworkState {
    pub fn new(variables: Variables, options: AdamOptions) -> Result<NetworkState> {
        Ok(NetworkState {
            ema: variables.tensors()?,
            adam: Adam::new(&variables, options)?,
            variables,
        })
    }

    fn step(&mut self, gradients: &GradStore, step: Step) -> Result<f64> {
        let norm = self.adam.step(&self.variables, gradients, step)?;
        update_ema(&mut self.ema, &self.variables, step.number)?;
        Ok(norm)
    }

    /// Adds the network's tensors to the parts of a checkpoint, under `name`.
    pub fn save(&self, name: &str, parts: &mut Parts) -> Result<()> {
        let [first, second] = self.adam.moments();
        parts.insert(name.to_string(), self.variables.tensors()?);
        parts.insert(format!("{name}.mean"), self.ema.clone());
        parts.insert(format!("{name}.first"), first.clone());
        parts.insert(format!("{name}.second"), second.clone());
        Ok(())
    }

    /// Restores the network's state from the tensors under `name` in the parts of a checkpoint, and
    /// removes these tensors from `parts`.
    pub fn restore(&mut self, name: &str, parts: &mut Parts) -> Result<()> {
        let missing = || Error::Msg(format!("the checkpoint has no {name}"));
        let mut part = |suffix: &str| parts.remove(&format!("{name}{suffix}")).ok_or_else(missing);
        self.variables.restore(&part("")?)?;
        self.ema = part(".mean")?;
        self.adam.restore(part(".first")?, part(".second")?);
        Ok(())
    }
}
