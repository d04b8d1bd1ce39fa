//! The promises of an append.

use std::collections::BTreeMap;
use std::sync::Arc;

use streamkit_engine::*;
use uuid::Uuid;

use crate::Fixture;
use crate::calls::{append, conflict, drain, path, read_all, records, repeated, space};

/// What was appended is read back whole.
pub async fn what_was_appended_is_read_back_whole(f: Fixture) {
    let store = f.store().await;
    let p = path("orders", "order-1");
    let metadata = Metadata::from_pairs([("b", "2"), ("a", "1")]);
    let record = Record {
        payload: "placed".into(),
        metadata: metadata.clone(),
    };
    let trx = Transaction::single(p.clone(), Sequence(1), vec![record, Record::default()]);
    let committed = store.append(trx.clone()).await.unwrap();
    assert_eq!(committed.segments[0].last_sequence, Sequence(2));
    let entries = read_all(&*store, &p).await;
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].metadata.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
    assert!(entries[1].payload.is_empty() && entries[1].metadata.is_empty());
    assert!(
        entries
            .iter()
            .all(|e| e.trx.id == trx.id && e.timestamp == committed.timestamp)
    );
}

/// Names are exact.
pub async fn names_are_exact(f: Fixture) {
    let store = f.store().await;
    append(&*store, &path("s", "order-12"), 1, &["twelve"]).await.unwrap();
    append(&*store, &path("sp", "order-1"), 1, &["other space"])
        .await
        .unwrap();
    let one = path("s", "order-1");
    assert_eq!(store.peek(&one).await.unwrap(), None);
    assert!(read_all(&*store, &one).await.is_empty());
    append(&*store, &one, 1, &["one"]).await.unwrap();
    assert_eq!(read_all(&*store, &one).await[0].payload, "one");
    assert_eq!(drain(store.read_spaces(space("s", None))).await.len(), 2);
}

/// Losers are told the actual head.
pub async fn losers_are_told_the_actual_head(f: Fixture) {
    let store = f.store().await;
    let p = path("s", "a");
    append(&*store, &p, 1, &["1", "2"]).await.unwrap();
    for first in [1, 2, 4] {
        assert_eq!(
            conflict(append(&*store, &p, first, &["x"]).await.unwrap_err()),
            (2, first)
        );
    }
}

/// Of many racers exactly one wins each sequence.
pub async fn of_many_racers_exactly_one_wins_each_sequence(f: Fixture) {
    let store = f.store().await;
    let p = path("s", "raced");
    let mut tasks = Vec::new();
    for racer in 0..32 {
        let (store, p) = (store.clone(), p.clone());
        tasks.push(tokio::spawn(async move {
            let mut won = Vec::new();
            let mut next = 1;
            while next <= 50 {
                match append(&*store, &p, next, &[&format!("{racer}")]).await {
                    Ok(_) => {
                        won.push(next);
                        next += 1;
                    }
                    Err(error) => {
                        let (head, _) = conflict(error);
                        assert!(head >= next, "a head of {head} is no reason to refuse {next}");
                        next = head + 1;
                    }
                }
            }
            (racer, won)
        }));
    }
    let mut winners = BTreeMap::new();
    for task in tasks {
        let (racer, won) = task.await.unwrap();
        for sequence in won {
            assert_eq!(winners.insert(sequence, racer), None, "two winners of {sequence}");
        }
    }
    let entries = read_all(&*store, &p).await;
    let stored: BTreeMap<u64, i32> = entries
        .iter()
        .map(|e| (e.sequence.0, std::str::from_utf8(&e.payload).unwrap().parse().unwrap()))
        .collect();
    assert_eq!(stored, winners);
}

/// A retry of the same transaction is a success.
pub async fn a_retry_of_the_same_transaction_is_a_success(f: Fixture) {
    let store = f.store().await;
    let trx = Transaction::single(path("s", "a"), Sequence(1), records(["x", "y"]));
    let first = store.append(trx.clone()).await.unwrap();
    let again = store.append(trx.clone()).await.unwrap();
    assert_eq!(again, repeated(&first));
    let mut other = trx.clone();
    other.segments[0].records[1] = Record::new("z");
    let other = store.append(other).await.unwrap_err();
    assert!(matches!(other, AppendError::Rejected(Rejection::OtherRecords { number }) if number == first.trx.number));
    let (a, b) = tokio::join!(
        store.append(Transaction {
            id: Uuid::from_u128(1),
            ..trx_at(3)
        }),
        store.append(Transaction {
            id: Uuid::from_u128(1),
            ..trx_at(3)
        })
    );
    let (a, b) = (a.unwrap(), b.unwrap());
    assert!(a == repeated(&b) || b == repeated(&a));
}

fn trx_at(first: u64) -> Transaction {
    Transaction::single(path("s", "a"), Sequence(first), records(["w"]))
}

