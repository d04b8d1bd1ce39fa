//! One connection: one task that reads the socket, routes frames to channels and writes what they send, and one task per
//! open channel. Reading never waits for an operation, only for room in a channel's inbox (the producer is faster than
//! the disk), and only so long; writing goes on meanwhile.

mod channel;
mod channels;
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

pub(crate) use channel::{Channel, Outgoing};
pub(crate) use inbox::Room;

use crate::auth::{Rights, Scopes};
use crate::http::Shared;
use crate::socket::Taken;
use channel::Opening;
use channels::{Admission, Channels};
use inbox::Inboxes;
use outbound::Outbound;
use wire::{Next, Wire};

/// The error frames' texts, known to deployed clients.
pub(crate) const ACCESS_DENIED: &str = "access denied";
pub(crate) const STORE_UNAVAILABLE: &str = "store unavailable";
const TOO_MANY_STREAMS: &str = "too many active streams";
const OVERLOADED: &str = "stream receive buffer overloaded";

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
    /// How many reads may hold entries.
    reads: Arc<Semaphore>,
    /// Cancelled when channels must end; [`Session::why`] then says why, or nothing if the peer is gone.
    ending: CancellationToken,
    why: Ending,
    tasks: TaskTracker,
}

/// Serves one connection until the peer leaves, the token expires or the server stops.
pub(crate) async fn run(
    socket: WebSocket,
    taken: Option<Taken>,
    shared: Arc<Shared>,
    scopes: Scopes,
    expiry: tokio::time::Sleep,
    stopping: CancellationToken,
) {
    let (outbound, queue) = outbound::queue(&shared.limits);
    let mut wire = Wire::new(socket, taken, queue, shared.limits.write_deadline);
    let session = Session {
        channels: Arc::new(Channels::new(&shared.limits)),
        inboxes: Inboxes::new(&shared.limits),
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
    let silence = session.shared.limits.silence;
    let mut ping = pin!(tokio::time::sleep(ping_period(silence)));
    let goodbye = loop {
        tokio::select! {
            biased;
            () = stopping.cancelled() => break Some(SHUTTING_DOWN),
            () = &mut expiry => break Some(TOKEN_EXPIRED),
            () = &mut ping => {
                if last_frame.elapsed() > silence {
                    tracing::debug!("no frame for {silence:?}: the peer is gone");
                    break None;
                }
                session.outbound.ping();
                ping.set(tokio::time::sleep(ping_period(silence)));
            }
            next = wire.next() => {
                let bytes = match next {
                    Next::Frame(bytes) => bytes,
                    Next::Unreadable { too_large } => break Some(if too_large { TOO_LARGE } else { MALFORMED }),
                    Next::Over => break None,
                };
                match Frame::decode(&bytes) {
                    Ok(frame) => {
                        last_frame = Instant::now();
                        match wire.while_writing(session.route(frame)).await {
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
        }
    };
    session.end(goodbye, wire).await;
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
    async fn route(&self, frame: Frame) -> ControlFlow<()> {
        match frame.control {
            Control::Data => self.data(frame).await,
            Control::Error => self.error(frame).await,
            Control::Ping => self.outbound.pong(),
            Control::Pong | Control::Unknown(_) => {}
            Control::Close => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    async fn data(&self, frame: Frame) {
        let head = FrameHead::new(frame.store_id, frame.channel_id);
        let rights = self.scopes.on(StoreId(frame.store_id));
        if rights == Rights::default() {
            return self.refuse(head, ACCESS_DENIED).await;
        }
        let traceparent = traceparent(&frame);
        let message = frame.message();
        let terminal = Terminal::decode(&message);
        match self.channels.find(head.channel_id) {
            Admission::Open(inbox) => self.deliver(&inbox, head, message, terminal).await,
            Admission::Finished => {}
            // A stray end of something we do not know ends nothing and is not answered.
            Admission::Unknown | Admission::Full if terminal.is_some() => {}
            Admission::Full => {
                self.channels.finish(head.channel_id);
                self.refuse(head, TOO_MANY_STREAMS).await;
            }
            Admission::Unknown => {
                let Some(room) = self.inboxes.request(message.len()) else {
                    self.channels.finish(head.channel_id);
                    return self.refuse(head, OVERLOADED).await;
                };
                let opening = Opening {
                    message,
                    room,
                    traceparent,
                    rights,
                };
                self.open(head, opening);
            }
        }
    }

    fn open(&self, head: FrameHead, opening: Opening) {
        let (inbox, received) = self.inboxes.channel();
        self.channels.open(head.channel_id, inbox);
        let (outbound, reads) = (self.outbound.clone(), self.reads.clone());
        let (ending, why) = (self.ending.child_token(), self.why.clone());
        let channel = Channel::new(head, outbound, received, reads, ending, why);
        self.tasks
            .spawn(channel.serve(self.shared.clone(), opening, self.channels.clone()));
    }

    /// An error frame ends the channel as an error message in a data frame does.
    async fn error(&self, frame: Frame) {
        let head = FrameHead::new(frame.store_id, frame.channel_id);
        if let Admission::Open(inbox) = self.channels.find(head.channel_id) {
            let message = frame.message();
            let terminal = Terminal::decode(&message).unwrap_or_else(|| Terminal::Error("unknown".to_owned()));
            self.deliver(&inbox, head, message, Some(terminal)).await;
        }
    }

    async fn deliver(&self, inbox: &inbox::Inbox, head: FrameHead, message: Bytes, terminal: Option<Terminal>) {
        if self
            .inboxes
            .deliver(inbox, message, terminal, &self.channels)
            .await
            .is_err()
        {
            self.channels.finish(head.channel_id);
            inbox.overload();
            self.refuse(head, OVERLOADED).await;
        }
    }

    async fn refuse(&self, head: FrameHead, why: &str) {
        let terminal = Terminal::Error(why.to_owned()).encode();
        self.outbound.refuse(head.error(&terminal)).await;
    }

    /// Ends every channel, then the connection. With a goodbye the peer still listens and is told.
    async fn end(self, goodbye: Option<Goodbye>, mut wire: Wire) {
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
