//! Follows over a server that speaks v1 alone, composed of consumes and subscriptions: each entry once, across cuts and cursors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use streamkit_client::record::{Filter, LogCursor, Name, Record, SegmentPath, Wanted};
use streamkit_client::*;

use super::relay::Relay;
use crate::fixture::{Host, PATIENCE, Via, token};

fn space(space: &str) -> Wanted {
    Wanted::Space(Name::new(space).unwrap())
}

fn segment(space: &str, segment: &str) -> Wanted {
    Wanted::Segment(SegmentPath::new(space, segment).unwrap())
}

fn prefix(space: &str, prefix: &str) -> Wanted {
    Wanted::Prefix(Name::new(space).unwrap(), prefix.to_owned())
}

async fn publish(store: &StoreClient, space: &str, segment: &str) {
    store.publish(space, segment, NewRecord::new("x")).await.unwrap();
}

async fn told(follows: &mut Follows) -> Result<Followed, Error> {
    let told = tokio::time::timeout(PATIENCE, follows.next()).await.unwrap();
    told.unwrap()
}

/// What came of each segment: it is checked that it comes in order, each once. And how often something came.
#[derive(Default)]
struct Came(BTreeMap<String, u64>, Arc<AtomicU64>);

impl Came {
    fn take(&mut self, entries: &[record::Entry]) {
        self.1.fetch_add(1, Ordering::Relaxed);
        for entry in entries {
            let last = self.0.entry(entry.path.to_string()).or_default();
            assert_eq!(entry.sequence.0, *last + 1, "{}", entry.path);
            *last = entry.sequence.0;
        }
    }

    fn all(&self) -> u64 {
        self.0.values().sum()
    }

    /// Until so many have come; the last cursor, and whether it was told that all there was has been.
    async fn until(&mut self, follows: &mut Follows, all: u64) -> (LogCursor, bool) {
        let (mut cursor, mut is_caught_up) = (LogCursor::default(), false);
        while self.all() < all {
            match told(follows).await.unwrap() {
                Followed::Batch(entries, behind) => {
                    self.take(&entries);
                    cursor = behind;
                }
                Followed::CaughtUp(_) => {
                    assert!(!std::mem::replace(&mut is_caught_up, true));
                }
                Followed::At(_) => {}
            }
        }
        assert_eq!(self.all(), all);
        (cursor, is_caught_up)
    }
}

async fn caught_up(follows: &mut Follows) -> LogCursor {
    loop {
        match told(follows).await.unwrap() {
            Followed::CaughtUp(cursor) => return cursor,
            Followed::At(_) => {}
            Followed::Batch(entries, _) => panic!("{entries:?}"),
        }
    }
}

fn mix() -> Vec<Wanted> {
    vec![
        segment("s", "a"),
        segment("s", "b"),
        space("t"),
        segment("t", "a"),
        prefix("u", "a"),
        segment("u", "ab"),
    ]
}

const OF_MIX: [(&str, &str); 7] = [
    ("s", "a"),
    ("s", "b"),
    ("t", "a"),
    ("t", "b"),
    ("u", "a"),
    ("u", "ab"),
    ("u", "ac"),
];

#[tokio::test]
async fn a_mix_comes_from_history_to_live_each_entry_once_and_goes_on_from_a_cursor() {
    let host = Host::via(Via::V1).await;
    let store = host.client().build().store(host.store);
    let publish_all = async || {
        for (space, segment) in OF_MIX.into_iter().chain([("s", "other"), ("u", "b"), ("v", "a")]) {
            publish(&store, space, segment).await;
        }
    };
    publish_all().await;
    publish_all().await;
    let mut came = Came::default();
    let mut follows = store.follow(Follow::new(mix(), LogCursor::default()));
    let (behind, _) = came.until(&mut follows, 14).await;
    assert_eq!(caught_up(&mut follows).await, behind);
    publish_all().await;
    let (behind, again) = came.until(&mut follows, 21).await;
    assert!(!again);
    drop(follows);
    publish_all().await;
    // It is kept, and the parts are put in another order.
    let kept = LogCursor::new(behind.bytes().clone()).unwrap();
    let mut parts = mix();
    parts.reverse();
    let mut follows = store.follow(Follow::new(parts.clone(), kept));
    came.until(&mut follows, 28).await;
    caught_up(&mut follows).await;
    assert_eq!(came.0.len(), OF_MIX.len(), "{:?}", came.0);

    // A server that has learnt v2 goes on from it, too.
    let of_v2 = host.by(Via::Sockets);
    let newer = of_v2.client().build().store(of_v2.store);
    let mut came = Came(came.0.keys().map(|path| (path.clone(), 3)).collect(), Arc::default());
    came.until(&mut newer.follow(Follow::new(parts.clone(), behind)), 28)
        .await;
    let mut follows = newer.follow(Follow::new(parts.clone(), LogCursor::default()));
    let (of_the_log, _) = Came::default().until(&mut follows, 28).await;
    let mut unfit = store.follow(Follow::new(parts.clone(), of_the_log));
    assert!(matches!(told(&mut unfit).await, Err(Error::UnfitCursor(_))));
    let places = Came::default()
        .until(&mut store.follow(Follow::new(parts.clone(), LogCursor::default())), 28)
        .await
        .0;
    let mut unfit = store.follow(Follow::new(vec![space("s")], places.clone()));
    assert!(matches!(told(&mut unfit).await, Err(Error::UnfitCursor(_))));
    let read = newer.read(Read::log(parts, places)).next().await.unwrap();
    assert!(matches!(read, Err(Error::UnfitCursor(_))), "{read:?}");
    of_v2.stop().await;
}

