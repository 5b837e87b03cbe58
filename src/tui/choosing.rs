//! A screen that shows two texts of each case, from which a person chooses the better one.
//!
//! The caller implements [`Choosing`], which provides the texts and stores the choices. `View` is
//! the state of the screen.

mod view;

use super::inbox::{self, Input};
use super::{Display, ExitReason, terminal};
use crossterm::event::{Event as TerminalEvent, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use signal_hook::consts::SIGTSTP;
use std::io;
use std::sync::mpsc;
use view::View;

/// Two texts to choose from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidates {
    /// The name of the case.
    pub case: String,
    /// The text that precedes both texts.
    pub prompt: String,
    pub left: Titled,
    pub right: Titled,
}

/// A text with its title.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Titled {
    pub title: String,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Left,
    Right,
    /// Both texts are equally good.
    Tie,
    BothBad,
    /// The person does not decide now.
    Skip,
}

/// The source of the texts and the store of the choices.
pub trait Choosing {
    /// Returns the texts of the current case, or None if no case is left.
    fn current(&self) -> Option<Candidates>;
    /// Returns the number of the current case, counted from 1, and the number of all cases.
    fn place(&self) -> (usize, usize);
    /// Stores the choice and continues with the next case. If the choice cannot be stored, returns
    /// the reason and stays at the current case.
    fn choose(&mut self, choice: Choice) -> Result<(), String>;
    /// Takes back the last choice. Returns false if there is no choice to take back.
    fn back(&mut self) -> Result<bool, String>;
}

/// Shows the texts until the person closes the screen, a signal arrives or the terminal is gone.
pub fn choose(source: &mut dyn Choosing, colour: bool) -> io::Result<(ExitReason, Vec<String>)> {
    let (sender, inbox) = mpsc::channel();
    let pause = inbox::Pause::default();
    let mut screen = terminal::Screen::start(sender.clone(), pause.clone())?;
    inbox::open(sender, pause)?;
    let mut view = View::new(colour);
    let mut remarks = Vec::new();
    let why = loop {
        view.show(source);
        screen.paint(|frame| view.draw(frame))?;
        let Ok(input) = inbox.recv() else {
            break ExitReason::Quit;
        };
        match input {
            Input::Terminal(TerminalEvent::Key(key)) if key.kind != KeyEventKind::Release => {
                if let Some(why) = press(source, &mut view, key) {
                    break why;
                }
            }
            Input::Signal(SIGTSTP) => screen.suspend()?,
            Input::Signal(signal) => break ExitReason::Signal(signal),
            Input::Panicked(text) => remarks.push(text),
            Input::Terminal(_) | Input::Picture(..) => {}
        }
    };
    Ok((why, remarks))
}

/// Handles a key. If the key closes the screen, returns the reason for the exit.
fn press(source: &mut dyn Choosing, view: &mut View, key: KeyEvent) -> Option<ExitReason> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Some(ExitReason::Interrupted),
            KeyCode::Char('d') => Some(ExitReason::Quit),
            _ => None,
        };
    }
    let choice = match key.code {
        KeyCode::Left | KeyCode::Char('1' | 'h') => Choice::Left,
        KeyCode::Right | KeyCode::Char('2' | 'l') => Choice::Right,
        KeyCode::Char('t' | '=') => Choice::Tie,
        KeyCode::Char('b') => Choice::BothBad,
        KeyCode::Char('s') => Choice::Skip,
        KeyCode::Backspace | KeyCode::Char('u') => {
            view.said(match source.back() {
                Ok(true) => String::new(),
                Ok(false) => "No choice of this run is left to take back".to_string(),
                Err(why) => why,
            });
            return None;
        }
        KeyCode::Enter if view.is_finished() => return Some(ExitReason::Quit),
        KeyCode::Char('q') | KeyCode::Esc => return Some(ExitReason::Quit),
        KeyCode::Char('d') => {
            view.toggle_differences();
            return None;
        }
        KeyCode::Char('p') => {
            view.toggle_prompt();
            return None;
        }
        KeyCode::Up | KeyCode::Char('k') => {
            view.scroll(-1);
            return None;
        }
        KeyCode::Down | KeyCode::Char('j') => {
            view.scroll(1);
            return None;
        }
        KeyCode::PageUp => {
            view.scroll_page(-1);
            return None;
        }
        KeyCode::PageDown | KeyCode::Char(' ') => {
            view.scroll_page(1);
            return None;
        }
        _ => return None,
    };
    if !view.is_finished() {
        view.said(source.choose(choice).err().unwrap_or_default());
    }
    None
}

#[cfg(test)]
mod tests;
