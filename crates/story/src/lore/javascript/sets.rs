//! Translates escapes and character classes, each of which matches one character.

use super::{Translated, Translator, Untranslated};

const DIGIT: &str = "0-9";
pub(super) const WORD: &str = "A-Za-z0-9_";
const SPACE: &str = "\\t-\\r \\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}";

impl Translator {
    /// Returns what a backslash followed by the character `c` matches, inside or outside a class.
    pub(super) fn escaped(&mut self, c: char) -> Result<Set, Untranslated> {
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
                _ => return Err(Untranslated::Invalid("\\c is not followed by a letter")),
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

    /// Parses an escaped code point: `\u0041`, a surrogate pair or `\u{1F4A1}`.
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

    pub(super) fn class(&mut self) -> Translated {
        let negated = self.takes("^");
        let mut members = String::new();
        // A member that may begin a range, and whether a hyphen follows it.
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
                    // A hyphen before a set of characters is literal.
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

/// A single character, or a set of characters.
pub(super) enum Set {
    Char(char),
    Ranges(String),
    Except(String),
    Property(String),
}

impl Set {
    pub(super) fn outside_class(&self) -> String {
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

pub(super) fn literal(c: char) -> String {
    match c.is_alphanumeric() || c == ' ' || c == '_' {
        true => c.to_string(),
        false => member(c),
    }
}

/// Returns a character in escaped form for use in a class, where many characters have a special
/// meaning.
fn member(c: char) -> String {
    format!("\\x{{{:x}}}", c as u32)
}
