//! One binary, one module a behaviour.

mod families;
mod reference;
mod support;
mod vocabulary;
