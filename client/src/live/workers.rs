//! Who is there in a store: a stream of inventories.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{self, Stream, StreamExt as _};
use streamkit_protocol::v2::{Call as Asked, Worker, Workers as OverV2, WorkersTold};
use streamkit_protocol::{Request, SubscribeWorkers, WorkerMessage};
use streamkit_record::Timestamp;

use super::channel::{Ask, Came, LiveChannel, Stopped, WINDOW_BYTES};
use super::resuming::Resuming;
use crate::call::Call;
use crate::error::Error;

/// The workers of a store: who is there, then who is there at each change, for as long as it is polled. Whoever is slow is told the
/// newest inventory alone. If its connection ends, it is made anew over the next one, for as long as the client's timeout; a server that was
/// restarted knows no worker until it has come again. It ends with an error alone. Dropping it ends it on the server.
pub struct Workers(Pin<Box<dyn Stream<Item = Result<Vec<Worker>, Error>> + Send>>);

impl Workers {
    pub(super) fn new(call: Call) -> Self {
        let watching = Watching {
            resuming: Resuming::new(call.timeout()),
            call,
            channel: None,
            is_told: false,
            stopped: None,
        };
        let told = stream::unfold(Some(watching), async |watching| {
            let mut watching = watching?;
            match watching.next().await {
                Ok(workers) => Some((Ok(workers), Some(watching))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Self(Box::pin(told.fuse()))
    }
}

impl Stream for Workers {
    type Item = Result<Vec<Worker>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

struct Watching {
    call: Call,
    channel: Option<LiveChannel>,
    /// Whether something was told over this channel.
    is_told: bool,
    /// Why the channel is over, if that came right behind an inventory.
    stopped: Option<Stopped>,
    resuming: Resuming,
}

impl Watching {
    async fn next(&mut self) -> Result<Vec<Worker>, Error> {
        loop {
            match self.newest().await {
                Ok(workers) => return Ok(workers),
                Err(stopped) => {
                    self.channel = None;
                    if let Stopped::Failed(error) = stopped {
                        self.resuming.go_on(error).await?;
                    }
                }
            }
        }
    }

    /// The newest inventory that is here, or the next.
    async fn newest(&mut self) -> Result<Vec<Worker>, Stopped> {
        if let Some(stopped) = self.stopped.take() {
            return Err(stopped);
        }
        let channel = match &mut self.channel {
            Some(channel) => channel,
            None => {
                let patience = self.resuming.patience();
                // Whoever only looks is sent no heartbeats: that its connection lives is all there is to know.
                let opened = LiveChannel::open(&self.call, &ask(), None, patience).await?;
                self.is_told = false;
                self.channel.insert(opened)
            }
        };
        loop {
            let mut newest = inventory(&channel.next().await?)?;
            match std::mem::replace(&mut self.is_told, true) {
                true => self.resuming.went_on(),
                false => self.resuming.has_begun(),
            }
            while newest.is_some()
                && let Some(came) = channel.try_next()
            {
                match came.and_then(|came| Ok(inventory(&came)?)) {
                    Ok(came) => newest = came.or(newest),
                    Err(stopped) => {
                        self.stopped = Some(stopped);
                        break;
                    }
                }
            }
            if let Some(workers) = newest {
                return Ok(workers);
            }
        }
    }
}

fn ask() -> Ask {
    Ask {
        v1: Request::SubscribeWorkers(SubscribeWorkers::default()),
        v2: Asked::Workers(OverV2 {
            credit: WINDOW_BYTES,
            own: None,
        }),
    }
}

/// The workers that a message tells; `None`: it is a sign of life.
pub(super) fn inventory(came: &Came) -> Result<Option<Vec<Worker>>, Error> {
    match came {
        Came::V1(message) => match WorkerMessage::decode(message).map_err(Error::malformed)? {
            WorkerMessage::Inventory(inventory) => {
                let workers = inventory.workers.into_iter().map(|worker| Worker {
                    id: worker.worker_id,
                    last_seen: Timestamp(worker.last_seen_at),
                    metadata: worker.metadata,
                });
                Ok(Some(workers.collect()))
            }
            WorkerMessage::Presence(_) => Ok(None),
        },
        Came::V2(message) => match WorkersTold::decode(message).map_err(Error::malformed)? {
            WorkersTold::Inventory(_, workers) => Ok(Some(workers)),
            WorkersTold::Alive(_) => Ok(None),
        },
    }
}
