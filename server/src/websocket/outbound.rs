//! One queue per connection, first in first out, bounded in bytes. Because every frame of a channel goes through it in the
//! order it was made, nothing overtakes anything.
//!
//! What is small has room of its own, which each connection always has, so that it waits for nobody else's bulk. The rest is
//! within the budget of what goes out, too.
//!
//! Whoever reads the socket queues frames too: pings, pongs, refusals. They have room of their own, so that a peer that
//! takes entries slowly is still heard.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::coop::unconstrained;

use crate::budgets::{Budgets, Ended, Share};
use crate::limits::{Limits, SMALL_BYTES};

/// Bytes of refusals that may be queued: some dozens. Beyond, reading waits for a peer that asks and does not listen.
const REFUSAL_BYTES: usize = 16 << 10;

/// Bytes of frames that go out as one message; of a large frame, all.
const MESSAGE_BYTES: usize = 16 << 10;

/// Where channels send.
#[derive(Clone)]
pub(crate) struct Outbound {
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
    /// What several that go out together take.
    All(Vec<Takes>),
}

/// Frames queued together.
pub(super) struct Queued {
    pub(super) frames: Bytes,
    /// Where each frame ends.
    pub(super) ends: Vec<usize>,
    takes: Takes,
}

/// Frames on their way out together: of one channel, or one of a connection.
#[derive(Default)]
pub(crate) struct Frames {
    pub(crate) bytes: Vec<u8>,
    /// Where each of them ends.
    pub(crate) ends: Vec<usize>,
}

impl From<Vec<u8>> for Frames {
    fn from(frame: Vec<u8>) -> Self {
        let ends = vec![frame.len()];
        Self { bytes: frame, ends }
    }
}

/// The queue of a connection: where channels send, and what its wire takes from.
pub(crate) fn queue(limits: &Limits, budgets: Arc<Budgets>) -> (Outbound, Queue) {
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
        next: None,
        room,
        capacity,
        reserve,
    };
    (outbound, queue)
}

impl Outbound {
    /// Queues frames as soon as there is room.
    ///
    /// Cancel safe: dropped early, none of them is sent.
    ///
    /// # Errors
    /// [`Ended`]: the connection is gone.
    pub(crate) fn send(&self, frames: Frames) -> impl Future<Output = Result<(), Ended>> {
        self.queue(frames, None)
    }

    /// The same of frames that have a share of the budget of what goes out.
    ///
    /// # Errors
    /// [`Ended`]: the connection is gone.
    pub(crate) fn send_of(&self, frames: Frames, share: Share) -> impl Future<Output = Result<(), Ended>> {
        self.queue(frames, Some(share))
    }

    /// Waits until the queue would take something.
    ///
    /// # Errors
    /// [`Ended`]: the connection is gone.
    pub(crate) async fn has_room(&self) -> Result<(), Ended> {
        self.room.acquire().await.map(drop).map_err(|_| Ended)
    }

    /// Whether it would take something now, or nothing any more.
    pub(crate) fn is_roomy(&self) -> bool {
        self.room.available_permits() > 0 || self.room.is_closed()
    }

    async fn queue(&self, frames: Frames, share: Option<Share>) -> Result<(), Ended> {
        if frames.ends.is_empty() {
            return if self.room.is_closed() { Err(Ended) } else { Ok(()) };
        }
        let bytes = frames.bytes.len();
        if let Some(small) = self.small(bytes) {
            return self.push(frames, small);
        }
        let permits = bytes.min(self.capacity);
        let room = self.room.acquire_many(u32::try_from(permits).unwrap_or(u32::MAX));
        let room = room.await.map_err(|_| Ended)?;
        let share = match share {
            Some(share) => share,
            None => self.budgets.outgoing.take(frames.bytes.capacity()).await,
        };
        room.forget();
        self.push(frames, Takes::Room(permits, share))
    }

    /// What a small batch takes, if there is room for it beside everything else.
    fn small(&self, bytes: usize) -> Option<Takes> {
        let permits = u32::try_from(bytes).ok()?;
        self.reserve.small.try_acquire_many(permits).ok()?.forget();
        Some(Takes::Small(bytes))
    }

    fn push(&self, Frames { bytes, ends }: Frames, takes: Takes) -> Result<(), Ended> {
        let frames = bytes.into();
        self.queue.send(Queued { frames, ends, takes }).map_err(|_| Ended)
    }

    /// Queues a frame that refuses what the peer asked for. Waits only for earlier refusals. Of a connection that is gone, does
    /// nothing.
    pub(crate) async fn refuse(&self, frame: Vec<u8>) {
        let permits = frame.len().min(REFUSAL_BYTES);
        let room = self
            .reserve
            .refusals
            .acquire_many(u32::try_from(permits).unwrap_or(u32::MAX));
        if let Ok(room) = room.await {
            room.forget();
            let _ = self.push(frame.into(), Takes::Refusal(permits));
        }
    }

    /// Queues a ping, unless one is queued. Whether it did.
    pub(crate) fn ping(&self, frame: impl FnOnce() -> Vec<u8>) -> bool {
        let queues = !self.reserve.ping.swap(true, Ordering::Relaxed);
        if queues {
            let _ = self.push(frame().into(), Takes::Ping);
        }
        queues
    }

    /// Queues a pong, unless one is queued: it answers the later ping too.
    pub(crate) fn pong(&self, frame: impl FnOnce() -> Vec<u8>) {
        if !self.reserve.pong.swap(true, Ordering::Relaxed) {
            let _ = self.push(frame().into(), Takes::Pong);
        }
    }

