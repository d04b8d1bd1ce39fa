//! One connection: one task that reads the socket, routes frames to channels and writes what they send, and one task per
//! open channel. Reading never waits for an operation, only for room in a channel's inbox (the producer is faster than
//! the disk), and only so long; writing goes on meanwhile.

mod channel;
mod channels;
mod ends;
mod inbound;
mod inbox;
mod outbound;
mod wire;

use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseCode, CloseFrame, WebSocket, close_code};
use bytes::Bytes;
use streamkit_engine::StoreId;
use streamkit_protocol::limits::{PING_PERIOD_MAX, PING_PERIOD_MIN};
use streamkit_protocol::{Control, Frame, FrameHead, Terminal};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub(crate) use channel::{Channel, Outgoing};
pub(crate) use inbound::Inbound;
pub(crate) use inbox::Room;

use crate::auth::{Rights, Scopes};
use crate::http::Shared;
use crate::socket::Taken;
use channel::Opening;
use channels::{Admission, Channels};
use ends::{Doubt, Ends, Waiting, What};
use inbox::{Ask, Inbox, Inboxes};
use outbound::Outbound;
use wire::{Next, Wire};

/// The error frames' texts, known to deployed clients.
pub(crate) const ACCESS_DENIED: &str = "access denied";
pub(crate) const STORE_UNAVAILABLE: &str = "store unavailable";
const TOO_MANY_STREAMS: &str = "too many active streams";
const OVERLOADED: &str = "stream receive buffer overloaded";
const TOO_LATE: &str = "a record came after its produce was answered, and is not stored";

/// Why a connection ends whose peer still listens: open channels are told the text, the WebSocket the code.
struct Goodbye {
    why: &'static str,
    code: CloseCode,
}

const SHUTTING_DOWN: Goodbye = Goodbye {
    why: "the server is shutting down",
    code: close_code::NORMAL,
};
const TOKEN_EXPIRED: Goodbye = Goodbye {
    why: "the token expired",
    code: close_code::NORMAL,
};
const PEER_LEAVES: Goodbye = Goodbye {
    why: "the peer closed the connection",
    code: close_code::NORMAL,
};
const MALFORMED: Goodbye = Goodbye {
    why: "the peer sent a malformed frame",
    code: close_code::PROTOCOL,
};
const TOO_LARGE: Goodbye = Goodbye {
    why: "the peer sent a frame that is too large",
    code: close_code::SIZE,
};

/// Channels whose last message may wait for room in the outbound queue, beside those that are open. Beyond, reading waits for
/// a peer that asks and does not listen.
const LAST_MESSAGES_MAX: usize = 256;

/// Longest `traceparent` kept: more than twice what its version 00 has.
const TRACEPARENT_BYTES_MAX: usize = 128;

/// Why channels are told to end while the connection still works.
pub(crate) type Ending = Arc<std::sync::OnceLock<&'static str>>;

struct Session {
    shared: Arc<Shared>,
    scopes: Scopes,
    outbound: Outbound,
    channels: Arc<Channels>,
    inboxes: Inboxes,
    ends: Ends,
    /// Whether the peer says that none of its frames overtakes another.
    in_order: bool,
    /// Places of channels, from their request to when their last message is queued.
    places: Arc<Semaphore>,
    /// How many reads may hold entries.
    reads: Arc<Semaphore>,
    /// Cancelled when channels must end; [`Session::why`] then says why, or nothing if the peer is gone.
    ending: CancellationToken,
    why: Ending,
    tasks: TaskTracker,
}

/// Who was let in, as the handshake found.
pub(crate) struct Admitted {
    pub(crate) scopes: Scopes,
    /// Over when its token expires.
    pub(crate) expiry: tokio::time::Sleep,
    /// Whether it says that none of its frames overtakes another.
    pub(crate) in_order: bool,
}

