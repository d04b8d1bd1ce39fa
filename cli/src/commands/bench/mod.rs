//! `bench`: load a server. Writers append to segments of their own, one durable call after the other; or, with --read, a
//! space is read back. What was acknowledged is checked afterwards.

mod figures;
pub(super) mod floor;
mod load;
mod progress;
mod read_back;

use std::path::PathBuf;
use std::time::Instant;

use figures::{Figures, Floor};
pub(super) use floor::BareEcho;
use load::{Amount, Load};
use streamkit_engine::limits::RECORD_BYTES_MAX;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::remove::delete_space;
use crate::connect::Connect;
use crate::failure::Failure;
use crate::output::json_lines;

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
            Some(space) => read_back::run(&self.connect.open().await?, space, self.json, stop).await,
            None => self.write(stop).await,
        }
    }

    async fn write(&self, stop: CancellationToken) -> Result<(), Failure> {
        let server = self.connect.server().await?;
        let mut floors = Vec::new();
        self.measure_floor(&mut floors).await?;
        let segments = self.segments.unwrap_or(self.writers).clamp(1, self.writers.max(1));
        let space = format!("bench-{}", &Uuid::new_v4().simple().to_string()[..8]);
        let stores: Vec<_> = (0..self.connections).map(|_| server.open()).collect();
        let amount = match self.calls {
            Some(calls) => Amount::Calls(calls),
            None => Amount::Time(self.duration.into()),
        };
        let payload = vec![b'x'; usize::try_from(self.size).unwrap_or(RECORD_BYTES_MAX)];
        let started = Instant::now();
        let load = Load::new(&space, segments, payload.into(), self.batch, amount, stop.child_token())?;
        let mut written = load.run(&stores, self.writers).await?;
        let seconds = started.elapsed().as_secs_f64();
        let wrote = !written.latency.is_empty() || written.unanswered > 0;
        if let Some(failure) = written.failed.take_if(|_| !wrote) {
            return Err(failure);
        }
        let store = &stores[0];
        let checked = load.check(store).await;
        let stays = format!("the space {space} stays");
        // Where something is missing, the space is what tells of it.
        let deleted = match self.keep || checked.is_err() {
            true => Ok(()),
            false => delete_space(store, &space).await.map(drop),
        };
        let measured = match stop.is_cancelled() {
            true => Ok(()),
            false => self.measure_floor(&mut floors).await,
        };
        // What was measured is there, whatever became of the rest.
        let figures = Figures {
            writers: self.writers,
            batch: self.batch,
            size: self.size,
            latency: &written.latency,
            unanswered: written.unanswered,
            seconds,
            floors: &floors,
            is_checked: checked.is_ok(),
        };
        let printed = figures.print(json_lines(self.json));
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
            let measured = tokio::task::spawn_blocking(move || Floor::measure(&dir)).await;
            floors.push(measured.map_err(|error| Failure::new(error.to_string()))??);
        }
        Ok(())
    }
}
