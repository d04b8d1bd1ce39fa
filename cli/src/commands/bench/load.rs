//! The load: writers append to segments, one durable call after the other, and what was acknowledged is looked for afterwards.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use streamkit_client::record::limits::TRANSACTION_RECORDS_MAX;
use streamkit_client::record::{Record, SegmentAppend, SegmentPath, Sequence};
use streamkit_client::{Append, ConsumeSpace, Error, NewRecord, StoreClient};
use tokio_util::sync::CancellationToken;

use super::floor;
use super::progress::{histogram, spinner};
use crate::failure::Failure;

/// What writers did.
pub(super) struct Written {
    /// Microseconds of the calls that were answered.
    pub(super) latency: Histogram<u64>,
    /// Calls of which it is not known whether they were stored.
    pub(super) unanswered: u64,
    /// Why it ended early.
    pub(super) failed: Option<Failure>,
}

impl Written {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            latency: floor::microseconds()?,
            unanswered: 0,
            failed: None,
        })
    }

    fn add(&mut self, other: Self) -> Result<(), Failure> {
        let added = self.latency.add(other.latency);
        added.map_err(|error| Failure::new(error.to_string()))?;
        self.unanswered += other.unanswered;
        self.failed = self.failed.take().or(other.failed);
        Ok(())
    }
}

/// A segment that is written to, by one writer at a time.
struct Segment {
    name: String,
    head: tokio::sync::Mutex<Head>,
}

#[derive(Default)]
struct Head {
    /// Its last sequence.
    last: u64,
    /// Records of which the server said that they are durable.
    acknowledged: u64,
    /// A call had no answer since the last that had one: it may be committed behind our look at the head.
    is_in_doubt: bool,
}

impl Segment {
    /// Names of one length: a Go server takes a name for the beginning of longer ones.
    fn new(number: u64, of: u64) -> Self {
        let width = of.saturating_sub(1).to_string().len();
        Self {
            name: format!("segment-{number:0width$}"),
            head: tokio::sync::Mutex::default(),
        }
    }
}

/// Times a call is tried where earlier ones that had no answer are committed meanwhile, perhaps in parts.
const LOOKS: u32 = 10;

/// How much a writer writes.
pub(super) enum Amount {
    /// So many calls, however long that takes.
    Calls(u64),
    /// So long.
    Time(Duration),
}

/// What all writers share.
pub(super) struct Load {
    space: String,
    segments: Vec<Segment>,
    payload: bytes::Bytes,
    batch: u64,
    amount: Amount,
    /// Latency of the calls since the last look at it.
    recent: Mutex<Histogram<u64>>,
    /// All writers end.
    stop: CancellationToken,
}

impl Load {
    /// A load of segments that are not there yet. `stop` ends it, and a failure of a writer does.
    pub(super) fn new(
        space: &str,
        segments: u64,
        payload: bytes::Bytes,
        batch: u64,
        amount: Amount,
        stop: CancellationToken,
    ) -> Result<Arc<Self>, Failure> {
        Ok(Arc::new(Self {
            space: space.to_owned(),
            segments: (0..segments).map(|number| Segment::new(number, segments)).collect(),
            payload,
            batch,
            amount,
            recent: Mutex::new(floor::microseconds()?),
            stop,
        }))
    }

    /// Lets so many writers write, over the stores in turn, and shows on a terminal what they do.
    pub(super) async fn run(self: &Arc<Self>, stores: &[StoreClient], writers: u64) -> Result<Written, Failure> {
        let place = |writer: u64, of: usize| usize::try_from(writer).unwrap_or(0) % of;
        let writers: Vec<_> = (0..writers)
            .map(|writer| {
                let store = stores[place(writer, stores.len())].clone();
                tokio::spawn(self.clone().write(store, place(writer, self.segments.len())))
            })
            .collect();
        let progress = spinner();
        let reporter = tokio::spawn(self.clone().report(progress.clone()));
        let mut written = Written::new()?;
        for writer in writers {
            let one = writer.await.map_err(|error| Failure::new(error.to_string()))?;
            written.add(one?)?;
        }
        reporter.abort();
        progress.finish_and_clear();
        Ok(written)
    }

    /// Writes until it is time to end. A failure ends all writers, and is returned with what was written before.
    async fn write(self: Arc<Self>, store: StoreClient, segment: usize) -> Result<Written, Failure> {
        let mut written = Written::new()?;
        let started = Instant::now();
        let mut calls = 0;
        let is_done = |calls| match self.amount {
            Amount::Calls(most) => calls >= most,
            Amount::Time(time) => started.elapsed() >= time,
        };
        while !is_done(calls) && !self.stop.is_cancelled() {
            if let Err(failure) = self.call(&store, segment, &mut written).await {
                written.failed = Some(failure);
                self.stop.cancel();
            }
            calls += 1;
        }
        Ok(written)
    }

