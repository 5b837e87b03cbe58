//! Follows the engine until it is idle, for commands that make a single request.

use super::page::Meter;
use super::{Exit, Failed, complain};
use illumine::studio::{Notice, Studio};
use std::sync::mpsc::Receiver;
use story::Reply;

/// Handles the engine's replies until the engine is idle. Shows progress and warnings, returns the
/// first error, and passes every notice except warnings and errors to `take`.
pub fn follow(
    studio: &mut Studio,
    replies: &Receiver<Reply>,
    mut take: impl FnMut(&mut Studio, Notice) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let mut meter = Meter::new();
    while studio.busy() {
        let Ok(reply) = replies.recv() else {
            let why = "The engine stopped unexpectedly; try again";
            return Err(Failed::new(Exit::Engine, why));
        };
        for notice in studio.absorb(reply) {
            match notice {
                Notice::Progress => meter.show(studio.work()),
                Notice::Text { .. } | Notice::Answered(_) => meter.clear(),
                Notice::Warning(why) => {
                    complain(&why);
                    continue;
                }
                Notice::Error(why, fault) => {
                    meter.clear();
                    return Err(Failed::new(fault.into(), why));
                }
                Notice::Thought(_)
                | Notice::LeftOut(_)
                | Notice::Info(_)
                | Notice::Advice(_)
                | Notice::Ended(..)
                | Notice::Stopped
                | Notice::Drawn { .. }
                | Notice::List(..)
                | Notice::Suggested(_)
                | Notice::Explained(_)
                | Notice::Measured(_) => {}
            }
            take(studio, notice)?;
        }
    }
    Ok(())
}
