//! Parses YAML files as JSON values. Anchors and merge keys are resolved, within limits on the size
//! of the result.

use serde_json::Value;

/// Parses a document by the rules of YAML 1.2, in which `yes` and `n` are strings and not booleans.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let message = error.to_string();
        let first = message.lines().next().unwrap_or_default();
        first.trim_start_matches("error: ").to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn anchors_and_merge_keys_are_resolved_within_limits() {
        let merged = parse("a: &x {k: 1, n: yes}\nb: {<<: *x, m: ~}\n").unwrap();
        assert_eq!(merged["b"], json!({"k": 1, "n": "yes", "m": null}));
        let lines = (1..9).map(|n| {
            format!(
                "a{n}: &a{n} [*a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}]\n",
                n - 1
            )
        });
        let bomb = format!("a0: &a0 x\n{}", lines.collect::<String>());
        assert!(parse(&bomb).unwrap_err().contains("budget"));
    }
}
