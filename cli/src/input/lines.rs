//! Lines of an input that nobody has checked: of bounded length, numbered from 1.

use std::io::{BufRead, BufReader, Read};

/// Longest line, in bytes: room for a record of the largest size with every byte escaped. What is longer is no list of lines.
const LINE_BYTES_MAX: usize = 32 << 20;

/// Which bytes end a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LineEnd {
    /// `\n`; a `\r` before it belongs to the line.
    Lf,
    /// `\n` or `\r\n`.
    CrLf,
}

/// Lines without their end, each with its number. Over after an error, which names the line.
pub(crate) struct Lines<R: Read> {
    input: BufReader<R>,
    end: LineEnd,
    number: u64,
    over: bool,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(input: R, end: LineEnd) -> Self {
        Self {
            input: BufReader::with_capacity(256 << 10, input),
            end,
            number: 0,
            over: false,
        }
    }

    fn read(&mut self) -> Result<Option<Vec<u8>>, String> {
        let mut line = Vec::new();
        let most = LINE_BYTES_MAX as u64 + 1;
        let read = self.input.by_ref().take(most).read_until(b'\n', &mut line);
        if read.map_err(|error| error.to_string())? == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
            if self.end == LineEnd::CrLf && line.last() == Some(&b'\r') {
                line.pop();
            }
        } else if line.len() > LINE_BYTES_MAX {
            return Err(format!("longer than {LINE_BYTES_MAX} bytes"));
        }
        Ok(Some(line))
    }
}

impl<R: Read> Iterator for Lines<R> {
    type Item = Result<(u64, Vec<u8>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let number = self.number + 1;
        let line = self.read();
        self.number = number;
        self.over = !matches!(line, Ok(Some(_)));
        match line {
            Ok(line) => line.map(|line| Ok((number, line))),
            Err(why) => Some(Err(format!("line {number}: {why}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_its_carriage_return_unless_that_is_said_to_be_part_of_its_end() {
        let lines = |end| -> Vec<_> { Lines::new(&b"a\r\n\r\r\n\nb\r"[..], end).map(Result::unwrap).collect() };
        let line = |number, text: &str| (number, text.as_bytes().to_vec());
        assert_eq!(
            lines(LineEnd::CrLf),
            [line(1, "a"), line(2, "\r"), line(3, ""), line(4, "b\r")]
        );
        assert_eq!(
            lines(LineEnd::Lf),
            [line(1, "a\r"), line(2, "\r\r"), line(3, ""), line(4, "b\r")]
        );
        assert_eq!(Lines::new(&b""[..], LineEnd::Lf).count(), 0);
    }

    #[test]
    fn a_line_without_end_is_given_up_and_named() {
        let endless = b"a\n".chain(std::io::repeat(b'x'));
        let lines: Vec<_> = Lines::new(endless, LineEnd::Lf).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[1].as_ref().unwrap_err().starts_with("line 2: longer than"));
    }
}
