//! Subscriptions of the client: what they tell, over which connections, and how their handlers are called.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{FutureExt as _, StreamExt as _};
use streamkit_client::*;
use tokio::sync::{Notify, mpsc};

use super::relay::Relay;
use crate::fixture::{Host, PATIENCE, Via, over_both, token};

pub async fn publish(store: &StoreClient, segment: &str) {
    store.publish("s", segment, NewRecord::new("x")).await.unwrap();
}

async fn told(subscription: &mut Subscription) -> SegmentStatus {
    let told = tokio::time::timeout(PATIENCE, subscription.next()).await.unwrap();
    told.unwrap().unwrap()
}

/// Until it tells that this is the last sequence.
pub async fn until(subscription: &mut Subscription, segment: &str, last: u64) {
    loop {
        let status = told(subscription).await;
        assert_eq!(status.space, "s");
        if status.segment == segment {
            assert!(status.last_sequence <= last);
            if status.last_sequence == last {
                return;
            }
        }
    }
}

async fn it_tells_what_is_there_then_what_changes(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    publish(&store, "a").await;
    publish(&store, "b").await;
    let mut of_space = store.subscribe_space("s");
    let mut of_segment = store.subscribe_segment("s", "b");
    let mut of_none = store.subscribe_segment("s", "c");
    assert!(matches!(of_space.state().phase, LivePhase::Begins));
    let first = [told(&mut of_space).await, told(&mut of_space).await];
    assert_eq!(
        first.map(|status| (status.segment, status.last_sequence)),
        [("a".to_owned(), 1), ("b".to_owned(), 1)]
    );
    assert_eq!(told(&mut of_segment).await.last_sequence, 1);
    assert!(matches!(of_space.state().phase, LivePhase::Live));
    for last in 2..=5 {
        publish(&store, "b").await;
        until(&mut of_space, "b", last).await;
        until(&mut of_segment, "b", last).await;
    }
    assert!(told(&mut of_none).now_or_never().is_none());
    publish(&store, "c").await;
    until(&mut of_none, "c", 1).await;
    until(&mut of_space, "c", 1).await;
    host.stop().await;
}

async fn it_is_made_anew_after_a_cut_and_a_restart_and_nothing_newer_is_missed(via: Via) {
    let host = Host::via(via).await;
    let relay = Relay::start(&host).await;
    let events = Arc::new(Mutex::new(Vec::new()));
    let telling = events.clone();
    let client = relay.client.clone().token(token(&["streamkit::*"]));
    let client = client.retry(RetryPolicy::AGGRESSIVE).on_live(move |event| {
        telling.lock().unwrap().push(event.clone());
    });
    let store = client.build().store(host.store);
    let others = host.client().build().store(host.store);
    publish(&others, "a").await;
    let (mut of_space, mut of_segment) = (store.subscribe_space("s"), store.subscribe_segment("s", "a"));
    until(&mut of_space, "a", 1).await;
    until(&mut of_segment, "a", 1).await;
    relay.cut();
    publish(&others, "a").await;
    publish(&others, "new").await;
    until(&mut of_space, "new", 1).await;
    until(&mut of_segment, "a", 2).await;
    assert_eq!(of_space.state().connections, 2);
    let host = host.restart().await;
    let others = host.client().build().store(host.store);
    publish(&others, "a").await;
    until(&mut of_space, "a", 3).await;
    until(&mut of_segment, "a", 3).await;
    assert_eq!(of_space.state().connections, 3);
    let told = events.lock().unwrap().clone();
    let is_live = |event: &&LiveEvent| matches!(event, LiveEvent::SubscriptionLive { segment: None, .. });
    let is_broken = |event: &&LiveEvent| matches!(event, LiveEvent::SubscriptionBroken { segment: None, .. });
    let (live, broken) = (
        told.iter().filter(is_live).count(),
        told.iter().filter(is_broken).count(),
    );
    assert_eq!((live, broken), (3, 2));
    host.stop().await;
}

