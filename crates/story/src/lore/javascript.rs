//! Regexes of JavaScript, as lorebooks have them, in the syntax of Rust's engines.
//!
//! Follows ECMA-262 with its Annex B (a lone brace or bracket is itself, a reference to a group that
//! does not exist is a character), since that is what browsers run. Look-around and references need
//! an engine that backtracks; all else runs in linear time.

/// The flags after the closing slash.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    pub ignore_case: bool,
    pub multi_line: bool,
    pub dot_all: bool,
    pub unicode: bool,
    /// Matches at the beginning of the text only.
    pub sticky: bool,
}

impl Flags {
    /// None if JavaScript would refuse them.
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

/// Which engine is to run the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    /// Linear time, without look-around and references.
    Linear,
    Backtracking,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untranslated {
    /// Only the other engine runs it.
    NeedsBacktracking,
    /// JavaScript would refuse it.
    Invalid(&'static str),
}

const DIGIT: &str = "0-9";
const WORD: &str = "A-Za-z0-9_";
const SPACE: &str = "\\t-\\r \\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}";
const LINE_ENDS: &str = "\\n\\r\\x{2028}\\x{2029}";

/// Translates a pattern. The flags that have no counterpart in the pattern (`i`) are the caller's.
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

/// The names of the capturing groups, in order; empty for one without a name.
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
    /// The number of groups that are open.
    open: usize,
    /// Whether a quantifier may follow.
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
                ')' => return Err(Untranslated::Invalid("a group is closed that is not open")),
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

    /// `{2,5}` is a quantifier; any other brace is itself.
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
                "a group begins with ? and an unknown sign",
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

    /// A group that took no part in the match is as empty.
    fn reference(&mut self, group: usize) -> Translated {
        if self.engine == Engine::Linear {
            return Err(Untranslated::NeedsBacktracking);
        }
        self.atom(&format!("(?({group})(?:\\{group})|)"));
        Ok(())
    }

    /// What a backslash and this character stand for, inside a class or outside.
    fn escaped(&mut self, c: char) -> Result<Set, Untranslated> {
        Ok(match c {
            'd' => Set::Ranges(DIGIT.to_string()),
            'D' => Set::Except(DIGIT.to_string()),
            'w' => Set::Ranges(WORD.to_string()),
            'W' => Set::Except(WORD.to_string()),
            's' => Set::Ranges(SPACE.to_string()),
            'S' => Set::Except(SPACE.to_string()),
            't' => Set::Char('\t'),
            'n' => Set::Char('\n'),
            'v' => Set::Char('\u{b}'),
            'f' => Set::Char('\u{c}'),
            'r' => Set::Char('\r'),
            '0' => Set::Char('\0'),
            'c' => match self.rest().first().copied() {
                Some(letter) if letter.is_ascii_alphabetic() => {
                    self.at += 1;
                    Set::Char(char::from(letter as u8 % 32))
                }
                _ => return Err(Untranslated::Invalid("\\c stands before no letter")),
            },
            'x' => Set::Char(self.hex(2).unwrap_or('x')),
            'u' => Set::Char(self.code_point().unwrap_or('u')),
            'p' | 'P' if self.flags.unicode && self.takes("{") => {
                let name: String = self.rest().iter().take_while(|c| **c != '}').collect();
                self.at += name.chars().count() + 1;
                let name = name.strip_prefix("Script_Extensions=").unwrap_or(&name);
                let name = name.strip_prefix("scx=").unwrap_or(name);
                Set::Property(format!("\\{c}{{{name}}}"))
            }
            c => Set::Char(c),
        })
    }

    fn hex(&mut self, digits: usize) -> Option<char> {
        let text: String = self.rest().iter().take(digits).collect();
        let code = u32::from_str_radix(&text, 16)
            .ok()
            .filter(|_| text.len() == digits)?;
        let c = char::from_u32(code)?;
        self.at += digits;
        Some(c)
    }

    /// `\u0041`, a pair of surrogates, or `\u{1F4A1}`.
    fn code_point(&mut self) -> Option<char> {
        if self.flags.unicode && self.rest().first() == Some(&'{') {
            let text: String = self.rest()[1..].iter().take_while(|c| **c != '}').collect();
            let c = char::from_u32(u32::from_str_radix(&text, 16).ok()?)?;
            self.at += text.chars().count() + 2;
            return Some(c);
        }
        if let Some(c) = self.hex(4) {
            return Some(c);
        }
        let unit = |from: usize| {
            let text: String = self.rest().iter().skip(from).take(4).collect();
            u16::from_str_radix(&text, 16).ok()
        };
        let pair = self.rest().get(4..6) == Some(&['\\', 'u']);
        let units = [unit(0)?, unit(6).filter(|_| pair)?];
        let c = char::decode_utf16(units).next()?.ok()?;
        self.at += 10;
        Some(c)
    }

    fn class(&mut self) -> Translated {
        let negated = self.takes("^");
        let mut members = String::new();
        // A member that may begin a range, and whether a hyphen stands after it.
        let mut last: Option<char> = None;
        let mut ranges = false;
        loop {
            let set = match self.next() {
                None => return Err(Untranslated::Invalid("a bracket is not closed")),
                Some(']') => break,
                Some('-') if last.is_some() && !ranges && self.rest().first() != Some(&']') => {
                    ranges = true;
                    continue;
                }
                Some('\\') => match self.next() {
                    Some('b') => Set::Char('\u{8}'),
                    Some(c) => self.escaped(c)?,
                    None => return Err(Untranslated::Invalid("a bracket is not closed")),
                },
                Some(c) => Set::Char(c),
            };
            match (last.filter(|_| ranges), set) {
                (Some(from), Set::Char(to)) if from > to => {
                    return Err(Untranslated::Invalid("a range runs backwards"));
                }
                (Some(from), Set::Char(to)) => {
                    members += &format!("{}-{}", member(from), member(to));
                    last = None;
                }
                (from, set) => {
                    // The hyphen before a set of characters is itself.
                    let before = if ranges { Some('-') } else { last };
                    let pending = from.into_iter().chain(before);
                    members.extend(pending.map(member));
                    last = match set {
                        Set::Char(c) => Some(c),
                        other => {
                            members += &other.inside_class();
                            None
                        }
                    };
                }
            }
            ranges = false;
        }
        members.extend(last.map(member));
        let text = match (members.is_empty(), negated) {
            (true, true) => "(?s:.)".to_string(),
            (true, false) => "[a&&b]".to_string(),
            (false, true) => format!("[^{members}]"),
            (false, false) => format!("[{members}]"),
        };
        self.atom(&text);
        Ok(())
    }
}

/// One character, or a set of them.
enum Set {
    Char(char),
    Ranges(String),
    Except(String),
    Property(String),
}

impl Set {
    fn outside_class(&self) -> String {
        match self {
            Set::Char(c) => literal(*c),
            Set::Ranges(ranges) => format!("[{ranges}]"),
            Set::Except(ranges) => format!("[^{ranges}]"),
            Set::Property(name) => name.clone(),
        }
    }

    fn inside_class(&self) -> String {
        match self {
            Set::Char(c) => member(*c),
            Set::Ranges(ranges) => ranges.clone(),
            Set::Except(ranges) => format!("[^{ranges}]"),
            Set::Property(name) => name.clone(),
        }
    }
}

fn literal(c: char) -> String {
    match c.is_alphanumeric() || c == ' ' || c == '_' {
        true => c.to_string(),
        false => member(c),
    }
}

/// A character as a member of a class, where many signs have a meaning.
fn member(c: char) -> String {
    format!("\\x{{{:x}}}", c as u32)
}
