//! The catalog against a plain map, and its checkpoint.

use std::collections::BTreeMap;
use std::ops::Bound;

use proptest::prelude::*;
use uuid::Uuid;

use super::catalog::Catalog;
use super::checkpoint::{decode, encode};
use super::runs::OwnedRun;
use crate::format::FormatError;
use crate::format::extent_header::LogState;
use crate::format::run::Run;
use crate::format::transaction::{Encoded, take_transaction};
use streamkit_record::{LogPosition, Name, Record, SegmentPath, Sequence, StoreId, Timestamp, Transaction};

/// What a segment is known by: last extent, first sequence and its time, head and its time.
type Known = (u32, u64, i64, u64, i64);

/// A catalog, and the same in plain maps.
#[derive(Default)]
struct Both {
    catalog: Catalog,
    segments: BTreeMap<SegmentPath, Known>,
    /// Deletions, in the order of the log.
    deleted: Vec<(SegmentPath, LogPosition)>,
    /// Where segments began behind a deletion.
    begun: BTreeMap<SegmentPath, LogPosition>,
    /// Of the open extent: path, extent before, run.
    runs: Vec<(SegmentPath, u32, Run)>,
    at: LogPosition,
    time: i64,
}

impl Both {
    fn new() -> Self {
        Self {
            catalog: Catalog::starting_at(1),
            at: LogPosition { extent: 1, byte: 4096 },
            ..Self::default()
        }
    }

    fn apply(&mut self, mut encoded: Encoded) {
        self.time += 1;
        self.at.byte += 200;
        let bytes = encoded.commit(1, Timestamp(self.time)).to_vec();
        let (header, transaction) = take_transaction(&bytes).unwrap();
        self.catalog.apply(&header, transaction, self.at).unwrap();
    }

    fn append(&mut self, path: &SegmentPath, count: u64) {
        let (head, found) = (self.head(path), self.segments.get(path).copied());
        let records = (0..count).map(|_| Record::new("r")).collect();
        let transaction = Transaction::single(path.clone(), Sequence(head + 1), records);
        self.apply(Encoded::data(&transaction));
        let extent = self.at.extent as u32;
        let run = Run {
            first_sequence: Sequence(head + 1),
            timestamp: Timestamp(self.time),
            trx_byte: self.at.byte,
            section_offset: 48,
            count: count as u32,
        };
        let (last_extent, first, first_time, ..) = found.unwrap_or((0, 1, self.time, 0, 0));
        let before = self
            .runs
            .iter()
            .find(|(other, ..)| other == path)
            .map_or(last_extent, |&(_, before, _)| before);
        self.runs.push((path.clone(), before, run));
        if found.is_none() && !self.deleted.is_empty() {
            self.begun.insert(path.clone(), self.at);
        }
        self.segments
            .insert(path.clone(), (extent, first, first_time, head + count, self.time));
    }

    fn head(&self, path: &SegmentPath) -> u64 {
        self.segments.get(path).map_or(0, |known| known.3)
    }

    fn delete(&mut self, path: &SegmentPath) {
        if self.segments.remove(path).is_some() {
            self.apply(Encoded::delete(path));
            self.begun.remove(path);
            self.deleted.push((path.clone(), self.at));
            self.runs.retain(|(other, ..)| other != path);
        }
    }

    fn trim(&mut self, path: &SegmentPath) {
        let head = self.head(path);
        if let Some(known) = self.segments.get_mut(path) {
            if head > known.1 {
                (known.1, known.2) = (head, 5);
            }
            self.apply(Encoded::trim(path, Sequence(head), Timestamp(5)));
        }
    }

    fn roll(&mut self) {
        self.at = LogPosition {
            extent: self.at.extent + 1,
            byte: 4096,
        };
        self.catalog.roll(self.at.extent);
        self.runs.clear();
    }

    fn checkpoint(&self) -> Vec<u8> {
        encode(
            STORE,
            self.at,
            &self.state(),
            self.catalog.segments(),
            &self.catalog.leases,
            &self.catalog.open,
        )
    }

    fn state(&self) -> LogState {
        LogState {
            last_timestamp: Timestamp(self.time),
            ..LogState::default()
        }
    }

