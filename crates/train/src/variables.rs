//! The variables of a network, by name.
//!
//! Variables start with given values, or with random numbers from a seed. Each tensor has its own
//! random stream, so the order in which a network creates its variables does not matter. (Candle's
//! own random numbers cannot be seeded on a CPU.)

use candle_core::{DType, Device, Error, Result, Shape, Tensor, Var};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use imagegen::weights::Weights;
use sampler::rng::{Rng, derive};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// Tensors, sorted by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// The variables of a network by name. A clone shares its variables with the original.
#[derive(Clone)]
pub struct Variables(BTreeMap<String, Var>);

/// Creates a network and its variables. Each variable starts with its value in `known`, or with
/// random numbers if `known` does not contain it.
pub fn trainable<T>(
    known: Tensors,
    seed: u64,
    device: &Device,
    network: impl FnOnce(&Weights) -> Result<T>,
) -> Result<(T, Variables)> {
    let made = Arc::new(Registry {
        known,
        seed,
        vars: Mutex::default(),
    });
    let backend = Box::new(Source(made.clone()));
    let tensors = VarBuilder::from_backend(backend, DType::F32, device.clone());
    let network = network(&Weights::plain(tensors))?;
    let vars = made.vars.lock().unwrap_or_else(PoisonError::into_inner);
    Ok((network, Variables(vars.clone())))
}

/// Creates a network from fixed tensors.
pub fn frozen<T>(
    tensors: &Tensors,
    device: &Device,
    network: impl FnOnce(&Weights) -> Result<T>,
) -> Result<T> {
    let tensors: HashMap<String, Tensor> = tensors.clone().into_iter().collect();
    network(&Weights::plain(VarBuilder::from_tensors(
        tensors,
        DType::F32,
        device,
    )))
}

impl Variables {
    /// Creates variables with the initial values `start`, for a network that is not created from
    /// [`Weights`].
    pub fn new(start: Tensors) -> Result<Variables> {
        let variable = |(name, tensor): (String, Tensor)| Ok((name, Var::from_tensor(&tensor)?));
        Ok(Variables(
            start.into_iter().map(variable).collect::<Result<_>>()?,
        ))
    }

    /// Returns the variable `name` as a tensor, for use in a forward pass. The tensor changes with
    /// each step of the optimizer.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name).map(Var::as_tensor)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.0.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// Copies all variables to tensors.
    pub fn tensors(&self) -> Result<Tensors> {
        let copy =
            |(name, var): (&String, &Var)| Ok((name.clone(), var.as_tensor().copy()?.detach()));
        self.0.iter().map(copy).collect()
    }

    /// Sets the variables to the values of saved tensors.
    pub fn restore(&self, saved: &Tensors) -> Result<()> {
        for (name, var) in &self.0 {
            let missing = || Error::Msg(format!("{name} is missing"));
            var.set(saved.get(name).ok_or_else(missing)?)?;
        }
        Ok(())
    }
}

/// Moves the exponential moving average `ema` towards the variables after step `number`. The
/// average adapts quickly at first, and later over about a thousand steps.
pub fn update_ema(ema: &mut Tensors, now: &Variables, number: u64) -> Result<()> {
    let decay = (1.0 - 1.0 / (0.1 * number as f64 + 2.0)).min(0.999);
    for (name, var) in now.iter() {
        let missing = || Error::Msg(format!("{name} is missing"));
        let mean = ema.get_mut(name).ok_or_else(missing)?;
        *mean = ((&*mean * decay)? + (var.as_tensor().detach() * (1.0 - decay))?)?.detach();
    }
    Ok(())
}

struct Registry {
    known: Tensors,
    seed: u64,
    vars: Mutex<BTreeMap<String, Var>>,
}

struct Source(Arc<Registry>);

impl SimpleBackend for Source {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        _: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let mut vars = self.0.vars.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(var) = vars.get(name) {
            return Ok(var.as_tensor().clone());
        }
        let tensor = match self.0.known.get(name) {
            Some(known) if known.shape() == &shape => {
                known.to_dtype(DType::F32)?.to_device(device)?
            }
            Some(known) => {
                let (have, want) = (known.shape(), &shape);
                return Err(Error::Msg(format!("{name} is {have:?}, {want:?} expected")));
            }
            None => random(&shape, name, init, self.0.seed, device)?,
        };
        let var = Var::from_tensor(&tensor)?;
        vars.insert(name.to_string(), var.clone());
        Ok(var.as_tensor().clone())
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        Err(Error::Msg(format!("{name} has no shape")))
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.known.contains_key(name)
    }
}

