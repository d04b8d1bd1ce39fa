//! Reads of a store that changes meanwhile, and their cost.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use streamkit_engine::*;
use uuid::Uuid;

use crate::gated::Gated;

const STORE: StoreId = StoreId(Uuid::from_u128(7));

fn path(segment: &str) -> SegmentPath {
    SegmentPath::new("s", segment).unwrap()
}

fn engine(dir: &Path, disk: &Gated) -> Engine {
    Engine::open(EngineConfig {
        extent_bytes: limits::EXTENT_BYTES_MIN,
        disk: Arc::new(disk.clone()),
        ..EngineConfig::new(dir)
    })
    .unwrap()
}

async fn append(store: &dyn Store, segment: &str, first: u64, records: impl IntoIterator<Item = Record>) {
    let transaction = Transaction::single(path(segment), Sequence(first), records.into_iter().collect());
    store.append(transaction).await.unwrap();
}

fn space(cursor: Option<SpaceCursor>) -> SpacesRead {
    SpacesRead {
        spaces: BTreeMap::from([(Name::new("s").unwrap(), cursor)]),
        time: TimeRange::ALL,
        limit: u64::MAX,
    }
}

#[tokio::test]
async fn a_segment_deleted_in_the_middle_of_its_section_takes_nothing_else_along() {
    let dir = tempfile::tempdir().unwrap();
    let store = engine(dir.path(), &Gated::default()).store(STORE).await.unwrap();
    append(&*store, "a", 1, (0..10_000).map(|_| Record::new("x"))).await;
    append(&*store, "b", 1, (0..10).map(|_| Record::new("y"))).await;
    let mut reader = store.read_spaces(space(None));
    let first = reader.next_batch().await.unwrap().unwrap();
    assert!(first.len() < 10_000, "the section does not fit a batch");
    store.delete(&path("a")).await.unwrap();
    let mut seen = 0;
    while let Some(batch) = reader.next_batch().await.unwrap() {
        seen += batch.iter().filter(|entry| entry.path == path("b")).count();
    }
    assert_eq!(seen, 10);
}

#[tokio::test]
async fn a_segment_deleted_while_it_is_read_is_an_error_and_never_its_next_life() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path(), &Gated::default());
    let store = engine.store(STORE).await.unwrap();
    for n in 1..=600 {
        append(&*store, "a", n, [Record::new(format!("old{}", "x".repeat(1000)))]).await;
    }
    let mut reader = store.read_segment(SegmentRead::all(path("a")));
    let mut seen = reader.next_batch().await.unwrap().unwrap();
    store.delete(&path("a")).await.unwrap();
    append(&*store, "a", 1, (0..600).map(|_| Record::new("new"))).await;
    append(&*store, "b", 1, [Record::new(vec![0; 70_000])]).await; // seals the extent
    let ended = loop {
        match reader.next_batch().await {
            Ok(Some(batch)) => seen.extend(batch),
            ended => break ended,
        }
    };
    assert!(
        matches!(&ended, Err(ReadError::Storage(StorageError::Deleted(deleted))) if *deleted == path("a")),
        "{ended:?}"
    );
    assert!(seen.iter().all(|entry| entry.payload.starts_with(b"old")));
}

#[tokio::test]
async fn a_cursor_that_lies_late_reads_nothing_of_what_lies_before() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Gated::default());
    let store = engine(dir.path(), &disk).store(STORE).await.unwrap();
    for n in 0..40 {
        append(&*store, "a", n * 100 + 1, (0..100).map(|_| Record::new(vec![0; 1000]))).await;
    }
    disk.take_bytes_read();
    let late = Timestamp(i64::MAX);
    let cursor = SpaceCursor {
        timestamp: late,
        segment: Name::new("gone").unwrap(),
        sequence: Sequence(1),
    };
    let mut by_cursor = store.read_spaces(space(Some(cursor)));
    assert_eq!(by_cursor.next_batch().await.unwrap(), None);
    let time = TimeRange {
        after: Timestamp(i64::MAX - 1),
        ..TimeRange::ALL
    };
    let mut by_time = store.read_spaces(SpacesRead { time, ..space(None) });
    assert_eq!(by_time.next_batch().await.unwrap(), None);
    let mut of_segment = store.read_segment(SegmentRead {
        time,
        ..SegmentRead::all(path("a"))
    });
    assert_eq!(of_segment.next_batch().await.unwrap(), None);
    let read = disk.take_bytes_read();
    assert!(read < 40 * 4096 * 2, "{read} bytes of 4 MB, to find nothing");
}

