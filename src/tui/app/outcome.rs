//! Runs commands and shows their outcomes.

use super::App;
use crate::studio::{Outcome, Refusal};
use crate::tui::ExitReason;
use crate::tui::message::Tone;
use crate::tui::overlay::Overlay;
use story::Command;

impl App {
    /// Runs a command and shows its outcome. Returns false if the command was refused.
    pub(in crate::tui) fn run(&mut self, command: Command) -> bool {
        let done = self.run_and_show(command);
        self.show_remarks();
        done
    }

    fn run_and_show(&mut self, command: Command) -> bool {
        let several = matches!(command, Command::Gen(_));
        let other = matches!(command, Command::Open(_) | Command::New(_));
        self.message = None;
        match self.studio.run(command) {
            Ok(Outcome::Started(_)) => {
                self.page.follow();
                if several {
                    self.show_candidates();
                }
            }
            Ok(Outcome::Said(text)) => self.say(&text),
            Ok(Outcome::Moved(text)) => {
                if other {
                    self.page.forget();
                }
                self.page.follow();
                self.tell(Tone::Info, &text);
            }
            Ok(Outcome::Quit) => self.leave(ExitReason::Quit),
            Ok(Outcome::Bytes(_)) => {
                let why = "Standard output is this screen; give a file name, or export with `illumine sessions export`";
                self.tell(Tone::Error, why);
                return false;
            }
            Ok(Outcome::Asked) => {}
            Ok(Outcome::List(title, listed)) => self.list(&title, &listed),
            Ok(Outcome::Diff(stretches)) => self.overlay = Some(Overlay::diff(&stretches)),
            Ok(Outcome::Edit(node, text)) => self.begin_edit(node, &text),
            Err(refusal) => {
                let tone = if matches!(refusal, Refusal::Busy) {
                    Tone::Warning
                } else {
                    Tone::Error
                };
                self.tell(tone, &refusal.to_string());
                return false;
            }
        }
        true
    }

    /// Shows notices about the session's files.
    pub(super) fn show_remarks(&mut self) {
        let remarks = self.studio.remarks();
        if !remarks.is_empty() {
            self.tell(Tone::Warning, &remarks.join("\n"));
        }
    }
}
