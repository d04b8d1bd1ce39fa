//! The loop of one connection: it reads the socket, routes frames to channels and writes what they send. Reading never waits for a
//! verb, only for room in a channel's inbox (the producer is faster than the disk), and only so long; writing goes on meanwhile.

use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hyper::upgrade::Upgraded;
use streamkit_protocol::limits::{PING_PERIOD_MAX, PING_PERIOD_MIN};
use streamkit_protocol::{Control, Frame};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::channels::Channels;
use super::ends::Ends;
use super::goodbye::{Ending, Goodbye, MALFORMED, PEER_LEAVES, SHUTTING_DOWN, TOKEN_EXPIRED, TOO_LARGE, TOO_SLOW};
use super::inbox::Inboxes;
use crate::auth::Scopes;
use crate::budgets::Reads;
use crate::metrics::Limit;
use crate::peer::Peer;
use crate::shared::Shared;
use crate::stood::Stood;
use crate::term::Term;
use crate::websocket::{Arrived, Broken, Form, Heard, Outbound, Taken, Wire};

/// Channels whose last message may wait for room in the outbound queue, beside those that are open. Beyond, reading waits for
/// a peer that asks and does not listen.
const LAST_MESSAGES_MAX: usize = 256;

/// How often a connection whose peer waits for room looks at what waits for that peer.
const UNHEARD: Duration = Duration::from_secs(1);

/// What may have to wait for room.
pub(super) enum Work {
    Route(Frame, usize),
    Settle(Seen),
}

/// What is known of what a peer may have on its way.
pub(super) struct Seen {
    /// All that has arrived was looked at, and is no part of more.
    pub(super) empty: bool,
    /// No byte came for so long.
    pub(super) quiet: Duration,
}

pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) scopes: Scopes,
    pub(super) outbound: Outbound,
    /// The refusal that waits for room. Its channel may have begun, and says nothing of its end any more.
    pub(super) refusing: Option<Vec<u8>>,
    pub(super) channels: Arc<Channels>,
    pub(super) inboxes: Inboxes,
    pub(super) ends: Ends,
    pub(super) stood: Stood,
    /// Whether the peer says that none of its frames overtakes another.
    pub(super) in_order: bool,
    /// Places of channels, from their request to when their last message is queued.
    pub(super) places: Arc<Semaphore>,
    pub(super) reads: Reads,
    /// Cancelled when channels must end; [`Session::why`] then says why, or nothing if the peer is gone.
    pub(super) ending: CancellationToken,
    pub(super) why: Ending,
    pub(super) tasks: TaskTracker,
    /// Calls that end by themselves. Closed when the token has expired: no more are begun.
    pub(super) calls: TaskTracker,
}

/// Serves one connection until the peer leaves, its term is over or the server stops.
pub(crate) async fn run(
    upgraded: Upgraded,
    taken: Option<Taken>,
    shared: Arc<Shared>,
    peer: Peer,
    stopping: CancellationToken,
) {
    let Peer {
        scopes,
        expiry,
        in_order,
    } = peer;
    let (mut wire, outbound) = Wire::open(upgraded, taken.clone(), shared.clone(), scopes.tenant(), Form::Text).await;
    let calls = TaskTracker::new();
    let mut term = Term::new(expiry, shared.limits.token_grace, calls.clone());
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
        reads: Reads::new(&shared.limits, shared.budgets.clone()),
        ending: CancellationToken::new(),
        why: Ending::default(),
        tasks: TaskTracker::new(),
        calls,
        shared,
        scopes,
        outbound,
        refusing: None,
    };
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
            () = term.over() => break Some(TOKEN_EXPIRED),
            () = &mut ping => {
                if wire.waits_for_room() {
                    session.unheard(heard.read_on());
                }
                if heard.nothing_since() && heard.last().elapsed() > silence {
                    session.shared.metrics.peers.limit_hit(Limit::Silence);
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
                Arrived::Frame(bytes) => match Frame::decode(&bytes) {
                    Ok(frame) => {
                        heard.now();
                        Work::Route(frame, bytes.len())
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the connection is closed");
                        break Some(MALFORMED);
                    }
                },
                Arrived::Unreadable { too_large: true } => {
                    session.shared.metrics.peers.limit_hit(Limit::FrameBytes);
                    break Some(TOO_LARGE);
                }
                Arrived::Unreadable { too_large: false } => break Some(MALFORMED),
                Arrived::TooSlow => break Some(TOO_SLOW),
                Arrived::Over => break None,
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
        {
            let mut work = pin!(session.work(work));
            tokio::select! {
                biased;
                done = wire.while_writing(work.as_mut()) => match done {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => break Some(PEER_LEAVES),
                    Err(Broken) => break None,
                },
                () = stopping.cancelled() => break Some(SHUTTING_DOWN),
                () = term.over() => break Some(TOKEN_EXPIRED),
            }
        }
        if routes {
            session.unheard(heard.read_on());
        }
    };
    // Once for each connection, and larger than all that serves it.
    Box::pin(session.end(goodbye, wire)).await;
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
            Some(goodbye) => goodbye.is_in_order() && wire.is_drained(),
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
        if wire.while_writing(pin!(self.tasks.wait())).await.is_err() {
            // Nobody listens any more, but what was begun is brought to its end.
            self.tasks.wait().await;
        }
        if goodbye.is_some() {
            let refusing = self.refusing.take();
            for last in refusing.into_iter().chain([Frame::connection(Control::Close).encode()]) {
                self.outbound.last(last);
            }
        }
        drop(self);
        let close = goodbye.map(Goodbye::close_frame);
        wire.finish(close).await;
    }
}
