//! Inboxes: what a connection has received and its channels have not dealt with. Each byte takes room of its channel and
//! of its connection until its record is stored or dropped, so that neither can make the server hold more than its share.
//!
//! **Nobody waits for ever.** Reading the socket is the only thing that waits for room, so while it waits nothing comes in.
//! Let the message that waits need `M` of the connection's `C` bytes, and `N` channels hold some room. Each byte of it is
//! 1. in an inbox: its verb takes it as soon as it is not busy;
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

use super::pressure::{OwnRoom, Pressure};
use crate::budgets::{ALWAYS_BYTES, Budgets, CountedChannel, FairShare, ROOM_ENOUGH, Room};
use crate::limits::{CHANNEL_INBOUND_BYTES_MIN, Limits, RECORD_OVERHEAD_BYTES};
use crate::stood;

/// What a request costs for each of its bytes, and once: a map of short offsets grows about so much when it is read.
const REQUEST_GROWTH: usize = 16;

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
    own: OwnRoom,
    overloaded: CancellationToken,
    came: Arc<Came>,
}

/// What has come for a channel, and what it makes of ends.
#[derive(Default)]
struct Came {
    messages: AtomicUsize,
    ended: AtomicBool,
    ends_at_once: AtomicBool,
}

/// The channel did not take its messages.
pub(super) struct Overloaded;

/// One message of the peer, or its end. Holds its room until dropped.
pub(super) struct Received {
    pub(super) message: Bytes,
    pub(super) terminal: Option<Terminal>,
    /// No message: all that its peer had queued when the channel asked for this has come before it.
    pub(super) mark: bool,
    pub(super) room: Room,
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
        let came = Arc::<Came>::default();
        let own = OwnRoom::new(self.channel_bytes);
        let pressure = Pressure::new(own.clone(), self.budgets.inbound.chunk_bytes(), self.wait);
        let inbox = Inbox {
            queue,
            own,
            overloaded: pressure.overloaded().clone(),
            came: came.clone(),
        };
        let reader = InboxReader {
            id,
            asks: self.asks.clone(),
            came,
            early: VecDeque::new(),
            received,
            chunk_bytes: self.chunk_bytes.subscribe(),
            all_chunk_bytes: self.budgets.inbound.chunk_bytes(),
            pressure,
            _counted: self.budgets.inbound.channel(),
        };
        (inbox, reader)
    }

    /// Room for a request and what it becomes, to be held while its verb runs: at once or not at all, because running
    /// verbs may take as long as they like. One request has room whatever its size, unless those of others take it.
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
    /// `holding`: how many channels of the connection hold room.
    pub(super) async fn deliver(
        &self,
        inbox: &Inbox,
        message: Bytes,
        terminal: Option<Terminal>,
        holding: impl Fn() -> usize,
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
                    let holders = holding().max(1);
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
            let own = inbox.own.take(permits).await.ok_or(Overloaded)?;
            Ok(Room::new(connection, own, all))
        };
        let room = tokio::select! {
            biased;
            room = room => Some(room),
            () = stood::sleep(self.wait) => None,
            // The verb ended meanwhile: the message is late, and dropped.
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
        if !self.came.ended.swap(true, Ordering::Relaxed) {
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
        self.came.ended.load(Ordering::Relaxed) && !self.ends_at_once()
    }

    /// Counts a message.
    pub(super) fn count(&self) {
        self.came.messages.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn messages(&self) -> usize {
        self.came.messages.load(Ordering::Relaxed)
    }

    /// Whether nothing that may come behind its peer's end matters to the channel.
    pub(super) fn ends_at_once(&self) -> bool {
        self.came.ends_at_once.load(Ordering::Relaxed) || self.queue.is_closed()
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
        self.own.is_held()
    }
}

/// What a verb finds in its inbox.
pub(super) enum FromInbox {
    /// A message, or the peer's end.
    Received(Received),
    /// Nothing, and others wait for the room that this verb holds.
    TooLarge,
    /// Nothing more can come.
    Over,
}

/// The receiving end of a channel's inbox.
pub(super) struct InboxReader {
    id: Uuid,
    asks: mpsc::UnboundedSender<Ask>,
    came: Arc<Came>,
    /// What came before the channel's request.
    early: VecDeque<Received>,
    received: mpsc::UnboundedReceiver<Received>,
    chunk_bytes: watch::Receiver<usize>,
    all_chunk_bytes: watch::Receiver<usize>,
    pressure: Pressure,
    _counted: CountedChannel,
}

impl InboxReader {
    /// What comes next for a verb that holds so many bytes.
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self, held: usize) -> FromInbox {
        if let Some(early) = self.early.pop_front() {
            return FromInbox::Received(early);
        }
        tokio::select! {
            biased;
            received = self.received.recv() => received.map_or(FromInbox::Over, FromInbox::Received),
            Ok(_) = self.chunk_bytes.wait_for(|most| held > *most), if held > 0 => FromInbox::TooLarge,
            Ok(_) = self.all_chunk_bytes.wait_for(|most| held > *most), if held > 0 => FromInbox::TooLarge,
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
        self.came.ends_at_once.store(true, Ordering::Relaxed);
    }

    /// What presses on the channel from outside.
    pub(super) fn pressure(&self) -> &Pressure {
        &self.pressure
    }
}

#[cfg(test)]
#[path = "inbox_tests.rs"]
mod tests;
