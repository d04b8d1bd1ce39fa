//! Lines of an input that nobody has checked: of bounded length, numbered from 1.

use std::io::{BufRead, BufReader, Read};

/// Longest line, in bytes: room for a record of the largest size with every byte escaped. What is longer is no list of lines.
const LINE_BYTES_MAX: usize = 32 << 20;

/// Lines without their end, `\n` or `\r\n`, each with its number. Over after an error, which names the line.
pub(crate) struct Lines<R: Read> {
    input: BufReader<R>,
    number: u64,
    over: bool,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(input: R) -> Self {
        Self {
            input: BufReader::with_capacity(256 << 10, input),
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
            if line.last() == Some(&b'\r') {
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
    fn lines_end_at_either_end_and_the_last_needs_none() {
        let lines: Result<Vec<_>, _> = Lines::new(&b"a\r\n\nb"[..]).collect();
        assert_eq!(
            lines.unwrap(),
            [(1, b"a".to_vec()), (2, Vec::new()), (3, b"b".to_vec())]
        );
        assert_eq!(Lines::new(&b""[..]).count(), 0);
    }

    #[test]
    fn a_line_without_end_is_given_up_and_named() {
        let endless = b"a\n".chain(std::io::repeat(b'x'));
        let lines: Vec<_> = Lines::new(endless).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[1].as_ref().unwrap_err().starts_with("line 2: longer than"));
    }
}
