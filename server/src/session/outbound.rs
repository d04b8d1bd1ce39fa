//! One queue per connection, first in first out, bounded in bytes. Because every frame of a channel goes through it in the
//! order it was made, nothing overtakes anything.
//!
//! What is small has room of its own, which each connection always has, so that it waits for nobody else's bulk. The rest is
//! within the budget of what goes out, too.
//!
//! Whoever reads the socket queues frames too: pings, pongs, refusals. They have room of their own, so that a peer that
//! takes entries slowly is still heard.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use streamkit_protocol::limits::FRAME_OVERHEAD_BYTES;
use streamkit_protocol::{Control, Frame, FrameHead};
use tokio::sync::{Semaphore, mpsc};

use super::budget::Share;
use super::budgets::Budgets;
use crate::limits::Limits;

/// Bytes of refusals that may be queued: some dozens. Beyond, reading waits for a peer that asks and does not listen.
const REFUSAL_BYTES: usize = 16 << 10;

/// Bytes of small answers that may be queued beside everything else: some dozens.
pub(crate) const SMALL_BYTES: usize = 16 << 10;

/// Bytes of a message that a batch makes room for at once.
const LARGE_BYTES: usize = 64 << 10;

/// Where channels send.
#[derive(Clone)]
pub(super) struct Outbound {
    queue: mpsc::UnboundedSender<Queued>,
    /// Bytes the queue may still take. Closed when the connection is.
    room: Arc<Semaphore>,
    capacity: usize,
    reserve: Arc<Reserve>,
    budgets: Arc<Budgets>,
}

/// Room for what is small, and for what the reader of the socket sends.
struct Reserve {
    small: Semaphore,
    refusals: Semaphore,
    /// Whether one is queued; another would say nothing new.
    ping: AtomicBool,
    pong: AtomicBool,
}

/// What frames take until they are sent.
enum Takes {
    Room(usize, #[expect(dead_code, reason = "held, not used")] Share),
    Small(usize),
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
        if message.len() > LARGE_BYTES {
            // Exactly: it may stay for long.
            self.frames
                .reserve_exact(message.len().div_ceil(3) * 4 + FRAME_OVERHEAD_BYTES);
        }
        self.head.data_into(message, &mut self.frames);
        self.ends.push(self.frames.len());
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Bytes of memory.
    pub(super) fn capacity(&self) -> usize {
        self.frames.capacity()
    }
}

/// The queue of a connection: where channels send, and what its wire takes from.
pub(super) fn queue(limits: &Limits, budgets: Arc<Budgets>) -> (Outbound, Queue) {
    let (queue, queued) = mpsc::unbounded_channel();
    let capacity = limits.outbound_bytes.max(1 << 20);
    let room = Arc::new(Semaphore::new(capacity));
    let reserve = Arc::new(Reserve {
        small: Semaphore::new(SMALL_BYTES),
        refusals: Semaphore::new(REFUSAL_BYTES),
        ping: AtomicBool::new(false),
        pong: AtomicBool::new(false),
    });
    let outbound = Outbound {
        queue,
        room: room.clone(),
        capacity,
        reserve: reserve.clone(),
        budgets,
    };
    let queue = Queue {
        queued,
        room,
        capacity,
        reserve,
    };
    (outbound, queue)
}

impl Outbound {
    /// Queues a channel's frames as soon as there is room. `false` if the connection is gone.
    ///
    /// Cancel safe: dropped early, none of the batch is sent.
    pub(super) async fn send(&self, batch: Batch) -> bool {
        self.queue(batch.frames, batch.ends, None).await
    }

    /// The same of frames that have a share of the budget of what goes out.
    pub(super) async fn send_of(&self, batch: Batch, share: Share) -> bool {
        self.queue(batch.frames, batch.ends, Some(share)).await
    }

    /// Queues one frame.
    pub(super) async fn send_frame(&self, frame: Vec<u8>) {
        let end = frame.len();
        self.queue(frame, vec![end], None).await;
    }

    /// Waits until the queue would take something. `false` if the connection is gone.
    pub(super) async fn has_room(&self) -> bool {
        self.room.acquire().await.is_ok()
    }

