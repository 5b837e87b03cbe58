//! Handles the editing of passages, in the input line or in the writer's own editor, and picking
//! from lists.

use super::app::{App, LoopAction};
use super::input::Edit;
use super::keys::{self, Action, Scroll};
use super::message::Tone;
use super::overlay::Overlay;
use crate::editor::{Editor, EditorError};
use crate::studio::Listed;
use crossterm::event::{KeyCode, KeyEvent};
use std::borrow::Cow;
use story::{Command, NodeId};

impl App {
    /// Starts editing a passage in the input line.
    pub(super) fn begin_edit(&mut self, node: NodeId, text: &str) {
        self.editing = Some(node);
        self.overlay = None;
        self.hints = None;
        self.input.set(text.trim_start_matches([' ', '\n']));
    }

    /// Cancels editing. Returns false if no passage was being edited.
    pub(super) fn leave_edit(&mut self) -> bool {
        let edited = self.editing.take().is_some();
        if edited {
            self.input.take();
        }
        edited
    }

    /// Saves the text of the input line as the new text of the passage `node`.
    pub(super) fn save_edit(&mut self, node: NodeId) {
        let text = self.input.text().to_string();
        if text.trim().is_empty() {
            let why =
                "The passage is empty; use /delete to delete it, or Esc to leave it unchanged";
            return self.tell(Tone::Warning, why);
        }
        if self.run(Command::Edit(Some(format!("#{node}")), Some(text))) {
            self.editing = None;
            self.input.take();
        }
    }

    /// Lets the model continue the typed line.
    pub(super) fn impersonate(&mut self) {
        if self.editing.is_some() {
            let why = "You are editing a passage; Enter saves it, Esc leaves it unchanged";
            return self.tell(Tone::Warning, why);
        }
        let begun = self.input.text().to_string();
        match begun.starts_with('/') {
            true => self.tell(Tone::Warning, "This is a command, not a line of the story"),
            false => _ = self.run(Command::Impersonate(begun)),
        }
    }

    /// Puts a line that the model suggested into the input. If the writer has typed something
    /// different, shows the line as a message instead.
    pub(super) fn suggested(&mut self, line: &str) {
        let typed = self.input.text().trim_start();
        match self.editing.is_none() && line.starts_with(typed) {
            true => self.input.set(line),
            false => self.tell(Tone::Info, line),
        }
    }

    /// The writer's editor and the text to open in the editor; None if the writer has no editor.
    pub(super) fn for_editor(&self) -> Option<(Editor, String)> {
        let editor = self.editor.clone()?;
        Some((editor, self.input.text().to_string()))
    }

    /// Puts the text from the writer's editor into the input line. If the writer is editing a
    /// passage, also saves the text as the new text of that passage.
    pub(super) fn edited(&mut self, edited: Result<String, EditorError>) {
        match edited {
            Err(error) => self.tell(Tone::Error, &error.to_string()),
            Ok(text) => {
                self.input.set(&text);
                if let Some(node) = self.editing {
                    self.save_edit(node);
                }
            }
        }
    }

    pub(super) fn ask_for_editor(&mut self) {
        match self.editor {
            Some(_) => self.loop_action = Some(LoopAction::Editor),
            None => self.tell(Tone::Error, &EditorError::None.to_string()),
        }
    }

    pub(super) fn list(&mut self, title: &str, listed: &[Listed]) {
        if self.studio.candidates().len() == listed.len() && self.shows_candidates() {
            self.show_candidates();
            return;
        }
        let labels = listed.iter().map(|row| row.label.clone()).collect();
        let story = self.studio.story();
        let picture = |row: &Listed| match &row.command {
            Command::Goto(name) => {
                let id = name.strip_prefix('#')?.parse().ok()?;
                story.picture(id).map(|_| id)
            }
            _ => None,
        };
        let pictures = listed.iter().map(picture).collect();
        self.overlay = Some(Overlay::list(title, labels).with_pictures(pictures));
    }

    fn shows_candidates(&self) -> bool {
        let shown = self.overlay.as_ref();
        shown.is_some_and(Overlay::shows_candidates)
    }

