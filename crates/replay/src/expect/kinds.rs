//! The tables of expectations.

mod lines;
mod numbers;
mod promptfoo;
mod texts;

use super::arguments::Build;

/// A row: one expectation's name, arguments and meaning.
pub struct Kind {
    pub name: &'static str,
    /// Its arguments, as in help.
    pub args: &'static str,
    pub help: &'static str,
    /// Whether it is about a text, so that `story` or `answer` may name another one.
    pub of_text: bool,
    /// Whether `not-` may stand before it; a comparison has an opposite of its own.
    pub negatable: bool,
    pub(super) build: Build,
}

const fn text(name: &'static str, args: &'static str, help: &'static str, build: Build) -> Kind {
    Kind {
        name,
        args,
        help,
        of_text: true,
        negatable: true,
        build,
    }
}

const fn number(name: &'static str, args: &'static str, help: &'static str, build: Build) -> Kind {
    Kind {
        negatable: false,
        ..text(name, args, help, build)
    }
}

const fn line(name: &'static str, args: &'static str, help: &'static str, build: Build) -> Kind {
    Kind {
        of_text: false,
        ..number(name, args, help, build)
    }
}

/// Every expectation, in groups: about a text, about a number of a text, about the last line or
/// passage, and with promptfoo's definitions.
const KINDS: [&[Kind]; 4] = [texts::KINDS, numbers::KINDS, lines::KINDS, promptfoo::KINDS];

/// Every expectation.
pub fn all() -> impl Iterator<Item = &'static Kind> {
    KINDS.into_iter().flatten()
}
