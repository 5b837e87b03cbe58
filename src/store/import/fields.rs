//! Reads fields of JSON objects. A field counts as missing if it is null or has an unexpected type.

use base::decode::unix_lines;
use base::untrusted::{clean, clean_line};
use serde_json::{Map, Value};

/// Cleans text from a file: removes control characters and converts line endings to `\n`.
pub fn words(text: &str) -> String {
    clean(&unix_lines(text)).into_owned()
}

pub fn text(map: &Map<String, Value>, key: &str) -> Option<String> {
    map.get(key).and_then(Value::as_str).map(words)
}

/// The text of the first field in `keys` that contains more than white space.
pub fn first_text(map: &Map<String, Value>, keys: &[&str]) -> Option<String> {
    let mut texts = keys.iter().filter_map(|key| text(map, key));
    texts.find(|text| !text.trim().is_empty())
}

pub fn line(map: &Map<String, Value>, key: &str) -> Option<String> {
    text(map, key).map(|text| clean_line(&text))
}

pub fn flag(map: &Map<String, Value>, key: &str) -> Option<bool> {
    match map.get(key)? {
        Value::Bool(flag) => Some(*flag),
        // Some programs write 0 and 1.
        Value::Number(number) => number
            .as_i64()
            .filter(|n| (0..=1).contains(n))
            .map(|n| n == 1),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

pub fn real(map: &Map<String, Value>, key: &str) -> Option<f64> {
    match map.get(key)? {
        // Kobold writes some numbers as text.
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_f64(),
    }
    .filter(|number: &f64| number.is_finite())
}

/// The integer in a field; None if the number has a fraction or has more than 15 digits.
pub fn whole(map: &Map<String, Value>, key: &str) -> Option<i64> {
    let number = real(map, key)?;
    let fits = number.fract() == 0.0 && number.abs() < 1e15;
    fits.then_some(number as i64)
}

pub fn count<T: TryFrom<i64>>(map: &Map<String, Value>, key: &str) -> Option<T> {
    T::try_from(whole(map, key)?).ok()
}

/// The list of texts in a field. If the field is a string, the string is split at commas, since
/// Kobold writes lists in this form.
pub fn texts(map: &Map<String, Value>, key: &str) -> Option<Vec<String>> {
    match map.get(key)? {
        Value::Array(values) => Some(values.iter().filter_map(short_text).collect()),
        Value::Object(values) => Some(values.values().filter_map(short_text).collect()),
        Value::String(text) => {
            let keys = text.split(',').map(str::trim).filter(|key| !key.is_empty());
            Some(keys.map(words).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Returns a JSON string or number as text; None for any other JSON value.
fn short_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(words(text)),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The rows of a JSON list, or of a JSON object used as a list. Each row comes with a description
/// of its place, for notices.
pub fn rows(value: &Value) -> Option<Vec<(String, &Value)>> {
    match value {
        Value::Array(rows) => {
            let place = |at: usize| format!("number {}", at + 1);
            Some(
                rows.iter()
                    .enumerate()
                    .map(|(at, row)| (place(at), row))
                    .collect(),
            )
        }
        Value::Object(rows) => {
            let place = |key: &String| format!("\"{}\"", clean_line(key));
            Some(rows.iter().map(|(key, row)| (place(key), row)).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
