//! Looks at a server's `/metrics`, one after the other.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use super::scraped::Scraped;
use crate::connect::{Server, readiness};
use crate::failure::Failure;

/// Bytes of what a server says: some 60 KiB, unless it is none of ours.
const BYTES_MAX: usize = 4 << 20;

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks until it is dropped.
pub(super) struct Looks {
    looks: mpsc::Receiver<Result<Scraped, Failure>>,
    task: AbortHandle,
}

impl Drop for Looks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Looks {
    pub(super) fn begin(server: Server, every: Duration) -> Self {
        let (told, looks) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                if told.send(look(&server).await).await.is_err() {
                    return;
                }
            }
        });
        Self {
            looks,
            task: task.abort_handle(),
        }
    }

    /// The next one.
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Scraped, Failure> {
        match self.looks.recv().await {
            Some(look) => look,
            None => Err(Failure::new("nobody looks any more")),
        }
    }
}

async fn look(server: &Server) -> Result<Scraped, Failure> {
    let url = &server.url;
    let asked = readiness::get_up_to(BYTES_MAX, url, &server.tls, "/metrics");
    let asked = tokio::time::timeout(PATIENCE, asked).await;
    let answer = asked.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")));
    let answer = answer.map_err(|why| Failure::no_answer(format!("{url}: {why}")))?;
    match answer.status.is_success() {
        true => Ok(Scraped::read(&answer.body)),
        false => {
            let status = answer.status.as_u16();
            let why = format!("{url} answered {status} to /metrics");
            Err(Failure::new(why).hint("is it a Streamkit server, and does a proxy before it let that through?"))
        }
    }
}
