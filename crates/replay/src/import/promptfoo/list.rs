//! Parses comma-separated lists of texts. Some assertions have such a list as their value.

/// Returns the texts in a comma-separated list. A text in quotation marks may contain commas.
pub(super) fn separated(list: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut rest = list.trim_start_matches([',', ' ', '\t', '\n', '\r']);
    while !rest.is_empty() {
        let field = match rest.strip_prefix('"') {
            Some(inside) => {
                let (field, after) = quoted_field(inside)?;
                rest = after.trim_start();
                if !rest.is_empty() && !rest.starts_with(',') {
                    return Err("its list lacks a comma after a quotation mark".to_string());
                }
                field
            }
            None => {
                let (field, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                rest = after;
                field.trim().to_string()
            }
        };
        found.push(field);
        rest = rest.trim_start_matches([',', ' ', '\t', '\n', '\r']);
    }
    Ok(found)
}

/// Returns the text before the closing quotation mark, and the text after it. A quotation mark that
/// belongs to the text is doubled or follows a backslash.
fn quoted_field(inside: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut chars = inside.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, c)| *c);
        match (c, next) {
            ('\\', Some(escaped @ ('"' | '\\'))) | ('"', Some(escaped @ '"')) => {
                field.push(escaped);
                chars.next();
            }
            ('"', _) => return Ok((field, &inside[at + 1..])),
            (other, _) => field.push(other),
        }
    }
    Err("its list lacks a closing quotation mark".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_separate_texts_and_quotation_marks_keep_them() {
        let found = separated(" sea,, the lamp , \"one, two\", \"a \"\"b\"\" \\\"c\"").unwrap();
        assert_eq!(found, ["sea", "the lamp", "one, two", "a \"b\" \"c"]);
        assert!(separated("").unwrap().is_empty());
        assert!(separated("\"open").is_err() && separated("\"a\" b").is_err());
    }
}
