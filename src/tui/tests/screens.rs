//! Snapshot tests of the screen, including its colours.

use super::*;
use story::picture::{DrawnPicture, Layer, PictureProvenance};

#[test]
fn the_first_screen_says_what_to_do() {
    insta::assert_snapshot!(desk().screen());
}

#[test]
fn a_story_is_prose_and_says_who_wrote_it() {
    let mut desk = desk();
    desk.answered(
        "The lighthouse keeper had not spoken",
        " for eleven days, and the sea had grown used to it.\n\nOn the twelfth",
    );
    desk.answered("a ship came in", ", grey and slow.");
    insta::assert_snapshot!(desk.screen());
}

#[test]
fn without_colour_there_is_none() {
    let mut desk = desk_with(Settings::default(), Options::default());
    desk.answered("The sea", " was cold.").enter("/undo many");
    let screen = desk.screen();
    assert!(
        !screen.contains("Magenta") && !screen.contains("Red"),
        "{screen}"
    );
    insta::assert_snapshot!(screen);
}

#[test]
fn cjk_and_emoji_wrap_by_what_they_are() {
    let mut desk = desk();
    desk.resize(24, 14);
    desk.answered(
        "昔々、あるところに",
        "おじいさんとおばあさんが住んでいました。👩‍🚀は👨‍👩‍👧‍👦と🇯🇵へ。",
    );
    insta::assert_snapshot!(desk.screen());
}

#[test]
fn a_chat_has_turns() {
    let settings = Settings {
        mode: Mode::Chat,
        ..Settings::default()
    };
    let mut desk = desk_with(
        settings,
        Options {
            colour: true,
            ..Options::default()
        },
    );
    desk.answered("Who are you?", "A small model.")
        .enter("And I?")
        .stream("A wri");
    insta::assert_snapshot!(desk.screen());
}

#[test]
fn versions_and_ends_leave_a_mark() {
    let mut desk = desk();
    desk.enter("Once").stream(" upon a").end(Status::Stopped);
    desk.enter("/retry").stream(" more").end(Status::Length);
    let text = desk.text();
    assert!(text.contains("Once more […] ‹2/2›"), "{text}");
    desk.press(KeyCode::Left);
    let text = desk.text();
    assert!(text.contains("Once upon a [stopped] ‹1/2›"), "{text}");
    assert!(text.contains("Version 1 of 2"), "{text}");
}

#[test]
fn what_goes_on_is_in_the_status_line() {
    let mut desk = desk();
    desk.enter("Once");
    let node = desk.running();
    desk.says(Event::Prefill {
        node,
        done: 64,
        total: 300,
        reused: 40,
        cut: Default::default(),
    });
    assert!(desk.text().contains("evaluating 64/300, 40 reused"));
    for second in 1..=3 {
        desk.app.tick(Duration::from_secs(second));
        desk.stream(" x");
    }
    assert!(
        desk.text().contains("writing 1.0 tok/s · 303/512"),
        "{}",
        desk.text()
    );
    desk.end(Status::Complete);
    assert!(
        desk.text().contains("30.0 tok/s · 42/512"),
        "{}",
        desk.text()
    );
}

#[test]
fn a_model_that_loads_shows_how_far_it_is() {
    let mut desk = desk();
    desk.app.studio.load_model();
    let what = "Downloading tiny".to_string();
    for (second, done) in [(0, 0), (1, 10_000_000), (2, 20_000_000)] {
        desk.app.tick(Duration::from_secs(second));
        desk.says(Event::Loading {
            what: what.clone(),
            done,
            total: Some(50_000_000),
        });
    }
    desk.resize(90, 14);
    insta::assert_snapshot!(desk.screen());
}

#[test]
fn commands_are_offered_as_they_are_typed() {
    let mut desk = desk();
    desk.answered("Once", " upon a time.");
    desk.type_in("/s").press(KeyCode::Tab);
    insta::assert_snapshot!(desk.screen());
}

#[test]
fn long_answers_open_over_the_story() {
    let mut desk = desk();
    desk.enter("/help");
    insta::assert_snapshot!(desk.screen());
    desk.press(KeyCode::Char('q'));
    assert!(desk.app.overlay.is_none() && desk.app.input.is_empty());
}

#[test]
fn two_hundred_pasted_lines_are_one_input() {
    let mut desk = desk();
    let lines: Vec<String> = (1..=200).map(|n| format!("line {n}")).collect();
    desk.app.paste(&lines.join("\r"));
    assert_eq!(desk.app.input.text(), lines.join("\n"));
    insta::assert_snapshot!(desk.screen());
    desk.press(KeyCode::Enter);
    let nodes = desk.app.studio.story().nodes();
    assert_eq!(nodes.len(), 2);
    assert_eq!(nodes[0].text, lines.join("\n"));
}

#[test]
fn what_is_pasted_is_not_obeyed() {
    let mut desk = desk();
    desk.app.paste("red\u{1b}[31m and\u{9b}2J");
    assert_eq!(desk.app.input.text(), "red␛[31m and\u{fffd}2J");
}

#[test]
fn small_screens_keep_what_matters() {
    let mut desk = desk();
    desk.answered("Once", " upon a time there was a small screen.");
    desk.resize(20, 5);
    insta::assert_snapshot!(desk.screen());
}

