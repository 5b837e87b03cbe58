//! The table of all kinds of expectations.

mod lines;
mod numbers;
mod promptfoo;
mod texts;

use super::arguments::Build;

/// A row of the table: the name, arguments and meaning of one kind of expectation.
pub struct Kind {
    pub name: &'static str,
    /// A description of the arguments, as shown in the help.
    pub args: &'static str,
    pub help: &'static str,
    /// Whether the expectation is about a text. By default this is the last passage; the word
    /// `story` or `answer` before the name selects another text.
    pub of_text: bool,
    /// Whether the name may begin with `not-`. An expectation that compares a number has no `not-`
    /// form, because the opposite comparison can be written instead.
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

/// All kinds of expectations, in four groups: those about a text, those about a number measured in
/// a text, those about the last line or passage, and those that follow promptfoo's definitions.
const KINDS: [&[Kind]; 4] = [texts::KINDS, numbers::KINDS, lines::KINDS, promptfoo::KINDS];

/// Returns all kinds of expectations.
pub fn all() -> impl Iterator<Item = &'static Kind> {
    KINDS.into_iter().flatten()
}
