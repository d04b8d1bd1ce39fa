//! A call that goes on until one of its sides ends it, in the version that the server speaks.

use std::time::Duration;

use bytes::Bytes;
use streamkit_protocol::v2::{Call as Asked, SignOfLife};
use streamkit_protocol::{Presence, Request, WorkerMessage};
use streamkit_record::{StoreId, Timestamp};
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use crate::call::Call;
use crate::channel::{Arrival, Channel};
use crate::connected::Connected;
use crate::error::Error;
use crate::v2::{self, Heard, Patience};

/// Bytes of messages that a server of v2 may send ahead.
pub(super) const WINDOW_BYTES: u32 = 256 << 10;

/// Nothing but [`LiveChannel`] looks at the time.
const FOR_EVER: Duration = Duration::MAX;

/// What is asked, in either version.
pub(super) struct Ask {
    pub(super) v1: Request,
    pub(super) v2: Asked,
}

/// A message, in the words of its version.
pub(super) enum Came {
    V1(Bytes),
    V2(Bytes),
}

/// Why nothing more comes over a channel.
#[derive(Debug)]
pub(super) enum Stopped {
    /// Its consumer was so slow that a server of v1 was told to stop: it has to ask again.
    Behind,
    Failed(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

enum Over {
    V1(Channel),
    V2(v2::Channel),
}

/// An open channel. Dropped, it tells the server to stop.
pub(super) struct LiveChannel {
    over: Over,
    connection: Connected,
    /// After so long without a message the server is taken for dead; `None`: its connection alone tells that.
    silence: Option<Duration>,
    heard: Instant,
}

impl LiveChannel {
    /// Asks over the connection that there is, dialled if there is none.
    pub(super) async fn open(
        call: &Call,
        ask: &Ask,
        silence: Option<Duration>,
        patience: Patience,
    ) -> Result<Self, Error> {
        let connection = call.connection_within(patience.left()).await?;
        let over = match &connection {
            Connected::V1(connection) => {
                let mut channel = call.channel_over(connection.clone());
                channel.request(&ask.v1).await?;
                Over::V1(channel)
            }
            Connected::V2(connection) => {
                let store = StoreId(call.store());
                Over::V2(connection.open(store, &ask.v2, patience, WINDOW_BYTES).await?)
            }
        };
        Ok(Self {
            over,
            connection,
            silence,
            heard: Instant::now(),
        })
    }

    /// What comes next.
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Came, Stopped> {
        let over = &mut self.over;
        let comes = async {
            match over {
                Over::V1(channel) => v1(channel.next_within(FOR_EVER).await),
                Over::V2(channel) => v2(channel.next(Patience::new(FOR_EVER)).await.map_err(Error::from)),
            }
        };
        let came = match self.silence {
            None => comes.await,
            Some(silence) => {
                // Whoever has not looked for long gives what is on its way the time to arrive.
                let deadline = (self.heard + silence).max(Instant::now() + silence / 6);
                match timeout_at(deadline, comes).await {
                    Ok(came) => came,
                    Err(_) => {
                        // Others may be answered over it. What is asked from now on goes over another.
                        self.connection.retire();
                        Err(Error::Timeout(silence).into())
                    }
                }
            }
        };
        self.heard = Instant::now();
        came
    }

    /// Says that a worker is there, by its clock. Where it takes longer than `longest` until there is room, it says so another time.
    ///
    /// Cancel safe.
    pub(super) async fn lives(&mut self, worker: Uuid, at: Timestamp, longest: Duration) -> Result<(), Error> {
        match &mut self.over {
            Over::V1(channel) => {
                let presence = Presence {
                    worker_id: worker,
                    heartbeat: false,
                    timestamp: at.0,
                };
                let mut batch = channel.batch();
                batch.push(&WorkerMessage::Presence(presence).encode())?;
                let sent = timeout(longest, channel.send(&mut batch)).await;
                sent.unwrap_or(Ok(()))
            }
            Over::V2(channel) => {
                channel.more(|out| SignOfLife(at).put(out));
                Ok(())
            }
        }
    }

    /// What is here already, if anything.
    pub(super) fn try_next(&mut self) -> Option<Result<Came, Stopped>> {
        let came = match &mut self.over {
            Over::V1(channel) => v1(channel.try_next()?),
            Over::V2(channel) => v2(channel.try_next()?.map_err(Error::from)),
        };
        self.heard = Instant::now();
        Some(came)
    }
}

fn v1(arrived: Result<Arrival, Error>) -> Result<Came, Stopped> {
    match arrived? {
        Arrival::Message(message) => Ok(Came::V1(message)),
        Arrival::Overrun => Err(Stopped::Behind),
        // Go servers end it so when they put its store aside.
        Arrival::End => Err(Error::Unavailable("the server ended it".to_owned()).into()),
    }
}

fn v2(heard: Result<Heard, Error>) -> Result<Came, Stopped> {
    match heard? {
        Heard::Message(message) => Ok(Came::V2(message)),
        Heard::End(_) => Err(Error::Protocol("a call without an end ended without an error".to_owned()).into()),
    }
}
