//! The optimizer AdamW (Loshchilov and Hutter 2019) with gradient clipping. Its state is stored in
//! checkpoints. Optionally, the matrices of Transformer blocks are updated by orthogonalized
//! momentum instead.

use super::orthogonal::{self, MOMENTUM};
use super::step::Step;
use super::variables::{Tensors, Variables};
use candle_core::backprop::GradStore;
use candle_core::{Error, Result, Tensor};

/// An AdamW optimizer: its options, and the moments of each variable's gradients.
pub struct Adam {
    options: AdamOptions,
    first: Tensors,
    /// The second moments of the variables that are not updated by orthogonalized momentum.
    second: Tensors,
}

/// The options of a network's optimizer.
#[derive(Clone, Copy, Debug)]
pub struct AdamOptions {
    /// The decay rate of the first moment: 0.5 for a discriminator, otherwise 0.9.
    pub beta1: f64,
    /// The maximum norm of all gradients together. If the norm is larger, the gradients are scaled
    /// down.
    pub clip_norm: f64,
    /// Whether the matrices of the image model's Transformer blocks are updated by orthogonalized
    /// momentum.
    pub orthogonal: bool,
}

const BETA2: f64 = 0.99;
const WEIGHT_DECAY: f64 = 0.01;
const EPSILON: f64 = 1e-8;

impl Adam {
    pub fn new(variables: &Variables, options: AdamOptions) -> Result<Adam> {
        let zeros = || {
            let zero = |(name, tensor): (String, Tensor)| Ok((name, tensor.zeros_like()?));
            variables
                .tensors()?
                .into_iter()
                .map(zero)
                .collect::<Result<Tensors>>()
        };
        let mut second = zeros()?;
        if options.orthogonal {
            second.retain(|name, tensor| !(in_block(name) && tensor.rank() == 2));
        }
        Ok(Adam {
            options,
            first: zeros()?,
            second,
        })
    }

    /// The first and the second moments.
    pub fn moments(&self) -> [&Tensors; 2] {
        [&self.first, &self.second]
    }

    pub fn restore(&mut self, first: Tensors, second: Tensors) {
        (self.first, self.second) = (first, second);
    }

    /// Takes an optimizer step: changes the variables to reduce the loss. Returns the norm of all
    /// gradients together. If the norm is not finite, no variable changes.
    pub fn step(
        &mut self,
        variables: &Variables,
        gradients: &GradStore,
        step: Step,
    ) -> Result<f64> {
        let mut found = Vec::new();
        let mut square = 0.0;
        for (name, var) in variables.iter() {
            if let Some(gradient) = gradients.get(var.as_tensor()) {
                square += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
                found.push((name, var, gradient));
            }
        }
        let norm = square.sqrt();
        if !norm.is_finite() {
            return Ok(norm);
        }
        let (rate, beta1) = (step.learning_rate, self.options.beta1);
        let clip = (self.options.clip_norm / norm.max(1e-12)).min(1.0);
        let unbias1 = 1.0 - beta1.powf(step.number as f64);
        let unbias2 = 1.0 - BETA2.powf(step.number as f64);
        for (name, var, gradient) in found {
            let gradient = (gradient.detach() * clip)?;
            let move_by = match self.second.contains_key(name) {
                true => {
                    let first = moment(&mut self.first, name, &gradient, beta1)?;
                    let second = moment(&mut self.second, name, &gradient.sqr()?, BETA2)?;
                    let deviation = ((second / unbias2)?.sqrt()? + EPSILON)?;
                    ((first / unbias1)? / deviation)?
                }
                false => {
                    let first = moment(&mut self.first, name, &gradient, MOMENTUM)?;
                    let ahead = ((first * MOMENTUM)? + (gradient * (1.0 - MOMENTUM))?)?;
                    orthogonal::update(&ahead)?
                }
            };
            let shrunk = (var.as_tensor().detach() * (1.0 - rate * WEIGHT_DECAY))?;
            var.set(&(shrunk - (move_by * rate)?)?)?;
        }
        Ok(norm)
    }
}

/// Whether a variable belongs to a Transformer block. The blocks work on the token grid or on the
/// generator's finer grid.
fn in_block(name: &str) -> bool {
    name.starts_with("block.") || name.starts_with("fine.")
}

