//! YAML files as JSON values. Anchors and merge keys are resolved; the parser limits how much they
//! may add up to.

use serde_json::Value;

/// Parses a document.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text).map_err(|error| {
        let message = error.to_string();
        let first = message.lines().next().unwrap_or_default();
        first.trim_start_matches("error: ").to_string()
    })
}
