use super::super::KeyLogic;
use super::*;

fn entry(uid: u64, key: &str, content: &str) -> LoreEntry {
    LoreEntry {
        uid,
        name: key.to_string(),
        keys: vec![key.to_string()],
        content: content.to_string(),
        ..LoreEntry::default()
    }
}

fn book(entries: Vec<LoreEntry>) -> Lorebook {
    Lorebook {
        name: "world".to_string(),
        recursive: true,
        entries,
        ..Lorebook::default()
    }
}

fn fired(
    book: &Lorebook,
    passages: &[&str],
    before: &[(EntryId, usize)],
) -> (Vec<u64>, Vec<String>) {
    let past = ScanInput {
        passages,
        fired: before,
        seed: 7,
        macros: None,
    };
    let ScanResult {
        active: fires,
        skipped: missed,
        ..
    } = scan(&[book], &|_, _| false, &past);
    let uids = fires.iter().map(|fires| fires.entry.uid).collect();
    (uids, missed.into_iter().map(|missed| missed.why).collect())
}

#[test]
fn a_key_in_the_last_passages_fires_and_one_further_back_does_not() {
    let mut book = book(vec![entry(1, "lamp", "The lamp is magic.")]);
    book.scan_depth = Some(2);
    assert_eq!(fired(&book, &["The lamp.", "x", "y"], &[]).0, [0u64; 0]);
    assert_eq!(fired(&book, &["x", "The LAMP.", "y"], &[]).0, [1]);
}

#[test]
fn second_keys_decide_by_their_logic() {
    let with = |logic| {
        book(vec![LoreEntry {
            secondary: vec!["red".to_string(), "blue".to_string()],
            logic,
            ..entry(1, "lamp", "")
        }])
    };
    let count = |logic, text: &str| fired(&with(logic), &[text], &[]).0.len();
    let texts = ["lamp", "lamp red", "lamp red blue"];
    assert_eq!(texts.map(|t| count(KeyLogic::AndAny, t)), [0, 1, 1]);
    assert_eq!(texts.map(|t| count(KeyLogic::AndAll, t)), [0, 0, 1]);
    assert_eq!(texts.map(|t| count(KeyLogic::NotAny, t)), [1, 0, 0]);
    assert_eq!(texts.map(|t| count(KeyLogic::NotAll, t)), [1, 1, 0]);
    let why = fired(&with(KeyLogic::AndAny), &["lamp"], &[]).1;
    assert_eq!(
        why,
        ["\"lamp\" matched, but none of its secondary keys matched"]
    );
}

#[test]
fn what_fired_may_name_more_unless_it_is_forbidden() {
    let mut book = book(vec![
        entry(1, "lamp", "It was made in Ys."),
        entry(2, "Ys", "Ys is drowned; ask the lamp."),
        LoreEntry {
            exclude_recursion: true,
            ..entry(3, "drowned", "")
        },
        LoreEntry {
            delay_until_recursion: true,
            ..entry(4, "lamp", "")
        },
    ]);
    // Entry 2 mentions the lamp again: a cycle, which must end.
    assert_eq!(fired(&book, &["The lamp."], &[]).0, [1, 2, 4]);
    book.entries[0].prevent_recursion = true;
    assert_eq!(fired(&book, &["The lamp."], &[]).0, [1]);
    book.entries[0].prevent_recursion = false;
    book.recursive = false;
    assert_eq!(fired(&book, &["The lamp."], &[]).0, [1]);
}

#[test]
fn sticky_cooldown_and_delay_count_passages() {
    let book = book(vec![LoreEntry {
        sticky: Some(2),
        cooldown: Some(1),
        delay: Some(1),
        ..entry(1, "lamp", "")
    }]);
    assert_eq!(fired(&book, &[], &[]).1, ["it is delayed until passage 1"]);
    let before = [(
        EntryId {
            book: "world".to_string(),
            uid: 1,
        },
        1,
    )];
    let passages = ["The lamp.", "x", "y", "The lamp.", "The lamp."];
    let at = |n: usize| fired(&book, &passages[..n], &before);
    assert_eq!((at(2).0, at(3).0), (vec![1], vec![1]), "sticks");
    assert_eq!(at(4).1, ["it is on cooldown for 1 more passage"]);
    assert_eq!(at(5).0, [1], "fires again");
}

#[test]
fn a_key_that_forbids_stands_above_the_others() {
    let book = book(vec![LoreEntry {
        secondary: vec!["red".to_string()],
        never: vec!["broken".to_string()],
        ..entry(1, "lamp", "")
    }]);
    assert_eq!(fired(&book, &["a red lamp"], &[]).0, [1]);
    let (none, why) = fired(&book, &["a broken red lamp"], &[]);
    assert!(none.is_empty());
    assert_eq!(why, ["\"lamp\" matched, but so did \"broken\""]);
}

/// Tests that keys may contain macros such as the character's name, as in SillyTavern.
#[test]
fn macros_in_keys_stand_for_names() {
    let book = book(vec![entry(1, "{{char}}", "She keeps the light.")]);
    let macros = Macros {
        char: "Mara".to_string(),
        ..Macros::default()
    };
    let past = ScanInput {
        passages: &["There came mara."],
        fired: &[],
        seed: 7,
        macros: Some(&macros),
    };
    let found = scan(&[&book], &|_, _| false, &past);
    assert_eq!(found.active.len(), 1);
    assert!(fired(&book, &["There came mara."], &[]).0.is_empty());
}