#[tokio::test]
async fn a_time_in_the_middle_of_many_extents_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = engine(dir.path(), &Gated::default()).store(STORE).await.unwrap();
    let mut times = Vec::new();
    for n in 1..=30 {
        append(&*store, "a", n, [Record::new(vec![0; 20_000])]).await;
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        times.push(store.peek(&path("a")).await.unwrap().unwrap().timestamp);
    }
    for (at, &after) in times.iter().enumerate() {
        let time = TimeRange {
            after,
            ..TimeRange::ALL
        };
        let of_segment = SegmentRead {
            time,
            ..SegmentRead::all(path("a"))
        };
        for mut reader in [
            store.read_segment(of_segment),
            store.read_spaces(SpacesRead { time, ..space(None) }),
        ] {
            let mut seen = 0;
            while let Some(batch) = reader.next_batch().await.unwrap() {
                assert!(batch.iter().all(|entry| entry.timestamp > after));
                seen += batch.len();
            }
            assert_eq!(seen, times.len() - at - 1);
        }
    }
}

/// Reads on until the end or an error; what was read before it is added to `seen`.
async fn rest(reader: &mut dyn EntryReader, seen: &mut Vec<Entry>) -> Result<(), ReadError> {
    while let Some(batch) = reader.next_batch().await? {
        seen.extend(batch);
    }
    Ok(())
}

/// Entries of segment `a` that stand alone, and ones that stand side by side; with what `damage` does to the file of an
/// extent while it is being read, given its path and where the log ends in it.
async fn damaged_under_a_reader(damage: impl Fn(&Path)) {
    for apart in [0, 20_000] {
        for by_space in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let store = engine(dir.path(), &Gated::default()).store(STORE).await.unwrap();
            for n in 1..=400 {
                append(&*store, "a", n, [Record::new(format!("{n:05}").repeat(400))]).await;
                if apart > 0 && n % 2 == 0 {
                    append(&*store, "b", n / 2, [Record::new(vec![0; apart])]).await;
                }
            }
            let mut reader = match by_space {
                false => store.read_segment(SegmentRead::all(path("a"))),
                true => store.read_spaces(space(None)),
            };
            let mut seen = reader.next_batch().await.unwrap().unwrap();
            let file = dir.path().join("stores").join(STORE.to_string());
            let damaged = LogPosition::of_local(*store.durable_tail().borrow()).extent - 2;
            damage(&file.join(format!("{damaged:020}.extent")));
            let ended = rest(&mut *reader, &mut seen).await;
            let Err(ReadError::Storage(StorageError::Corrupt {
                store: of,
                place: DamagedPlace::Extent { extent, byte },
                ..
            })) = ended
            else {
                panic!("{ended:?}, {apart} bytes apart, by space: {by_space}");
            };
            assert_eq!((of, extent), (STORE, damaged));
            assert!((4096..65536).contains(&byte), "{byte}");
            assert!(reader.next_batch().await.is_err(), "an error is not followed by an end");
            // What was handed out before is no view of the file.
            let own = seen.iter().filter(|entry| entry.path == path("a"));
            for (n, entry) in (1..).zip(own) {
                assert_eq!(entry.sequence, Sequence(n));
                assert_eq!(entry.payload, format!("{n:05}").repeat(400));
            }
        }
    }
}

