//! Followers of one space, while a producer commits at a steady rate: how long after a commit was acknowledged each of them has it.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use hdrhistogram::Histogram;
use streamkit_client::record::{Entry, LogCursor, Name, Record, SegmentAppend, Sequence, Wanted};
use streamkit_client::{Append, Client, Follow, Followed, Protocol};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::child;
use crate::Outcome;
use crate::figures::{self, Figures};
use crate::payload::{self, SPACE};
use crate::rows::remove;
use crate::servers::streamkit::{dial, token};
use crate::side_by_side::Plan;
use crate::side_by_side::taken::Taken;

/// Who follows, and what comes.
#[derive(Clone, Debug)]
pub struct Followers {
    /// How many follow.
    pub followers: usize,
    /// The connections that they are spread over.
    pub connections: usize,
    /// Entries a second.
    pub rate: u64,
    /// Entries of a transaction.
    pub batch: u64,
    /// Bytes of an entry.
    pub bytes: usize,
    /// How long they come.
    pub time: Duration,
}

impl fmt::Display for Followers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} followers over {} connections, {} entries/s of {} B in transactions of {}",
            self.followers, self.connections, self.rate, self.bytes, self.batch
        )
    }
}

/// Appends under way at most: enough for the rate, whatever the disk.
const IN_FLIGHT: usize = 256;

/// How long nothing may come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What producer and followers share.
struct Course {
    asked: Followers,
    started: Instant,
    /// Nanoseconds after the start at which each transaction was acknowledged; 0: not yet.
    acknowledged: Vec<AtomicU64>,
}

impl Course {
    fn transactions(&self) -> u64 {
        self.acknowledged.len() as u64
    }

    fn entries(&self) -> u64 {
        self.transactions() * self.asked.batch
    }

    fn nanoseconds(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// One round: starts a server, follows, produces, and compares all that came to each follower.
pub(super) fn round(runtime: &Runtime, plan: &Plan, asked: &Followers) -> Outcome<Figures> {
    let process = child::start(plan, "followed")?;
    let measured = runtime.block_on(follow(&process.place.address(), process.id(), asked));
    let dir = process.place.dir.clone();
    drop(process);
    remove(&dir)?;
    measured
}

async fn follow(address: &str, server: u32, asked: &Followers) -> Outcome<Figures> {
    let token = token()?;
    let transactions = (asked.rate as f64 * asked.time.as_secs_f64() / asked.batch as f64).ceil() as usize;
    let course = Arc::new(Course {
        asked: asked.clone(),
        started: Instant::now(),
        acknowledged: (0..transactions.max(1)).map(|_| AtomicU64::new(0)).collect(),
    });
    let producer = dial(address, &token, Protocol::V2).await?;
    let mut clients = Vec::new();
    for _ in 0..asked.connections {
        clients.push((dial(address, &token, Protocol::V2).await?, latencies()?));
    }
    let (ready, mut caught_up) = mpsc::unbounded_channel();
    let mut followers = JoinSet::new();
    for number in 0..asked.followers {
        let (client, latency) = &clients[number % clients.len()];
        let one = follower(
            client.clone(),
            Arc::clone(&course),
            Arc::clone(latency),
            ready.clone(),
            number == 0,
        );
        followers.spawn(one);
    }
    drop(ready);
    for _ in 0..asked.followers {
        let next = tokio::time::timeout(PATIENCE, caught_up.recv()).await?;
        next.ok_or("a follower ended before it caught up")?;
    }
    let (taken, began) = (Taken::begin(Some(server))?, Instant::now());
    let appends = produce(&producer, &course).await?;
    let produced = began.elapsed().as_secs_f64();
    while let Some(ended) = followers.join_next().await {
        ended??;
    }
    let mut latency = histogram()?;
    for (_, of_connection) in &clients {
        latency.add(&*of_connection.lock().unwrap_or_else(PoisonError::into_inner))?;
    }
    let deliveries = course.entries() as f64 * asked.followers as f64;
    if latency.len() as f64 != deliveries {
        return Err(format!("{} entries were delivered instead of {deliveries}", latency.len()).into());
    }
    let append = figures::latency(&appends, produced);
    let figures = figures::latency(&latency, began.elapsed().as_secs_f64())
        .with("entries_per_s", course.entries() as f64 / produced)
        .with("append_p50_us", append.get("p50_us"))
        .with("append_p99_us", append.get("p99_us"));
    taken.of(figures.led_by("p99_us"), deliveries)
}

type Latency = Arc<Mutex<Histogram<u64>>>;

fn histogram() -> Outcome<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1_000, 600_000_000_000, 2)?)
}

fn latencies() -> Outcome<Latency> {
    Ok(Arc::new(Mutex::new(histogram()?)))
}

