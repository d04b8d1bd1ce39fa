//! Whole transactions in the wrong place of a sealed extent: no read takes them for the entries that belong there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use streamkit_engine::clock::Clock;
use streamkit_engine::*;
use uuid::Uuid;

const STORE: StoreId = StoreId(Uuid::from_u128(7));
/// Entries of each segment: those that count are in the first extent, which is sealed.
const ROUNDS: u64 = 160;

/// Stands still for so many commits.
struct Steps(std::sync::atomic::AtomicI64, i64);

impl Clock for Steps {
    fn now(&self) -> Timestamp {
        let asked = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Timestamp(1_000 + asked / self.1)
    }
}

fn open(dir: &Path, same: i64) -> Engine {
    Engine::open(EngineConfig {
        extent_bytes: limits::EXTENT_BYTES_MIN,
        clock: Arc::new(Steps(Default::default(), same)),
        ..EngineConfig::new(dir)
    })
    .unwrap()
}

fn text(space: &str, segment: &str, sequence: u64) -> String {
    format!("<{space}/{segment} {sequence:05}>")
}

/// One entry at a time, in turn in `s/a`, `s/b` and `t/a`: all transactions have one length.
async fn written(dir: &Path, same: i64) {
    let engine = open(dir, same);
    let store = engine.store(STORE).await.unwrap();
    for sequence in 1..=ROUNDS {
        for (space, segment) in [("s", "a"), ("s", "b"), ("t", "a")] {
            let path = SegmentPath::new(space, segment).unwrap();
            let record = Record::new(text(space, segment, sequence));
            let transaction = Transaction::single(path, Sequence(sequence), vec![record]);
            store.append(transaction).await.unwrap();
        }
    }
    engine.close().await;
}

/// Where in the first extent an entry's group starts, and its bytes.
fn group(bytes: &[u8], text: &str) -> std::ops::Range<usize> {
    let at = |wanted: &[u8]| bytes.windows(wanted.len()).position(|part| part == wanted);
    let payload = at(text.as_bytes()).expect("it stands in the first extent");
    let start = bytes[..payload].windows(4).rposition(|part| part == b"SKGR").unwrap();
    start..payload + text.len()
}

/// What a read of a space gives, and how it ends. Each entry must be what was written under its name, each once.
async fn read(store: &dyn Store, after: Option<SpaceCursor>) -> (BTreeSet<(String, u64)>, Result<(), ReadError>) {
    let space = Name::new("s").unwrap();
    let mut reader = store.read_spaces(SpacesRead {
        spaces: BTreeMap::from([(space.clone(), after)]),
        time: TimeRange::ALL,
        limit: u64::MAX,
    });
    let mut seen = BTreeSet::new();
    loop {
        match reader.next_batch().await {
            Ok(Some(batch)) => {
                for entry in batch {
                    let (segment, sequence) = (entry.path.segment.to_string(), entry.sequence.0);
                    assert_eq!(entry.path.space, space);
                    assert_eq!(entry.payload, text("s", &segment, sequence));
                    assert!(seen.insert((segment, sequence)), "an entry comes once");
                }
            }
            Ok(None) => return (seen, Ok(())),
            Err(error) => return (seen, Err(error)),
        }
    }
}

#[tokio::test]
async fn what_was_moved_within_an_extent_is_told_by_each_read_that_meets_it() {
    // Whose bytes stand in the place of `s/b 20`, and whether those of `s/b 20` stand in theirs.
    let moves = [
        ("t", "a", 20, true),
        ("s", "a", 21, true),
        ("s", "b", 30, true),
        ("t", "a", 10, false),
        ("s", "a", 20, false),
        ("s", "b", 21, false),
        ("s", "b", 5, false),
    ];
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(format!("stores/{STORE}/{:020}.extent", 1));
    let mut whole = Vec::new();
    for (number, (space, segment, sequence, swapped)) in (0..).zip(moves.into_iter().chain(moves)) {
        let same = if number < moves.len() { 1 } else { 1_000_000 };
        if number % moves.len() == 0 {
            let _ = std::fs::remove_dir_all(dir.path().join(format!("stores/{STORE}")));
            written(dir.path(), same).await;
            whole = std::fs::read(&file).unwrap();
        }
        let mut bytes = whole.clone();
        let place = group(&bytes, &text("s", "b", 20));
        let other = group(&bytes, &text(space, segment, sequence));
        assert_eq!(place.len(), other.len());
        let before = bytes[place.clone()].to_vec();
        bytes.copy_within(other.clone(), place.start);
        if swapped {
            bytes[other].copy_from_slice(&before);
        }
        std::fs::write(&file, bytes).unwrap();
        let what = format!("{space}/{segment} {sequence}, swapped: {swapped}, {same} commits a millisecond");
        let engine = open(dir.path(), same);
        let store = engine.store(STORE).await.unwrap();
        let (_, ended) = read(&*store, None).await;
        assert!(ended.is_err(), "{what}");
        // From a place between, too, also where all that was before is not read.
        for from in [19, 20] {
            let segment = Name::new("a").unwrap();
            let path = SegmentPath::new("s", "a").unwrap();
            let from = Sequence(from);
            let read_one = SegmentRead {
                from,
                to: from,
                ..SegmentRead::all(path)
            };
            let one = store.read_segment(read_one).next_batch().await.unwrap().unwrap();
            let timestamp = one[0].timestamp;
            let cursor = SpaceCursor {
                timestamp,
                segment,
                sequence: from,
            };
            let (_, ended) = read(&*store, Some(cursor)).await;
            assert!(ended.is_err(), "after s/a {from}: {what}");
        }
        let stepped = in_steps(&*store).await;
        assert!(stepped.is_err(), "one by one: {what}");
        engine.close().await;
    }
}

/// Reads the space one entry at a time, each time behind the last one.
async fn in_steps(store: &dyn Store) -> Result<(), ReadError> {
    let space = Name::new("s").unwrap();
    let mut after = None;
    loop {
        let mut reader = store.read_spaces(SpacesRead {
            spaces: BTreeMap::from([(space.clone(), after.clone())]),
            time: TimeRange::ALL,
            limit: 1,
        });
        let Some(mut batch) = reader.next_batch().await? else {
            return Ok(());
        };
        let last = batch.pop().unwrap();
        after = Some(SpaceCursor {
            timestamp: last.timestamp,
            segment: last.path.segment,
            sequence: last.sequence,
        });
    }
}