/// Serves one connection until the peer leaves, the token expires or the server stops.
pub(crate) async fn run(
    socket: WebSocket,
    taken: Option<Taken>,
    shared: Arc<Shared>,
    peer: Admitted,
    stopping: CancellationToken,
) {
    let Admitted {
        scopes,
        expiry,
        in_order,
    } = peer;
    let (outbound, queue) = outbound::queue(&shared.limits);
    let mut wire = Wire::new(socket, taken.clone(), queue, shared.limits.write_deadline);
    let (inboxes, mut asked) = Inboxes::new(&shared.limits, shared.inbound.clone());
    let mut session = Session {
        channels: Arc::new(Channels::new(&shared.limits)),
        inboxes,
        ends: Ends::default(),
        in_order,
        places: Arc::new(Semaphore::new(
            shared
                .limits
                .channels
                .saturating_add(LAST_MESSAGES_MAX)
                .min(Semaphore::MAX_PERMITS),
        )),
        reads: Arc::new(Semaphore::new(shared.limits.reads.clamp(1, Semaphore::MAX_PERMITS))),
        ending: CancellationToken::new(),
        why: Ending::default(),
        tasks: TaskTracker::new(),
        shared,
        scopes,
        outbound,
    };
    let mut expiry = pin!(expiry);
    let mut last_frame = Instant::now();
    // A frame may take longer on its way than a peer that has nothing to say is quiet.
    let mut heard = Heard::new(taken);
    let silence = session.shared.limits.silence;
    let mut ping = pin!(tokio::time::sleep(ping_period(silence)));
    let goodbye = loop {
        let deadline = session.ends.deadline(heard.last);
        let quiet = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stopping.cancelled() => break Some(SHUTTING_DOWN),
            () = &mut expiry => break Some(TOKEN_EXPIRED),
            () = &mut ping => {
                if last_frame.elapsed() > silence {
                    tracing::debug!("no frame for {silence:?}: the peer is gone");
                    break None;
                }
                session.ping();
                ping.set(tokio::time::sleep(ping_period(silence)));
            }
            Some(ask) = asked.recv() => session.asked(ask),
            next = wire.next() => {
                let bytes = match next {
                    Next::Frame(bytes) => bytes,
                    Next::Unreadable { too_large } => break Some(if too_large { TOO_LARGE } else { MALFORMED }),
                    Next::Over => break None,
                };
                match Frame::decode(&bytes) {
                    Ok(frame) => {
                        last_frame = Instant::now();
                        heard.now();
                        match wire.while_writing(session.route(frame, bytes.len())).await {
                            Ok(ControlFlow::Continue(())) => {}
                            Ok(ControlFlow::Break(())) => break Some(PEER_LEAVES),
                            Err(wire::Broken) => break None,
                        }
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the connection is closed");
                        break Some(MALFORMED);
                    }
                }
            }
            // Come here, all that has arrived was looked at.
            () = std::future::ready(()), if session.ends.want_empty() => {
                if !tokio::task::coop::has_budget_remaining() {
                    // It only seemed so: this task has had its turn.
                    tokio::task::yield_now().await;
                } else if wire.while_writing(session.settle(true, Duration::ZERO)).await.is_err() {
                    break None;
                }
            }
            () = quiet => {
                if heard.nothing_since() && tokio::task::coop::has_budget_remaining() {
                    let quiet = heard.last.elapsed();
                    if wire.while_writing(session.settle(true, quiet)).await.is_err() {
                        break None;
                    }
                }
            }
        }
    };
    session.end(goodbye, wire).await;
}

/// When something of a peer arrived last, be it a part of a frame.
struct Heard {
    last: Instant,
    taken: Option<Taken>,
    read: u64,
}

impl Heard {
    fn new(taken: Option<Taken>) -> Self {
        let (last, read) = (Instant::now(), 0);
        Self { last, taken, read }
    }

    fn now(&mut self) {
        self.last = Instant::now();
        self.read = self.taken.as_ref().map_or(0, Taken::read);
    }

    /// Whether nothing came since then. If something did, that is the last now.
    fn nothing_since(&mut self) -> bool {
        let nothing = self.taken.as_ref().is_none_or(|taken| taken.read() == self.read);
        if !nothing {
            self.now();
        }
        nothing
    }
}

