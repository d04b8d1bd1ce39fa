//! Connections break at any byte, and each append says truly what became of it: stored once, not stored, or unknown. Over v1 it is found out by
//! what stands at its sequences.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use streamkit_client::record::{Record, SegmentAppend, SegmentPath, Sequence};
use streamkit_client::*;

use super::projections::SOON;
use super::relay::Relay;
use super::torn::Torn;
use crate::fixture::{Host, PATIENCE, Via, over_both, token};

/// So few that most connections carry some calls, and break under one.
const BYTES_MAX: u64 = 4000;

/// The payloads of a segment, in order.
async fn stored(host: &Host, segment: &str) -> Vec<String> {
    let store = host.client().build().store(host.store);
    let entries = store.consume_segment(ConsumeSegment::all("s", segment));
    let entries: Vec<Entry> = entries.try_collect().await.unwrap();
    let text = |entry: &Entry| String::from_utf8(entry.payload.to_vec()).unwrap();
    entries.iter().map(text).collect()
}

fn times(payloads: &[String]) -> BTreeMap<&str, usize> {
    let mut times = BTreeMap::new();
    for payload in payloads {
        *times.entry(payload.as_str()).or_default() += 1;
    }
    times
}

/// What a call that came to no answer may say.
fn is_honest(error: &Error) -> bool {
    error.is_transient() || matches!(error, Error::Conflict { .. } | Error::Conflicts { .. })
}

/// What is told fits what is stored.
fn fits(told: &[(String, Result<(), Error>)], payloads: &[String]) {
    let times = times(payloads);
    for (payload, told) in told {
        let times = times.get(payload.as_str()).copied().unwrap_or_default();
        let fits = match told {
            Ok(()) => times == 1,
            Err(error) if error.is_not_stored() => times == 0,
            Err(error) => is_honest(error) && times <= 1,
        };
        assert!(fits, "{payload}: {told:?}, and it is stored {times} times");
    }
}

async fn appends_behind_the_head_are_stored_once(via: Via) {
    let host = Host::via(via).await;
    let torn = Torn::start(&host, 3).await;
    torn.tears_within(BYTES_MAX);
    let client = torn.client.clone().timeout(Duration::from_secs(5)).retry(SOON).build();
    let producers = (0..3).map(async |producer| {
        let store = client.store(host.store);
        let mut told = Vec::new();
        for n in 0..40 {
            let payload = format!("{producer}-{n}");
            let published = match n % 2 {
                0 => store.publish("s", "a", NewRecord::new(payload.clone())).await.map(drop),
                _ => {
                    let path = SegmentPath::new("s", "a").unwrap();
                    let append = Append::behind(path, vec![Record::new(payload.clone())]);
                    store.append(append).await.map(drop)
                }
            };
            told.push((payload, published));
        }
        told
    });
    let told = futures_util::future::join_all(producers).await.concat();
    assert!(torn.broken() > 10, "{} broke", torn.broken());
    fits(&told, &stored(&host, "a").await);
    assert!(told.iter().filter(|(_, told)| told.is_ok()).count() > 60, "{told:?}");
    host.stop().await;
}

async fn appends_at_a_sequence_are_stored_there_or_not_at_all(via: Via) {
    let host = Host::via(via).await;
    let torn = Torn::start(&host, 4).await;
    torn.tears_within(BYTES_MAX);
    let client = torn.client.clone().timeout(Duration::from_secs(5)).retry(SOON).build();
    // Two who want the same sequences: one of them has each.
    let producers = (0..2).map(async |producer| {
        let store = client.store(host.store);
        let (mut told, mut next) = (Vec::new(), 1);
        while next <= 60 {
            let payload = format!("{producer}-{next}");
            let section = SegmentAppend {
                path: SegmentPath::new("s", "a").unwrap(),
                first_sequence: Sequence(next),
                records: vec![Record::new(payload.clone())],
            };
            let appended = store.append(Append::new(vec![section])).await;
            next = match &appended {
                Ok(appended) => {
                    assert_eq!(appended.sections, [(Sequence(next), Sequence(next))]);
                    next + 1
                }
                Err(Error::Conflict { head, .. }) => head + 1,
                Err(Error::Conflicts { heads, .. }) => heads[0].1.0 + 1,
                Err(_) => next,
            };
            told.push((payload, appended.map(drop)));
        }
        told
    });
    let told = futures_util::future::join_all(producers).await.concat();
    let payloads = stored(&host, "a").await;
    // One payload is tried more than once only if it was not stored, or nobody knows.
    let mut last: BTreeMap<&str, &Result<(), Error>> = BTreeMap::new();
    for (payload, told) in &told {
        if !matches!(last.get(payload.as_str()), Some(Ok(()))) {
            last.insert(payload, told);
        }
    }
    let times = times(&payloads);
    for (payload, told) in last {
        let times = times.get(payload).copied().unwrap_or_default();
        assert!(
            times <= 1 && (told.is_err() || times == 1),
            "{payload}: {told:?}, {times}"
        );
    }
    for (payload, sequence) in payloads.iter().zip(1..) {
        assert!(payload.ends_with(&format!("-{sequence}")), "{payload} at {sequence}");
    }
    host.stop().await;
}

