//! A reader continues exactly after the entry of its cursor, whatever became of that entry's segment.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use streamkit_engine::clock::Clock;
use streamkit_engine::*;
use uuid::Uuid;

use crate::gated::Gated;

const STORE: StoreId = StoreId(Uuid::from_u128(7));
const SPACES: [&str; 2] = ["s", "t"];

/// All is committed in one millisecond, as far as that can be.
struct Stuck;

impl Clock for Stuck {
    fn now(&self) -> Timestamp {
        Timestamp(1_780_000_000_000)
    }
}

fn engine(dir: &Path) -> Engine {
    Engine::open(EngineConfig {
        extent_bytes: limits::EXTENT_BYTES_MIN,
        clock: Arc::new(Stuck),
        ..EngineConfig::new(dir)
    })
    .unwrap()
}

/// Where an entry stands in the log: transaction, part of it, sequence.
type Place = (u64, usize, u64);

/// All that was ever committed, each with its cursor.
#[derive(Default)]
struct Written(Vec<(Name, SpaceCursor, Place)>);

impl Written {
    /// Appends to some segments and deletes some, so that most have several lives, in one extent or over several.
    async fn fill(&mut self, store: &dyn Store, dice: &mut Dice, steps: usize) {
        for _ in 0..steps {
            let path = |dice: &mut Dice| {
                let (space, segment) = (dice.below(2) as usize, dice.below(4));
                SegmentPath::new(SPACES[space], &format!("n{segment}")).unwrap()
            };
            if dice.chance(1, 5) {
                let _ = store.delete(&path(dice)).await; // it may not be there
                continue;
            }
            let paths: std::collections::BTreeSet<_> = (0..=dice.below(3)).map(|_| path(dice)).collect();
            let mut segments = Vec::new();
            for path in paths {
                let status = store.segment_status(&path).await.unwrap();
                let first_sequence = status.map_or(Sequence::FIRST, |status| status.last_sequence.next());
                let size = [10, 100, 2000, 9000][dice.below(4) as usize];
                let records = (0..=dice.below(2)).map(|_| Record::new(vec![1; size])).collect();
                segments.push(SegmentAppend {
                    path,
                    first_sequence,
                    records,
                });
            }
            let parts = segments.clone();
            let id = Uuid::from_u128(u128::from(dice.any()));
            let committed = store
                .append(Transaction {
                    id,
                    segments,
                    fence: None,
                    conditions: Vec::new(),
                })
                .await
                .unwrap();
            for (at, part) in parts.into_iter().enumerate() {
                for sequence in (part.first_sequence.0..).take(part.records.len()) {
                    let cursor = SpaceCursor {
                        timestamp: committed.timestamp,
                        segment: part.path.segment.clone(),
                        sequence: Sequence(sequence),
                    };
                    let place = (committed.trx.number, at, sequence);
                    self.0.push((part.path.space.clone(), cursor, place));
                }
            }
        }
    }

    /// From each cursor, alone and beside one of the other space, exactly what stands behind it is read.
    async fn check(&self, store: &dyn Store) {
        let mut places = HashMap::new();
        for (space, cursor, place) in &self.0 {
            let key = (space.clone(), cursor.segment.clone(), cursor.sequence, place.0);
            places.insert(key, *place);
        }
        let place_of = |entry: &Entry| {
            let SegmentPath { space, segment } = entry.path.clone();
            places[&(space, segment, entry.sequence, entry.trx.number)]
        };
        let start = SPACES.map(|space| (Name::new(space).unwrap(), None));
        let all = read(store, start.clone().into()).await;
        assert!(all.is_sorted_by_key(place_of) && !all.is_empty());
        let mut other: BTreeMap<Name, (SpaceCursor, Place)> = BTreeMap::new();
        for (space, cursor, place) in self.0.iter().rev().step_by(4) {
            let mut spaces = BTreeMap::from([(space.clone(), Some(cursor.clone()))]);
            let behind = |entry: &&Entry| entry.path.space == *space && place_of(entry) > *place;
            let expected: Vec<_> = all.iter().filter(behind).cloned().collect();
            assert_eq!(read(store, spaces.clone()).await, expected, "{space} {cursor:?}");
            if let Some((beside, (other, from))) = other.iter().find(|(name, _)| *name != space) {
                spaces.insert(beside.clone(), Some(other.clone()));
                let behind = |entry: &&Entry| match entry.path.space == *space {
                    true => place_of(entry) > *place,
                    false => place_of(entry) > *from,
                };
                let expected: Vec<_> = all.iter().filter(behind).cloned().collect();
                assert_eq!(read(store, spaces).await, expected, "{cursor:?} and {other:?}");
            }
            other.insert(space.clone(), (cursor.clone(), *place));
        }
    }
}

async fn read(store: &dyn Store, spaces: BTreeMap<Name, Option<SpaceCursor>>) -> Vec<Entry> {
    let mut reader = store.read_spaces(SpacesRead {
        spaces,
        time: TimeRange::ALL,
        limit: u64::MAX,
    });
    let mut all = Vec::new();
    while let Some(batch) = reader.next_batch().await.unwrap() {
        all.extend(batch);
    }
    all
}

