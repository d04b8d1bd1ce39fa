//! `bench`: load a server. Writers append to segments of their own, one durable call after the other; or, with --read, a
//! space is read back. What was acknowledged is checked afterwards.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use streamkit_client::{Client, ConsumeSpace, Error, NewRecord, StoreClient};
use streamkit_engine::limits::RECORD_BYTES_MAX;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::connect::Connect;
use super::failure::Failure;
use super::floor;
use super::output::{Out, counted, json_lines};
use super::remove::delete_space;
use super::unknown;

/// The most of anything that is asked for: more is a slip of the keyboard, and would take all memory.
const MOST: u64 = 1_000_000;

#[derive(clap::Args)]
pub(crate) struct Bench {
    /// Writers, each with one call in flight
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=MOST), default_value_t = 1)]
    writers: u64,
    /// Segments they write to; who shares one takes turns [default: all own]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    segments: Option<u64>,
    /// Bytes of a record's payload
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(..=RECORD_BYTES_MAX as u64), default_value_t = 256)]
    size: u64,
    /// Records per call
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=MOST), default_value_t = 1)]
    batch: u64,
    /// How long to write
    #[arg(long, value_name = "TIME", default_value = "5s")]
    duration: humantime::Duration,
    /// Write so many calls a writer, however long that takes
    #[arg(long, value_name = "COUNT")]
    calls: Option<u64>,
    /// Connections the writers share
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=MOST), default_value_t = 1)]
    connections: u64,
    /// Read this space back instead of writing
    #[arg(long, value_name = "SPACE")]
    read: Option<String>,
    /// Also measure the bare disk of this folder and bare loopback TCP
    #[arg(long, value_name = "DIR")]
    floor: Option<PathBuf>,
    /// Leave the space that was written; otherwise it is deleted
    #[arg(long)]
    keep: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Bench {
    /// `stop` ends it early; what was measured by then is printed.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<(), Failure> {
        match &self.read {
            Some(space) => self.read_back(space, stop).await,
            None => self.write(stop).await,
        }
    }

    async fn read_back(&self, space: &str, stop: CancellationToken) -> Result<(), Failure> {
        let store = self.connect.open();
        let started = Instant::now();
        let mut entries = store.consume_space(ConsumeSpace::all(space));
        let (mut count, mut bytes) = (0_u64, 0_u64);
        let progress = spinner();
        let stopped = loop {
            let entry = tokio::select! {
                biased;
                // What was measured by then is printed all the same.
                entry = entries.try_next() => match entry {
                    Ok(entry) => entry,
                    Err(error) => break Err(error.into()),
                },
                () = stop.cancelled() => break Err(Failure::interrupted()),
            };
            let Some(entry) = entry else { break Ok(()) };
            count += 1;
            bytes += entry.payload.len() as u64;
            if count % 10_000 == 0 {
                let rate = count as f64 / started.elapsed().as_secs_f64();
                progress.set_message(format!("{count} entries, {rate:.0} entries/s"));
            }
        };
        progress.finish_and_clear();
        let seconds = started.elapsed().as_secs_f64();
        if count == 0 && stopped.is_ok() {
            unknown::tell(&store, space, None).await?;
        }
        let rate = count as f64 / seconds;
        let mut out = Out::new();
        if json_lines(self.json) {
            out.json(&serde_json::json!({
                "read": space,
                "entries": count,
                "payload_bytes": bytes,
                "seconds": seconds,
                "entries_per_second": rate.round(),
            }))?;
        } else {
            out.text(format_args!(
                "{}, {:.1} MB of payload in {seconds:.2} s: {rate:.0} entries/s",
                counted(count, "entry"),
                bytes as f64 / 1e6
            ))?;
        }
        out.flush()?;
        stopped
    }

    async fn write(&self, stop: CancellationToken) -> Result<(), Failure> {
        let mut floors = Vec::new();
        self.measure_floor(&mut floors).await?;
        let segments = self.segments.unwrap_or(self.writers).clamp(1, self.writers.max(1));
        let space = format!("bench-{}", &Uuid::new_v4().simple().to_string()[..8]);
        let clients: Vec<Client> = (0..self.connections).map(|_| self.connect.client()).collect();
        let started = Instant::now();
        let load = Arc::new(Load {
            space: space.clone(),
            segments: (0..segments).map(|number| Segment::new(number, segments)).collect(),
            payload: vec![b'x'; usize::try_from(self.size).unwrap_or(RECORD_BYTES_MAX)].into(),
            batch: self.batch.max(1),
            calls: self.calls.unwrap_or(u64::MAX),
            until: started
                + if self.calls.is_some() {
                    Duration::from_secs(86_400)
                } else {
                    self.duration.into()
                },
            recent: Mutex::new(floor::microseconds()?),
            stop: stop.child_token(),
        });
        let writers: Vec<_> = (0..self.writers)
            .map(|writer| {
                let client = &clients[usize::try_from(writer).unwrap_or(0) % clients.len()];
                let store = client.store(self.connect.store);
                tokio::spawn(
                    load.clone()
                        .write(store, usize::try_from(writer % segments).unwrap_or(0)),
                )
            })
            .collect();
        let progress = spinner();
        let reporter = tokio::spawn(report(load.clone(), progress.clone()));
        let mut written = Written::new()?;
        for writer in writers {
            let one = writer.await.map_err(|error| Failure::new(error.to_string()))?;
            written.add(one?)?;
        }
        let seconds = started.elapsed().as_secs_f64();
        reporter.abort();
        progress.finish_and_clear();
        let wrote = !written.latency.is_empty() || written.unanswered > 0;
        if let Some(failure) = written.failed.take_if(|_| !wrote) {
            return Err(failure);
        }
        let store = clients[0].store(self.connect.store);
        let checked = load.check(&store).await;
        let stays = format!("the space {space} stays");
        // Where something is missing, the space is what tells of it.
        let deleted = match self.keep || checked.is_err() {
            true => Ok(()),
            false => delete_space(&store, &space).await.map(drop),
        };
        let measured = match stop.is_cancelled() {
            true => Ok(()),
            false => self.measure_floor(&mut floors).await,
        };
        // What was measured is there, whatever became of the rest.
        let printed = self.print(&written, seconds, &floors, checked.is_ok());
        let broke_off = |failure: Failure| failure.during(format_args!("writing broke off after {seconds:.1} s"));
        let failures = [
            checked.err().map(|failure| failure.hint(&stays)),
            printed.err(),
            written.failed.map(broke_off),
            stop.is_cancelled().then(Failure::interrupted),
            deleted.err().map(|failure| failure.during(&stays)),
            measured.err(),
        ];
        // The first is what counts most; none of them is hidden by another.
        let told = failures.into_iter().flatten().reduce(|first, next| first.hint(next));
        told.map_or(Ok(()), Err)
    }

    async fn measure_floor(&self, floors: &mut Vec<Floor>) -> Result<(), Failure> {
        if let Some(dir) = self.floor.clone() {
            let measure = move || {
                Ok::<_, Failure>(Floor {
                    disk: floor::disk(&dir).map_err(|error| Failure::from(error).during(dir.display()))?,
                    tcp: floor::loopback()?,
                })
            };
            let measured = tokio::task::spawn_blocking(measure).await;
            floors.push(measured.map_err(|error| Failure::new(error.to_string()))??);
        }
        Ok(())
    }

    fn print(&self, written: &Written, seconds: f64, floors: &[Floor], is_checked: bool) -> Result<(), Failure> {
        let latency = &written.latency;
        let rate = latency.len() as f64 / seconds;
        let q = |h: &Histogram<u64>, q| h.value_at_quantile(q);
        let mut out = Out::new();
        if json_lines(self.json) {
            let floors: Vec<_> = floors
                .iter()
                .map(|f| {
                    serde_json::json!({
                        "disk_p50_us": q(&f.disk, 0.5),
                        "disk_p99_us": q(&f.disk, 0.99),
                        "tcp_p50_us": q(&f.tcp, 0.5),
                        "tcp_p99_us": q(&f.tcp, 0.99),
                    })
                })
                .collect();
            out.json(&serde_json::json!({
                "writers": self.writers,
                "batch": self.batch,
                "size": self.size,
                "calls": latency.len(),
                "unanswered": written.unanswered,
                "seconds": seconds,
                "calls_per_second": rate.round(),
                "records_per_second": (rate * self.batch as f64).round(),
                "latency_us": {
                    "p50": q(latency, 0.5),
                    "p99": q(latency, 0.99),
                    "p99.9": q(latency, 0.999),
                    "max": latency.max(),
                },
                "floors": floors,
            }))?;
            return out.flush();
        }
        let row = |name: &str, h: &Histogram<u64>| {
            let cells = [0.5, 0.99, 0.999].map(|quantile| format!("{} µs", q(h, quantile)));
            std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>()
        };
        out.text(format_args!(
            "{} in {seconds:.2} s: {rate:.0} calls/s, {:.0} records/s",
            counted(latency.len(), "call"),
            rate * self.batch as f64
        ))?;
        let mut rows = vec![row("durable call over the wire", latency)];
        for (floor, when) in floors.iter().zip(["before", "after"]) {
            rows.push(row(&format!("bare disk, {when}"), &floor.disk));
            rows.push(row(&format!("bare TCP, {when}"), &floor.tcp));
        }
        out.table(&["latency", "p50", "p99", "p99.9"], &rows)?;
        if written.unanswered > 0 {
            out.text(format_args!(
                "{} had no answer and count nowhere above",
                counted(written.unanswered, "call")
            ))?;
        }
        if is_checked {
            out.text("every acknowledged record was found again")?;
        }
        out.flush()
    }
}

