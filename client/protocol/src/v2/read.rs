//! Reads and follows: of what, from where, and which entries pass.

use bytes::Bytes;
use streamkit_record::{Cursor, Filter, LogCursor, ReadSource, Sequence, Timestamp, Wanted};

use super::malformed::Malformed;
use super::parts::{bytes16, end, name, path, put_bytes16, put_path, text16};

/// Writes a cursor.
pub(super) fn put_cursor(out: &mut Vec<u8>, cursor: &LogCursor) {
    put_bytes16(out, cursor.bytes());
}

/// Reads one.
pub(super) fn cursor(from: &mut Cursor<'_>) -> Result<LogCursor, Malformed> {
    let bytes = Bytes::copy_from_slice(bytes16(from)?);
    let cursor = LogCursor::new(bytes).filter(|cursor| cursor.bytes().len() <= LogCursor::BYTES_MAX);
    cursor.ok_or(Malformed("a cursor that is too long"))
}

fn put_filter(out: &mut Vec<u8>, filter: &Filter) {
    put_bytes16(out, filter.prefix.as_bytes());
    let pairs = &filter.metadata[..filter.metadata.len().min(255)];
    out.push(pairs.len() as u8);
    for (key, value) in pairs {
        put_bytes16(out, key.as_bytes());
        put_bytes16(out, value.as_bytes());
    }
}

fn filter(from: &mut Cursor<'_>) -> Result<Filter, Malformed> {
    let prefix = text16(from)?.to_owned();
    let pairs = (0..from.u8()?).map(|_| Ok((text16(from)?.to_owned(), text16(from)?.to_owned())));
    let metadata = pairs.collect::<Result<_, Malformed>>()?;
    Ok(Filter { prefix, metadata })
}

fn put_wanted(out: &mut Vec<u8>, parts: &[Wanted]) {
    let count = u32::try_from(parts.len()).expect("a frame has at most 32 MiB");
    out.extend_from_slice(&count.to_le_bytes());
    for part in parts {
        match part {
            Wanted::Segment(path) => {
                out.push(1);
                put_path(out, path);
            }
            Wanted::Space(space) => {
                out.push(2);
                put_bytes16(out, space.as_str().as_bytes());
            }
            Wanted::Prefix(space, prefix) => {
                out.push(3);
                put_bytes16(out, space.as_str().as_bytes());
                put_bytes16(out, prefix.as_bytes());
            }
        }
    }
}

/// Most parts of a read or a follow.
pub const PARTS_MAX: usize = 65_536;

fn wanted(from: &mut Cursor<'_>) -> Result<Vec<Wanted>, Malformed> {
    let count = from.u32()?;
    if count as usize > PARTS_MAX {
        return Err(Malformed("more than 65 536 parts"));
    }
    let parts = (0..count).map(|_| match from.u8()? {
        1 => Ok(Wanted::Segment(path(from)?)),
        2 => Ok(Wanted::Space(name(from)?)),
        3 => Ok(Wanted::Prefix(name(from)?, text16(from)?.to_owned())),
        _ => Err(Malformed("a part of a store of an unknown kind")),
    });
    parts.collect()
}

/// A read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Read {
    /// Bytes that the server may send at first.
    pub credit: u32,
    /// The newest first.
    pub is_backwards: bool,
    /// Of what.
    pub source: ReadSource,
    /// Committed strictly after.
    pub after: Timestamp,
    /// Committed at or before.
    pub until: Timestamp,
    /// At most so many entries.
    pub entries: u64,
    /// No further ones once they have so many bytes of payload.
    pub bytes: u64,
    /// A position that the answer has to include; 0: none.
    pub at_least: u64,
    /// Which pass.
    pub filter: Filter,
}

impl Read {
    /// All of a source.
    pub fn all(source: ReadSource, credit: u32) -> Self {
        Self {
            credit,
            is_backwards: false,
            source,
            after: Timestamp(i64::MIN),
            until: Timestamp(i64::MAX),
            entries: u64::MAX,
            bytes: u64::MAX,
            at_least: 0,
            filter: Filter::default(),
        }
    }

    /// Writes it, behind verb and store.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.credit.to_le_bytes());
        out.push(u8::from(self.is_backwards));
        match &self.source {
            ReadSource::Segment(path, first, last) => {
                out.push(1);
                put_path(out, path);
                out.extend_from_slice(&first.0.to_le_bytes());
                out.extend_from_slice(&last.0.to_le_bytes());
            }
            ReadSource::Log(parts, behind) => {
                out.push(2);
                put_wanted(out, parts);
                put_cursor(out, behind);
            }
        }
        for time in [self.after, self.until] {
            out.extend_from_slice(&time.0.to_le_bytes());
        }
        for number in [self.entries, self.bytes, self.at_least] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        put_filter(out, &self.filter);
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut from = Cursor::new(body);
        let credit = from.u32()?;
        let is_backwards = flag(&mut from)?;
        let source = match from.u8()? {
            1 => ReadSource::Segment(path(&mut from)?, Sequence(from.u64()?), Sequence(from.u64()?)),
            2 => ReadSource::Log(wanted(&mut from)?, cursor(&mut from)?),
            _ => return Err(Malformed("a source of an unknown kind")),
        };
        let (after, until) = (Timestamp(from.i64()?), Timestamp(from.i64()?));
        let (entries, bytes, at_least) = (from.u64()?, from.u64()?, from.u64()?);
        let filter = filter(&mut from)?;
        end(&from)?;
        Ok(Self {
            credit,
            is_backwards,
            source,
            after,
            until,
            entries,
            bytes,
            at_least,
            filter,
        })
    }
}

