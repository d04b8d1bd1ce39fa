//! One queue per connection, first in first out, bounded in bytes. Because every frame of a channel goes through it in the
//! order it was made, nothing overtakes anything.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
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

/// Frames queued together.
pub(super) struct Queued {
    pub(super) frames: Bytes,
    /// Where each frame ends.
    pub(super) ends: Vec<usize>,
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

/// The queue of a connection: where channels send, and what its wire takes from.
pub(super) fn queue(limits: &Limits) -> (Outbound, Queue) {
    let (queue, queued) = mpsc::unbounded_channel();
    let capacity = limits.outbound_bytes.max(1 << 20);
    let room = Arc::new(Semaphore::new(capacity));
    let outbound = Outbound {
        queue,
        room: room.clone(),
        capacity,
    };
    (outbound, Queue { queued, room })
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

    /// Queues the connection's last frame, whether there is room or not.
    pub(super) fn send_last(&self, frame: Vec<u8>) {
        let ends = vec![frame.len()];
        let frames = frame.into();
        let permits = 0;
        let _ = self.queue.send(Queued { frames, ends, permits });
    }
}

/// The other end of the queue. Dropped, it lets nothing more in, and nobody wait.
pub(super) struct Queue {
    queued: mpsc::UnboundedReceiver<Queued>,
    room: Arc<Semaphore>,
}

impl Queue {
    /// The next frames, in the order they were queued; `None` once all senders are gone.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Queued>> {
        match self.queued.try_recv() {
            Ok(queued) => Poll::Ready(Some(queued)),
            Err(_) => self.queued.poll_recv(cx),
        }
    }

    /// Gives back the room of what the socket has taken.
    pub(super) fn sent(&self, queued: &Queued) {
        self.room.add_permits(queued.permits);
    }

    /// Lets nothing more in, and nobody wait. What is queued stays.
    pub(super) fn close(&self) {
        self.room.close();
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.close();
    }
}