/// A stream of records over connections that break, in chunks that are stored one by one.
async fn a_stream_of_records_survives_its_connections(via: Via) {
    const RECORDS: u64 = 25_000;
    let host = Host::via(via).await;
    let torn = Torn::start(&host, 6).await;
    let client = torn.client.clone().timeout(PATIENCE).retry(SOON).build();
    let mut producer = client.store(host.store).produce("s", "a", 1).await.unwrap();
    for n in 1..=RECORDS {
        let record = NewRecord::new(n.to_string()).with("n", n.to_string());
        assert_eq!(producer.send(&record).await.unwrap(), n);
        // Every connection would be too short for a chunk.
        if n % 4000 == 0 {
            torn.cut();
        }
    }
    torn.cut();
    let status = producer.finish().await.unwrap().unwrap();
    assert_eq!((status.first_sequence, status.last_sequence), (1, RECORDS));
    let payloads = stored(&host, "a").await;
    let expected: Vec<String> = (1..=RECORDS).map(|n| n.to_string()).collect();
    assert!(payloads == expected, "{} are stored", payloads.len());
    host.stop().await;
}

/// What others stored meanwhile is a conflict with the head of then, also for a stream that looks for its own.
async fn a_stream_that_others_overtake_while_it_has_no_connection_is_told_their_head(via: Via) {
    let host = Host::via(via).await;
    let torn = Torn::start(&host, 7).await;
    let client = torn.client.clone().timeout(PATIENCE).retry(SOON).build();
    let mut producer = client.store(host.store).produce("s", "a", 1).await.unwrap();
    producer.send(&NewRecord::new("ours")).await.unwrap();
    torn.shuts(true);
    torn.cut();
    let others = host.client().build().store(host.store);
    others
        .produce_all("s", "a", 1, ["theirs", "too"].map(NewRecord::new))
        .await
        .unwrap();
    torn.shuts(false);
    let told = producer.finish().await;
    assert!(matches!(told, Err(Error::Conflict { head: 2, got: 1 })), "{told:?}");
    assert_eq!(stored(&host, "a").await, ["theirs", "too"]);
    host.stop().await;
}

/// Some of what was sent may be ours, with others behind it: a conflict would say that nothing is stored.
async fn a_stream_of_which_some_may_be_stored_is_told_no_conflict(via: Via) {
    const CHUNK: u64 = 10_000;
    let host = Host::via(via).await;
    let relay = Relay::start(&host).await;
    let client = relay.client.clone().token(token(&["streamkit::*"]));
    let client = client.timeout(PATIENCE).retry(SOON).build();
    let mut producer = client.store(host.store).produce("s", "a", 1).await.unwrap();
    for n in 1..=CHUNK + 2000 {
        producer.send(&NewRecord::new(n.to_string())).await.unwrap();
    }
    let others = host.client().build().store(host.store);
    while others
        .peek("s", "a")
        .await
        .unwrap()
        .is_none_or(|last| last.sequence < CHUNK)
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    relay.cut();
    // Whose the first of these is, nobody can say.
    let theirs = [(CHUNK + 1).to_string(), "theirs".to_owned()].map(NewRecord::new);
    others.produce_all("s", "a", CHUNK + 1, theirs).await.unwrap();
    match (host.via, producer.finish().await) {
        (Via::V1, Err(Error::Unknown(_))) => {}
        // A chunk has an id there, by which the server knows that none of it is its own.
        (Via::Sockets | Via::InProcess, Err(Error::Conflict { head, got })) => {
            assert_eq!((head, got), (CHUNK + 2, CHUNK + 1))
        }
        (via, told) => panic!("over {via:?}: {told:?}"),
    }
    host.stop().await;
}

/// A transaction is stored as a whole or not at all, in either version: what one chunk does not hold is refused.
async fn an_append_of_more_than_a_transaction_holds_is_refused(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    let path = SegmentPath::new("s", "a").unwrap();
    let (many, large) = (
        vec![Record::new("x"); 10_001],
        vec![Record::new(vec![b'x'; 1 << 20]); 17],
    );
    for records in [many, large] {
        let told = store.append(Append::behind(path.clone(), records)).await;
        assert!(matches!(told, Err(Error::Invalid(_))), "{told:?}");
    }
    assert!(stored(&host, "a").await.is_empty());
    host.stop().await;
}

async fn what_is_decided_at_a_head_is_stored_behind_that_head(via: Via) {
    let host = Host::via(via).await;
    let torn = Torn::start(&host, 5).await;
    torn.tears_within(BYTES_MAX);
    // Clients of their own, which do not wait for each other.
    let producers = (0..3).map(async |producer| {
        let client = torn.client.clone().timeout(Duration::from_secs(5)).retry(SOON).build();
        let store = client.store(host.store);
        let mut told = Vec::new();
        for n in 0..20 {
            let mut decided = String::new();
            let published = store
                .publish_with("s", "a", |head| {
                    decided = format!("{producer}-{n}-{head}");
                    vec![NewRecord::new(decided.clone())]
                })
                .await;
            told.push((decided, published.map(|stored| assert!(stored.is_some()))));
        }
        told
    });
    let told = futures_util::future::join_all(producers).await.concat();
    let payloads = stored(&host, "a").await;
    fits(&told, &payloads);
    for (payload, head) in payloads.iter().zip(0..) {
        assert!(payload.ends_with(&format!("-{head}")), "{payload} behind {head}");
    }
    assert!(payloads.len() > 30, "{told:?}");
    // Who decides for nothing stores nothing.
    let store = host.client().build().store(host.store);
    let none = store.publish_with("s", "a", |_| Vec::new()).await.unwrap();
    assert_eq!((none, stored(&host, "a").await.len()), (None, payloads.len()));
    host.stop().await;
}

over_both! {
    appends_behind_the_head_are_stored_once
    appends_at_a_sequence_are_stored_there_or_not_at_all
    what_is_decided_at_a_head_is_stored_behind_that_head
    a_stream_of_records_survives_its_connections
    a_stream_that_others_overtake_while_it_has_no_connection_is_told_their_head
    a_stream_of_which_some_may_be_stored_is_told_no_conflict
    an_append_of_more_than_a_transaction_holds_is_refused
}
