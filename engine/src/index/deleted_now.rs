//! The segments deleted at the newest commit time. One that begins anew gets a later time, so that a cursor, which is
//! (commit time, segment, sequence), never means entries of two lives of a segment.

use std::collections::HashSet;

use streamkit_record::{SegmentPath, Timestamp};

/// Paths kept; if more are deleted within a millisecond, each segment that begins in it counts as one of them.
const PATHS_MAX: usize = 1024;

/// The deletions of one millisecond.
#[derive(Debug)]
pub(crate) struct DeletedNow {
    time: Timestamp,
    paths: HashSet<SegmentPath>,
    /// Nobody knows which.
    unknown: bool,
}

impl Default for DeletedNow {
    fn default() -> Self {
        Self {
            time: Timestamp(i64::MIN),
            paths: HashSet::new(),
            unknown: false,
        }
    }
}

impl DeletedNow {
    /// After a checkpoint that was taken when the newest commit time was `time`: it does not say what was deleted then.
    pub(crate) fn unknown_at(time: Timestamp) -> Self {
        Self {
            time,
            unknown: true,
            ..Self::default()
        }
    }

    pub(crate) fn add(&mut self, path: &SegmentPath, time: Timestamp) {
        if time > self.time {
            *self = Self {
                time,
                ..Self::default()
            };
        }
        self.unknown |= self.paths.len() >= PATHS_MAX;
        if !self.unknown {
            self.paths.insert(path.clone());
        }
    }

    /// The earliest time for a transaction that follows one of `last`, and begins these segments.
    pub(crate) fn earliest<'a>(&self, last: Timestamp, mut begun: impl Iterator<Item = &'a SegmentPath>) -> Timestamp {
        let begins_anew = last == self.time && begun.any(|path| self.unknown || self.paths.contains(path));
        if begins_anew {
            Timestamp(last.0.saturating_add(1))
        } else {
            last
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_begins_anew_in_the_millisecond_of_its_deletion_gets_a_later_time() {
        let path = |name: &str| SegmentPath::new("s", name).unwrap();
        let mut deleted = DeletedNow::default();
        deleted.add(&path("a"), Timestamp(5));
        let earliest = |deleted: &DeletedNow, last, name| deleted.earliest(Timestamp(last), [path(name)].iter()).0;
        assert_eq!((earliest(&deleted, 5, "a"), earliest(&deleted, 5, "b")), (6, 5));
        assert_eq!(earliest(&deleted, 7, "a"), 7);
        deleted.add(&path("b"), Timestamp(6));
        assert_eq!((earliest(&deleted, 6, "a"), earliest(&deleted, 6, "b")), (6, 7));
        assert_eq!(earliest(&DeletedNow::unknown_at(Timestamp(5)), 5, "x"), 6);
        for number in 0..2 * PATHS_MAX {
            deleted.add(&path(&number.to_string()), Timestamp(6));
        }
        assert!(deleted.paths.len() <= PATHS_MAX);
        assert_eq!(earliest(&deleted, 6, "2047"), 7);
    }
}
