//! Translates JavaScript regexes, as used in lorebooks, to the syntax of Rust's engines.
//!
//! This follows ECMA-262 with its Annex B (a lone brace or bracket is literal, a backreference to a
//! missing group is a character), as browsers do. Look-around and backreferences need a
//! backtracking engine; everything else runs in linear time.

mod sets;

use sets::{WORD, literal};

/// The flags that follow a regex's closing slash.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    pub ignore_case: bool,
    pub multi_line: bool,
    pub dot_all: bool,
    pub unicode: bool,
    /// Whether the regex matches only at the beginning of the text.
    pub sticky: bool,
}

impl Flags {
    /// Parses the flags. Returns None if JavaScript would refuse them.
    pub(super) fn parse(text: &str) -> Option<Flags> {
        let mut flags = Flags::default();
        let mut global = false;
        for letter in text.chars() {
            let flag = match letter {
                'g' => &mut global,
                'i' => &mut flags.ignore_case,
                'm' => &mut flags.multi_line,
                's' => &mut flags.dot_all,
                'u' => &mut flags.unicode,
                'y' => &mut flags.sticky,
                _ => return None,
            };
            if std::mem::replace(flag, true) {
                return None;
            }
        }
        Some(flags)
    }
}

/// The regex engine that will run the translated regex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    /// The engine that runs in linear time and supports neither look-around nor backreferences.
    Linear,
    Backtracking,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untranslated {
    /// Only the backtracking engine can run the regex.
    NeedsBacktracking,
    /// JavaScript would refuse the regex, for this reason.
    Invalid(&'static str),
}

const LINE_ENDS: &str = "\\n\\r\\x{2028}\\x{2029}";

/// Translates a pattern. The caller must apply the flag `i`, which the translated pattern does not
/// express.
pub(super) fn translate(
    pattern: &str,
    flags: Flags,
    engine: Engine,
) -> Result<String, Untranslated> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut translator = Translator {
        groups: group_names(&chars),
        chars,
        at: 0,
        out: String::new(),
        flags,
        engine,
        open: 0,
        repeats: false,
    };
    translator.run()?;
    let out = translator.out;
    Ok(match flags.sticky {
        true => format!("\\A(?:{out})"),
        false => out,
    })
}

/// Returns the names of the capturing groups, in order. The name of an unnamed group is empty.
fn group_names(chars: &[char]) -> Vec<String> {
    let mut names = Vec::new();
    let (mut at, mut in_class) = (0, false);
    while let Some(c) = chars.get(at) {
        match c {
            '\\' => at += 1,
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class && chars.get(at + 1) != Some(&'?') => names.push(String::new()),
            '(' if !in_class => {
                let named = chars.get(at + 2) == Some(&'<')
                    && !matches!(chars.get(at + 3), Some('=' | '!'));
                if named {
                    let name = chars[at + 3..].iter().take_while(|c| **c != '>');
                    names.push(name.collect());
                }
            }
            _ => {}
        }
        at += 1;
    }
    names
}

struct Translator {
    chars: Vec<char>,
    at: usize,
    out: String,
    flags: Flags,
    engine: Engine,
    groups: Vec<String>,
    /// The number of groups that are currently open.
    open: usize,
    /// Whether a quantifier may follow at the current position.
    repeats: bool,
}

type Translated = Result<(), Untranslated>;

impl Translator {
    fn next(&mut self) -> Option<char> {
        let c = self.chars.get(self.at).copied();
        self.at += 1;
        c
    }

    fn rest(&self) -> &[char] {
        self.chars.get(self.at..).unwrap_or_default()
    }

    fn takes(&mut self, text: &str) -> bool {
        let length = text.chars().count();
        let there = self.rest().len() >= length
            && self.rest().iter().zip(text.chars()).all(|(a, b)| *a == b);
        self.at += if there { length } else { 0 };
        there
    }

    fn run(&mut self) -> Translated {
        while let Some(c) = self.next() {
            match c {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.group()?,
                ')' if self.open > 0 => {
                    self.open -= 1;
                    self.atom(")");
                }
                ')' => return Err(Untranslated::Invalid("it closes a group that is not open")),
                '|' => self.unrepeated("|"),
                '^' if self.flags.multi_line => self.unrepeated("(?m:^)"),
                '^' => self.unrepeated("\\A"),
                '$' if self.flags.multi_line => self.unrepeated("(?m:$)"),
                '$' => self.unrepeated("\\z"),
                '.' if self.flags.dot_all => self.atom("(?s:.)"),
                '.' => self.atom(&format!("[^{LINE_ENDS}]")),
                '*' | '+' | '?' => self.quantifier(&c.to_string())?,
                '{' => self.brace()?,
                c => self.literal(c),
            }
        }
        match self.open {
            0 => Ok(()),
            _ => Err(Untranslated::Invalid("a group is not closed")),
        }
    }

