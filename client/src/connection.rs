//! One live WebSocket: one task that hands what arrives to the channels waiting for it and sends what they queue. When it
//! ends, every open channel is told that the connection is lost; nobody waits for a dead link.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use streamkit_protocol::limits::{DEAD_AFTER, PING_PERIOD_MAX, PING_PERIOD_MIN};
use streamkit_protocol::{Control, Frame, FrameHead, Terminal};
use tokio::sync::{Semaphore, mpsc, watch};
use uuid::Uuid;

use crate::wire::{Socket, Wire};

/// Bytes waiting to be sent over one connection; callers wait for room.
const OUTBOUND_BYTES: usize = 4 << 20;

/// Bytes of unread messages one channel may hold. The reader waits for its consumer beyond that: the link then pushes back
/// on the server, and on the other channels of the connection too.
const CHANNEL_INBOUND_BYTES: usize = 16 << 20;

/// A message for a channel, or its end.
pub(crate) enum Inbound {
    Message(Bytes),
    End(Terminal),
}

/// One received item and the room it takes.
pub(crate) struct Received {
    pub(crate) inbound: Inbound,
    pub(crate) bytes: usize,
}

struct Route {
    queue: mpsc::UnboundedSender<Received>,
    room: Arc<Semaphore>,
}

/// The state of a connection that its tasks and channels share.
pub(crate) struct Connection {
    routes: Mutex<HashMap<Uuid, Route>>,
    outbound: mpsc::UnboundedSender<Outgoing>,
    room: Semaphore,
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
    },
    /// Nothing is sent after it.
    Goodbye,
}

impl Connection {
    /// Starts the tasks of a fresh socket.
    pub(crate) fn start(socket: Socket) -> Arc<Self> {
        let (outbound, queued) = mpsc::unbounded_channel();
        let connection = Arc::new(Self {
            routes: Mutex::default(),
            outbound,
            room: Semaphore::new(OUTBOUND_BYTES),
            ended: watch::Sender::new(None),
        });
        tokio::spawn(run(Wire::new(socket, queued, connection.clone()), connection.clone()));
        connection
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

    /// Opens a channel under a fresh id.
    pub(crate) fn open(self: &Arc<Self>) -> (Uuid, mpsc::UnboundedReceiver<Received>, Arc<Semaphore>) {
        let id = Uuid::new_v4();
        let (queue, received) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(CHANNEL_INBOUND_BYTES));
        let route = Route {
            queue,
            room: room.clone(),
        };
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        // After the end nobody would deliver anything: dropping the route closes the receiver at once.
        if self.ended.borrow().is_none() {
            routes.insert(id, route);
        }
        (id, received, room)
    }