    /// Shows the candidates that are being generated, with their text so far.
    pub(super) fn show_candidates(&mut self) {
        let story = self.studio.story();
        let candidates = self.studio.candidates().iter();
        let text = |id: &NodeId| match story.node(*id) {
            Some(node) if node.text.is_empty() => {
                node.thought_remark().map_or(Cow::default(), Cow::from)
            }
            Some(node) => Cow::from(&node.text),
            None => Cow::default(),
        };
        let texts: Vec<Cow<str>> = candidates.map(text).collect();
        let texts: Vec<&str> = texts.iter().map(Cow::as_ref).collect();
        match &mut self.overlay {
            Some(overlay) if overlay.shows_candidates() => _ = overlay.update(&texts),
            _ => self.overlay = Some(Overlay::candidates(&texts)),
        }
    }

    /// If candidates are on the screen, updates their texts.
    pub(super) fn grow_candidates(&mut self) {
        if self.shows_candidates() && !self.studio.candidates().is_empty() {
            self.show_candidates();
        }
    }

    /// Handles a digit key, which selects the item with that number in a list. Returns true if the
    /// key was used.
    pub(super) fn pick_key(&mut self, event: &KeyEvent) -> bool {
        let Some(overlay) = self.overlay.as_mut().filter(|overlay| overlay.items() > 0) else {
            return false;
        };
        let digit = keys::typed(event).and_then(|c| c.to_digit(10)).unwrap_or(0) as usize;
        if digit == 0 || digit > overlay.items() || !self.input.is_empty() {
            return false;
        }
        let by = digit as isize - 1 - overlay.chosen().unwrap_or(0) as isize;
        overlay.choose(by)
    }

    /// Handles a key while an overlay is open. Returns false if the overlay did not use the key.
    pub(super) fn overlay_key(&mut self, event: &KeyEvent, action: Option<Action>) -> bool {
        let Some(overlay) = &mut self.overlay else {
            return false;
        };
        match action {
            Some(Action::Scroll(scroll)) => overlay.scroll(scroll),
            Some(Action::Edit(Edit::Up)) => return self.move_in_overlay(-1, Some(Scroll::LineUp)),
            Some(Action::Edit(Edit::Down)) => {
                return self.move_in_overlay(1, Some(Scroll::LineDown));
            }
            Some(Action::Escape) if self.studio.busy() => return false,
            Some(Action::Interrupt | Action::Redraw | Action::Suspend | Action::Leave) => {
                return false;
            }
            Some(Action::Submit) if self.pick_chosen() => {}
            Some(Action::Submit | Action::Escape) => self.overlay = None,
            _ if event.code == KeyCode::Up => return self.move_in_overlay(-1, None),
            _ if event.code == KeyCode::Down => return self.move_in_overlay(1, None),
            _ if event.code == KeyCode::Left => return self.move_in_overlay(-1, None),
            _ if event.code == KeyCode::Right => return self.move_in_overlay(1, None),
            _ if self.pick_key(event) => {}
            _ if keys::typed(event) == Some('q') && self.input.is_empty() => self.overlay = None,
            _ => {
                self.overlay = None;
                return false;
            }
        }
        true
    }

    /// Picks the selected item of the list. Returns false if no item is selected.
    pub(super) fn pick_chosen(&mut self) -> bool {
        let overlay = self.overlay.as_ref().filter(|overlay| overlay.items() > 0);
        let Some(at) = overlay.and_then(Overlay::chosen) else {
            return false;
        };
        if self.studio.writing() {
            // A continuation can be picked once it is complete.
            self.tell(Tone::Info, "Still generating; Esc stops it");
            return true;
        }
        self.overlay = None;
        self.run(Command::Pick(at + 1));
        true
    }

    /// Moves the selection if the overlay is a list; otherwise scrolls the overlay. Returns false
    /// if neither was possible.
    pub(super) fn move_in_overlay(&mut self, by: isize, scroll: Option<Scroll>) -> bool {
        let Some(overlay) = &mut self.overlay else {
            return false;
        };
        if overlay.items() > 0 {
            return overlay.choose(by);
        }
        match scroll {
            Some(scroll) => overlay.scroll(scroll),
            None => return false,
        }
        true
    }
}
