//! Small models with random weights. The program's tests share these files.

pub mod bodies;
pub mod tiny;
