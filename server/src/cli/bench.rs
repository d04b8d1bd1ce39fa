//! `bench`: load a server. Writers append to segments of their own, one durable call after the other; or, with --read, a
//! space is read back. What was acknowledged is checked afterwards.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use hdrhistogram::Histogram;
use streamkit_client::{Client, ConsumeSpace, NewRecord, StoreClient};
use uuid::Uuid;

use super::connect::Connect;
use super::failure::Failure;
use super::floor;
use super::output::{json_lines, table};

#[derive(clap::Args)]
pub(crate) struct Bench {
    /// Writers, each with one call in flight
    #[arg(long, default_value_t = 1)]
    writers: u64,
    /// Segments they write to, at most one per writer is used by it; writers of the same segment take turns
    #[arg(long)]
    segments: Option<u64>,
    /// Bytes of a record's payload
    #[arg(long, default_value_t = 256)]
    size: usize,
    /// Records per call
    #[arg(long, default_value_t = 1)]
    batch: u64,
    /// How long to write
    #[arg(long, default_value = "5s")]
    duration: humantime::Duration,
    /// Stop after so many calls of each writer
    #[arg(long)]
    calls: Option<u64>,
    /// Connections the writers share
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Read this space back instead of writing
    #[arg(long)]
    read: Option<String>,
    /// Also measure the bare disk in this folder and bare loopback TCP, before and after
    #[arg(long)]
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
        while let Some(entry) = entries.try_next().await? {
            count += 1;
            bytes += entry.payload.len() as u64;
        }
        let seconds = started.elapsed().as_secs_f64();
        let rate = count as f64 / seconds;
        if json_lines(self.json) {
            println!(
                "{}",
                serde_json::json!({"read": space, "entries": count, "payload_bytes": bytes, "seconds": seconds,
                    "entries_per_second": rate.round()})
            );
        } else {
            println!(
                "{count} entries, {:.1} MB of payload in {seconds:.2} s: {rate:.0} entries/s",
                bytes as f64 / 1e6
            );
        }
        Ok(())
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
            done: AtomicU64::new(0),
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
        let reporter = tokio::spawn(report(load.clone()));
        let mut latency = floor::microseconds()?;
        for writer in writers {
            let one = writer.await.map_err(|error| Failure::new(error.to_string()))??;
            latency.add(one).map_err(|error| Failure::new(error.to_string()))?;
        }
        let seconds = started.elapsed().as_secs_f64();
        reporter.abort();
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
        if json_lines(self.json) {
            let floors: Vec<_> = floors
                .iter()
                .map(|f| {
                    serde_json::json!({"disk_p50_us": q(&f.disk, 0.5), "disk_p99_us": q(&f.disk, 0.99),
                    "tcp_p50_us": q(&f.tcp, 0.5), "tcp_p99_us": q(&f.tcp, 0.99)})
                })
                .collect();
            println!(
                "{}",
                serde_json::json!({"writers": self.writers, "batch": self.batch, "size": self.size, "calls": latency.len(),
                    "seconds": seconds, "calls_per_second": rate.round(),
                    "records_per_second": (rate * self.batch as f64).round(),
                    "latency_us": {"p50": q(latency, 0.5), "p99": q(latency, 0.99), "p99.9": q(latency, 0.999), "max": latency.max()},
                    "floors": floors})
            );
            return Ok(());
        }
        let row = |name: &str, h: &Histogram<u64>| {
            let cells = [0.5, 0.99, 0.999].map(|quantile| format!("{} µs", q(h, quantile)));
            std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>()
        };
        println!(
            "{} calls in {seconds:.2} s: {rate:.0} calls/s, {:.0} records/s",
            latency.len(),
            rate * self.batch as f64
        );
        let mut rows = vec![row("durable call over the wire", latency)];
        for (floor, when) in floors.iter().zip(["before", "after"]) {
            rows.push(row(&format!("bare disk, {when}"), &floor.disk));
            rows.push(row(&format!("bare TCP, {when}"), &floor.tcp));
        }
        table(&["latency", "p50", "p99", "p99.9"], &rows)?;
        println!("every acknowledged record was found again");
        Ok(())
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
    done: AtomicU64,
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
            latency.saturating_record(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
            *head += self.batch;
            if status.last_sequence != *head {
                return Err(Failure::new(format!(
                    "acknowledged {} where {} was expected",
                    status.last_sequence, *head
                )));
            }
            calls += 1;
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(latency)
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

/// Shows the rate of each second on a terminal.
async fn report(load: Arc<Load>) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = load.done.load(Ordering::Relaxed);
        eprintln!("{} calls/s", now - before);
        before = now;
    }
}
