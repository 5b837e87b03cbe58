//! Reads lines from a pipe or a file, with any line endings, in UTF-8 or UTF-16.

use base::decode::{Encoding, unmarked_utf16};
use illumine::line::{Input, LONGEST};
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};

type Source = Box<dyn BufRead>;

/// Reads a source line by line, so that each line can run as soon as it arrives.
pub struct PipedInput {
    source: Source,
    /// The name of the source in errors.
    name: &'static str,
    number: usize,
    /// Whether `begin` has been called. From then on, the source yields UTF-8 without a byte order
    /// mark.
    begun: bool,
    /// Whether the last line ended with a carriage return. A line feed that follows it directly
    /// belongs to the same line ending.
    after_return: bool,
    /// Whether reading has failed, so that no more lines can be read.
    broken: bool,
}

/// The bytes of a line.
#[derive(Default)]
struct Line {
    bytes: Vec<u8>,
    long: bool,
}

impl PipedInput {
    /// Creates the reader. `name` is the name of the source in errors, such as "standard input".
    pub fn new(source: Source, name: &'static str) -> PipedInput {
        PipedInput {
            source,
            name,
            number: 0,
            begun: false,
            after_return: false,
            broken: false,
        }
    }

    pub fn next(&mut self) -> Input {
        if self.broken {
            return Input::End;
        }
        let begun = if self.begun { Ok(()) } else { self.begin() };
        match begun.and_then(|()| self.line()) {
            Err(error) => {
                self.broken = true;
                Input::Unusable(format!("Cannot read {} ({error})", self.name))
            }
            Ok(None) => Input::End,
            Ok(Some(line)) => {
                self.number += 1;
                self.decoded(line)
            }
        }
    }

    fn decoded(&mut self, line: Line) -> Input {
        let number = self.number;
        if line.long {
            return Input::Unusable(format!(
                "Skipped line {number}, which is longer than {} MB; split it into several lines",
                LONGEST >> 20
            ));
        }
        if let Some(encoding) = unmarked_utf16(&line.bytes) {
            self.broken = true;
            return Input::Unusable(format!(
                "Cannot read {}: it is UTF-16 without a byte order mark; convert it to UTF-8, for example with iconv -f {encoding}",
                self.name
            ));
        }
        match String::from_utf8(line.bytes) {
            Ok(line) => Input::Line(line),
            Err(_) => Input::Unusable(format!(
                "Skipped line {number}, which is not UTF-8; convert the input, for example with iconv"
            )),
        }
    }

    /// Skips any byte order mark, and prepares to read UTF-8.
    fn begin(&mut self) -> io::Result<()> {
        self.begun = true;
        let mut start = Vec::new();
        while may_be_mark(&start) && start.len() < 3 {
            let Some(byte) = peek(&mut self.source)?.first().copied() else {
                break;
            };
            start.push(byte);
            if !may_be_mark(&start) {
                start.pop();
                break;
            }
            self.source.consume(1);
            if Encoding::of_mark(&start).1 > 0 {
                break;
            }
        }
        let (encoding, mark) = Encoding::of_mark(&start);
        let source = std::mem::replace(&mut self.source, Box::new(io::empty()));
        let source = Cursor::new(start.split_off(mark)).chain(source);
        self.source = match encoding {
            Encoding::Utf8 => Box::new(source),
            Encoding::Utf16Le | Encoding::Utf16Be => {
                Box::new(BufReader::new(Recoded::new(Box::new(source), encoding)))
            }
        };
        Ok(())
    }

    /// Reads the next line, without its line ending. Returns None at the end of the input.
    fn line(&mut self) -> io::Result<Option<Line>> {
        let (mut line, mut fresh) = (Line::default(), true);
        loop {
            let bytes = peek(&mut self.source)?;
            let Some(first) = bytes.first() else {
                return Ok((!fresh).then_some(line));
            };
            if std::mem::take(&mut self.after_return) && *first == b'\n' {
                self.source.consume(1);
                continue;
            }
            fresh = false;
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let own = &bytes[..end.unwrap_or(bytes.len())];
            line.long |= line.bytes.len() + own.len() > LONGEST;
            match line.long {
                true => line.bytes = Vec::new(),
                false => line.bytes.extend(own),
            }
            self.after_return = end.is_some_and(|end| bytes[end] == b'\r');
            let used = own.len() + usize::from(end.is_some());
            self.source.consume(used);
            if end.is_some() {
                return Ok(Some(line));
            }
        }
    }
}