/// The caller's span, if it is one; the rest of a trace context means nothing to us, and may be of any size.
fn traceparent(frame: &Frame) -> Option<String> {
    let text = frame.trace_context.as_ref()?.get("traceparent")?;
    (text.len() <= TRACEPARENT_BYTES_MAX).then(|| text.clone())
}

fn ping_period(silence: Duration) -> Duration {
    rand::random_range(PING_PERIOD_MIN..PING_PERIOD_MAX).min(silence / 3)
}

impl Session {
    async fn route(&mut self, frame: Frame, bytes: usize) -> ControlFlow<()> {
        if self.ends.frame_came() {
            self.settle(false, Duration::ZERO).await;
        }
        match frame.control {
            Control::Data => self.data(frame, bytes).await,
            Control::Error => self.error(frame).await,
            Control::Ping => self.outbound.pong(),
            Control::Pong => {
                self.ends.ponged();
                self.ping_if_wanted();
            }
            Control::Unknown(_) => {}
            Control::Close => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    fn ping(&mut self) {
        self.outbound.ping();
        self.ends.pinged();
    }

    fn ping_if_wanted(&mut self) {
        if self.ends.wants_ping() {
            self.ping();
        }
    }

    /// Does what a channel asks for.
    fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Overtaken => self.ends.overtaken(),
            Ask::Mark(id) => {
                if let Admission::Open(inbox) = self.channels.find(id, false) {
                    self.let_wait(FrameHead::new(Uuid::nil(), id), inbox, What::Mark, Doubt::Much);
                }
            }
        }
    }

    fn let_wait(&mut self, head: FrameHead, inbox: Inbox, what: What, doubt: Doubt) {
        self.ends.wait(head, inbox, what, doubt);
        self.ping_if_wanted();
    }

    /// Gives channels the ends and marks that have waited long enough.
    async fn settle(&mut self, empty: bool, quiet: Duration) {
        for waiting in self.ends.take(empty, quiet) {
            self.give(waiting).await;
        }
    }

    async fn give(&self, waiting: Waiting) {
        let Waiting { head, inbox, what, .. } = waiting;
        match what {
            What::Mark => inbox.mark(),
            What::End(message) => self.deliver(&inbox, head, message, Some(Terminal::Close)).await,
        }
    }

    async fn data(&mut self, frame: Frame, bytes: usize) {
        let head = FrameHead::new(frame.store_id, frame.channel_id);
        let rights = self.scopes.on(StoreId(frame.store_id));
        if rights == Rights::default() {
            return self.refuse(head, ACCESS_DENIED).await;
        }
        let traceparent = traceparent(&frame);
        let message = frame.message();
        let terminal = Terminal::decode(&message);
        match self.channels.find(head.channel_id, terminal.is_some()) {
            Admission::Open(inbox) => self.received(inbox, head, message, terminal, bytes).await,
            Admission::Finished => {}
            Admission::Answered => {
                self.ends.overtaken();
                self.shared.metrics.record_came_late();
                tracing::warn!(store = %head.store_id, "{TOO_LATE}");
                self.refuse(head, TOO_LATE).await;
            }
            // A stray end of something we do not know ends nothing and is not answered, but it may have overtaken its request.
            Admission::Unknown | Admission::Full if terminal.is_some() => {
                if !self.in_order && terminal == Some(Terminal::Close) {
                    self.channels.ended_early(head.channel_id);
                }
            }
            Admission::Full => {
                self.channels.finish(head.channel_id, false);
                self.refuse(head, TOO_MANY_STREAMS).await;
            }
            Admission::Unknown => {
                let Some(room) = self.inboxes.request(message.len()) else {
                    self.channels.finish(head.channel_id, false);
                    return self.refuse(head, OVERLOADED).await;
                };
                let Ok(place) = self.places.clone().acquire_owned().await else {
                    return;
                };
                let opening = Opening {
                    message,
                    place,
                    room,
                    traceparent,
                    rights,
                    in_order: self.in_order,
                };
                let inbox = self.open(head, opening);
                if self.channels.take_early_end(head.channel_id) {
                    self.ends.overtaken();
                    let end = Bytes::from(Terminal::Close.encode());
                    self.let_wait(head, inbox, What::End(end), Doubt::Much);
                }
            }
        }
    }

