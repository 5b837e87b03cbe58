//! Decorators of the V3 specification, which are lines `@@name value` at the start of an entry's
//! content.
//!
//! A decorator is applied if entries have a field for it. All decorators are removed from the text.
//! A line `@@@name` is a fallback: it is applied only if the preceding decorator is unknown or has
//! an invalid value.

use super::{InsertPosition, KeyLogic, LoreEntry};

/// The number of passages that stands for "for ever". No session has that many.
const FOR_EVER: u32 = 1_000_000;

/// Applies the decorators at the start of an entry's content, and removes them.
pub fn apply_decorators(entry: &mut LoreEntry) {
    let content = std::mem::take(&mut entry.content);
    let mut rest = content.as_str();
    let mut seen: Vec<&str> = Vec::new();
    // Whether the previous decorator, or a fallback for it, was applied.
    let mut done = true;
    while let Some(line) = decorator_line(rest) {
        rest = rest.trim_start()[line.len()..].trim_start_matches(['\r', '\n']);
        let instead = line.starts_with("@@@");
        let (name, value) = split_decorator(line.trim_start_matches('@'));
        if instead && done {
            continue;
        }
        done = match seen.contains(&name) {
            true => true,
            // A named position overrides a depth.
            false if name == "depth" && seen.contains(&"position") => true,
            false => apply_decorator(entry, name, value),
        };
        seen.push(name);
    }
    // `activate` overrides `dont_activate`.
    if seen.contains(&"dont_activate") && !seen.contains(&"activate") {
        entry.enabled = false;
    }
    entry.content = match seen.is_empty() {
        true => content,
        false => rest.trim_start().to_string(),
    };
}

fn decorator_line(text: &str) -> Option<&str> {
    let line = text.trim_start().lines().next()?;
    let named = line.trim_start_matches('@');
    let marks = line.len() - named.len();
    let plain = |c: char| c.is_ascii_alphabetic();
    (matches!(marks, 2 | 3) && named.starts_with(plain)).then_some(line)
}

fn split_decorator(line: &str) -> (&str, &str) {
    let line = line.trim();
    line.split_once(char::is_whitespace)
        .map_or((line, ""), |(name, value)| (name, value.trim()))
}

/// Applies a decorator. Returns false if the decorator is unknown or its value is invalid.
fn apply_decorator(entry: &mut LoreEntry, name: &str, value: &str) -> bool {
    let number = value.parse::<u32>().ok();
    match (name, number) {
        ("depth", Some(depth)) => {
            entry.position = InsertPosition::AtDepth;
            entry.depth = depth as usize;
        }
        ("scan_depth", Some(depth)) => entry.scan_depth = Some(depth as usize),
        // Counts the character's messages, which alternate with the writer's.
        ("activate_only_after", Some(messages)) => {
            entry.delay = Some(messages.saturating_mul(2).saturating_sub(1));
        }
        ("position", _) => match value {
            "before_desc" => entry.position = InsertPosition::Before,
            "after_desc" | "personality" | "scenario" => entry.position = InsertPosition::After,
            _ => return false,
        },
        ("activate", _) => entry.constant = true,
        ("dont_activate", _) => {}
        ("keep_activate_after_match", _) => entry.sticky = Some(FOR_EVER),
        ("dont_activate_after_match", _) => entry.cooldown = Some(FOR_EVER),
        ("additional_keys", _) => return set_secondary_keys(entry, value, KeyLogic::AndAny),
        ("exclude_keys", _) => return set_secondary_keys(entry, value, KeyLogic::NotAny),
        _ => return false,
    }
    true
}

/// Sets the secondary keys. Returns false if `value` contains no keys or the entry already has
/// secondary keys.
fn set_secondary_keys(entry: &mut LoreEntry, value: &str, logic: KeyLogic) -> bool {
    let keys = value.split(',').map(str::trim);
    let keys: Vec<String> = keys
        .filter(|key| !key.is_empty())
        .map(String::from)
        .collect();
    if keys.is_empty() || !entry.secondary.is_empty() {
        return false;
    }
    entry.secondary = keys;
    entry.selective = true;
    entry.logic = logic;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(content: &str) -> LoreEntry {
        let mut entry = LoreEntry {
            content: content.to_string(),
            ..LoreEntry::default()
        };
        apply_decorators(&mut entry);
        entry
    }

    #[test]
    fn what_an_entry_has_a_field_for_is_carried_out() {
        let entry = with("@@depth 5\n@@scan_depth 2\n@@role system\n@@activate\n\nThe lamp.");
        assert_eq!(entry.content, "The lamp.");
        assert_eq!((entry.position, entry.depth), (InsertPosition::AtDepth, 5));
        assert_eq!((entry.scan_depth, entry.constant), (Some(2), true));
        let entry = with("@@exclude_keys sea, salt\n@@dont_activate_after_match\nThe lamp.");
        assert_eq!(
            (entry.secondary.len(), entry.logic, entry.cooldown),
            (2, KeyLogic::NotAny, Some(FOR_EVER))
        );
        assert!(!with("@@dont_activate\nx").enabled);
        assert!(with("@@dont_activate\n@@activate\nx").enabled);
    }

    #[test]
    fn one_that_is_not_known_gives_way_to_the_next() {
        let entry = with("@@risu_only 4\n@@@scan_depth 7\n@@depth 3\n@@@depth 9\nText");
        assert_eq!((entry.scan_depth, entry.depth), (Some(7), 3));
        assert_eq!(entry.content, "Text");
    }

    #[test]
    fn other_content_is_left_alone() {
        for content in ["@home is here", "The @@depth 5", "", "@@@@x", "  @@ 5\nx"] {
            assert_eq!(with(content).content, content);
        }
        assert_eq!(with("@@depth five\nText").position, InsertPosition::Before);
    }
}