#[tokio::test]
async fn what_does_not_pass_the_filter_is_left_out() {
    let host = Host::via(Via::V1).await;
    let store = host.client().build().store(host.store);
    for kind in ["x", "y", "x"] {
        let record = NewRecord::new(kind).with("kind", kind);
        store.publish("s", "a", record.clone()).await.unwrap();
        store.publish("s", "b", record).await.unwrap();
    }
    let mut follow = Follow::new(vec![space("s")], LogCursor::default());
    follow.filter = Filter {
        prefix: "a".to_owned(),
        metadata: vec![("kind".to_owned(), "x".to_owned())],
    };
    let mut follows = store.follow(follow);
    let Followed::Batch(entries, _) = told(&mut follows).await.unwrap() else {
        panic!("no batch")
    };
    let of: Vec<_> = entries
        .iter()
        .map(|entry| (entry.path.to_string(), entry.sequence.0))
        .collect();
    assert_eq!(of, [("s/a".to_owned(), 1), ("s/a".to_owned(), 3)]);
    caught_up(&mut follows).await;
    host.stop().await;
}

#[tokio::test]
async fn from_now_on_nothing_of_before_comes() {
    let host = Host::via(Via::V1).await;
    let store = host.client().build().store(host.store);
    // Several of them within one moment.
    for n in 0..20 {
        publish(&store, "s", "a").await;
        publish(&store, "t", &format!("a{n}")).await;
    }
    let mut follow = Follow::new(
        vec![segment("s", "a"), space("t"), segment("u", "none")],
        LogCursor::default(),
    );
    follow.from_now = true;
    let mut follows = store.follow(follow);
    caught_up(&mut follows).await;
    publish(&store, "s", "a").await;
    publish(&store, "t", "a0").await;
    publish(&store, "u", "none").await;
    let mut sequences = Vec::new();
    while sequences.len() < 3 {
        if let Followed::Batch(entries, _) = told(&mut follows).await.unwrap() {
            sequences.extend(entries.iter().map(|entry| entry.sequence.0));
        }
    }
    sequences.sort_unstable();
    assert_eq!(sequences, [1, 2, 21]);
    host.stop().await;
}

#[tokio::test]
async fn a_segment_that_is_begun_anew_or_trimmed_is_no_silent_gap() {
    let host = Host::via(Via::V1).await;
    let store = host.client().build().store(host.store);
    for wanted in [segment("s", "a"), space("s")] {
        for removes in ["delete", "trim"] {
            for _ in 0..3 {
                publish(&store, "s", "a").await;
            }
            let mut follows = store.follow(Follow::new(vec![wanted.clone()], LogCursor::default()));
            let behind = loop {
                match told(&mut follows).await.unwrap() {
                    Followed::CaughtUp(cursor) => break cursor,
                    other => drop(other),
                }
            };
            if removes == "delete" {
                store.delete("s", "a").await.unwrap();
                publish(&store, "s", "a").await;
            } else {
                // Nobody follows meanwhile.
                drop(follows);
                for _ in 0..3 {
                    publish(&store, "s", "a").await;
                }
                let head = store.peek("s", "a").await.unwrap().unwrap().sequence;
                store.trim("s", "a", head).await.unwrap();
                follows = store.follow(Follow::new(vec![wanted.clone()], behind));
            }
            let outcome = told(&mut follows).await;
            // A reader of a space does not know how far its segments had come before.
            match (&wanted, removes) {
                (Wanted::Space(_), "trim") => assert!(matches!(outcome, Ok(Followed::Batch(..))), "{outcome:?}"),
                _ => assert!(matches!(outcome, Err(Error::Removed { .. })), "{outcome:?}"),
            }
            store.delete("s", "a").await.unwrap();
        }
    }
    host.stop().await;
}

/// The connection is cut again and again, the server restarted, and the follow begun anew from its cursor.
#[tokio::test]
async fn nothing_is_missing_and_nothing_comes_twice_through_cuts_restarts_and_cursors() {
    let mut host = Host::via(Via::V1).await;
    let relay = Arc::new(Relay::start(&host).await);
    let client = relay.client.clone().token(token(&["streamkit::*"]));
    let store = client.retry(RetryPolicy::AGGRESSIVE).build().store(host.store);
    let is_over = Arc::new(AtomicBool::new(false));
    let (mut came, mut behind, mut all) = (Came::default(), LogCursor::default(), 0);
    let cutting = tokio::spawn({
        let (relay, is_over, told) = (relay.clone(), is_over.clone(), came.1.clone());
        async move {
            let mut before = 0;
            while !is_over.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(30)).await;
                // Each connection comes to something, if only just: a client gives up in the end where none does.
                if told.load(Ordering::Relaxed) > before {
                    before = told.load(Ordering::Relaxed);
                    relay.cut();
                }
            }
        }
    });
    for round in 0..6 {
        let writer = host.client().protocol(Protocol::V2).build().store(host.store);
        let writes = async {
            for n in 0..40 {
                let (space, segment) = OF_MIX[n % OF_MIX.len()];
                let path = SegmentPath::new(space, segment).unwrap();
                let records = vec![Record::new(vec![7; 2000]); n % 5 + 1];
                writer.append(Append::behind(path, records)).await.unwrap();
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        };
        all += (0..40).map(|n| n % 5 + 1).sum::<u64>();
        let follow = Follow::new(mix(), behind.clone());
        let reads = async {
            let mut follows = store.follow(follow);
            came.until(&mut follows, all).await.0
        };
        let ((), cursor) = tokio::join!(writes, reads);
        behind = cursor;
        if round % 2 == 1 {
            host = host.restart().await;
        }
    }
    is_over.store(true, Ordering::Relaxed);
    cutting.await.unwrap();
    caught_up(&mut store.follow(Follow::new(mix(), behind))).await;
    host.stop().await;
}