#[tokio::test]
async fn an_extent_truncated_under_a_reader_is_damage_and_never_an_end() {
    damaged_under_a_reader(|file| {
        let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
        file.set_len(30_000).unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_extent_cut_off_in_the_middle_of_a_header_is_damage_too() {
    damaged_under_a_reader(|file| {
        let bytes = std::fs::read(file).unwrap();
        // A transaction of segment `a` begins 48 + 20 bytes before its names.
        let names = bytes.windows(2).rposition(|names| names == b"sa").unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
        file.set_len(names as u64 - 60).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_bit_flipped_under_a_reader_is_damage_and_never_an_end() {
    damaged_under_a_reader(|file| {
        let mut bytes = std::fs::read(file).unwrap();
        let payload = bytes.windows(2).rposition(|names| names == b"sa").unwrap() + 100;
        bytes[payload] ^= 1;
        std::fs::write(file, bytes).unwrap();
    })
    .await;
}

/// Parts of a segment are guessed by sequence: neither gaps between them nor an earlier life of its name may lead astray.
#[tokio::test]
async fn any_entry_is_found_among_many_extents_also_where_the_segment_is_rare_or_was_deleted_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = engine(dir.path(), &Gated::default()).store(STORE).await.unwrap();
    let large = |text: String| Record::new(format!("{text} {}", "x".repeat(7000)));
    let mut heads: BTreeMap<&str, u64> = BTreeMap::new();
    for round in 1..=300_u64 {
        if round == 150 {
            store.delete(&path("reborn")).await.unwrap();
            heads.remove("reborn");
        }
        let rare = round % 70 == 1 || (round > 100 && round < 110);
        let late = round > 140;
        for (segment, now) in [
            ("dense", true),
            ("rare", rare),
            ("reborn", round % 3 == 0),
            ("late", late),
        ] {
            if now {
                let head = heads.entry(segment).or_default();
                *head += 1;
                append(&*store, segment, *head, [large(format!("{segment} {round} {head}"))]).await;
            }
        }
    }
    for (segment, &head) in &heads {
        for from in 1..=head {
            for to in [from, (from + 2).min(head)] {
                let mut reader = store.read_segment(SegmentRead {
                    from: Sequence(from),
                    to: Sequence(to),
                    ..SegmentRead::all(path(segment))
                });
                let mut found = Vec::new();
                while let Some(batch) = reader.next_batch().await.unwrap() {
                    found.extend(batch);
                }
                assert_eq!(found.len() as u64, to - from + 1, "{segment} {from}..={to}");
                for (entry, sequence) in found.iter().zip(from..) {
                    let text = String::from_utf8_lossy(&entry.payload);
                    assert!(text.starts_with(&format!("{segment} ")), "another segment's");
                    assert!(
                        text.contains(&format!(" {sequence} x")),
                        "another entry's: {}",
                        &text[..20]
                    );
                }
            }
        }
    }
}

/// Entries of which each takes a read of its own, so that two threads share a scan.
#[tokio::test]
async fn scattered_entries_come_in_order_and_damage_among_them_is_an_error_wherever_it_is() {
    const ENTRIES: u64 = 400;
    let dir = tempfile::tempdir().unwrap();
    let open = || Engine::open(EngineConfig::new(dir.path())).unwrap();
    let text = |sequence: u64| format!("scattered entry {sequence:04}");
    let writing = open();
    let store = writing.store(STORE).await.unwrap();
    for sequence in 1..=ENTRIES {
        let part = |segment, record| SegmentAppend {
            path: path(segment),
            first_sequence: Sequence(sequence),
            records: vec![record],
        };
        let segments = vec![
            part("a", Record::new(text(sequence))),
            part("far", Record::new(vec![7; 20_000])),
        ];
        let id = Uuid::new_v4();
        store
            .append(Transaction {
                id,
                segments,
                fence: None,
                conditions: Vec::new(),
            })
            .await
            .unwrap();
    }
    let read = async |store: &dyn Store, from, limit| {
        let mut reader = store.read_segment(SegmentRead {
            from: Sequence(from),
            limit,
            ..SegmentRead::all(path("a"))
        });
        let mut next = from;
        while let Some(batch) = reader.next_batch().await? {
            for entry in batch {
                assert_eq!((entry.sequence.0, &*entry.payload), (next, text(next).as_bytes()));
                next += 1;
            }
        }
        Ok::<u64, ReadError>(next - from)
    };
    for (from, limit, expected) in [(1, u64::MAX, ENTRIES), (150, u64::MAX, 251), (3, 300, 300), (399, 9, 2)] {
        assert_eq!(read(&*store, from, limit).await.unwrap(), expected);
    }
    drop(store);
    writing.close().await;
    // Opened before: what is damaged in the open extent would refuse the store.
    let reading = open();
    let store = reading.store(STORE).await.unwrap();
    for (damaged, from) in [(2, 1), (200, 3), (399, 201)] {
        let wanted = text(damaged).into_bytes();
        let mut found = 0;
        for file in std::fs::read_dir(dir.path().join("stores").join(STORE.to_string())).unwrap() {
            let file = file.unwrap().path();
            let mut bytes = std::fs::read(&file).unwrap();
            if let Some(at) = bytes.windows(wanted.len()).position(|window| window == wanted) {
                bytes[at] ^= 1;
                std::fs::write(&file, bytes).unwrap();
                found += 1;
            }
        }
        assert_eq!(found, 1, "it stands once in the log");
        let outcome = read(&*store, from, u64::MAX).await;
        assert!(
            matches!(outcome, Err(ReadError::Storage(StorageError::Corrupt { .. }))),
            "{outcome:?}"
        );
        assert_eq!(read(&*store, damaged + 1, 1).await.unwrap(), 1, "others can be read");
    }
}
