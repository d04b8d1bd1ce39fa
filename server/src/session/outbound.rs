//! One queue per connection, first in first out, bounded in bytes; one task writes it to the socket. Because every frame
//! of a channel goes through it in the order it was made, nothing overtakes anything.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures_util::SinkExt as _;
use futures_util::stream::SplitSink;
use streamkit_protocol::FrameHead;
use tokio::sync::{Semaphore, mpsc};

use crate::limits::Limits;

/// Where channels send.
#[derive(Clone)]
pub(super) struct Outbound {
    queue: mpsc::UnboundedSender<Queued>,
    /// Bytes the queue may still take. Closed when the connection is.
    room: Arc<Semaphore>,
    capacity: usize,
}

struct Queued {
    frames: Bytes,
    /// Where each frame ends.
    ends: Vec<usize>,
    permits: usize,
}

/// Frames of one channel on their way out together.
pub(crate) struct Batch {
    head: FrameHead,
    frames: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    pub(crate) fn new(head: FrameHead) -> Self {
        Self {
            head,
            frames: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Adds a message.
    pub(crate) fn push(&mut self, message: &[u8]) {
        self.head.data_into(message, &mut self.frames);
        self.ends.push(self.frames.len());
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }
}

/// Starts the writer of a connection.
pub(super) fn start(sink: SplitSink<WebSocket, Message>, limits: &Limits) -> (Outbound, tokio::task::JoinHandle<()>) {
    let (queue, queued) = mpsc::unbounded_channel();
    let capacity = limits.outbound_bytes.max(1 << 20);
    let room = Arc::new(Semaphore::new(capacity));
    let writer = tokio::spawn(write(sink, queued, room.clone(), limits.write_deadline));
    (Outbound { queue, room, capacity }, writer)
}

impl Outbound {
    /// Queues a channel's frames as soon as there is room. `false` if the connection is gone.
    ///
    /// Cancel safe: dropped early, none of the batch is sent.
    pub(super) async fn send(&self, batch: Batch) -> bool {
        self.queue(batch.frames, batch.ends).await
    }

    /// Queues one frame.
    pub(super) async fn send_frame(&self, frame: Vec<u8>) {
        let end = frame.len();
        self.queue(frame, vec![end]).await;
    }

    async fn queue(&self, frames: Vec<u8>, ends: Vec<usize>) -> bool {
        if ends.is_empty() {
            return !self.room.is_closed();
        }
        let permits = frames.len().min(self.capacity);
        let Ok(room) = self.room.acquire_many(u32::try_from(permits).unwrap_or(u32::MAX)).await else {
            return false;
        };
        room.forget();
        let frames = frames.into();
        self.queue.send(Queued { frames, ends, permits }).is_ok()
    }

    /// Resolves when the connection is gone.
    pub(super) async fn closed(&self) {
        self.queue.closed().await;
    }

    /// Lets nothing more in, and nobody wait.
    pub(super) fn close(&self) {
        self.room.close();
    }
}

/// Sends what is queued until all senders are gone. A peer that does not take one queueful within the deadline is dropped.
async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut queued: mpsc::UnboundedReceiver<Queued>,
    room: Arc<Semaphore>,
    deadline: Duration,
) {
    while let Some(first) = queued.recv().await {
        let written = tokio::time::timeout(deadline, write_queued(&mut sink, first, &mut queued, &room)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "the connection broke");
                break;
            }
            Err(_) => {
                tracing::warn!("a peer did not read for {deadline:?}: its connection is closed");
                break;
            }
        }
        // The peer's silence also ends who waits for room; draining continues until the senders are gone.
    }
    room.close();
    queued.close();
    let _ = tokio::time::timeout(Duration::from_secs(1), super::close_socket(&mut sink)).await;
}

/// Writes what is in the queue now and flushes once.
async fn write_queued(
    sink: &mut SplitSink<WebSocket, Message>,
    first: Queued,
    queued: &mut mpsc::UnboundedReceiver<Queued>,
    room: &Semaphore,
) -> Result<(), axum::Error> {
    let mut next = Some(first);
    let mut bytes = 0;
    while let Some(Queued { frames, ends, permits }) = next {
        let mut start = 0;
        for end in ends {
            let frame = frames.slice(start..end);
            start = end;
            let text = Utf8Bytes::try_from(frame).map_err(axum::Error::new)?;
            sink.feed(Message::Text(text)).await?;
        }
        room.add_permits(permits);
        bytes += permits;
        // One deadline covers a bounded number of bytes.
        next = if bytes < 1 << 20 { queued.try_recv().ok() } else { None };
    }
    sink.flush().await
}
