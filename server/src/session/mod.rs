//! One connection: one task that reads the socket, routes frames to channels and writes what they send, and one task per
//! open channel. Reading never waits for an operation, only for room in a channel's inbox (the producer is faster than
//! the disk), and only so long; writing goes on meanwhile.

mod assembly;
mod budget;
mod budgets;
mod channel;
mod channels;
mod ends;
mod fair;
mod heard;
mod heavy;
mod inbound;
mod inbox;
mod outbound;
mod patience;
mod pings;
mod route;
mod stream;
mod turn;
mod wire;

use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hyper::upgrade::Upgraded;
use streamkit_protocol::Frame;
use streamkit_protocol::limits::{PING_PERIOD_MAX, PING_PERIOD_MIN};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use budgets::{Budgets, Held};
pub(crate) use channel::Channel;
pub(crate) use heavy::HeavyTurn;
pub(crate) use inbox::Room;
pub(crate) use outbound::{Batch, SMALL_BYTES};
pub(crate) use turn::Outgoing;

use crate::auth::Scopes;
use crate::http::Shared;
use crate::socket::Taken;
use crate::stood::Stood;
use channels::Channels;
use ends::Ends;
use heard::Heard;
use inbox::Inboxes;
use outbound::Outbound;
use stream::Stream;
use turn::Reads;
use wire::{Next, Wire};

/// The error frames' texts, known to deployed clients.
pub(crate) const ACCESS_DENIED: &str = "access denied";
pub(crate) const STORE_UNAVAILABLE: &str = "store unavailable";
const OVERLOADED: &str = "stream receive buffer overloaded";

/// Why a connection ends whose peer still listens: open channels are told the text, the WebSocket the code.
struct Goodbye {
    why: &'static str,
    code: CloseCode,
}

const SHUTTING_DOWN: Goodbye = Goodbye {
    why: "the server is shutting down",
    code: CloseCode::Normal,
};
const TOKEN_EXPIRED: Goodbye = Goodbye {
    why: "the token expired",
    code: CloseCode::Normal,
};
const PEER_LEAVES: Goodbye = Goodbye {
    why: "the peer closed the connection",
    code: CloseCode::Normal,
};
const MALFORMED: Goodbye = Goodbye {
    why: "the peer sent a malformed frame",
    code: CloseCode::Protocol,
};
const TOO_LARGE: Goodbye = Goodbye {
    why: "the peer sent a frame that is too large",
    code: CloseCode::Size,
};
const TOO_SLOW: Goodbye = Goodbye {
    why: "the peer sends a large frame so slowly that others wait for it",
    code: CloseCode::Again,
};

/// Channels whose last message may wait for room in the outbound queue, beside those that are open. Beyond, reading waits for
/// a peer that asks and does not listen.
const LAST_MESSAGES_MAX: usize = 256;

/// How often a connection whose peer waits for room looks at what waits for that peer.
const UNHEARD: Duration = Duration::from_secs(1);

/// Why channels are told to end while the connection still works.
pub(crate) type Ending = Arc<std::sync::OnceLock<&'static str>>;

/// What may have to wait for room.
enum Work {
    Route(Frame, usize),
    Settle(Seen),
}

/// What is known of what a peer may have on its way.
struct Seen {
    /// All that has arrived was looked at, and is no part of more.
    empty: bool,
    /// No byte came for so long.
    quiet: Duration,
}

