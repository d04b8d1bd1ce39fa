//! Workers: who is there in a store, told anew at each change; and to be there oneself, for as long as one is heard of.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use streamkit_engine::{StoreId, Timestamp};
use tokio::sync::watch;
use uuid::Uuid;

use super::boundary::{Answers, Batch as _, Records};
use super::failure::Failure;
use super::outgoing::Outgoing;
use super::subscribe::{beat, beats};
use super::verb::{Watch, Worker};
use crate::live::{Live, StoreWorkers};
use crate::stood;

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
    workers: &Arc<StoreWorkers>,
    changes: &mut watch::Receiver<u64>,
    out: &Outgoing<A>,
) -> Result<Infallible, Failure> {
    workers.known().await;
    loop {
        changes.borrow_and_update();
        tell(workers, out).await?;
        // It lives as long as those who look.
        let _ = changes.changed().await;
    }
}

/// A large list is made as those of segments are: in turn, so that those who take nothing hold nothing, and off the threads that serve.
async fn tell<A: Answers>(workers: &Arc<StoreWorkers>, out: &Outgoing<A>) -> Result<(), Failure> {
    let mut batch = out.batch();
    if workers.are_few() {
        batch.inventory(&workers.inventory(), now());
        return out.answer(batch).await;
    }
    let mut turn = out.turn().await?;
    let workers = workers.clone();
    let encoded = async move {
        batch.inventory(&workers.inventory(), now());
        batch
    };
    let batch = out.heavy().await?.run(encoded).await?;
    out.send(batch, &mut turn, 0).await
}

/// How long a worker with such beats is there of which nothing is heard.
fn ttl(period: Duration) -> Duration {
    TTL_MIN.max(period * TTL_BEATS)
}

async fn present<R: Records, A: Answers>(
    worker: Worker,
    workers: &Arc<StoreWorkers>,
    mut changes: watch::Receiver<u64>,
    records: &mut R,
    out: &Outgoing<A>,
) -> Result<Infallible, R::Error> {
    let Worker {
        id,
        metadata,
        heartbeat,
    } = worker;
    let ttl = ttl(heartbeat.period);
    let place = workers.join(id, metadata, now()).map_err(Failure::Presence)?;
    // What it said while this process stood is in its socket still.
    let mut gone = Box::pin(stood::sleep(ttl));
    let mut beats = heartbeat.is_asked_for.then(|| beats(heartbeat.period));
    let hears = async {
        loop {
            tokio::select! {
                biased;
                () = place.replaced() => return Err(Failure::Replaced.into()),
                said = records.sign_of_life() => {
                    let said = said?;
                    if said.worker != id && said.worker != Uuid::nil() {
                        return Err(Failure::AnotherWorker.into());
                    }
                    gone.set(stood::sleep(ttl));
                    place.seen(said.at.filter(|at| at.0 > 0).unwrap_or_else(now));
                }
                () = &mut gone => return Err(Failure::NotHeardOf(ttl).into()),
            }
        }
    };
    // Beside: a worker that takes nothing of what it is told is there all the same, or is not.
    let tells = async {
        loop {
            tokio::select! {
                biased;
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
    };
    tokio::select! {
        biased;
        heard = hears => heard,
        told = tells => told,
    }
}

/// The time of day, as peers tell it each other.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_there_for_three_beats_and_half_a_minute_at_least() {
        for (beats, expected) in [(1, 30), (10, 30), (30, 90), (300, 900)] {
            assert_eq!(ttl(Duration::from_secs(beats)), Duration::from_secs(expected));
        }
    }
}
