//! The cost of one damaged place: reads that need it fail and name store, extent, byte and the segments it hits;
//! everything else reads and writes as before.

use std::collections::BTreeMap;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use streamkit_engine::*;
use uuid::Uuid;

const STORE: StoreId = StoreId(Uuid::from_u128(7));

fn path(segment: &str) -> SegmentPath {
    SegmentPath::new("s", segment).unwrap()
}

fn open(dir: &Path) -> Engine {
    Engine::open(EngineConfig {
        extent_bytes: limits::EXTENT_BYTES_MIN,
        ..EngineConfig::new(dir)
    })
    .unwrap()
}

fn text(segment: &str, sequence: u64) -> String {
    format!("<{segment} {sequence:05}> {}", "x".repeat(300))
}

/// One transaction of these segments, each of which gets its entry `sequence`.
async fn append(store: &dyn Store, segments: &[&str], sequence: u64) {
    let parts = segments.iter().map(|segment| SegmentAppend {
        path: path(segment),
        first_sequence: Sequence(sequence),
        records: vec![Record::new(text(segment, sequence))],
    });
    let id = Uuid::new_v4();
    let segments = parts.collect();
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

async fn drain(mut reader: Box<dyn EntryReader>) -> (u64, Result<(), StorageError>) {
    let mut read = 0;
    loop {
        match reader.next_batch().await {
            Ok(Some(batch)) => read += batch.len() as u64,
            Ok(None) => return (read, Ok(())),
            Err(ReadError::Storage(error)) => {
                assert!(reader.next_batch().await.is_err(), "an error is not followed by an end");
                return (read, Err(error));
            }
            Err(other) => panic!("{other}"),
        }
    }
}

async fn read(store: &dyn Store, segment: &str, from: u64) -> (u64, Result<(), StorageError>) {
    let from = Sequence(from);
    drain(store.read_segment(SegmentRead {
        from,
        ..SegmentRead::all(path(segment))
    }))
    .await
}

async fn read_space(store: &dyn Store) -> (u64, Result<(), StorageError>) {
    drain(store.read_spaces(SpacesRead {
        spaces: BTreeMap::from([(Name::new("s").unwrap(), None)]),
        time: TimeRange::ALL,
        limit: u64::MAX,
    }))
    .await
}

/// Changes a bit of a text that stands once in the log; returns the number of its extent and where in it the text stood.
fn damage(dir: &Path, text: &str) -> (u64, u64) {
    let mut found = Vec::new();
    for file in std::fs::read_dir(dir.join("stores").join(STORE.to_string())).unwrap() {
        let file: PathBuf = file.unwrap().path();
        // Others come and go while an engine runs.
        if file.extension().is_none_or(|kind| kind != "extent") {
            continue;
        }
        let bytes = std::fs::read(&file).unwrap();
        if let Some(at) = bytes.windows(text.len()).position(|part| part == text.as_bytes()) {
            let mut writing = std::fs::File::options().write(true).open(&file).unwrap();
            writing.seek(SeekFrom::Start(at as u64 + 1)).unwrap();
            writing.write_all(&[bytes[at + 1] ^ 1]).unwrap();
            let number = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
            found.push((number, at as u64));
        }
    }
    assert_eq!(found.len(), 1, "{text:.20}");
    found[0]
}

fn is_corrupt(outcome: Result<(), StorageError>, place: (u64, u64), named: &[&str], more: u64) -> String {
    let error = outcome.expect_err("damage is never an end");
    let said = error.to_string();
    let StorageError::Corrupt {
        store,
        place: DamagedPlace::Extent { extent, byte },
        segments,
        ..
    } = error
    else {
        panic!("{said}");
    };
    assert_eq!((store, extent), (STORE, place.0), "{said}");
    assert!(
        byte < place.1 && place.1 - byte < 4096,
        "the transaction's start: {said}"
    );
    let named = named.iter().map(|segment| path(segment)).collect();
    assert_eq!(segments, SegmentsHit::These { named, more }, "{said}");
    said
}

#[tokio::test]
async fn damage_is_told_with_store_extent_byte_and_segments_and_reads_of_others_go_on() {
    const ROUNDS: u64 = 300;
    // In a sealed extent, and in the open one; there not in the last block, which is written again with what comes next.
    for (reopened, damaged) in [(true, 20), (false, 20), (false, ROUNDS - 10)] {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path());
        let store = engine.store(STORE).await.unwrap();
        for sequence in 1..=ROUNDS {
            append(&*store, &["b", "a"], sequence).await;
            append(&*store, &["c"], sequence).await;
        }
        let mut running = Some((engine, store));
        if reopened {
            let (engine, store) = running.take().unwrap();
            engine.close().await;
            drop(store);
        }
        let place = damage(dir.path(), &text("a", damaged));
        let (engine, store) = match running {
            Some(running) => running,
            None => {
                let engine = open(dir.path());
                let store = engine.store(STORE).await.unwrap();
                (engine, store)
            }
        };
        let open_extent = LogPosition::of_local(*store.durable_tail().borrow()).extent;
        assert_eq!(place.0 == open_extent, damaged > 20);
        // The one that is read comes first.
        let (before, ended) = read(&*store, "b", 1).await;
        assert!(before < damaged);
        let said = is_corrupt(ended, place, &["b", "a"], 0);
        assert!(said.contains("it hits s/b, s/a;"), "{said}");
        is_corrupt(read(&*store, "a", 1).await.1, place, &["a", "b"], 0);
        is_corrupt(read(&*store, "a", damaged).await.1, place, &["a", "b"], 0);
        is_corrupt(read_space(&*store).await.1, place, &["a", "b"], 0);
        // What stands elsewhere is there: other segments, other extents, what comes after it.
        assert!(matches!(read(&*store, "c", 1).await, (ROUNDS, Ok(()))));
        for segment in ["a", "b"] {
            let behind = read(&*store, segment, damaged + 1).await;
            assert!(behind.1.is_ok() && behind.0 == ROUNDS - damaged, "{behind:?}");
            let last = store.peek(&path(segment)).await.unwrap().unwrap();
            assert_eq!(last.payload, text(segment, ROUNDS));
        }
        assert!(store.writable().is_ok() && engine.ready().is_ok());
        append(&*store, &["a", "b", "c"], ROUNDS + 1).await;
        engine.close().await;
        drop((store, engine));
        // Whoever looks at all of it finds the same place.
        let report = verify(dir.path(), &mut |_| {}).unwrap();
        let [found] = &report.stores[0].damage[..] else {
            panic!("{report:?}");
        };
        assert!(
            found.extent == place.0 && (found.byte..found.end).contains(&place.1),
            "{found:?}"
        );
        let lost: Vec<_> = found.affected.iter().map(|range| range.path.clone()).collect();
        assert_eq!(lost, [path("a"), path("b")]);
    }
}

