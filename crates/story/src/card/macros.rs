//! Expands macros in the text of cards and lore, such as `{{char}}` and `{{random:a,b}}`.
//!
//! The macros are those that the V3 specification calls "curly braced syntaxes". Their names are
//! not case-sensitive. An unknown macro stays unchanged. Expansion is a single pass, so that no
//! text can make it hang.

use base::hash::{fnv1a, split_mix};

/// The values that replace macros.
#[derive(Clone, Debug, Default)]
pub struct Macros {
    pub char: String,
    pub user: String,
    /// The seed of the macros `random` and `roll`. The macro `pick` does not depend on it.
    pub seed: u64,
}

/// Once the expanded text has reached this length in bytes, no further macros are expanded.
const LONGEST: usize = 4 << 20;

impl Macros {
    /// Expands the macros in a text.
    pub fn expand(&self, text: &str) -> String {
        if !text.contains(['{', '<']) {
            return text.to_string();
        }
        // The text so far at each level of nesting, innermost last.
        let mut open = vec![String::new()];
        let mut count = 0;
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("{{") {
                open.push(String::new());
                rest = after;
                continue;
            }
            let closes = rest.strip_prefix("}}").filter(|_| open.len() > 1);
            if let (Some(after), Some(inner)) = (closes, closes.and_then(|_| open.pop())) {
                count += 1;
                let value = self.expand_tag(&inner, count);
                let room = open.iter().map(String::len).sum::<usize>() < LONGEST;
                match value {
                    Some(value) if room => push_text(&mut open, &value),
                    _ => push_text(&mut open, &format!("{{{{{inner}}}}}")),
                }
                rest = after;
                continue;
            }
            let tag = self.find_tag(rest);
            let (read, said) = match &tag {
                Some((length, name)) => (*length, *name),
                None => (first.len_utf8(), &rest[..first.len_utf8()]),
            };
            push_text(&mut open, said);
            rest = &rest[read..];
        }
        // A macro that is never closed is plain text.
        open.join("{{")
    }

    /// Parses `<char>`, `<bot>` or `<user>`, which older cards use. Returns the length of the tag
    /// and the name that replaces it.
    fn find_tag(&self, text: &str) -> Option<(usize, &str)> {
        let tags = [
            ("<char>", &self.char),
            ("<bot>", &self.char),
            ("<user>", &self.user),
        ];
        let begins = |tag: &str| {
            text.get(..tag.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(tag))
        };
        let found = tags.into_iter().find(|(tag, _)| begins(tag));
        found.map(|(tag, name)| (tag.len(), name.as_str()))
    }

    /// Expands one macro. `count` is the macro's number in the text, counted from 1 in the order in
    /// which the macros end.
    fn expand_tag(&self, inner: &str, count: u64) -> Option<String> {
        let inner = inner.trim();
        if inner.starts_with("//") {
            return Some(String::new());
        }
        let (name, rest) = inner.split_once(':').unwrap_or((inner, ""));
        let name = name.trim().to_ascii_lowercase();
        Some(match name.as_str() {
            "char" if rest.is_empty() => self.char.clone(),
            "user" if rest.is_empty() => self.user.clone(),
            "comment" | "hidden_key" => String::new(),
            "reverse" => rest.trim_start_matches(':').chars().rev().collect(),
            "random" => pick_from_list(rest, split_mix(self.seed, count)),
            "pick" => pick_from_list(rest, split_mix(fnv1a(rest), count)),
            "roll" => roll_dice(rest, split_mix(self.seed, count))?,
            _ => return None,
        })
    }
}

fn push_text(open: &mut [String], text: &str) {
    if let Some(last) = open.last_mut() {
        last.push_str(text);
    }
}

/// Picks one value from a list. The list has the form `a,b,c` (where `\,` is a literal comma) or
/// SillyTavern's form `:a::b::c`.
fn pick_from_list(list: &str, number: u64) -> String {
    let values: Vec<String> = match list.strip_prefix(':') {
        Some(list) if list.contains("::") => list.split("::").map(str::to_string).collect(),
        Some(list) => split_commas(list),
        None => split_commas(list),
    };
    let index = (number % values.len().max(1) as u64) as usize;
    values
        .get(index)
        .map_or(String::new(), |value| value.trim().to_string())
}

fn split_commas(list: &str) -> Vec<String> {
    let mut values = vec![String::new()];
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(',')) => {
                chars.next();
                push_text(&mut values, ",");
            }
            (',', _) => values.push(String::new()),
            (c, _) => push_text(&mut values, c.encode_utf8(&mut [0; 4])),
        }
    }
    values
}

/// Rolls dice such as `6`, `d6` or `2d6`. Returns the sum.
fn roll_dice(dice: &str, number: u64) -> Option<String> {
    let dice = dice.trim_start_matches(':').trim().to_ascii_lowercase();
    let (count, sides) = match dice.split_once('d') {
        Some(("", sides)) => (1, sides),
        Some((count, sides)) => (count.parse().ok()?, sides),
        None => (1, dice.as_str()),
    };
    let sides: u64 = sides.parse().ok()?;
    if sides == 0 || sides > 1_000_000 || !(1..=100).contains(&count) {
        return None;
    }
    let sum: u64 = (0..count)
        .map(|die| split_mix(number, die) % sides + 1)
        .sum();
    Some(sum.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn macros(seed: u64) -> Macros {
        Macros {
            char: "Mara".to_string(),
            user: "Jon".to_string(),
            seed,
        }
    }

    #[test]
    fn names_and_what_is_not_for_the_model() {
        for (text, said) in [
            ("{{char}} sees {{User}}.", "Mara sees Jon."),
            ("<BOT> and <user>", "Mara and Jon"),
            ("a{{// a note}}b{{comment: c}}{{hidden_key:k}}", "ab"),
            ("{{reverse:Hello}}", "olleH"),
            ("{{reverse:{{char}}}}", "araM"),
            ("{{time}} {{", "{{time}} {{"),
            ("}} {{char", "}} {{char"),
            ("{single}", "{single}"),
        ] {
            assert_eq!(macros(1).expand(text), said);
        }
    }

    #[test]
    fn chance_comes_from_the_seed_and_pick_does_not_change() {
        let random = "{{random:a,b\\,c,d}}";
        let seen: std::collections::BTreeSet<String> =
            (0..100).map(|seed| macros(seed).expand(random)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["a", "b,c", "d"]);
        let pick = "{{PICK:a,b,c,d,e,f}}{{random::x::x}}";
        assert_eq!(macros(1).expand(pick), macros(2).expand(pick));
        for seed in 0..50 {
            let rolled: u64 = macros(seed).expand("{{roll:d6}}").parse().unwrap();
            assert!((1..=6).contains(&rolled));
        }
        assert_eq!(macros(1).expand("{{roll:many}}"), "{{roll:many}}");
    }

    proptest! {
        #[test]
        fn any_text_is_expanded(text in "(\\{\\{|\\}\\}|<user>|random:|,|.){0,200}") {
            let expanded = macros(3).expand(&text);
            prop_assert!(expanded.len() <= text.len() * 8 + 64);
        }

        #[test]
        fn text_without_macros_stays(text in "[^{}<>]{0,60}") {
            prop_assert_eq!(macros(3).expand(&text), text);
        }
    }
}
