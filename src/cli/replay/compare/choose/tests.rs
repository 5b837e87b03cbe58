use super::*;
use replay::pairs::Content;
use replay::pairs::Game;
use replay::pairs::standings;
use std::path::Path;

fn offers() -> Vec<Offer> {
    let prose = |text: &str| Content::Prose(text.to_string());
    let offer = |n: usize| Offer {
        file: "a.illum".to_string(),
        case: format!("case {n}"),
        prompt: prose("The lamp"),
        texts: [
            prose(&format!(" went out {n}.")),
            prose(&format!(" fell {n}.")),
        ],
        same_prompt: true,
        origins: ["x", "y"].map(|name| replay::pairs::Origin {
            name: name.to_string(),
            ..Default::default()
        }),
    };
    (0..6).map(offer).collect()
}

fn chooser(path: &Path, blind: Option<u64>) -> Chooser {
    let file = PairFile::open(path).unwrap();
    Chooser::new(offers(), file, blind, ["x", "y"])
}

/// Chooses the text of A, on whichever side it is shown.
fn choose_a(chooser: &mut Chooser) {
    let shown = chooser.current().unwrap();
    assert_eq!(
        (shown.left.title.as_str(), shown.right.title.as_str()),
        ("left", "right")
    );
    let choice = match shown.left.text.contains("went out") {
        true => Choice::Left,
        false => Choice::Right,
    };
    chooser.choose(choice).unwrap();
}

#[test]
fn choosing_blind_is_continued_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pairs.jsonl");
    let mut first = chooser(&path, Some(7));
    choose_a(&mut first);
    choose_a(&mut first);
    first.choose(Choice::Skip).unwrap();
    first.choose(Choice::BothBad).unwrap();
    // Each choice is in the file at once.
    assert_eq!(PairFile::read(&path).unwrap().len(), 3);
    assert_eq!(first.back(), Ok(true));
    assert_eq!(PairFile::read(&path).unwrap().len(), 2);
    let said = first.summary(["x", "y"], &path);
    assert!(
        said.contains("2 of 6 cases decided") && !said.contains("(x)"),
        "{said}"
    );
    drop(first);

    let mut second = chooser(&path, Some(7));
    assert_eq!((second.decided(), second.place()), (2, (3, 6)));
    assert_eq!(second.back(), Ok(false), "choices of earlier runs stay");
    second.choose(Choice::Tie).unwrap();
    choose_a(&mut second);
    choose_a(&mut second);
    second.choose(Choice::BothBad).unwrap();
    assert!(second.current().is_none() && second.reveals());
    let said = second.summary(["x", "y"], &path);
    assert!(
        said.contains("A (x) was chosen in 4 of 4 decided cases: 100 %"),
        "{said}"
    );
    drop(second);

    let pairs = PairFile::read(&path).unwrap();
    assert!(
        pairs
            .iter()
            .all(|pair| pair.blind && pair.shuffle == Some(7) && pair.a.name == "x")
    );
    let train = pairs.iter().filter(|pair| pair.train).count();
    assert_eq!((pairs.len(), train), (6, 4));
    let chosen = pairs.iter().filter(|pair| pair.train);
    assert!(
        chosen
            .into_iter()
            .all(|pair| pair.chosen.text().contains("went out"))
    );
    let games: Vec<Game> = pairs
        .iter()
        .filter_map(|pair| Game::of(pair, |origin| origin.name.clone()))
        .collect();
    let best = standings(&games).contestants.remove(0);
    assert_eq!((best.name.as_str(), best.wins, best.ties), ("x", 4, 2));
}

#[test]
fn the_names_are_shown_unless_the_choice_is_blind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pairs.jsonl");
    let mut open = chooser(&path, None);
    let shown = open.current().unwrap();
    assert_eq!(
        (shown.left.title.as_str(), shown.right.title.as_str()),
        ("A: x", "B: y")
    );
    open.choose(Choice::Right).unwrap();
    let said = open.summary(["x", "y"], &path);
    assert!(
        said.contains("B (y) was chosen in 1 of 1 decided case: 100 %"),
        "{said}"
    );
    assert!(
        said.contains("To continue, run the same command again."),
        "{said}"
    );
}