    fn atom(&mut self, text: &str) {
        self.out += text;
        self.repeats = true;
    }

    fn unrepeated(&mut self, text: &str) {
        self.out += text;
        self.repeats = false;
    }

    fn literal(&mut self, c: char) {
        let text = literal(c);
        self.atom(&text);
    }

    fn quantifier(&mut self, text: &str) -> Translated {
        if !self.repeats {
            return Err(Untranslated::Invalid("there is nothing to repeat"));
        }
        let lazy = if self.takes("?") { "?" } else { "" };
        self.unrepeated(&format!("{text}{lazy}"));
        Ok(())
    }

    /// Translates an opening brace, which either begins a quantifier such as `{2,5}` or is a
    /// literal character.
    fn brace(&mut self) -> Translated {
        let inner: String = self.rest().iter().take_while(|c| **c != '}').collect();
        let closed = self.rest().len() > inner.chars().count();
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let counts = match inner.split_once(',') {
            Some((from, "")) => digits(from),
            Some((from, to)) => digits(from) && digits(to),
            None => digits(&inner),
        };
        if !counts || !closed {
            self.literal('{');
            return Ok(());
        }
        self.at += inner.len() + 1;
        self.quantifier(&format!("{{{inner}}}"))
    }

    fn group(&mut self) -> Translated {
        self.open += 1;
        let looks = ["?=", "?!", "?<=", "?<!"];
        if let Some(look) = looks.into_iter().find(|look| self.takes(look)) {
            if self.engine == Engine::Linear {
                return Err(Untranslated::NeedsBacktracking);
            }
            self.unrepeated(&format!("({look}"));
        } else if self.takes("?:") {
            self.unrepeated("(?:");
        } else if self.takes("?<") {
            while self.next().is_some_and(|c| c != '>') {}
            self.unrepeated("(");
        } else if self.rest().first() == Some(&'?') {
            return Err(Untranslated::Invalid(
                "a group begins with ? and an unknown character",
            ));
        } else {
            self.unrepeated("(");
        }
        Ok(())
    }

    fn escape(&mut self) -> Translated {
        let Some(c) = self.next() else {
            return Err(Untranslated::Invalid("it ends with a backslash"));
        };
        match c {
            'b' if self.engine == Engine::Linear => self.unrepeated("(?-u:\\b)"),
            'b' => self.unrepeated(&format!(
                "(?:(?<=[{WORD}])(?![{WORD}])|(?<![{WORD}])(?=[{WORD}]))"
            )),
            'B' if self.engine == Engine::Linear => return Err(Untranslated::NeedsBacktracking),
            'B' => self.unrepeated(&format!(
                "(?:(?<=[{WORD}])(?=[{WORD}])|(?<![{WORD}])(?![{WORD}]))"
            )),
            'k' if self.groups.iter().any(|name| !name.is_empty()) => self.named_reference()?,
            '1'..='9' => self.numbered_reference(c)?,
            c => {
                let set = self.escaped(c)?;
                let text = set.outside_class();
                self.atom(&text);
            }
        }
        Ok(())
    }

    fn named_reference(&mut self) -> Translated {
        let begins = self.takes("<");
        let name: String = self.rest().iter().take_while(|c| **c != '>').collect();
        self.at += name.chars().count() + 1;
        let known = self.groups.iter().position(|group| *group == name);
        match known.filter(|_| begins && !name.is_empty()) {
            Some(at) => self.reference(at + 1),
            None => Err(Untranslated::Invalid(
                "it refers to a group that it does not have",
            )),
        }
    }

    fn numbered_reference(&mut self, first: char) -> Translated {
        let digits = self.rest().iter().take_while(|c| c.is_ascii_digit());
        let number: String = std::iter::once(first).chain(digits.copied()).collect();
        match number.parse::<usize>() {
            Ok(group) if group <= self.groups.len() => {
                self.at += number.len() - 1;
                self.reference(group)
            }
            // As in a browser: an octal code, or the digit itself.
            _ => {
                let octal: String = number.chars().take(3).take_while(|c| *c < '8').collect();
                let code = u32::from_str_radix(&octal, 8)
                    .ok()
                    .filter(|code| *code < 256);
                self.at += octal.len().saturating_sub(1);
                self.literal(code.and_then(char::from_u32).unwrap_or(first));
                Ok(())
            }
        }
    }

    /// Translates a backreference to a group. If the group did not take part in the match, the
    /// backreference matches the empty string.
    fn reference(&mut self, group: usize) -> Translated {
        if self.engine == Engine::Linear {
            return Err(Untranslated::NeedsBacktracking);
        }
        self.atom(&format!("(?({group})(?:\\{group})|)"));
        Ok(())
    }
}
