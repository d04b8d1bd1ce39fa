//! `demo`: the main job in one command. A server of its own, real events, everything over a real socket, everything checked.

use std::path::PathBuf;
use std::time::Instant;

use futures_util::TryStreamExt as _;
use hdrhistogram::Histogram;
use streamkit_client::{Client, ConsumeSegment, ConsumeSpace, NewRecord, StoreClient};
use streamkit_engine::doctor::{Finding, Severity, judge_ground};
use streamkit_engine::{EngineConfig, disk};
use streamkit_server_core::Limits;
use uuid::Uuid;

use super::bench::floor;
use crate::called::called;
use crate::failure::Failure;
use crate::import::{self, Source};
use crate::output::{Out, json_lines, note, path_text};
use crate::serving::Ready;
use crate::serving::development::Development;
use crate::terminal::bar::Bar;

/// Departures from New York City in January 2013; cli/data/README.md says where they come from.
const FLIGHTS: &[u8] = include_bytes!("../../data/flights-2013-01.csv.gz");
const FLIGHTS_NAME: &str = "flights-2013-01.csv.gz";
const FLIGHTS_ROWS: u64 = 27_004;

/// An aircraft of Envoy Air that flew often.
const AIRCRAFT: &str = "N730MQ";

/// Single durable calls, for their latency.
const CALLS: u64 = 200;

#[derive(clap::Args)]
pub(crate) struct Demo {
    /// Folder for the data [default: a fresh temporary one]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

impl Demo {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let data = match self.data {
            Some(data) => data,
            None => std::env::temp_dir().join(format!("streamkit-demo-{}", &Uuid::new_v4().simple().to_string()[..8])),
        };
        let any_port = ([127, 0, 0, 1], 0).into();
        let ready = Ready::open(any_port, EngineConfig::new(&data)).await?;
        let development = Development::open(&data)?;
        let token = development.token()?;
        let running = ready.serve(development.key, Limits::default(), None);
        let dir = data.display();
        note(format_args!(
            "streamkit: a server on ws://{} with its data in {dir}, which stays there; `rm -r {dir}` removes it",
            running.address
        ));
        let client = Client::builder(format!("ws://{}", running.address))
            .token(token)
            .build();
        let figures = Figures::take(&client.store(development.store)).await;
        client.close().await;
        running.stop().await;
        let figures = figures?;
        let broken = broken_ground(&data);
        let mut out = Out::new();
        if json_lines(self.json) {
            out.json(&figures.json(&data, broken.as_ref()))?;
            return out.flush();
        }
        figures.print(&mut out)?;
        out.text("")?;
        match &broken {
            None => out.text("Every entry was fsynced before it was acknowledged. Next, try:")?,
            Some(why) => {
                out.text(format_args!(
                    "What was acknowledged is not safe in {dir}: {}.",
                    why.what
                ))?;
                out.text("Next, try:")?;
            }
        }
        let called = called();
        out.text(format_args!("  {called} verify {dir}"))?;
        out.text(format_args!("  {called} dev --data {dir}"))?;
        out.text(format_args!(
            "  {called} consume flights/{AIRCRAFT} --limit 3   (in another terminal)"
        ))?;
        out.flush()
    }
}

/// Why what is acknowledged in a folder may be lost, as `serve` warns of it at its start.
fn broken_ground(dir: &std::path::Path) -> Option<Finding> {
    let findings = judge_ground(&disk::ground(dir));
    findings
        .into_iter()
        .find(|finding| finding.severity == Severity::Broken)
}

struct Figures {
    imported: import::Imported,
    aircraft: u64,
    read: u64,
    read_seconds: f64,
    latency: Histogram<u64>,
}

impl Figures {
    async fn take(store: &StoreClient) -> Result<Self, Failure> {
        let source = Source {
            name: FLIGHTS_NAME.to_owned(),
            named: true,
            told_by: FLIGHTS_NAME.to_owned(),
            format: None,
            segment_by: Some("tailnum".to_owned()),
            ordered: false,
            again: false,
        };
        let bar = Bar::new(FLIGHTS.len() as u64);
        let imported = import::run(store, "flights", source, Box::new(FLIGHTS), &bar).await;
        bar.clear();
        let imported = imported?;
        let aircraft = check_aircraft(store).await?;
        let (read, read_seconds) = check_all(store).await?;
        let latency = calls(store).await?;
        Ok(Self {
            imported,
            aircraft,
            read,
            read_seconds,
            latency,
        })
    }

