//! Transactions as large as the protocol allows, through a real socket and back, also after a restart.

use futures_util::TryStreamExt as _;
use streamkit_client::{ConsumeSegment, Entry, Error, NewRecord};
use streamkit_engine::limits::{NAME_BYTES_MAX, RECORD_BYTES_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_RECORDS_MAX};

use super::client::client;
use crate::fixture::{Host, Via, over_both};

fn filled(seed: usize, bytes: usize) -> NewRecord {
    let bytes: Vec<u8> = (0..bytes).map(|n| (n / 251 + n + seed) as u8).collect();
    NewRecord::new(bytes)
}

async fn read(host: &Host, segment: &str) -> Vec<Entry> {
    let store = client(host).store(host.store);
    let entries = store.consume_segment(ConsumeSegment::all("s", segment));
    entries.try_collect().await.unwrap()
}

async fn chunks_of_every_size_are_one_transaction_and_come_back_as_they_went(via: Via) {
    let many = TRANSACTION_RECORDS_MAX;
    let sent: [(&str, Vec<NewRecord>); 4] = [
        // First of a new store, whose first extent is 64 KiB.
        (
            "large",
            (0..TRANSACTION_BYTES_MAX / RECORD_BYTES_MAX)
                .map(|n| filled(n, RECORD_BYTES_MAX))
                .collect(),
        ),
        (
            "many",
            (0..many).map(|n| filled(n, TRANSACTION_BYTES_MAX / many)).collect(),
        ),
        ("bytes", (0..many).map(|n| filled(n, 1)).collect()),
        ("empty", (0..many).map(|_| NewRecord::new("")).collect()),
    ];
    let mut host = Host::via(via).await;
    for (segment, records) in &sent {
        let store = client(&host).store(host.store);
        let status = store.produce_all("s", segment, 1, records.clone()).await.unwrap();
        assert_eq!(status.last_sequence, records.len() as u64);
    }
    for restarted in [false, true] {
        if restarted {
            host = host.restart().await;
        }
        for (segment, records) in &sent {
            let entries = read(&host, segment).await;
            assert_eq!(entries.len(), records.len());
            for (entry, record) in entries.iter().zip(records) {
                assert!(entry.payload == record.payload, "{segment}/{}", entry.sequence);
                assert_eq!(entry.trx, entries[0].trx, "{segment} is one transaction");
            }
        }
    }
    host.stop().await;
}

async fn a_byte_too_many_is_refused_and_nothing_is_stored(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    let refused = store.produce_all("s", "a", 1, [filled(0, RECORD_BYTES_MAX + 1)]).await;
    match refused {
        Err(Error::Refused(why) | Error::Invalid(why)) => {
            assert!(why.contains("too large") || why.contains("bytes"), "{why}")
        }
        other => panic!("{other:?}"),
    }
    assert!(store.peek("s", "a").await.unwrap().is_none());
    host.stop().await;
}

async fn one_more_than_a_transaction_takes_begins_the_next_one(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    let mut bytes: Vec<NewRecord> = (0..TRANSACTION_BYTES_MAX / RECORD_BYTES_MAX)
        .map(|n| filled(n, RECORD_BYTES_MAX))
        .collect();
    bytes.push(filled(9, 1));
    let records = vec![NewRecord::new("x"); TRANSACTION_RECORDS_MAX + 1];
    for (segment, sent) in [("bytes", bytes), ("records", records)] {
        let count = sent.len();
        store.produce_all("s", segment, 1, sent).await.unwrap();
        let entries = read(&host, segment).await;
        assert_eq!(entries.len(), count);
        let (first, last) = (&entries[0], &entries[count - 1]);
        assert!(entries[..count - 1].iter().all(|entry| entry.trx == first.trx));
        assert_ne!(last.trx, first.trx, "{segment}");
    }
    host.stop().await;
}

async fn the_longest_names_and_the_largest_metadata_are_stored_and_one_byte_more_is_refused_before_anything_is(
    via: Via,
) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    let name = |bytes| "n".repeat(bytes);
    let with_metadata = |bytes: usize| {
        let metadata = |value: usize| streamkit_engine::Metadata::from_pairs([("k", "v".repeat(value))]);
        let value = RECORD_BYTES_MAX / 2 - metadata(0).encoded().len();
        filled(1, bytes - RECORD_BYTES_MAX / 2).with("k", "v".repeat(value))
    };
    let more = NAME_BYTES_MAX + 1;
    let refused = [
        (name(more), "a".to_owned(), filled(1, 1)),
        ("s".to_owned(), name(more), filled(1, 1)),
        ("a\0b".to_owned(), "a".to_owned(), filled(1, 1)),
        ("s".to_owned(), "a\0b".to_owned(), filled(1, 1)),
        ("s".to_owned(), "a".to_owned(), with_metadata(RECORD_BYTES_MAX + 1)),
    ];
    for (space, segment, record) in refused {
        let refused = store.produce_all(&space, &segment, 1, [record]).await;
        assert!(
            matches!(&refused, Err(Error::Refused(_) | Error::Invalid(_))),
            "{refused:?}"
        );
    }
    assert!(store.spaces().await.unwrap().is_empty(), "nothing is stored");
    for (space, segment) in [(name(NAME_BYTES_MAX), name(NAME_BYTES_MAX)), (name(1), name(1))] {
        let record = with_metadata(RECORD_BYTES_MAX);
        store.produce_all(&space, &segment, 1, [record.clone()]).await.unwrap();
        let last = store.peek(&space, &segment).await.unwrap().unwrap();
        assert!(last.payload == record.payload && last.metadata == record.metadata);
    }
    host.stop().await;
}

over_both! {
    chunks_of_every_size_are_one_transaction_and_come_back_as_they_went
    a_byte_too_many_is_refused_and_nothing_is_stored
    one_more_than_a_transaction_takes_begins_the_next_one
    the_longest_names_and_the_largest_metadata_are_stored_and_one_byte_more_is_refused_before_anything_is
}
