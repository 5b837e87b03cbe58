//! Renders templates, and determines the values of the variables in them.
//!
//! promptfoo renders templates with Nunjucks. Its syntax differs from that of Jinja only in rare
//! cases.

use crate::import::read;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, UndefinedBehavior};
use serde_json::{Map, Value};
use std::path::Path;

/// The maximum number of steps that rendering a template may take.
const FUEL: u64 = 1_000_000;
/// The maximum number of combinations that the values of a test's variables may have.
const MOST: usize = 10_000;
/// How many times the values of variables are searched for other variables to fill in.
const PASSES: usize = 5;

/// Returns every combination of the values of a test's variables. A variable with a list of texts
/// takes each text in turn as its value.
pub(super) fn combinations(
    test: &Map<String, Value>,
    folder: &Path,
) -> Result<Vec<Map<String, Value>>, String> {
    let vars = match test.get("vars") {
        Some(Value::Object(vars)) => vars,
        None | Some(Value::Null) => return Ok(vec![Map::new()]),
        Some(_) => return Err("its variables are in a file of their own".to_string()),
    };
    let mut all = vec![Map::new()];
    for (name, value) in vars {
        let values = match value {
            Value::Array(values) if values.first().is_some_and(Value::is_string) => values.clone(),
            one => vec![one.clone()],
        };
        let values = values.into_iter().map(|value| loaded(value, folder));
        let values: Vec<Value> = values.collect::<Result<_, _>>()?;
        if all.len() * values.len() > MOST {
            return Err(format!("its variables have more than {MOST} combinations"));
        }
        let with = |vars: &Map<String, Value>, value: &Value| {
            let mut vars = vars.clone();
            vars.insert(name.clone(), value.clone());
            vars
        };
        all = all
            .iter()
            .flat_map(|vars| values.iter().map(move |value| with(vars, value)))
            .collect();
    }
    all.into_iter().map(nested).collect()
}

/// Returns the value of a variable. A value that begins with `file://` is replaced by the content
/// of the file.
fn loaded(value: Value, folder: &Path) -> Result<Value, String> {
    let Some(file) = value.as_str().and_then(|text| text.strip_prefix("file://")) else {
        return Ok(match value {
            // A block of YAML ends with a line break, which is not part of the value.
            Value::String(text) => Value::from(text.strip_suffix('\n').unwrap_or(&text)),
            other => plain_number(other),
        });
    };
    let ending = Path::new(file).extension().and_then(|it| it.to_str());
    match ending {
        Some("txt" | "md" | "json" | "html" | "csv") => {
            Ok(Value::from(read(&folder.join(file))?.trim()))
        }
        Some("yaml" | "yml") => {
            let value = crate::yaml::parse(&read(&folder.join(file))?)?;
            Ok(Value::from(value.to_string()))
        }
        _ => Err(format!(
            "its variable names {file}, which is not a file of text"
        )),
    }
}

/// Converts a number to the form in which JavaScript writes it: a whole number has no decimals.
pub(super) fn plain_number(value: Value) -> Value {
    match value.as_f64() {
        Some(number) if value.is_f64() && number.fract() == 0.0 && number.abs() < 1e15 => {
            Value::from(number as i64)
        }
        _ => value,
    }
}

/// Fills in the variables that the values of other variables contain.
fn nested(mut vars: Map<String, Value>) -> Result<Map<String, Value>, String> {
    for _ in 0..PASSES {
        let mut changed = Map::new();
        for (name, value) in &vars {
            if let Some(text) = value.as_str().filter(|text| text.contains("{{"))
                && knows_all(text, &vars)
            {
                let filled = render(text, &vars)?;
                if filled != text {
                    changed.insert(name.clone(), Value::from(filled));
                }
            }
        }
        if changed.is_empty() {
            break;
        }
        vars.extend(changed);
    }
    Ok(vars)
}

/// Whether every name that follows two opening braces is the name of a variable. Braces in a raw
/// block have no meaning but are counted all the same, as in promptfoo.
fn knows_all(text: &str, vars: &Map<String, Value>) -> bool {
    let name = |part: &'_ str| -> String {
        let part = part.trim_start_matches(['-', ' ']);
        let fits = |c: &char| c.is_alphanumeric() || *c == '_';
        part.chars().take_while(fits).collect()
    };
    text.split("{{")
        .skip(1)
        .all(|part| vars.contains_key(&name(part)))
}

fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    let mut syntax = SyntaxConfig::builder();
    syntax.keep_trailing_newline(true);
    environment.set_syntax(syntax.build()?);
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_fuel(Some(FUEL));
    Ok(environment)
}

/// Renders a template with the variables `vars`.
pub(super) fn render(template: &str, vars: &Map<String, Value>) -> Result<String, String> {
    if !template.contains("{{") && !template.contains("{%") && !template.contains("{#") {
        return Ok(template.to_string());
    }
    // Nunjucks writes nothing for null.
    let known = vars.iter().filter(|(_, value)| !value.is_null());
    let known: Map<String, Value> = known.map(|(name, it)| (name.clone(), it.clone())).collect();
    let rendered = environment().and_then(|it| it.render_str(template, Serde(&known)));
    rendered.map_err(|error| {
        let reason = error
            .detail()
            .map_or_else(|| error.kind().to_string(), str::to_string);
        format!("its template cannot be rendered ({reason})")
    })
}

/// Renders a prompt. If the prompt is JSON, each text in it is rendered separately.
pub(super) fn prompt(template: &str, vars: &Map<String, Value>) -> Result<String, String> {
    match serde_json::from_str::<Value>(template) {
        Ok(value) => {
            let rendered = inside(value, vars)?;
            serde_json::to_string_pretty(&rendered).map_err(|error| error.to_string())
        }
        Err(_) => render(template, vars),
    }
}

fn inside(value: Value, vars: &Map<String, Value>) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => Value::from(render(&text, vars)?),
        Value::Array(values) => {
            let values = values.into_iter().map(|value| inside(value, vars));
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        Value::Object(map) => {
            let entries = map
                .into_iter()
                .map(|(name, value)| Ok::<_, String>((name, inside(value, vars)?)));
            Value::Object(entries.collect::<Result<_, _>>()?)
        }
        other => plain_number(other),
    })
}
