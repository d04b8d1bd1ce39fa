//! Inboxes: what a connection has received and its channels have not dealt with. Each byte takes room of its channel and
//! of its connection until its record is stored or dropped, so that neither can make the server hold more than its share.
//!
//! **Nobody waits for ever.** Reading the socket is the only thing that waits for room, so while it waits nothing comes in.
//! Let the message that waits need `M` of the connection's `C` bytes, and `N` channels hold some room. Each byte of it is
//! 1. in an inbox: its operation takes it as soon as it is not busy;
//! 2. in a chunk being committed, or before the answer to one: both end by themselves, as the disk works and the peer reads;
//! 3. in an open chunk, which alone would wait for more of what cannot come. So while the wait lasts, a chunk of more than
//!    `(C - M) / N` is committed as soon as its inbox is empty.
//!
//! When all is at rest, `N` channels hold at most `(C - M) / N` each: there is room for `M`. The room of one channel needs
//! no such rule, because a whole open chunk and the largest message fit ([`CHANNEL_INBOUND_BYTES_MIN`]). A disk that does
//! not move, or a peer that does not read, is what [`Limits::inbound_wait`] is for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use streamkit_protocol::Terminal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::budgets::Budgets;
use super::channels::Channels;
use super::fair::FairShare;
use super::inbound::{ALWAYS_BYTES, Counted};
use crate::limits::{CHANNEL_INBOUND_BYTES_MIN, Limits, RECORD_OVERHEAD_BYTES};
use crate::stood;

/// What a request costs for each of its bytes, and once: a map of short offsets grows about so much when it is read.
const REQUEST_GROWTH: usize = 16;

/// No chunk is too large.
pub(super) const ROOM_ENOUGH: usize = usize::MAX;

/// What a request takes, held until it is dropped.
#[expect(dead_code, reason = "held, not used")]
pub(super) enum RequestRoom {
    /// Room that small requests of each connection always have.
    Small(OwnedSemaphorePermit),
    /// Room of its connection and of all, taken for its store.
    Large(OwnedSemaphorePermit, FairShare),
}

/// Makes inboxes that share a connection's bound.
pub(super) struct Inboxes {
    budgets: Arc<Budgets>,
    connection: Arc<Semaphore>,
    connection_bytes: usize,
    channel_bytes: usize,
    requests: Arc<Semaphore>,
    requests_bytes: usize,
    /// What small requests always have.
    small_requests: Arc<Semaphore>,
    wait: Duration,
    /// What an open chunk may hold just now.
    chunk_bytes: watch::Sender<usize>,
    asks: mpsc::UnboundedSender<Ask>,
}

/// What a channel wants of whoever reads the socket.
pub(super) enum Ask {
    /// A [`Received::mark`], once all that its peer had queued until now is here.
    Mark(Uuid),
    /// Nothing; but frames of this peer have overtaken each other.
    Overtaken,
}

/// The sending end of a channel's inbox.
#[derive(Clone)]
pub(super) struct Inbox {
    queue: mpsc::UnboundedSender<Received>,
    room: Arc<Semaphore>,
    capacity: usize,
    overloaded: CancellationToken,
    seen: Arc<Seen>,
}

/// What has come for a channel, and what it makes of ends.
#[derive(Default)]
struct Seen {
    messages: AtomicUsize,
    ended: AtomicBool,
    ends_at_once: AtomicBool,
}

/// The channel did not take its messages.
pub(super) struct Overloaded;

/// One message of the peer, or its end. Holds its room until dropped.
pub(crate) struct Received {
    pub(crate) message: Bytes,
    pub(crate) terminal: Option<Terminal>,
    /// No message: all that its peer had queued when the channel asked for this has come before it.
    pub(crate) mark: bool,
    pub(crate) room: Room,
}

/// Room of a channel, of its connection, and, beyond what a connection always has, of all.
#[derive(Default)]
pub(crate) struct Room {
    own: Option<[OwnedSemaphorePermit; 2]>,
    all: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.own.as_ref().map_or(0, |[connection, _]| connection.num_permits())
    }

    /// Gives back what a message took on the wire beyond the record in it.
    pub(crate) fn shrink(&mut self, record_bytes: usize) {
        for permit in self.own.iter_mut().flatten().chain(&mut self.all) {
            let more = permit
                .num_permits()
                .saturating_sub(record_bytes + RECORD_OVERHEAD_BYTES);
            drop(permit.split(more));
        }
    }

    /// Takes over another's.
    pub(crate) fn merge(&mut self, other: Room) {
        match (&mut self.own, other.own) {
            (Some(held), Some(more)) => {
                for (held, more) in held.iter_mut().zip(more) {
                    held.merge(more);
                }
            }
            (held @ None, more) => *held = more,
            (Some(_), None) => {}
        }
        match (&mut self.all, other.all) {
            (Some(held), Some(more)) => held.merge(more),
            (held @ None, more) => *held = more,
            (Some(_), None) => {}
        }
    }
}

