//! Finds JSON objects in the middle of a text, as promptfoo does.

use serde_json::Value;

/// The maximum length of an object, in bytes.
const LONGEST: usize = 100_000;
/// The maximum number of opening braces that are tried as the beginning of an object.
const MOST: usize = 1000;

/// Returns the objects that the text contains. An object begins with an opening brace and ends with
/// the matching closing brace; if the text ends first, the missing braces are added. An object may
/// also be in a looser notation than JSON, for example with keys that are not quoted.
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

/// Finds the end of the object that begins at `start`. Returns the position after its closing brace
/// or, if that brace is missing, the position where the search ended. The second number is the
/// number of braces that are still open.
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
