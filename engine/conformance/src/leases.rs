//! The promises of a lease.

use std::collections::BTreeSet;
use std::time::Duration;

use streamkit_engine::*;

use crate::Fixture;
use crate::calls::{append, path, records, repeated};

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(1);

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

async fn acquire(store: &dyn Store, holder: &str, ttl: Duration) -> Option<Lease> {
    store.acquire_lease(&name("k"), &name(holder), ttl).await.unwrap()
}

/// Asks until it is granted: no lease lasts for ever.
async fn acquire_at_last(store: &dyn Store, holder: &str, ttl: Duration) -> Lease {
    loop {
        if let Some(lease) = acquire(store, holder, ttl).await {
            return lease;
        }
        tokio::time::sleep(SHORT).await;
    }
}

fn under(lease: &Lease, first: u64) -> Transaction {
    let fence = Fence {
        key: lease.key.clone(),
        token: lease.token,
    };
    Transaction::single(path("s", "a"), Sequence(first), records(["r"])).fenced(fence)
}

/// A lease is one holder's until it is released or runs out.
pub async fn a_lease_is_one_holders_until_it_is_released_or_runs_out(f: Fixture) {
    let store = f.store().await;
    let (key, a, b) = (name("k"), name("a"), name("b"));
    assert_eq!(store.lease(&key).await.unwrap(), None);
    let lease = acquire(&*store, "a", LONG).await.expect("nobody holds it");
    assert_eq!((&lease.key, &lease.holder, lease.ttl), (&key, &a, LONG));
    assert_eq!(store.lease(&key).await.unwrap().as_ref(), Some(&lease));
    assert_eq!(acquire(&*store, "b", LONG).await, None);
    assert_eq!(store.renew_lease(&key, &b, LONG).await.unwrap(), None);
    assert_eq!(store.release_lease(&key, &b).await.unwrap(), None);
    assert_eq!(store.renew_lease(&key, &a, LONG).await.unwrap().as_ref(), Some(&lease));
    assert!(store.acquire_lease(&name("other"), &b, LONG).await.unwrap().is_some());
    assert_eq!(store.release_lease(&key, &a).await.unwrap(), Some(lease));
    assert_eq!(store.release_lease(&key, &a).await.unwrap(), None);
    assert_eq!(
        store.renew_lease(&key, &a, LONG).await.unwrap(),
        None,
        "renewing is not asking for it"
    );
    acquire(&*store, "b", SHORT).await.expect("it was released");
    acquire_at_last(&*store, "a", SHORT).await;
}

/// A token grows with each grant and stays with each renewal.
pub async fn a_token_grows_with_each_grant_and_stays_with_each_renewal(f: Fixture) {
    let store = f.store().await;
    let (key, a) = (name("k"), name("a"));
    let first = acquire(&*store, "a", LONG).await.unwrap();
    assert_eq!(acquire(&*store, "a", LONG).await.unwrap().token, first.token);
    let renewed = store.renew_lease(&key, &a, SHORT).await.unwrap().unwrap();
    assert_eq!((renewed.token, renewed.ttl), (first.token, SHORT));
    let second = acquire_at_last(&*store, "b", LONG).await;
    assert!(second.token > first.token);
    store.release_lease(&key, &name("b")).await.unwrap();
    let third = acquire(&*store, "b", LONG).await.unwrap();
    assert!(third.token > second.token);
    let other = store.acquire_lease(&name("other"), &a, LONG).await.unwrap().unwrap();
    assert!(other.token > third.token, "of all leases of a store");
}

/// What is appended under a lease of before is refused, and its retry answered as the first time.
pub async fn what_is_appended_under_a_lease_of_before_is_refused_and_its_retry_answered(f: Fixture) {
    let store = f.store().await;
    let before = acquire(&*store, "a", SHORT).await.unwrap();
    let first = under(&before, 1);
    let committed = store.append(first.clone()).await.unwrap();
    let late = under(&before, 2);
    let now = acquire_at_last(&*store, "b", LONG).await;
    match store.append(late.clone()).await {
        Err(AppendError::Rejected(Rejection::FencedOff(fence))) => assert_eq!(fence.token, before.token),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.append(first).await.unwrap(), repeated(&committed), "it is stored");
    store.append(under(&now, 2)).await.unwrap();
    store.release_lease(&name("k"), &name("b")).await.unwrap();
    for fenced in [late, under(&now, 3)] {
        let refused = store.append(fenced).await;
        assert!(
            matches!(refused, Err(AppendError::Rejected(Rejection::FencedOff(_)))),
            "{refused:?}"
        );
    }
    append(&*store, &path("s", "a"), 3, &["without a fence"]).await.unwrap();
}

/// Of many who ask at once, one is granted the lease.
pub async fn of_many_who_ask_at_once_one_is_granted_the_lease(f: Fixture) {
    let store = f.store().await;
    let mut tokens = BTreeSet::new();
    for round in 0..5 {
        let mut asking = tokio::task::JoinSet::new();
        for holder in 0..16 {
            let store = store.clone();
            asking.spawn(async move { acquire(&*store, &format!("{round} {holder}"), LONG).await });
        }
        let granted: Vec<Lease> = asking.join_all().await.into_iter().flatten().collect();
        let [lease] = &granted[..] else { panic!("{granted:?}") };
        assert!(tokens.last().is_none_or(|last| *last < lease.token));
        tokens.insert(lease.token);
        store.release_lease(&lease.key, &lease.holder).await.unwrap();
    }
}

/// A lease that cannot be is refused.
pub async fn a_lease_that_cannot_be_is_refused(f: Fixture) {
    let store = f.store().await;
    for ttl in [
        Duration::ZERO,
        Duration::from_nanos(1),
        limits::LEASE_TTL_MAX + SHORT,
        Duration::MAX,
    ] {
        for refused in [
            store.acquire_lease(&name("k"), &name("a"), ttl).await,
            store.renew_lease(&name("k"), &name("a"), ttl).await,
        ] {
            assert!(
                matches!(refused, Err(AppendError::Rejected(Rejection::InvalidLease(_)))),
                "{ttl:?}: {refused:?}"
            );
        }
    }
    assert!(acquire(&*store, "a", limits::LEASE_TTL_MAX).await.is_some());
}
