//! Tests that expectations are parsed and are checked against texts.

use super::*;
use crate::golden::Goldens;
use crate::position::Position;
use crate::words::{Rest, Variables};
use std::path::Path;
use story::message::Measurement;

fn expectation(line: &str, folder: &Path) -> Expectation {
    let at = Position {
        file: "a.illum".into(),
        line: 2,
        column: 8,
    };
    parse::parse(&Rest::new(line, at), &Variables::new(), folder).unwrap()
}

const TEXT: &str = " The lamp went out. Nobody saw it.\n";

fn check_with(line: &str, change: impl FnOnce(&mut Observed)) -> Finding {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = Observed {
        text: TEXT,
        story: "Night. The lamp went out. Nobody saw it.\n",
        answer: "Unknown setting",
        refused: None,
        status: Some(Status::Length),
        tokens: Some(9),
        milliseconds: 12.5,
        tokens_per_second: Some(80.0),
        versions: vec![TEXT, " The lamp went out."],
        pictures: vec![Vec::new().into()],
        picture_style: Some("oil"),
        picture_concepts: vec!["dragon", "cave"],
        cost: Some(0.0),
        measured: None,
        passage: &|place| match place {
            "1" => Ok("The lamp went out. Nobody saw it.".to_string()),
            "2" => Ok("The lamp.".to_string()),
            _ => Err("There is no passage 9".to_string()),
        },
    };
    change(&mut seen);
    let goldens = Goldens::of(&folder.path().join("a.illum"), false);
    expectation(line, folder.path()).check(&seen, &goldens)
}

fn check(line: &str) -> Finding {
    check_with(line, |_| {})
}

#[test]
fn what_holds_passes_and_its_opposite_fails() {
    for line in [
        "equals The lamp went out. Nobody saw it.",
        "contains \"lamp went\"",
        "contains lamp went",
        "contains-any gull lamp",
        "contains-all lamp saw",
        "icontains LAMP",
        "icontains-any GULL LAMP",
        "icontains-all LAMP \"saw IT\"",
        "regex /^ the .*OUT/i",
        "starts-with The",
        "ends-with it.",
        "one-of gull \"The lamp went out. Nobody saw it.\"",
        "same-as 1",
        "longer-than 2",
        "promptfoo-equals \" The lamp went out. Nobody saw it.\\n\"",
        "promptfoo-starts-with \" The\"",
        "picture-style oil",
        "finish length",
        "story starts-with Night",
        "answer contains setting",
    ] {
        let finding = check(line);
        assert!(finding.passed, "{line}: {finding:?}");
        let (target, kind) = match line.split_once(' ').unwrap() {
            (target @ ("story" | "answer"), kind) => (format!("{target} "), kind),
            _ => (String::new(), line),
        };
        let opposite = check(&format!("{target}not-{kind}"));
        assert!(
            !opposite.passed && opposite.why.contains("does not hold"),
            "{line}: {opposite:?}"
        );
    }
}

#[test]
fn numbers_are_compared() {
    for line in [
        "words == 7",
        "sentences = 2",
        "characters 30..40",
        "tokens <=9",
        "levenshtein \"The lamp went out. Nobody saw me.\" == 2",
        "bleu \"The lamp went out. Nobody saw it.\" > 99",
        "rouge-1 \"the lamp\" \"The lamp went out; nobody saw it\" >= 1",
        "rouge-2 \"the lamp\" < 1",
        "rouge-l \"lamp out\" > 0.4",
        "repetition == 0",
        "distinct-1 == 1",
        "self-bleu 1..99",
        "latency < 13",
        "tokens-per-second >= 80",
        "pictures == 1",
        "overlap-with 1 == 1",
        "cost == 0",
        "promptfoo-word-count == 7",
        "promptfoo-levenshtein \"The lamp went out. Nobody saw it.\" == 2",
        "promptfoo-rouge-n \"the lamp went out . nobody saw it .\" > 0.8",
        "promptfoo-gleu \"gull\" \"the lamp went out nobody saw\" > 0.7",
        "promptfoo-bleu \"gull\" \"the lamp went out. nobody saw it.\" >= 1",
    ] {
        let finding = check(line);
        assert!(
            finding.passed && finding.measured.is_some(),
            "{line}: {finding:?}"
        );
    }
    assert_eq!(
        check("words >= 8").why,
        "The number of words in the passage is 7, but at least 8 is expected."
    );
    let none = check_with("tokens <= 9", |seen| seen.tokens = None);
    assert!(
        !none.passed && none.why.contains("was not generated"),
        "{none:?}"
    );
    let one = check_with("self-bleu <= 9", |seen| seen.versions.truncate(1));
    assert!(one.why.contains("only one version"), "{one:?}");
}

