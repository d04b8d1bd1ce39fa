//! `bench`: load a server. Writers append to segments of their own, one durable call after the other; or, with --read, a
//! space is read back. What was acknowledged is checked afterwards.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use streamkit_client::{Client, ConsumeSpace, NewRecord, StoreClient};
use uuid::Uuid;

use super::connect::Connect;
use super::failure::Failure;
use super::floor;
use super::output::{Out, json_lines};

#[derive(clap::Args)]
pub(crate) struct Bench {
    /// Writers, each with one call in flight
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..), default_value_t = 1)]
    writers: u64,
    /// Segments they write to; who shares one takes turns [default: all own]
    #[arg(long, value_name = "COUNT")]
    segments: Option<u64>,
    /// Bytes of a record's payload
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    size: usize,
    /// Records per call
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..), default_value_t = 1)]
    batch: u64,
    /// How long to write
    #[arg(long, value_name = "TIME", default_value = "5s")]
    duration: humantime::Duration,
    /// Write so many calls a writer, however long that takes
    #[arg(long, value_name = "COUNT")]
    calls: Option<u64>,
    /// Connections the writers share
    #[arg(long, value_name = "COUNT", value_parser = super::connect::count, default_value_t = 1)]
    connections: usize,
    /// Read this space back instead of writing
    #[arg(long, value_name = "SPACE")]
    read: Option<String>,
    /// Also measure the bare disk of this folder and bare loopback TCP
    #[arg(long, value_name = "DIR")]
    floor: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Bench {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match &self.read {
            Some(space) => self.read_back(space).await,
            None => self.write().await,
        }
    }

    async fn read_back(&self, space: &str) -> Result<(), Failure> {
        let store = self.connect.open();
        let started = Instant::now();
        let mut entries = store.consume_space(ConsumeSpace::all(space));
        let (mut count, mut bytes) = (0_u64, 0_u64);
        let progress = spinner();
        while let Some(entry) = entries.try_next().await? {
            count += 1;
            bytes += entry.payload.len() as u64;
            if count % 10_000 == 0 {
                let rate = count as f64 / started.elapsed().as_secs_f64();
                progress.set_message(format!("{count} entries, {rate:.0} entries/s"));
            }
        }
        progress.finish_and_clear();
        let seconds = started.elapsed().as_secs_f64();
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
                "{count} entries, {:.1} MB of payload in {seconds:.2} s: {rate:.0} entries/s",
                bytes as f64 / 1e6
            ))?;
        }
        out.flush()
    }

    async fn write(&self) -> Result<(), Failure> {
        let mut floors = Vec::new();
        self.measure_floor(&mut floors).await?;
        let segments = self.segments.unwrap_or(self.writers).clamp(1, self.writers.max(1));
        let space = format!("bench-{}", &Uuid::new_v4().simple().to_string()[..8]);
        let clients: Vec<Client> = (0..self.connections.max(1)).map(|_| self.connect.client()).collect();
        let started = Instant::now();
        let load = Arc::new(Load {
            space: space.clone(),
            heads: (0..segments).map(|_| tokio::sync::Mutex::new(0)).collect(),
            payload: vec![b'x'; self.size].into(),
            batch: self.batch.max(1),
            calls: self.calls.unwrap_or(u64::MAX),
            until: started
                + if self.calls.is_some() {
                    Duration::from_secs(86_400)
                } else {
                    self.duration.into()
                },
            recent: Mutex::new(floor::microseconds()?),
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
        let mut latency = floor::microseconds()?;
        for writer in writers {
            let one = writer.await.map_err(|error| Failure::new(error.to_string()))??;
            latency.add(one).map_err(|error| Failure::new(error.to_string()))?;
        }
        let seconds = started.elapsed().as_secs_f64();
        reporter.abort();
        progress.finish_and_clear();
        load.check(&clients[0].store(self.connect.store)).await?;
        self.measure_floor(&mut floors).await?;
        self.print(&latency, seconds, &floors)
    }

    async fn measure_floor(&self, floors: &mut Vec<Floor>) -> Result<(), Failure> {
        if let Some(dir) = self.floor.clone() {
            let measure = move || {
                Ok::<_, std::io::Error>(Floor {
                    disk: floor::disk(&dir)?,
                    tcp: floor::loopback()?,
                })
            };
            let measured = tokio::task::spawn_blocking(measure).await;
            floors.push(measured.map_err(|error| Failure::new(error.to_string()))??);
        }
        Ok(())
    }

    fn print(&self, latency: &Histogram<u64>, seconds: f64, floors: &[Floor]) -> Result<(), Failure> {
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
            "{} calls in {seconds:.2} s: {rate:.0} calls/s, {:.0} records/s",
            latency.len(),
            rate * self.batch as f64
        ))?;
        let mut rows = vec![row("durable call over the wire", latency)];
        for (floor, when) in floors.iter().zip(["before", "after"]) {
            rows.push(row(&format!("bare disk, {when}"), &floor.disk));
            rows.push(row(&format!("bare TCP, {when}"), &floor.tcp));
        }
        out.table(&["latency", "p50", "p99", "p99.9"], &rows)?;
        out.text("every acknowledged record was found again")?;
        out.flush()
    }
}

struct Floor {
    disk: Histogram<u64>,
    tcp: Histogram<u64>,
}

struct Load {
    space: String,
    heads: Vec<tokio::sync::Mutex<u64>>,
    payload: bytes::Bytes,
    batch: u64,
    calls: u64,
    until: Instant,
    /// Latency of the calls since the last look at it.
    recent: Mutex<Histogram<u64>>,
}

impl Load {
    async fn write(self: Arc<Self>, store: StoreClient, segment: usize) -> Result<Histogram<u64>, Failure> {
        let mut latency = floor::microseconds()?;
        let name = format!("segment-{segment}");
        let mut calls = 0;
        while calls < self.calls && Instant::now() < self.until {
            let mut head = self.heads[segment].lock().await;
            let records = (0..self.batch).map(|_| NewRecord::new(self.payload.clone()));
            let started = Instant::now();
            let status = store.produce_all(&self.space, &name, *head + 1, records).await?;
            let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            latency.saturating_record(took);
            self.recent().saturating_record(took);
            *head += self.batch;
            if status.last_sequence != *head {
                return Err(Failure::new(format!(
                    "acknowledged {} where {} was expected",
                    status.last_sequence, *head
                )));
            }
            calls += 1;
        }
        Ok(latency)
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Histogram<u64>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the space back and compares with what was acknowledged.
    async fn check(&self, store: &StoreClient) -> Result<(), Failure> {
        let mut acknowledged = 0;
        for head in &self.heads {
            acknowledged += *head.lock().await;
        }
        let mut entries = store.consume_space(ConsumeSpace::all(&self.space));
        let mut found = 0;
        while let Some(entry) = entries.try_next().await? {
            found += u64::from(entry.payload == self.payload);
        }
        if found != acknowledged {
            return Err(Failure::damage(format!(
                "{acknowledged} records were acknowledged, {found} were read back"
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