    /// Whether it would take something now, or nothing any more.
    pub(super) fn is_roomy(&self) -> bool {
        self.room.available_permits() > 0 || self.room.is_closed()
    }

    async fn queue(&self, frames: Vec<u8>, ends: Vec<usize>, share: Option<Share>) -> bool {
        if ends.is_empty() {
            return !self.room.is_closed();
        }
        if let Some(small) = self.small(frames.len()) {
            return self.push(frames, ends, small);
        }
        let permits = frames.len().min(self.capacity);
        let Ok(room) = self.room.acquire_many(u32::try_from(permits).unwrap_or(u32::MAX)).await else {
            return false;
        };
        let share = match share {
            Some(share) => share,
            None => self.budgets.outgoing.take(frames.capacity()).await,
        };
        room.forget();
        self.push(frames, ends, Takes::Room(permits, share))
    }

    /// What a small batch takes, if there is room for it beside everything else.
    fn small(&self, bytes: usize) -> Option<Takes> {
        let permits = u32::try_from(bytes).ok()?;
        self.reserve.small.try_acquire_many(permits).ok()?.forget();
        Some(Takes::Small(bytes))
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
    capacity: usize,
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
    pub(super) fn sent(&self, queued: Queued) {
        match queued.takes {
            Takes::Room(permits, _) => self.room.add_permits(permits),
            Takes::Small(permits) => self.reserve.small.add_permits(permits),
            Takes::Refusal(permits) => self.reserve.refusals.add_permits(permits),
            Takes::Ping => self.reserve.ping.store(false, Ordering::Relaxed),
            Takes::Pong => self.reserve.pong.store(false, Ordering::Relaxed),
            Takes::Nothing => {}
        }
    }

    /// Whether it holds, or is about to, what others may wait for.
    pub(super) fn is_in_the_way(&self) -> bool {
        self.room.available_permits() < self.capacity
    }

    /// Lets nothing more in, and nobody wait. What is queued stays.
    pub(super) fn close(&self) {
        self.room.close();
        self.reserve.small.close();
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
    use futures_util::FutureExt as _;

    use super::*;

    fn connection(budgets: &Arc<Budgets>) -> (Outbound, Queue) {
        queue(&Limits::default(), budgets.clone())
    }

    fn batch(bytes: usize) -> Batch {
        let mut batch = Batch::new(FrameHead::new(uuid::Uuid::nil(), uuid::Uuid::nil()));
        batch.push(&vec![b'x'; bytes / 4 * 3 - FRAME_OVERHEAD_BYTES]);
        batch
    }

    #[test]
    fn a_ping_that_is_not_queued_says_so() {
        let budgets = Arc::new(Budgets::new(&Limits::default()));
        let (outbound, _queue) = connection(&budgets);
        assert!(outbound.ping());
        assert!(!outbound.ping(), "the first is not sent yet");
    }

    #[tokio::test]
    async fn a_small_answer_waits_for_no_bulk_of_others_and_more_of_them_do() {
        let budgets = Arc::new(Budgets::new(&Limits::default()));
        let bulk = budgets.outgoing.take(usize::MAX).await;
        let (outbound, mut queue) = connection(&budgets);
        let small = SMALL_BYTES / 2;
        assert_eq!(outbound.send(batch(small)).now_or_never(), Some(true));
        assert_eq!(outbound.send(batch(small)).now_or_never(), Some(true));
        assert!(outbound.send(batch(small)).now_or_never().is_none());
        assert!(!queue.is_in_the_way(), "nobody waits for what every connection has");
        let Ok(sent) = queue.queued.try_recv() else { panic!() };
        queue.sent(sent);
        assert_eq!(outbound.send(batch(small)).now_or_never(), Some(true));
        drop(bulk);
        assert_eq!(outbound.send(batch(small)).now_or_never(), Some(true));
        assert!(budgets.outgoing.held() >= small && queue.is_in_the_way());
        while let Ok(sent) = queue.queued.try_recv() {
            queue.sent(sent);
        }
        assert_eq!(budgets.outgoing.held(), 0);
    }
}
