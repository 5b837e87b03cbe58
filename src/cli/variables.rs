//! Reads environment variables that are not defaults of flags.

use std::env;

/// Returns the value of an environment variable, or None if the variable is unset or empty.
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether to use colours (no-color.org).
pub fn colour() -> bool {
    variable("NO_COLOR").is_none() && variable("TERM").as_deref() != Some("dumb")
}