struct Session {
    shared: Arc<Shared>,
    scopes: Scopes,
    outbound: Outbound,
    channels: Arc<Channels>,
    inboxes: Inboxes,
    ends: Ends,
    stood: Stood,
    /// Whether the peer says that none of its frames overtakes another.
    in_order: bool,
    /// Places of channels, from their request to when their last message is queued.
    places: Arc<Semaphore>,
    reads: Reads,
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
    upgraded: Upgraded,
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
    let socket = Stream::open(upgraded).await;
    let (outbound, queue) = outbound::queue(&shared.limits, shared.budgets.clone());
    let mut wire = Wire::new(socket, taken.clone(), queue, shared.clone());
    let (inboxes, mut asked) = Inboxes::new(&shared.limits, shared.budgets.clone());
    let mut session = Session {
        channels: Arc::new(Channels::new(&shared.limits)),
        inboxes,
        ends: Ends::new(),
        stood: Stood::new(),
        in_order,
        places: Arc::new(Semaphore::new(
            shared
                .limits
                .channels
                .saturating_add(LAST_MESSAGES_MAX)
                .min(Semaphore::MAX_PERMITS),
        )),
        reads: Reads::new(shared.limits.reads, &shared.budgets),
        ending: CancellationToken::new(),
        why: Ending::default(),
        tasks: TaskTracker::new(),
        shared,
        scopes,
        outbound,
    };
    let mut expiry = pin!(expiry);
    // A frame may take longer on its way than a peer that has nothing to say is quiet.
    let mut heard = Heard::new(taken);
    let has_part = wire.has_part();
    let silence = session.shared.limits.silence;
    let mut ping = pin!(tokio::time::sleep(ping_period(silence)));
    let goodbye = loop {
        let waits = wire.waits_for_room();
        // Looked at only when nothing more has arrived: many ends may wait. A part of a message proves that more will.
        let empty = async {
            if has_part.load(Ordering::Relaxed) || !session.ends.want_empty(Instant::now()) {
                std::future::pending().await
            }
        };
        let quiet = async {
            match session.ends.deadline(heard.last()) {
                // While it is not listened to, that time moves on.
                Some(deadline) if waits => tokio::time::sleep_until(deadline.max(heard.last() + UNHEARD).into()).await,
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let work = tokio::select! {
            biased;
            () = stopping.cancelled() => break Some(SHUTTING_DOWN),
            () = &mut expiry => break Some(TOKEN_EXPIRED),
            () = &mut ping => {
                if wire.waits_for_room() {
                    session.unheard(heard.read_on());
                }
                if heard.nothing_since() && heard.last().elapsed() > silence {
                    tracing::debug!("nothing for {silence:?}: the peer is gone");
                    break None;
                }
                session.ping();
                ping.set(tokio::time::sleep(ping_period(silence)));
                continue;
            }
            Some(ask) = asked.recv() => {
                session.asked(ask);
                continue;
            }
            next = wire.next() => match next {
                Next::Frame(bytes) => match Frame::decode(&bytes) {
                    Ok(frame) => {
                        heard.now();
                        Work::Route(frame, bytes.len())
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the connection is closed");
                        break Some(MALFORMED);
                    }
                },
                Next::Unreadable { too_large } => break Some(if too_large { TOO_LARGE } else { MALFORMED }),
                Next::TooSlow => break Some(TOO_SLOW),
                Next::Over => break None,
            },
            // Come here, all that has arrived was looked at.
            () = empty => {
                if !tokio::task::coop::has_budget_remaining() {
                    // It only seemed so: this task has had its turn.
                    tokio::task::yield_now().await;
                    continue;
                }
                Work::Settle(Seen { empty: true, quiet: Duration::ZERO })
            }
            () = quiet => {
                if wire.waits_for_room() {
                    // Not heard, because not listened to.
                    session.unheard(heard.read_on());
                    continue;
                }
                if !tokio::task::coop::has_budget_remaining() {
                    tokio::task::yield_now().await;
                    continue;
                }
                let is_quiet = heard.nothing_since();
                if has_part.load(Ordering::Relaxed) {
                    // In the middle of a message a peer is slow, not quiet.
                    heard.now();
                    Work::Settle(Seen { empty: false, quiet: Duration::ZERO })
                } else {
                    let quiet = if is_quiet { heard.last().elapsed() } else { Duration::ZERO };
                    Work::Settle(Seen { empty: true, quiet })
                }
            },
        };
        let routes = matches!(work, Work::Route(..));
        // What comes of it may have to wait for room: the connection may end meanwhile. Dropped, it takes with it only what
        // is then told as not stored.
        tokio::select! {
            biased;
            done = wire.while_writing(session.work(work)) => match done {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break Some(PEER_LEAVES),
                Err(wire::Broken) => break None,
            },
            () = stopping.cancelled() => break Some(SHUTTING_DOWN),
            () = &mut expiry => break Some(TOKEN_EXPIRED),
        }
        if routes {
            session.unheard(heard.read_on());
        }
    };
    session.end(goodbye, wire).await;
}

fn ping_period(silence: Duration) -> Duration {
    rand::random_range(PING_PERIOD_MIN..PING_PERIOD_MAX).min(silence / 3)
}

impl Session {
    /// The peer was not listened to for so long.
    fn unheard(&mut self, time: Duration) {
        self.ends.later(time, Instant::now());
    }

    /// Ends every channel, then the connection. With a goodbye the peer still listens and is told.
    async fn end(mut self, goodbye: Option<Goodbye>, mut wire: Wire) {
        // What has proven to be complete is; the others end with why the connection does. What is unread, or cannot be read,
        // may belong to any of them.
        let empty = match &goodbye {
            Some(goodbye) => goodbye.code == CloseCode::Normal && wire.is_drained(),
            None => !wire.has_part().load(Ordering::Relaxed),
        };
        wire.waits_no_longer();
        for waiting in self.ends.take(empty, Duration::ZERO, Instant::now()) {
            self.give(waiting);
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
            let reason = if code == CloseCode::Normal { "" } else { why };
            let reason = reason.into();
            CloseFrame { code, reason }
        });
        wire.finish(close).await;
    }
}
