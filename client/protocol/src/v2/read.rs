//! Reads and follows: of what, from where, and which entries pass.

use bytes::Bytes;
use streamkit_record::{Cursor, Metadata, Name, SegmentPath, Sequence, Timestamp};

use super::malformed::Malformed;
use super::parts::{bytes16, end, name, path, put_bytes16, put_path, text16};

/// A place in a store's log, behind an entry. Only servers look into it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct LogCursor(Bytes);

impl LogCursor {
    /// Most bytes of one.
    pub const BYTES_MAX: usize = 64;

    /// One that a server made. `None`: it is too long to be one.
    pub fn new(bytes: Bytes) -> Option<Self> {
        (bytes.len() <= Self::BYTES_MAX).then_some(Self(bytes))
    }

    /// Its bytes; none: the beginning.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_bytes16(out, &self.0);
    }

    pub(super) fn decode(from: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let bytes = Bytes::copy_from_slice(bytes16(from)?);
        Self::new(bytes).ok_or(Malformed("a cursor that is too long"))
    }
}

/// Which entries pass.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Filter {
    /// The names of their segments begin with this.
    pub prefix: String,
    /// They have all of these.
    pub metadata: Vec<(String, String)>,
}

impl Filter {
    /// Whether an entry passes.
    pub fn passes(&self, segment: &Name, metadata: &Metadata) -> bool {
        let has = |(key, value): &(String, String)| metadata.get(key) == Some(value);
        segment.as_str().starts_with(&self.prefix) && self.metadata.iter().all(has)
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_bytes16(out, self.prefix.as_bytes());
        let pairs = &self.metadata[..self.metadata.len().min(255)];
        out.push(pairs.len() as u8);
        for (key, value) in pairs {
            put_bytes16(out, key.as_bytes());
            put_bytes16(out, value.as_bytes());
        }
    }

    fn decode(from: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let prefix = text16(from)?.to_owned();
        let pairs = (0..from.u8()?).map(|_| Ok((text16(from)?.to_owned(), text16(from)?.to_owned())));
        let metadata = pairs.collect::<Result<_, Malformed>>()?;
        Ok(Self { prefix, metadata })
    }
}

/// What is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A segment, between two sequences, inclusive, in their order.
    Segment(SegmentPath, Sequence, Sequence),
    /// Spaces, in the order of the log, behind a cursor.
    Spaces(Vec<Name>, LogCursor),
}

/// A read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Read {
    /// Bytes that the server may send at first.
    pub credit: u32,
    /// The newest first.
    pub is_backwards: bool,
    /// Of what.
    pub source: Source,
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
    pub fn all(source: Source, credit: u32) -> Self {
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
            Source::Segment(path, first, last) => {
                out.push(1);
                put_path(out, path);
                out.extend_from_slice(&first.0.to_le_bytes());
                out.extend_from_slice(&last.0.to_le_bytes());
            }
            Source::Spaces(spaces, cursor) => {
                out.push(2);
                let spaces = &spaces[..spaces.len().min(usize::from(u16::MAX))];
                out.extend_from_slice(&(spaces.len() as u16).to_le_bytes());
                for space in spaces {
                    put_bytes16(out, space.as_str().as_bytes());
                }
                cursor.put(out);
            }
        }
        for time in [self.after, self.until] {
            out.extend_from_slice(&time.0.to_le_bytes());
        }
        for number in [self.entries, self.bytes, self.at_least] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        self.filter.put(out);
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
            1 => Source::Segment(path(&mut from)?, Sequence(from.u64()?), Sequence(from.u64()?)),
            2 => {
                let spaces = (0..from.u16()?).map(|_| name(&mut from));
                Source::Spaces(spaces.collect::<Result<_, _>>()?, LogCursor::decode(&mut from)?)
            }
            _ => return Err(Malformed("a source of an unknown kind")),
        };
        let (after, until) = (Timestamp(from.i64()?), Timestamp(from.i64()?));
        let (entries, bytes, at_least) = (from.u64()?, from.u64()?, from.u64()?);
        let filter = Filter::decode(&mut from)?;
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

/// What is followed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Followed {
    /// A segment.
    Segment(SegmentPath),
    /// All segments of a space.
    Space(Name),
    /// Those of a space whose names begin so.
    Prefix(Name, String),
}

/// A follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Follow {
    /// Bytes that the server may send at first.
    pub credit: u32,
    /// Of what.
    pub sources: Vec<Followed>,
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
        let count = u32::try_from(self.sources.len()).expect("a frame has at most 32 MiB");
        out.extend_from_slice(&count.to_le_bytes());
        for source in &self.sources {
            match source {
                Followed::Segment(path) => {
                    out.push(1);
                    put_path(out, path);
                }
                Followed::Space(space) => {
                    out.push(2);
                    put_bytes16(out, space.as_str().as_bytes());
                }
                Followed::Prefix(space, prefix) => {
                    out.push(3);
                    put_bytes16(out, space.as_str().as_bytes());
                    put_bytes16(out, prefix.as_bytes());
                }
            }
        }
        self.cursor.put(out);
        out.push(u8::from(self.is_from_now));
        out.extend_from_slice(&self.heartbeat.to_le_bytes());
        self.filter.put(out);
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut from = Cursor::new(body);
        let credit = from.u32()?;
        let sources = (0..from.u32()?).map(|_| match from.u8()? {
            1 => Ok(Followed::Segment(path(&mut from)?)),
            2 => Ok(Followed::Space(name(&mut from)?)),
            3 => Ok(Followed::Prefix(name(&mut from)?, text16(&mut from)?.to_owned())),
            _ => Err(Malformed("a source of an unknown kind")),
        });
        let sources = sources.collect::<Result<_, Malformed>>()?;
        let cursor = LogCursor::decode(&mut from)?;
        let is_from_now = flag(&mut from)?;
        let heartbeat = from.u32()?;
        let filter = Filter::decode(&mut from)?;
        end(&from)?;
        Ok(Self {
            credit,
            sources,
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
            Source::Segment(path, Sequence(2), Sequence(9)),
            Source::Spaces(vec![space("a"), space("b")], cursor()),
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
            sources: vec![
                Followed::Segment(SegmentPath::new("orders", "order-1").unwrap()),
                Followed::Space(space("ledger")),
                Followed::Prefix(space("orders"), "order-2".into()),
            ],
            cursor: cursor(),
            is_from_now: false,
            heartbeat: 1000,
            filter: filter(),
        };
        comes_back(&follow, Follow::put, Follow::decode);
    }

    #[test]
    fn an_entry_passes_with_the_prefix_and_all_of_the_metadata() {
        let metadata = Metadata::from_pairs([("by", "card"), ("for", "x")]);
        assert!(filter().passes(&space("order-1"), &metadata));
        assert!(!filter().passes(&space("return-1"), &metadata));
        let other = Metadata::from_pairs([("by", "cash")]);
        assert!(!filter().passes(&space("order-1"), &other));
        assert!(Filter::default().passes(&space("x"), &Metadata::default()));
    }

    #[test]
    fn a_cursor_that_is_too_long_is_none() {
        let long = Bytes::from(vec![0; LogCursor::BYTES_MAX + 1]);
        assert_eq!(LogCursor::new(long), None);
    }
}
