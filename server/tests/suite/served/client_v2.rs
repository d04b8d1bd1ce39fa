//! What the client can do over v2 alone, against the server.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use streamkit_client::record::{
    Condition, Entry, Expected, Fence, Filter, LogCursor, Metadata, Name, ReadSource, Record, SegmentAppend,
    SegmentPath, Sequence, Wanted,
};
use streamkit_client::*;

use super::relay::Relay;
use crate::fixture::{Host, PATIENCE, Via, over_v2};

fn path(segment: &str) -> SegmentPath {
    SegmentPath::new("orders", segment).unwrap()
}

fn space() -> Wanted {
    Wanted::Space(Name::new("orders").unwrap())
}

fn section(segment: &str, first: u64, payloads: &[&'static str]) -> SegmentAppend {
    SegmentAppend {
        path: path(segment),
        first_sequence: Sequence(first),
        records: payloads.iter().map(|&payload| Record::new(payload)).collect(),
    }
}

async fn read(store: &StoreClient, read: Read) -> (Vec<Entry>, LogCursor) {
    let mut entries = Vec::new();
    let mut batches = store.read(read);
    while let Some(batch) = batches.try_next().await.unwrap() {
        match batch {
            Batch::Entries(batch) => entries.extend(batch),
            Batch::End(cursor) => return (entries, cursor),
        }
    }
    panic!("a read without an end")
}

fn payloads(entries: &[Entry]) -> Vec<&[u8]> {
    entries.iter().map(|entry| &entry.payload[..]).collect()
}

async fn one_transaction_of_several_segments_is_stored_as_a_whole_or_not_at_all(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    let both = Append::new(vec![section("a", 1, &["x", "y"]), section("b", 0, &["z"])]);
    let appended = store.append(both.clone()).await.unwrap();
    assert_eq!(
        appended.sections,
        [(Sequence(1), Sequence(2)), (Sequence(1), Sequence(1))]
    );
    assert!(!appended.is_known);
    // The same under the same id is what it was.
    let again = store.append(both.clone()).await.unwrap();
    assert!(again.is_known);
    assert_eq!((again.position, again.sections), (appended.position, appended.sections));
    // Under an id of its own it meets a conflict, which brings what stands in the way.
    let other = Append {
        id: uuid::Uuid::new_v4(),
        conflict_bytes: 1000,
        ..both
    };
    match store.append(other).await {
        Err(Error::Conflicts { heads, entries }) => {
            assert_eq!(heads, [(path("a"), Sequence(2))]);
            assert_eq!(payloads(&entries), [b"x", b"y"]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(store.status("", "").await.unwrap().entry_count, 3);
    host.stop().await;
}

async fn conditions_and_leases_are_checked_with_the_append(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    let append = |expected| {
        let one = Append::behind(path("a"), vec![Record::new("x")]);
        one.under(Condition {
            path: path("b"),
            expected,
        })
    };
    let refused = store.append(append(Expected::Exists)).await;
    assert!(
        matches!(&refused, Err(Error::Conflicts { heads, .. }) if heads[..] == [(path("b"), Sequence(0))]),
        "{refused:?}"
    );
    store.append(append(Expected::IsAbsent)).await.unwrap();

    let lease = |change| Lease {
        change,
        key: Name::new("cashier").unwrap(),
        holder: Name::new("me").unwrap(),
        ttl: std::time::Duration::from_secs(60),
    };
    let token = store.lease(lease(LeaseChange::Acquire)).await.unwrap().token.unwrap();
    let fence = Fence {
        key: Name::new("cashier").unwrap(),
        token,
    };
    let fenced = || append(Expected::IsAbsent).fenced(fence.clone());
    store.append(fenced()).await.unwrap();
    store.lease(lease(LeaseChange::Release)).await.unwrap();
    let refused = store.append(fenced()).await;
    assert!(
        matches!(refused, Err(Error::FencedOff { token: t }) if t == token.0),
        "{refused:?}"
    );
    host.stop().await;
}

async fn an_id_that_is_known_is_known_after_a_restart_and_over_another_connection(via: Via) {
    let host = Host::via(via).await;
    let append = Append::new(vec![section("a", 1, &["x"])]);
    let first = host
        .client()
        .build()
        .store(host.store)
        .append(append.clone())
        .await
        .unwrap();
    let host = host.restart().await;
    let again = host
        .client()
        .build()
        .store(host.store)
        .append(append.clone())
        .await
        .unwrap();
    assert!(again.is_known && again.position == first.position);
    host.stop().await;
}

async fn reads_choose_by_name_metadata_and_place_in_either_direction(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    for n in 0..30 {
        let record = Record {
            payload: n.to_string().into(),
            metadata: Metadata::from_pairs([("parity", if n % 2 == 0 { "even" } else { "odd" })]),
        };
        let segment = format!("order-{}", n % 3);
        store
            .append(Append::behind(path(&segment), vec![record]))
            .await
            .unwrap();
    }
    let numbers = |entries: &[Entry]| -> Vec<u32> {
        let number = |entry: &Entry| std::str::from_utf8(&entry.payload).unwrap().parse().unwrap();
        entries.iter().map(number).collect()
    };
    let log = || Read::log(vec![space()], LogCursor::default());
    let (all, _) = read(&store, log()).await;
    assert_eq!(numbers(&all), (0..30).collect::<Vec<_>>());
    let even = Read {
        filter: Filter {
            prefix: "order-1".into(),
            metadata: vec![("parity".into(), "even".into())],
        },
        ..log()
    };
    assert_eq!(numbers(&read(&store, even).await.0), [4, 10, 16, 22, 28]);
    let prefix = Wanted::Prefix(Name::new("orders").unwrap(), "order-2".into());
    let mut last = read(
        &store,
        Read {
            newest_first: true,
            entries: 2,
            ..Read::log(vec![prefix], LogCursor::default())
        },
    )
    .await
    .0;
    last.sort_by_key(|entry| entry.trx.number);
    assert_eq!(numbers(&last), [26, 29]);
    // Behind a cursor.
    let first = Read { entries: 10, ..log() };
    let (ten, cursor) = read(&store, first).await;
    assert_eq!(numbers(&ten), (0..10).collect::<Vec<_>>());
    let (rest, _) = read(&store, Read::log(vec![space()], cursor)).await;
    assert_eq!(numbers(&rest), (10..30).collect::<Vec<_>>());
    let some = ReadSource::Segment(path("order-0"), Sequence(2), Sequence(3));
    assert_eq!(numbers(&read(&store, Read::all(some)).await.0), [3, 6]);
    host.stop().await;
}

/// The client checks each segment for holes and repetitions, in either direction.
async fn a_log_of_many_batches_comes_whole_in_either_direction(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    let records = |count: usize| vec![Record::new(vec![b'x'; 20_000]); count];
    let section = |segment: &str, count| SegmentAppend {
        path: path(segment),
        first_sequence: SegmentAppend::NEXT,
        records: records(count),
    };
    for n in 0..10 {
        let both = vec![section("a", 20 + n), section("b", 5)];
        store.append(Append::new(both)).await.unwrap();
        store.append(Append::new(vec![section("b", 10)])).await.unwrap();
    }
    for newest_first in [false, true] {
        let log = Read {
            newest_first,
            ..Read::log(vec![space()], LogCursor::default())
        };
        let (entries, _) = read(&store, log).await;
        assert_eq!(entries.len(), 245 + 150);
        let all = Read {
            newest_first,
            ..Read::segment(path("b"))
        };
        assert_eq!(read(&store, all).await.0.len(), 150);
    }
    host.stop().await;
}

async fn a_follow_tells_what_is_there_then_what_comes_and_goes_on_behind_its_cursor(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    let append = async |n: u64| {
        let record = Record::new(n.to_string());
        store.append(Append::behind(path("a"), vec![record])).await.unwrap();
    };
    for n in 1..=10 {
        append(n).await;
    }
    let mut follow = store.follow(Follow::new(vec![space()], LogCursor::default()));
    let mut came = Vec::new();
    let (mut cursor, mut was_caught_up) = (LogCursor::default(), false);
    while came.len() < 20 {
        let told = tokio::time::timeout(PATIENCE, follow.next()).await.unwrap();
        let told = told.unwrap().unwrap();
        cursor = told.cursor().clone();
        match told {
            Followed::Batch(entries, _) => came.extend(entries.iter().map(|entry| entry.sequence.0)),
            Followed::CaughtUp(_) => {
                assert_eq!(came.len(), 10);
                was_caught_up = true;
                for n in 11..=20 {
                    append(n).await;
                }
            }
            Followed::At(_) => {}
        }
    }
    assert!(was_caught_up);
    assert_eq!(came, (1..=20).collect::<Vec<_>>());
    drop(follow);
    append(21).await;
    let host = host.restart().await;
    let store = host.client().build().store(host.store);
    let mut rest = store.follow(Follow::new(vec![space()], cursor));
    let told = tokio::time::timeout(PATIENCE, rest.next()).await.unwrap().unwrap();
    match told.unwrap() {
        Followed::Batch(entries, _) => assert_eq!(entries[0].sequence.0, 21),
        other => panic!("{other:?}"),
    }
    host.stop().await;
}

async fn many_callers_of_one_connection_are_all_answered(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    let writers = (0..64).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let segment = format!("w{writer}");
            for n in 1..=50 {
                let one = Append::new(vec![SegmentAppend {
                    path: path(&segment),
                    first_sequence: Sequence(n),
                    records: vec![Record::new("x")],
                }]);
                store.append(one).await.unwrap();
            }
        })
    });
    futures_util::future::try_join_all(writers).await.unwrap();
    assert_eq!(store.status("orders", "").await.unwrap().entry_count, 3200);
    host.stop().await;
}