struct Floor {
    disk: Histogram<u64>,
    tcp: Histogram<u64>,
}

/// What writers did.
struct Written {
    latency: Histogram<u64>,
    /// Calls of which it is not known whether they were stored.
    unanswered: u64,
    /// Why it ended early.
    failed: Option<Failure>,
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

struct Load {
    space: String,
    segments: Vec<Segment>,
    payload: bytes::Bytes,
    batch: u64,
    calls: u64,
    until: Instant,
    /// Latency of the calls since the last look at it.
    recent: Mutex<Histogram<u64>>,
    /// All writers end.
    stop: CancellationToken,
}

impl Load {
    /// Writes until it is time to end. A failure ends all writers, and is returned with what was written before.
    async fn write(self: Arc<Self>, store: StoreClient, segment: usize) -> Result<Written, Failure> {
        let mut written = Written::new()?;
        let mut calls = 0;
        while calls < self.calls && Instant::now() < self.until && !self.stop.is_cancelled() {
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
            let records = (0..self.batch).map(|_| NewRecord::new(self.payload.clone()));
            let started = Instant::now();
            let expected = head.last + self.batch;
            let answer = store.produce_all(&self.space, name, head.last + 1, records).await;
            return match answer {
                Ok(status) if status.last_sequence == expected => {
                    let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                    written.latency.saturating_record(took);
                    self.recent().saturating_record(took);
                    head.last = expected;
                    head.acknowledged += self.batch;
                    head.is_in_doubt = false;
                    Ok(())
                }
                Ok(status) => Err(Failure::new(format!(
                    "acknowledged {} where {expected} was expected",
                    status.last_sequence
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
                Err(Error::Conflict { .. }) if head.is_in_doubt && looks < LOOKS => {
                    looks += 1;
                    let found = store.peek(&self.space, name).await?;
                    head.last = found.map_or(0, |entry| entry.sequence);
                    continue;
                }
                Err(error) => Err(error.into()),
            };
        }
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Histogram<u64>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the space back and compares with what was acknowledged.
    async fn check(&self, store: &StoreClient) -> Result<(), Failure> {
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

/// One line on a terminal, drawn again and again; elsewhere nothing.
fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Shows each second's rate and latency.
async fn report(load: Arc<Load>, progress: ProgressBar) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.tick().await;
    loop {
        seconds.tick().await;
        let mut recent = load.recent();
        progress.set_message(format!(
            "{} calls/s, p50 {} µs, p99 {} µs",
            recent.len(),
            recent.value_at_quantile(0.5),
            recent.value_at_quantile(0.99)
        ));
        recent.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::super::development::Development;
    use super::super::serve::Ready;
    use super::*;

    #[tokio::test]
    async fn an_unanswered_call_that_is_committed_late_ends_no_bench() {
        let dir = tempfile::tempdir().unwrap();
        let config = streamkit_engine::EngineConfig::new(dir.path().join("data"));
        let ready = Ready::open(([127, 0, 0, 1], 0).into(), config).await;
        let ready = ready.unwrap_or_else(|failure| panic!("{failure}"));
        let development = Development::open(&dir.path().join("data")).unwrap_or_else(|failure| panic!("{failure}"));
        let token = development.token().unwrap_or_else(|failure| panic!("{failure}"));
        let running = ready.serve(development.key, streamkit_server::Limits::default());
        let client = Client::builder(format!("ws://{}", running.address))
            .token(token)
            .build();
        let store = client.store(development.store);
        let load = Load {
            space: "bench".to_owned(),
            segments: vec![Segment::new(0, 1)],
            payload: "x".into(),
            batch: 2,
            calls: 1,
            until: Instant::now(),
            recent: Mutex::new(floor::microseconds().unwrap_or_else(|failure| panic!("{failure}"))),
            stop: CancellationToken::new(),
        };
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
