//! What comes out of a connection's socket: one message at a time, while a large one waits for the room that it takes.

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::form::Form;
use super::patience::{Over, Patience};
use super::stream::{ALWAYS_BYTES, renewed};
use super::wire::{Broken, Wire};
use crate::budgets::FramesRoom;
use crate::metrics::PeerGaveWay;

/// Pongs that may wait to be sent. The library makes one for each ping and keeps it without bound, so beyond, reading waits
/// for a peer that asks and does not listen.
const PONGS_MAX: usize = 16;

/// The large message that arrives, or is being dealt with.
#[derive(Default)]
pub(super) struct Reading {
    /// The wait for its room.
    room: Option<BoxFuture<'static, FramesRoom>>,
    held: Option<FramesRoom>,
    /// While it is not all here.
    patience: Option<Patience>,
    /// Whether it was handed on.
    is_over: bool,
}

/// What arrives from the peer.
pub(crate) enum Arrived {
    Frame(Bytes),
    /// Something that is no frame: nothing more can be read, but the peer can be told.
    Unreadable {
        too_large: bool,
    },
    /// A part of a large frame, and others wait for the room that the rest of it takes its time for.
    TooSlow,
    /// The peer is gone.
    Over,
}

impl Wire {
    /// What the peer sends next, while what is queued is written. What came before is dealt with.
    ///
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Arrived {
        if std::mem::take(&mut self.reading.is_over) {
            self.reading = Reading::default();
        }
        poll_fn(|cx| {
            if let Poll::Ready(Err(Broken)) = self.poll_write(cx) {
                return Poll::Ready(Arrived::Over);
            }
            self.poll_next(cx)
        })
        .await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Arrived> {
        loop {
            if self.pongs >= PONGS_MAX {
                match self.socket().poll_flush_unpin(cx) {
                    Poll::Ready(Ok(())) => self.pongs = 0,
                    Poll::Ready(Err(_)) => return Poll::Ready(Arrived::Over),
                    Poll::Pending => match self.poll_write(cx) {
                        Poll::Ready(Err(Broken)) => return Poll::Ready(Arrived::Over),
                        _ => return Poll::Pending,
                    },
                }
            }
            let next = self.socket().poll_next_unpin(cx);
            return Poll::Ready(match next {
                Poll::Ready(Some(Ok(Message::Text(_)))) if self.form == Form::Binary => {
                    Arrived::Unreadable { too_large: false }
                }
                Poll::Ready(Some(Ok(Message::Text(text)))) => self.arrived(text.into()),
                Poll::Ready(Some(Ok(Message::Binary(bytes)))) => self.arrived(bytes),
                // Answered by the library below us, which does not know how much waits.
                Poll::Ready(Some(Ok(Message::Ping(_)))) => {
                    self.pongs += 1;
                    self.unflushed = true;
                    continue;
                }
                Poll::Ready(Some(Ok(Message::Pong(_) | Message::Frame(_)))) => continue,
                Poll::Ready(Some(Ok(Message::Close(_))) | None) => Arrived::Over,
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "the connection broke");
                    unreadable(&error)
                }
                Poll::Pending => {
                    // The write deadline counts for pongs too.
                    if self.pongs > 0
                        && let Poll::Ready(Err(Broken)) = self.poll_write(cx)
                    {
                        return Poll::Ready(Arrived::Over);
                    }
                    match ready!(self.poll_room(cx)) {
                        Some(next) => next,
                        None => continue,
                    }
                }
            });
        }
    }

    fn arrived(&mut self, frame: Bytes) -> Arrived {
        self.reading.patience = None;
        self.reading.is_over = true;
        self.has_large_buffers |= frame.len() as u64 > ALWAYS_BYTES;
        self.socket().get_mut().grant(0);
        Arrived::Frame(frame)
    }

    /// Nothing more is here for now. Ready when it would, since a large message has its room, or when no more will.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arrived>> {
        let read = self.bytes_read();
        let limits = &self.shared.limits;
        let frames = &self.frames;
        let stream = self.socket.as_mut().expect("it is there").get_mut();
        self.has_part.store(!stream.is_between_messages(), Ordering::Relaxed);
        let Some(needs) = stream.needs() else {
            if self.reading.held.is_some() {
                let new = || Patience::new(limits.silence, limits.give_way, read);
                let patience = self.reading.patience.get_or_insert_with(new);
                return patience.poll(cx, read, || frames.is_wanted()).map(|over| match over {
                    Over::Nothing => {
                        tracing::debug!("nothing of a large frame for {:?}: the peer is gone", limits.silence);
                        Some(Arrived::Over)
                    }
                    Over::GivesWay => {
                        tracing::debug!("a peer sends a large frame too slowly: its connection is closed");
                        self.shared.metrics.peers.peer_gave_way(PeerGaveWay::Sending);
                        Some(Arrived::TooSlow)
                    }
                });
            }
            return match self.renews() {
                true => Poll::Ready(None),
                false => Poll::Pending,
            };
        };
        if needs > self.form.bytes_max() as u64 {
            return Poll::Ready(Some(Arrived::Unreadable { too_large: true }));
        }
        // A message whose size is not known takes what it may have at most, so it waits here once only.
        let room = self.reading.room.get_or_insert_with(|| {
            let frames = frames.clone();
            Box::pin(frames.take(needs as usize))
        });
        self.reading.held = Some(ready!(room.as_mut().poll(cx)));
        self.reading.room = None;
        stream.grant(needs);
        Poll::Ready(None)
    }

    /// Gives up large buffers while nothing is in them.
    fn renews(&mut self) -> bool {
        let is_idle = self.current.is_none() && !self.unflushed && self.pongs == 0;
        let between = self.socket().get_ref().is_between_messages();
        if !(self.has_large_buffers && is_idle && between) {
            return false;
        }
        self.has_large_buffers = false;
        self.socket = self.socket.take().and_then(|socket| renewed(socket, self.form));
        true
    }

    /// Whether nothing more is here for now, nor a part of a message. What is, is lost: to be asked when nothing more is read.
    pub(crate) fn is_drained(&mut self) -> bool {
        let next = tokio::task::unconstrained(self.next()).now_or_never();
        matches!(next, None | Some(Arrived::Over)) && !self.has_part.load(Ordering::Relaxed)
    }

    /// Gives up the room that is waited for, and that of a message which was dealt with: nothing more is read. A part of one
    /// keeps its room, as it is in memory.
    pub(crate) fn waits_no_longer(&mut self) {
        self.reading.room = None;
        if self.reading.is_over {
            self.reading = Reading::default();
        }
    }

    /// Whether the server does not listen to the peer just now, because others have the room for what it sends.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.reading.room.is_some()
    }
}

/// Whether the peer broke the rules, or the connection.
fn unreadable(error: &Error) -> Arrived {
    match error {
        Error::Io(_)
        | Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Arrived::Over,
        Error::Capacity(_) => Arrived::Unreadable { too_large: true },
        _ => Arrived::Unreadable { too_large: false },
    }
}