#[test]
fn json_objects_are_found_in_a_text() {
    let with = |line: &str| check_with(line, |seen| seen.text = "So: {\"year\": 1850}.");
    assert!(
        with("contains-json").passed && with("not-contains-json {\"minProperties\": 2}").passed
    );
    assert!(with("contains-json {\"required\": [\"year\"]}").passed);
    assert!(!check("contains-json").passed);
}

#[test]
fn a_model_is_asked_first_and_its_answer_compared() {
    let question = |line: &str| {
        let folder = tempfile::tempdir().unwrap();
        let mut asked = None;
        let expected = expectation(line, folder.path());
        check_with("words > 0", |seen| asked = expected.question(seen));
        asked
    };
    let similarity = |text: &str, others: &[&str]| {
        let (text, others) = (text.to_string(), others.iter().map(ToString::to_string));
        Some(Measurement::Similarity {
            text,
            others: others.collect(),
        })
    };
    let text = "The lamp went out. Nobody saw it.";
    assert_eq!(
        question("similar \"dark\" \"light\" > 0.5"),
        similarity(text, &["dark", "light"])
    );
    assert_eq!(
        question("similar-to 2 > 0"),
        similarity(text, &["The lamp."])
    );
    assert_eq!(
        question("picture-shows \"monster\" > 0.3"),
        similarity("monster", &["dragon", "cave"])
    );
    let perplexity = Some(Measurement::Perplexity {
        before: "Night.".to_string(),
        text: TEXT.to_string(),
    });
    assert_eq!(question("perplexity < 20"), perplexity);
    assert_eq!(question("words > 3"), None);
    let measured = |line: &str| check_with(line, |seen| seen.measured = Some(0.75));
    let similar = measured("similar \"dark\" > 0.5");
    assert_eq!((similar.passed, similar.score), (true, 0.75));
    assert_eq!(measured("similar \"dark\" < 0.5").score, 0.25);
    assert_eq!(measured("perplexity < 0.5").score, 0.0);
    let empty = check_with("perplexity < 9", |seen| seen.text = " ");
    assert!(empty.why.contains("empty text"), "{empty:?}");
}

#[test]
fn a_weight_stands_first() {
    let folder = tempfile::tempdir().unwrap();
    let weighted = expectation("weight 2.5 story contains lamp", folder.path());
    assert_eq!((weighted.weight, weighted.target), (2.5, Target::Story));
    assert_eq!(weighted.source, "weight 2.5 story contains lamp");
    assert_eq!(expectation("contains lamp", folder.path()).weight, 1.0);
}

#[test]
fn a_failure_explains_itself() {
    let finding = check("equals The lamp went off. Nobody saw it.");
    assert_eq!(
        finding.difference.as_deref(),
        Some("The lamp went [-off-]{+out+}. Nobody saw it.")
    );
    assert_eq!(
        check("contains gull").why,
        "The passage does not contain \"gull\"."
    );
    assert_eq!(check("contains gull").actual.as_deref(), Some(TEXT));
    let several = check("contains-all lamp gull crab").why;
    assert_eq!(several, "The passage lacks \"gull\", \"crab\".");
    let missing = check("golden night");
    assert!(
        !missing.passed && missing.why.contains("--update-golden"),
        "{missing:?}"
    );
    let place = check("not-same-as 9");
    assert_eq!(
        (place.passed, place.why.as_str()),
        (false, "There is no passage 9")
    );
    let levenshtein = check("levenshtein \"The lamp went off. Nobody saw it.\" <= 1");
    assert!(levenshtein.difference.is_some(), "{levenshtein:?}");
}

