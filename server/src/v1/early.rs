//! Records that came before others of a lower sequence. A Go peer whose queue is full writes one record directly, before all
//! that is queued; what it has overtaken follows. So an early record is kept until it is next, within bounds.

use std::collections::BTreeMap;

use streamkit_engine::Sequence;
use streamkit_engine::limits::RECORD_BYTES_MAX;

use crate::limits::EARLY_RECORDS_MAX;
use crate::verbs::ReceivedRecord;

/// Early records of one produce.
#[derive(Default)]
pub(super) struct Early {
    records: BTreeMap<Sequence, ReceivedRecord>,
    /// Bytes of records, and bytes of room.
    bytes: usize,
    room: usize,
    /// The sequence that was missing when a mark was asked for.
    asked: Option<Sequence>,
}

impl Early {
    /// Keeps a record. `false` if one of that sequence is kept, or too many are.
    pub(super) fn keep(&mut self, early: ReceivedRecord) -> bool {
        let bytes = self.bytes + early.record.len();
        if self.records.contains_key(&early.sequence)
            || self.records.len() == EARLY_RECORDS_MAX
            || bytes > RECORD_BYTES_MAX
        {
            return false;
        }
        self.bytes = bytes;
        self.room += early.room.bytes();
        self.records.insert(early.sequence, early);
        true
    }

    /// The record of a sequence, if it was early.
    pub(super) fn take(&mut self, sequence: Sequence) -> Option<ReceivedRecord> {
        let early = self.records.remove(&sequence)?;
        self.bytes -= early.record.len();
        self.room -= early.room.bytes();
        Some(early)
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
    use streamkit_engine::Record;

    use super::*;
    use crate::budgets::Room;

    fn early_record(sequence: u64, record: Record) -> ReceivedRecord {
        ReceivedRecord {
            sequence: Sequence(sequence),
            record,
            room: Room::default(),
        }
    }

    #[test]
    fn early_records_are_kept_within_bounds_and_none_twice() {
        let mut early = Early::default();
        let keep = |early: &mut Early, n: u64| early.keep(early_record(n, Record::new("x")));
        assert!(keep(&mut early, 3) && !keep(&mut early, 3));
        for n in 4..3 + EARLY_RECORDS_MAX as u64 {
            assert!(keep(&mut early, n));
        }
        assert!(!keep(&mut early, 1 << 20), "too many");
        assert!(early.take(Sequence(2)).is_none() && early.take(Sequence(3)).is_some());
        let large = Record::new(vec![0; RECORD_BYTES_MAX]);
        assert!(!early.keep(early_record(2, large.clone())), "too large");
        assert!(Early::default().keep(early_record(2, large)), "one always fits");
    }

    #[test]
    fn a_mark_tells_only_of_what_was_missing_when_it_was_asked_for() {
        let mut early = Early::default();
        assert!(!early.asks(Sequence(1)), "nothing is early");
        early.keep(early_record(3, Record::new("x")));
        assert!(early.asks(Sequence(1)) && !early.asks(Sequence(1)));
        assert!(!early.marked(Sequence(2)), "one came");
        assert!(early.asks(Sequence(2)) && early.marked(Sequence(2)));
    }
}
