//! Records that came before others of a lower sequence. A Go peer whose queue is full writes one record directly, before all
//! that is queued; what it has overtaken follows. So an early record is kept until it is next, within bounds.

use std::collections::BTreeMap;

use streamkit_engine::limits::RECORD_BYTES_MAX;
use streamkit_engine::{Record, Sequence};

use crate::limits::EARLY_RECORDS_MAX;
use crate::session::Room;

/// Early records of one produce.
#[derive(Default)]
pub(super) struct Early {
    records: BTreeMap<Sequence, (Record, Room)>,
    /// Bytes of records, and bytes of room.
    bytes: usize,
    room: usize,
    /// The sequence that was missing when a mark was asked for.
    asked: Option<Sequence>,
}

impl Early {
    /// Keeps a record. `false` if one of that sequence is kept, or too many are.
    pub(super) fn keep(&mut self, sequence: Sequence, record: Record, room: Room) -> bool {
        let bytes = self.bytes + record.len();
        if self.records.contains_key(&sequence) || self.records.len() == EARLY_RECORDS_MAX || bytes > RECORD_BYTES_MAX {
            return false;
        }
        self.bytes = bytes;
        self.room += room.bytes();
        self.records.insert(sequence, (record, room));
        true
    }

    /// The record of a sequence, if it was early.
    pub(super) fn take(&mut self, sequence: Sequence) -> Option<(Record, Room)> {
        let (record, room) = self.records.remove(&sequence)?;
        self.bytes -= record.len();
        self.room -= room.bytes();
        Some((record, room))
    }

    /// The lowest that is kept.
    pub(super) fn first(&self) -> Option<Sequence> {
        self.records.first_key_value().map(|(sequence, _)| *sequence)
    }

    /// Bytes of room taken.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Whether to ask for a mark: something is missing, and was not when last asked.
    pub(super) fn asks(&mut self, missing: Sequence) -> bool {
        if self.records.is_empty() || self.asked.is_some() {
            return false;
        }
        self.asked = Some(missing);
        true
    }

    /// The mark is here. Whether what was missing when it was asked for still is, so that it will not come.
    pub(super) fn marked(&mut self, missing: Sequence) -> bool {
        let asked = self.asked.take();
        !self.records.is_empty() && asked == Some(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_records_are_kept_within_bounds_and_none_twice() {
        let mut early = Early::default();
        let one = || (Record::new("x"), Room::default());
        let keep = |early: &mut Early, n: u64| early.keep(Sequence(n), one().0, one().1);
        assert!(keep(&mut early, 3) && !keep(&mut early, 3));
        for n in 4..3 + EARLY_RECORDS_MAX as u64 {
            assert!(keep(&mut early, n));
        }
        assert!(!keep(&mut early, 1 << 20), "too many");
        assert!(early.take(Sequence(2)).is_none() && early.take(Sequence(3)).is_some());
        let large = Record::new(vec![0; RECORD_BYTES_MAX]);
        assert!(!early.keep(Sequence(2), large.clone(), Room::default()), "too large");
        assert!(
            Early::default().keep(Sequence(2), large, Room::default()),
            "one always fits"
        );
    }

    #[test]
    fn a_mark_tells_only_of_what_was_missing_when_it_was_asked_for() {
        let mut early = Early::default();
        assert!(!early.asks(Sequence(1)), "nothing is early");
        early.keep(Sequence(3), Record::new("x"), Room::default());
        assert!(early.asks(Sequence(1)) && !early.asks(Sequence(1)));
        assert!(!early.marked(Sequence(2)), "one came");
        assert!(early.asks(Sequence(2)) && early.marked(Sequence(2)));
    }
}