    /// A message of an open channel, or its end.
    async fn received(
        &mut self,
        inbox: Inbox,
        head: FrameHead,
        message: Bytes,
        terminal: Option<Terminal>,
        bytes: usize,
    ) {
        match terminal {
            Some(Terminal::Close) if !self.in_order => {
                let doubt = self.ends.doubt(&inbox, self.channels.any_is_bulk());
                self.let_wait(head, inbox, What::End(message), doubt);
            }
            Some(_) => {
                self.ends.forget(head.channel_id);
                self.deliver(&inbox, head, message, terminal).await;
            }
            None => {
                self.ends.message_came(head.channel_id);
                if inbox.count(bytes) {
                    self.channels.bulk(head.channel_id);
                }
                self.deliver(&inbox, head, message, None).await;
            }
        }
    }

    fn open(&self, head: FrameHead, opening: Opening) -> Inbox {
        let (inbox, received) = self.inboxes.channel(head.channel_id);
        self.channels.open(head.channel_id, inbox.clone());
        let (outbound, reads) = (self.outbound.clone(), self.reads.clone());
        let (ending, why) = (self.ending.child_token(), self.why.clone());
        let channel = Channel::new(head, outbound, received, reads, ending, why);
        self.tasks
            .spawn(channel.serve(self.shared.clone(), opening, self.channels.clone()));
        inbox
    }

    /// An error frame ends the channel as an error message in a data frame does.
    async fn error(&mut self, frame: Frame) {
        let head = FrameHead::new(frame.store_id, frame.channel_id);
        if let Admission::Open(inbox) = self.channels.find(head.channel_id, true) {
            self.ends.forget(head.channel_id);
            let message = frame.message();
            let terminal = Terminal::decode(&message).unwrap_or_else(|| Terminal::Error("unknown".to_owned()));
            self.deliver(&inbox, head, message, Some(terminal)).await;
        }
    }

    async fn deliver(&self, inbox: &Inbox, head: FrameHead, message: Bytes, terminal: Option<Terminal>) {
        if self
            .inboxes
            .deliver(inbox, message, terminal, &self.channels)
            .await
            .is_err()
        {
            self.channels.finish(head.channel_id, false);
            inbox.overload();
            self.refuse(head, OVERLOADED).await;
        }
    }

    async fn refuse(&self, head: FrameHead, why: &str) {
        let terminal = Terminal::Error(why.to_owned()).encode();
        self.outbound.refuse(head.error(&terminal)).await;
    }

    /// Ends every channel, then the connection. With a goodbye the peer still listens and is told.
    async fn end(mut self, goodbye: Option<Goodbye>, mut wire: Wire) {
        // What came before the end of all is complete.
        for waiting in self.ends.take_all() {
            if wire.while_writing(self.give(waiting)).await.is_err() {
                break;
            }
        }
        if let Some(goodbye) = &goodbye {
            let _ = self.why.set(goodbye.why);
        } else {
            wire.close_queue();
        }
        self.ending.cancel();
        self.channels.close();
        self.tasks.close();
        if wire.while_writing(self.tasks.wait()).await.is_err() {
            // Nobody listens any more, but what was begun is brought to its end.
            self.tasks.wait().await;
        }
        if goodbye.is_some() {
            self.outbound.close();
        }
        drop(self);
        let close = goodbye.map(|Goodbye { why, code }| {
            // An end in good order needs no reason.
            let reason = if code == close_code::NORMAL { "" } else { why };
            let reason = reason.into();
            CloseFrame { code, reason }
        });
        wire.finish(close).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_trace_context_only_a_short_traceparent_is_kept() {
        let frame = |text: &str| Frame {
            trace_context: Some([("traceparent".to_owned(), text.to_owned())].into()),
            ..Frame::default()
        };
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(traceparent(&frame(text)).as_deref(), Some(text));
        assert_eq!(traceparent(&frame(&"0".repeat(129))), None);
        assert_eq!(traceparent(&Frame::default()), None);
    }
}