#[tokio::test]
async fn every_cursor_goes_on_exactly_behind_its_entry_though_its_segment_was_deleted_and_all_has_one_commit_time() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut dice = Dice::new(5);
    let mut written = Written::default();
    for life in 0..3 {
        let engine = engine(dir.path());
        let store = engine.store(STORE).await.unwrap();
        written.fill(&*store, &mut dice, 80).await;
        written.check(&*store).await;
        drop(store);
        engine.close().await;
        let checkpoint = dir.path().join("stores").join(STORE.to_string()).join("checkpoint");
        if life == 1 {
            std::fs::remove_file(checkpoint).unwrap();
        }
    }
    let source = engine(dir.path());
    let store = source.store(STORE).await.unwrap();
    written.check(&*store).await;
    let target = copy.path().join("backup");
    backup::backup(&source, &disk::best(), &target, &mut |_| {}).unwrap();
    let restored = copy.path().join("restored");
    backup::restore(&disk::best(), &target, &restored, &mut |_| {}).unwrap();
    let restored = engine(&restored);
    written.check(&*restored.store(STORE).await.unwrap()).await;
}

#[tokio::test]
async fn a_cursor_that_nobody_was_given_skips_nothing_of_its_millisecond() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let store = engine.store(STORE).await.unwrap();
    let mut written = Written::default();
    written.fill(&*store, &mut Dice::new(9), 60).await;
    let start = BTreeMap::from([(Name::new("s").unwrap(), None)]);
    let all = read(&*store, start).await;
    let time = all[0].timestamp;
    for (timestamp, expected) in [
        (time.0 - 1, &all[..]),
        (time.0, &all[..]),
        (i64::MAX, &[]),
        (i64::MIN, &all[..]),
    ] {
        let cursor = SpaceCursor {
            timestamp: Timestamp(timestamp),
            segment: Name::new("never").unwrap(),
            sequence: Sequence(u64::MAX),
        };
        let spaces = BTreeMap::from([(Name::new("s").unwrap(), Some(cursor))]);
        assert_eq!(read(&*store, spaces).await, expected, "{timestamp}");
    }
}

#[tokio::test]
async fn a_cursor_that_nobody_was_given_is_looked_for_up_to_the_durable_end_wherever_that_is() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let store = engine.store(STORE).await.unwrap();
    let path = SegmentPath::new("s", "a").unwrap();
    for n in 1..=16 {
        let records = vec![Record::new(vec![1; 40 + n as usize])];
        let transaction = Transaction::single(path.clone(), Sequence(n), records);
        let timestamp = store.append(transaction).await.unwrap().timestamp;
        let cursor = SpaceCursor {
            timestamp,
            segment: Name::new("never").unwrap(),
            sequence: Sequence(1),
        };
        let spaces = BTreeMap::from([(Name::new("s").unwrap(), Some(cursor))]);
        assert_eq!(read(&*store, spaces).await.len() as u64, n);
    }
}

#[tokio::test]
async fn a_segment_never_begins_anew_in_the_millisecond_of_its_deletion_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = SegmentPath::new("s", "a").unwrap();
    let mut times = Vec::new();
    for _ in 0..4 {
        let engine = engine(dir.path());
        let store = engine.store(STORE).await.unwrap();
        for _ in 0..2 {
            let transaction = Transaction::single(path.clone(), Sequence::FIRST, vec![Record::new("x")]);
            times.push(store.append(transaction).await.unwrap().timestamp);
            store.delete(&path).await.unwrap();
        }
        drop(store);
        engine.close().await;
    }
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
}

#[tokio::test]
async fn a_read_of_much_that_was_trimmed_stops_when_its_reader_leaves() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Gated::default());
    let engine = Engine::open(EngineConfig {
        extent_bytes: limits::EXTENT_BYTES_MIN,
        disk: Arc::new(disk.clone()),
        ..EngineConfig::new(dir.path())
    })
    .unwrap();
    let store = engine.store(STORE).await.unwrap();
    let path = SegmentPath::new("s", "a").unwrap();
    let appends = (1..=2000).map(|n| {
        let transaction = Transaction::single(path.clone(), Sequence(n), vec![Record::new(vec![1; 8000])]);
        store.append(transaction)
    });
    for append in futures_in_order(appends.collect()).await {
        append.unwrap();
    }
    store.trim(&path, Sequence(2000)).await.unwrap();
    disk.take_bytes_read();
    let mut reader = store.read_spaces(SpacesRead {
        spaces: BTreeMap::from([(Name::new("s").unwrap(), None)]),
        time: TimeRange::ALL,
        limit: u64::MAX,
    });
    let mut batch = reader.next_batch();
    std::future::poll_fn(|context| std::task::Poll::Ready(batch.as_mut().poll(context).is_ready())).await;
    drop(batch);
    drop((reader, store));
    engine.close().await; // waits for reads under way
    let read = disk.take_bytes_read();
    assert!(read < 6 << 20, "{read} bytes of 16 MB for a reader that left");
}

/// All of them, polled in their order, side by side.
async fn futures_in_order<F: Future + Unpin>(futures: Vec<F>) -> Vec<F::Output> {
    let mut left: Vec<_> = futures.into_iter().map(|future| (future, None)).collect();
    std::future::poll_fn(|context| {
        let mut all = true;
        for (future, outcome) in left.iter_mut().filter(|(_, outcome)| outcome.is_none()) {
            match std::pin::Pin::new(future).poll(context) {
                std::task::Poll::Ready(done) => *outcome = Some(done),
                std::task::Poll::Pending => all = false,
            }
        }
        if all {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    left.into_iter().filter_map(|(_, outcome)| outcome).collect()
}