/// Commits one transaction after the other, each when it is due, without waiting for the one before.
async fn produce(producer: &Client, course: &Arc<Course>) -> Outcome<Histogram<u64>> {
    let asked = &course.asked;
    let (store, path) = (producer.store(payload::store_id(0).0), payload::path(0));
    let latency = latencies()?;
    let room = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut under_way: JoinSet<Outcome> = JoinSet::new();
    let began = tokio::time::Instant::now();
    for transaction in 0..course.transactions() {
        let due = Duration::from_secs_f64((transaction * asked.batch) as f64 / asked.rate as f64);
        tokio::time::sleep_until(began + due).await;
        let permit = Arc::clone(&room).acquire_owned().await?;
        let first = transaction * asked.batch + 1;
        let records =
            (first..first + asked.batch).map(|sequence| Record::new(payload::record(0, sequence, asked.bytes)));
        let section = SegmentAppend {
            path: path.clone(),
            first_sequence: Sequence(first),
            records: records.collect(),
        };
        let (store, course, latency) = (store.clone(), Arc::clone(course), Arc::clone(&latency));
        let sent = Instant::now();
        let append = async move {
            store.append(Append::new(vec![section])).await?;
            course.acknowledged[usize::try_from(transaction)?].store(course.nanoseconds().max(1), Ordering::Release);
            let mut latency = latency.lock().unwrap_or_else(PoisonError::into_inner);
            figures::record(&mut latency, sent.elapsed());
            drop(permit);
            Ok(())
        };
        begin(append, &mut under_way).await?;
        while let Some(ended) = under_way.try_join_next() {
            ended??;
        }
    }
    while let Some(ended) = under_way.join_next().await {
        ended??;
    }
    let latency = latency.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(latency.clone())
}

/// Polls once, so that appends are sent in their order, and leaves the rest to a task.
async fn begin(append: impl Future<Output = Outcome> + Send + 'static, under_way: &mut JoinSet<Outcome>) -> Outcome {
    let mut append = Box::pin(append);
    let polled = std::future::poll_fn(|context| Poll::Ready(append.as_mut().poll(context))).await;
    match polled {
        Poll::Ready(done) => done,
        Poll::Pending => {
            under_way.spawn(append);
            Ok(())
        }
    }
}

/// Follows until all has come, and compares it: which entries they are, and with `all_bytes` every byte of them.
async fn follower(
    client: Client,
    course: Arc<Course>,
    latency: Latency,
    ready: mpsc::UnboundedSender<()>,
    all_bytes: bool,
) -> Outcome {
    let parts = vec![Wanted::Space(Name::new(SPACE)?)];
    let store = client.store(payload::store_id(0).0);
    let mut told = store.follow(Follow::new(parts, LogCursor::default()));
    let mut had = 0;
    while had < course.entries() {
        match tokio::time::timeout(PATIENCE, told.next()).await? {
            Some(Ok(Followed::Batch(entries, _))) => {
                let now = course.nanoseconds();
                compare(&entries, had, course.asked.bytes, all_bytes)?;
                record(&entries, &course, now, &latency);
                had += entries.len() as u64;
            }
            Some(Ok(Followed::CaughtUp(_))) => ready.send(())?,
            Some(Ok(Followed::At(_))) => (),
            Some(Err(error)) => return Err(error.into()),
            None => return Err("a follow ended".into()),
        }
    }
    Ok(())
}

fn compare(entries: &[Entry], had: u64, bytes: usize, all_bytes: bool) -> Outcome {
    for (entry, expected) in entries.iter().zip(had + 1..) {
        let is_it = entry.sequence.0 == expected
            && match all_bytes {
                true => payload::is_record(&entry.payload, 0, expected, bytes),
                false => {
                    entry.payload.len() == bytes
                        && payload::marked(&entry.payload).is_none_or(|mark| mark == (0, expected))
                }
            };
        if !is_it {
            return Err(format!(
                "{} came where {expected} was expected, or other bytes",
                entry.sequence.0
            )
            .into());
        }
    }
    Ok(())
}

/// How long after the acknowledgement of its transaction each entry came; nothing, if it came first.
fn record(entries: &[Entry], course: &Course, now: u64, latency: &Latency) {
    let transaction = |entry: &Entry| (entry.sequence.0 - 1) / course.asked.batch;
    let mut latency = latency.lock().unwrap_or_else(PoisonError::into_inner);
    for together in entries.chunk_by(|one, next| transaction(one) == transaction(next)) {
        let at = course.acknowledged.get(transaction(&together[0]) as usize);
        let at = at.map_or(0, |at| at.load(Ordering::Acquire));
        let after = if at == 0 { 0 } else { now.saturating_sub(at) };
        latency.saturating_record_n(after, together.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use streamkit_client::record::{Metadata, Timestamp, Trx};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_follower_is_told_of_entries_that_are_missing_doubled_or_changed() {
        let entry = |sequence: u64, content: u64| Entry {
            path: payload::path(0),
            sequence: Sequence(sequence),
            timestamp: Timestamp(1),
            trx: Trx {
                id: Uuid::nil(),
                node: Uuid::nil(),
                number: 1,
            },
            payload: payload::record(0, content, 64),
            metadata: Metadata::default(),
        };
        for all_bytes in [false, true] {
            let found = |entries: &[Entry], had, bytes| compare(entries, had, bytes, all_bytes);
            let good = [entry(1, 1), entry(2, 2)];
            assert!(found(&good, 0, 64).is_ok());
            assert!(found(&good, 1, 64).is_err());
            assert!(found(&good, 0, 65).is_err());
            assert!(found(&[entry(1, 1), entry(3, 3)], 0, 64).is_err());
            assert!(found(&[entry(1, 1), entry(2, 3)], 0, 64).is_err());
        }
    }
}
