//! The promises of an append that demands something of other segments, or takes the next sequence.

use streamkit_engine::*;
use uuid::Uuid;

use crate::Fixture;
use crate::calls::{append, conflict, path, read_all, records, repeated};

fn head(segment: &str, head: u64) -> Condition {
    Condition {
        path: path("s", segment),
        expected: Expected::Head(Sequence(head)),
    }
}

fn exists(segment: &str) -> Condition {
    Condition {
        path: path("s", segment),
        expected: Expected::Exists,
    }
}

fn is_absent(segment: &str) -> Condition {
    Condition {
        path: path("s", segment),
        expected: Expected::IsAbsent,
    }
}

fn to(segment: &str, first: Sequence) -> Transaction {
    Transaction::single(path("s", segment), first, records(["x"]))
}

fn next(segment: &str) -> Transaction {
    to(segment, SegmentAppend::NEXT)
}

fn conflicts(error: AppendError) -> Vec<(String, u64, Option<u64>)> {
    match error {
        AppendError::Rejected(Rejection::Conflicts(conflicts)) => {
            let told = conflicts.into_iter();
            told.map(|one| {
                let segment = one.path.segment.as_str().to_owned();
                (segment, one.head.0, one.got.map(|got| got.0))
            })
            .collect()
        }
        other => panic!("expected conditions that do not hold, got {other}"),
    }
}

fn last(committed: &Committed) -> u64 {
    committed.segments[0].last_sequence.0
}

/// Conditions hold right before the transaction, or nothing is stored and each that does not is told.
pub async fn a_transaction_is_stored_only_if_all_its_conditions_hold(f: Fixture) {
    let store = f.store().await;
    append(&*store, &path("s", "a"), 1, &["1", "2"]).await.unwrap();
    append(&*store, &path("s", "b"), 1, &["1"]).await.unwrap();
    let demands = vec![head("a", 2), exists("a"), head("c", 0), is_absent("c"), head("b", 1)];
    store.append(to("b", Sequence(2)).under(demands)).await.unwrap();

    let wrong = vec![exists("c"), head("a", 1), is_absent("b"), exists("b"), head("c", 7)];
    let refused = store.append(to("b", Sequence(3)).under(wrong)).await.unwrap_err();
    let told = [("a", 2, None), ("b", 2, None), ("c", 0, None)].map(|(a, b, c)| (a.to_owned(), b, c));
    assert_eq!(conflicts(refused), told);
    let both = to("b", Sequence(9)).under(vec![is_absent("a")]);
    let told = [("a", 2, None), ("b", 2, Some(9))].map(|(a, b, c)| (a.to_owned(), b, c));
    assert_eq!(conflicts(store.append(both).await.unwrap_err()), told);
    // Where only a sequence is wrong, it is the conflict that it would be without conditions.
    let wrong = to("b", Sequence(9)).under(vec![exists("a")]);
    assert_eq!(conflict(store.append(wrong).await.unwrap_err()), (2, 9));
    assert_eq!(read_all(&*store, &path("s", "b")).await.len(), 2);

    store.delete(&path("s", "a")).await.unwrap();
    store
        .append(to("b", Sequence(3)).under(vec![is_absent("a")]))
        .await
        .unwrap();
}

/// A condition may be of a segment that the transaction writes: it is of the time before.
pub async fn a_condition_of_a_segment_that_is_written_is_of_the_time_before(f: Fixture) {
    let store = f.store().await;
    store.append(next("a").under(vec![is_absent("a")])).await.unwrap();
    let again = store.append(next("a").under(vec![is_absent("a")])).await.unwrap_err();
    assert_eq!(conflicts(again), [("a".to_owned(), 1, None)]);
    assert_eq!(
        last(&store.append(next("a").under(vec![head("a", 1)])).await.unwrap()),
        2
    );
}

/// What takes the next sequence is told which.
pub async fn what_takes_the_next_sequence_is_told_which(f: Fixture) {
    let store = f.store().await;
    append(&*store, &path("s", "a"), 1, &["1", "2"]).await.unwrap();
    let mut mixed = next("a");
    mixed.segments[0].records = records(["3", "4"]);
    mixed.segments.extend(to("b", Sequence(1)).segments);
    mixed.segments.extend(next("c").segments);
    let committed = store.append(mixed).await.unwrap();
    let lasts: Vec<_> = committed.segments.iter().map(|status| status.last_sequence.0).collect();
    assert_eq!(lasts, [4, 1, 1]);
    let entries = read_all(&*store, &path("s", "a")).await;
    assert_eq!(
        entries.iter().map(|entry| entry.sequence.0).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    assert_eq!(entries[3].payload, "4");
}

/// Of many who take the next sequence at once each gets one of its own.
pub async fn of_many_who_take_the_next_sequence_each_gets_its_own(f: Fixture) {
    let store = f.store().await;
    let tasks = (0..32).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut got = Vec::new();
            for _ in 0..20 {
                got.push(last(&store.append(next("a")).await.unwrap()));
            }
            got
        })
    });
    let mut all = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        let got = task.await.unwrap();
        assert!(got.is_sorted(), "each waited for its answer: {got:?}");
        all.extend(got);
    }
    all.sort_unstable();
    assert_eq!(all, (1..=640).collect::<Vec<_>>());
    assert_eq!(read_all(&*store, &path("s", "a")).await.len(), 640);
}

