//! Reads fields of JSON objects; a field of an unexpected type counts as missing.

use base::untrusted::clean;
use serde_json::{Map, Value};

pub fn text(map: &Map<String, Value>, key: &str) -> Option<String> {
    let text = map.get(key).and_then(Value::as_str)?;
    Some(clean(text).into_owned())
}

pub fn flag(map: &Map<String, Value>, key: &str) -> Option<bool> {
    map.get(key).and_then(Value::as_bool)
}

pub fn real(map: &Map<String, Value>, key: &str) -> Option<f64> {
    match map.get(key)? {
        // Kobold writes some numbers as text.
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_f64(),
    }
    .filter(|number: &f64| number.is_finite())
}

/// An integer in a range that every field can hold.
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
        Value::Array(values) => {
            let texts = values.iter().filter_map(Value::as_str);
            Some(texts.map(|text| clean(text).into_owned()).collect())
        }
        Value::String(text) => {
            let keys = text.split(',').map(str::trim).filter(|key| !key.is_empty());
            Some(keys.map(|key| clean(key).into_owned()).collect())
        }
        _ => None,
    }
}
