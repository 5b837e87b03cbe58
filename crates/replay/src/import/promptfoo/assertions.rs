//! Converts assertions to expectations, with promptfoo's default values.

use super::list::separated;
use super::pattern;
use super::template::{plain_number, render};
use crate::import::read;
use crate::import::write::{quoted, without_variables};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The default threshold of `levenshtein` in promptfoo.
const LEVENSHTEIN: f64 = 5.0;
/// The default threshold of `rouge-n` in promptfoo.
const ROUGE: f64 = 0.75;
/// The default threshold of `bleu` and `gleu` in promptfoo.
const BLEU: f64 = 0.5;
/// The default threshold of `similar` in promptfoo.
const SIMILAR: f64 = 0.75;

/// The name of illumine's text encoder. An assertion that uses embeddings is imported only if the
/// name of its provider ends with this name.
const ENCODER: &str = "all-MiniLM-L6-v2";

/// The types of assertions that are imported.
const TYPES: &[&str] = &[
    "bleu",
    "contains",
    "contains-all",
    "contains-any",
    "contains-html",
    "contains-json",
    "cost",
    "equals",
    "finish-reason",
    "gleu",
    "icontains",
    "icontains-all",
    "icontains-any",
    "is-json",
    "is-refusal",
    "latency",
    "levenshtein",
    "perplexity",
    "regex",
    "rouge-n",
    "similar",
    "similar:cosine",
    "starts-with",
    "word-count",
];

/// The types of assertions that are not imported. Each row contains several types and the reason.
const OTHERS: &[(&[&str], &str)] = &[
    (
        &[
            "agent-rubric",
            "answer-relevance",
            "classifier",
            "context-faithfulness",
            "context-recall",
            "context-relevance",
            "conversation-relevance",
            "factuality",
            "g-eval",
            "guardrails",
            "llm-rubric",
            "max-score",
            "model-graded-closedqa",
            "model-graded-factuality",
            "moderation",
            "pi",
            "search-rubric",
            "select-best",
        ],
        "it needs a model as a judge",
    ),
    (
        &["javascript", "python", "ruby", "webhook"],
        "it runs a program",
    ),
    (
        &["perplexity-score", "similar:dot", "similar:euclidean"],
        "there is no such expectation",
    ),
    (
        &["is-html"],
        "promptfoo's verdict depends on how its HTML parser repairs the text",
    ),
    (
        &["contains-xml", "is-xml"],
        "promptfoo's verdict depends on its own XML parser",
    ),
    (
        &["contains-sql", "is-sql"],
        "promptfoo's verdict depends on its SQL parser, which knows many dialects",
    ),
    (&["meteor"], "it needs the synonyms of WordNet"),
    (
        &[
            "is-valid-function-call",
            "is-valid-openai-function-call",
            "is-valid-openai-tools-call",
            "skill-used",
            "tool-call-f1",
            "trace-error-spans",
            "trace-span-count",
            "trace-span-duration",
            "trajectory:goal-success",
            "trajectory:step-count",
            "trajectory:tool-args-match",
            "trajectory:tool-sequence",
            "trajectory:tool-used",
        ],
        "a story calls no tools",
    ),
];

/// Whether promptfoo has a type of assertion with this name.
pub(super) fn is_type(name: &str) -> bool {
    let bare = name.strip_prefix("not-").unwrap_or(name);
    TYPES.contains(&bare) || OTHERS.iter().any(|(names, _)| names.contains(&bare))
}

/// The properties of a test that affect how its assertions are imported.
pub(super) struct Scope<'a> {
    pub(super) vars: &'a Map<String, Value>,
    pub(super) folder: &'a Path,
    pub(super) echo: bool,
    pub(super) has_threshold: bool,
}