    /// A checkpoint as docs/FORMAT.md has it, from the plain maps.
    fn plain_checkpoint(&self) -> Vec<u8> {
        let mut body = STORE.0.as_bytes().to_vec();
        let position = |body: &mut Vec<u8>, at: LogPosition| {
            body.extend(at.extent.to_le_bytes());
            body.extend(at.byte.to_le_bytes());
        };
        let name = |body: &mut Vec<u8>, name: &str| {
            body.extend((name.len() as u16).to_le_bytes());
            body.extend(name.as_bytes());
        };
        position(&mut body, self.at);
        self.state().encode(&mut body);
        body.extend((self.segments.len() as u64).to_le_bytes());
        let mut space = "";
        for (path, known) in &self.segments {
            name(
                &mut body,
                if path.space.as_str() == space {
                    ""
                } else {
                    path.space.as_str()
                },
            );
            space = path.space.as_str();
            name(&mut body, path.segment.as_str());
            body.extend(known.0.to_le_bytes());
            body.extend(known.1.to_le_bytes());
            body.extend(known.2.to_le_bytes());
            body.extend(known.3.to_le_bytes());
            body.extend(known.4.to_le_bytes());
        }
        body.extend((self.runs.len() as u64).to_le_bytes());
        for (path, before, run) in &self.runs {
            let ordinal = self.segments.range(..path).count() as u32;
            body.extend(ordinal.to_le_bytes());
            body.extend(before.to_le_bytes());
            body.extend(run.first_sequence.0.to_le_bytes());
            body.extend(run.timestamp.0.to_le_bytes());
            for number in [run.trx_byte, run.section_offset, run.count] {
                body.extend(number.to_le_bytes());
            }
        }
        let last = self.deleted.last().map(|(path, at)| (path, at));
        let mut deletions: Vec<_> = self.begun.iter().collect();
        deletions.extend(last.filter(|_| self.begun.is_empty()));
        body.extend((deletions.len() as u64).to_le_bytes());
        for (path, at) in deletions {
            name(&mut body, path.space.as_str());
            name(&mut body, path.segment.as_str());
            position(&mut body, *at);
        }
        let mut out = b"SKCHECKP\x01\x00\0\0".to_vec();
        out.extend(crc32fast::hash(&body).to_le_bytes());
        out.extend(body);
        out
    }

    fn check(&self, catalog: &Catalog) -> Result<(), TestCaseError> {
        for space in ["a", "b", "ä"].map(|space| Name::new(space).unwrap()) {
            let all: Vec<_> = self.segments.iter().filter(|(path, _)| path.space == space).collect();
            let names = ["0", "1", "2500", "60", "7", "é"].map(|name| Name::new(name).unwrap());
            let afters = names
                .iter()
                .flat_map(|name| [Bound::Included(name.clone()), Bound::Excluded(name.clone())]);
            for after in afters.chain([Bound::Unbounded]) {
                for limit in [0, 1, 7, usize::MAX] {
                    let page = catalog.page(&space, after.clone(), limit);
                    let expected = all.iter().filter(|(path, _)| match &after {
                        Bound::Included(name) => path.segment >= *name,
                        Bound::Excluded(name) => path.segment > *name,
                        Bound::Unbounded => true,
                    });
                    let page = page.iter().map(|status| {
                        let first = (status.first_sequence.0, status.first_timestamp.0);
                        (&status.path, first, (status.last_sequence.0, status.last_timestamp.0))
                    });
                    prop_assert!(page.eq(expected.take(limit).map(|(path, k)| (*path, (k.1, k.2), (k.3, k.4)))));
                }
            }
        }
        for (path, known) in &self.segments {
            let (number, found) = catalog.find(path).unwrap();
            prop_assert_eq!(&catalog.path(number), path);
            prop_assert_eq!((found.last_extent, found.head.0), (known.0, known.3));
        }
        for (path, at) in &self.deleted {
            let before = LogPosition {
                byte: at.byte - 1,
                ..*at
            };
            prop_assert_eq!(catalog.visible_from(path.names(), before), None);
            prop_assert_eq!(catalog.head(path), Sequence(self.head(path)));
        }
        for (path, known) in &self.segments {
            let at = self.begun.get(path).copied().unwrap_or_default();
            prop_assert_eq!(
                catalog.visible_from(path.names(), at).unwrap().max(Sequence(known.1)),
                Sequence(known.1)
            );
        }
        let mut spaces: Vec<Name> = self.segments.keys().map(|path| path.space.clone()).collect();
        spaces.dedup();
        prop_assert_eq!(catalog.spaces(), spaces.clone());
        for space in ["0", "a", "aa", "b", "c", "ä", "é"].map(|name| Name::new(name).unwrap()) {
            let number = catalog.space_number(&space);
            prop_assert_eq!(
                number.map(|number| &catalog.segments().spaces[number]),
                spaces.iter().find(|is| **is == space)
            );
        }
        let totals = catalog.totals();
        let entries: u64 = self.segments.values().map(|known| known.3 - known.1 + 1).sum();
        prop_assert_eq!(
            (totals.space_count, totals.segment_count),
            (spaces.len() as u64, self.segments.len() as u64)
        );
        prop_assert_eq!((totals.entry_count, totals.last_timestamp.0), (entries, self.time));
        Ok(())
    }
}