    /// Queues a small frame of the connection's own, whether there is room or not: its first and its last ones, and credit.
    pub(crate) fn last(&self, frame: Vec<u8>) {
        let _ = self.push(frame.into(), Takes::Nothing);
    }
}

/// The other end of the queue. Dropped, it lets nothing more in, and nobody wait.
pub(crate) struct Queue {
    queued: mpsc::UnboundedReceiver<Queued>,
    /// The next one, if it was looked at and has to go alone.
    next: Option<Queued>,
    room: Arc<Semaphore>,
    capacity: usize,
    reserve: Arc<Reserve>,
}

impl Queue {
    /// The next frames, in the order they were queued; `None` once all senders are gone.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Queued>> {
        match self.next.take() {
            None => self.poll_queued(cx),
            looked_at => Poll::Ready(looked_at),
        }
    }

    /// The same of what was not looked at. All that is here goes, however much it is: the socket says when it is enough.
    fn poll_queued(&mut self, cx: &mut Context<'_>) -> Poll<Option<Queued>> {
        pin!(unconstrained(self.queued.recv())).poll(cx)
    }

    /// The same, and with a small one all small ones that are queued behind it, as one message of several frames.
    pub(super) fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Queued>> {
        let Some(first) = ready!(self.poll_next(cx)) else {
            return Poll::Ready(None);
        };
        if first.frames.len() > SMALL_BYTES {
            return Poll::Ready(Some(first));
        }
        let Poll::Ready(Some(second)) = self.poll_queued(cx) else {
            return Poll::Ready(Some(first));
        };
        let (mut all, mut takes) = (Vec::with_capacity(MESSAGE_BYTES), vec![first.takes]);
        all.extend_from_slice(&first.frames);
        let mut next = Some(second);
        while let Some(queued) = next.take_if(|next| all.len() + next.frames.len() <= MESSAGE_BYTES) {
            all.extend_from_slice(&queued.frames);
            takes.push(queued.takes);
            next = match self.poll_queued(cx) {
                Poll::Ready(queued) => queued,
                Poll::Pending => None,
            };
        }
        self.next = next;
        let ends = vec![all.len()];
        let (frames, takes) = (all.into(), Takes::All(takes));
        Poll::Ready(Some(Queued { frames, ends, takes }))
    }

    /// Gives back the room of what the socket has taken.
    pub(super) fn sent(&self, queued: Queued) {
        self.give_back(queued.takes);
    }

    fn give_back(&self, takes: Takes) {
        match takes {
            Takes::Room(permits, _) => self.room.add_permits(permits),
            Takes::Small(permits) => self.reserve.small.add_permits(permits),
            Takes::Refusal(permits) => self.reserve.refusals.add_permits(permits),
            Takes::Ping => self.reserve.ping.store(false, Ordering::Relaxed),
            Takes::Pong => self.reserve.pong.store(false, Ordering::Relaxed),
            Takes::Nothing => {}
            Takes::All(takes) => takes.into_iter().for_each(|takes| self.give_back(takes)),
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

    fn frame(bytes: usize) -> Frames {
        vec![b'x'; bytes].into()
    }

    #[test]
    fn a_ping_that_is_not_queued_says_so() {
        let budgets = Arc::new(Budgets::new(&Limits::default()));
        let (outbound, _queue) = connection(&budgets);
        assert!(outbound.ping(Vec::new));
        assert!(!outbound.ping(Vec::new), "the first is not sent yet");
    }

    #[test]
    fn small_frames_that_wait_go_out_together_in_order_and_a_large_one_alone() {
        let budgets = Arc::new(Budgets::new(&Limits::default()));
        let (outbound, mut queue) = connection(&budgets);
        let sizes = [1, 2, 3, MESSAGE_BYTES + 1, 4, MESSAGE_BYTES - 3, 5];
        for (fill, bytes) in (0..).zip(sizes) {
            outbound.last(vec![fill; bytes]);
        }
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let (mut all, mut messages) = (Vec::new(), Vec::new());
        while let Poll::Ready(Some(message)) = queue.poll_message(&mut cx) {
            assert_eq!(message.ends, [message.frames.len()]);
            messages.push(message.frames.len());
            all.extend_from_slice(&message.frames);
            queue.sent(message);
        }
        assert_eq!(messages, [6, MESSAGE_BYTES + 1, 4, MESSAGE_BYTES - 3, 5]);
        let expected = (0..).zip(sizes).flat_map(|(fill, bytes)| vec![fill; bytes]);
        assert!(expected.eq(all));
    }

    #[tokio::test]
    async fn a_small_answer_waits_for_no_bulk_of_others_and_more_of_them_do() {
        let budgets = Arc::new(Budgets::new(&Limits::default()));
        let bulk = budgets.outgoing.take(usize::MAX).await;
        let (outbound, mut queue) = connection(&budgets);
        let small = SMALL_BYTES / 2;
        assert_eq!(outbound.send(frame(small)).now_or_never(), Some(Ok(())));
        assert_eq!(outbound.send(frame(small)).now_or_never(), Some(Ok(())));
        assert!(outbound.send(frame(small)).now_or_never().is_none());
        assert!(!queue.is_in_the_way(), "nobody waits for what every connection has");
        let taken = queue.queued.recv().now_or_never().flatten();
        queue.sent(taken.unwrap());
        assert_eq!(outbound.send(frame(small)).now_or_never(), Some(Ok(())));
        drop(bulk);
        assert_eq!(outbound.send(frame(small)).now_or_never(), Some(Ok(())));
        assert!(budgets.outgoing.held() >= small && queue.is_in_the_way());
        while let Some(Some(sent)) = queue.queued.recv().now_or_never() {
            queue.sent(sent);
        }
        assert_eq!(budgets.outgoing.held(), 0);
    }
}