    /// One call. Where its answer is lost, the segment's head tells where to go on.
    async fn call(&self, store: &StoreClient, segment: usize, written: &mut Written) -> Result<(), Failure> {
        let Segment { name, head } = &self.segments[segment];
        let mut head = head.lock().await;
        let mut looks = 1;
        loop {
            let started = Instant::now();
            let expected = head.last + self.batch;
            let answer = self.append(store, name, head.last + 1).await;
            return match answer {
                Ok(last) if last == expected => {
                    let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                    written.latency.saturating_record(took);
                    self.recent().saturating_record(took);
                    head.last = expected;
                    head.acknowledged += self.batch;
                    head.is_in_doubt = false;
                    Ok(())
                }
                Ok(last) => Err(Failure::new(format!(
                    "acknowledged {last} where {expected} was expected"
                ))),
                Err(
                    error @ (Error::Protocol(_) | Error::Timeout(_) | Error::ConnectionLost(_) | Error::Unknown(_)),
                ) => {
                    written.unanswered += 1;
                    head.is_in_doubt = true;
                    let found = store.peek(&self.space, name).await;
                    let found = found.map_err(|_| Failure::from(error))?;
                    head.last = found.map_or(0, |entry| entry.sequence);
                    Ok(())
                }
                Err(Error::Conflict { .. } | Error::Conflicts { .. }) if head.is_in_doubt && looks < LOOKS => {
                    looks += 1;
                    let found = store.peek(&self.space, name).await?;
                    head.last = found.map_or(0, |entry| entry.sequence);
                    continue;
                }
                Err(error) => Err(error.into()),
            };
        }
    }

    /// Appends a batch from this sequence on; returns the last that is acknowledged. More than one transaction holds are a stream.
    async fn append(&self, store: &StoreClient, segment: &str, first: u64) -> Result<u64, Error> {
        if self.batch > TRANSACTION_RECORDS_MAX as u64 {
            let records = (0..self.batch).map(|_| NewRecord::new(self.payload.clone()));
            let status = store.produce_all(&self.space, segment, first, records).await?;
            return Ok(status.last_sequence);
        }
        let path = SegmentPath::new(&self.space, segment).map_err(|error| Error::Invalid(error.to_string()))?;
        let records = (0..self.batch).map(|_| Record::new(self.payload.clone()));
        let section = SegmentAppend {
            path,
            first_sequence: Sequence(first),
            records: records.collect(),
        };
        let appended = store.append(Append::new(vec![section])).await?;
        Ok(appended.sections.first().map_or(0, |(_, last)| last.0))
    }

    /// Shows each second's rate and latency, and how many calls took how long by now.
    async fn report(self: Arc<Self>, progress: ProgressBar) {
        let mut all = self.recent().clone();
        all.reset();
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        seconds.tick().await;
        loop {
            seconds.tick().await;
            let mut recent = self.recent();
            let told = format!(
                "{} calls/s, p50 {} µs, p99 {} µs",
                recent.len(),
                recent.value_at_quantile(0.5),
                recent.value_at_quantile(0.99)
            );
            // Both count up to the same.
            let _ = all.add(&*recent);
            recent.reset();
            drop(recent);
            let lines: Vec<_> = std::iter::once(told).chain(histogram(&all)).collect();
            progress.set_message(lines.join("\n"));
        }
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Histogram<u64>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the space back and compares with what was acknowledged.
    pub(super) async fn check(&self, store: &StoreClient) -> Result<(), Failure> {
        let (mut acknowledged, mut stored) = (0, 0);
        for segment in &self.segments {
            let head = segment.head.lock().await;
            acknowledged += head.acknowledged;
            stored += head.last;
        }
        let mut entries = store.consume_space(ConsumeSpace::all(&self.space));
        let mut found = 0;
        let unchecked = |error| Failure::from(error).during("cannot say whether every acknowledged record is there");
        while let Some(entry) = entries.try_next().await.map_err(unchecked)? {
            found += u64::from(entry.payload == self.payload);
        }
        // A call without an answer may have been stored behind our look at the head.
        if found < stored.max(acknowledged) {
            return Err(Failure::damage(format!(
                "{acknowledged} records were acknowledged, {stored} were there when it ended, and {found} were read back"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::serving::Ready;
    use crate::serving::development::Development;
    use streamkit_client::Client;

    use super::*;

    #[tokio::test]
    async fn an_unanswered_call_that_is_committed_late_ends_no_bench() {
        let dir = tempfile::tempdir().unwrap();
        let config = streamkit_engine::EngineConfig::new(dir.path().join("data"));
        let ready = Ready::open(([127, 0, 0, 1], 0).into(), config).await;
        let ready = ready.unwrap_or_else(|failure| panic!("{failure}"));
        let development = Development::open(&dir.path().join("data")).unwrap_or_else(|failure| panic!("{failure}"));
        let token = development.token().unwrap_or_else(|failure| panic!("{failure}"));
        let running = ready.serve(development.key, streamkit_server_core::Limits::default(), None);
        let client = Client::builder(format!("ws://{}", running.address))
            .token(token)
            .build();
        let store = client.store(development.store);
        let load = Load::new("bench", 1, "x".into(), 2, Amount::Calls(1), CancellationToken::new());
        let load = load.unwrap_or_else(|failure| panic!("{failure}"));
        // As if it were the late commit of a call after which the head was found to be 0.
        let late = vec![NewRecord::new("x"); 2];
        store
            .produce_all("bench", &load.segments[0].name, 1, late)
            .await
            .unwrap();
        load.segments[0].head.lock().await.is_in_doubt = true;
        let mut written = Written::new().unwrap_or_else(|failure| panic!("{failure}"));
        let called = load.call(&store, 0, &mut written).await;
        called.unwrap_or_else(|failure| panic!("{failure}"));
        {
            let mut head = load.segments[0].head.lock().await;
            assert_eq!((head.last, head.acknowledged, head.is_in_doubt), (4, 2, false));
            head.last = 2;
        }
        // Without one it is somebody else who writes there, and that is told.
        assert!(load.call(&store, 0, &mut written).await.is_err());
        client.close().await;
        running.stop().await;
    }
}