/// Tests that only inactive entries that no rule rejects can be retrieved.
#[test]
fn what_nothing_names_is_told() {
    let rests = LoreEntry {
        delay: Some(9),
        ..entry(3, "sea", "")
    };
    let waits = LoreEntry {
        delay_until_recursion: true,
        ..entry(4, "moon", "")
    };
    let book = book(vec![
        entry(1, "lamp", ""),
        entry(2, "ship", ""),
        rests,
        waits,
    ]);
    let past = ScanInput {
        passages: &["The lamp."],
        fired: &[],
        seed: 7,
        macros: None,
    };
    let found = scan(&[&book], &|_, _| false, &past);
    let unnamed: Vec<u64> = found.unmatched.iter().map(|(_, entry)| entry.uid).collect();
    assert_eq!(unnamed, [2]);
}

#[test]
fn chance_is_the_passages_own_and_near_what_is_asked() {
    let book = book(vec![LoreEntry {
        probability: 30.0,
        ..entry(1, "lamp", "")
    }]);
    let fires = |seed| {
        let past = ScanInput {
            passages: &["lamp"],
            fired: &[],
            seed,
            macros: None,
        };
        scan(&[&book], &|_, _| false, &past).active.len()
    };
    assert_eq!(fires(5), fires(5));
    let often: usize = (0..2000).map(fires).sum();
    assert!((500..700).contains(&often), "{often} of 2000");
}

#[test]
fn of_a_group_one_is_read() {
    let grouped = |uid, order, over| LoreEntry {
        group: "weather".to_string(),
        group_override: over,
        order,
        ..entry(uid, "lamp", "")
    };
    let lone = book(vec![
        grouped(1, 1, false),
        grouped(2, 2, false),
        entry(3, "lamp", ""),
    ]);
    assert_eq!(fired(&lone, &["lamp"], &[]).0.len(), 2);
    let ruled = book(vec![grouped(1, 1, true), grouped(2, 2, true)]);
    assert_eq!(fired(&ruled, &["lamp"], &[]).0, [2]);
}

#[test]
fn what_is_kept_first_stands_first() {
    let book = book(vec![
        LoreEntry {
            order: 1,
            ..entry(1, "lamp", "ring")
        },
        LoreEntry {
            order: 9,
            ..entry(2, "lamp", "")
        },
        LoreEntry {
            constant: true,
            order: 0,
            ..entry(3, "never", "")
        },
        LoreEntry {
            order: 99,
            ..entry(4, "ring", "")
        },
    ]);
    assert_eq!(fired(&book, &["lamp"], &[]).0, [3, 2, 1, 4]);
}

#[test]
fn an_entry_switched_off_and_a_pattern_that_cannot_run_do_not_fire() {
    let book = book(vec![entry(1, "lamp", ""), entry(2, "/(x/", "")]);
    let past = ScanInput {
        passages: &["lamp"],
        fired: &[],
        seed: 0,
        macros: None,
    };
    let ScanResult {
        active: fires,
        skipped: missed,
        ..
    } = scan(&[&book], &|_, entry| entry.uid == 1, &past);
    assert!(fires.is_empty());
    assert!(missed[0].why.contains("not a valid regex"));
}

fn active(books: &[&Lorebook], passages: &[&str]) -> Vec<String> {
    let past = ScanInput {
        passages,
        fired: &[],
        seed: 7,
        macros: None,
    };
    let found = scan(books, &|_, _| false, &past);
    let named = found.active.iter().map(|it| it.entry.name.clone());
    named.collect()
}

#[test]
fn an_entry_of_one_book_activates_one_of_another() {
    let lamps = book(vec![entry(1, "lamp", "Built by Aksel.")]);
    let people = Lorebook {
        name: "people".to_string(),
        ..book(vec![entry(1, "Aksel", "Aksel is deaf.")])
    };
    assert_eq!(
        active(&[&people, &lamps], &["The lamp."]),
        ["lamp", "Aksel"]
    );
    let closed = Lorebook {
        recursive: false,
        ..people
    };
    assert_eq!(active(&[&closed, &lamps], &["The lamp."]), ["lamp"]);
}

#[test]
fn a_second_key_may_stand_in_the_story_and_the_first_in_another_entry() {
    let keeper = LoreEntry {
        secondary: vec!["storm".to_string()],
        ..entry(2, "Aksel", "Aksel is deaf.")
    };
    let book = book(vec![entry(1, "lamp", "Built by Aksel."), keeper]);
    assert_eq!(active(&[&book], &["The lamp."]), ["lamp"]);
    assert_eq!(
        active(&[&book], &["The lamp in the storm."]),
        ["lamp", "Aksel"]
    );
}

#[test]
fn regexes_that_take_too_long_are_stopped_and_named() {
    let key = "/(?:a(?=a|!)|a(?!b))+$/";
    let entries = (0..200).map(|uid| entry(uid, key, "x")).collect();
    let text = format!("{}!", "a".repeat(40_000));
    let (active, why) = fired(&book(entries), &[&text], &[]);
    assert!(active.is_empty());
    assert!(why[0].contains("takes too long"), "{}", why[0]);
    assert!(
        why[199].contains("other regexes took too long"),
        "{}",
        why[199]
    );
}
