//! Imports promptfoo's configuration: its prompts, variables, tests and deterministic assertions.
//!
//! As in promptfoo 0.123, each test becomes one case for every combination of a prompt and values
//! of the test's variables.

mod assertions;
mod config;
mod list;
mod pattern;
mod prompts;
mod providers;
mod template;
mod test_list;

use super::{CaseLines, Cases, MOST_CASES, Omission};
use config::Config;
use prompts::Prompt;
use serde_json::{Map, Value};
use std::path::Path;

/// Parses a configuration. `folder` is the folder that contains the files named in the
/// configuration.
pub(super) fn parse(text: &str, folder: &Path) -> Result<Cases, String> {
    let config = Config::parse(text)?;
    let mut omitted = config.omissions();
    let prompts = prompts::load(&config, folder, &mut omitted)?;
    let tests = test_list::load(&config, folder, &mut omitted)?;
    let providers = providers::read(&config);
    let mut cases = Vec::new();
    for (at, test) in tests.iter().enumerate() {
        let mut run = Run {
            number: at + 1,
            test,
            folder,
            echo: providers.echo,
            cases: &mut cases,
            omitted: &mut omitted,
        };
        run.test(&prompts)?;
    }
    Ok(Cases {
        head: providers.head,
        cases,
        omitted,
    })
}

/// A test whose cases are being written.
struct Run<'a> {
    number: usize,
    test: &'a Map<String, Value>,
    folder: &'a Path,
    /// Whether the provider only repeats the prompt.
    echo: bool,
    cases: &'a mut Vec<CaseLines>,
    omitted: &'a mut Vec<Omission>,
}

impl Run<'_> {
    fn omit(&mut self, what: impl Into<String>, why: impl Into<String>) {
        let omission = Omission {
            place: format!("test {}", self.number),
            what: what.into(),
            why: why.into(),
        };
        // The same assertion is left out of every case of the test.
        if !self.omitted.contains(&omission) {
            self.omitted.push(omission);
        }
    }

    /// Writes the cases of the test.
    fn test(&mut self, prompts: &[Prompt]) -> Result<(), String> {
        let options = self.test.get("options").and_then(Value::as_object);
        let transforms = ["transform", "postprocess", "transformVars"];
        let transform = transforms.iter().find(|name| {
            let set = |map: &Map<String, Value>| map.get(**name).is_some_and(|it| !it.is_null());
            options.is_some_and(set)
        });
        if let Some(name) = transform {
            self.omit("the test", format!("its {name} is a program"));
            return Ok(());
        }
        for name in ["assertScoringFunction", "provider", "providers"] {
            if self.test.get(name).is_some_and(|value| !value.is_null()) {
                self.omit(name, "a script has no such setting for one case");
            }
        }
        let chosen: Vec<&Prompt> = prompts.iter().filter(|it| it.is_for(self.test)).collect();
        let combinations = match template::combinations(self.test, self.folder) {
            Ok(combinations) => combinations,
            Err(why) => {
                self.omit("the test", why);
                return Ok(());
            }
        };
        let several = chosen.len() * combinations.len() > 1;
        for (number, (vars, prompt)) in combinations
            .iter()
            .flat_map(|vars| chosen.iter().map(move |prompt| (vars, *prompt)))
            .enumerate()
        {
            if self.cases.len() >= MOST_CASES {
                return Err(format!(
                    "There are more than {MOST_CASES} cases; divide them"
                ));
            }
            let part = several.then_some(number + 1);
            match self.case(vars, prompt, part) {
                Ok(case) => self.cases.push(case),
                Err(why) => self.omit("the test", why),
            }
        }
        Ok(())
    }

    fn case(
        &mut self,
        vars: &Map<String, Value>,
        prompt: &Prompt,
        part: Option<usize>,
    ) -> Result<CaseLines, String> {
        let text = template::prompt(&prompt.of_test(self.test), vars)?;
        if text.trim().is_empty() {
            return Err("its prompt is empty".to_string());
        }
        let mut settings = Vec::new();
        let threshold = self.test.get("threshold").and_then(Value::as_f64);
        settings.extend(threshold.map(|score| format!("threshold {score}")));
        let mut typed = text;
        // A model gets the messages of a chat; the echo gets their JSON.
        if let Some(messages) = messages(&typed).filter(|_| !self.echo) {
            let (system, user) = super::evals::chat(&messages)?;
            let system = system.map(|text| format!("system {}", super::write::quoted(&text)));
            settings.extend(system);
            typed = user;
        }
        let scope = assertions::Scope {
            vars,
            folder: self.folder,
            echo: self.echo,
            has_threshold: threshold.is_some(),
        };
        let all = self.test.get("assert").and_then(Value::as_array);
        let (mut expectations, mut omitted) = (Vec::new(), Vec::new());
        for assertion in all.into_iter().flatten() {
            scope.add(assertion, 1.0, &mut expectations, &mut omitted);
        }
        for (what, why) in omitted {
            self.omit(what, why);
        }
        Ok(CaseLines {
            name: self.name(part),
            settings,
            prompt: typed,
            expectations,
        })
    }

    fn name(&self, part: Option<usize>) -> String {
        let mut name = format!("test {}", self.number);
        let description = self.test.get("description").and_then(Value::as_str);
        if let Some(description) = description.filter(|text| !text.trim().is_empty()) {
            name += &format!(": {}", description.trim());
        }
        if let Some(part) = part {
            name += &format!(" ({part})");
        }
        name
    }
}

/// Parses a prompt that is a chat in JSON, and returns the messages of the chat. Returns None for
/// any other prompt.
fn messages(text: &str) -> Option<Vec<Value>> {
    let parsed: Value = serde_json::from_str(text).ok()?;
    let messages = parsed.as_array()?;
    let is = |message: &Value| message["role"].is_string() && !message["content"].is_null();
    (!messages.is_empty() && messages.iter().all(is)).then(|| messages.clone())
}
