//! Tests that import small files.

use super::*;
use std::collections::BTreeMap;
use std::fs;

/// Imports a file with this name and text, and checks that the resulting script is valid.
fn imported(name: &str, text: &str) -> Imported {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("prompt.txt"), "Tell of {{place}}.\n").unwrap();
    fs::write(
        folder.path().join("rows.csv"),
        "place,__expected,__expected2\nthe sea,icontains: SEA,similar(0.8): water\nhome,home,\n",
    )
    .unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    let imported = import(&path).unwrap();
    let script = folder.path().join("script.illum");
    fs::write(&script, &imported.script).unwrap();
    let loaded = crate::script::load(&script, &BTreeMap::new());
    let loaded = loaded.unwrap_or_else(|errors| panic!("{errors:?}\n{}", imported.script));
    assert_eq!(loaded.cases.len(), imported.cases);
    let expectations = loaded.cases.iter().map(|case| case.expectations());
    assert_eq!(expectations.sum::<usize>(), imported.expectations);
    imported
}

#[test]
fn prompts_variables_and_tests_become_cases() {
    let found = imported(
        "promptfooconfig.yaml",
        "prompts: ['{{who}} lit the {{lamp}}', file://prompt.txt]
providers:
  - id: openai:chat:smollm2
    config: {apiBaseUrl: 'http://127.0.0.1:8080/v1', temperature: 0.2, max_tokens: 20, top_p: 7, presence_penalty: 0.5}
  - {id: openai:chat:x, config: {apiKey: secret, apiBaseUrl: 'http://me:secret@host/v1'}}
defaultTest:
  threshold: 0.5
  vars: {lamp: '{{colour}} lamp', colour: red, place: here}
  assert: [{type: icontains, value: '{{who}}'}]
tests:
  - description: two keepers
    vars: {who: [Ada, '/Tom']}
    assert:
      - {type: not-contains, value: '{% raw %}{{ braces{% endraw %}', weight: 2}
      - {type: word-count, value: {min: 2, max: 9}}
  - options: {disableDefaultAsserts: true}
    vars: {who: Eve, place: \"a {% if colour == 'red' %}red{% endif %} house\"}
",
    );
    for line in [
        "mode chat",
        "# Provider openai:chat:smollm2: run with --backend http://127.0.0.1:8080/v1",
        "set temperature 0.2",
        "set max_tokens 20",
        "# Provider openai:chat:x: choose a model with --model or a server with --backend",
        "case \"test 1: two keepers (1)\"",
        "threshold 0.5",
        "> Ada lit the red lamp",
        "> //Tom lit the red lamp",
        "expect icontains \"/Tom\"",
        "expect weight 2 not-contains \"\\\\{{ braces\"",
        "expect promptfoo-word-count 2..9",
        "> Tell of here.",
        "case \"test 2 (2)\"",
    ] {
        let mut lines = found.script.lines();
        assert!(lines.any(|it| it == line), "{line}\n{}", found.script);
    }
    assert_eq!(
        (found.cases, found.expectations, found.omitted.len()),
        (6, 12, 0)
    );
    assert!(!found.script.contains("secret"), "{}", found.script);
    let unused = "\n# Not used: set top_p 7: ";
    assert!(found.script.contains(unused), "{}", found.script);
}

#[test]
fn what_has_no_equivalent_is_named() {
    let found = imported(
        "a.yaml",
        "prompts: ['{{place}}', file://make.js]
providers: [echo]
scenarios: []
tests:
  - file://rows.csv
  - vars: {place: x}
    assert:
      - {type: llm-rubric, value: is polite}
      - {type: javascript, value: output.length > 2}
      - {type: not-similar, value: water}
      - {type: contains, value: x, transform: output.trim()}
      - {type: regex, value: '(?<'}
      - {type: levenshtein, value: [x]}
      - {type: assert-set, threshold: 0.5, assert: [{type: equals, value: x}]}
      - {type: equls, value: x}
  - {vars: {place: x}, options: {transform: output}}
  - {vars: {place: x}, scenario: 2, assert: [{type: equals, value: 1.0}]}
",
    );
    let all: Vec<String> = found.omitted.iter().map(Omission::to_string).collect();
    for part in [
        "the file: \"scenarios\" is not imported",
        "prompt 2: it is not imported: make.js is not a file of text",
        "test 1: similar is not imported: its provider of embeddings is not all-MiniLM-L6-v2",
        "test 3: llm-rubric is not imported: it needs a model as a judge",
        "test 3: javascript is not imported: it runs a program",
        "test 3: not-similar is not imported",
        "test 3: contains is not imported: its transform is a program",
        "test 3: regex is not imported: its pattern is not supported",
        "test 3: levenshtein is not imported: its value is not a text",
        "test 3: assert-set is not imported: it has a threshold of its own",
        "test 3: equls is not imported: promptfoo has no such assertion",
        "test 4: the test is not imported: its transform is a program",
        "test 5: \"scenario\" is not imported",
    ] {
        assert_eq!(
            all.iter().filter(|one| one.contains(part)).count(),
            1,
            "{part} {all:#?}"
        );
    }
    assert!(
        found.script.contains("\nmodel echo\n") && found.script.contains("# test 3: llm-rubric")
    );
    assert!(
        found.script.contains("expect promptfoo-equals \"1\"\n"),
        "{}",
        found.script
    );
    assert_eq!((found.cases, found.expectations), (4, 3));
}

#[test]
fn samples_of_evals_become_cases() {
    let found = imported(
        "samples.jsonl",
        "{\"input\": [{\"role\": \"system\", \"content\": \"Be brief.\"}, {\"role\": \"user\", \"content\": \"2+2?\\n \\nAnswer:\"}], \"ideal\": \"4\"}
{\"input\": \"Capital of France\", \"ideal\": [\"Paris\", \"paris\"]}

{\"input\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}], \"ideal\": \"x\"}
{\"input\": \"no answer\"}
",
    );
    for line in [
        "mode chat",
        "system \"Be brief.\"",
        "let prompt = \"2+2?\\n \\nAnswer:\"",
        "expect contains \"4\"",
        "expect contains-any \"Paris\" \"paris\"",
    ] {
        assert!(
            found.script.contains(&format!("\n{line}\n")),
            "{line}\n{}",
            found.script
        );
    }
    assert_eq!((found.cases, found.omitted.len()), (2, 2));
    assert!(
        found.omitted[0]
            .to_string()
            .starts_with("line 4: the sample is not imported: it contains earlier answers")
    );
}

#[test]
fn a_file_of_another_kind_is_an_error_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        import(&path).unwrap_err()
    };
    assert!(refused("a.yaml", "a: [").contains("is not YAML"));
    assert!(refused("a.yaml", "name: x").contains("neither prompts nor tests"));
    assert!(refused("a.yaml", "prompts: [x]\ntests: []").contains("no case to import"));
    assert!(refused("a.jsonl", "{").contains("line 1 is not JSON"));
    let looped = "prompts: [x]\nassertionTemplates: {a: {$ref: '#/assertionTemplates/a'}}";
    assert!(refused("a.yaml", looped).contains("lead to each other"));
    assert!(
        import(Path::new("/nowhere.yaml"))
            .unwrap_err()
            .contains("Cannot read")
    );
}
