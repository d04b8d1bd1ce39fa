//! Leases of the client: who works under one, until when, and what becomes of it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use streamkit_client::record::{FencingToken, Name, Record, SegmentPath};
use streamkit_client::*;
use tokio::sync::Notify;

use super::relay::Relay;
use crate::fixture::{Host, PATIENCE, Via, over_both, token};

/// One that nobody loses by a slow machine.
fn long() -> NewLease {
    NewLease::new("k").ttl(PATIENCE)
}

/// One that is soon lost. It is renewed every third of a second.
fn short() -> NewLease {
    NewLease::new("k").ttl(Duration::from_secs(1)).wait(PATIENCE)
}

fn lease(change: LeaseChange, holder: &str) -> Lease {
    Lease {
        change,
        key: Name::new("k").unwrap(),
        holder: Name::new(holder).unwrap(),
        ttl: PATIENCE,
    }
}

/// Sets a flag when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A client whose connections a relay carries.
fn through(relay: &Relay) -> StoreClient {
    let client = relay.client.clone().token(token(&["streamkit::*"]));
    client.retry(RetryPolicy::AGGRESSIVE).build().store(relay.store)
}

/// Waits until work has begun, and says under which token.
#[derive(Clone, Default)]
struct Begun(Arc<(Notify, Mutex<Option<FencingToken>>)>);

impl Begun {
    fn tell(&self, held: &Held) {
        *self.0.1.lock().unwrap() = held.token();
        self.0.0.notify_one();
    }

    async fn wait(&self) -> FencingToken {
        tokio::time::timeout(PATIENCE, self.0.0.notified()).await.unwrap();
        self.0.1.lock().unwrap().unwrap()
    }
}

/// Work that goes on until it is dropped, and then sets a flag.
fn endless(
    store: &StoreClient,
    lease: NewLease,
) -> (Begun, Arc<AtomicBool>, tokio::task::JoinHandle<Result<(), LeaseError>>) {
    let (begun, dropped) = (Begun::default(), Arc::new(AtomicBool::new(false)));
    let (store, begins, drops) = (store.clone(), begun.clone(), Dropped(dropped.clone()));
    let working = tokio::spawn(async move {
        let work = async |held: Held| {
            let _drops = drops;
            begins.tell(&held);
            std::future::pending::<()>().await;
        };
        store.with_lease(lease, work).await
    });
    (begun, dropped, working)
}

async fn lost(working: tokio::task::JoinHandle<Result<(), LeaseError>>) -> LeaseLost {
    match tokio::time::timeout(PATIENCE, working).await.unwrap().unwrap() {
        Err(LeaseError::Lost { key, why }) => {
            assert_eq!(key, "k");
            why
        }
        other => panic!("{other:?}"),
    }
}

async fn each_change_is_made_by_the_holder_alone(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    let token = async |change, holder| store.lease(lease(change, holder)).await.unwrap().token;
    let first = token(LeaseChange::Acquire, "me").await.unwrap();
    assert_eq!(token(LeaseChange::Acquire, "you").await, None);
    assert_eq!(token(LeaseChange::Renew, "you").await, None);
    assert_eq!(token(LeaseChange::Release, "you").await, None);
    assert_eq!(token(LeaseChange::Acquire, "me").await, Some(first));
    assert_eq!(token(LeaseChange::Renew, "me").await, Some(first));
    assert_eq!(token(LeaseChange::Release, "me").await, Some(first));
    assert_eq!(token(LeaseChange::Renew, "me").await, None);
    assert!(token(LeaseChange::Acquire, "you").await.unwrap() > first);
    let too_long = Lease {
        ttl: Duration::from_secs(86_401),
        ..lease(LeaseChange::Acquire, "me")
    };
    let refused = store.lease(too_long).await;
    assert!(
        matches!(refused, Err(Error::Refused(_) | Error::Invalid(_))),
        "{refused:?}"
    );
    for odd in [
        long().ttl(Duration::ZERO),
        long().ttl(Duration::MAX),
        NewLease::new(""),
        NewLease::new("a\0b"),
    ] {
        let refused = store.hold_lease(odd).await;
        assert!(
            matches!(refused, Err(LeaseError::NotAsked(Error::Invalid(_)))),
            "{refused:?}"
        );
    }
    host.stop().await;
}

