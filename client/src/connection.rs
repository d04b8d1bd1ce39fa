//! One live WebSocket, as its channels see it: a queue to send from, and an inbox for each channel. Nothing waits for
//! a channel: one whose consumer is too slow is lost, and no other notices. When the connection ends, it tells every
//! open channel; nobody waits for a dead link.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use streamkit_protocol::{Control, Frame, FrameHead, Terminal};
use tokio::sync::{Semaphore, mpsc, watch};
use uuid::Uuid;

use crate::error::Error;
use crate::here::here;
use crate::progress::{Progress, Unsent};
use crate::terms::Terms;

/// Bytes waiting to be sent over one connection; callers wait for room.
const OUTBOUND_BYTES: usize = 4 << 20;

/// Bytes of unread messages a channel may hold; with more its inbox overruns.
pub(crate) const INBOX_BYTES: usize = 16 << 20;

/// What a message costs in an inbox beside its bytes.
const MESSAGE_OVERHEAD_BYTES: usize = 64;

/// What arrives for a channel.
pub(crate) enum Inbound {
    Message(Bytes),
    End(Terminal),
    /// The inbox was full: what comes after is discarded, and the server was told to stop.
    Overrun,
    /// The connection ends. Unless something came before, the server has begun nothing of the channel.
    Left,
}

/// The receiving end of a channel.
pub(crate) struct Inbox {
    queue: mpsc::UnboundedReceiver<Inbound>,
    /// Looked at, and not taken yet.
    next: Option<Inbound>,
    /// Bytes that are not taken.
    unread: Arc<AtomicUsize>,
}

impl Inbox {
    /// What arrives next; `None` once the connection is lost.
    ///
    /// Cancel safe.
    pub(crate) async fn recv(&mut self) -> Option<Inbound> {
        let inbound = match self.next.take() {
            None => self.queue.recv().await,
            looked_at => looked_at,
        };
        self.taken(inbound)
    }

    /// What is already here; the outer `None` if nothing is, the inner once the connection is lost.
    pub(crate) fn try_recv(&mut self) -> Option<Option<Inbound>> {
        match self.next.take().map_or_else(|| here(&mut self.queue), Ok) {
            Ok(inbound) => Some(self.taken(Some(inbound))),
            Err(mpsc::error::TryRecvError::Empty) => None,
            Err(mpsc::error::TryRecvError::Disconnected) => Some(None),
        }
    }

    /// Whether the connection ends and nothing of the channel was begun, as far as this inbox tells.
    pub(crate) fn is_left(&mut self) -> bool {
        if self.next.is_none() {
            self.next = here(&mut self.queue).ok();
        }
        matches!(self.next, Some(Inbound::Left))
    }

    fn taken(&self, inbound: Option<Inbound>) -> Option<Inbound> {
        if let Some(Inbound::Message(message)) = &inbound {
            self.unread.fetch_sub(cost(message), Ordering::Relaxed);
        }
        inbound
    }
}

fn cost(message: &Bytes) -> usize {
    message.len() + MESSAGE_OVERHEAD_BYTES
}

/// The sending end of an inbox.
struct Route {
    head: FrameHead,
    queue: mpsc::UnboundedSender<Inbound>,
    unread: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// The channels that something may arrive for.
#[derive(Default)]
struct Routes {
    open: HashMap<Uuid, Route>,
    /// None is added any more.
    closed: Option<Closed>,
}

/// Why no channel is opened any more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Closed {
    /// It was retired and its last channel is over, or the server has said that it ends.
    InOrder,
    /// Nobody has said so.
    Lost,
}

/// The state of a connection that its task and channels share.
pub(crate) struct Connection {
    terms: Terms,
    routes: Mutex<Routes>,
    /// Further calls go elsewhere, and it closes with its last channel.
    retired: AtomicBool,
    /// We end it ourselves.
    closes: AtomicBool,
    outbound: mpsc::UnboundedSender<Outgoing>,
    room: Semaphore,
    /// When the server last took something.
    progress: Arc<Progress>,
    /// Why the connection ended, once it has.
    ended: watch::Sender<Option<String>>,
}

