//! Two hosts over one engine: what is appended on one, and written by the other.

use std::sync::Arc;
use std::time::Duration;

use streamkit_client::{Client, NewRecord, Protocol};
use streamkit_engine::{
    AppendError, Condition, Expected, Fence, FencingToken, Name, Record, SegmentAppend, SegmentPath, SegmentRead,
    Sequence, Store, StoreId, Stores as _, Transaction,
};
use streamkit_hosts::forwarding::{Contended, Forwarding, ForwardingSettings};
use streamkit_hosts::host::HostId;
use streamkit_server_core::{Key, Limits, Server};
use tokio::sync::watch;
use uuid::Uuid;

use crate::pair::{Pair, SECRET, secret, store_of};

fn path(segment: &str) -> SegmentPath {
    SegmentPath::new("s", segment).unwrap()
}

fn at(segment: &str, first: u64, payload: &str) -> Transaction {
    Transaction::single(path(segment), Sequence(first), vec![Record::new(payload.to_owned())])
}

/// The payloads of a segment, as the engine has them.
async fn payloads(store: &dyn Store, segment: &str) -> Vec<String> {
    let mut reader = store.read_segment(SegmentRead::all(path(segment)));
    let mut found = Vec::new();
    while let Some(batch) = reader.next_batch().await.unwrap() {
        found.extend(
            batch
                .iter()
                .map(|entry| String::from_utf8(entry.payload.to_vec()).unwrap()),
        );
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_goes_to_the_host_that_is_to_write_and_is_read_here_at_once() {
    let pair = Pair::new().await;
    let (theirs, ours) = (
        pair.store(store_of(&pair.there)).await,
        pair.store(store_of(&pair.here)).await,
    );
    for sequence in 1..=10 {
        let committed = theirs.append(at("a", sequence, "x")).await.unwrap();
        assert_eq!(committed.segments[0].last_sequence, Sequence(sequence));
        let entry = theirs.peek(&path("a")).await.unwrap().unwrap();
        assert_eq!((entry.sequence, entry.trx.id), (Sequence(sequence), committed.trx.id));
        assert_eq!(
            (entry.trx.number, entry.timestamp),
            (committed.trx.number, committed.timestamp)
        );
    }
    ours.append(at("a", 1, "x")).await.unwrap();
    let published = theirs.publish(&path("a"), vec![Record::new("y")]).await.unwrap();
    assert_eq!(published.segments[0].last_sequence, Sequence(11));
    let again = at("b", 1, "once");
    let first = theirs.append(again.clone()).await.unwrap();
    let second = theirs.append(again).await.unwrap();
    assert!(!first.was_there && second.was_there && first.trx.number == second.trx.number);
    let figures = pair.forwarding.forwarding();
    assert_eq!((figures.forwarded, figures.fell_back, figures.peers), (13, 0, 1));
    assert_eq!((pair.appended_there(), pair.appended_here()), (13, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_there_is_told_here_in_the_same_words() {
    let pair = Pair::new().await;
    let theirs = pair.store(store_of(&pair.there)).await;
    let direct = pair.direct(store_of(&pair.there)).await;
    theirs.append(at("a", 1, "x")).await.unwrap();
    theirs.append(at("b", 1, "x")).await.unwrap();
    let taken = at("c", 1, "x");
    theirs.append(taken.clone()).await.unwrap();
    let fence = Fence {
        key: Name::new("k").unwrap(),
        token: FencingToken(77),
    };
    let demands = |segment: &str, expected| Condition {
        path: path(segment),
        expected,
    };
    let two = |first| Transaction {
        segments: [("a", first), ("b", first)]
            .map(|(segment, first)| SegmentAppend {
                path: path(segment),
                first_sequence: Sequence(first),
                records: vec![Record::new("z")],
            })
            .into(),
        ..at("a", first, "z")
    };
    let refused = [
        at("a", 1, "z"),
        at("a", 9, "z"),
        two(7),
        two(2).under(vec![demands("d", Expected::Exists), demands("c", Expected::IsAbsent)]),
        at("a", 2, "z").under(vec![demands("a", Expected::Head(Sequence(5)))]),
        at("a", 2, "z").fenced(fence),
        Transaction {
            id: taken.id,
            ..at("a", SegmentAppend::NEXT.0, "other")
        },
        Transaction {
            segments: Vec::new(),
            ..at("a", 1, "z")
        },
    ];
    for transaction in refused {
        let told = theirs.append(transaction.clone()).await.unwrap_err();
        let own = direct.append(transaction).await.unwrap_err();
        assert!(matches!(told, AppendError::Rejected(_)));
        assert_eq!(format!("{told:?}"), format!("{own:?}"));
    }
    assert_eq!(pair.forwarding.forwarding().fell_back, 0);
    assert_eq!(payloads(&*direct, "a").await, ["x"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_go_there_and_what_ends_them_stays_here() {
    let pair = Pair::new().await;
    let theirs = pair.store(store_of(&pair.there)).await;
    let name = |name: &str| Name::new(name).unwrap();
    let ttl = Duration::from_secs(60);
    let granted = theirs
        .acquire_lease(&name("k"), &name("one"), ttl)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(granted, theirs.lease(&name("k")).await.unwrap().unwrap());
    assert_eq!(theirs.acquire_lease(&name("k"), &name("two"), ttl).await.unwrap(), None);
    let renewed = theirs.renew_lease(&name("k"), &name("one"), ttl).await.unwrap();
    assert_eq!(renewed, Some(granted.clone()));
    let fence = Fence {
        key: name("k"),
        token: granted.token,
    };
    theirs.append(at("a", 1, "x").fenced(fence.clone())).await.unwrap();
    assert_eq!(
        theirs
            .release_lease(&name("k"), &name("one"))
            .await
            .unwrap()
            .unwrap()
            .token,
        granted.token
    );
    theirs.append(at("a", 2, "x").fenced(fence)).await.unwrap_err();
    assert_eq!(pair.forwarding.forwarding().forwarded, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_does_not_answer_is_left_and_what_it_comes_to_late_is_stored_once() {
    let pair = Pair::with_patience(Duration::from_millis(300)).await;
    let theirs = pair.store(store_of(&pair.there)).await;
    pair.is_connected().await;
    pair.there_waits();
    let committed = theirs.append(at("a", 1, "once")).await.unwrap();
    // It rests now, and nobody waits for it.
    theirs.append(at("a", 2, "twice")).await.unwrap();
    let figures = pair.forwarding.forwarding();
    assert!(figures.fell_back >= 2 && figures.unanswered >= 1, "{figures:?}");
    pair.there_goes_on(1).await;
    let direct = pair.direct(store_of(&pair.there)).await;
    assert_eq!(payloads(&*direct, "a").await, ["once", "twice"]);
    let entry = direct.peek(&path("a")).await.unwrap().unwrap();
    assert!(entry.trx.number > committed.trx.number);
}

/// No sequence keeps the second time out: the id alone does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_behind_whatever_is_there_is_stored_once_though_two_hosts_come_to_it() {
    let pair = Pair::with_patience(Duration::from_millis(300)).await;
    let theirs = pair.store(store_of(&pair.there)).await;
    pair.is_connected().await;
    pair.there_waits();
    theirs.publish(&path("a"), vec![Record::new("once")]).await.unwrap();
    assert_eq!(pair.forwarding.forwarding().unanswered, 1);
    pair.there_goes_on(1).await;
    let direct = pair.direct(store_of(&pair.there)).await;
    assert_eq!(payloads(&*direct, "a").await, ["once"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_later_commit_could_bring_about_is_not_called_refused() {
    let pair = Pair::with_patience(Duration::from_millis(300)).await;
    let theirs = pair.store(store_of(&pair.there)).await;
    pair.is_connected().await;
    pair.there_waits();
    // It is the third: the other host may come to it when the first two are there.
    let told = theirs.append(at("a", 3, "third")).await.unwrap_err();
    assert!(matches!(told, AppendError::Indeterminate(_)), "{told:?}");
    pair.store(store_of(&pair.there))
        .await
        .append(at("a", 1, "first"))
        .await
        .unwrap();
    theirs.append(at("a", 2, "second")).await.unwrap();
    pair.there_goes_on(1).await;
    let direct = pair.direct(store_of(&pair.there)).await;
    assert_eq!(payloads(&*direct, "a").await, ["first", "second", "third"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_dies_in_the_middle_costs_time_and_nothing_else() {
    let mut pair = Pair::with_patience(Duration::from_millis(500)).await;
    let theirs = pair.store(store_of(&pair.there)).await;
    let mut producers = Vec::new();
    for producer in 0..16 {
        let theirs = theirs.clone();
        producers.push(tokio::spawn(async move {
            let segment = format!("p{producer}");
            for sequence in 1..=200 {
                theirs
                    .append(at(&segment, sequence, &format!("{sequence}")))
                    .await
                    .unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }));
    }
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        pair.there_dies();
        tokio::time::sleep(Duration::from_millis(100)).await;
        pair.there_starts().await;
    }
    for producer in producers {
        producer.await.unwrap();
    }
    let direct = pair.direct(store_of(&pair.there)).await;
    let all: Vec<String> = (1..=200).map(|n| n.to_string()).collect();
    for producer in 0..16 {
        assert_eq!(payloads(&*direct, &format!("p{producer}")).await, all);
    }
    let figures = pair.forwarding.forwarding();
    assert!(figures.forwarded > 0 && figures.fell_back > 0, "{figures:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_host_at_that_address_or_another_secret_is_noticed_and_sent_nothing() {
    let pair = Pair::new().await;
    // The address is still in the row of a host that is gone.
    let gone = pair.as_another_host(Uuid::from_u128(99));
    let stranger = ForwardingSettings::new(pair.here, secret(b"another secret of thirty-two bytes, or more"));
    let (_tells, others) = watch::channel([pair.host_there()].into());
    let of_a_stranger = Forwarding::new(pair.stores_here(), stranger, others, None);
    for (forwarding, id) in [(gone, HostId(Uuid::from_u128(99))), (of_a_stranger, pair.there)] {
        let others = [id, pair.here];
        let store = forwarding.store(crate::pair::store_among(id, others)).await.unwrap();
        store.append(at(&id.to_string(), 1, "x")).await.unwrap();
        store.append(at(&id.to_string(), 2, "x")).await.unwrap();
        let figures = forwarding.forwarding();
        assert_eq!((figures.forwarded, figures.fell_back, figures.refused), (0, 2, 1));
    }
    assert_eq!(pair.appended_there(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_has_to_include_what_another_host_stored_has_the_store_look() {
    use futures_util::TryStreamExt as _;
    let pair = Pair::new().await;
    pair.here_only_looks();
    let key = streamkit_server_core::Key::hs256(&[7; 32]).unwrap();
    let token = key
        .mint(&["streamkit::*".to_owned()], Duration::from_secs(600))
        .unwrap();
    let limits = streamkit_server_core::Limits::default();
    let server = streamkit_server_core::Server::new(Arc::new(pair.forwarding.clone()), key, limits);
    let client = streamkit_client::Client::builder("ws://in-process")
        .transport(move || std::future::ready(server.in_process()))
        .token(token)
        .build();
    let store = client.store(store_of(&pair.there).0);
    let behind = streamkit_client::Append::behind(path("a"), vec![Record::new("x")]);
    let appended = store.append(behind).await.unwrap();
    assert_eq!(pair.appended_there(), 1);
    let read = |at_least| streamkit_client::Read {
        at_least,
        ..streamkit_client::Read::segment(path("a"))
    };
    let batches: Vec<_> = store.read(read(appended.position)).try_collect().await.unwrap();
    assert!(
        matches!(&batches[..], [streamkit_client::Batch::Entries(entries), streamkit_client::Batch::End(_)] if entries.len() == 1)
    );
    let beyond = store.read(read(appended.position + 1)).try_collect::<Vec<_>>().await;
    assert!(
        matches!(beyond, Err(streamkit_client::Error::NotThereYet { .. })),
        "{beyond:?}"
    );
}

/// A log in which the other host is always faster.
struct AlwaysLost(HostId);

impl Contended for AlwaysLost {
    fn winner(&self, _: StoreId) -> Option<HostId> {
        Some(self.0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_loses_races_sends_to_the_winner() {
    let pair = Pair::new().await;
    let forwarding = pair.contended(Arc::new(AlwaysLost(pair.there)));
    let ours = forwarding.store(store_of(&pair.here)).await.unwrap();
    ours.append(at("a", 1, "x")).await.unwrap();
    assert_eq!((pair.appended_there(), pair.appended_here()), (1, 0));
    // A winner that is not there any more wins nothing.
    let forwarding = pair.contended(Arc::new(AlwaysLost(HostId(Uuid::from_u128(99)))));
    let ours = forwarding.store(store_of(&pair.here)).await.unwrap();
    ours.append(at("a", 2, "x")).await.unwrap();
    assert_eq!((pair.appended_there(), pair.appended_here()), (1, 1));
}

/// Every promise of a store, of those whose appends another host writes.
mod conformance {
    pub fn fixture() -> streamkit_conformance::Fixture {
        let pair = futures_util::FutureExt::boxed(crate::pair::Pair::writing_elsewhere());
        let pair = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(pair));
        let stores = std::sync::Arc::new(pair.forwarding.clone());
        streamkit_conformance::Fixture::new(stores, pair)
    }

    streamkit_conformance::suite!(crate::forwarding::conformance::fixture);
}

/// The link tells what a transaction has made of a segment, not where that begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_over_v1_is_told_where_its_segment_begins_also_by_a_host_that_forwards() {
    let pair = Pair::new().await;
    let id = store_of(&pair.there);
    let key = || Key::hs256(SECRET).unwrap();
    let server = Server::new(Arc::new(pair.forwarding.clone()), key(), Limits::default());
    let token = key().mint(&["streamkit::*".to_owned()], Duration::from_secs(3600));
    let client = Client::builder("ws://in-process")
        .transport(move || std::future::ready(server.in_process()))
        .protocol(Protocol::V1)
        .token(token.unwrap());
    let store = client.build().store(id.0);
    for first in [1, 3] {
        let records = ["x", "y"].map(NewRecord::new);
        let status = store.produce_all("s", "a", first, records).await.unwrap();
        assert_eq!((status.first_sequence, status.last_sequence), (1, first + 1));
    }
    store.trim("s", "a", 2).await.unwrap();
    let status = store.produce_all("s", "a", 5, [NewRecord::new("z")]).await.unwrap();
    assert_eq!((status.first_sequence, status.last_sequence), (2, 5));
    assert!(pair.appended_there() > 0);
}
