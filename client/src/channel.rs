//! One call: a request, what is sent after it, what comes back, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use streamkit_protocol::limits::MESSAGE_BYTES_MAX;
use streamkit_protocol::{FrameHead, Request, Terminal};
use tokio::sync::{Semaphore, mpsc};

use crate::connection::{Connection, Inbound, Received};
use crate::error::Error;

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

/// An open channel. Dropped before its end, it tells the server to stop.
pub(crate) struct Channel {
    /// What it says then.
    farewell: Terminal,
    head: FrameHead,
    connection: Arc<Connection>,
    received: mpsc::UnboundedReceiver<Received>,
    room: Arc<Semaphore>,
    timeout: Duration,
    ended: bool,
}

impl Channel {
    pub(crate) fn open(connection: &Arc<Connection>, store: uuid::Uuid, timeout: Duration) -> Self {
        let (id, received, room) = connection.open();
        Self {
            farewell: Terminal::Close,
            head: FrameHead::new(store, id),
            connection: connection.clone(),
            received,
            room,
            timeout,
            ended: false,
        }
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

    /// Queues a batch; waits while the link is full.
    pub(crate) async fn send(&self, batch: Batch) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let sent = tokio::time::timeout(self.timeout, self.connection.send(batch.frames, batch.ends)).await;
        sent.map_err(|_| Error::Timeout(self.timeout))?
            .map_err(Error::ConnectionLost)
    }

    /// Sends a request.
    pub(crate) async fn request(&self, request: &Request) -> Result<(), Error> {
        let mut batch = self.batch();
        batch.push(&request.encode())?;
        self.send(batch).await
    }

    /// The next message; `None` at the clean end.
    ///
    /// Cancel safe.
    pub(crate) async fn receive(&mut self) -> Result<Option<Bytes>, Error> {
        if self.ended {
            return Ok(None);
        }
        // A message already here needs no timer.
        let received = match self.received.try_recv() {
            Ok(received) => Some(received),
            Err(_) => match tokio::time::timeout(self.timeout, self.received.recv()).await {
                Ok(received) => received,
                Err(_) => return Err(Error::Timeout(self.timeout)),
            },
        };
        self.take(received)
    }

    /// A message that is already here, if any.
    pub(crate) fn try_receive(&mut self) -> Option<Result<Option<Bytes>, Error>> {
        if self.ended {
            return Some(Ok(None));
        }
        match self.received.try_recv() {
            Ok(received) => Some(self.take(Some(received))),
            Err(mpsc::error::TryRecvError::Empty) => None,
            Err(mpsc::error::TryRecvError::Disconnected) => Some(self.take(None)),
        }
    }

    fn take(&mut self, received: Option<Received>) -> Result<Option<Bytes>, Error> {
        let Some(Received { inbound, bytes }) = received else {
            self.ended = true;
            let why = self.connection.ended().unwrap_or_else(|| "closed".to_owned());
            return Err(Error::ConnectionLost(why));
        };
        match inbound {
            Inbound::Message(message) => {
                self.room.add_permits(bytes);
                Ok(Some(message))
            }
            Inbound::End(terminal) => {
                self.ended = true;
                match terminal {
                    Terminal::Close => Ok(None),
                    Terminal::CloseError(text) | Terminal::Error(text) => Err(Error::from_terminal(&text)),
                    Terminal::Unknown(kind, text) => Err(Error::Protocol(format!("unknown end {kind}: {text}"))),
                }
            }
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.forget(self.head.channel_id);
            self.connection.abandon(self.head, &self.farewell);
        }
    }
}
