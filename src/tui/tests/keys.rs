//! Tests what the keys do.

use super::*;

const CTRL: KeyModifiers = KeyModifiers::CONTROL;
const ALT: KeyModifiers = KeyModifiers::ALT;

fn said(desk: &Desk) -> &str {
    desk.app
        .message
        .as_ref()
        .map_or("", |message| &message.text)
}

#[test]
fn enter_writes_and_an_empty_enter_goes_on() {
    let mut desk = desk();
    desk.answered("Once", " upon");
    desk.press(KeyCode::Enter)
        .stream(" a time")
        .end(Status::Complete);
    desk.press_with(ALT, KeyCode::Enter)
        .stream(".")
        .end(Status::Complete);
    assert!(desk.text().contains("Once upon a time."), "{}", desk.text());
}

#[test]
fn a_line_typed_while_the_model_writes_is_kept_for_later() {
    let mut desk = desk();
    desk.enter("Once").enter("and then");
    assert_eq!(
        said(&desk),
        "The model is still busy; stop it with Esc or Ctrl+C"
    );
    assert_eq!(desk.app.input.text(), "and then");
    desk.end(Status::Complete).press(KeyCode::Enter);
    assert!(desk.app.input.is_empty());
}

#[test]
fn a_mistyped_command_stays_to_be_mended() {
    let mut desk = desk();
    desk.enter("/rtery");
    assert!(said(&desk).contains("did you mean /retry?"));
    assert_eq!(desk.app.input.text(), "/rtery");
}

#[test]
fn retry_undo_redo_and_versions_have_keys() {
    let mut desk = desk();
    desk.answered("Once", " one");
    desk.press_with(ALT, KeyCode::Char('r'))
        .stream(" two")
        .end(Status::Complete);
    let head = |desk: &Desk| desk.app.studio.story().head();
    assert_eq!(head(&desk), Some(2));
    desk.press(KeyCode::Left);
    assert_eq!(head(&desk), Some(1));
    desk.press_with(ALT, KeyCode::Down);
    assert_eq!(head(&desk), Some(2));
    desk.press_with(ALT, KeyCode::Char('u'));
    assert_eq!(head(&desk), Some(1));
    desk.press_with(CTRL, KeyCode::Char('y'));
    assert_eq!(head(&desk), Some(2));
    desk.press_with(ALT, KeyCode::Char('u'))
        .press_with(ALT, KeyCode::Char('U'));
    assert_eq!(head(&desk), Some(2));
    // Arrow keys move the cursor while the line is not empty.
    desk.type_in("ab").press(KeyCode::Left).type_in("x");
    assert_eq!(desk.app.input.text(), "axb");
}

#[test]
fn ctrl_c_stops_then_clears_then_asks_then_leaves() {
    let mut desk = desk();
    let ctrl_c = |desk: &mut Desk| _ = desk.press_with(CTRL, KeyCode::Char('c'));
    desk.enter("Once").stream(" upon");
    ctrl_c(&mut desk);
    assert!(desk.app.loop_action.is_none());
    assert!(desk.text().contains("stopping"), "{}", desk.text());
    desk.end(Status::Stopped).type_in("half a line");
    ctrl_c(&mut desk);
    assert!(desk.app.input.is_empty() && desk.app.loop_action.is_none());
    desk.app.tick(Duration::from_secs(10));
    ctrl_c(&mut desk);
    assert!(said(&desk).contains("Ctrl+C again"));
    // Too late: the hint is gone, and this counts as a first Ctrl+C.
    assert!(desk.app.tick(Duration::from_secs(12)));
    assert_eq!(said(&desk), "");
    ctrl_c(&mut desk);
    assert!(desk.app.loop_action.is_none());
    desk.app.tick(Duration::from_millis(12_500));
    ctrl_c(&mut desk);
    assert_eq!(
        desk.app.loop_action,
        Some(LoopAction::Leave(ExitReason::Interrupted))
    );
}

#[test]
fn escape_closes_before_it_clears() {
    let mut desk = desk();
    desk.press(KeyCode::F(1));
    assert!(desk.app.overlay.is_some());
    desk.press(KeyCode::Esc);
    assert!(desk.app.overlay.is_none());
    desk.enter("/mode").press(KeyCode::Esc);
    assert_eq!(said(&desk), "");
    desk.type_in("kept").press(KeyCode::Esc);
    assert_eq!(desk.app.input.text(), "kept");
}

#[test]
fn ctrl_d_leaves_only_an_empty_line() {
    let mut desk = desk();
    desk.type_in("a")
        .press(KeyCode::Home)
        .press_with(CTRL, KeyCode::Char('d'));
    assert!(desk.app.input.is_empty() && desk.app.loop_action.is_none());
    desk.press_with(CTRL, KeyCode::Char('d'));
    assert_eq!(
        desk.app.loop_action,
        Some(LoopAction::Leave(ExitReason::Quit))
    );
}

#[test]
fn lines_are_broken_without_being_sent() {
    let mut desk = desk();
    desk.type_in("one")
        .press_with(CTRL, KeyCode::Char('j'))
        .enter("two\\")
        .type_in("three");
    assert_eq!(desk.app.input.text(), "one\ntwo\nthree");
    assert!(desk.app.studio.story().nodes().is_empty());
}

