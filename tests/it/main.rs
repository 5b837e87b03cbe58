//! One binary, one module a behaviour.

mod architecture;
mod bad_input;
mod disk;
mod encoder;
mod engine;
mod families;
mod illuminator;
mod mixed;
mod reference;
mod repl;
mod signals;
mod support;
mod terminal;
mod training;
mod vocabulary;
mod write;
