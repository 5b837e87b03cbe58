//! Tests the app without a terminal, a model or a clock: sends keys to the app and checks the
//! screen.

use super::*;
use crate::engine::{Engine, NoModel};
use crate::store::Sessions;
use crate::store::prompts::Prompts;
use crate::studio::Setup;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use story::Event;
use story::message::{Capabilities, ModelInfo, PassageStats};
use story::{Mode, NodeId, SettingOverrides, Settings, Status};

mod keys;
mod loops;
mod pages;
mod screens;

/// The app under test, with a temporary folder for its sessions.
struct Desk {
    app: App,
    terminal: Terminal<TestBackend>,
    _engine: Receiver<Reply>,
    _folder: tempfile::TempDir,
}

fn desk() -> Desk {
    desk_with(
        Settings::default(),
        Options {
            colour: true,
            ..Options::default()
        },
    )
}

fn desk_with(settings: Settings, options: Options) -> Desk {
    let (app, engine, folder) = app_with(settings, options);
    let terminal = Terminal::new(TestBackend::new(60, 14)).unwrap();
    Desk {
        app,
        terminal,
        _engine: engine,
        _folder: folder,
    }
}

fn app_with(defaults: Settings, options: Options) -> (App, Receiver<Reply>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (sender, events) = mpsc::channel();
    let setup = Setup {
        sessions: Sessions::new(folder.path()),
        defaults,
        build: "test".to_string(),
        entropy: 1,
        now: || "2026-01-01T00:00:00Z".to_string(),
        backups: 0,
        private: false,
        prompts: Prompts::default(),
        home: None,
        servers: None,
        styles: vec!["noto".to_string(), "ink".to_string()],
        models: vec!["smol-1".into(), "smol-2".into()],
        asked: SettingOverrides::default(),
    };
    let mut app = App::new(Studio::new(Engine::start(NoModel, sender), setup), options);
    app.studio.load_model();
    let about = ModelInfo {
        name: "tiny".to_string(),
        backend: "cpu".to_string(),
        context: 512,
        chat: true,
        ..ModelInfo::default()
    };
    says(&mut app, Event::Ready(about, Capabilities::all()));
    let done = Event::Done {
        node: None,
        status: Status::Complete,
        stats: PassageStats::default(),
    };
    says(&mut app, done);
    (app, events, folder)
}

/// Passes an event to the app as the engine's reply to the newest request.
fn says(app: &mut App, event: Event) {
    let request = app.studio.newest_request().expect("the engine is asked");
    app.absorb(Reply { request, event });
}

impl Desk {
    fn says(&mut self, event: Event) {
        says(&mut self.app, event);
    }

    fn press(&mut self, code: KeyCode) -> &mut Desk {
        self.press_with(KeyModifiers::NONE, code)
    }

    fn press_with(&mut self, modifiers: KeyModifiers, code: KeyCode) -> &mut Desk {
        self.app.key(KeyEvent::new(code, modifiers));
        self
    }

    fn type_in(&mut self, text: &str) -> &mut Desk {
        for c in text.chars() {
            self.press(KeyCode::Char(c));
        }
        self
    }

    fn enter(&mut self, text: &str) -> &mut Desk {
        self.type_in(text).press(KeyCode::Enter)
    }

    fn running(&self) -> NodeId {
        self.app
            .studio
            .story()
            .running()
            .expect("a passage is being written")
    }

    fn stream(&mut self, text: &str) -> &mut Desk {
        let (node, ids) = (self.running(), vec![7]);
        self.says(Event::Piece {
            node,
            text: text.to_string(),
            ids,
            healed: 0,
        });
        self.app.flush();
        self
    }

    fn end(&mut self, status: Status) -> &mut Desk {
        let stats = PassageStats {
            prompt_tokens: 12,
            new_tokens: 30,
            decode_ms: 1000.0,
            ..PassageStats::default()
        };
        let node = Some(self.running());
        self.says(Event::Done {
            node,
            status,
            stats,
        });
        self
    }

    fn answered(&mut self, words: &str, answer: &str) -> &mut Desk {
        self.enter(words).stream(answer).end(Status::Complete)
    }

    fn resize(&mut self, width: u16, height: u16) -> &mut Desk {
        self.terminal.backend_mut().resize(width, height);
        self
    }

    fn draw(&mut self) -> &mut Desk {
        let app = &mut self.app;
        let draw = |frame: &mut ratatui::Frame| {
            let areas = areas::layout(app, frame.area());
            view::draw(frame, app, &areas);
        };
        self.terminal.draw(draw).unwrap();
        self
    }

    /// Draws the app and returns the text on the screen, followed by the spans that do not have the
    /// plain style.
    fn screen(&mut self) -> String {
        self.draw();
        let buffer = self.terminal.backend().buffer();
        format!("{}\n{}", symbols(buffer), styles(buffer))
    }

    fn text(&mut self) -> String {
        self.draw();
        symbols(self.terminal.backend().buffer())
    }
}

fn symbols(buffer: &Buffer) -> String {
    let rows = (0..buffer.area.height).map(|y| {
        let mut row = String::new();
        let mut x = 0;
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            row += symbol;
            x += wrap::cells(symbol).max(1) as u16;
        }
        row.trim_end().to_string()
    });
    rows.collect::<Vec<_>>().join("\n")
}

/// Lists the parts of each row that have a style. TestBackend's own output does not include styles.
fn styles(buffer: &Buffer) -> String {
    let Rect { width, height, .. } = buffer.area;
    let mut lines = Vec::new();
    for y in 0..height {
        let mut x = 0;
        while x < width {
            let style = buffer[(x, y)].style();
            let same = (x..width)
                .take_while(|x| buffer[(*x, y)].style() == style)
                .count() as u16;
            let plain = Style::reset().remove_modifier(ratatui::style::Modifier::all());
            if style != plain && style != Style::reset() && !look(style).is_empty() {
                lines.push(format!("{y}:{x}-{} {}", x + same - 1, look(style)));
            }
            x += same;
        }
    }
    lines.join("\n")
}

fn look(style: Style) -> String {
    use ratatui::style::Color;
    let colour = |name: &str, colour: Option<Color>| match colour {
        None | Some(Color::Reset) => String::new(),
        Some(colour) => format!("{name}{colour} "),
    };
    let modifier = match style.add_modifier {
        empty if empty.is_empty() => String::new(),
        some => format!("{some:?}"),
    };
    let look = format!(
        "{}{}{modifier}",
        colour("", style.fg),
        colour("on ", style.bg)
    );
    look.trim_end().to_string()
}