#[test]
fn up_walks_the_lines_then_the_history() {
    let mut desk = desk_with(
        Settings::default(),
        Options {
            history: vec!["before".into()],
            ..Options::default()
        },
    );
    desk.answered("Once", " upon");
    desk.app.paste("a\nb");
    desk.draw().press(KeyCode::Up).press(KeyCode::Up);
    assert_eq!(desk.app.input.text(), "Once");
    desk.press(KeyCode::Up);
    assert_eq!(desk.app.input.text(), "before");
    desk.press(KeyCode::Down).press(KeyCode::Down);
    assert_eq!(desk.app.input.text(), "a\nb");
    let Desk { app, .. } = desk;
    assert_eq!(app.into_parts().1, ["Once"]);
}

#[test]
fn tab_completes_and_walks() {
    let mut desk = desk();
    desk.type_in("/mod").press(KeyCode::Tab);
    assert_eq!(desk.app.input.text(), "/model");
    desk.press(KeyCode::Tab);
    assert_eq!(desk.app.input.text(), "/mode");
    desk.press(KeyCode::BackTab)
        .type_in(" s")
        .press(KeyCode::Tab)
        .press(KeyCode::Tab);
    assert_eq!(desk.app.input.text(), "/model smol-2");
    desk.press_with(CTRL, KeyCode::Char('u'))
        .type_in("/qu")
        .press(KeyCode::Tab);
    assert_eq!(desk.app.input.text(), "/quit");
}

#[test]
fn the_view_stays_where_the_reader_is() {
    let mut desk = desk();
    let lines: String = (1..=50).map(|n| format!("row {n}\n")).collect();
    desk.enter("Start").stream(&lines);
    desk.draw()
        .press(KeyCode::PageUp)
        .press_with(KeyModifiers::SHIFT, KeyCode::Up);
    let story = |desk: &mut Desk| desk.text().lines().take(9).collect::<Vec<_>>().join("\n");
    let before = story(&mut desk);
    desk.stream("much\nmore\ntext\n");
    assert_eq!(story(&mut desk), before);
    assert!(desk.text().contains("↓ more"), "{}", desk.text());
    desk.resize(40, 14).draw().resize(60, 14);
    assert_eq!(story(&mut desk), before);
    desk.press(KeyCode::End);
    assert!(story(&mut desk).contains("text") && !desk.text().contains("↓ more"));
    desk.press(KeyCode::Home);
    assert!(story(&mut desk).starts_with("   Start"));
    desk.type_in("x");
    assert!(story(&mut desk).contains("text"));
}

#[test]
fn a_new_story_is_another_page() {
    let mut desk = desk();
    desk.answered("Once", " upon").draw();
    desk.enter("/new other");
    assert!(
        desk.text().contains("Write the first line"),
        "{}",
        desk.text()
    );
    desk.answered("Next", " one");
    assert!(desk.text().contains("Next one") && !desk.text().contains("Once"));
}

#[test]
fn a_line_is_written_where_the_writer_types_and_never_over_other_words() {
    let mut desk = desk();
    desk.answered("The keeper lit the lamp.", " It burned.");
    desk.type_in("Then the");
    desk.press_with(KeyModifiers::ALT, KeyCode::Char('i'));
    assert!(desk.app.studio.busy(), "the engine is asked");
    let line = || Event::Suggested("Then the wind rose.".to_string());
    desk.says(line());
    assert_eq!(desk.app.input.text(), "Then the wind rose.");
    // Text typed meanwhile stays, and the suggested line is only shown.
    desk.app.input.set("No, the sea");
    desk.says(line());
    assert_eq!(desk.app.input.text(), "No, the sea");
    assert_eq!(said(&desk), "Then the wind rose.");
    assert_eq!(
        desk.app.studio.story().nodes().len(),
        2,
        "nothing is in the story"
    );
}

#[test]
fn what_is_typed_is_read_once_the_writer_pauses() {
    let mut desk = desk_with(
        Settings::default(),
        Options {
            read_ahead: true,
            ..Options::default()
        },
    );
    let at = |ms| Duration::from_millis(ms);
    desk.app.tick(at(100));
    desk.type_in("The keeper");
    let due = desk.app.wakes_at();
    assert!(due.is_some_and(|due| due > at(100)), "{due:?}");
    desk.app.tick(at(130));
    desk.type_in(" lit");
    assert!(desk.app.wakes_at() > due, "the pause begins anew");
    desk.app.tick(at(500));
    assert_eq!(desk.app.wakes_at(), None);
    assert!(!desk.app.studio.busy(), "nobody waits for it");
}

#[test]
fn the_screen_is_no_place_for_an_export() {
    let mut desk = desk();
    desk.answered("Once", " upon");
    desk.enter("/export txt -");
    assert!(said(&desk).contains("give a file name"), "{}", said(&desk));
    assert_eq!(desk.app.input.text(), "/export txt -");
}

#[test]
fn what_became_of_the_folder_is_said() {
    let mut desk = desk();
    desk.answered("Once", " upon");
    let root = desk.app.studio.sessions().root().to_path_buf();
    std::fs::remove_dir_all(root).unwrap();
    desk.enter("/memory The keeper is old.");
    assert!(said(&desk).contains("was removed"), "{}", said(&desk));
}
