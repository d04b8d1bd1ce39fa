//! One call: its request, further messages, the answers, and its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use streamkit_protocol::limits::MESSAGE_BYTES_MAX;
use streamkit_protocol::{FrameHead, Request, Terminal};

use crate::connection::{Connection, INBOX_BYTES, Inbound, Inbox};
use crate::error::Error;
use crate::progress::Unsent;

/// Frames of one channel, to be sent together.
pub(crate) struct Batch {
    head: FrameHead,
    frames: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    pub(crate) fn push(&mut self, message: &[u8]) -> Result<(), Error> {
        if message.len() > MESSAGE_BYTES_MAX {
            let bytes = message.len();
            return Err(Error::Invalid(format!(
                "message too large: {bytes} bytes encoded, at most {MESSAGE_BYTES_MAX} fit in a frame"
            )));
        }
        self.head.data_into(message, &mut self.frames);
        self.ends.push(self.frames.len());
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// What a channel yields next.
pub(crate) enum Arrival {
    Message(Bytes),
    /// The clean end.
    End,
    /// The inbox was full for a while: what came after it is lost, and the channel over.
    Overrun,
}

/// An open channel. Dropped before its end, it tells the server to stop.
pub(crate) struct Channel {
    /// What it says then.
    farewell: Terminal,
    head: FrameHead,
    connection: Arc<Connection>,
    inbox: Inbox,
    unsent: Arc<Unsent>,
    timeout: Duration,
    /// Whether the server may have heard of it.
    begun: bool,
    ended: bool,
}

impl Channel {
    /// A channel whose inbox overruns when its consumer is too slow.
    pub(crate) fn open(connection: &Arc<Connection>, store: uuid::Uuid, timeout: Duration) -> Self {
        Self::with_inbox(connection, store, timeout, INBOX_BYTES)
    }

    fn with_inbox(connection: &Arc<Connection>, store: uuid::Uuid, timeout: Duration, bytes_max: usize) -> Self {
        let (head, inbox) = connection.open(store, bytes_max);
        Self {
            farewell: Terminal::Close,
            head,
            connection: connection.clone(),
            inbox,
            unsent: Unsent::new(),
            timeout,
            begun: false,
            ended: false,
        }
    }

    /// Another channel to the same store over the same connection.
    pub(crate) fn another(&self) -> Self {
        Self::open(&self.connection, self.head.store_id, self.timeout)
    }

    /// The same for a list, which its caller holds in memory as a whole anyway: its inbox never overruns.
    pub(crate) fn for_a_list(&self) -> Self {
        Self::with_inbox(&self.connection, self.head.store_id, self.timeout, usize::MAX)
    }

    /// Has the server discard what it has not committed if the channel is dropped: to a server, the clean end of a producer
    /// means that its records are complete.
    pub(crate) fn discard_when_dropped(&mut self) {
        self.farewell = Terminal::CloseError("the producer gave up".to_owned());
    }

    /// An empty batch for this channel.
    pub(crate) fn batch(&self) -> Batch {
        Batch {
            head: self.head,
            frames: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Queues a batch, which is empty then; waits while the link is full.
    ///
    /// Cancel safe: dropped early, none of it is sent and the batch stays as it is.
    pub(crate) async fn send(&mut self, batch: &mut Batch) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let connection = self.connection.clone();
        let mut room = std::pin::pin!(connection.room_for(batch.frames.len()));
        loop {
            match tokio::time::timeout(self.timeout, &mut room).await {
                Ok(room) => break room.map_err(Error::ConnectionLost)?,
                // On a slow uplink it takes long until it is our turn: as long as the server takes something.
                Err(_) if connection.progress().stalled_for() < self.timeout => {}
                Err(_) => return Err(Error::Timeout(self.timeout)),
            }
        }
        let (frames, ends) = (std::mem::take(&mut batch.frames), std::mem::take(&mut batch.ends));
        self.begun = true;
        connection
            .send(frames, ends, self.unsent.clone())
            .map_err(Error::ConnectionLost)
    }

    /// Sends a request.
    pub(crate) async fn request(&mut self, request: &Request) -> Result<(), Error> {
        let mut batch = self.batch();
        batch.push(&request.encode())?;
        self.send(&mut batch).await
    }

    /// The next message; `None` at the clean end.
    ///
    /// Cancel safe.
    pub(crate) async fn receive(&mut self) -> Result<Option<Bytes>, Error> {
        self.next().await.and_then(message)
    }

    /// A message that is already here, if any.
    pub(crate) fn try_receive(&mut self) -> Option<Result<Option<Bytes>, Error>> {
        if self.ended {
            return Some(Ok(None));
        }
        let inbound = self.inbox.try_recv()?;
        Some(self.take(inbound).and_then(message))
    }

    /// What comes next.
    ///
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Arrival, Error> {
        if self.ended {
            return Ok(Arrival::End);
        }
        // A message already here needs no timer.
        let inbound = match self.inbox.try_recv() {
            Some(inbound) => inbound,
            None => self.wait().await?,
        };
        self.take(inbound)
    }

    /// Waits for what comes next. Silence counts from when the server was sent everything.
    async fn wait(&mut self) -> Result<Option<Inbound>, Error> {
        let mut since = Instant::now();
        loop {
            let left = self.timeout.saturating_sub(since.elapsed());
            if let Ok(inbound) = tokio::time::timeout(left, self.inbox.recv()).await {
                return Ok(inbound);
            }
            let all_sent = self.unsent.all_sent();
            if all_sent <= since || self.connection.progress().stalled_for() >= self.timeout {
                return Err(Error::Timeout(self.timeout));
            }
            since = all_sent;
        }
    }

    fn take(&mut self, inbound: Option<Inbound>) -> Result<Arrival, Error> {
        match inbound {
            Some(Inbound::Message(message)) => Ok(Arrival::Message(message)),
            Some(Inbound::Overrun) => {
                self.ended = true;
                Ok(Arrival::Overrun)
            }
            Some(Inbound::End(terminal)) => {
                self.ended = true;
                match terminal {
                    Terminal::Close => Ok(Arrival::End),
                    Terminal::CloseError(text) | Terminal::Error(text) => Err(Error::from_terminal(&text)),
                    Terminal::Unknown(kind, text) => Err(Error::Protocol(format!("unknown end {kind}: {text}"))),
                }
            }
            None => {
                self.ended = true;
                let why = self.connection.ended().unwrap_or_else(|| "closed".to_owned());
                Err(Error::ConnectionLost(why))
            }
        }
    }
}

/// For calls that are answered with less than an inbox holds.
fn message(arrival: Arrival) -> Result<Option<Bytes>, Error> {
    match arrival {
        Arrival::Message(message) => Ok(Some(message)),
        Arrival::End => Ok(None),
        Arrival::Overrun => Err(Error::Protocol(format!(
            "more than {INBOX_BYTES} bytes came in answer to a call that has a small one"
        ))),
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.forget(self.head.channel_id);
            if self.begun {
                self.connection.abandon(self.head, &self.farewell);
            }
        }
    }
}