/// Returns bytes that the source has buffered, or an empty slice at the end of the source.
fn peek(source: &mut Source) -> io::Result<&[u8]> {
    loop {
        match source.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    source.fill_buf()
}

/// Whether `start` is the beginning of a byte order mark.
fn may_be_mark(start: &[u8]) -> bool {
    let marks: [&[u8]; 3] = [&[0xef, 0xbb, 0xbf], &[0xff, 0xfe], &[0xfe, 0xff]];
    marks.iter().any(|mark| mark.starts_with(start))
}

/// Converts UTF-16 to UTF-8 while it is being read. Invalid code units become bytes that are
/// invalid in UTF-8.
struct Recoded {
    source: Source,
    encoding: Encoding,
    /// The first byte of a code unit whose second byte has not arrived.
    half: Option<u8>,
    /// The first code unit of a surrogate pair whose second unit has not arrived.
    high: Option<u16>,
    done: Cursor<Vec<u8>>,
}

const WRONG: u8 = 0xff;

impl Recoded {
    fn new(source: Source, encoding: Encoding) -> Recoded {
        let (half, high, done) = (None, None, Cursor::default());
        Recoded {
            source,
            encoding,
            half,
            high,
            done,
        }
    }

    fn push(&mut self, unit: u16, out: &mut Vec<u8>) {
        let high = self.high.take();
        if (0xd800..0xdc00).contains(&unit) {
            out.extend(high.map(|_| WRONG));
            self.high = Some(unit);
            return;
        }
        let units = high.into_iter().chain([unit]);
        for c in char::decode_utf16(units) {
            match c {
                Ok(c) => out.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
                Err(_) => out.push(WRONG),
            }
        }
    }
}

impl Read for Recoded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.done.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let bytes = peek(&mut self.source)?.to_vec();
            self.source.consume(bytes.len());
            let mut out = Vec::new();
            if bytes.is_empty() {
                let cut = self.half.take().is_some() | self.high.take().is_some();
                if !cut {
                    return Ok(0);
                }
                out.push(WRONG);
            }
            for byte in bytes {
                match self.half.take() {
                    None => self.half = Some(byte),
                    Some(first) => self.push(self.encoding.unit([first, byte]), &mut out),
                }
            }
            self.done = Cursor::new(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source that yields one byte per read, as a slow pipe may do.
    struct Slow(Cursor<Vec<u8>>);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let one = buffer.len().min(1);
            self.0.read(&mut buffer[..one])
        }
    }

    fn inputs(source: Source) -> Vec<Input> {
        let mut piped = PipedInput::new(source, "the test");
        let next = || Some(piped.next()).filter(|input| *input != Input::End);
        std::iter::from_fn(next).collect()
    }

    #[track_caller]
    fn lines(bytes: &[u8]) -> Vec<String> {
        let slow = BufReader::new(Slow(Cursor::new(bytes.to_vec())));
        let read = inputs(Box::new(slow));
        assert_eq!(read, inputs(Box::new(Cursor::new(bytes.to_vec()))));
        let text = |input| match input {
            Input::Line(text) => text,
            other => panic!("{other:?}"),
        };
        read.into_iter().map(text).collect()
    }

    fn utf16(text: &str, big: bool) -> Vec<u8> {
        let bytes = |unit: u16| match big {
            true => unit.to_be_bytes(),
            false => unit.to_le_bytes(),
        };
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn every_way_to_end_a_line_is_one_end() {
        for text in ["a\nb\n\nc", "a\r\nb\r\n\r\nc\r\n", "a\rb\r\rc\r"] {
            assert_eq!(lines(text.as_bytes()), ["a", "b", "", "c"], "{text:?}");
        }
        assert_eq!(lines(b"a\r\n\rb"), ["a", "", "b"]);
        assert_eq!(lines(b""), [""; 0]);
        assert_eq!(lines(b"\r\n"), [""]);
    }

    #[test]
    fn a_mark_is_skipped_and_utf_16_is_read() {
        assert_eq!(lines(b"\xef\xbb\xbf/help\nx"), ["/help", "x"]);
        assert_eq!(lines(b"\xef\xbb\xbf"), [""; 0]);
        assert_eq!(lines("ﻼ\n".as_bytes()), ["ﻼ"]);
        for big in [false, true] {
            let text = utf16("\u{feff}Ł 🕯\r\n\u{10a}\u{a0a}\n", big);
            assert_eq!(lines(&text), ["Ł 🕯", "\u{10a}\u{a0a}"]);
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_and_the_rest_is_not_lost() {
        let said = |bytes: &[u8]| -> Vec<String> {
            let read = inputs(Box::new(Cursor::new(bytes.to_vec()))).into_iter();
            let text = |input| match input {
                Input::Line(text) | Input::Unusable(text) => text,
                other => panic!("{other:?}"),
            };
            read.map(text).collect()
        };
        let read = said(b"one\ncaf\xe9\nthree\n\xef\xbb");
        assert_eq!((read[0].as_str(), read[2].as_str()), ("one", "three"));
        assert!(read[1].contains("line 2, which is not UTF-8"), "{read:?}");
        assert!(read[3].contains("line 4, which is not UTF-8"), "{read:?}");
        let cut = [utf16("\u{feff}ab\n", false), vec![0x3d, 0xd8]].concat();
        assert!(said(&cut)[1].contains("line 2"), "{:?}", said(&cut));
        let unmarked = said(&utf16("The lamp.\nIt went out.\n", true));
        assert_eq!(unmarked.len(), 1);
        assert!(unmarked[0].contains("UTF-16BE"), "{unmarked:?}");
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let endless = io::repeat(b'x').take(100 << 20);
        let source = endless.chain(Cursor::new(b"\nafter\n"));
        let read = inputs(Box::new(BufReader::new(source)));
        assert!(matches!(&read[0], Input::Unusable(why) if why.contains("line 1")));
        assert_eq!(read[1..], [Input::Line("after".to_string())]);
    }
}
