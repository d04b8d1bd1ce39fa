//! What it costs to ask a follower's read for more, at each commit.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;

/// A read of many parts, of which the last is space `space`.
fn follow(parts: usize) -> PiecesRead {
    let space = |name: &str| Name::new(name).unwrap();
    let others = (1..parts).map(|n| match n % 2 {
        0 => Wanted::Segment(path(&format!("other-{n}"))),
        _ => Wanted::Space(space(&format!("other-{n}"))),
    });
    let all = others.chain([Wanted::Space(space("space"))]).collect();
    PiecesRead::all(ReadSource::Log(all, LogCursor::default()))
}

/// Asks once; a read that would have to wait for another thread has no answer.
fn at_once(reader: &mut dyn PieceReader) -> Option<Option<PieceBatch>> {
    let mut next = pin!(reader.next_batch());
    match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(batch) => Some(batch.unwrap()),
        Poll::Pending => None,
    }
}

/// Of a follower that has seen all, asked when nothing is new, and behind each of a few commits: allocations, and what the disk was asked.
fn asked(fixture: &Fixture, store: &LocalStore, parts: usize, next: &mut u64) -> (usize, usize, Counts) {
    let _tail = store.durable_tail();
    let mut reader = store.read_pieces(follow(parts));
    fixture
        .runtime
        .block_on(async { while reader.next_batch().await.unwrap().is_some() {} });
    fixture.disk.take();
    let region = Region::new(ALLOCATOR);
    for _ in 0..100 {
        assert_eq!(at_once(&mut *reader), Some(None));
    }
    let idle = region.change().allocations;
    let mut new = 0;
    for _ in 0..20 {
        append(store, "a", *next, 1, BYTES);
        *next += 1;
        let region = Region::new(ALLOCATOR);
        let batch = at_once(&mut *reader)
            .expect("it is in memory")
            .expect("something is new");
        assert_eq!((batch.entries, at_once(&mut *reader)), (1, Some(None)));
        new += region.change().allocations;
    }
    let counts = fixture.disk.take();
    println!("{parts} parts: {idle} allocations for nothing, {new} for commits, {counts:?}");
    (idle, new, counts)
}

#[test]
fn a_follower_who_asks_for_more_pays_for_what_is_new_and_neither_for_the_log_nor_for_what_it_follows() {
    let fixture = Fixture::new();
    let store = fixture.store();
    append(&store, "a", 1, 1, BYTES);
    let mut next = 2;
    let (idle, new, few) = asked(&fixture, &store, 1, &mut next);
    for n in 0..300 {
        append(&store, "much", n * 100 + 1, 100, BYTES);
    }
    let (idle_of_many, new_of_many, many) = asked(&fixture, &store, 5000, &mut next);
    assert_eq!((idle, idle_of_many), (100, 100), "the future of each call");
    assert!(new_of_many <= new + 20, "{new} of one, {new_of_many} of many");
    for counts in [few, many] {
        assert_eq!((counts.extent_reads, counts.index_reads), (0, 0), "{counts:?}");
    }
}

/// Entries of a read of pieces, and what the disk was asked for it.
fn read(fixture: &Fixture, store: &LocalStore, read: PiecesRead) -> (u64, Counts) {
    fixture.disk.take();
    let entries = fixture.runtime.block_on(async {
        let mut reader = store.read_pieces(read);
        let mut entries = 0;
        while let Some(batch) = reader.next_batch().await.unwrap() {
            entries += batch.entries;
        }
        entries
    });
    (entries, fixture.disk.take())
}

#[test]
fn a_read_of_a_few_segments_of_many_costs_what_they_have() {
    let mut fixture = Fixture::new();
    let store = fixture.store();
    for n in 0..4000 {
        append(&store, &format!("many-{n}"), 1, 1, 40_000);
        if n % 40 == 0 {
            append(&store, &format!("few-{}", n / 40 % 10), n / 400 + 1, 1, BYTES);
        }
    }
    let store = fixture.reopened();
    let space = || Name::new("space").unwrap();
    let segments = (0..10).map(|n| Wanted::Segment(path(&format!("few-{n}"))));
    let of = |parts| PiecesRead::all(ReadSource::Log(parts, LogCursor::default()));
    let mut filtered = of(vec![Wanted::Space(space())]);
    filtered.filter.prefix = "few-".to_owned();
    let all = [
        of(segments.collect()),
        of(vec![Wanted::Prefix(space(), "few-".to_owned())]),
        filtered,
    ];
    for parts in all {
        let (entries, counts) = read(&fixture, &store, parts);
        println!("{entries} entries, {counts:?}");
        assert_eq!(entries, 100);
        // One an entry; an extent with few sections is read as a whole.
        assert!(counts.extent_reads <= 100 + 8 * 10, "{counts:?}");
        assert!(counts.extent_bytes < 4_000_000, "{counts:?}");
        // A few pages for each of the segments in each extent.
        assert!(counts.index_reads < 10 * 10 * 5, "{counts:?}");
    }
    let (entries, counts) = read(&fixture, &store, of(vec![Wanted::Space(space())]));
    assert_eq!(entries, 4100);
    assert!(counts.extent_bytes > 160_000_000, "{counts:?}");
}