/// Returns the random initial values of a tensor.
fn random(shape: &Shape, name: &str, init: Init, seed: u64, device: &Device) -> Result<Tensor> {
    let stream = name.bytes().fold(0u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut rng = Rng::new(derive(seed, stream));
    let count = shape.elem_count();
    let numbers: Vec<f32> = match init {
        Init::Const(value) => vec![value as f32; count],
        Init::Uniform { lo, up } => {
            let number = |_| (lo + (up - lo) * rng.next_f64()) as f32;
            (0..count).map(number).collect()
        }
        Init::Randn { mean, stdev } => {
            let number = |_| (mean + stdev * rng.next_normal()) as f32;
            (0..count).map(number).collect()
        }
        Init::Kaiming { .. } => {
            return Err(Error::Msg(
                "this initialization of a tensor is not supported".into(),
            ));
        }
    };
    Tensor::from_vec(numbers, shape.clone(), device)
}

/// The dropout rate in the branches of Transformer blocks.
const DROPOUT: f64 = 0.1;

/// Returns a dropout mask for the branches of Transformer blocks. Each element is 0 with
/// probability `DROPOUT`, and 1 / (1 - `DROPOUT`) otherwise.
pub fn dropout(shape: &[usize], rng: &mut Rng, device: &Device) -> Result<Tensor> {
    let keep = (1.0 / (1.0 - DROPOUT)) as f32;
    let mut one = || if rng.next_f64() < DROPOUT { 0.0 } else { keep };
    let mask: Vec<f32> = (0..shape.iter().product()).map(|_| one()).collect();
    Tensor::from_vec(mask, shape, device)
}

/// Returns a tensor of random numbers from the standard normal distribution.
pub fn noise(shape: &[usize], rng: &mut Rng, device: &Device) -> Result<Tensor> {
    let count = shape.iter().product();
    let numbers: Vec<f32> = (0..count).map(|_| rng.next_normal() as f32).collect();
    Tensor::from_vec(numbers, shape, device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use imagegen::weights::Linear;

    fn linear(seed: u64) -> Variables {
        let new = |weights: &Weights| Linear::new(&weights.pp("a"), 4, 3);
        trainable(Tensors::new(), seed, &Device::Cpu, new)
            .unwrap()
            .1
    }

    fn numbers(variables: &Variables) -> Vec<f32> {
        let flat = |(_, var): (&str, &Var)| var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        variables.iter().flat_map(flat).collect()
    }

    #[test]
    fn a_seed_gives_the_same_beginning_within_its_bounds() {
        assert_eq!(numbers(&linear(1)), numbers(&linear(1)));
        assert_ne!(numbers(&linear(1)), numbers(&linear(2)));
        assert!(
            numbers(&linear(1)).iter().all(|x| x.abs() <= 0.5),
            "1/sqrt(4)"
        );
    }

    #[test]
    fn what_is_known_is_taken_and_another_shape_is_refused() {
        let one = Tensor::ones((3, 4), DType::F32, &Device::Cpu).unwrap();
        let known = |tensor: &Tensor| Tensors::from([("a.weight".to_string(), tensor.clone())]);
        let new = |weights: &Weights| Linear::new(&weights.pp("a"), 4, 3);
        let (_, variables) = trainable(known(&one), 0, &Device::Cpu, new).unwrap();
        assert_eq!(numbers(&variables)[3..], [1.0; 12]);
        let other = one.t().unwrap();
        assert!(trainable(known(&other), 0, &Device::Cpu, new).is_err());
    }

    #[test]
    fn the_mean_follows_quickly_at_first() {
        let variables = linear(1);
        let mut mean = variables.tensors().unwrap();
        let zero = |tensor: &Tensor| tensor.zeros_like().unwrap();
        let zeros = mean.iter().map(|(n, t)| (n.clone(), zero(t))).collect();
        variables.restore(&zeros).unwrap();
        // keep = 1 - 1 / 2.1.
        update_ema(&mut mean, &variables, 1).unwrap();
        let first = mean["a.weight"]
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        for (now, then) in first.iter().zip(&numbers(&linear(1))[3..]) {
            assert!((now - then * 0.523_809_5).abs() < 1e-6);
        }
    }

    #[test]
    fn noise_is_normal() {
        let noise = noise(&[20_000], &mut Rng::new(1), &Device::Cpu).unwrap();
        let noise = noise.to_vec1::<f32>().unwrap();
        let mean = noise.iter().sum::<f32>() / 20_000.0;
        let variance = noise.iter().map(|x| x * x).sum::<f32>() / 20_000.0;
        assert!(
            mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03,
            "{mean} {variance}"
        );
    }
}
