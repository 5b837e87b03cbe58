//! Tests the event loop with keys, events and signals.

use super::*;
use crate::editor::{Editor, EditorError};
use std::cell::Cell;

/// A display for tests, which draws into a buffer and counts the frames.
struct Stand {
    terminal: Terminal<TestBackend>,
    frames: usize,
    suspended: usize,
    gone: bool,
}

impl Stand {
    fn new() -> Stand {
        let terminal = Terminal::new(TestBackend::new(60, 14)).unwrap();
        Stand {
            terminal,
            frames: 0,
            suspended: 0,
            gone: false,
        }
    }
}

impl Display for Stand {
    fn draw(&mut self, app: &mut App) -> io::Result<()> {
        if self.gone {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.frames += 1;
        let draw = |frame: &mut ratatui::Frame| {
            let areas = areas::layout(app, frame.area());
            view::draw(frame, app, &areas);
        };
        self.terminal.draw(draw).unwrap();
        Ok(())
    }

    fn redraw(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn edit(&mut self, editor: &Editor, text: &str) -> Result<String, EditorError> {
        editor.edit(text)
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.suspended += 1;
        Ok(())
    }
}

fn press(code: KeyCode, modifiers: KeyModifiers) -> Input {
    Input::Terminal(TerminalEvent::Key(KeyEvent::new(code, modifiers)))
}

/// Sends all inputs, then runs the event loop until it ends by itself. Returns the reason why it
/// ended.
fn attended(
    app: &mut App,
    events: &Receiver<Reply>,
    inputs: Vec<Input>,
    stand: &mut Stand,
) -> ExitReason {
    let (sender, inbox) = mpsc::channel();
    for input in inputs {
        sender.send(input).unwrap();
    }
    let time = Cell::new(0);
    let clock = || {
        time.set(time.get() + 1);
        Duration::from_millis(time.get())
    };
    drop(sender);
    let sources = Sources {
        inbox: &inbox,
        events,
        clock: &clock,
    };
    run_loop(app, stand, &sources, &mut Vec::new())
}

#[test]
fn keys_reach_the_story_and_quit_ends() {
    let (mut app, events, _folder) = app_with(Settings::default(), Options::default());
    let mut stand = Stand::new();
    let inputs = vec![
        Input::Terminal(TerminalEvent::Paste("Once".to_string())),
        press(KeyCode::Enter, KeyModifiers::NONE),
        press(KeyCode::Char('z'), KeyModifiers::CONTROL),
        press(KeyCode::Char('d'), KeyModifiers::CONTROL),
    ];
    assert_eq!(
        attended(&mut app, &events, inputs, &mut stand),
        ExitReason::Quit
    );
    assert_eq!(app.studio.story().nodes()[0].text, "Once");
    assert_eq!(stand.suspended, 1);
    // The engine reports that it has no model; quitting handles that event.
    wind_down(&mut app, &events);
    assert_eq!(app.studio.story().running(), None);
}

#[test]
fn a_signal_ends_with_its_number() {
    for (signal, why, code) in [
        (15, ExitReason::Signal(15), 143),
        (SIGINT, ExitReason::Interrupted, 130),
    ] {
        let (mut app, events, _folder) = app_with(Settings::default(), Options::default());
        let ended = attended(
            &mut app,
            &events,
            vec![Input::Signal(signal)],
            &mut Stand::new(),
        );
        assert_eq!((ended, ended.code()), (why, code));
    }
}

#[test]
fn a_terminal_that_is_gone_ends_quietly() {
    let (mut app, events, _folder) = app_with(Settings::default(), Options::default());
    let mut stand = Stand {
        gone: true,
        ..Stand::new()
    };
    assert_eq!(
        attended(&mut app, &events, Vec::new(), &mut stand),
        ExitReason::Signal(SIGHUP)
    );
    let silent = attended(&mut app, &events, Vec::new(), &mut Stand::new());
    assert_eq!(silent, ExitReason::Signal(SIGHUP));
}

#[test]
fn an_engine_that_is_gone_is_no_endless_wait() {
    let (mut app, engine, _folder) = app_with(Settings::default(), Options::default());
    drop(engine);
    let (sender, events) = mpsc::channel();
    drop(sender);
    app.paste("Once");
    let inputs = vec![press(KeyCode::Enter, KeyModifiers::NONE)];
    let mut stand = Stand::new();
    attended(&mut app, &events, inputs, &mut stand);
    let mut engine = true;
    take_events(&mut app, &events, &mut engine);
    assert!(!engine && !app.studio.busy());
    let said = app.message.map(|message| message.text).unwrap_or_default();
    assert!(said.contains("engine stopped"), "{said}");
}

#[test]
fn many_pieces_are_one_frame() {
    let (mut app, _engine, _folder) = app_with(Settings::default(), Options::default());
    app.paste("Once");
    app.key(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE));
    let node = app.studio.story().running().unwrap();
    let request = app.studio.newest_request().unwrap();
    let (sender, events) = mpsc::channel();
    for _ in 0..500 {
        sender
            .send(Reply {
                request,
                event: Event::Piece {
                    node,
                    text: " x".to_string(),
                    ids: vec![1],
                    healed: 0,
                },
            })
            .unwrap();
    }
    let mut stand = Stand::new();
    attended(&mut app, &events, Vec::new(), &mut stand);
    assert_eq!(stand.frames, 1);
    assert_eq!(
        app.studio.story().node(node).map(|node| node.ids.len()),
        Some(500)
    );
}