const STORE: StoreId = StoreId(Uuid::from_u128(5));

fn path(space: u8, name: u32) -> SegmentPath {
    SegmentPath::new(["a", "b", "ä"][usize::from(space) % 3], &name.to_string()).unwrap()
}

/// Space, name, and what is done to that segment.
fn changes(most: usize) -> impl Strategy<Value = Vec<(u8, u32, u8)>> {
    let names = prop_oneof![0_u32..20, 0_u32..9000];
    proptest::collection::vec((0_u8..3, names, 0_u8..100), 0..most)
}

fn apply(both: &mut Both, changes: Vec<(u8, u32, u8)>) {
    for (space, name, what) in changes {
        let path = path(space, name);
        match what {
            0..5 => both.delete(&path),
            5..10 => both.trim(&path),
            10 if name % 8 == 0 => both.roll(),
            _ => both.append(&path, u64::from(what % 3) + 1),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn the_catalog_tells_what_a_plain_map_tells_and_so_does_its_checkpoint(changes in changes(1600)) {
        let mut both = Both::new();
        apply(&mut both, changes);
        both.check(&both.catalog)?;
        let bytes = both.checkpoint();
        let decoded = decode(&bytes).unwrap();
        both.check(&decoded.catalog)?;
        let runs = |catalog: &Catalog| -> Vec<(SegmentPath, Run)> {
            let of_segments = |owned: &OwnedRun| catalog.open.first(owned.segment).is_some();
            let there = catalog.open.in_order((0, 0)).filter(of_segments);
            there.map(|owned| (catalog.path(owned.segment), owned.run)).collect()
        };
        prop_assert_eq!(runs(&decoded.catalog), runs(&both.catalog));
        prop_assert_eq!((decoded.store, decoded.position), (STORE, both.at));
        let (segments, leases) = (decoded.catalog.segments(), &decoded.catalog.leases);
        let again = encode(STORE, both.at, &decoded.state, segments, leases, &decoded.catalog.open);
        prop_assert!(again == bytes);
    }

    #[test]
    fn a_checkpoint_has_the_bytes_of_the_format(changes in changes(300)) {
        let mut both = Both::new();
        apply(&mut both, changes);
        prop_assert!(both.checkpoint() == both.plain_checkpoint());
    }

    #[test]
    fn a_snapshot_does_not_see_what_is_applied_after_it(first in changes(1500), later in changes(500)) {
        let mut both = Both::new();
        apply(&mut both, first);
        both.roll();
        let (at, state) = (both.at, both.state());
        let expected = both.checkpoint();
        let (snapshot, leases) = (both.catalog.segments().clone(), both.catalog.leases.clone());
        apply(&mut both, later);
        let open = super::runs::ExtentRuns::new(at.extent);
        prop_assert!(encode(STORE, at, &state, &snapshot, &leases, &open) == expected);
    }

    #[test]
    fn no_bytes_with_a_good_checksum_make_a_checkpoint_panic(
        changes in changes(60),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut both = Both::new();
        apply(&mut both, changes);
        let mut bytes = both.checkpoint();
        for (at, value) in damage {
            let at = 16 + at.index(bytes.len() - 16);
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(16 + cut.index(bytes.len() - 16));
        }
        prop_assert!(decode(&bytes).is_err() || both.checkpoint() == bytes, "the checksum is wrong");
        let crc = crc32fast::hash(&bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        // What is believed can be used like any other.
        if let Ok(found) = decode(&bytes) {
            let catalog = &found.catalog;
            encode(found.store, found.position, &found.state, catalog.segments(), &catalog.leases, &catalog.open);
            for space in catalog.spaces() {
                for status in catalog.page(&space, Bound::Unbounded, usize::MAX) {
                    catalog.visible_from(status.path.names(), found.position);
                    let number = catalog.find(&status.path).unwrap().0;
                    catalog.open.segment(number, status.last_sequence, 10);
                }
            }
        }
    }
}

/// Bytes of a checkpoint, and how much is kept in memory: rows, spaces, bytes of names.
fn sizes(both: &Both) -> (usize, [usize; 3]) {
    let segments = both.catalog.segments();
    let kept = [segments.rows.len(), segments.spaces.len(), segments.names.len()];
    (both.checkpoint().len(), kept)
}

#[test]
fn what_was_deleted_takes_no_room_in_memory_or_in_checkpoints() {
    let mut both = Both::new();
    for name in 0..20 {
        both.append(&path(0, name), 2);
    }
    let round = |both: &mut Both, number: u32| {
        let paths: Vec<_> = (0..200)
            .map(|name| SegmentPath::new(&format!("s{name:03}"), &format!("n{number:03}{name:05}")).unwrap())
            .collect();
        for path in &paths {
            both.append(path, 1);
        }
        for path in &paths {
            both.delete(path);
        }
        both.roll();
    };
    round(&mut both, 0);
    let first = sizes(&both);
    for number in 1..1000 {
        round(&mut both, number);
    }
    assert_eq!(sizes(&both), first, "after 200 000 unique names");
    let reopened = decode(&both.checkpoint()).unwrap().catalog;
    let kept = reopened.segments();
    assert_eq!((kept.rows.len(), kept.spaces.len()), (20, 1));
    both.check(&reopened).unwrap();
    // What begins after that knows that it may have had an earlier life.
    both.catalog = reopened;
    let old = SegmentPath::new("s007", "n00000007").unwrap();
    both.append(&old, 1);
    both.check(&both.catalog).unwrap();
    let before = LogPosition { extent: 1, byte: 5000 };
    assert_eq!(both.catalog.visible_from(old.names(), before), None);
    let again = decode(&both.checkpoint()).unwrap().catalog;
    assert_eq!(again.visible_from(old.names(), before), None);
    assert_eq!(again.visible_from(old.names(), both.at), Some(Sequence(1)));
}

#[test]
fn a_checkpoint_of_an_earlier_version_that_keeps_every_deletion_is_read() {
    let mut both = Both::new();
    for name in 0..10 {
        both.append(&path(0, name), 1);
    }
    for name in 0..5 {
        both.delete(&path(0, name));
    }
    both.append(&path(0, 3), 1);
    let (begun, last) = (both.begun.clone(), both.deleted.clone());
    // As it was: the place of the deletion, of segments that are there and of others.
    both.begun = last.iter().cloned().collect();
    let bytes = both.plain_checkpoint();
    both.begun = begun;
    let old = decode(&bytes).unwrap();
    both.check(&old.catalog).unwrap();
    let now = decode(&both.checkpoint()).unwrap();
    assert!(old.gist.may_stand_for(now.gist));
    both.append(&path(0, 99), 1);
    let other = decode(&both.checkpoint()).unwrap();
    assert!(!old.gist.may_stand_for(other.gist));
}

fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32fast::hash(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn a_checkpoint_that_ends_early_is_refused_wherever_it_ends() {
    let mut both = Both::new();
    for name in 0..30 {
        both.append(&path(name as u8, name), 1);
    }
    both.delete(&path(3, 3));
    let bytes = both.checkpoint();
    assert!(decode(&bytes).is_ok());
    for end in 0..bytes.len() {
        assert!(decode(&bytes[..end]).is_err(), "cut at {end}");
        if end >= 16 {
            assert!(decode(&with_checksum(bytes[..end].to_vec())).is_err(), "cut at {end}");
        }
    }
}

#[test]
fn a_count_beyond_the_bytes_or_segments_out_of_order_are_refused() {
    let mut both = Both::new();
    for name in [1, 2] {
        both.append(&path(0, name), 1);
    }
    let bytes = both.checkpoint();
    let mut state = Vec::new();
    LogState::default().encode(&mut state);
    let count = 16 + 16 + 12 + state.len();
    let mut many = bytes.clone();
    many[count..count + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(decode(&with_checksum(many)).err(), Some(FormatError::Short));
    let first_name = count + 8 + 2 + 1 + 2;
    for name in [b'2', b'3'] {
        let mut disordered = bytes.clone();
        disordered[first_name] = name;
        let expected = Some(FormatError::Invalid("segments out of order"));
        assert_eq!(decode(&with_checksum(disordered)).err(), expected);
    }
}
