//! Reads fields of JSON objects; a field of an unexpected type, or null, counts as missing.

use base::decode::unix_lines;
use base::untrusted::{clean, clean_line};
use serde_json::{Map, Value};

/// Text from a file, without control characters and with `\n` as line endings.
pub fn words(text: &str) -> String {
    clean(&unix_lines(text)).into_owned()
}

pub fn text(map: &Map<String, Value>, key: &str) -> Option<String> {
    map.get(key).and_then(Value::as_str).map(words)
}

/// The text of the first of these fields that has any.
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

/// The integer in a field, unless it is larger than any field needs.
pub fn whole(map: &Map<String, Value>, key: &str) -> Option<i64> {
    let number = real(map, key)?;
    let fits = number.fract() == 0.0 && number.abs() < 1e15;
    fits.then_some(number as i64)
}

pub fn count<T: TryFrom<i64>>(map: &Map<String, Value>, key: &str) -> Option<T> {
    T::try_from(whole(map, key)?).ok()
}

/// A list of texts; a single text is split at commas, as Kobold writes it.
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

/// Text, or a number as text.
fn short_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(words(text)),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The rows of a list, or of an object used as a list, each with its place in the file.
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
