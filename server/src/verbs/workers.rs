//! Workers: who is there in a store, told anew at each change; and to be there oneself, for as long as one is heard of.

use std::convert::Infallible;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use streamkit_engine::{StoreId, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::boundary::{Answers, Batch as _, Records};
use super::failure::Failure;
use super::follow::{beat, beats};
use super::outgoing::Outgoing;
use super::verb::{Watch, Worker};
use crate::live::{Live, StoreWorkers};

/// How long a worker is there of which nothing is heard, at least.
const TTL_MIN: Duration = Duration::from_secs(30);

/// The same of one that has beats: so many of them.
const TTL_BEATS: u32 = 3;

pub(super) async fn run<R: Records, A: Answers>(
    watched: Watch,
    store: StoreId,
    live: &Live,
    records: &mut R,
    out: &Outgoing<A>,
) -> Result<Infallible, R::Error> {
    let workers = live.workers().of(store);
    let mut changes = workers.changes();
    match watched.worker {
        None => {
            let ended = records.ended();
            tokio::select! {
                biased;
                told = tell_all(&workers, &mut changes, out) => Ok(told?),
                ended = ended => Err(ended),
            }
        }
        Some(worker) => present(worker, &workers, changes, records, out).await,
    }
}

/// Tells who is there, now and at each change.
async fn tell_all<A: Answers>(
    workers: &StoreWorkers,
    changes: &mut watch::Receiver<u64>,
    out: &Outgoing<A>,
) -> Result<Infallible, Failure> {
    loop {
        changes.borrow_and_update();
        tell(workers, out).await?;
        // It lives as long as those who look.
        let _ = changes.changed().await;
    }
}

async fn tell<A: Answers>(workers: &StoreWorkers, out: &Outgoing<A>) -> Result<(), Failure> {
    let mut batch = out.batch();
    batch.inventory(&workers.inventory(), now());
    out.answer(batch).await
}

async fn present<R: Records, A: Answers>(
    worker: Worker,
    workers: &std::sync::Arc<StoreWorkers>,
    mut changes: watch::Receiver<u64>,
    records: &mut R,
    out: &Outgoing<A>,
) -> Result<Infallible, R::Error> {
    let Worker {
        id,
        metadata,
        heartbeat,
    } = worker;
    let ttl = TTL_MIN.max(heartbeat.period * TTL_BEATS);
    let place = workers.join(id, metadata, now()).map_err(Failure::Presence)?;
    let mut gone_at = Instant::now() + ttl;
    let mut beats = heartbeat.is_asked_for.then(|| beats(heartbeat.period));
    loop {
        tokio::select! {
            biased;
            () = place.replaced() => return Err(Failure::Replaced.into()),
            said = records.sign_of_life() => {
                let said = said?;
                if said.worker != id && said.worker != Uuid::nil() {
                    return Err(Failure::AnotherWorker.into());
                }
                gone_at = Instant::now() + ttl;
                place.seen(said.at.filter(|at| at.0 > 0).unwrap_or_else(now));
            }
            () = tokio::time::sleep_until(gone_at) => return Err(Failure::NotHeardOf(ttl).into()),
            // It lives as long as this place in it.
            _ = changes.changed() => {
                changes.borrow_and_update();
                tell(workers, out).await?;
            }
            () = beat(&mut beats) => {
                let mut batch = out.batch();
                batch.sign_of_life(id, now());
                out.answer(batch).await?;
            }
        }
    }
}

/// The time of day, as peers tell it each other.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
