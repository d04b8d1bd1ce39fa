//! CSV as RFC 4180 has it, nothing else: what a program meant that wrote something else is not guessed. A row may be no larger than a
//! record, so a quote that is never closed costs no more memory than that.

use std::io::{BufRead as _, BufReader, Read};

use streamkit_engine::limits::RECORD_BYTES_MAX;

/// Rows of fields. What is read does not depend on the pieces in which the input arrives.
pub(crate) struct Csv<R: Read> {
    input: BufReader<R>,
    /// The line that the next byte stands in, from 1.
    line: u64,
    /// Whether the last byte was a carriage return: a line feed behind it ends no line of its own.
    after_return: bool,
    /// The fields of a row, one behind the other.
    row: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

/// Where in a row the next byte stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before its first byte.
    Row,
    Field,
    Plain,
    Quoted,
    /// After a quote in a quoted field: it closes the field, unless another one follows.
    Quote,
}

impl<R: Read> Csv<R> {
    pub(crate) fn new(input: R) -> Self {
        Self {
            input: BufReader::with_capacity(256 << 10, input),
            line: 1,
            after_return: false,
            row: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Reads the next row and returns its first line; `None` at the end of the input. Empty lines are no rows. Nothing may be read
    /// after an error.
    ///
    /// # Errors
    /// No CSV; the message begins with the line.
    pub(crate) fn read(&mut self) -> Result<Option<u64>, String> {
        self.row.clear();
        self.ends.clear();
        let (mut at, mut first, mut opened) = (At::Row, self.line, self.line);
        loop {
            let piece = match self.input.fill_buf() {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                read => read.map_err(|error| format!("line {}: {error}", self.line))?,
            };
            let Some(&byte) = piece.first() else {
                return match at {
                    At::Row => Ok(None),
                    At::Quoted => Err(place(opened, first, "the quote that opens here is never closed")),
                    At::Field | At::Plain | At::Quote => self.finish(first).map(Some),
                };
            };
            // As many bytes as mean nothing but themselves.
            let plain = match at {
                At::Quoted => piece.iter().position(|byte| matches!(byte, b'"' | b'\n' | b'\r')),
                At::Plain => piece
                    .iter()
                    .position(|byte| matches!(byte, b'"' | b'\n' | b'\r' | b',')),
                At::Row | At::Field | At::Quote => Some(0),
            };
            let plain = plain.unwrap_or(piece.len());
            if plain > 0 {
                self.row.extend_from_slice(&piece[..plain]);
                self.input.consume(plain);
                self.after_return = false;
                self.bounded(at, first, opened)?;
                continue;
            }
            self.input.consume(1);
            let line = self.line;
            let second_half = byte == b'\n' && self.after_return;
            if matches!(byte, b'\n' | b'\r') && !second_half {
                self.line += 1;
            }
            self.after_return = byte == b'\r';
            at = match (at, byte) {
                (At::Row, b'\n' | b'\r') => {
                    first = self.line;
                    At::Row
                }
                (At::Row | At::Field, b'"') => {
                    opened = line;
                    At::Quoted
                }
                (At::Quoted, b'"') => At::Quote,
                (At::Quoted, _) => {
                    self.row.push(byte);
                    At::Quoted
                }
                (At::Quote, b'"') => {
                    self.row.push(byte);
                    At::Quoted
                }
                (_, b',') => {
                    self.ends.push(self.row.len());
                    At::Field
                }
                (_, b'\n' | b'\r') => return self.finish(first).map(Some),
                (At::Quote, _) => {
                    let what = "text behind the quote that closes a field; a quote in a quoted field is written twice";
                    return Err(place(line, first, what));
                }
                (_, b'"') => {
                    let what = "a quote in a field that does not begin with one; put the field in quotes and write each \
                                quote in it twice";
                    return Err(place(line, first, what));
                }
                (At::Row | At::Field | At::Plain, _) => {
                    self.row.push(byte);
                    At::Plain
                }
            };
            self.bounded(at, first, opened)?;
        }
    }

    /// The fields of the row that was read.
    pub(crate) fn fields(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        let start = |index: usize| index.checked_sub(1).map_or(0, |before| self.ends[before]);
        (0..self.ends.len()).map(move |index| {
            // Both were checked when the row was finished.
            std::str::from_utf8(&self.row[start(index)..self.ends[index]]).unwrap_or_default()
        })
    }

    /// A row in memory is no larger than its record, of which each field has a name and quotes besides.
    fn bounded(&self, at: At, first: u64, opened: u64) -> Result<(), String> {
        if self.row.len() + self.ends.len() <= RECORD_BYTES_MAX {
            return Ok(());
        }
        match at {
            At::Quoted => {
                let what = format!("the quote that opens here is not closed within {RECORD_BYTES_MAX} bytes");
                Err(place(opened, first, &what))
            }
            _ => Err(format!("line {first}: a row of more than {RECORD_BYTES_MAX} bytes")),
        }
    }

    fn finish(&mut self, first: u64) -> Result<u64, String> {
        self.ends.push(self.row.len());
        let bad = match std::str::from_utf8(&self.row) {
            Err(error) => Some(error.valid_up_to()),
            // A character does not reach from one field into the next.
            Ok(text) => self.ends.iter().copied().find(|end| !text.is_char_boundary(*end)),
        };
        match bad {
            None => Ok(first),
            Some(at) => {
                let breaks = line_breaks(&self.row[..at]);
                let what = "not UTF-8; convert the file, `iconv -f WINDOWS-1252 -t UTF-8` for one";
                Err(place(first + breaks, first, what))
            }
        }
    }
}

/// Lines that end in a text.
fn line_breaks(text: &[u8]) -> u64 {
    let ends = |at: usize| match text[at] {
        b'\n' => at == 0 || text[at - 1] != b'\r',
        byte => byte == b'\r',
    };
    (0..text.len()).filter(|at| ends(*at)).count() as u64
}

fn place(line: u64, first: u64, what: &str) -> String {
    match line == first {
        true => format!("line {line}: {what}"),
        false => format!("line {line}: {what} (the row begins at line {first})"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::input::pieces::Pieces;

    type Seen = (Vec<(u64, Vec<String>)>, Option<String>);

    fn rows_of(input: impl std::io::Read) -> Seen {
        let mut csv = Csv::new(input);
        let mut rows = Vec::new();
        loop {
            match csv.read() {
                Ok(None) => return (rows, None),
                Ok(Some(line)) => rows.push((line, csv.fields().map(str::to_owned).collect())),
                Err(error) => return (rows, Some(error)),
            }
        }
    }

    fn rows(text: &str) -> Vec<(u64, Vec<String>)> {
        let (rows, error) = rows_of(text.as_bytes());
        assert_eq!(error, None, "{text:?}");
        rows
    }

    fn fields(text: &str) -> Vec<Vec<String>> {
        rows(text).into_iter().map(|(_, fields)| fields).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        for (text, read) in [
            ("a,b\n1,2\n", &[&["a", "b"][..], &["1", "2"]][..]),
            ("a,b\r\n1,2", &[&["a", "b"], &["1", "2"]]),
            ("a,b\r1,2\r", &[&["a", "b"], &["1", "2"]]),
            ("1,\"\",\"\"\n,,\n", &[&["1", "", ""], &["", "", ""]]),
            ("\"a,b\",c", &[&["a,b", "c"]]),
            ("\"say \"\"hi\"\"\",\"\"\"\"", &[&["say \"hi\"", "\""]]),
            ("\"1\r\n2\n3\r4\",x\n", &[&["1\r\n2\n3\r4", "x"]]),
            ("\"{\"\"a\"\": [1, 2]}\"", &[&["{\"a\": [1, 2]}"]]),
            (" a , b \n", &[&[" a ", " b "]]),
            ("ʤ,é\n\"\"", &[&["ʤ", "é"], &[""]]),
            ("a,", &[&["a", ""]]),
            ("\n\r\n\r", &[]),
            ("", &[]),
        ] {
            assert_eq!(fields(text), read, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_csv_is_refused_with_its_line_and_what_stands_before_it_is_read() {
        for (text, before, said) in [
            (
                "id,v\n1,2\n3,\"4\n5,6\n",
                2,
                "line 3: the quote that opens here is never closed",
            ),
            ("a\r\n\"b\r\n\r\nc", 1, "line 2: the quote"),
            (
                "a\n\"b\nc\",\"d\n",
                1,
                "line 3: the quote that opens here is never closed (the row begins at line 2)",
            ),
            ("a\n\"", 1, "line 2: the quote"),
            ("a\n\n\r\n\"a\"b\n", 1, "line 4: text behind the quote"),
            ("a\r\r\r\"a\" \r", 1, "line 4: text behind the quote"),
            ("a\r\nb\r\nc\"\r\n", 2, "line 3: a quote in a field"),
            ("a\rb\rc\"\r", 2, "line 3: a quote in a field"),
            ("\"say \\\"hi\\\" now\"\n", 0, "line 1: text behind the quote"),
            ("\"1\r\n2\",3\r\n 4\"", 1, "line 3: a quote in a field"),
        ] {
            let (rows, error) = rows_of(text.as_bytes());
            let error = error.unwrap_or_default();
            assert_eq!(rows.len(), before, "{text:?}");
            assert!(error.starts_with(said), "{text:?}: {error}");
        }
        for (bytes, line) in [
            (&b"a\n\xe9\n"[..], 2),
            (b"a\n\"1\r\n2\n\xe9\"", 4),
            (b"a\r\xc3,\xa9\r", 2),
        ] {
            let (_, error) = rows_of(bytes);
            assert!(
                error.unwrap().starts_with(&format!("line {line}: not UTF-8")),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn rows_are_told_by_the_line_they_begin_at() {
        let lines = |text: &str| rows(text).into_iter().map(|(line, _)| line).collect::<Vec<_>>();
        assert_eq!(lines("a\r\nb\r\n\r\nc"), [1, 2, 4]);
        assert_eq!(lines("a\rb\r\rc"), [1, 2, 4]);
        assert_eq!(lines("\n\na\n\"b\r\n\r\n\"\nc"), [3, 4, 7]);
    }

    #[test]
    fn a_quote_that_is_never_closed_takes_no_more_memory_than_a_record() {
        let endless = b"a,b\n1,\"".chain(std::io::repeat(b'\n'));
        let mut csv = Csv::new(endless);
        assert_eq!(csv.read(), Ok(Some(1)));
        let error = csv.read().unwrap_err();
        assert!(
            error.starts_with("line 2: the quote that opens here is not closed"),
            "{error}"
        );
        assert!(csv.row.capacity() < 4 * RECORD_BYTES_MAX);
        let mut csv = Csv::new(std::io::repeat(b','));
        assert!(csv.read().unwrap_err().starts_with("line 1: a row of more than"));
    }

    proptest! {
        #[test]
        fn what_is_read_does_not_depend_on_the_pieces_it_comes_in(
            text in "[ab\",\n\r\r\"é]{0,40}", sizes in prop::collection::vec(1usize..5, 1..20),
        ) {
            let whole = rows_of(text.as_bytes());
            prop_assert_eq!(&rows_of(Pieces::new(text.as_bytes(), vec![1])), &whole);
            prop_assert_eq!(&rows_of(Pieces::new(text.as_bytes(), sizes)), &whole);
        }

        #[test]
        fn fields_in_quotes_are_read_as_they_were_written(
            table in prop::collection::vec(prop::collection::vec("[ab\",\n\r é]{0,6}", 2), 1..5),
        ) {
            let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let lines = table.iter().map(|row| row.iter().map(quoted).collect::<Vec<_>>().join(","));
            prop_assert_eq!(fields(&lines.collect::<Vec<_>>().join("\r\n")), table);
        }
    }
}
