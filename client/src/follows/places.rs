//! Where a composed follow stands in each of its parts, and all of that as a cursor.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use streamkit_protocol::SpaceOffset;
use streamkit_record::{Cursor, Filter, FormatError, LogCursor, Name, SegmentPath, Wanted};

use crate::error::Error;

/// Most parts of a follow, as over v2.
const PARTS_MAX: usize = 65_536;

/// A part, and how far it is read.
#[derive(Debug)]
pub(super) enum Place {
    Segment(OfSegment),
    Space(InSpace),
}

/// A segment that is followed by itself.
#[derive(Debug)]
pub(super) struct OfSegment {
    pub(super) path: SegmentPath,
    /// The sequence that comes next; 0: the first that there is.
    pub(super) next: u64,
    /// When the entry before it was committed: a segment that begins later is another.
    pub(super) last_time: i64,
}

/// A space of which all is read, and what belongs to the follow is told.
#[derive(Debug)]
pub(super) struct InSpace {
    pub(super) space: Name,
    wanted: Within,
    /// The last entry that was read, whether it was told or not.
    pub(super) last: Option<SpaceOffset>,
}

impl InSpace {
    pub(super) fn holds(&self, segment: &Name) -> bool {
        let Within {
            is_whole,
            prefixes,
            segments,
        } = &self.wanted;
        *is_whole
            || segments.contains(segment)
            || prefixes
                .iter()
                .any(|prefix| segment.as_str().starts_with(prefix.as_str()))
    }
}

/// What is followed within a space.
#[derive(Default, Debug)]
struct Within {
    is_whole: bool,
    prefixes: BTreeSet<String>,
    segments: BTreeSet<Name>,
}

/// All of them. Parts that overlap are one place, so nothing comes twice.
#[derive(Debug)]
pub(super) struct Places {
    /// Of what is followed: a cursor of something else does not fit.
    checksum: u32,
    pub(super) all: Vec<Place>,
}

impl Places {
    /// At the beginning.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub(super) fn new(parts: &[Wanted], filter: &Filter) -> Result<Self, Error> {
        if parts.is_empty() || parts.len() > PARTS_MAX {
            let count = parts.len();
            let why = format!("invalid follow: it has between one and {PARTS_MAX} parts, not {count}");
            return Err(Error::Invalid(why));
        }
        let mut spaces = BTreeMap::<Name, Within>::new();
        for part in parts.iter().cloned() {
            match part {
                Wanted::Segment(path) => _ = spaces.entry(path.space).or_default().segments.insert(path.segment),
                Wanted::Space(space) => spaces.entry(space).or_default().is_whole = true,
                Wanted::Prefix(space, prefix) => _ = spaces.entry(space).or_default().prefixes.insert(prefix),
            }
        }
        let checksum = checksum(&spaces, filter);
        let mut all = Vec::new();
        for (space, wanted) in spaces {
            if wanted.is_whole || !wanted.prefixes.is_empty() {
                let last = None;
                all.push(Place::Space(InSpace { space, wanted, last }));
                continue;
            }
            for segment in wanted.segments {
                let space = space.clone();
                all.push(Place::Segment(OfSegment {
                    path: SegmentPath { space, segment },
                    next: 0,
                    last_time: i64::MAX,
                }));
            }
        }
        Ok(Self { checksum, all })
    }

    /// As a cursor.
    pub(super) fn cursor(&self) -> LogCursor {
        let mut out = LogCursor::OF_PLACES.to_vec();
        out.extend_from_slice(&self.checksum.to_le_bytes());
        for place in &self.all {
            match place {
                Place::Segment(OfSegment { next, last_time, .. }) => {
                    out.extend_from_slice(&next.to_le_bytes());
                    out.extend_from_slice(&last_time.to_le_bytes());
                }
                Place::Space(InSpace { last: None, .. }) => out.push(0),
                Place::Space(InSpace { last: Some(last), .. }) => {
                    out.push(1);
                    out.extend_from_slice(&last.timestamp.to_le_bytes());
                    out.extend_from_slice(&last.sequence.to_le_bytes());
                    // A name has at most 512 bytes.
                    let length = u16::try_from(last.segment.len()).unwrap_or(u16::MAX);
                    out.extend_from_slice(&length.to_le_bytes());
                    out.extend_from_slice(last.segment.as_bytes());
                }
            }
        }
        let checksum = crc32fast::hash(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        LogCursor::new(Bytes::from(out)).unwrap_or_default()
    }

    /// Goes behind a cursor of these parts.
    ///
    /// # Errors
    /// [`Error::UnfitCursor`].
    pub(super) fn go_behind(&mut self, cursor: &LogCursor) -> Result<(), Error> {
        if !cursor.is_of_places() {
            return Err(Error::UnfitCursor(
                "it is of a server that speaks v2, and this one does not",
            ));
        }
        let bytes = cursor.bytes();
        let whole = bytes.split_last_chunk::<4>();
        let whole = whole.filter(|(body, checksum)| crc32fast::hash(body) == u32::from_le_bytes(**checksum));
        let (body, _) = whole.ok_or(Error::UnfitCursor("it is damaged"))?;
        let mut from = Cursor::new(&body[LogCursor::OF_PLACES.len()..]);
        let damaged = |_: FormatError| Error::UnfitCursor("it is damaged");
        if from.u32().map_err(damaged)? != self.checksum {
            return Err(Error::UnfitCursor("it is of other parts, or of another filter"));
        }
        for place in &mut self.all {
            place.read(&mut from).map_err(damaged)?;
        }
        match from.remaining() {
            0 => Ok(()),
            _ => Err(Error::UnfitCursor("it is damaged")),
        }
    }
}

