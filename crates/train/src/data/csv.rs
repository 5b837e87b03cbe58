//! A strict parser for comma-separated values (RFC 4180). It reports stray commas and quotation
//! marks, which could otherwise cut a caption in two unnoticed. The `csv` crate accepts stray and
//! unclosed quotation marks as text, and does not report them.
//!
//! The fields are not interpreted.

use std::iter::Peekable;
use std::str::Chars;

/// A record, and the number of the line on which it starts, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub line: usize,
    pub fields: Vec<String>,
}

/// A syntax error and the number of its line. `what` is a phrase that fits at the end of a longer
/// error message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct CsvError {
    pub line: usize,
    pub what: &'static str,
}

/// Parses all records. Each record must have as many fields as the first. Lines end in CRLF or LF,
/// and empty lines between records are skipped.
pub fn records(text: &str) -> Result<Vec<Record>, CsvError> {
    let mut reader = Reader {
        rest: text.chars().peekable(),
        line: 1,
    };
    let mut records: Vec<Record> = Vec::new();
    while reader.rest.peek().is_some() {
        let line = reader.line;
        let fields = reader.record()?;
        if fields == [""] {
            continue;
        }
        let first = records.first().map_or(fields.len(), |r| r.fields.len());
        if fields.len() != first {
            let what = "it does not have as many fields as the first line";
            return Err(CsvError { line, what });
        }
        records.push(Record { line, fields });
    }
    Ok(records)
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
}

impl Reader<'_> {
    fn error<T>(&self, what: &'static str) -> Result<T, CsvError> {
        let line = self.line;
        Err(CsvError { line, what })
    }

    /// Parses the fields of a record, up to and including the end of the line.
    fn record(&mut self) -> Result<Vec<String>, CsvError> {
        let mut fields = vec![self.field()?];
        while self.rest.next_if_eq(&',').is_some() {
            fields.push(self.field()?);
        }
        let carriage = self.rest.next_if_eq(&'\r').is_some();
        match self.rest.next() {
            Some('\n') => self.line += 1,
            None if !carriage => {}
            _ if carriage => return self.error("a carriage return without a line feed"),
            _ => return self.error("text after a closing quotation mark"),
        }
        Ok(fields)
    }

    fn field(&mut self) -> Result<String, CsvError> {
        if self.rest.next_if_eq(&'"').is_some() {
            return self.quoted();
        }
        let mut field = String::new();
        while let Some(letter) = self.rest.next_if(|c| !matches!(c, ',' | '\r' | '\n')) {
            if letter == '"' {
                return self.error("a quotation mark inside an unquoted field");
            }
            field.push(letter);
        }
        Ok(field)
    }

    /// Parses a quoted field after its opening quotation mark. Two quotation marks in a row stand
    /// for a single one.
    fn quoted(&mut self) -> Result<String, CsvError> {
        let begun = self.line;
        let mut field = String::new();
        loop {
            match self.rest.next() {
                Some('"') if self.rest.next_if_eq(&'"').is_none() => return Ok(field),
                Some(letter) => {
                    self.line += usize::from(letter == '\n');
                    field.push(letter);
                }
                None => {
                    self.line = begun;
                    return self.error("an unclosed quotation mark");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(text: &str) -> Vec<Vec<String>> {
        let records = records(text).unwrap();
        records.into_iter().map(|record| record.fields).collect()
    }

    #[test]
    fn the_examples_of_the_standard_are_read() {
        assert_eq!(fields("a,b\r\nc,d\r\n"), [["a", "b"], ["c", "d"]]);
        assert_eq!(fields("a,b\nc,d"), [["a", "b"], ["c", "d"]]);
        assert_eq!(fields("\"a\",\"b \r\nb\"\r\n"), [["a", "b \r\nb"]]);
        assert_eq!(fields("\"a\"\"b\", c \n"), [["a\"b", " c "]]);
        assert_eq!(fields("a,\n,b\n"), [["a", ""], ["", "b"]]);
        assert_eq!(fields(""), [[""; 0]; 0]);
    }

    #[test]
    fn records_know_their_lines() {
        let found = records("a,b\n\"one\ntwo\",c\n\nd,e\n").unwrap();
        let lines: Vec<usize> = found.iter().map(|record| record.line).collect();
        assert_eq!(lines, [1, 2, 5]);
    }

    #[test]
    fn what_is_unsound_is_named_with_its_line() {
        let why = |text: &str| records(text).unwrap_err().to_string();
        assert!(why("a,b\nc\n").starts_with("line 2: it does not have as many fields"));
        assert!(why("a,b\n\"c,d\ne,f\n").starts_with("line 2: an unclosed quotation mark"));
        assert!(why("a,b\nc \"d\",e\n").contains("inside an unquoted field"));
        assert!(why("a,b\n\"c\"d,e\n").contains("after a closing"));
        assert!(why("a,b\rc,d\n").contains("carriage return"));
    }

    proptest! {
        #[test]
        fn what_is_written_by_the_rules_is_read_again(
            rows in prop::collection::vec(prop::collection::vec("[a-c,\"\r\n ]{0,5}", 3), 0..5)
        ) {
            let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(",");
            let text: Vec<String> = rows.iter().map(line).collect();
            prop_assert_eq!(fields(&text.join("\r\n")), rows);
        }

        #[test]
        fn no_text_is_too_odd_to_answer(text in "[a,\"\r\n]{0,20}") {
            let _ = records(&text);
        }
    }
}
