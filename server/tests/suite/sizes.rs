//! Transactions as large as the protocol allows, through a real socket and back, also after a restart.

use futures_util::TryStreamExt as _;
use streamkit_client::{ConsumeSegment, Entry, Error, NewRecord};
use streamkit_engine::limits::{RECORD_BYTES_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_RECORDS_MAX};

use crate::client::client;
use crate::peer::{Host, STORE};

fn filled(seed: usize, bytes: usize) -> NewRecord {
    let bytes: Vec<u8> = (0..bytes).map(|n| (n / 251 + n + seed) as u8).collect();
    NewRecord::new(bytes)
}

async fn read(host: &Host, segment: &str) -> Vec<Entry> {
    let store = client(host).store(STORE);
    let entries = store.consume_segment(ConsumeSegment::all("s", segment));
    entries.try_collect().await.unwrap()
}

#[tokio::test]
async fn chunks_of_every_size_are_one_transaction_and_come_back_as_they_went() {
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
    let mut host = Host::start().await;
    for (segment, records) in &sent {
        let store = client(&host).store(STORE);
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

#[tokio::test]
async fn a_byte_too_many_is_refused_and_nothing_is_stored() {
    let host = Host::start().await;
    let store = client(&host).store(STORE);
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
