use super::view::View;
use super::{Candidates, Choice, Choosing, Titled, press};
use crate::tui::ExitReason;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

/// Two cases whose choices are stored in memory.
#[derive(Default)]
struct Kept {
    chosen: Vec<Choice>,
    full: bool,
}

impl Choosing for Kept {
    fn current(&self) -> Option<Candidates> {
        let titled = |title: &str, text: &str| Titled {
            title: title.to_string(),
            text: text.to_string(),
        };
        (self.chosen.len() < 2).then(|| Candidates {
            case: format!("a.illum: case {}", self.chosen.len()),
            prompt: (1..9)
                .map(|n| format!("Line {n} of the prompt.\n"))
                .collect(),
            left: titled("left", &"The lamp went out. ".repeat(12)),
            right: titled("right", "The lamp \u{1b}[2Jfell."),
        })
    }

    fn place(&self) -> (usize, usize) {
        (self.chosen.len() + 1, 2)
    }

    fn choose(&mut self, choice: Choice) -> Result<(), String> {
        match self.full {
            true => Err("The disk is full".to_string()),
            false => {
                self.chosen.push(choice);
                Ok(())
            }
        }
    }

    fn back(&mut self) -> Result<bool, String> {
        Ok(self.chosen.pop().is_some())
    }
}

fn screen(view: &mut View, kept: &Kept, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    view.show(kept);
    terminal.draw(|frame| view.draw(frame)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let row = |y: u16| {
        let cells = (0..width).map(|x| buffer[(x, y)].symbol());
        cells.collect::<String>().trim_end().to_string() + "\n"
    };
    (0..height).map(row).collect()
}

fn keys(kept: &mut Kept, view: &mut View, codes: &[KeyCode]) -> Option<ExitReason> {
    let mut why = None;
    for code in codes {
        view.show(kept);
        why = press(kept, view, KeyEvent::new(*code, KeyModifiers::NONE));
    }
    view.show(kept);
    why
}

#[test]
fn texts_are_side_by_side_if_there_is_room_and_stacked_otherwise() {
    let mut view = View::new(false);
    let kept = Kept::default();
    insta::assert_snapshot!("wide", screen(&mut view, &kept, 100, 18));
    insta::assert_snapshot!("narrow", screen(&mut view, &kept, 50, 24));
    for (width, height) in [(1, 1), (5, 3), (12, 9), (300, 4), (7, 60)] {
        screen(&mut view, &kept, width, height);
    }
}

#[test]
fn keys_choose_take_back_and_end() {
    let mut view = View::new(true);
    let mut kept = Kept::default();
    let back = [KeyCode::Backspace];
    keys(&mut kept, &mut view, &back);
    assert!(screen(&mut view, &kept, 80, 20).contains("No choice of this run"));
    let codes = [
        KeyCode::Right,
        KeyCode::Backspace,
        KeyCode::Char('t'),
        KeyCode::Left,
    ];
    assert_eq!(keys(&mut kept, &mut view, &codes), None);
    assert_eq!(kept.chosen, [Choice::Tie, Choice::Left]);
    // After the last case, only undoing and ending are left.
    keys(&mut kept, &mut view, &[KeyCode::Right, KeyCode::Char('b')]);
    assert_eq!(kept.chosen.len(), 2);
    assert!(screen(&mut view, &kept, 80, 20).contains("Enter shows the result"));
    keys(
        &mut kept,
        &mut view,
        &[KeyCode::Char('u'), KeyCode::Char('b')],
    );
    assert_eq!(kept.chosen, [Choice::Tie, Choice::BothBad]);
    let end = keys(&mut kept, &mut view, &[KeyCode::Enter]);
    assert_eq!(end, Some(ExitReason::Quit));
    let stop = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    let stopped = press(&mut kept, &mut view, stop);
    assert_eq!(stopped, Some(ExitReason::Interrupted));
}

#[test]
fn a_choice_that_cannot_be_stored_stays_on_the_screen() {
    let mut view = View::new(true);
    let mut kept = Kept {
        full: true,
        ..Kept::default()
    };
    keys(&mut kept, &mut view, &[KeyCode::Left]);
    let shown = screen(&mut view, &kept, 80, 24);
    assert!(
        shown.contains("The disk is full") && shown.contains("1 of 2"),
        "{shown}"
    );
}

#[test]
fn a_long_text_scrolls_and_the_whole_prompt_can_be_shown() {
    let mut view = View::new(true);
    let mut kept = Kept::default();
    assert!(!screen(&mut view, &kept, 80, 12).contains("Line 1 of"));
    keys(&mut kept, &mut view, &[KeyCode::Char('p')]);
    assert!(screen(&mut view, &kept, 80, 12).contains("Line 1 of"));
    keys(
        &mut kept,
        &mut view,
        &[KeyCode::PageDown, KeyCode::PageDown],
    );
    assert!(screen(&mut view, &kept, 80, 12).contains("[2Jfell."));
}
