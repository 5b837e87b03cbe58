//! Tests that scripts are parsed and that errors in them are reported.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fs;

fn load_files(files: &[(&str, &str)]) -> Result<Script, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let path = folder.path().join(files[0].0);
    let start = format!("{}/", folder.path().display());
    load(&path, &BTreeMap::new()).map_err(|errors| {
        errors
            .iter()
            .map(|e| e.to_string().replace(&start, ""))
            .collect()
    })
}

fn parsed(body: &str) -> Result<Script, Vec<String>> {
    load_files(&[("a.illum", &format!("{HEADER}\n{body}"))])
}

fn lines(case: &Case) -> Vec<&str> {
    let text = |step: &'_ Step| match step {
        Step::Line { text, .. } => Some(text.clone()),
        Step::Expect(_) => None,
    };
    let lines = case.steps.iter().filter_map(text);
    lines.map(|line| &*line.leak()).collect()
}

#[test]
fn lines_before_the_first_case_belong_to_every_case() {
    let script = parsed(
        "set seed 7 temp 0.5\nlet who = Ada\n> {{who}} sat\n\ncase one\n> One \\\n  more\nexpect words 1..9\n# note\ncase \"two\"\nset seed 8\n/retry seed=3\n>\n",
    );
    let errors = script.unwrap_err();
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0].starts_with("a.illum:12:1: set must come before"),
        "{errors:?}"
    );
    let script = parsed("set seed 7\nlet who = Ada\n> {{who}} sat\ncase one\n> One \\\n  more\nexpect words 1..9\ncase \"two\"\n/retry seed=3\n>\n").unwrap();
    let [one, two] = &script.cases[..] else {
        panic!("{script:?}")
    };
    assert_eq!((one.name.as_str(), two.name.as_str()), ("one", "two"));
    assert_eq!(lines(one), ["Ada sat", "One\n  more"]);
    assert_eq!(lines(two), ["Ada sat", "/retry seed=3", ""]);
    assert_eq!((one.expectations(), two.expectations()), (1, 0));
    assert_eq!(
        two.settings.sampling,
        [("seed".to_string(), "7".to_string())]
    );
}