/// An operator, or a test, may want the older one.
async fn a_client_may_be_told_to_speak_v1(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().protocol(Protocol::V1).build().store(host.store);
    store.publish("orders", "a", NewRecord::new("x")).await.unwrap();
    let appended = store.append(Append::new(vec![section("a", 2, &["y"])])).await.unwrap();
    assert_eq!(appended.sections, [(Sequence(2), Sequence(2))]);
    let several = Append::new(vec![section("a", 3, &["y"]), section("b", 1, &["y"])]);
    let error = store.append(several).await.unwrap_err();
    assert!(matches!(error, Error::NotInV1("append to several segments")) && error.is_not_stored());
    let entries: Vec<_> = store
        .consume_segment(ConsumeSegment::all("orders", "a"))
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
    assert_eq!(entries.len(), 2);
    host.stop().await;
}

/// The server tells no more often than each second where it stands, however short its client's patience is.
async fn an_idle_follow_of_an_impatient_client_is_no_dead_one(via: Via) {
    let host = Host::via(via).await;
    let client = host.client().timeout(Duration::from_millis(400)).build();
    let mut follow = client
        .store(host.store)
        .follow(Follow::new(vec![space()], LogCursor::default()));
    assert!(matches!(follow.next().await, Some(Ok(Followed::CaughtUp(_)))));
    for _ in 0..2 {
        let told = follow.next().await;
        assert!(matches!(told, Some(Ok(Followed::At(_)))), "{told:?}");
    }
    host.stop().await;
}

