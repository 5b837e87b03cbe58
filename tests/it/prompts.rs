//! Tests voices and prompt templates with the real default model.

use crate::support::Home;
use illumine::store::prompts::SHIPPED;
use serde_json::Value;
use story::voice::PromptTemplate;

#[test]
fn the_whole_template_is_read() {
    let home = Home::new();
    let args = ["write", "--template", "game-level", "--json", "-n", "4"];
    let output = home.illumine(&args).run().expect(0);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!report["text"].as_str().unwrap().trim().is_empty());
    let (_, text) = SHIPPED
        .iter()
        .find(|(name, _)| *name == "game-level")
        .unwrap();
    let template = PromptTemplate::parse("game-level", text).unwrap();
    // A token is at most a few letters, so this many tokens contain the whole template.
    let read = report["prompt_ids"].as_array().unwrap().len();
    assert!(read * 8 > template.body.len(), "{read} tokens");
}

#[test]
fn a_voice_is_filled_in_and_gives_the_first_words() {
    let home = Home::new();
    home.file(".config/illumine/prompts/mine.md", "+++\ntitle = \"Mine\"\nbegin = \"{{ who }} woke\"\n[variables]\nwho = \"Ada\"\n[sampling]\ntemperature = 0.3\n+++\nA dream of {{ who }}.");
    let lines =
        "/voice mine who=Old Per\n/continue 3\n/set temperature\n/voice\n/voice none\n/voice\n";
    let output = home
        .illumine(&["repl", "s", "--seed", "5"])
        .input(lines)
        .run()
        .expect(0);
    let said = output.text();
    assert!(said.contains("A dream of Old Per."), "{said}");
    assert!(
        said.contains("temperature 0.3") && said.contains("short-story"),
        "{said}"
    );
    let story = home.recovered("s").story;
    assert!(story.path()[0].text == "Old Per woke" && story.path().len() == 2);
    let output = home
        .illumine(&["repl", "s"])
        .input("/voice shrt-story\n/voice poem plce=x\n")
        .run();
    assert!(
        output.stderr.contains("did you mean short-story?"),
        "{}",
        output.stderr
    );
    assert!(
        output.stderr.contains("has no variable plce"),
        "{}",
        output.stderr
    );
}

#[test]
fn prompts_are_listed_and_shown() {
    let home = Home::new();
    let list = home.illumine(&["prompts", "list"]).run().expect(0);
    assert_eq!(list.text().lines().count(), SHIPPED.len());
    let show = home.illumine(&["prompts", "show", "poem"]).run().expect(0);
    assert!(show.text().starts_with("+++\ntitle = \"Poem\""));
    let slip = home.illumine(&["prompts", "show", "peom"]).run();
    assert!(
        slip.stderr.contains("did you mean poem?"),
        "{}",
        slip.stderr
    );
    assert_eq!(slip.status.code(), Some(2));
}