#[test]
fn a_slip_is_answered_with_its_place_and_the_nearest_word() {
    for (line, error) in [
        (
            "expct words 3",
            "a.illum:2:1: Unknown word \"expct\"; did you mean expect?",
        ),
        (
            "  expect contians x",
            "a.illum:2:10: Unknown expectation \"contians\"; did you mean contains?",
        ),
        (
            "expect story not-contians x",
            "a.illum:2:14: Unknown expectation \"not-contians\"; did you mean not-contains?",
        ),
        (
            "expect finish lenght",
            "a.illum:2:15: Unknown reason \"lenght\"; did you mean length?",
        ),
        (
            "expect language Frnch",
            "a.illum:2:17: Unknown language \"frnch\"; did you mean French?",
        ),
        (
            "expect words <= many",
            "a.illum:2:17: \"many\" is not a number",
        ),
        (
            "expect story tokens 3",
            "a.illum:2:14: tokens is not about a text; write it without story",
        ),
        (
            "expect not-words <= 3",
            "a.illum:2:8: words takes no not-; write the opposite comparison",
        ),
        (
            "expect equals \"a",
            "a.illum:2:15: The quotation mark is not closed; end the text with \"",
        ),
        ("expect regex /[/", "a.illum:2:14: The pattern is invalid"),
        ("expect golden ../x", "a.illum:2:15: A golden's name"),
        (
            "expect picture-hash ../no.png <= 4",
            "a.illum:2:21: Cannot read ../no.png",
        ),
        (
            "expect json-schema {\"type\": 3}",
            "a.illum:2:20: The schema is invalid",
        ),
        (
            "set temprature 1",
            "a.illum:2:5: unknown setting \"temprature\"; did you mean temperature?",
        ),
        ("set temperature hot", "a.illum:2:17: temperature takes"),
        (
            "let nam = x\n> {{name}}",
            "a.illum:3:3: Unknown variable \"name\"; did you mean nam?",
        ),
        ("> {{name", "a.illum:2:3: The variable is not closed"),
        (
            "/rtery",
            "a.illum:2:1: Unknown command /rtery; did you mean /retry?",
        ),
        ("> a\n/quit", "a.illum:3:1: A case ends"),
        ("/open other", "a.illum:2:1: A case is a private session"),
        (
            "/export md story.md",
            "a.illum:2:1: A replay writes no files",
        ),
        (
            "kv f16",
            "a.illum:2:1: A script does not choose this; use --kv",
        ),
        (
            "case a\n> x\ncase a\n> y",
            "a.illum:4:6: There is already a case \"a\"",
        ),
        (
            "> x\nexpect golden a\n> y\nexpect golden A",
            "a.illum:5:8: The golden A is used twice",
        ),
        ("matrix set seed\n> x", "a.illum:2:8: matrix takes"),
        (
            "matrix set sed 1 2\n> x",
            "a.illum:2:12: unknown setting \"sed\"; did you mean seed?",
        ),
        ("rows none.csv\n> x", "a.illum:2:6: Cannot read"),
        (
            "repeat 0\n> x",
            "a.illum:2:8: repeat takes a number of runs",
        ),
        (
            "repeat 3 >= 1\n> x",
            "a.illum:2:10: After the number, write pass-rate",
        ),
        (
            "threshold high\n> x",
            "a.illum:2:11: threshold takes the score",
        ),
        (
            "> x\nexpect weight two contains x",
            "a.illum:3:15: weight takes a number",
        ),
        (
            "> x\nthreshold 0.5",
            "a.illum:3:1: threshold must come before the lines",
        ),
        (
            "repeat 3\n> x\nexpect golden a",
            "a.illum:4:8: A repeated case has no goldens",
        ),
        ("", "a.illum:1:1: The script has no lines to run"),
    ] {
        let errors = parsed(line).unwrap_err();
        assert!(errors[0].contains(error), "{line:?}: {errors:?}");
        assert_eq!(errors.len(), 1, "{errors:?}");
    }
}

#[test]
fn what_is_no_script_is_refused() {
    for (text, why) in [
        ("> hello", "its first line must be illumine-replay 1"),
        (
            "illumine-replay 2\n> x",
            "a.illum:1:1: The script has version 2",
        ),
        ("{\"illumine-replay\": 9}", "version 9"),
        ("{\"illumine-replay\": 1, \"case\": []}", "unknown field"),
        ("", "its first line must be"),
    ] {
        let errors = load_files(&[("a.illum", text)]).unwrap_err();
        assert!(errors[0].contains(why), "{text:?}: {errors:?}");
    }
    let missing = load(Path::new("/no/such.illum"), &BTreeMap::new()).unwrap_err();
    assert!(
        missing[0].to_string().contains("Cannot read"),
        "{missing:?}"
    );
}

#[test]
fn files_include_each_other_but_not_themselves() {
    let common = format!("{HEADER}\nset seed 1\nlet name = Ada\n");
    let main = format!("{HEADER}\ninclude common.illum\n> {{{{name}}}} sat\n");
    let script = load_files(&[("a.illum", &main), ("common.illum", &common)]).unwrap();
    assert_eq!(lines(&script.cases[0]), ["Ada sat"]);
    assert_eq!(script.cases[0].name, "a");
    let one = format!("{HEADER}\ninclude b.illum\n> x\n");
    let other = format!("{HEADER}\ninclude ./a.illum\n");
    let errors = load_files(&[("a.illum", &one), ("b.illum", &other)]).unwrap_err();
    assert_eq!(
        errors,
        ["b.illum:2:9: The file includes itself; remove this line"]
    );
    let errors = parsed("include none.illum\n> x").unwrap_err();
    assert!(
        errors[0].starts_with("a.illum:2:9: Cannot read"),
        "{errors:?}"
    );
}