/// Of many who demand the same of one segment, at most as many are stored as it can hold for.
pub async fn of_many_who_demand_that_a_segment_is_absent_one_is_stored(f: Fixture) {
    let store = f.store().await;
    for round in 0..10 {
        let guard = format!("guard-{round}");
        let tasks = (0..16).map(|racer| {
            let (store, guard) = (store.clone(), guard.clone());
            tokio::spawn(async move {
                let mut both = next("log").under(vec![is_absent(&guard)]);
                both.segments.extend(next(&guard).segments);
                both.segments.extend(next(&format!("own-{racer}")).segments);
                store.append(both).await
            })
        });
        let mut won = 0;
        for task in tasks.collect::<Vec<_>>() {
            match task.await.unwrap() {
                Ok(committed) => {
                    won += 1;
                    assert_eq!(last(&committed), round + 1);
                }
                Err(error) => assert_eq!(conflicts(error), [(guard.clone(), 1, None)]),
            }
        }
        assert_eq!(won, 1, "round {round}");
    }
    assert_eq!(read_all(&*store, &path("s", "log")).await.len(), 10);
}

/// A retry is answered as the first was, though its conditions hold no more.
pub async fn a_retry_is_answered_though_its_conditions_hold_no_more(f: Fixture) {
    let store = f.store().await;
    for first in [SegmentAppend::NEXT, Sequence(1)] {
        let segment = format!("a-{first}");
        let transaction = to(&segment, first).under(vec![is_absent(&segment), head("g", 0)]);
        let stored = store.append(transaction.clone()).await.unwrap();
        assert_eq!(last(&stored), 1);
        append(&*store, &path("s", &segment), 2, &["later"]).await.unwrap();
        let again = repeated(&stored);
        assert_eq!(store.append(transaction.clone()).await.unwrap(), again);
        let (a, b) = tokio::join!(store.append(transaction.clone()), store.append(transaction));
        assert_eq!((a.unwrap(), b.unwrap()), (again.clone(), again));
        assert_eq!(read_all(&*store, &path("s", &segment)).await.len(), 2);
    }
}

/// Of one id sent several times at once, one is stored, and the others are told so.
pub async fn an_id_that_is_sent_twice_at_once_is_stored_once(f: Fixture) {
    let store = f.store().await;
    for round in 1..=40 {
        let first = if round % 2 == 0 {
            Sequence(round)
        } else {
            SegmentAppend::NEXT
        };
        let transaction = to("a", first);
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (store, transaction) = (store.clone(), transaction.clone());
                tokio::spawn(async move { store.append(transaction).await })
            })
            .collect();
        let mut new = 0;
        for task in tasks {
            let committed = task.await.unwrap().unwrap();
            assert_eq!(last(&committed), round);
            new += usize::from(!committed.was_there);
        }
        assert_eq!(new, 1, "round {round}");
    }
}

/// An id that is stored with other records is refused.
pub async fn an_id_that_is_stored_with_other_records_is_refused(f: Fixture) {
    let store = f.store().await;
    let other_records = |error| match error {
        AppendError::Rejected(Rejection::OtherRecords { number }) => number,
        other => panic!("expected other records, got {other}"),
    };
    let id = Uuid::from_u128(7);
    let stored = store.append(Transaction { id, ..next("a") }).await.unwrap();
    let number = stored.trx.number;
    let mut longer = Transaction { id, ..next("a") };
    longer.segments[0].records = records(["x", "y"]);
    let mut more = Transaction { id, ..next("a") };
    more.segments.extend(next("b").segments);
    let mut other = Transaction { id, ..next("a") };
    other.segments[0].records = records(["y"]);
    let elsewhere = Transaction { id, ..next("b") };
    let at_once = Transaction {
        id,
        ..to("a", Sequence(2))
    };
    for other in [longer, more, other, elsewhere] {
        assert_eq!(other_records(store.append(other).await.unwrap_err()), number);
    }
    let mut placed = Transaction {
        id,
        ..to("a", Sequence(1))
    };
    assert_eq!(store.append(placed.clone()).await.unwrap(), repeated(&stored));
    placed.segments[0].records = records(["z"]);
    assert_eq!(other_records(store.append(placed).await.unwrap_err()), number);
    let refused = at_once.under(vec![exists("never")]);
    assert_eq!(other_records(store.append(refused).await.unwrap_err()), number);
    assert_eq!(read_all(&*store, &path("s", "a")).await.len(), 1);
    assert!(read_all(&*store, &path("s", "b")).await.is_empty());
}

/// Too many conditions are refused.
pub async fn too_many_conditions_are_refused(f: Fixture) {
    let store = f.store().await;
    let most = limits::TRANSACTION_CONDITIONS_MAX;
    let all = vec![is_absent("b"); most];
    store.append(next("a").under(all.clone())).await.unwrap();
    let more = next("a").under([all, vec![is_absent("b")]].concat());
    match store.append(more).await {
        Err(AppendError::Rejected(Rejection::Invalid(why))) => {
            assert_eq!(why, InvalidTransaction::TooManyConditions(most + 1));
        }
        other => panic!("{other:?}"),
    }
}