/// A follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Follow {
    /// Bytes that the server may send at first.
    pub credit: u32,
    /// Of what.
    pub parts: Vec<Wanted>,
    /// Behind what.
    pub cursor: LogCursor,
    /// With an empty cursor: what is committed from now on, not what is there.
    pub is_from_now: bool,
    /// An idle follow tells where it stands each so many milliseconds; 0: never.
    pub heartbeat: u32,
    /// Which entries pass.
    pub filter: Filter,
}

impl Follow {
    /// Writes it, behind verb and store.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.credit.to_le_bytes());
        put_wanted(out, &self.parts);
        put_cursor(out, &self.cursor);
        out.push(u8::from(self.is_from_now));
        out.extend_from_slice(&self.heartbeat.to_le_bytes());
        put_filter(out, &self.filter);
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut from = Cursor::new(body);
        let credit = from.u32()?;
        let parts = wanted(&mut from)?;
        let cursor = cursor(&mut from)?;
        let is_from_now = flag(&mut from)?;
        let heartbeat = from.u32()?;
        let filter = filter(&mut from)?;
        end(&from)?;
        Ok(Self {
            credit,
            parts,
            cursor,
            is_from_now,
            heartbeat,
            filter,
        })
    }
}

fn flag(from: &mut Cursor<'_>) -> Result<bool, Malformed> {
    match from.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed("an unknown flag")),
    }
}

#[cfg(test)]
mod tests {
    use streamkit_record::{Name, SegmentPath};

    use super::*;

    fn space(name: &str) -> Name {
        Name::new(name).unwrap()
    }

    fn filter() -> Filter {
        Filter {
            prefix: "order-".into(),
            metadata: vec![("by".into(), "card".into())],
        }
    }

    fn cursor() -> LogCursor {
        LogCursor::new(Bytes::from_static(&[7; 24])).unwrap()
    }

    /// Whether it comes out as it was put in, and neither cut nor with more.
    fn comes_back<T: PartialEq>(
        of: &T,
        put: impl Fn(&T, &mut Vec<u8>),
        decode: impl Fn(&[u8]) -> Result<T, Malformed>,
    ) {
        let mut out = Vec::new();
        put(of, &mut out);
        assert!(decode(&out).unwrap() == *of);
        for end in 0..out.len() {
            assert!(decode(&out[..end]).is_err(), "{end}");
        }
        out.push(0);
        assert!(decode(&out).is_err());
    }

    #[test]
    fn reads_come_out_as_they_were_put_in() {
        let path = SegmentPath::new("orders", "order-1").unwrap();
        for source in [
            ReadSource::Segment(path, Sequence(2), Sequence(9)),
            ReadSource::Log(
                vec![Wanted::Space(space("a")), Wanted::Prefix(space("b"), "x".into())],
                cursor(),
            ),
        ] {
            let read = Read {
                is_backwards: true,
                at_least: 5,
                filter: filter(),
                ..Read::all(source, 1 << 20)
            };
            comes_back(&read, Read::put, Read::decode);
        }
    }

    #[test]
    fn follows_come_out_as_they_were_put_in() {
        let follow = Follow {
            credit: 1,
            parts: vec![
                Wanted::Segment(SegmentPath::new("orders", "order-1").unwrap()),
                Wanted::Space(space("ledger")),
                Wanted::Prefix(space("orders"), "order-2".into()),
            ],
            cursor: cursor(),
            is_from_now: false,
            heartbeat: 1000,
            filter: filter(),
        };
        comes_back(&follow, Follow::put, Follow::decode);
    }

    #[test]
    fn more_parts_than_may_be_are_malformed() {
        for (count, is_well) in [(PARTS_MAX, true), (PARTS_MAX + 1, false)] {
            let parts = vec![Wanted::Space(space("a")); count];
            let mut out = Vec::new();
            Read::all(ReadSource::Log(parts, LogCursor::default()), 1).put(&mut out);
            assert_eq!(Read::decode(&out).is_ok(), is_well, "{count}");
        }
    }

    #[test]
    fn a_cursor_that_is_too_long_is_none() {
        let long = Bytes::from(vec![0; LogCursor::BYTES_MAX + 1]);
        assert_eq!(LogCursor::new(long), None);
    }
}
