//! How far a projection has come: what it wants next, and its bytes.

use streamkit_record::{Metadata, Trx};
use uuid::Uuid;

use super::*;

fn path(segment: &str) -> SegmentPath {
    SegmentPath::new("s", segment).unwrap()
}

fn entry(segment: &str, sequence: u64, number: u64) -> Entry {
    Entry {
        path: path(segment),
        sequence: Sequence(sequence),
        timestamp: Timestamp(7),
        trx: Trx {
            id: Uuid::nil(),
            node: Uuid::nil(),
            number,
        },
        payload: Bytes::new(),
        metadata: Metadata::default(),
    }
}

#[test]
fn what_was_passed_is_not_wanted_again_and_all_else_is() {
    let mut standing = Standing::of(1);
    // Transaction 3 has a/1, a/2 and b/1: it stopped behind a/1.
    let passed = entry("a", 1, 3);
    assert!(standing.wants(&passed));
    standing.pass(&passed);
    assert!(!standing.wants(&passed));
    for (entry, is_wanted) in [
        (entry("z", 9, 2), false),
        (entry("a", 2, 3), true),
        (entry("b", 1, 3), true),
        (entry("a", 3, 4), true),
    ] {
        assert_eq!(standing.wants(&entry), is_wanted, "{entry:?}");
    }
    // The next batch begins within it.
    standing.pass(&entry("a", 2, 3));
    standing.go_behind(&LogCursor::new(Bytes::from_static(b"c")).unwrap());
    assert!(standing.wants(&entry("b", 1, 3)));
}

#[test]
fn a_parked_segment_waits_and_what_was_replayed_ahead_is_left_out_once() {
    let mut standing = Standing::of(1);
    let failed = entry("a", 2, 5);
    standing.park(&failed.path, Parked::at(&failed));
    standing.pass(&failed);
    assert!(!standing.wants(&entry("a", 3, 6)) && standing.wants(&entry("b", 1, 6)));
    // Replayed up to transaction 8; the rest stands at 5.
    standing.unpark(&failed.path, 8);
    assert_eq!(standing.kept_segments(), 1);
    assert!(!standing.wants(&entry("a", 3, 6)) && !standing.wants(&entry("a", 4, 8)));
    assert!(standing.wants(&entry("a", 5, 9)));
    // One that was deleted and begun anew has other transactions.
    assert!(standing.wants(&entry("a", 1, 9)));
    standing.pass(&entry("b", 1, 8));
    assert_eq!(standing.kept_segments(), 1);
    standing.pass(&entry("b", 2, 9));
    assert_eq!(standing.kept_segments(), 0);
}

fn full() -> Standing {
    let mut standing = Standing::of(77).behind(None);
    standing.go_behind(&LogCursor::new(Bytes::from_static(&[3; 64])).unwrap());
    standing.pass(&entry("a", 1, 3));
    standing.pass(&entry("ä", 2, 3));
    standing.park(&path("p"), Parked::at(&entry("p", 2, 2)));
    standing.unpark(&path("q"), 9);
    standing
}

#[test]
fn it_comes_out_as_it_was_put_in_and_nothing_else_is_taken_for_one() {
    for standing in [Standing::default(), full()] {
        assert_eq!(Standing::decode(&standing.encode()), Ok(standing));
    }
    let bytes = full().encode();
    for end in 0..bytes.len() {
        assert!(Standing::decode(&bytes[..end]).is_err(), "{end}");
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(Standing::decode(&changed).is_err(), "{at}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(Standing::decode(&longer).is_err());
}

/// Whoever has the checksum right may still be wrong, and sizes no memory.
#[test]
fn counts_and_lengths_are_not_trusted() {
    let bytes = full().encode();
    let body = &bytes[..bytes.len() - 4];
    for at in MAGIC.len() + 2..body.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut changed = body.to_vec();
            changed[at] = value;
            let checksum = crc32fast::hash(&changed);
            changed.extend_from_slice(&checksum.to_le_bytes());
            if let Ok(standing) = Standing::decode(&changed) {
                assert_eq!(Standing::decode(&standing.encode()), Ok(standing), "{at}");
            }
        }
    }
}
