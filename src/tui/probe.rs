//! Asks the terminal once, before any key is read, which graphics it supports.
//!
//! The ratatui-image library can also do this. However, if no answer comes, one of its threads
//! keeps reading keys, and text typed in the meantime is lost. This module therefore sends the same
//! queries itself, returns everything that is not an answer as typed text, and stops waiting after
//! a time limit.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui_image::FontSize;
use ratatui_image::picker::{Picker, ProtocolType};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// What is known about the terminal before it is queried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TerminalHints {
    /// Whether the terminal may be queried.
    pub ask: bool,
    /// Whether the environment says that the terminal supports kitty's graphics protocol, and that
    /// no other program (such as tmux) runs between the terminal and illumine.
    pub kitty: bool,
    /// Whether the environment says that the terminal supports iTerm's graphics protocol.
    pub iterm: bool,
    /// Whether the terminal is on a remote machine, so that its answers take longer.
    pub far: bool,
}

/// The terminal's answers to the queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ProbeAnswers {
    kitty: bool,
    /// Whether the terminal is a version of kitty without Unicode placeholders, which are needed to
    /// scroll pictures with the text.
    old: bool,
    sixel: bool,
    /// The width and height of a cell in pixels, if the terminal has reported them.
    cell: Option<(u16, u16)>,
    /// Whether the terminal has answered the last query. If so, no more answers follow.
    all: bool,
}

/// The result of querying the terminal.
#[derive(Default)]
pub struct ProbeResult {
    /// The settings of the terminal's graphics protocol, if the terminal has one.
    pub picker: Option<Picker>,
    /// The text that the writer typed while the terminal was queried.
    pub typed: String,
    /// The filter for answers that may still arrive.
    pub late: LateReplies,
}

/// Queries the terminal and waits for its answers for a few seconds at most. The terminal must be
/// in raw mode.
pub fn ask(hints: TerminalHints) -> ProbeResult {
    let there = io::stdin().is_terminal() && io::stdout().is_terminal();
    if !hints.ask || !there {
        return ProbeResult::default();
    }
    // Terminals answer at once, unless the machine is busy or remote.
    let patience = Duration::from_millis(if hints.far || hints.kitty { 3000 } else { 1000 });
    let mut heard = Vec::new();
    if send_queries(hints.kitty).is_ok() {
        read_replies(&mut heard, Instant::now() + patience);
    }
    let (answers, typed) = parse_replies(&heard);
    ProbeResult {
        picker: make_picker(hints, answers),
        typed,
        late: LateReplies {
            expected: if hints.kitty && !answers.all { 2 } else { 0 },
            inside: 0,
        },
    }
}

/// A filter for late answers. If an answer from kitty arrives after [`ask`] has stopped waiting, it
/// looks like typed keys: first Alt+_ (or Alt+P if the answer is kitty's version), then the text of
/// the answer, and finally Alt+\. The key reader recognizes all other answers.
#[derive(Default)]
pub struct LateReplies {
    /// The number of answers that may still arrive.
    expected: usize,
    /// The number of keys of the current answer that have arrived; 0 between answers.
    inside: usize,
}

/// The maximum length of a terminal's reply, counted in key events.
const LONGEST: usize = 64;

impl LateReplies {
    /// Returns true if a key is part of a late answer, and false if the writer typed it.
    pub fn takes(&mut self, key: &KeyEvent) -> bool {
        let alt = |c| key.code == KeyCode::Char(c) && key.modifiers.contains(KeyModifiers::ALT);
        if self.expected == 0 {
            return false;
        }
        if self.inside == 0 && !alt('_') && !alt('P') {
            return false;
        }
        self.inside += 1;
        if alt('\\') || self.inside > LONGEST {
            self.expected -= 1;
            self.inside = 0;
        }
        true
    }
}