#[tokio::test]
async fn damage_in_the_open_extent_refuses_the_store_wherever_it_is_after_a_close_too() {
    const ROUNDS: u64 = 60;
    for damaged in [2, ROUNDS / 2, ROUNDS] {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path());
        for sequence in 1..=ROUNDS {
            append(&*engine.store(STORE).await.unwrap(), &["a"], sequence).await;
        }
        engine.close().await;
        drop(engine);
        let place = damage(dir.path(), &text("a", damaged));
        let report = verify(dir.path(), &mut |_| {}).unwrap();
        let engine = open(dir.path());
        let Err(OpenError::Storage(refused)) = engine.store(STORE).await else {
            panic!("it opens, and {damaged} of {ROUNDS} is damaged");
        };
        assert!(
            matches!(refused, StorageError::Corrupt { place: DamagedPlace::Extent { extent, .. }, .. } if extent == place.0)
        );
        assert_eq!(report.stores[0].refused, Some(refused.to_string()));
    }
}

#[tokio::test]
async fn what_is_no_file_or_of_no_possible_size_is_refused_at_once() {
    for name in [
        "checkpoint",
        "00000000000000000001.extent",
        "00000000000000000001.index",
    ] {
        for what in ["folder", "a terabyte"] {
            let dir = tempfile::tempdir().unwrap();
            let engine = open(dir.path());
            for sequence in 1..=300 {
                append(&*engine.store(STORE).await.unwrap(), &["a"], sequence).await;
            }
            engine.close().await;
            drop(engine);
            let path = dir.path().join("stores").join(STORE.to_string()).join(name);
            match what {
                "folder" => {
                    std::fs::remove_file(&path).unwrap();
                    std::fs::create_dir(&path).unwrap();
                }
                _ => {
                    let file = std::fs::File::options().write(true).open(&path).unwrap();
                    file.set_len(1 << 40).unwrap();
                }
            }
            let engine = open(dir.path());
            let opened = engine.store(STORE).await;
            // The index is read where it is needed.
            match opened {
                Err(error) => assert!(matches!(error, OpenError::Storage(_)), "{error}"),
                Ok(store) => {
                    assert_eq!((name, what), ("00000000000000000001.index", "a terabyte"));
                    assert!(read(&*store, "a", 1).await.1.is_err());
                }
            }
        }
    }
}

