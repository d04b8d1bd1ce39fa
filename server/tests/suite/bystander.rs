//! An ordinary client beside hostile peers: it appends and reads over a connection of its own as if nobody else were there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use streamkit_client::*;
use uuid::Uuid;

use crate::peer::{Host, PATIENCE, token};

const OWN: Uuid = Uuid::from_u128(0xb157_a2de);

/// What it does at least.
const ROUNDS: u64 = 20;

/// Hostile peers do their worst; meanwhile an ordinary client appends and reads: no call of it fails or takes too long, its
/// connection stays the first one, and afterwards all that it appended is there, and nothing else.
pub async fn unharmed<T>(host: &Host, attack: impl Future<Output = T>) -> T {
    let reconnected = Arc::new(AtomicU64::new(0));
    let counting = reconnected.clone();
    let client = Client::builder(&host.url)
        .token(token(&["streamkit::*"]))
        .retry(RetryPolicy::NEVER)
        .timeout(Duration::from_secs(15))
        .on_reconnected(move |_| {
            counting.fetch_add(1, Ordering::Relaxed);
        })
        .build();
    client.connect().await.unwrap();
    let store = client.store(OWN);
    let over = AtomicBool::new(false);
    let ordinary = async {
        let mut rounds = 0;
        while !over.load(Ordering::Relaxed) || rounds < ROUNDS {
            rounds += 1;
            let record = NewRecord::new(rounds.to_string());
            let status = store
                .produce_all("own", "log", rounds, [record])
                .await
                .expect("it appends");
            assert_eq!(status.last_sequence, rounds);
            let last = store.peek("own", "log").await.expect("it peeks").expect("an entry");
            assert_eq!((last.sequence, &*last.payload), (rounds, rounds.to_string().as_bytes()));
            let tail = store.consume_segment(ConsumeSegment::all("own", "log").from(rounds.saturating_sub(5).max(1)));
            let tail: Vec<Entry> = tail.try_collect().await.expect("it reads");
            assert!(tail.last().is_some_and(|entry| entry.sequence == rounds));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        rounds
    };
    let attack = async {
        let done = tokio::time::timeout(2 * PATIENCE, attack).await;
        over.store(true, Ordering::Relaxed);
        done.expect("the hostile peers are not over")
    };
    let (rounds, done) = futures_util::future::join(ordinary, attack).await;
    let all = store.consume_segment(ConsumeSegment::all("own", "log"));
    let all: Vec<Entry> = all.try_collect().await.unwrap();
    let expected = (1..=rounds).map(|round| (round, round.to_string().into_bytes()));
    assert!(
        all.into_iter()
            .map(|entry| (entry.sequence, entry.payload.to_vec()))
            .eq(expected)
    );
    assert_eq!(reconnected.load(Ordering::Relaxed), 0, "its connection was lost");
    client.close().await;
    done
}