/// The link is dead, and nothing says so.
async fn a_server_that_is_not_heard_of_any_more_is_left_for_another_connection(via: Via) {
    let host = Host::via(via).await;
    let relay = Relay::start(&host).await;
    let store = relay
        .client
        .clone()
        .token(token(&["streamkit::*"]))
        .build()
        .store(host.store);
    let others = host.client().build().store(host.store);
    publish(&others, "a").await;
    let mut subscription = store.subscribe(Subscribe {
        heartbeat: Duration::from_secs(1),
        ..Subscribe::segment("s", "a")
    });
    until(&mut subscription, "a", 1).await;
    relay.stall();
    publish(&others, "a").await;
    until(&mut subscription, "a", 2).await;
    assert_eq!(subscription.state().connections, 2);
    host.stop().await;
}

async fn whoever_is_slow_is_told_the_newest_status_of_each_segment_alone(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    publish(&store, "a").await;
    let mut subscription = store.subscribe_space("s");
    until(&mut subscription, "a", 1).await;
    for _ in 2..=200 {
        publish(&store, "a").await;
        publish(&store, "b").await;
    }
    let (mut last, mut count) = (BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 0)]), 0);
    while last["a"] < 200 || last["b"] < 199 {
        let status = told(&mut subscription).await;
        let before = last.insert(status.segment, status.last_sequence);
        assert!(before <= Some(status.last_sequence), "none comes behind a newer one");
        count += 1;
    }
    assert!(count < 200, "{count}");
    host.stop().await;
}

async fn what_can_never_work_ends_it_with_its_error(via: Via) {
    let host = Host::via(via).await;
    let other = format!("streamkit::{}", uuid::Uuid::from_u128(7));
    let denied = host.client().token(token(&[&other])).build().store(host.store);
    let mut subscription = denied.subscribe_space("s");
    let error = subscription.next().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::AccessDenied), "{error:?}");
    assert!(subscription.next().await.is_none());
    let failed = subscription.state().phase;
    assert!(matches!(failed, LivePhase::Failed(Error::AccessDenied)), "{failed:?}");
    let store = host.client().build().store(host.store);
    for (space, segment) in [("", "a"), ("s", ""), ("s", "*")] {
        let error = store.subscribe_segment(space, segment).next().await.unwrap();
        assert!(matches!(error, Err(Error::Invalid(_))), "{error:?}");
    }
    let (sender, mut failed) = mpsc::unbounded_channel();
    let handlers = denied.subscribe_space("s").handlers();
    let running = handlers
        .on_failed(move |error| sender.send(error).unwrap())
        .run(|_| std::future::ready(()));
    let error = running.ended().await.unwrap_err();
    assert!(matches!(error, Error::AccessDenied));
    assert!(matches!(failed.recv().await, Some(Error::AccessDenied)));
    host.stop().await;
}