fn moment(kept: &mut Tensors, name: &str, now: &Tensor, beta: f64) -> Result<Tensor> {
    let missing = || Error::Msg(format!("{name} is missing"));
    let moment = kept.get_mut(name).ok_or_else(missing)?;
    *moment = ((&*moment * beta)? + (now * (1.0 - beta))?)?;
    Ok(moment.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variables::trainable;
    use candle_core::{Device, Var};
    use candle_nn::Init;

    fn options(clip_norm: f64, orthogonal: bool) -> AdamOptions {
        AdamOptions {
            beta1: 0.9,
            clip_norm,
            orthogonal,
        }
    }

    fn at(number: u64) -> Step {
        Step {
            number,
            learning_rate: 0.1,
        }
    }

    fn one(start: f64) -> (Tensor, Variables) {
        trainable(Tensors::new(), 0, &Device::Cpu, |weights| {
            weights.get(&[1], "x", Init::Const(start))
        })
        .unwrap()
    }

    fn value(variables: &Variables) -> f64 {
        let var: &Var = variables.iter().next().unwrap().1;
        f64::from(var.to_vec1::<f32>().unwrap()[0])
    }

    #[test]
    fn steps_are_those_of_the_paper() {
        let (x, variables) = one(2.0);
        let mut adam = Adam::new(&variables, options(1e9, false)).unwrap();
        // Loss 3 x: the gradient is 3. After one step both moments, unbiased, are 3 and 9, so x
        // moves by the rate after shrinking by rate * 0.01.
        for step in 1..=2 {
            let gradients = (&x * 3.0).unwrap().sum_all().unwrap().backward().unwrap();
            let length = adam.step(&variables, &gradients, at(step)).unwrap();
            assert_eq!(length, 3.0);
        }
        let first = 2.0 * 0.999 - 0.1;
        assert!((value(&variables) - (first * 0.999 - 0.1)).abs() < 1e-6);
    }

    #[test]
    fn matrices_of_blocks_take_orthogonal_steps_and_remember_one_moment() {
        let (x, variables) = trainable(Tensors::new(), 0, &Device::Cpu, |weights| {
            let matrix = weights.get(&[2, 4], "block.0.up.weight", Init::Const(1.0))?;
            let other = weights.get(&[2], "block.0.up.bias", Init::Const(1.0))?;
            Ok((matrix, other))
        })
        .unwrap();
        let mut adam = Adam::new(&variables, options(1e9, true)).unwrap();
        assert_eq!(
            adam.moments()[1].keys().collect::<Vec<_>>(),
            ["block.0.up.bias"]
        );
        // A constant gradient has a single direction, whose step has a length of about one: each of
        // the 8 numbers moves by 0.2 * sqrt(4) * (0.7 to 1.2) / sqrt(8) of the rate.
        let loss = (x.0.sum_all().unwrap() * 7.0).unwrap();
        let gradients = loss.backward().unwrap();
        adam.step(&variables, &gradients, at(1)).unwrap();
        let moved = variables.tensors().unwrap()["block.0.up.weight"].clone();
        for value in moved.flatten_all().unwrap().to_vec1::<f32>().unwrap() {
            let by = (0.999 - f64::from(value)) / (0.1 * 0.4 / 8f64.sqrt());
            assert!((0.65..1.25).contains(&by), "{by}");
        }
    }

    #[test]
    fn long_gradients_are_shortened_and_what_is_no_number_moves_nothing() {
        let (x, variables) = one(1.0);
        let mut adam = Adam::new(&variables, options(0.5, false)).unwrap();
        let gradients = (&x * 3.0).unwrap().sum_all().unwrap().backward().unwrap();
        adam.step(&variables, &gradients, at(1)).unwrap();
        let kept = adam.moments()[0]["x"].to_vec1::<f32>().unwrap()[0];
        assert!((kept - 0.05).abs() < 1e-7, "a tenth of 0.5: {kept}");
        let before = value(&variables);
        let broken = (&x * f64::NAN)
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap();
        assert!(adam.step(&variables, &broken, at(2)).unwrap().is_nan());
        assert_eq!(value(&variables), before);
    }
}