impl Place {
    fn read(&mut self, from: &mut Cursor<'_>) -> Result<(), FormatError> {
        match self {
            Self::Segment(place) => (place.next, place.last_time) = (from.u64()?, from.i64()?),
            Self::Space(place) if from.u8()? == 1 => {
                let (timestamp, sequence, length) = (from.i64()?, from.u64()?, from.u16()?);
                let segment = Name::from_bytes(from.slice(length.into())?);
                let segment = segment.map_err(|_| FormatError::Invalid("a name that is none"))?;
                place.last = Some(SpaceOffset {
                    space: place.space.to_string(),
                    timestamp,
                    segment: segment.to_string(),
                    sequence,
                });
            }
            Self::Space(place) => place.last = None,
        }
        Ok(())
    }
}

/// Of what is followed, however its parts were put.
fn checksum(spaces: &BTreeMap<Name, Within>, filter: &Filter) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    let mut text = |kind: u8, text: &str| {
        hash.update(&[kind]);
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    for (space, within) in spaces {
        text(u8::from(within.is_whole), space.as_str());
        within.prefixes.iter().for_each(|prefix| text(2, prefix));
        within.segments.iter().for_each(|segment| text(3, segment.as_str()));
    }
    text(4, &filter.prefix);
    for (key, value) in &filter.metadata {
        text(5, key);
        text(6, value);
    }
    hash.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(segment: &str) -> SegmentPath {
        SegmentPath::new("s", segment).unwrap()
    }

    fn mix() -> Vec<Wanted> {
        let space = |space: &str| Name::new(space).unwrap();
        vec![
            Wanted::Segment(path("b")),
            Wanted::Space(space("t")),
            Wanted::Segment(path("a")),
            Wanted::Segment(path("a")),
            Wanted::Segment(SegmentPath::new("t", "x").unwrap()),
            Wanted::Prefix(space("u"), "p".to_owned()),
        ]
    }

    #[test]
    fn a_cursor_comes_out_as_it_was_put_in_and_fits_its_own_parts_alone() {
        let mut places = Places::new(&mix(), &Filter::default()).unwrap();
        assert_eq!(places.all.len(), 4, "{places:?}");
        let offset = SpaceOffset {
            space: "t".to_owned(),
            timestamp: -7,
            segment: "x".repeat(512),
            sequence: u64::MAX,
        };
        for place in &mut places.all {
            match place {
                Place::Segment(place) => (place.next, place.last_time) = (8, -9),
                Place::Space(place) if place.space.as_str() == "t" => place.last = Some(offset.clone()),
                Place::Space(_) => {}
            }
        }
        let cursor = places.cursor();
        assert!(cursor.bytes().len() > LogCursor::BYTES_MAX && cursor.is_of_places());
        let kept = LogCursor::new(cursor.bytes().clone()).unwrap();
        let mut parts = mix();
        parts.reverse();
        let mut again = Places::new(&parts, &Filter::default()).unwrap();
        again.go_behind(&kept).unwrap();
        assert_eq!(again.cursor(), cursor);

        let other = Filter {
            prefix: "p".to_owned(),
            ..Filter::default()
        };
        for (parts, filter) in [(&parts[1..], &Filter::default()), (&parts[..], &other)] {
            let refused = Places::new(parts, filter).unwrap().go_behind(&kept);
            assert!(matches!(refused, Err(Error::UnfitCursor(_))), "{refused:?}");
        }
        let mut changed = cursor.bytes().to_vec();
        for at in LogCursor::OF_PLACES.len()..changed.len() {
            changed[at] ^= 1;
            let odd = LogCursor::new(changed.clone().into()).unwrap();
            assert!(matches!(again.go_behind(&odd), Err(Error::UnfitCursor(_))));
            changed[at] ^= 1;
            let cut = LogCursor::new(changed[..at].to_vec().into()).unwrap();
            assert!(matches!(again.go_behind(&cut), Err(Error::UnfitCursor(_))));
        }
        let of_v2 = LogCursor::new(Bytes::from_static(&[7; 29])).unwrap();
        assert!(matches!(again.go_behind(&of_v2), Err(Error::UnfitCursor(_))));
    }
}
