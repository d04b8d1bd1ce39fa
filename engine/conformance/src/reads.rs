//! The promises of a read.

use std::collections::BTreeMap;

use streamkit_engine::*;

use crate::Fixture;
use crate::calls::{append, cursor_of, drain, path, records, space};

/// Bounds are inclusive by sequence and exclusive below by time.
pub async fn bounds_are_inclusive_by_sequence_and_exclusive_below_by_time(f: Fixture) {
    let store = f.store().await;
    let p = path("s", "a");
    let texts: Vec<String> = (1..=10).map(|n| n.to_string()).collect();
    let committed = store
        .append(Transaction::single(p.clone(), Sequence(1), records(texts)))
        .await
        .unwrap();
    let read = |from, to, limit| SegmentRead {
        from: Sequence(from),
        to: Sequence(to),
        limit,
        ..SegmentRead::all(p.clone())
    };
    let sequences = async |read| {
        drain(store.read_segment(read))
            .await
            .iter()
            .map(|e| e.sequence.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(sequences(read(0, u64::MAX, u64::MAX)).await.len(), 10);
    assert_eq!(sequences(read(3, 3, u64::MAX)).await, [3]);
    assert_eq!(sequences(read(3, 5, u64::MAX)).await, [3, 4, 5]);
    assert_eq!(sequences(read(9, 15, u64::MAX)).await, [9, 10]);
    assert_eq!(sequences(read(11, u64::MAX, u64::MAX)).await, [0u64; 0]);
    assert_eq!(sequences(read(5, 3, u64::MAX)).await, [0u64; 0]);
    assert_eq!(sequences(read(1, u64::MAX, 3)).await, [1, 2, 3]);
    let at = committed.timestamp;
    let timed = |after, until| SegmentRead {
        time: TimeRange { after, until },
        ..SegmentRead::all(p.clone())
    };
    assert_eq!(sequences(timed(at, Timestamp(i64::MAX))).await.len(), 0);
    assert_eq!(sequences(timed(Timestamp(at.0 - 1), at)).await.len(), 10);
    assert_eq!(sequences(timed(Timestamp(0), Timestamp(at.0 - 1))).await.len(), 0);
}

/// A space is read in log order and resumes after any entry without gap or repeat.
pub async fn a_space_is_read_in_log_order_and_resumes_after_any_entry_without_gap_or_repeat(f: Fixture) {
    let store = f.store().await;
    let mut expected = Vec::new();
    for round in 0..60u64 {
        for segment in ["z", "a", "m"] {
            let text = format!("{segment}{round}-{}", "x".repeat(700));
            append(&*store, &path("s", segment), round * 2 + 1, &[&text, "second"])
                .await
                .unwrap();
            append(&*store, &path("t", segment), round + 1, &["other"])
                .await
                .unwrap();
            expected.push((segment.to_owned(), round * 2 + 1));
            expected.push((segment.to_owned(), round * 2 + 2));
        }
    }
    let all = drain(store.read_spaces(space("s", None))).await;
    let key = |e: &Entry| (e.path.segment.as_str().to_owned(), e.sequence.0);
    assert_eq!(all.iter().map(key).collect::<Vec<_>>(), expected);
    assert!(
        all.windows(2)
            .all(|w| w[0].timestamp <= w[1].timestamp && w[0].trx.number <= w[1].trx.number)
    );
    for at in 0..all.len() {
        let rest = drain(store.read_spaces(space("s", Some(cursor_of(&all[at]))))).await;
        assert_eq!(rest[..], all[at + 1..], "after entry {at}");
    }
}

/// Several spaces are merged in log order each after its own cursor.
pub async fn several_spaces_are_merged_in_log_order_each_after_its_own_cursor(f: Fixture) {
    let store = f.store().await;
    for n in 1..=40 {
        for s in ["s", "t", "u"] {
            append(&*store, &path(s, "a"), n, &["e"]).await.unwrap();
        }
    }
    let s_all = drain(store.read_spaces(space("s", None))).await;
    let t_all = drain(store.read_spaces(space("t", None))).await;
    let read = SpacesRead {
        spaces: BTreeMap::from([
            (Name::new("s").unwrap(), Some(cursor_of(&s_all[9]))),
            (Name::new("t").unwrap(), Some(cursor_of(&t_all[29]))),
            (Name::new("missing").unwrap(), None),
        ]),
        time: TimeRange::ALL,
        limit: u64::MAX,
    };
    let got = drain(store.read_spaces(read.clone())).await;
    let mut expected: Vec<Entry> = s_all[10..].iter().chain(&t_all[30..]).cloned().collect();
    expected.sort_by_key(|e| e.trx.number);
    assert_eq!(got, expected);
    let limited = drain(store.read_spaces(SpacesRead { limit: 7, ..read })).await;
    assert_eq!(limited[..], expected[..7]);
}

/// A cursor whose entry never was goes on by its time.
pub async fn a_cursor_whose_entry_never_was_goes_on_by_its_time(f: Fixture) {
    let store = f.store().await;
    for n in 1..=5 {
        append(&*store, &path("s", "b"), n, &["e"]).await.unwrap();
    }
    let all = drain(store.read_spaces(space("s", None))).await;
    let before = SpaceCursor {
        timestamp: Timestamp(0),
        segment: Name::new("b").unwrap(),
        sequence: Sequence(1),
    };
    assert_eq!(drain(store.read_spaces(space("s", Some(before)))).await, all);
    let after = SpaceCursor {
        timestamp: Timestamp(all[4].timestamp.0 + 1),
        segment: Name::new("a").unwrap(),
        sequence: Sequence(1),
    };
    assert!(drain(store.read_spaces(space("s", Some(after)))).await.is_empty());
}

/// A cursor whose entry is gone skips nothing that was committed with it.
pub async fn a_cursor_whose_entry_is_gone_skips_nothing_that_was_committed_with_it(f: Fixture) {
    let store = f.store().await;
    let part = |segment: &str, sequence| SegmentAppend {
        path: path("s", segment),
        first_sequence: Sequence(sequence),
        records: vec![Record::new("x")],
    };
    for sequence in 1..=3 {
        let segments = vec![part("b", sequence), part("c", sequence), part("a", sequence)];
        let id = uuid::Uuid::new_v4();
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
    let all = drain(store.read_spaces(space("s", None))).await;
    let [seen, rest] = [all[4].clone(), all[5].clone()];
    assert_eq!((seen.path.segment.as_str(), rest.path.segment.as_str()), ("c", "a"));
    // Trimmed, its place is still known: nothing is repeated.
    store.trim(&seen.path, Sequence(3)).await.unwrap();
    let after = drain(store.read_spaces(space("s", Some(cursor_of(&seen))))).await;
    assert_eq!(after, all[5..]);
    store.delete(&seen.path).await.unwrap();
    let after = drain(store.read_spaces(space("s", Some(cursor_of(&seen))))).await;
    assert!(after.contains(&rest), "skipped");
}

/// A read that was given up half way never looks ended.
pub async fn a_read_that_was_given_up_half_way_never_looks_ended(f: Fixture) {
    let store = f.store().await;
    let p = path("s", "a");
    append(&*store, &p, 1, &["x"; 9000]).await.unwrap();
    let mut reader = store.read_segment(SegmentRead::all(p));
    // Given up as soon as it has to wait.
    let all = async { while reader.next_batch().await.unwrap().is_some() {} };
    tokio::select!(biased; () = all => panic!("it never had to wait"), () = std::future::ready(()) => {});
    for _ in 0..2 {
        let next = reader.next_batch().await;
        assert!(
            matches!(next, Err(ReadError::Storage(StorageError::Interrupted))),
            "{next:?}"
        );
    }
}

async fn drain_pieces(reader: &mut dyn PieceReader) -> (Vec<Entry>, Vec<LogCursor>) {
    let (mut all, mut cursors) = (Vec::new(), Vec::new());
    while let Some(batch) = reader.next_batch().await.unwrap() {
        let before = all.len();
        for piece in &batch.pieces {
            piece.entries(&mut all).unwrap();
        }
        assert!(all.len() > before && (all.len() - before) as u64 == batch.entries);
        assert!(batch.cursor.bytes().len() <= LogCursor::BYTES_MAX);
        cursors.push(batch.cursor);
    }
    (all, cursors)
}

/// Pieces hold the entries that are read otherwise, and a read of the log goes on behind any cursor with what is there and what comes.
pub async fn pieces_hold_the_same_entries_and_a_cursor_goes_on_behind_them(f: Fixture) {
    let store = f.store().await;
    let large = "x".repeat(100_000);
    for n in 1..=12 {
        append(&*store, &path("s", "a"), n, &[&large]).await.unwrap();
        append(&*store, &path("s", "b"), n * 2 - 1, &["y", "z"]).await.unwrap();
        append(&*store, &path("t", "a"), n, &["other"]).await.unwrap();
    }
    let of_segment = ReadSource::Segment(path("s", "b"), Sequence(3), Sequence(8));
    let (got, _) = drain_pieces(&mut *store.read_pieces(PiecesRead::all(of_segment))).await;
    let read = SegmentRead {
        from: Sequence(3),
        to: Sequence(8),
        ..SegmentRead::all(path("s", "b"))
    };
    assert_eq!(got, drain(store.read_segment(read)).await);
    let wanted = || vec![Wanted::Space(Name::new("s").unwrap())];
    let behind = |cursor| store.read_pieces(PiecesRead::all(ReadSource::Log(wanted(), cursor)));
    let mut reader = behind(LogCursor::default());
    let (all, cursors) = drain_pieces(&mut *reader).await;
    assert_eq!(all, drain(store.read_spaces(space("s", None))).await);
    assert!(cursors.len() > 2);
    append(&*store, &path("s", "c"), 1, &["new"]).await.unwrap();
    let (new, _) = drain_pieces(&mut *reader).await;
    assert_eq!(new.len(), 1);
    for cursor in cursors {
        let (rest, _) = drain_pieces(&mut *behind(cursor)).await;
        let seen = all.len() + 1 - rest.len();
        assert_eq!(rest, [&all[seen..], &new].concat());
    }
}

/// A cursor of another log is an error, never an end.
pub async fn a_cursor_of_another_log_is_an_error(f: Fixture) {
    let store = f.store().await;
    append(&*store, &path("s", "a"), 1, &["x"]).await.unwrap();
    let wanted = || vec![Wanted::Space(Name::new("s").unwrap())];
    let mut reader = store.read_pieces(PiecesRead::all(ReadSource::Log(wanted(), LogCursor::default())));
    let (_, cursors) = drain_pieces(&mut *reader).await;
    let other = f.other_store().await;
    let none = LogCursor::new(b"none".as_slice().into()).unwrap();
    for cursor in [cursors[0].clone(), none] {
        let mut reader = other.read_pieces(PiecesRead::all(ReadSource::Log(wanted(), cursor)));
        let read = reader.next_batch().await;
        assert!(
            matches!(read, Err(ReadError::Storage(StorageError::OtherLog))),
            "{read:?}"
        );
    }
}

/// Newest first is the reverse, also with a limit.
pub async fn newest_first_is_the_reverse(f: Fixture) {
    let store = f.store().await;
    let large = "x".repeat(100_000);
    for n in 1..=12 {
        append(&*store, &path("s", "a"), n * 3 - 2, &[&large, "y", "z"])
            .await
            .unwrap();
        append(&*store, &path("s", "b"), n, &["other"]).await.unwrap();
    }
    let segment = ReadSource::Segment(path("s", "a"), Sequence(2), Sequence(u64::MAX));
    let log = ReadSource::Log(vec![Wanted::Space(Name::new("s").unwrap())], LogCursor::default());
    for source in [segment, log] {
        let (mut expected, _) = drain_pieces(&mut *store.read_pieces(PiecesRead::all(source.clone()))).await;
        expected.reverse();
        for limit in [1, 2, 5, 17, u64::MAX] {
            let mut reader = store.read_pieces(PiecesRead {
                is_backwards: true,
                entries: limit,
                ..PiecesRead::all(source.clone())
            });
            let mut got = Vec::new();
            while let Some(batch) = reader.next_batch().await.unwrap() {
                let mut entries = Vec::new();
                for piece in &batch.pieces {
                    piece.entries(&mut entries).unwrap();
                }
                got.extend(entries.into_iter().rev());
            }
            let most = usize::try_from(limit).unwrap_or(usize::MAX).min(expected.len());
            assert!(got == expected[..most], "{limit}");
        }
    }
}

/// A reader tells the place to which it has come, though nothing passed; a read may begin where the store ends now.
pub async fn a_reader_tells_the_place_to_which_it_has_come(f: Fixture) {
    let store = f.store().await;
    let beginning = store.tail_cursor().await.unwrap();
    assert!(!beginning.bytes().is_empty(), "where nothing is, there is a place, too");
    let follow = |space: &str, cursor| {
        let wanted = vec![Wanted::Space(Name::new(space).unwrap())];
        store.read_pieces(PiecesRead::all(ReadSource::Log(wanted, cursor)))
    };
    let mut quiet = follow("quiet", LogCursor::default());
    assert_eq!(quiet.next_batch().await.unwrap(), None);
    let mut cursors = vec![(0, beginning), (0, quiet.cursor())];
    for n in 1..=5 {
        append(&*store, &path("s", "a"), n, &["x"]).await.unwrap();
        assert_eq!(quiet.next_batch().await.unwrap(), None);
        cursors.push((n, quiet.cursor()));
        cursors.push((n, store.tail_cursor().await.unwrap()));
    }
    assert!(
        cursors
            .iter()
            .all(|(_, cursor)| cursor.bytes().len() <= LogCursor::BYTES_MAX)
    );
    for (seen, cursor) in cursors {
        let mut reader = follow("s", cursor.clone());
        assert_eq!(reader.cursor(), cursor, "it has not begun");
        let (rest, _) = drain_pieces(&mut *reader).await;
        let expected = seen + 1..=5;
        assert!(rest.iter().map(|entry| entry.sequence.0).eq(expected), "behind {seen}");
    }
    let last = append(&*store, &path("quiet", "a"), 1, &["x"]).await.unwrap();
    let batch = quiet.next_batch().await.unwrap().unwrap();
    assert_eq!((batch.entries, &quiet.cursor()), (1, &batch.cursor));
    assert!(store.position() >= last.trx.number);
}

/// A read that ends at the head tells what was there when it was made, and where that ends, whatever is committed meanwhile.
pub async fn a_read_that_ends_at_the_head_tells_nothing_of_what_comes_later(f: Fixture) {
    let store = f.store().await;
    let (large, wanted) = ("x".repeat(200_000), || vec![Wanted::Space(Name::new("s").unwrap())]);
    let ending = |behind| {
        store.read_pieces(PiecesRead {
            ends_at_head: true,
            ..PiecesRead::all(ReadSource::Log(wanted(), behind))
        })
    };
    assert_eq!(ending(LogCursor::default()).next_batch().await.unwrap(), None);
    for n in 1..=6 {
        append(&*store, &path("s", "a"), n, &[&large]).await.unwrap();
    }
    let mut reader = ending(LogCursor::default());
    let mut seen = Vec::new();
    for n in 7.. {
        let Some(batch) = reader.next_batch().await.unwrap() else {
            break;
        };
        for piece in &batch.pieces {
            piece.entries(&mut seen).unwrap();
        }
        // Whatever is committed between two batches.
        append(&*store, &path("s", "a"), n, &[&large]).await.unwrap();
    }
    assert!(seen.iter().map(|entry| entry.sequence.0).eq(1..=6));
    let (rest, _) = drain_pieces(&mut *ending(reader.cursor())).await;
    assert_eq!(rest.first().map(|entry| entry.sequence.0), Some(7));
    // Nothing passes, and it is told all the same to where it came.
    let mut quiet = store.read_pieces(PiecesRead {
        ends_at_head: true,
        ..PiecesRead::all(ReadSource::Log(
            vec![Wanted::Space(Name::new("quiet").unwrap())],
            LogCursor::default(),
        ))
    });
    assert_eq!(quiet.next_batch().await.unwrap(), None);
    assert_eq!(quiet.cursor(), store.tail_cursor().await.unwrap());
}

/// The position includes whatever the tail tells of, and all that is acknowledged.
pub async fn the_position_includes_what_is_told(f: Fixture) {
    let store = f.store().await;
    assert_eq!(store.position(), 0);
    append(&*store, &path("s", "a"), 1, &["x"]).await.unwrap();
    let (told, mut tail) = (store.clone(), store.durable_tail());
    let follows = tokio::spawn(async move {
        let mut seen = 0;
        while seen < 200 {
            tail.changed().await.unwrap();
            let (position, mut reader) = (told.position(), told.read_segment(SegmentRead::all(path("s", "a"))));
            let mut last = 0;
            while let Some(batch) = reader.next_batch().await.unwrap() {
                last = batch.last().unwrap().trx.number.max(last);
                seen = batch.last().unwrap().sequence.0;
            }
            assert!(last >= position, "{last} of {position}");
        }
    });
    for n in 2..=200 {
        let committed = append(&*store, &path("s", "a"), n, &["x"]).await.unwrap();
        assert!(store.position() >= committed.trx.number);
    }
    follows.await.unwrap();
}
