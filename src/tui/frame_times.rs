//! Measures frame times for `illumine bench`: the real app draws into a buffer instead of a
//! terminal.

use super::{App, Options, areas, view};
use crate::studio::{Outcome, Studio};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::time::{Duration, Instant};
use story::{Command, Event, Reply};

/// The size of the simulated screen: columns and rows.
const SCREEN: (u16, u16) = (120, 40);

/// Streams words into the studio's story, one word per frame, and returns the time of each frame. A
/// frame consists of handling the word, journaling it, laying out the page and drawing the page.
/// Returns None if the story cannot be written to.
pub fn frame_times(studio: Studio, frames: usize) -> Option<Vec<Duration>> {
    let options = Options {
        colour: true,
        ..Options::default()
    };
    let mut app = App::new(studio, options);
    let started = app.studio.run(Command::Write("The bell rang.".to_string()));
    let Ok(Outcome::Started(node)) = started else {
        return None;
    };
    let request = app.studio.newest_request()?;
    let Ok(mut terminal) = Terminal::new(TestBackend::new(SCREEN.0, SCREEN.1));
    let mut times = Vec::new();
    for at in 0..frames {
        let began = Instant::now();
        let event = Event::Piece {
            node,
            text: format!(" word{at}"),
            ids: vec![at as u32],
            healed: 0,
        };
        app.absorb(Reply { request, event });
        app.flush();
        let Ok(_) = terminal.draw(|frame| {
            let areas = areas::layout(&mut app, frame.area());
            view::draw(frame, &app, &areas);
        });
        times.push(began.elapsed());
    }
    Some(times)
}
