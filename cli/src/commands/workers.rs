//! `workers`: who is there in a store, and to be there oneself.

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use streamkit_client::{NewWorker, Presence, StoreClient, Worker};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::arguments::key_value;
use crate::connect::Connect;
use crate::failure::Failure;
use crate::output::{Out, counted, json_lines, time};

#[derive(clap::Args)]
pub(crate) struct Workers {
    /// Go on with each change, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Be there as a worker, and follow, until Ctrl-C
    #[arg(long)]
    join: bool,
    /// Identity of the worker that joins; one of its own otherwise
    #[arg(long, value_name = "UUID", value_parser = worker, requires = "join")]
    id: Option<Uuid>,
    /// What the worker that joins says of itself; may be repeated
    #[arg(short = 'H', long = "metadata", value_name = "KEY=VALUE", value_parser = key_value, requires = "join")]
    metadata: Vec<(String, String)>,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

fn worker(text: &str) -> Result<Uuid, String> {
    match Uuid::parse_str(text) {
        Ok(id) if id.is_nil() => Err("the nil id stands for nobody".to_owned()),
        Ok(id) => Ok(id),
        Err(_) => Err("a worker's id is a UUID, such as 6f1c1e0e-3c0b-4e9e-9a51-0a6f3f2d9b10".to_owned()),
    }
}

impl Workers {
    /// `stop` ends one that goes on, in good order.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<(), Failure> {
        // Who is there is told no longer than the client lasts.
        let store = self.connect.open().await?;
        if !self.follow && !self.join {
            return tokio::select! {
                biased;
                () = stop.cancelled() => Err(Failure::interrupted()),
                listed = list(&store, self.json) => listed,
            };
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => Ok(()),
            ended = self.goes_on(&store) => ended,
        }
    }

    async fn goes_on(&self, store: &StoreClient) -> Result<(), Failure> {
        let presence = match self.join {
            true => Some(self.joined(store).await?),
            false => None,
        };
        let left = async {
            match &presence {
                Some(presence) => presence.ended().await,
                None => std::future::pending().await,
            }
        };
        let mut left = std::pin::pin!(left);
        let mut told = store.workers();
        let mut out = Out::new();
        loop {
            let workers = tokio::select! {
                biased;
                ended = &mut left => return Ok(ended?),
                workers = told.next() => workers,
            };
            let Some(workers) = workers.transpose()? else {
                return Ok(());
            };
            match json_lines(self.json) {
                true => out.json(&json!({ "workers": workers.iter().map(line).collect::<Vec<_>>() }))?,
                false => {
                    out.text(format_args!("{}:", counted(workers.len() as u64, "worker")))?;
                    table(&mut out, &workers)?;
                }
            }
            out.flush()?;
            if out.is_gone() {
                return Ok(());
            }
        }
    }

    async fn joined(&self, store: &StoreClient) -> Result<Presence, Failure> {
        let worker = NewWorker::new(self.id.unwrap_or_else(Uuid::new_v4));
        let said = self.metadata.iter().cloned();
        let worker = said.fold(worker, |worker, (key, value)| worker.with(key, value));
        Ok(store.join(worker).await?)
    }
}

/// Those that are there now.
async fn list(store: &StoreClient, as_json: bool) -> Result<(), Failure> {
    let workers = store.workers().next().await.transpose()?.unwrap_or_default();
    let mut out = Out::new();
    match json_lines(as_json) {
        true => workers.iter().try_for_each(|worker| out.json(&line(worker)))?,
        false => table(&mut out, &workers)?,
    }
    out.flush()
}

fn line(worker: &Worker) -> Value {
    json!({ "worker": worker.id, "last_seen": worker.last_seen.0, "metadata": worker.metadata })
}

fn table(out: &mut Out, workers: &[Worker]) -> Result<(), Failure> {
    let said = |worker: &Worker| {
        let pairs = worker.metadata.iter().map(|(key, value)| format!("{key}={value}"));
        pairs.collect::<Vec<_>>().join(" ")
    };
    let rows: Vec<_> = workers
        .iter()
        .map(|worker| vec![worker.id.to_string(), time(worker.last_seen.0), said(worker)])
        .collect();
    out.table(&["worker", "last seen", "metadata"], &rows)
}