impl Inboxes {
    /// Inboxes, and what their channels will ask for.
    pub(super) fn new(limits: &Limits, budgets: Arc<Budgets>) -> (Self, mpsc::UnboundedReceiver<Ask>) {
        let most = u32::MAX as usize >> 4;
        // One connection never takes all.
        let connection_bytes = limits.connection_inbound_bytes.min(limits.inbound_bytes / 2).min(most);
        let requests_bytes = connection_bytes / 2;
        let (asks, asked) = mpsc::unbounded_channel();
        let inboxes = Self {
            budgets,
            connection: Arc::new(Semaphore::new(connection_bytes)),
            connection_bytes,
            channel_bytes: limits.channel_inbound_bytes.clamp(CHANNEL_INBOUND_BYTES_MIN, most),
            requests: Arc::new(Semaphore::new(requests_bytes)),
            requests_bytes,
            small_requests: Arc::new(Semaphore::new(ALWAYS_BYTES)),
            wait: limits.inbound_wait,
            chunk_bytes: watch::Sender::new(ROOM_ENOUGH),
            asks,
        };
        (inboxes, asked)
    }

    pub(super) fn channel(&self, id: Uuid) -> (Inbox, InboxReader) {
        let (queue, received) = mpsc::unbounded_channel();
        let overloaded = CancellationToken::new();
        let seen = Arc::<Seen>::default();
        let room = Arc::new(Semaphore::new(self.channel_bytes));
        let reader = InboxReader {
            id,
            asks: self.asks.clone(),
            seen: seen.clone(),
            early: VecDeque::new(),
            all_chunk_bytes: self.budgets.inbound.chunk_bytes(),
            _counted: self.budgets.inbound.channel(),
            received,
            room: room.clone(),
            capacity: self.channel_bytes,
            wait: self.wait,
            overloaded: overloaded.clone(),
            chunk_bytes: self.chunk_bytes.subscribe(),
        };
        let inbox = Inbox {
            queue,
            room,
            capacity: self.channel_bytes,
            overloaded,
            seen,
        };
        (inbox, reader)
    }

    /// Room for a request and what it becomes, to be held while its operation runs: at once or not at all, because running
    /// operations may take as long as they like. One request has room whatever its size, unless those of others take it.
    pub(super) fn request(&self, store: Uuid, bytes: usize) -> Option<RequestRoom> {
        let bytes = ((bytes + 1) * REQUEST_GROWTH).min(self.requests_bytes);
        let permits = u32::try_from(bytes).ok()?;
        if let Ok(small) = self.small_requests.clone().try_acquire_many_owned(permits) {
            return Some(RequestRoom::Small(small));
        }
        let own = self.requests.clone().try_acquire_many_owned(permits).ok()?;
        Some(RequestRoom::Large(own, self.budgets.requests.try_take(store, bytes)?))
    }

    /// Puts a message into an inbox (a clean end at once: it takes no room), waiting for room there and in the connection but not for ever.
    pub(super) async fn deliver(
        &self,
        inbox: &Inbox,
        message: Bytes,
        terminal: Option<Terminal>,
        channels: &Channels,
    ) -> Result<(), Overloaded> {
        if terminal == Some(Terminal::Close) {
            inbox.end(Terminal::Close);
            return Ok(());
        }
        let bytes = message.len() + RECORD_OVERHEAD_BYTES;
        if bytes > self.connection_bytes {
            return Err(Overloaded);
        }
        let permits = u32::try_from(bytes).map_err(|_| Overloaded)?;
        let room = async {
            let connection = match self.connection.clone().try_acquire_many_owned(permits) {
                Ok(permit) => permit,
                Err(_) => {
                    let holders = channels.holding_room().max(1);
                    self.chunk_bytes.send_replace((self.connection_bytes - bytes) / holders);
                    let permit = self.connection.clone().acquire_many_owned(permits).await;
                    self.chunk_bytes.send_replace(ROOM_ENOUGH);
                    permit.map_err(|_| Overloaded)?
                }
            };
            let all = match self.connection_bytes - self.connection.available_permits() > ALWAYS_BYTES {
                true => Some(self.budgets.inbound.take(permits).await.ok_or(Overloaded)?),
                false => None,
            };
            let own = inbox.room.clone().acquire_many_owned(permits).await;
            let own = Some([connection, own.map_err(|_| Overloaded)?]);
            Ok(Room { own, all })
        };
        let room = tokio::select! {
            biased;
            room = room => Some(room),
            () = stood::sleep(self.wait) => None,
            // The operation ended meanwhile: the message is late, and dropped.
            () = inbox.queue.closed() => {
                self.chunk_bytes.send_replace(ROOM_ENOUGH);
                return Ok(());
            }
        };
        let Some(room) = room else {
            self.chunk_bytes.send_replace(ROOM_ENOUGH);
            return Err(Overloaded);
        };
        let _ = inbox.queue.send(Received {
            message,
            terminal,
            mark: false,
            room: room?,
        });
        Ok(())
    }
}

