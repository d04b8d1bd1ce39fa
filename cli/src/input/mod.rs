//! What is read to be stored, which nobody has checked: lines, and files of rows, of which
//! what stands in them tells how they are compressed, encoded and formatted.

pub(crate) mod csv;
mod encoding;
pub(crate) mod entry_line;
mod format;
pub(crate) mod json;
pub(crate) mod lines;
#[cfg(test)]
pub(crate) mod pieces;
pub(crate) mod record_line;
pub(crate) mod records;
mod unpack;

use std::io::{Cursor, ErrorKind, Read};
use std::path::Path;

use encoding::Encoding;
pub(crate) use format::{Format, stem};
use unpack::Packing;

/// Bytes of the first line that are looked at: a longer one is no record.
const LINE_LOOKED_AT: usize = streamkit_engine::limits::RECORD_BYTES_MAX;

/// A text of rows: unpacked, in UTF-8, without a byte order mark.
pub(crate) struct Input {
    pub(crate) text: Box<dyn Read + Send>,
    pub(crate) format: Format,
}

impl Input {
    /// Looks at the beginning of an input. `name` helps where that does not tell the format, `asked` decides it.
    ///
    /// # Errors
    /// It is not what can be read; the message says what to do.
    pub(crate) fn open(input: Box<dyn Read + Send>, name: &str, asked: Option<Format>) -> Result<Self, String> {
        let (start, input) = look(input, unpack::TELLING, |_, _| false)?;
        let packing = Packing::of(&start)?;
        if packing == Packing::Plain && asked.is_none() && format::says_packed(name) {
            return Err(
                "its name says that it is compressed, and it is not: fetch it anew, or if it was unpacked already say what it is \
                 with --format csv or --format ndjson"
                    .to_owned(),
            );
        }
        let input = packing.unpack(input);
        let (start, input) = look(input, unpack::TELLING.max(encoding::TELLING), |_, _| false)?;
        if Packing::of(&start)? != Packing::Plain {
            return Err("it was compressed twice; unpack it first".to_owned());
        }
        let text = Encoding::of(&start)?.decode(input).map_err(|error| error.to_string())?;
        let (start, text) = look(text, LINE_LOOKED_AT, |start, new| {
            let begun = start.trim_ascii_start();
            let fresh = &begun[begun.len().saturating_sub(new)..];
            fresh.contains(&b'\n') || fresh.contains(&b'\r')
        })?;
        let line = start
            .trim_ascii_start()
            .split(|byte| matches!(byte, b'\n' | b'\r'))
            .next();
        let format = match asked {
            Some(format) => format,
            None => Format::of(name, line.unwrap_or_default())?,
        };
        Ok(Self { text, format })
    }
}

/// Reads what is compressed in a file to its end, so that no row of it is taken before its checksum is known to be right.
///
/// # Errors
/// It is damaged or cut off.
pub(crate) fn check_packed(file: &Path) -> Result<(), String> {
    let open = std::fs::File::open(file).map_err(|error| error.to_string())?;
    let (start, input) = look(Box::new(open), unpack::TELLING, |_, _| false)?;
    let packing = Packing::of(&start)?;
    if packing != Packing::Plain {
        std::io::copy(&mut packing.unpack(input), &mut std::io::sink()).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// An input's first bytes, up to so many or until they are enough, and the input with them. `enough` is asked with what was read,
/// and how many bytes of that are new.
fn look(
    mut input: Box<dyn Read + Send>,
    most: usize,
    enough: impl Fn(&[u8], usize) -> bool,
) -> Result<(Vec<u8>, Box<dyn Read + Send>), String> {
    let mut start = Vec::new();
    let mut piece = [0; 4096];
    let mut new = 0;
    while start.len() < most && !enough(&start, new) {
        let room = piece.len().min(most - start.len());
        match input.read(&mut piece[..room]) {
            Ok(0) => break,
            Ok(read) => {
                start.extend_from_slice(&piece[..read]);
                new = read;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok((start.clone(), Box::new(Cursor::new(start).chain(input))))
}
