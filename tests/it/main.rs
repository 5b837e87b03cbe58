//! One binary, one module a behaviour.

mod families;
mod mixed;
mod reference;
mod support;
mod vocabulary;
