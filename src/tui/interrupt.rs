//! Handles Esc and Ctrl+C, which stop generation, close lists or clear the input. A second Ctrl+C
//! within a second quits.

use super::ExitReason;
use super::app::{AGAIN, App};
use super::message::{Message, Tone};

impl App {
    pub(super) fn escape(&mut self) {
        if self.studio.busy() {
            self.stop();
        } else if self.hints.take().is_none() && !self.leave_edit() {
            self.message = None;
        }
    }

    pub(super) fn interrupt(&mut self) {
        let again = self
            .interrupted
            .take()
            .is_some_and(|at| self.now < at + AGAIN);
        if again {
            self.leave(ExitReason::Interrupted);
        } else if self.studio.busy() {
            self.stop();
        } else if !self.input.is_empty() {
            if self.editing.take().is_none() && !self.studio.is_private() {
                // The line is saved in the history; Ctrl+P restores it.
                self.history.add(self.input.text());
            }
            self.input.take();
            self.hints = None;
        } else {
            self.overlay = None;
            self.interrupted = Some(self.now);
            self.message = Some(Message {
                tone: Tone::Info,
                text: "Press Ctrl+C again within a second, or Ctrl+D, to quit".to_string(),
                until: Some(self.now + AGAIN),
            });
        }
    }

    fn stop(&mut self) {
        self.studio.stop();
        self.stopping = true;
    }
}
