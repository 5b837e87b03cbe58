//! One binary, one module a behaviour.

mod reference;
mod support;
