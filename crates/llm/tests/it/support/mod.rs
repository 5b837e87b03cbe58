//! Builds small models with random weights. The tests of the program use these files too.

pub mod bodies;
pub mod tiny;