/// What is queued to be sent.
pub(crate) enum Outgoing {
    Frames {
        frames: Bytes,
        /// Where each frame ends.
        ends: Vec<usize>,
        /// Bytes of room to give back once they are sent.
        permits: usize,
        /// Whose they are.
        sender: Option<Arc<Unsent>>,
    },
    /// Nothing is sent after it.
    Goodbye,
}

impl Connection {
    /// A connection whose task is not started yet, and what that has to send.
    pub(crate) fn new(progress: Arc<Progress>, terms: Terms) -> (Arc<Self>, mpsc::UnboundedReceiver<Outgoing>) {
        let (outbound, queued) = mpsc::unbounded_channel();
        let connection = Self {
            terms,
            routes: Mutex::default(),
            retired: AtomicBool::new(false),
            closes: AtomicBool::new(false),
            outbound,
            room: Semaphore::new(OUTBOUND_BYTES),
            progress,
            ended: watch::Sender::new(None),
        };
        (Arc::new(connection), queued)
    }

    /// What it was made with.
    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Whether further calls may use it.
    pub(crate) fn is_usable(&self) -> bool {
        !self.retired.load(Ordering::Relaxed) && self.ended.borrow().is_none()
    }

    /// Lets it go on for the channels that are open, and close with the last of them.
    pub(crate) fn retire(&self) {
        let mut routes = self.routes();
        self.retired.store(true, Ordering::Relaxed);
        self.close_if_done(&mut routes);
    }

    fn close_if_done(&self, routes: &mut Routes) {
        if self.retired.load(Ordering::Relaxed) && routes.open.is_empty() && routes.closed.is_none() {
            routes.closed = Some(Closed::InOrder);
            self.close();
        }
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it ended, and not in good order.
    pub(crate) fn is_lost(&self) -> bool {
        self.routes().closed == Some(Closed::Lost)
    }

    /// Why it ended; `None` while it lives.
    pub(crate) fn ended(&self) -> Option<String> {
        self.ended.borrow().clone()
    }

    /// Resolves to why it ended.
    pub(crate) async fn wait_ended(&self) -> String {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "closed".to_owned(),
        }
    }

    /// When the server last took something.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Opens a channel, with an inbox for so many bytes.
    pub(crate) fn open(&self, head: FrameHead, bytes_max: usize) -> Inbox {
        let (sender, queue) = mpsc::unbounded_channel();
        let unread = Arc::<AtomicUsize>::default();
        let route = Route {
            head,
            queue: sender,
            unread: unread.clone(),
            bytes_max,
        };
        let mut routes = self.routes();
        if routes.closed.is_some() {
            // Nothing is sent any more, and nobody would deliver anything.
            let _ = route.queue.send(Inbound::Left);
        } else {
            routes.open.insert(head.channel_id, route);
        }
        let next = None;
        Inbox { queue, next, unread }
    }

    /// Forgets a channel; late frames for it are dropped.
    pub(crate) fn forget(&self, id: Uuid) {
        let mut routes = self.routes();
        routes.open.remove(&id);
        self.close_if_done(&mut routes);
    }

    /// Waits for room to queue so many bytes of frames, for as long as the server takes something within `timeout`; the room is then taken.
    ///
    /// Cancel safe: dropped early, no room is taken.
    pub(crate) async fn room_within(&self, bytes: usize, timeout: Duration) -> Result<(), Error> {
        let mut room = pin!(self.room.acquire_many(permits(bytes)));
        loop {
            match tokio::time::timeout(timeout, &mut room).await {
                Ok(Ok(room)) => {
                    room.forget();
                    return Ok(());
                }
                Ok(Err(_)) => {
                    let why = self.ended().unwrap_or_else(|| "closed".to_owned());
                    return Err(Error::ConnectionLost(why));
                }
                // On a slow uplink it takes long until it is our turn.
                Err(_) if self.progress.stalled_for() < timeout => {}
                Err(_) => return Err(Error::Timeout(timeout)),
            }
        }
    }