async fn work_is_done_under_a_lease_that_is_given_back_whatever_it_comes_to(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    let others = host.client().build().store(host.store);
    let mut tokens = Vec::new();
    for outcome in [Ok(7), Err("failed")] {
        let work = async |held: Held| {
            assert!(held.is_held() && held.lost().now_or_never().is_none());
            assert_eq!(held.key(), "k");
            let refused = others.hold_lease(long()).await;
            assert!(
                matches!(&refused, Err(LeaseError::HeldByAnother { key }) if key == "k"),
                "{refused:?}"
            );
            let refused = others.hold_lease(long().wait(Duration::from_millis(1))).await;
            assert!(matches!(&refused, Err(LeaseError::WaitedInVain { .. })), "{refused:?}");
            tokens.push(held.token().unwrap());
            (held, outcome)
        };
        let (held, came) = store.with_lease(long(), work).await.unwrap();
        assert_eq!(came, outcome);
        assert!(!held.is_held());
        assert!(matches!(held.lost().await, LeaseLost::GivenBack));
        // It is free at once: nobody waits for it here.
        let next = others.hold_lease(long()).await.unwrap();
        tokens.push(next.token().unwrap());
        next.release().await.unwrap();
    }
    let panics = store.clone();
    let panicked = tokio::spawn(async move { panics.with_lease(long(), async |_| panic!("on purpose")).await });
    assert!(panicked.await.unwrap_err().is_panic());
    others.hold_lease(long().wait(PATIENCE)).await.unwrap();
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
    host.stop().await;
}

async fn whoever_waits_is_next(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    let others = host.client().build().store(host.store);
    let (begun, dropped, working) = endless(&store, long());
    let first = begun.wait().await;
    let waiting = tokio::spawn(async move { others.hold_lease(long().wait(PATIENCE)).await });
    working.abort();
    let next = waiting.await.unwrap().unwrap();
    assert!(dropped.load(Ordering::SeqCst));
    assert!(next.token().unwrap() > first);
    host.stop().await;
}

async fn it_is_kept_through_cuts_and_a_restart_for_longer_than_it_lasts(via: Via) {
    let host = Host::via(via).await;
    let relay = Relay::start(&host).await;
    let store = through(&relay);
    let lease = NewLease::new("k").ttl(Duration::from_secs(8));
    let work = async |held: Held| {
        let mut host = host;
        for round in 0..12 {
            tokio::time::sleep(Duration::from_millis(800)).await;
            match round {
                5 => host = host.restart().await,
                _ => relay.cut(),
            }
        }
        assert!(held.is_held());
        let others = host.client().build().store(host.store);
        assert!(matches!(
            others.hold_lease(long()).await,
            Err(LeaseError::HeldByAnother { .. })
        ));
        host
    };
    let host = store.with_lease(lease, work).await.unwrap();
    host.stop().await;
}

async fn a_pause_of_the_connection_drops_the_work_before_another_works(via: Via) {
    let host = Host::via(via).await;
    let relay = Relay::start(&host).await;
    let store = through(&relay);
    let others = host.client().build().store(host.store);
    let (begun, dropped, working) = endless(&store, short());
    let first = begun.wait().await;
    relay.shut();
    let next = others.hold_lease(long().wait(PATIENCE)).await.unwrap();
    assert!(dropped.load(Ordering::SeqCst), "two work at the same time");
    assert!(next.token().unwrap() > first);
    relay.open();
    let why = lost(working).await;
    assert!(matches!(why, LeaseLost::NotRenewed(Some(_))), "{why:?}");
    assert!(next.is_held(), "it was given back for another");
    host.stop().await;
}

async fn a_server_that_stays_away_drops_the_work(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().retry(RetryPolicy::NEVER).build().store(host.store);
    let (begun, dropped, working) = endless(&store, short());
    begun.wait().await;
    host.stop().await;
    let why = lost(working).await;
    assert!(matches!(why, LeaseLost::NotRenewed(Some(_))), "{why:?}");
    assert!(dropped.load(Ordering::SeqCst));
}

async fn what_another_took_is_lost_and_not_given_back_for_it(via: Via) {
    let host = Host::via(via).await;
    let events = Arc::new(Mutex::new(Vec::new()));
    let telling = events.clone();
    let client = host
        .client()
        .on_live(move |event| telling.lock().unwrap().push(event.clone()));
    let store = client.build().store(host.store);
    let others = host.client().build().store(host.store);
    let wanted = short();
    let holder = wanted.holder.clone();
    let (begun, dropped, working) = endless(&store, wanted);
    let first = begun.wait().await;
    // Somebody with the right to do so ends it.
    let released = others.lease(lease(LeaseChange::Release, &holder)).await.unwrap();
    assert_eq!(released.token, Some(first));
    let next = others.hold_lease(long()).await.unwrap();
    let why = lost(working).await;
    assert!(matches!(why, LeaseLost::Gone), "{why:?}");
    assert!(dropped.load(Ordering::SeqCst));
    assert!(next.is_held());
    assert!(others.hold_lease(long()).await.is_err());
    let events = events.lock().unwrap().clone();
    assert!(
        matches!(&events[..], [
            LiveEvent::LeaseHeld { token, .. },
            LiveEvent::LeaseLost { token: lost, .. },
        ] if *token == first && *lost == first),
        "{events:?}"
    );
    host.stop().await;
}