#[tokio::test]
async fn of_many_segments_hit_some_are_named_and_the_others_counted() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let store = engine.store(STORE).await.unwrap();
    let names: Vec<String> = (10..50).map(|n| format!("segment-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for sequence in 1..=20 {
        append(&*store, &names, sequence).await;
    }
    store.delete(&path("segment-10")).await.unwrap();
    store.trim(&path("segment-11"), Sequence(15)).await.unwrap();
    engine.close().await;
    drop((store, engine));
    let place = {
        let damaged = format!("<segment-49 {:05}>", 2);
        damage(dir.path(), &damaged)
    };
    let engine = open(dir.path());
    let store = engine.store(STORE).await.unwrap();
    let error = read(&*store, "segment-30", 1).await.1.unwrap_err();
    let said = error.to_string();
    let StorageError::Corrupt {
        place: DamagedPlace::Extent { extent, .. },
        segments,
        ..
    } = error
    else {
        panic!("{said}");
    };
    assert_eq!(extent, place.0);
    // Nobody misses entries that were deleted or trimmed.
    let named = ["segment-30", "segment-12", "segment-13", "segment-14"]
        .map(path)
        .to_vec();
    assert_eq!(segments, SegmentsHit::These { named, more: 34 }, "{said}");
    assert!(
        said.contains("it hits s/segment-30, s/segment-12, s/segment-13, s/segment-14 and 34 more;"),
        "{said}"
    );
}

#[tokio::test]
async fn a_damaged_index_file_is_named_and_costs_nothing_once_it_is_removed() {
    let mut named = 0;
    for byte in [20, 4096 + 20] {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path());
        let store = engine.store(STORE).await.unwrap();
        for sequence in 1..=300 {
            append(&*store, &["a"], sequence).await;
        }
        engine.close().await;
        drop((store, engine));
        let folder = dir.path().join("stores").join(STORE.to_string());
        let index = folder.join(format!("{:020}.index", 2));
        let mut bytes = std::fs::read(&index).unwrap();
        bytes[byte] ^= 1;
        std::fs::write(&index, bytes).unwrap();
        let engine = open(dir.path());
        let store = engine.store(STORE).await.unwrap();
        match read(&*store, "a", 1).await {
            // An open that reads the whole log makes it anew by itself.
            (300, Ok(())) => {}
            (
                _,
                Err(
                    error @ StorageError::Corrupt {
                        place: DamagedPlace::Extent { extent: 2, .. },
                        segments: SegmentsHit::None,
                        ..
                    },
                ),
            ) => {
                let said = error.to_string();
                assert!(
                    said.contains(&index.display().to_string())
                        && said.contains("no entry is damaged; remove that file"),
                    "{said}"
                );
                named += 1;
            }
            other => panic!("neither all nor the reason: {other:?}"),
        }
        assert_eq!(read(&*store, "a", 299).await.0, 2);
        engine.close().await;
        drop((store, engine));
        std::fs::remove_file(&index).unwrap();
        let engine = open(dir.path());
        let store = engine.store(STORE).await.unwrap();
        assert!(matches!(read(&*store, "a", 1).await, (300, Ok(()))));
    }
    assert!(named > 0, "or nothing was damaged that counts");
}