impl Scope<'_> {
    /// Adds the expectation for an assertion to `expectations`, or the reason why there is none to
    /// `omitted`. For a set of assertions, adds each assertion in the set. `share` is a factor for
    /// the assertion's weight; it is 1 outside a set.
    pub(super) fn add(
        &self,
        assertion: &Value,
        share: f64,
        expectations: &mut Vec<String>,
        omitted: &mut Vec<(String, String)>,
    ) {
        let kind = assertion["type"]
            .as_str()
            .unwrap_or("an assertion without a type");
        let own = assertion["weight"].as_f64().unwrap_or(1.0);
        if kind == "assert-set" {
            let inner = assertion["assert"].as_array().cloned().unwrap_or_default();
            if !assertion["threshold"].is_null() && !self.has_threshold {
                let why = "it has a threshold of its own".to_string();
                omitted.push(("assert-set".to_string(), why));
                return;
            }
            let weight = |it: &Value| it["weight"].as_f64().unwrap_or(1.0);
            let all: f64 = inner.iter().map(weight).sum();
            let share = if all > 0.0 { share * own / all } else { 0.0 };
            for assertion in &inner {
                self.add(assertion, share, expectations, omitted);
            }
            return;
        }
        if own < 0.0 {
            omitted.push((kind.to_string(), "its weight is negative".to_string()));
            return;
        }
        match self.expectation(assertion, kind) {
            Ok(text) => {
                let weight = own * share;
                expectations.push(match weight == 1.0 {
                    true => text,
                    false => format!("weight {weight} {text}"),
                });
            }
            Err(why) => omitted.push((kind.to_string(), why)),
        }
    }

    fn expectation(&self, assertion: &Value, kind: &str) -> Result<String, String> {
        let (not, bare) = match kind.strip_prefix("not-") {
            Some(bare) => ("not-", bare),
            None => ("", kind),
        };
        let unknown = OTHERS.iter().find(|(names, _)| names.contains(&bare));
        if let Some((_, why)) = unknown {
            return Err((*why).to_string());
        }
        for program in ["transform", "contextTransform"] {
            if !assertion[program].is_null() {
                return Err(format!("its {program} is a program"));
            }
        }
        let value = self.value(&assertion["value"])?;
        let threshold = assertion["threshold"].as_f64();
        let below = |name: &str, threshold: f64| match not {
            "" => format!("{name} <= {threshold}"),
            _ => format!("{name} > {threshold}"),
        };
        let above = |name: String, threshold: f64| match not {
            "" => format!("{name} >= {threshold}"),
            _ => format!("{name} < {threshold}"),
        };
        let needed = || threshold.ok_or_else(|| "it has no threshold".to_string());
        Ok(match bare {
            "equals" => match &value {
                Value::Array(_) | Value::Object(_) => {
                    format!("{not}json-schema {}", literal(&json!({"const": value})))
                }
                value => format!("{not}promptfoo-equals {}", quoted(&text(value))),
            },
            "contains" | "icontains" => format!("{not}{bare} {}", quoted(&non_empty(&value)?)),
            "contains-any" | "contains-all" | "icontains-any" | "icontains-all" => {
                let texts = match &value {
                    Value::String(texts) => separated(texts)?,
                    Value::Array(texts) => texts.iter().map(text).collect(),
                    _ => return Err("its value is not a list".to_string()),
                };
                format!("{not}{bare} {}", all_quoted(&texts)?)
            }
            "starts-with" => {
                format!("{not}promptfoo-starts-with {}", quoted(&string(&value)?))
            }
            "regex" => {
                let pattern = pattern::translate(&string(&value)?)
                    .map_err(|why| format!("its pattern is not supported: {why}"))?;
                format!("{not}regex {}", quoted(&pattern))
            }
            "is-json" | "contains-json" => match (self.schema(&value)?, bare) {
                (Some(schema), "is-json") => format!("{not}json-schema {schema}"),
                (Some(schema), _) => format!("{not}contains-json {schema}"),
                (None, _) => format!("{not}{bare}"),
            },
            "levenshtein" => {
                let name = format!("promptfoo-levenshtein {}", quoted(&plain_text(&value)?));
                below(&name, threshold.unwrap_or(LEVENSHTEIN))
            }
            "rouge-n" => {
                let name = format!("promptfoo-rouge-n {}", quoted(&plain_text(&value)?));
                above(name, threshold.unwrap_or(ROUGE))
            }
            "bleu" | "gleu" => {
                let texts = match &value {
                    Value::Array(texts) => {
                        texts.iter().map(plain_text).collect::<Result<_, _>>()?
                    }
                    one => vec![plain_text(one)?],
                };
                let name = format!("promptfoo-{bare} {}", all_quoted(&texts)?);
                above(name, threshold.unwrap_or(BLEU))
            }
            "similar" | "similar:cosine" => {
                let provider = &assertion["provider"];
                let provider = provider.as_str().or(provider["id"].as_str());
                if !provider.is_some_and(|name| name.ends_with(ENCODER)) {
                    return Err(format!("its provider of embeddings is not {ENCODER}"));
                }
                let texts = match &value {
                    Value::Array(texts) => texts.iter().map(text).collect(),
                    one => vec![non_empty(one)?],
                };
                above(
                    format!("similar {}", all_quoted(&texts)?),
                    threshold.unwrap_or(SIMILAR),
                )
            }
            "contains-html" | "is-refusal" => format!("{not}promptfoo-{bare}"),
            "word-count" => word_count(not, &value)?,
            "latency" | "cost" => below(bare, needed()?),
            "perplexity" => threshold.map_or("perplexity > 0".to_string(), |it| below(bare, it)),
            "finish-reason" => self.finish(not, &value)?,
            _ => return Err("promptfoo has no such assertion".to_string()),
        })
    }

    /// Returns the value of an assertion, with its variables filled in.
    fn value(&self, value: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(template) => match template.strip_prefix("file://") {
                Some(file) => self.file(file)?,
                None => Value::from(render(template, self.vars)?),
            },
            Value::Array(values) => {
                let values = values.iter().map(|one| match one {
                    Value::String(_) => self.value(one),
                    other => Ok(plain_number(other.clone())),
                });
                Value::Array(values.collect::<Result<_, _>>()?)
            }
            other => plain_number(other.clone()),
        })
    }

    fn file(&self, file: &str) -> Result<Value, String> {
        let ending = Path::new(file).extension().and_then(|it| it.to_str());
        match ending {
            Some("txt" | "md") => Ok(Value::from(read(&self.folder.join(file))?.trim())),
            Some("json" | "yaml" | "yml") => crate::yaml::parse(&read(&self.folder.join(file))?),
            _ => Err(format!(
                "its value is made by {file}, which a script cannot run"
            )),
        }
    }

    /// Returns the JSON Schema of an assertion as text; None if the assertion has no schema.
    fn schema(&self, value: &Value) -> Result<Option<String>, String> {
        let schema = match value {
            Value::Null | Value::Bool(false) => return Ok(None),
            Value::String(yaml) if yaml.is_empty() => return Ok(None),
            Value::String(yaml) => crate::yaml::parse(yaml)?,
            other => other.clone(),
        };
        match schema {
            Value::Object(_) => Ok(Some(literal(&schema))),
            _ => Err("its schema is not an object".to_string()),
        }
    }

    fn finish(&self, not: &str, value: &Value) -> Result<String, String> {
        if self.echo {
            return Err("promptfoo's echo gives no reason".to_string());
        }
        match value.as_str().map(str::to_lowercase).as_deref() {
            Some("stop") => Ok(format!("{not}finish complete")),
            Some("length") => Ok(format!("{not}finish length")),
            _ => Err("a passage cannot end for this reason".to_string()),
        }
    }
}