async fn given_up_at_any_moment_it_is_given_back(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    let others = host.client().build().store(host.store);
    let begun = AtomicUsize::new(0);
    for polls in 0..24 {
        let work = async |_held: Held| {
            begun.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        };
        {
            // The one before may have been given up on its way: then it is granted behind the other's, and given back at once.
            let mut working = Box::pin(store.with_lease(long().wait(PATIENCE), work));
            for _ in 0..polls {
                let over = (&mut working).now_or_never();
                assert!(over.is_none(), "{over:?} after {polls} polls");
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_micros(100 * polls)).await;
            }
        }
        let next = others.hold_lease(long().wait(PATIENCE)).await.unwrap();
        next.release().await.unwrap();
    }
    assert!(begun.into_inner() > 0, "none came so far");
    host.stop().await;
}

async fn closing_the_client_drops_the_work_and_gives_the_lease_back(via: Via) {
    let host = Host::via(via).await;
    let client = host.client().build();
    let others = host.client().build().store(host.store);
    let (begun, dropped, working) = endless(&client.store(host.store), long());
    begun.wait().await;
    client.close().await;
    // At once, not when it has run out.
    others.hold_lease(long()).await.unwrap();
    assert!(dropped.load(Ordering::SeqCst));
    let why = lost(working).await;
    assert!(matches!(why, LeaseLost::Closed), "{why:?}");
    host.stop().await;
}

/// Workers on bad connections, all after the same lease. Each writes its token down while it works, twice with time in between; no smaller
/// token ever comes behind a larger one.
async fn two_never_work_at_the_same_time(via: Via) {
    let host = Host::via(via).await;
    let done = Arc::new(Mutex::new(Vec::new()));
    let workers = (0..4).map(|_| {
        let (host, done) = (&host, done.clone());
        async move {
            let relay = Relay::start(host).await;
            let store = through(&relay);
            for round in 0..4 {
                let work = async |held: Held| {
                    let token = held.token().unwrap();
                    for step in 0..3 {
                        done.lock().unwrap().push(token);
                        match (round % 3, step) {
                            (1, 1) => relay.cut(),
                            (2, 1) => relay.shut(),
                            _ => {}
                        }
                        let pause = if round % 3 == 2 { 600 } else { 20 };
                        tokio::time::sleep(Duration::from_millis(pause)).await;
                    }
                };
                let came = store.with_lease(short(), work).await;
                relay.open();
                match came {
                    Ok(()) | Err(LeaseError::Lost { .. }) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    });
    tokio::time::timeout(2 * PATIENCE, futures_util::future::join_all(workers))
        .await
        .unwrap();
    let done = done.lock().unwrap().clone();
    assert!(done.is_sorted(), "{done:?}");
    assert!(done.chunk_by(|a, b| a == b).count() == 16, "{done:?}");
    host.stop().await;
}

over_both! {
    each_change_is_made_by_the_holder_alone
    work_is_done_under_a_lease_that_is_given_back_whatever_it_comes_to
    whoever_waits_is_next
    it_is_kept_through_cuts_and_a_restart_for_longer_than_it_lasts
    a_pause_of_the_connection_drops_the_work_before_another_works
    a_server_that_stays_away_drops_the_work
    what_another_took_is_lost_and_not_given_back_for_it
    given_up_at_any_moment_it_is_given_back
    closing_the_client_drops_the_work_and_gives_the_lease_back
    two_never_work_at_the_same_time
}

/// Whoever works on after it lost its lease, such as in a thread of its own, is told by the store.
#[tokio::test]
async fn what_an_earlier_holder_appends_is_fenced_off() {
    let host = Host::start().await;
    let store = host.client().build().store(host.store);
    let path = SegmentPath::new("s", "a").unwrap();
    let append = || Append::behind(path.clone(), vec![Record::new("x")]);
    let first = store.hold_lease(long()).await.unwrap();
    store.append(append().fenced(first.fence().unwrap())).await.unwrap();
    let late = append().fenced(first.fence().unwrap());
    first.release().await.unwrap();
    let next = store.hold_lease(long()).await.unwrap();
    let refused = store.append(late).await;
    assert!(matches!(refused, Err(Error::FencedOff { .. })), "{refused:?}");
    store.append(append().fenced(next.fence().unwrap())).await.unwrap();
    host.stop().await;
}

#[path = "../../../../client/examples/lease_guarded_worker.rs"]
#[expect(dead_code, reason = "its `main` is for people")]
mod lease_guarded_worker;

#[tokio::test]
async fn the_example_counts_on_whoever_counts() {
    let host = Host::start().await;
    let store = || host.client().build().store(host.store);
    let (one, other) = tokio::join!(lease_guarded_worker::run(store()), lease_guarded_worker::run(store()));
    let mut counted = [one.unwrap(), other.unwrap()];
    counted.sort_unstable();
    assert_eq!(counted, [5, 10]);
    assert_eq!(store().peek("counters", "example").await.unwrap().unwrap().sequence, 10);
    host.stop().await;
}
