//! One queue per connection, first in first out, bounded in bytes. Because every frame of a channel goes through it in the
//! order it was made, nothing overtakes anything.
//!
//! Whoever reads the socket queues frames too: pings, pongs, refusals. They have room of their own, so that a peer that
//! takes entries slowly is still heard.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use streamkit_protocol::{Control, Frame, FrameHead};
use tokio::sync::{Semaphore, mpsc};

use crate::limits::Limits;

/// Bytes of refusals that may be queued: some hundred. Beyond, reading waits for a peer that asks and does not listen.
const REFUSAL_BYTES: usize = 64 << 10;

/// Where channels send.
#[derive(Clone)]
pub(super) struct Outbound {
    queue: mpsc::UnboundedSender<Queued>,
    /// Bytes the queue may still take. Closed when the connection is.
    room: Arc<Semaphore>,
    capacity: usize,
    reserve: Arc<Reserve>,
}

/// Room for what the reader of the socket sends.
struct Reserve {
    refusals: Semaphore,
    /// Whether one is queued; another would say nothing new.
    ping: AtomicBool,
    pong: AtomicBool,
}

/// What frames take until they are sent.
enum Takes {
    Room(usize),
    Refusal(usize),
    Ping,
    Pong,
    Nothing,
}

/// Frames queued together.
pub(super) struct Queued {
    pub(super) frames: Bytes,
    /// Where each frame ends.
    pub(super) ends: Vec<usize>,
    takes: Takes,
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
    let reserve = Arc::new(Reserve {
        refusals: Semaphore::new(REFUSAL_BYTES),
        ping: AtomicBool::new(false),
        pong: AtomicBool::new(false),
    });
    let outbound = Outbound {
        queue,
        room: room.clone(),
        capacity,
        reserve: reserve.clone(),
    };
    (outbound, Queue { queued, room, reserve })
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
        self.push(frames, ends, Takes::Room(permits))
    }

    fn push(&self, frames: Vec<u8>, ends: Vec<usize>, takes: Takes) -> bool {
        let frames = frames.into();
        self.queue.send(Queued { frames, ends, takes }).is_ok()
    }

    /// Queues a frame that refuses what the peer asked for. Waits only for earlier refusals.
    pub(super) async fn refuse(&self, frame: Vec<u8>) {
        let permits = frame.len().min(REFUSAL_BYTES);
        let room = self
            .reserve
            .refusals
            .acquire_many(u32::try_from(permits).unwrap_or(u32::MAX));
        if let Ok(room) = room.await {
            room.forget();
            let ends = vec![frame.len()];
            self.push(frame, ends, Takes::Refusal(permits));
        }
    }

    /// Queues a ping, unless one is queued. Whether it did.
    pub(super) fn ping(&self) -> bool {
        let queues = !self.reserve.ping.swap(true, Ordering::Relaxed);
        if queues {
            self.control(Control::Ping, Takes::Ping);
        }
        queues
    }

    /// Queues a pong, unless one is queued: it answers the later ping too.
    pub(super) fn pong(&self) {
        if !self.reserve.pong.swap(true, Ordering::Relaxed) {
            self.control(Control::Pong, Takes::Pong);
        }
    }

    /// Queues the connection's last frame, whether there is room or not.
    pub(super) fn close(&self) {
        self.control(Control::Close, Takes::Nothing);
    }

    fn control(&self, control: Control, takes: Takes) {
        let frame = Frame::connection(control).encode();
        let ends = vec![frame.len()];
        self.push(frame, ends, takes);
    }
}

/// The other end of the queue. Dropped, it lets nothing more in, and nobody wait.
pub(super) struct Queue {
    queued: mpsc::UnboundedReceiver<Queued>,
    room: Arc<Semaphore>,
    reserve: Arc<Reserve>,
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
        match queued.takes {
            Takes::Room(permits) => self.room.add_permits(permits),
            Takes::Refusal(permits) => self.reserve.refusals.add_permits(permits),
            Takes::Ping => self.reserve.ping.store(false, Ordering::Relaxed),
            Takes::Pong => self.reserve.pong.store(false, Ordering::Relaxed),
            Takes::Nothing => {}
        }
    }

    /// Lets nothing more in, and nobody wait. What is queued stays.
    pub(super) fn close(&self) {
        self.room.close();
        self.reserve.refusals.close();
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_that_is_not_queued_says_so() {
        let (outbound, _queue) = queue(&Limits::default());
        assert!(outbound.ping());
        assert!(!outbound.ping(), "the first is not sent yet");
    }
}