async fn a_follow_of_a_real_server_outlives_cuts_and_a_restart_and_tells_each_entry_once(via: Via) {
    let mut host = Host::via(via).await;
    let relay = Relay::start(&host).await;
    let client = relay
        .client
        .clone()
        .token(crate::fixture::token(&["streamkit::*"]))
        .build();
    let mut follow = client
        .store(host.store)
        .follow(Follow::new(vec![space()], LogCursor::default()));
    let append = async |host: &Host, n: u64| {
        let store = host.client().build().store(host.store);
        let one = Append::new(vec![section("a", n, &["x"])]);
        store.append(one).await.unwrap();
    };
    let (mut came, mut caught_up) = (Vec::new(), 0);
    for n in 1..=6 {
        append(&host, n).await;
        while came.last() != Some(&n) || caught_up == 0 {
            let told = tokio::time::timeout(PATIENCE, follow.next()).await.unwrap();
            match told.unwrap().unwrap() {
                Followed::Batch(entries, _) => came.extend(entries.iter().map(|entry| entry.sequence.0)),
                Followed::CaughtUp(_) => caught_up += 1,
                Followed::At(_) => {}
            }
        }
        match n {
            4 => host = host.restart().await,
            _ => relay.cut(),
        }
    }
    assert_eq!((came, caught_up), ((1..=6).collect(), 1));
    client.close().await;
    host.stop().await;
}

over_v2! {
    one_transaction_of_several_segments_is_stored_as_a_whole_or_not_at_all
    conditions_and_leases_are_checked_with_the_append
    an_id_that_is_known_is_known_after_a_restart_and_over_another_connection
    reads_choose_by_name_metadata_and_place_in_either_direction
    a_log_of_many_batches_comes_whole_in_either_direction
    a_follow_tells_what_is_there_then_what_comes_and_goes_on_behind_its_cursor
    many_callers_of_one_connection_are_all_answered
    a_client_may_be_told_to_speak_v1
    an_idle_follow_of_an_impatient_client_is_no_dead_one
    a_follow_of_a_real_server_outlives_cuts_and_a_restart_and_tells_each_entry_once
}