async fn of_one_segment_one_handler_runs_at_a_time_and_all_are_told_the_newest(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    let at_work: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let (most, worst) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (sender, mut handled) = mpsc::unbounded_channel();
    let (most_now, two) = (most.clone(), worst.clone());
    let running = store.subscribe_space("s").handlers().at_once(3).run(move |status| {
        let (at_work, sender) = (at_work.clone(), sender.clone());
        let (most, two) = (most_now.clone(), two.clone());
        async move {
            {
                let mut at_work = at_work.lock().unwrap();
                *at_work.entry(status.segment.clone()).or_default() += 1;
                two.fetch_or(at_work[&status.segment] > 1, Ordering::Relaxed);
                most.fetch_max(at_work.values().map(|&n| u64::from(n)).sum(), Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            *at_work.lock().unwrap().get_mut(&status.segment).unwrap() -= 1;
            sender.send((status.segment, status.last_sequence)).unwrap();
        }
    });
    for _ in 0..50 {
        join_all(["a", "b", "c", "d", "e"].map(|segment| publish(&store, segment))).await;
    }
    let mut last = BTreeMap::new();
    while last.len() < 5 || last.values().any(|&last| last < 50) {
        let (segment, sequence) = tokio::time::timeout(PATIENCE, handled.recv()).await.unwrap().unwrap();
        let before = last.insert(segment.clone(), sequence);
        assert!(
            before <= Some(sequence),
            "{segment} was told {before:?}, then {sequence}"
        );
    }
    assert!(!worst.load(Ordering::Relaxed), "two of one segment at a time");
    assert!((2..=3).contains(&most.load(Ordering::Relaxed)), "{most:?}");
    running.unsubscribe();
    running.ended().await.unwrap();
    assert!(matches!(running.state().phase, LivePhase::Ended));
    host.stop().await;
}

async fn a_handler_that_panics_or_never_ends_is_counted_and_the_others_go_on(via: Via) {
    let host = Host::via(via).await;
    let (sender, mut events) = mpsc::unbounded_channel();
    let client = host
        .client()
        .on_live(move |event| _ = sender.send(event.clone()))
        .build();
    let store = client.store(host.store);
    let (told, mut handled) = mpsc::unbounded_channel();
    let handlers = store
        .subscribe_space("s")
        .handlers()
        .timeout(Duration::from_millis(300));
    let running = handlers.run(move |status| {
        let told = told.clone();
        async move {
            match (status.segment.as_str(), status.last_sequence) {
                ("panics", 1) => panic!("at {}", status.last_sequence),
                ("hangs", 1) => std::future::pending().await,
                _ => told.send((status.segment, status.last_sequence)).unwrap(),
            }
        }
    });
    for segment in ["panics", "hangs", "a"] {
        publish(&store, segment).await;
    }
    let mut happened = Vec::new();
    while happened.len() < 2 {
        match tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
            LiveEvent::HandlerPanicked { segment, why, .. } => happened.push(format!("{segment}: {why}")),
            LiveEvent::HandlerTimedOut { segment, .. } => happened.push(segment),
            _ => {}
        }
    }
    happened.sort_unstable();
    assert_eq!(happened, ["hangs", "panics: at 1"]);
    for segment in ["panics", "hangs"] {
        publish(&store, segment).await;
    }
    let mut came = Vec::new();
    while came.len() < 3 {
        came.push(tokio::time::timeout(PATIENCE, handled.recv()).await.unwrap().unwrap());
    }
    came.sort_unstable();
    let expected = [("a", 1), ("hangs", 2), ("panics", 2)];
    assert_eq!(came, expected.map(|(segment, last)| (segment.to_owned(), last)));
    let state = running.state();
    assert_eq!((state.panicked, state.timed_out), (1, 1));
    drop(running);
    host.stop().await;
}

/// A handler may do something that has to come to its end.
async fn a_client_that_closes_waits_for_handlers_under_way(via: Via) {
    let host = Host::via(via).await;
    let client = host.client().build();
    let store = client.store(host.store);
    publish(&store, "a").await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (may_end, is_done) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let (waits, done) = (may_end.clone(), is_done.clone());
    let running = store.subscribe_space("s").run(move |_| {
        let (begun, waits, done) = (begun.clone(), waits.clone(), done.clone());
        async move {
            begun.send(()).unwrap();
            waits.notified().await;
            done.store(true, Ordering::Relaxed);
        }
    });
    begins.recv().await.unwrap();
    let mut closes = Box::pin(client.close());
    assert!(closes.as_mut().now_or_never().is_none());
    may_end.notify_one();
    closes.await;
    assert!(is_done.load(Ordering::Relaxed));
    running.ended().await.unwrap();
    host.stop().await;
}

over_both! {
    it_tells_what_is_there_then_what_changes
    it_is_made_anew_after_a_cut_and_a_restart_and_nothing_newer_is_missed
    a_server_that_is_not_heard_of_any_more_is_left_for_another_connection
    whoever_is_slow_is_told_the_newest_status_of_each_segment_alone
    what_can_never_work_ends_it_with_its_error
    of_one_segment_one_handler_runs_at_a_time_and_all_are_told_the_newest
    a_handler_that_panics_or_never_ends_is_counted_and_the_others_go_on
    a_client_that_closes_waits_for_handlers_under_way
}