    /// Queues frames that have their room.
    pub(crate) fn send(&self, frames: Bytes, ends: Vec<usize>, sender: Arc<Unsent>) -> Result<(), String> {
        sender.queued();
        let permits = permits(frames.len()) as usize;
        let frames = Outgoing::Frames {
            frames,
            ends,
            permits,
            sender: Some(sender),
        };
        self.outbound
            .send(frames)
            .map_err(|_| self.ended().unwrap_or_else(|| "closed".to_owned()))
    }

    /// Tells the server that nobody listens to a channel any more. Waits for no room: it is smaller than the request that
    /// had room before it.
    pub(crate) fn abandon(&self, head: FrameHead, farewell: &Terminal) {
        self.queue(head.data(&farewell.encode()), 0);
    }

    /// Queues a frame of the connection if there is room. Without, what waits to be sent shows as well that we live.
    pub(crate) fn control(&self, control: Control) {
        let frame = Frame::connection(control).encode();
        if let Ok(room) = self.room.try_acquire_many(permits(frame.len())) {
            room.forget();
            let permits = frame.len();
            self.queue(frame, permits);
        }
    }

    fn queue(&self, frame: Vec<u8>, permits: usize) {
        let ends = vec![frame.len()];
        let _ = self.outbound.send(Outgoing::Frames {
            frames: frame.into(),
            ends,
            permits,
            sender: None,
        });
    }

    /// Ends the connection after what is queued.
    pub(crate) fn close(&self) {
        self.closes.store(true, Ordering::Relaxed);
        self.queue(Frame::connection(Control::Close).encode(), 0);
        let _ = self.outbound.send(Outgoing::Goodbye);
    }

    /// The server says that the connection ends.
    pub(crate) fn left(&self) {
        if self.terms.ends_what_it_began {
            let mut routes = self.routes();
            routes.closed.get_or_insert(Closed::InOrder);
            self.retired.store(true, Ordering::Relaxed);
            for (_, route) in routes.open.drain() {
                let _ = route.queue.send(Inbound::Left);
            }
        }
    }

    pub(crate) fn end(&self, why: &str) {
        let mut routes = self.routes();
        if routes.closed.is_none() && !self.closes.load(Ordering::Relaxed) {
            self.terms.counters.connection_lost();
        }
        routes.closed.get_or_insert(Closed::Lost);
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some(why.to_owned());
            }
            first
        });
        routes.open.clear();
        self.room.close();
    }

    /// Gives back the room of what was sent.
    pub(crate) fn sent(&self, permits: usize) {
        self.room.add_permits(permits);
    }

    /// Hands a message to its channel. Never waits: a channel whose consumer left its inbox full is over, which its consumer
    /// learns after what is in the inbox, and the server at once.
    pub(crate) fn deliver(&self, id: Uuid, inbound: Inbound) {
        let mut routes = self.routes();
        let Some(route) = routes.open.get(&id) else { return };
        if let Inbound::Message(message) = &inbound {
            let cost = cost(message);
            let unread = route.unread.fetch_add(cost, Ordering::Relaxed);
            if unread == 0 || unread.saturating_add(cost) <= route.bytes_max {
                let _ = route.queue.send(inbound);
                return;
            }
            self.abandon(
                route.head,
                &Terminal::CloseError("the reader is too far behind".to_owned()),
            );
            let _ = route.queue.send(Inbound::Overrun);
        } else {
            let _ = route.queue.send(inbound);
        }
        routes.open.remove(&id);
        self.close_if_done(&mut routes);
    }
}

/// Room that frames take; those larger than all of it take all.
fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes.min(OUTBOUND_BYTES)).unwrap_or(u32::MAX)
}