    /// Forgets a channel; late frames for it are dropped.
    pub(crate) fn forget(&self, id: Uuid) {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Queues frames as soon as there is room.
    ///
    /// Cancel safe: dropped early, none of them is sent.
    pub(crate) async fn send(&self, frames: Vec<u8>, ends: Vec<usize>) -> Result<(), String> {
        let permits = frames.len().min(OUTBOUND_BYTES);
        match self.room.acquire_many(u32::try_from(permits).unwrap_or(u32::MAX)).await {
            Ok(room) => room.forget(),
            Err(_) => return Err(self.ended().unwrap_or_else(|| "closed".to_owned())),
        }
        let frames = Outgoing::Frames {
            frames: frames.into(),
            ends,
            permits,
        };
        self.outbound
            .send(frames)
            .map_err(|_| self.ended().unwrap_or_else(|| "closed".to_owned()))
    }

    /// Tells the server that nobody listens to a channel any more. Small, and never waits.
    pub(crate) fn abandon(&self, head: FrameHead, farewell: &Terminal) {
        let frame = head.data(&farewell.encode());
        let ends = vec![frame.len()];
        let frames = Outgoing::Frames {
            frames: frame.into(),
            ends,
            permits: 0,
        };
        let _ = self.outbound.send(frames);
    }

    fn control(&self, control: Control) {
        let frame = Frame::connection(control).encode();
        let ends = vec![frame.len()];
        let frames = Outgoing::Frames {
            frames: frame.into(),
            ends,
            permits: 0,
        };
        let _ = self.outbound.send(frames);
    }

    /// Ends the connection after what is queued.
    pub(crate) fn close(&self) {
        self.control(Control::Close);
        let _ = self.outbound.send(Outgoing::Goodbye);
    }

    fn end(&self, why: &str) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some(why.to_owned());
            }
            first
        });
        routes.clear();
        self.room.close();
    }

    /// Gives back the room of what was sent.
    pub(crate) fn sent(&self, permits: usize) {
        self.room.add_permits(permits);
    }

    /// Hands a message to its channel. Waits only where that channel's consumer is slower than the link.
    async fn deliver(&self, id: Uuid, inbound: Inbound, bytes: usize) {
        let bytes = bytes.clamp(1, CHANNEL_INBOUND_BYTES);
        let (queue, room) = {
            let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(route) = routes.get(&id) else { return };
            let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
            let last = matches!(inbound, Inbound::End(_));
            let at_once = last || route.room.try_acquire_many(permits).map(|room| room.forget()).is_ok();
            if at_once {
                let bytes = if last { 0 } else { bytes };
                let _ = route.queue.send(Received { inbound, bytes });
                if last {
                    routes.remove(&id);
                }
                return;
            }
            (route.queue.clone(), route.room.clone())
        };
        tokio::select! {
            room = room.acquire_many(u32::try_from(bytes).unwrap_or(u32::MAX)) => {
                if let Ok(room) = room {
                    room.forget();
                    let _ = queue.send(Received { inbound, bytes });
                }
            }
            () = queue.closed() => {}
        }
    }
}

/// Reads, routes and writes until the connection is over, in one task: a socket has one waker then, not two that wake each
/// other for nothing.
async fn run(mut wire: Wire, connection: Arc<Connection>) {
    let mut last_frame = Instant::now();
    let mut ping = pin!(tokio::time::sleep(ping_period()));
    let why = loop {
        let received = tokio::select! {
            biased;
            // First: the server must hear of a client that is busy receiving.
            () = &mut ping => {
                if last_frame.elapsed() > DEAD_AFTER {
                    break "heartbeat timeout".to_owned();
                }
                connection.control(Control::Ping);
                ping.set(tokio::time::sleep(ping_period()));
                continue;
            }
            received = wire.next() => received,
        };
        let frame = match received.and_then(|bytes| Frame::decode(&bytes).map_err(|error| error.to_string())) {
            Ok(frame) => frame,
            Err(why) => break why,
        };
        last_frame = Instant::now();
        match frame.control {
            Control::Data => {
                let id = frame.channel_id;
                let message = frame.message();
                let bytes = message.len();
                let inbound = match Terminal::decode(&message) {
                    Some(terminal) => Inbound::End(terminal),
                    None => Inbound::Message(message),
                };
                if let Err(why) = wire.while_writing(connection.deliver(id, inbound, bytes)).await {
                    break why;
                }
            }
            Control::Error => {
                let id = frame.channel_id;
                let terminal = Terminal::decode(&frame.message());
                let terminal = terminal.unwrap_or_else(|| Terminal::Error("unknown error".to_owned()));
                connection.deliver(id, Inbound::End(terminal), 0).await;
            }
            Control::Ping => connection.control(Control::Pong),
            Control::Pong | Control::Unknown(_) => {}
            Control::Close => break "the server closed the connection".to_owned(),
        }
    };
    connection.end(&why);
    wire.finish().await;
}

fn ping_period() -> std::time::Duration {
    rand::random_range(PING_PERIOD_MIN..PING_PERIOD_MAX)
}