/// A transaction over several segments is all or nothing.
pub async fn a_transaction_over_several_segments_is_all_or_nothing(f: Fixture) {
    let store = f.store().await;
    let part = |segment: &str, first| SegmentAppend {
        path: path("s", segment),
        first_sequence: Sequence(first),
        records: records(["r"]),
    };
    let both = |b| Transaction {
        id: Uuid::new_v4(),
        segments: vec![part("a", 1), part("b", b)],
        fence: None,
        conditions: Vec::new(),
    };
    assert_eq!(conflict(store.append(both(2)).await.unwrap_err()), (0, 2));
    assert_eq!(store.peek(&path("s", "a")).await.unwrap(), None);
    let committed = store.append(both(1)).await.unwrap();
    assert_eq!(committed.segments.len(), 2);
    let all = drain(store.read_spaces(space("s", None))).await;
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].trx, all[1].trx);
}

/// Whoever publishes comes after the head whoever else does.
pub async fn whoever_publishes_comes_after_the_head_whoever_else_does(f: Fixture) {
    let fixture = f;
    let store = fixture.store().await;
    let order = path("orders", "order-1");
    let tasks = (0..16).map(|n| {
        let (store, order) = (Arc::clone(&store), order.clone());
        tokio::spawn(async move {
            for event in 0..10 {
                store.publish(&order, records([format!("{n}/{event}")])).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let mut texts: Vec<String> = read_all(&*store, &order)
        .await
        .iter()
        .map(|entry| String::from_utf8(entry.payload.to_vec()).unwrap())
        .collect();
    assert_eq!(texts.len(), 160);
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), 160);
    let empty = store.publish(&order, Vec::new()).await;
    assert!(matches!(empty, Err(AppendError::Rejected(Rejection::Invalid(_)))));
}

/// The tail moves with each commit.
pub async fn the_tail_moves_with_each_commit(f: Fixture) {
    let store = f.store().await;
    let mut tail = store.durable_tail();
    let before = *tail.borrow_and_update();
    append(&*store, &path("s", "a"), 1, &["e"]).await.unwrap();
    assert!(tail.has_changed().unwrap());
    assert!(*tail.borrow_and_update() > before);
}

/// Whoever asks from mark to mark hears of every segment that changed.
pub async fn whoever_asks_from_mark_to_mark_hears_of_every_segment_that_changed(f: Fixture) {
    let store = f.store().await;
    let mut mark = *store.durable_tail().borrow();
    let mut heads = [0_u64; 5];
    for round in 0..60_u64 {
        let mut extended = std::collections::BTreeSet::new();
        for step in 0..=round % 4 {
            let segment = ((round * 7 + step * 3) % 5) as usize;
            let path = path("s", &segment.to_string());
            // Large enough to cross extents now and then.
            append(&*store, &path, heads[segment] + 1, &["x".repeat(4000).as_str()])
                .await
                .unwrap();
            heads[segment] += 1;
            extended.insert(path);
        }
        let changes = store.changed_since(mark).await.unwrap();
        assert!(changes.until > mark);
        if let Some(segments) = changes.segments {
            let told: std::collections::BTreeSet<_> = segments.iter().map(|status| status.path.clone()).collect();
            assert_eq!(told, extended, "round {round}");
            for status in segments {
                assert_eq!(Some(status.clone()), store.segment_status(&status.path).await.unwrap());
            }
        }
        mark = changes.until;
        let nothing = store.changed_since(mark).await.unwrap();
        assert!(nothing.segments.is_none_or(|segments| segments.is_empty()) && nothing.until == mark);
    }
    store.delete(&path("s", "0")).await.unwrap();
    append(&*store, &path("s", "1"), heads[1] + 1, &["x"]).await.unwrap();
    if let Some(segments) = store.changed_since(mark).await.unwrap().segments {
        assert_eq!(segments.len(), 1, "one that was deleted is not there: {segments:?}");
    }
}

/// Stores do not see each other.
pub async fn stores_do_not_see_each_other(f: Fixture) {
    let (a, b) = (
        f.store().await,
        f.stores.store(StoreId(Uuid::from_u128(8))).await.unwrap(),
    );
    append(&*a, &path("s", "a"), 1, &["e"]).await.unwrap();
    assert!(b.spaces().await.unwrap().is_empty());
    append(&*b, &path("s", "a"), 1, &["e"]).await.unwrap();
}

/// A closed store refuses and says so.
pub async fn a_closed_store_refuses_and_says_so(f: Fixture) {
    let store = f.store().await;
    append(&*store, &path("s", "a"), 1, &["e"]).await.unwrap();
    f.stores.close().await;
    assert!(f.stores.ready().is_err());
    assert!(append(&*store, &path("s", "a"), 2, &["e"]).await.is_err());
}