/// Formats a JSON value for a script, with double braces escaped.
fn literal(value: &Value) -> String {
    without_variables(&value.to_string())
}

/// Converts a value to the text that JavaScript's `String` returns for it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => plain_number(other.clone()).to_string(),
    }
}

fn plain_text(value: &Value) -> Result<String, String> {
    let text = value.as_str().map(str::to_string);
    text.ok_or_else(|| "its value is not a text".to_string())
}

fn string(value: &Value) -> Result<String, String> {
    match plain_text(value)? {
        text if text.is_empty() => Err("its value is empty".to_string()),
        text => Ok(text),
    }
}

fn non_empty(value: &Value) -> Result<String, String> {
    match value {
        Value::Number(_) => Ok(text(value)),
        other => string(other),
    }
}

fn all_quoted(texts: &[String]) -> Result<String, String> {
    let quoted: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    match quoted.is_empty() {
        true => Err("its list is empty".to_string()),
        false => Ok(quoted.join(" ")),
    }
}

fn word_count(not: &str, value: &Value) -> Result<String, String> {
    let name = format!("{not}promptfoo-word-count");
    let number = |value: &Value| match value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_f64(),
    };
    if let Some(count) = number(value) {
        return Ok(format!("{name} == {count}"));
    }
    match (value["min"].as_f64(), value["max"].as_f64()) {
        (Some(min), Some(max)) if min <= max => Ok(format!("{name} {min}..{max}")),
        (Some(min), None) => Ok(format!("{name} >= {min}")),
        (None, Some(max)) => Ok(format!("{name} <= {max}")),
        _ => Err("its value is neither a number nor a range".to_string()),
    }
}
