//! Texts in UTF-8 with or without a byte order mark, and in UTF-16 with one.

use std::io::{BufRead as _, BufReader, Error, ErrorKind, Read};

/// How a text is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Encoding {
    /// After a mark of so many bytes.
    Utf8 {
        mark: usize,
    },
    Utf16 {
        little_endian: bool,
    },
}

/// Bytes that tell it.
pub(crate) const TELLING: usize = 4;

impl Encoding {
    /// By the first [`TELLING`] bytes, or all if there are fewer.
    ///
    /// # Errors
    /// One that is not read.
    pub(crate) fn of(start: &[u8]) -> Result<Self, String> {
        match start {
            [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => {
                Err("this is UTF-32; convert it first: `iconv -f UTF-32 -t UTF-8`".to_owned())
            }
            [0xff, 0xfe, ..] => Ok(Self::Utf16 { little_endian: true }),
            [0xfe, 0xff, ..] => Ok(Self::Utf16 { little_endian: false }),
            [0, _, ..] | [_, 0, ..] => Err(
                "this is no text, or UTF-16 without a byte order mark; convert it first: `iconv -f UTF-16LE -t UTF-8`"
                    .to_owned(),
            ),
            [0xef, 0xbb, 0xbf, ..] => Ok(Self::Utf8 { mark: 3 }),
            _ => Ok(Self::Utf8 { mark: 0 }),
        }
    }

    /// The text in UTF-8 without a mark.
    pub(crate) fn decode(self, mut input: Box<dyn Read + Send>) -> std::io::Result<Box<dyn Read + Send>> {
        let mark = match self {
            Self::Utf8 { mark } => mark,
            Self::Utf16 { .. } => 2,
        };
        input.read_exact(&mut [0; 3][..mark])?;
        Ok(match self {
            Self::Utf8 { .. } => input,
            Self::Utf16 { little_endian } => Box::new(Utf16 {
                input: BufReader::with_capacity(64 << 10, input),
                little_endian,
                half: None,
                high: None,
                text: Vec::new(),
                given: 0,
            }),
        })
    }
}

/// UTF-16 that becomes UTF-8.
struct Utf16<R: Read> {
    input: BufReader<R>,
    little_endian: bool,
    /// The first byte of a unit.
    half: Option<u8>,
    /// The first unit of a character of two.
    high: Option<u16>,
    text: Vec<u8>,
    /// Bytes of it that were read.
    given: usize,
}

impl<R: Read> Utf16<R> {
    /// Decodes another piece; `false` at the end.
    fn fill(&mut self) -> std::io::Result<bool> {
        let bad = |what| Error::new(ErrorKind::InvalidData, what);
        self.text.clear();
        self.given = 0;
        let piece = self.input.fill_buf()?;
        if piece.is_empty() {
            return match (self.half, self.high) {
                (None, None) => Ok(false),
                _ => Err(bad("the UTF-16 text ends in the middle of a character")),
            };
        }
        for &byte in piece {
            let Some(first) = self.half.take() else {
                self.half = Some(byte);
                continue;
            };
            let unit = match self.little_endian {
                true => u16::from_le_bytes([first, byte]),
                false => u16::from_be_bytes([first, byte]),
            };
            let units = match (self.high.take(), unit) {
                (None, 0xd800..=0xdbff) => {
                    self.high = Some(unit);
                    continue;
                }
                (None, _) => vec![unit],
                (Some(high), _) => vec![high, unit],
            };
            for decoded in char::decode_utf16(units) {
                let decoded = decoded.map_err(|_| bad("not UTF-16: half of a surrogate pair"))?;
                self.text.extend_from_slice(decoded.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        let length = piece.len();
        self.input.consume(length);
        Ok(true)
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while self.given == self.text.len() {
            if !self.fill()? {
                return Ok(0);
            }
        }
        let read = (&self.text[self.given..]).read(into)?;
        self.given += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::pieces::Pieces;

    fn decoded(bytes: Vec<u8>) -> std::io::Result<String> {
        let encoding = Encoding::of(&bytes).unwrap();
        let input = Pieces::new(std::io::Cursor::new(bytes), vec![3, 1, 2]);
        let mut text = String::new();
        encoding.decode(Box::new(input))?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn every_mark_is_understood_and_is_no_part_of_the_text() {
        let text = "id,näme\n1,𝄞\n";
        let units = || std::iter::once(0xfeff).chain(text.encode_utf16());
        assert_eq!(decoded(units().flat_map(u16::to_le_bytes).collect()).unwrap(), text);
        assert_eq!(decoded(units().flat_map(u16::to_be_bytes).collect()).unwrap(), text);
        assert_eq!(decoded([b"\xef\xbb\xbf", text.as_bytes()].concat()).unwrap(), text);
        assert_eq!(decoded(text.as_bytes().to_vec()).unwrap(), text);
        assert_eq!(decoded(b"\xef\xbb\xbf".to_vec()).unwrap(), "");
        assert_eq!(decoded(Vec::new()).unwrap(), "");
    }

    #[test]
    fn half_a_character_is_an_error_and_no_end() {
        for bytes in [
            &b"\xff\xfea\0b"[..],
            b"\xff\xfe\x34\xd8",
            b"\xff\xfe\x34\xd8a\0",
            b"\xff\xfe\x1e\xdda\0",
        ] {
            assert!(decoded(bytes.to_vec()).is_err(), "{bytes:?}");
        }
        for bytes in [&b"a\0,\0b\0"[..], b"\0a\0,", b"\xff\xfe\0\0a\0\0\0"] {
            assert!(Encoding::of(bytes).is_err(), "{bytes:?}");
        }
    }
}