#[test]
fn a_matrix_and_rows_make_a_case_for_each_combination() {
    let main = format!(
        "{HEADER}\nmatrix set seed 1 2\ncase {{{{name}}}}\nrows people.csv\n> {{{{name}}}} {{{{act}}}}\nexpect golden night\ncase other\nmatrix let who Ada \"B C\"\n> {{{{who}}}}\n"
    );
    let rows = "name,act\nAda,\"sat, and\nsat\"\nBob,stood\n";
    let script = load_files(&[("a.illum", &main), ("people.csv", rows)]).unwrap();
    let names: Vec<&str> = script.cases.iter().map(|case| case.name.as_str()).collect();
    let expected = [
        "Ada [seed=1, row 1]",
        "Bob [seed=1, row 2]",
        "Ada [seed=2, row 1]",
        "Bob [seed=2, row 2]",
        "other [seed=1, who=Ada]",
        "other [seed=1, who=B C]",
        "other [seed=2, who=Ada]",
        "other [seed=2, who=B C]",
    ];
    assert_eq!(names, expected);
    assert_eq!(lines(&script.cases[2]), ["Ada sat, and\nsat"]);
    let seed = ("seed".to_string(), "2".to_string());
    assert_eq!(script.cases[2].settings.sampling, [seed]);
    let goldens: BTreeSet<String> = script.cases[..4]
        .iter()
        .map(|case| match &case.steps[1] {
            Step::Expect(expectation) => match &expectation.check {
                crate::expect::Check::Golden(name) => name.clone(),
                other => panic!("{other:?}"),
            },
            step => panic!("{step:?}"),
        })
        .collect();
    assert_eq!(goldens.len(), 4, "{goldens:?}");
    assert!(
        goldens
            .iter()
            .all(|name| crate::golden::check_name(name).is_ok()),
        "{goldens:?}"
    );
    let main = format!("{HEADER}\nrows p.jsonl\n> {{{{a}}}} {{{{b}}}}\n");
    let rows = "{\"a\": \"{{x}}\", \"b\": 3}\n\n{\"a\": null, \"b\": [1]}\n";
    let script = load_files(&[("a.illum", &main), ("p.jsonl", rows)]).unwrap();
    assert_eq!(lines(&script.cases[0]), ["{{x}} 3"]);
    assert_eq!(
        (script.cases[1].name.as_str(), lines(&script.cases[1])),
        ("a [row 2]", vec![" [1]"])
    );
}

#[test]
fn the_json_form_has_the_same_lines() {
    let json = r#"{"illumine-replay": 1, "lines": ["set seed 3"],
        "cases": [{"name": "one", "lines": ["> Two\nlines", "expect words >= 1"]}]}"#;
    let script = load_files(&[("a.json", json)]).unwrap();
    assert_eq!(lines(&script.cases[0]), ["Two\nlines"]);
    assert_eq!(script.cases[0].expectations(), 1);
}

#[test]
fn variables_from_the_command_line_override_the_script() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.illum");
    fs::write(
        &path,
        format!("{HEADER}\nlet a = 1\n> {{{{a}}}} \\{{{{b}}}}\n"),
    )
    .unwrap();
    let given = BTreeMap::from([("a".to_string(), "2".to_string())]);
    let script = load(&path, &given).unwrap();
    assert_eq!(lines(&script.cases[0]), ["2 {{b}}"]);
}

#[test]
fn the_first_script_is_sound() {
    let script = load_files(&[("first.illum", crate::FIRST_SCRIPT)]).unwrap();
    assert!(script.cases.iter().all(|case| case.expectations() > 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_is_parsed_or_refused_in_sentences(body in "(?s).{0,200}", words in "(expect |> |set |let |/|case )[ -~]{0,40}") {
        for text in [&body, &words] {
            if let Err(errors) = parsed(text) {
                prop_assert!(errors.iter().all(|error| !error.contains('\n')));
            }
        }
    }
}
