//! What bodies are made of: names, texts and other bytes behind their length. Numbers are [`Cursor`]'s.

use std::time::Duration;

use streamkit_record::{Cursor, Name, SegmentPath};

use super::malformed::Malformed;

/// Bytes behind a `u16` length.
pub(super) fn bytes16<'a>(from: &mut Cursor<'a>) -> Result<&'a [u8], Malformed> {
    let length = from.u16()?;
    Ok(from.slice(usize::from(length))?)
}

/// A text behind a `u16` length.
pub(super) fn text16<'a>(from: &mut Cursor<'a>) -> Result<&'a str, Malformed> {
    std::str::from_utf8(bytes16(from)?).map_err(|_| Malformed("a text that is no UTF-8"))
}

/// A name.
pub(super) fn name(from: &mut Cursor<'_>) -> Result<Name, Malformed> {
    Name::from_bytes(bytes16(from)?).map_err(|_| Malformed("a name against the rules"))
}

/// Nothing may follow.
pub(super) fn end(from: &Cursor<'_>) -> Result<(), Malformed> {
    match from.remaining() {
        0 => Ok(()),
        _ => Err(Malformed("more than its kind has")),
    }
}

/// Writes bytes behind their length; what does not fit in it is left out.
pub(super) fn put_bytes16(out: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// The same of a text, which stays one.
pub(super) fn put_text16(out: &mut Vec<u8>, text: &str) {
    let end = text.floor_char_boundary(usize::from(u16::MAX));
    put_bytes16(out, &text.as_bytes()[..end]);
}

/// A segment's two names.
pub(super) fn path(from: &mut Cursor<'_>) -> Result<SegmentPath, Malformed> {
    Ok(SegmentPath {
        space: name(from)?,
        segment: name(from)?,
    })
}

/// Writes them.
pub(super) fn put_path(out: &mut Vec<u8>, path: &SegmentPath) {
    put_bytes16(out, path.space.as_str().as_bytes());
    put_bytes16(out, path.segment.as_str().as_bytes());
}

/// Whole milliseconds; the longest time is 49 days.
pub(super) fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
