//! JSON objects in the middle of a text, found as promptfoo finds them.

use serde_json::Value;

/// How far an object may extend, in bytes.
const LONGEST: usize = 100_000;
/// How many braces are tried.
const MOST: usize = 1000;

/// The objects that the text contains. Each begins with a brace and ends with the one that closes
/// it or, if the text ends first, there. What JavaScript would accept counts too, for example keys
/// without quotation marks.
pub fn objects(text: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut from = 0;
    for _ in 0..MOST {
        let Some(start) = text[from..].find('{').map(|at| from + at) else {
            break;
        };
        let (end, open) = closing(text, start);
        let source = format!("{}{}", &text[start..end], "}".repeat(open));
        from = match object(&source) {
            Some(value) => {
                found.push(value);
                end
            }
            None => start + 1,
        };
    }
    found
}

/// Where the brace at `start` is closed, and how many braces are still open there.
fn closing(text: &str, start: usize) -> (usize, usize) {
    let limit = text.floor_char_boundary(text.len().min(start + LONGEST));
    let mut open = 0;
    for (at, byte) in text[start..limit].bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return (start + at + 1, 0);
        }
    }
    (limit, open)
}

fn object(source: &str) -> Option<Value> {
    let value: Option<Value> = serde_json::from_str(source).ok();
    let value = value.or_else(|| crate::yaml::parse(source).ok());
    value.filter(Value::is_object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_are_found_between_words() {
        let text = "First {\"a\": {\"b\": 1}}, then {c: two} and {not closed: [1, 2]";
        let all = [json!({"a": {"b": 1}}), json!({"c": "two"})];
        assert_eq!(objects(text)[..2], all);
        assert!(objects("no braces").is_empty() && objects("}").is_empty());
        assert_eq!(objects("{\"open\": 1"), [json!({"open": 1})]);
    }
}