    fn rows(&self) -> Vec<(&'static str, u64, f64)> {
        let calls: f64 = self
            .latency
            .iter_recorded()
            .map(|v| v.value_iterated_to() as f64 * v.count_at_value() as f64)
            .sum();
        vec![
            ("imported, durable", self.imported.stored, self.imported.seconds),
            ("read back", self.read, self.read_seconds),
            ("one at a time, durable", self.latency.len(), calls / 1e6),
        ]
    }

    fn print(&self, out: &mut Out) -> Result<(), Failure> {
        let rows: Vec<Vec<String>> = self
            .rows()
            .into_iter()
            .map(|(what, count, seconds)| {
                vec![
                    what.to_owned(),
                    count.to_string(),
                    format!("{seconds:.2} s"),
                    format!("{:.0}/s", count as f64 / seconds),
                ]
            })
            .collect();
        out.table(&["over the wire", "entries", "time", "rate"], &rows)?;
        out.text("")?;
        out.text(format_args!(
            "{} segments; aircraft {AIRCRAFT} flew {} times, sequences 1 to {} without a hole",
            self.imported.segments, self.aircraft, self.aircraft
        ))?;
        out.text(format_args!(
            "latency of one durable call: p50 {} µs, p99 {} µs",
            self.latency.value_at_quantile(0.5),
            self.latency.value_at_quantile(0.99)
        ))
    }

    fn json(&self, data: &std::path::Path, broken: Option<&Finding>) -> serde_json::Value {
        let rate = |(what, count, seconds): (&str, u64, f64)| serde_json::json!({"work": what, "entries": count, "seconds": seconds, "per_second": (count as f64 / seconds).round()});
        serde_json::json!({
            "data": path_text(data),
            "work": self.rows().into_iter().map(rate).collect::<Vec<_>>(),
            "broken": broken.map(|why| &why.what),
            "segments": self.imported.segments,
            "aircraft": {"segment": AIRCRAFT, "entries": self.aircraft},
            "latency_us": {"p50": self.latency.value_at_quantile(0.5), "p99": self.latency.value_at_quantile(0.99)},
        })
    }
}

/// One aircraft's stream: dense sequences from 1 to the head.
async fn check_aircraft(store: &StoreClient) -> Result<u64, Failure> {
    let head = store.peek("flights", AIRCRAFT).await?.map_or(0, |entry| entry.sequence);
    let mut entries = store.consume_segment(ConsumeSegment::all("flights", AIRCRAFT));
    let mut count = 0;
    while let Some(entry) = entries.try_next().await? {
        count += 1;
        if entry.sequence != count {
            return Err(Failure::new(format!(
                "read back sequence {} where {count} was expected",
                entry.sequence
            )));
        }
    }
    if count == 0 || count != head {
        return Err(Failure::new(format!(
            "read back {count} entries of {AIRCRAFT}, its head is {head}"
        )));
    }
    Ok(count)
}

/// The whole space: every row is there, and every segment's sequences are dense.
async fn check_all(store: &StoreClient) -> Result<(u64, f64), Failure> {
    let started = Instant::now();
    let mut heads = std::collections::HashMap::<String, u64>::new();
    let mut entries = store.consume_space(ConsumeSpace::all("flights"));
    let mut count = 0;
    while let Some(entry) = entries.try_next().await? {
        count += 1;
        let head = match heads.get_mut(&entry.segment) {
            Some(head) => head,
            None => heads.entry(entry.segment.clone()).or_default(),
        };
        *head += 1;
        if *head != entry.sequence {
            let (segment, got) = (&entry.segment, entry.sequence);
            return Err(Failure::new(format!(
                "read back {segment}/{got} where {head} was expected"
            )));
        }
    }
    if count != FLIGHTS_ROWS {
        return Err(Failure::new(format!("read back {count} entries of {FLIGHTS_ROWS}")));
    }
    Ok((count, started.elapsed().as_secs_f64()))
}

async fn calls(store: &StoreClient) -> Result<Histogram<u64>, Failure> {
    let mut latency = floor::microseconds()?;
    let payload = vec![b'x'; 256];
    let head = store.peek("calls", "one").await?.map_or(0, |entry| entry.sequence);
    for sequence in head + 1..=head + CALLS {
        let started = Instant::now();
        store
            .produce_all("calls", "one", sequence, [NewRecord::new(payload.clone())])
            .await?;
        latency.saturating_record(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(latency)
}
