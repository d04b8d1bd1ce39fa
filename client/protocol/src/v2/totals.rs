//! The result of a status: how much there is.

use streamkit_record::{Cursor, SegmentStatus, Timestamp};

use super::call::{put_status, statuses};
use super::malformed::Malformed;

/// How much there is in a store, a space or a segment.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    /// Spaces with at least one segment.
    pub spaces: u64,
    /// Segments.
    pub segments: u64,
    /// Readable entries.
    pub entries: u64,
    /// The commit time of the newest transaction; 0 if there is none.
    pub last_timestamp: Timestamp,
    /// Of a segment, its readable range; `None` if it has none.
    pub segment: Option<SegmentStatus>,
}

impl Totals {
    /// Writes it.
    pub fn put(&self, out: &mut Vec<u8>) {
        for number in [self.spaces, self.segments, self.entries] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.last_timestamp.0.to_le_bytes());
        if let Some(status) = &self.segment {
            put_status(out, status);
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut from = Cursor::new(body);
        let (spaces, segments, entries) = (from.u64()?, from.u64()?, from.u64()?);
        let last_timestamp = Timestamp(from.i64()?);
        let mut range = statuses(&body[from.at()..])?;
        let segment = range.pop();
        match range.is_empty() {
            true => Ok(Self {
                spaces,
                segments,
                entries,
                last_timestamp,
                segment,
            }),
            false => Err(Malformed("more than one status of a segment")),
        }
    }
}

#[cfg(test)]
mod tests {
    use streamkit_record::{SegmentPath, Sequence};

    use super::*;

    #[test]
    fn totals_come_out_as_they_were_put_in() {
        let status = SegmentStatus {
            path: SegmentPath::new("orders", "order-1").unwrap(),
            first_sequence: Sequence(1),
            first_timestamp: Timestamp(2),
            last_sequence: Sequence(3),
            last_timestamp: Timestamp(4),
        };
        for segment in [None, Some(status)] {
            let totals = Totals {
                spaces: 1,
                segments: 2,
                entries: 3,
                last_timestamp: Timestamp(-4),
                segment,
            };
            let mut out = Vec::new();
            totals.put(&mut out);
            assert_eq!(Totals::decode(&out), Ok(totals.clone()));
            assert!(Totals::decode(&out[..out.len() - 1]).is_err());
            if let Some(status) = &totals.segment {
                put_status(&mut out, status);
                assert!(Totals::decode(&out).is_err());
            }
        }
    }
}