/// Sends the queries. If `kitty` is true, first asks for kitty's graphics support and version
/// (XTVERSION). Then asks for the size of a cell, the device attributes (attribute 4 means sixel
/// graphics), and finally the device status, which every terminal reports.
fn send_queries(kitty: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if kitty {
        out.write_all(b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[>q")?;
    }
    out.write_all(b"\x1b[16t\x1b[c\x1b[5n")?;
    out.flush()
}

fn read_replies(heard: &mut Vec<u8>, until: Instant) {
    let mut polled = libc::pollfd {
        fd: io::stdin().as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    while !parse_replies(heard).0.all && heard.len() < 4096 {
        let left = until.saturating_duration_since(Instant::now()).as_millis();
        // SAFETY: the pointer is to one descriptor, which outlives the call.
        let ready = unsafe { libc::poll(&mut polled, 1, left as libc::c_int) };
        if ready <= 0 || polled.revents & libc::POLLIN == 0 {
            return;
        }
        let mut some = [0u8; 256];
        // SAFETY: pointer and length describe an array that outlives the call. Bypasses the
        // standard library, which would hold back later input in its own buffer.
        let count = unsafe { libc::read(polled.fd, some.as_mut_ptr().cast(), some.len()) };
        match usize::try_from(count) {
            Ok(count) if count > 0 => heard.extend(&some[..count]),
            _ => return,
        }
    }
}

/// Separates the terminal's answers from typed text in the bytes `heard`.
fn parse_replies(heard: &[u8]) -> (ProbeAnswers, String) {
    let mut answers = ProbeAnswers::default();
    let mut typed = Vec::new();
    let mut rest = heard;
    while let Some((first, after)) = rest.split_first() {
        let taken = match (first, after.first()) {
            (0x1b, Some(b'[')) => after.iter().skip(1).position(|b| (0x40..=0x7e).contains(b)),
            (0x1b, Some(b'_' | b'P')) => after.windows(2).position(|two| two == b"\x1b\\"),
            _ => None,
        };
        match taken {
            Some(end) => {
                answers.take(&after[..end + 2]);
                rest = &after[end + 2..];
            }
            // The beginning of an incomplete answer.
            None if *first == 0x1b => break,
            None => {
                typed.push(*first);
                rest = after;
            }
        }
    }
    let typed = String::from_utf8_lossy(&typed);
    let typed = typed.chars().filter(|c| !c.is_control()).collect();
    (answers, typed)
}

impl ProbeAnswers {
    /// Parses one answer and stores its result. `answer` does not contain the initial escape
    /// character.
    fn take(&mut self, answer: &[u8]) {
        let Ok(text) = std::str::from_utf8(answer) else {
            return;
        };
        if let Some(kitty) = text.strip_prefix("_G") {
            self.kitty |= kitty.contains(";OK");
        } else if let Some(version) = text.strip_prefix("P>|kitty(") {
            self.old |= lacks_placeholders(version);
        } else if let Some(attributes) = text.strip_prefix("[?").and_then(|t| t.strip_suffix('c')) {
            self.sixel |= attributes.split(';').any(|attribute| attribute == "4");
        } else if let Some(size) = text.strip_prefix("[6;").and_then(|t| t.strip_suffix('t')) {
            let size = size.split_once(';');
            let size = size.and_then(|(high, wide)| Some((wide.parse().ok()?, high.parse().ok()?)));
            self.cell = size.filter(|(wide, high)| *wide > 0 && *high > 0);
        } else if text == "[0n" || text == "[3n" {
            self.all = true;
        }
    }
}

/// Whether a version of kitty is older than 0.28, which introduced Unicode placeholders (according
/// to kitty's changelog).
fn lacks_placeholders(version: &str) -> bool {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next().and_then(|number| number.parse::<u32>().ok());
    matches!((number(), number()), (Some(0), Some(minor)) if minor < 28)
}

/// Chooses a graphics protocol. Returns None if the terminal supports no such protocol. Also
/// returns None if the size of a cell is unknown, since pictures could then not be fitted into
/// cells.
fn make_picker(hints: TerminalHints, answers: ProbeAnswers) -> Option<Picker> {
    // The terminal's answers take precedence over environment variables.
    let kitty = answers.kitty && !answers.old;
    let protocol = match (kitty, answers.sixel, hints.iterm) {
        (true, ..) => ProtocolType::Kitty,
        (_, true, _) => ProtocolType::Sixel,
        (.., true) => ProtocolType::Iterm2,
        _ => return None,
    };
    let cell = FontSize::from(answers.cell.or_else(cell_pixels)?);
    // Deprecated because the library prefers to query by itself; see above.
    #[allow(deprecated)]
    let mut picker = Picker::from_fontsize(cell);
    picker.set_protocol_type(protocol);
    Some(picker)
}

/// The width and height of a cell in pixels, computed from the size of the window; None if the
/// terminal does not report the window's size in pixels.
fn cell_pixels() -> Option<(u16, u16)> {
    let size = crossterm::terminal::window_size().ok()?;
    let cell = |pixels: u16, cells: u16| pixels.checked_div(cells).filter(|pixels| *pixels > 0);
    Some((
        cell(size.width, size.columns)?,
        cell(size.height, size.rows)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_from_what_was_typed() {
        let (answers, typed) =
            parse_replies(b"On\x1b_Gi=31;OK\x1b\\c\x1b[6;18;9te\x1b[?62;4;22c\x1b[0n");
        let all = ProbeAnswers {
            kitty: true,
            old: false,
            sixel: true,
            cell: Some((9, 18)),
            all: true,
        };
        assert_eq!((answers, typed.as_str()), (all, "Once"));
        let (answers, typed) = parse_replies("\u{1b}[?1;2c\u{1b}[0né\u{7}".as_bytes());
        let plain = ProbeAnswers {
            all: true,
            ..ProbeAnswers::default()
        };
        assert_eq!((answers, typed.as_str()), (plain, "é"));
        let (answers, _) = parse_replies(b"\x1b_Gi=31;ENOSYS:no\x1b\\\x1b[6;0;0t\x1b[0");
        assert_eq!(answers, ProbeAnswers::default());
    }

    #[test]
    fn an_answer_that_comes_late_is_not_typed() {
        let key = |c, alt| {
            let modifiers = if alt {
                KeyModifiers::ALT
            } else {
                KeyModifiers::NONE
            };
            KeyEvent::new(KeyCode::Char(c), modifiers)
        };
        let mut late = LateReplies {
            expected: 2,
            inside: 0,
        };
        assert!(!late.takes(&key('O', false)));
        assert!(late.takes(&key('_', true)));
        assert!("Gi=31;OK".chars().all(|c| late.takes(&key(c, false))));
        assert!(late.takes(&key('\\', true)));
        assert!(!late.takes(&key('n', false)) && late.takes(&key('P', true)));
        assert!(
            ">|kitty(0.32.2)"
                .chars()
                .all(|c| late.takes(&key(c, false)))
        );
        assert!(late.takes(&key('\\', true)));
        assert!(!late.takes(&key('n', false)) && !late.takes(&key('_', true)));
        assert!(!LateReplies::default().takes(&key('_', true)));
    }

    #[test]
    fn any_bytes_are_read() {
        for seed in 0..2000u32 {
            let bytes: Vec<u8> = (0..seed % 40)
                .map(|n| {
                    let x = seed.wrapping_mul(2654435761).wrapping_add(n * 40503);
                    [0x1b, b'[', b'_', b'\\', b'c', b'6', b';', 0xff][(x >> 13) as usize % 8]
                })
                .collect();
            let _ = parse_replies(&bytes);
        }
    }

    #[test]
    fn a_kitty_that_knows_no_placeholders_yet_is_given_half_blocks() {
        let protocol = |version: &str| {
            let heard = format!("\x1b_Gi=31;OK\x1b\\\x1bP>|{version}\x1b\\\x1b[6;18;9t\x1b[0n");
            let (answers, typed) = parse_replies(heard.as_bytes());
            assert!(answers.all && typed.is_empty());
            make_picker(TerminalHints::default(), answers).map(|it| it.protocol_type())
        };
        assert_eq!(protocol("kitty(0.26.5)"), None);
        for version in [
            "kitty(0.28.0)",
            "kitty(0.32.2)",
            "kitty(1.0.1)",
            "ghostty 1.0.0",
        ] {
            assert_eq!(protocol(version), Some(ProtocolType::Kitty), "{version}");
        }
    }

    #[test]
    fn a_protocol_needs_the_size_of_a_cell() {
        let sixel = ProbeAnswers {
            sixel: true,
            cell: Some((9, 18)),
            ..ProbeAnswers::default()
        };
        let made = make_picker(TerminalHints::default(), sixel).map(|it| it.protocol_type());
        assert_eq!(made, Some(ProtocolType::Sixel));
        assert!(make_picker(TerminalHints::default(), ProbeAnswers::default()).is_none());
    }
}
