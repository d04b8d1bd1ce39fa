//! Closed loops: writers that each append, wait until it is durable, and append again.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use streamkit_engine::{AppendError, Committed, Record, Sequence, Store, Transaction};
use tokio::runtime::Runtime;

use crate::Outcome;
use crate::figures::{self, Figures};
use crate::ours::{Call, Ours};
use crate::payload;
use crate::peers::Peer;

/// What is written.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Writers at once, each with a segment of its own.
    pub writers: usize,
    /// Records per transaction.
    pub records: usize,
    /// Bytes of a record.
    pub bytes: usize,
    /// Transactions each writer has in flight; more than one only through the async call.
    pub in_flight: usize,
    /// When each writer stops.
    pub until: Until,
}

/// When a writer stops.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After so many transactions.
    Calls(u64),
    /// After that time.
    Elapsed(Duration),
    /// After that time, or so many transactions if they take less.
    Sooner(Duration, u64),
}

impl Load {
    /// Writers with one record of 256 bytes per transaction.
    pub fn single(writers: usize, until: Until) -> Self {
        Self {
            writers,
            records: 1,
            bytes: 256,
            in_flight: 1,
            until,
        }
    }

    pub(crate) fn goes_on(&self, calls: u64, started: Instant) -> bool {
        match self.until {
            Until::Calls(most) => calls < most,
            Until::Elapsed(time) => started.elapsed() < time,
            Until::Sooner(time, most) => calls < most && started.elapsed() < time,
        }
    }

    pub(crate) fn payloads(&self, writer: usize, first: u64) -> impl Iterator<Item = Bytes> {
        let bytes = self.bytes;
        (first..first + self.records as u64).map(move |sequence| payload::record(writer, sequence, bytes))
    }

    fn transaction(&self, writer: usize, first: u64) -> Transaction {
        let records = self.payloads(writer, first).map(Record::new).collect();
        Transaction::single(payload::path(writer), Sequence(first), records)
    }
}

/// What writes are measured on.
#[derive(Clone)]
pub enum Subject {
    /// Ours.
    Ours(Ours),
    /// Another store.
    Peer(Arc<dyn Peer>),
}

/// The durable head of each writer's segment, as acknowledged.
pub type Heads = Vec<u64>;

/// Runs the load on behind the heads, and raises them. Latency is that of one transaction; `records_per_s` counts records.
///
/// # Errors
/// The first failed append.
pub fn run(runtime: &Runtime, subject: &Subject, load: Load, heads: &mut Heads) -> Outcome<Figures> {
    heads.resize(heads.len().max(load.writers), 0);
    let started = Instant::now();
    let done = match subject {
        Subject::Ours(ours) if ours.call == Call::Async => tasks(runtime, ours, load, heads, started)?,
        Subject::Ours(ours) => threads(load, heads, started, |writer, first| {
            let store = &ours.stores[writer % ours.stores.len()];
            store.append_blocking(load.transaction(writer, first))?;
            Ok(())
        })?,
        Subject::Peer(peer) => threads(load, heads, started, |writer, first| {
            peer.append(writer, first, &load.payloads(writer, first).collect::<Vec<_>>())
        })?,
    };
    sum(done, load, started, heads)
}

/// Adds up what the writers of a load did since it started, and raises the heads.
pub(crate) fn sum(done: Vec<Done>, load: Load, started: Instant, heads: &mut Heads) -> Outcome<Figures> {
    let seconds = started.elapsed().as_secs_f64();
    let mut latency = figures::nanoseconds()?;
    for (writer, (one, head)) in done.into_iter().enumerate() {
        latency.add(one)?;
        heads[writer] = head;
    }
    let records = latency.len() as f64 * load.records as f64 / seconds;
    Ok(figures::latency(&latency, seconds).with("records_per_s", records))
}

/// How long the appends of [`run`] took in all, without starting and adding up.
pub fn elapsed(figures: &Figures, load: Load, calls: u64) -> Duration {
    Duration::from_secs_f64(load.writers as f64 * calls as f64 / figures.get("per_s"))
}

/// What a writer took for each transaction, and the head it reached.
pub(crate) type Done = (Histogram<u64>, u64);

fn tasks(runtime: &Runtime, ours: &Ours, load: Load, heads: &Heads, started: Instant) -> Outcome<Vec<Done>> {
    let tasks: Vec<_> = (0..load.writers)
        .map(|writer| {
            let store = Arc::clone(&ours.stores[writer % ours.stores.len()]);
            runtime.spawn(write(store, writer, heads[writer], load, started))
        })
        .collect();
    tasks.into_iter().map(|task| runtime.block_on(task)?).collect()
}

type InFlight = (
    Instant,
    Pin<Box<dyn Future<Output = Result<Committed, AppendError>> + Send>>,
);

async fn write(store: Arc<dyn Store>, writer: usize, mut head: u64, load: Load, started: Instant) -> Outcome<Done> {
    let mut latency = figures::nanoseconds()?;
    let (mut calls, mut next) = (0, head + 1);
    let mut in_flight: VecDeque<InFlight> = VecDeque::new();
    loop {
        while in_flight.len() < load.in_flight && load.goes_on(calls, started) {
            let (store, transaction) = (Arc::clone(&store), load.transaction(writer, next));
            let began = Instant::now();
            let append = async move { store.append(transaction).await };
            in_flight.push_back((
                began,
                if load.in_flight == 1 {
                    Box::pin(append)
                } else {
                    begin(append).await
                },
            ));
            calls += 1;
            next += load.records as u64;
        }
        let Some((began, append)) = in_flight.pop_front() else {
            return Ok((latency, head));
        };
        append.await?;
        figures::record(&mut latency, began.elapsed());
        head += load.records as u64;
    }
}

/// Polls once, so that the append is queued before the next one is made, and hands back the rest.
async fn begin<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Pin<Box<dyn Future<Output = T> + Send>> {
    let mut future = Box::pin(future);
    let early = std::future::poll_fn(|context| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    });
    match early.await {
        Some(output) => Box::pin(std::future::ready(output)),
        None => future,
    }
}

fn threads(
    load: Load,
    heads: &Heads,
    started: Instant,
    append: impl Fn(usize, u64) -> Outcome + Sync,
) -> Outcome<Vec<Done>> {
    let append = &append;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..load.writers)
            .map(|writer| {
                let mut head = heads[writer];
                scope.spawn(move || -> Outcome<Done> {
                    let mut latency = figures::nanoseconds()?;
                    let mut calls = 0;
                    while load.goes_on(calls, started) {
                        let began = Instant::now();
                        append(writer, head + 1)?;
                        figures::record(&mut latency, began.elapsed());
                        head += load.records as u64;
                        calls += 1;
                    }
                    Ok((latency, head))
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a writer does not panic"))
            .collect()
    })
}