#[test]
fn no_size_is_too_small() {
    let mut desk = desk();
    desk.answered(
        "日本語の文章と a lighthouse",
        " and\n\n👩‍🚀 a long long line of it.",
    );
    desk.enter("/image a lamp");
    drawn(&mut desk, &["a lamp"]);
    for stage in 0..5 {
        match stage {
            1 => desk.app.paste("typed\nin\nthree 日本"),
            2 => {
                _ = desk
                    .press_with(KeyModifiers::CONTROL, KeyCode::Char('u'))
                    .type_in("/s")
            }
            3 => _ = desk.press(KeyCode::F(1)),
            4 => {
                desk.app.studio.load_model();
                desk.says(Event::Loading {
                    what: "Reading".into(),
                    done: 3,
                    total: Some(9),
                });
            }
            _ => {}
        }
        for width in 1..=40 {
            for height in 1..=20 {
                desk.resize(width, height).draw();
            }
        }
    }
}

/// A picture with a square of four colours on a transparent background.
fn four_colours() -> Layer {
    let pixel = |at: usize| {
        let (x, y) = (at % 64, at / 64);
        match (x, y) {
            _ if x.min(y) < 8 || x.max(y) >= 56 => [0; 4],
            (0..32, 0..32) => [200, 0, 0, 255],
            (_, 0..32) => [0, 200, 0, 255],
            (0..32, _) => [0, 0, 200, 255],
            _ => [200, 200, 0, 255],
        }
    };
    Layer {
        size: 64,
        pixels: (0..64 * 64).flat_map(pixel).collect(),
    }
}

/// Simulates the engine's answer to a command that draws one picture for each prompt.
fn drawn(desk: &mut Desk, prompts: &[&str]) {
    let node = desk.app.studio.story().next_id();
    let drawing = |prompt: &&str| DrawnPicture {
        layers: vec![four_colours()],
        provenance: PictureProvenance {
            prompt: prompt.to_string(),
            concepts: vec![("lamp".to_string(), 0.8)],
            style: Some("noto".to_string()),
            size: 64,
            ..PictureProvenance::default()
        },
    };
    let drawings = prompts.iter().map(drawing).collect();
    desk.says(Event::Drawn { node, drawings });
    let (status, stats) = (Status::Complete, PassageStats::default());
    let node = Some(node);
    desk.says(Event::Done {
        node,
        status,
        stats,
    });
}

#[test]
fn a_picture_stands_on_the_page() {
    let mut desk = desk();
    desk.resize(60, 24);
    desk.answered("The lamp", " was lit.")
        .enter("/image a lamp");
    assert!(desk.text().contains("drawing"), "{}", desk.text());
    desk.enter("/retry");
    assert!(desk.text().contains("still busy"), "{}", desk.text());
    desk.press_with(KeyModifiers::CONTROL, KeyCode::Char('u'));
    drawn(&mut desk, &["a lamp"]);
    insta::assert_snapshot!(desk.screen());
    desk.enter("/undo");
    assert!(!desk.text().contains('▀'), "{}", desk.text());
}

#[test]
fn a_list_of_pictures_shows_the_one_that_is_chosen() {
    let mut desk = desk();
    desk.resize(70, 16);
    desk.answered("The lamp", " was lit.")
        .enter("/grid a lamp n=2");
    drawn(&mut desk, &["a lamp", "another lamp"]);
    insta::assert_snapshot!(desk.text());
    desk.press(KeyCode::Down).press(KeyCode::Enter);
    let text = desk.text();
    assert!(
        text.contains("Picture #3, version 2 of 2: another lamp"),
        "{text}"
    );
}

#[test]
fn without_colour_a_picture_is_words() {
    let mut desk = desk_with(Settings::default(), Options::default());
    desk.resize(60, 24);
    desk.answered("The lamp", " was lit.")
        .enter("/image a lamp");
    drawn(&mut desk, &["a lamp"]);
    let text = desk.text();
    assert!(
        text.contains("[picture #2 a lamp]") && !text.contains('▀'),
        "{text}"
    );
}

#[test]
fn what_stops_a_drawing_says_so() {
    let mut desk = desk();
    desk.answered("The lamp", " was lit.")
        .enter("/image a lamp");
    let node = Some(desk.app.studio.story().next_id());
    let (status, stats) = (Status::Stopped, PassageStats::default());
    desk.says(Event::Done {
        node,
        status,
        stats,
    });
    assert!(desk.text().contains("nothing was drawn"), "{}", desk.text());
    assert!(!desk.app.studio.busy());
}

#[test]
fn thoughts_are_a_line_in_a_chat_and_a_remark_in_prose() {
    let think = |desk: &mut Desk, text: &str| {
        let (node, text) = (desk.running(), text.to_string());
        desk.says(Event::Thought { node, text });
        desk.app.flush();
    };
    let settings = Settings {
        mode: Mode::Chat,
        ..Settings::default()
    };
    let mut desk = desk_with(settings, Options::default());
    desk.enter("Who are you?");
    think(&mut desk, "A person");
    think(&mut desk, " asks.");
    let thinking = desk.screen();
    assert!(
        thinking.contains("thought for 3 words · /why shows it"),
        "{thinking}"
    );
    assert!(thinking.contains("thinking, 3 words"), "{thinking}");
    desk.stream("A small")
        .stream(" model.")
        .end(Status::Complete);
    insta::assert_snapshot!(desk.screen());
    let mut prose = desk_with(Settings::default(), Options::default());
    prose.enter("The sea");
    think(&mut prose, "Cold?");
    assert!(
        prose
            .screen()
            .contains("The sea [thought for 1 word · /why shows it]")
    );
    prose.stream(" was cold.");
    assert!(!prose.screen().contains("/why shows it"));
    prose.end(Status::Complete);
    let over = "The sea was cold. [thought for 1 word · /why shows it]";
    assert!(prose.screen().contains(over), "{}", prose.screen());
    prose.answered("It", " rose.");
    assert!(
        prose.screen().contains("The sea was cold. It rose."),
        "{}",
        prose.screen()
    );
}
