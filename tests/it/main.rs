//! One binary, one module a behaviour.

mod architecture;
mod bad_input;
mod disk;
mod drafting;
mod encoder;
mod engine;
mod families;
mod faults;
mod gallery;
mod illuminator;
mod interop;
mod kill;
mod loaded;
mod mixed;
mod newcomer;
mod prompts;
mod recall;
mod reference;
mod repl;
mod signals;
mod support;
mod terminal;
mod training;
mod tree;
mod vocabulary;
mod write;
