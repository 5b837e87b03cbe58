//! Stands in for the `autograd` crate in builds without the `train` feature: `is_supported` always
//! returns false, so no network calls the other functions.

use candle_core::{Error, Result, Tensor};

pub fn is_supported() -> bool {
    false
}

pub fn affine(_: &Tensor, _: &Tensor, _: &Tensor) -> Result<Tensor> {
    Err(missing())
}

pub fn attend(_: &Tensor, _: usize) -> Result<Tensor> {
    Err(missing())
}

pub fn modulated_norm(_: &Tensor, _: &Tensor, _: &Tensor) -> Result<Tensor> {
    Err(missing())
}

pub fn squared_relu(_: &Tensor) -> Result<Tensor> {
    Err(missing())
}

fn missing() -> Error {
    Error::Msg("this build cannot train networks; build with --features train".into())
}
