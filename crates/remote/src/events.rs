//! Splits the bytes of an answer into events, which are server-sent events or lines of JSON.
//!
//! The parser from the `sseer` crate, which uses no threads or I/O, splits the lines into fields.
//! This module assembles the fields into events. It limits the size of lines and events, so that a
//! hostile server cannot exhaust the memory.

use bytes::BytesMut;
use sseer::parser::{RawEventLineOwned, parse_line_from_buffer};
use std::collections::VecDeque;

/// The way in which the body of an answer is divided into events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The body consists of server-sent events.
    Sse,
    /// Each line of the body is a JSON value, which is one event.
    Lines,
    /// The body is a single JSON value, which is the only event.
    Whole,
}

/// The maximum size of a line or an event, in bytes.
const LARGEST: usize = 4 << 20;

/// The error for a line or an event that exceeds the maximum size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Divides a body into events. The bytes of the body may arrive in parts of any size.
#[derive(Clone, Debug)]
pub struct Events {
    framing: Framing,
    begun: bool,
    buffer: BytesMut,
    scanned: usize,
    /// The data lines of the event that is still incomplete.
    data: Vec<u8>,
    has_data: bool,
    ready: VecDeque<String>,
}

impl Events {
    pub fn new(framing: Framing) -> Events {
        Events {
            framing,
            begun: false,
            buffer: BytesMut::new(),
            scanned: 0,
            data: Vec::new(),
            has_data: false,
            ready: VecDeque::new(),
        }
    }

    /// Adds the next bytes of the body.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        self.buffer.extend_from_slice(bytes);
        if !self.begun {
            self.begin();
        }
        match self.framing {
            _ if !self.begun => {}
            Framing::Sse => self.split_sse()?,
            Framing::Lines => self.split_lines(),
            Framing::Whole => {}
        }
        match self.buffer.len() + self.data.len() > LARGEST {
            true => Err(TooLong),
            false => Ok(()),
        }
    }

    /// Returns the data of the next complete event, if there is one.
    pub fn next_event(&mut self) -> Option<String> {
        self.ready.pop_front()
    }

    /// Returns the event that is still pending at the end of the body, if its data is complete. A
    /// server may omit the last line break.
    pub fn rest(&mut self) -> Option<String> {
        let mut rest = std::mem::take(&mut self.data);
        let line = std::mem::take(&mut self.buffer);
        let line: &[u8] = match self.framing {
            Framing::Sse => match line.strip_prefix(b"data:") {
                Some(value) => value,
                None => b"",
            },
            Framing::Lines | Framing::Whole => &line,
        };
        rest.extend_from_slice(line);
        let text = String::from_utf8_lossy(&rest).trim().to_string();
        let whole = text == "[DONE]" || serde_json::from_str::<serde_json::Value>(&text).is_ok();
        (whole && !text.is_empty()).then_some(text)
    }

    /// Checks the first bytes of a body. If the body is a single JSON value, it is not a stream,
    /// whatever its header states.
    fn begin(&mut self) {
        const BOM: &[u8] = b"\xef\xbb\xbf";
        if BOM.starts_with(&self.buffer) && self.buffer.len() < BOM.len() {
            return;
        }
        if self.buffer.starts_with(BOM) {
            _ = self.buffer.split_to(BOM.len());
        }
        if let Some(first) = self.buffer.iter().find(|byte| !byte.is_ascii_whitespace()) {
            self.begun = true;
            if self.framing == Framing::Sse && matches!(first, b'{' | b'[') {
                self.framing = Framing::Whole;
            }
        }
    }

    fn split_sse(&mut self) -> Result<(), TooLong> {
        while let Some(line) = parse_line_from_buffer(&mut self.buffer, &mut self.scanned) {
            match line {
                RawEventLineOwned::Comment => {}
                RawEventLineOwned::Empty => self.dispatch(),
                RawEventLineOwned::Field {
                    field_name,
                    field_value,
                } if field_name.as_ref() == b"data" => {
                    if self.has_data {
                        self.data.push(b'\n');
                    }
                    self.data
                        .extend_from_slice(&field_value.unwrap_or_default());
                    self.has_data = true;
                }
                // Older llama-servers report errors this way.
                RawEventLineOwned::Field {
                    field_name,
                    field_value: Some(value),
                } if field_name.as_ref() == b"error" => {
                    self.data = [b"{\"error\":".as_slice(), &value, b"}"].concat();
                    self.has_data = true;
                }
                RawEventLineOwned::Field { .. } => {}
            }
            if self.data.len() > LARGEST {
                return Err(TooLong);
            }
        }
        Ok(())
    }

    fn dispatch(&mut self) {
        if std::mem::take(&mut self.has_data) {
            let data = std::mem::take(&mut self.data);
            self.ready
                .push_back(String::from_utf8_lossy(&data).into_owned());
        }
    }

    fn split_lines(&mut self) {
        while let Some(end) = self.buffer[self.scanned..]
            .iter()
            .position(|byte| *byte == b'\n')
        {
            let line = self.buffer.split_to(self.scanned + end + 1);
            self.scanned = 0;
            let text = String::from_utf8_lossy(&line).trim().to_string();
            if !text.is_empty() {
                self.ready.push_back(text);
            }
        }
        self.scanned = self.buffer.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(framing: Framing, parts: &[&[u8]]) -> Vec<String> {
        let mut events = Events::new(framing);
        let mut found = Vec::new();
        for part in parts {
            events.push(part).unwrap();
            found.extend(std::iter::from_fn(|| events.next_event()));
        }
        found.extend(events.rest());
        found
    }

    #[test]
    fn pings_line_ends_and_several_lines_of_data() {
        let body =
            b": ping\r\n\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\nevent: x\rdata:2\r\rdata: [DONE]\n\n";
        assert_eq!(all(Framing::Sse, &[body]), ["{\"a\":\n1}", "2", "[DONE]"]);
        for at in 0..body.len() {
            let (one, two) = body.split_at(at);
            assert_eq!(
                all(Framing::Sse, &[one, two]),
                ["{\"a\":\n1}", "2", "[DONE]"],
                "{at}"
            );
        }
    }

    #[test]
    fn a_body_that_is_no_stream_is_taken_whole() {
        let error = br#"{"error":"no"}"#;
        assert_eq!(all(Framing::Sse, &[b" \n", error]), [r#"{"error":"no"}"#]);
        assert_eq!(
            all(Framing::Lines, &[b"{\"a\":1}\n\n{\"b\"", b":2}"]),
            ["{\"a\":1}", "{\"b\":2}"]
        );
        assert_eq!(all(Framing::Sse, &[b"data: {\"cut"]), [""; 0]);
        assert_eq!(all(Framing::Sse, &[b"\xef\xbb\xbfdata: 1\n\n"]), ["1"]);
    }

    #[test]
    fn a_line_without_an_end_is_an_error_and_not_a_full_memory() {
        let mut events = Events::new(Framing::Sse);
        let mut pushed = Ok(());
        for _ in 0..6 {
            pushed = pushed.and_then(|()| events.push(&[b'x'; 1 << 20]));
        }
        assert_eq!(pushed, Err(TooLong));
    }
}