#[test]
fn json_is_checked_against_a_schema() {
    let schema = r#"json-schema {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}"#;
    let json = |text: &'static str| check_with(schema, move |seen| seen.text = text);
    assert!(json(" {\"name\": \"Ada\"}\n").passed);
    let wrong = json("{\"name\": 3}");
    assert!(wrong.why.contains("/name"), "{wrong:?}");
    assert!(json("{}").why.contains("name"));
    assert!(json("Ada").why.contains("is not JSON"));
    assert!(!check("is-json").passed && check("not-is-json").passed);
}

#[test]
fn a_language_is_recognized() {
    let german = "Der Leuchtturmwärter hatte seit drei Tagen nicht mehr gesprochen.";
    let with = |line| check_with(line, |seen| seen.text = german);
    assert!(with("language de").passed && with("not-language French").passed);
    assert!(
        with("language en")
            .why
            .contains("is German, but English is expected")
    );
}

#[test]
fn a_refusal_can_be_expected() {
    assert_eq!(check("refused anything").why, "The line was not refused.");
    let refused = check_with("refused empty", |seen| {
        seen.refused = Some("The story is empty")
    });
    assert!(refused.passed);
}

#[test]
fn pictures_have_a_size_and_a_hash() {
    let folder = tempfile::tempdir().unwrap();
    let picture = |shade: u8| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let drawn = image::RgbImage::from_fn(24, 16, |x, y| {
            image::Rgb([if x + y < 20 { shade } else { 250 }; 3])
        });
        drawn.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    std::fs::write(folder.path().join("a.png"), picture(10)).unwrap();
    let with = |line: &str| {
        let passage = |_: &str| Err(String::new());
        let seen = Observed {
            text: "",
            story: "",
            answer: "",
            refused: None,
            status: None,
            tokens: None,
            milliseconds: 0.0,
            tokens_per_second: None,
            versions: Vec::new(),
            pictures: vec![picture(30).into()],
            picture_style: None,
            picture_concepts: Vec::new(),
            cost: None,
            measured: None,
            passage: &passage,
        };
        let goldens = Goldens::of(&folder.path().join("a.illum"), false);
        expectation(line, folder.path()).check(&seen, &goldens)
    };
    assert!(with("picture-size 24x16").passed && with("pictures == 1").passed);
    assert!(with("picture-hash a.png <= 4").passed);
    assert!(with("picture-size 24x24").why.contains("24x16"));
    let missing = with("picture-hash new/b.PNG <= 4");
    assert!(
        !missing.passed
            && missing
                .why
                .contains("b.PNG yet; --update-golden writes it.")
    );
    let new = missing.picture.unwrap();
    assert_eq!(
        (new.name.as_str(), &*new.bytes),
        ("new/b.PNG", &*picture(30))
    );
    new.write().unwrap();
    assert!(with("picture-hash new/b.PNG <= 0").passed);
    let none = check_with("picture-size 1x1", |seen| seen.pictures.clear());
    assert_eq!(none.why, "The last line drew no picture.");
}

#[test]
fn the_syntax_files_list_every_expectation() {
    for (name, text) in [
        (
            "vim",
            include_str!("../../../../docs/editors/vim/syntax/illum.vim"),
        ),
        (
            "vscode",
            include_str!("../../../../docs/editors/vscode/syntaxes/illum.tmLanguage.json"),
        ),
        (
            "helix",
            include_str!("../../../../docs/editors/helix/queries/illum/highlights.scm"),
        ),
    ] {
        let part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let words: Vec<&str> = text.split(|c| !part_of_name(c)).collect();
        for kind in kinds::all() {
            assert!(words.contains(&kind.name), "{name} lacks {}", kind.name);
        }
    }
}

#[test]
fn the_documentation_lists_every_expectation() {
    let documentation = include_str!("../../../../docs/replay.md");
    for kind in kinds::all() {
        let usage = format!("{} {}", kind.name, kind.args.replace('|', "\\|"));
        let row = format!("| `{}` | {} |\n", usage.trim_end(), kind.help);
        assert!(documentation.contains(&row), "docs/replay.md lacks {row}");
    }
}