impl Inbox {
    /// Ends the channel: it was told so by an error frame already.
    pub(super) fn overload(&self) {
        self.overloaded.cancel();
    }

    /// Puts its peer's end into the inbox, without waiting. An end behind an end says nothing.
    pub(super) fn end(&self, terminal: Terminal) {
        if !self.seen.ended.swap(true, Ordering::Relaxed) {
            let _ = self.queue.send(Received {
                message: Bytes::new(),
                terminal: Some(terminal),
                mark: false,
                room: Room::default(),
            });
        }
    }

    /// Whether its peer's end is in it, and what comes behind that end matters.
    pub(super) fn has_ended(&self) -> bool {
        self.seen.ended.load(Ordering::Relaxed) && !self.ends_at_once()
    }

    /// Counts a message.
    pub(super) fn count(&self) {
        self.seen.messages.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn messages(&self) -> usize {
        self.seen.messages.load(Ordering::Relaxed)
    }

    /// Whether nothing that may come behind its peer's end matters to the channel.
    pub(super) fn ends_at_once(&self) -> bool {
        self.seen.ends_at_once.load(Ordering::Relaxed) || self.queue.is_closed()
    }

    /// Tells the channel that all that its peer had queued when it asked is here.
    pub(super) fn mark(&self) {
        let _ = self.queue.send(Received {
            message: Bytes::new(),
            terminal: None,
            mark: true,
            room: Room::default(),
        });
    }

    /// Whether its channel holds any room.
    pub(super) fn holds_room(&self) -> bool {
        self.room.available_permits() < self.capacity
    }
}

/// What an operation finds in its inbox.
pub(super) enum Next {
    /// A message, or the peer's end.
    Received(Received),
    /// Nothing, and others wait for the room that this operation holds.
    TooLarge,
    /// Nothing more can come.
    Over,
}

/// The receiving end of a channel's inbox.
pub(super) struct InboxReader {
    id: Uuid,
    asks: mpsc::UnboundedSender<Ask>,
    seen: Arc<Seen>,
    /// What came before the channel's request.
    early: VecDeque<Received>,
    all_chunk_bytes: watch::Receiver<usize>,
    _counted: Counted,
    received: mpsc::UnboundedReceiver<Received>,
    room: Arc<Semaphore>,
    capacity: usize,
    wait: Duration,
    overloaded: CancellationToken,
    chunk_bytes: watch::Receiver<usize>,
}

impl InboxReader {
    /// What comes next for an operation that holds so many bytes.
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self, held: usize) -> Next {
        if let Some(early) = self.early.pop_front() {
            return Next::Received(early);
        }
        tokio::select! {
            biased;
            received = self.received.recv() => received.map_or(Next::Over, Next::Received),
            Ok(_) = self.chunk_bytes.wait_for(|most| held > *most), if held > 0 => Next::TooLarge,
            Ok(_) = self.all_chunk_bytes.wait_for(|most| held > *most), if held > 0 => Next::TooLarge,
        }
    }

    /// Puts back what came too early.
    pub(super) fn put_back(&mut self, early: VecDeque<Received>) {
        self.early = early;
    }

    /// Asks for a mark: see [`Received::mark`].
    pub(super) fn ask_for_mark(&self) {
        let _ = self.asks.send(Ask::Mark(self.id));
    }

    /// Tells whoever reads the socket that frames of this peer overtake each other.
    pub(super) fn overtaken(&self) {
        let _ = self.asks.send(Ask::Overtaken);
    }

    /// Nothing that may come behind the peer's end matters.
    pub(super) fn end_at_once(&self) {
        self.seen.ends_at_once.store(true, Ordering::Relaxed);
    }

    /// Cancelled when the channel was ended for what it did not take.
    pub(super) fn overloaded(&self) -> &CancellationToken {
        &self.overloaded
    }

    /// Pending until this channel is the one to give way, begun when its peer began to take nothing of it: it has held room
    /// for as long as others may wait, and others wait for room of all.
    pub(super) async fn gives_way(&self) {
        stood::sleep(self.wait).await;
        let mut all = self.all_chunk_bytes.clone();
        loop {
            if all.wait_for(|most| *most != ROOM_ENOUGH).await.is_err() {
                return std::future::pending().await;
            }
            if self.room.available_permits() < self.capacity {
                return;
            }
            // It holds nothing that they wait for, but may once more has come.
            tokio::time::sleep(self.wait.min(Duration::from_millis(100))).await;
        }
    }
}

#[cfg(test)]
#[path = "inbox_tests.rs"]
mod tests;
