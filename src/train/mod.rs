//! Training the illuminator: the data set, losses, optimizer.
//!
//! Knows the networks and no session, no terminal and no command line; what takes long tells a
//! watcher how far it is and asks it whether to go on.

pub mod adam;
pub mod data;
pub mod losses;
pub mod variables;
