//! The socket of a connection, read and written by one task: whoever waits for it waits for both directions, and one
//! readiness event wakes one task. (Split halves of a WebSocket wake each other for nothing: 35 µs a call on two cores.)

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use streamkit_protocol::limits::FRAME_BYTES_MAX;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::budget::Share;
use super::outbound::{Queue, Queued};
use super::patience::{Over, Patience};
use super::stream::{ALWAYS_BYTES, WebSocket, renewed};
use crate::http::Shared;
use crate::metrics::PeerGaveWay;
use crate::socket::Taken;

/// Bytes written before the other direction has its turn.
const TURN_BYTES: usize = 256 << 10;

/// How long a peer may take to answer the last flush and the WebSocket close.
const GOODBYE: Duration = Duration::from_secs(1);

/// Pongs that may wait to be sent. The library makes one for each ping and keeps it without bound, so beyond, reading waits
/// for a peer that asks and does not listen.
const PONGS_MAX: usize = 16;

/// A connection's socket and what is queued for it.
pub(super) struct Wire {
    shared: Arc<Shared>,
    /// There, but while it is renewed.
    socket: Option<WebSocket>,
    queue: Queue,
    /// Frames the socket has taken in part, and how many of them.
    current: Option<(Queued, usize)>,
    unflushed: bool,
    /// Pings read since the socket last took all.
    pongs: usize,
    /// While the socket takes not all that is written.
    writing: Option<Patience>,
    reading: Reading,
    /// Whether a part of a message is here.
    has_part: Arc<AtomicBool>,
    /// Whether something large went through the socket, and its buffers are as large since.
    has_large_buffers: bool,
    taken: Option<Taken>,
    ended: bool,
}

/// The large message that arrives, or is being dealt with.
#[derive(Default)]
struct Reading {
    /// The wait for its room.
    room: Option<BoxFuture<'static, Share>>,
    held: Option<Share>,
    /// While it is not all here.
    patience: Option<Patience>,
    /// Whether it was handed on.
    is_over: bool,
}

/// Nothing more can be sent or received.
pub(super) struct Broken;

/// What arrives from the peer.
pub(super) enum Next {
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
    pub(super) fn new(socket: WebSocket, taken: Option<Taken>, queue: Queue, shared: Arc<Shared>) -> Self {
        Self {
            shared,
            socket: Some(socket),
            queue,
            current: None,
            unflushed: false,
            pongs: 0,
            writing: None,
            reading: Reading::default(),
            has_part: Arc::default(),
            has_large_buffers: false,
            taken,
            ended: false,
        }
    }

    fn socket(&mut self) -> &mut WebSocket {
        self.socket.as_mut().expect("it is there")
    }

    /// What the peer sends next, while what is queued is written. What came before is dealt with.
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Next {
        if std::mem::take(&mut self.reading.is_over) {
            self.reading = Reading::default();
        }
        poll_fn(|cx| {
            if let Poll::Ready(Err(Broken)) = self.poll_write(cx) {
                return Poll::Ready(Next::Over);
            }
            self.poll_next(cx)
        })
        .await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            if self.pongs >= PONGS_MAX {
                match self.socket().poll_flush_unpin(cx) {
                    Poll::Ready(Ok(())) => self.pongs = 0,
                    Poll::Ready(Err(_)) => return Poll::Ready(Next::Over),
                    Poll::Pending => match self.poll_write(cx) {
                        Poll::Ready(Err(Broken)) => return Poll::Ready(Next::Over),
                        _ => return Poll::Pending,
                    },
                }
            }
            let next = self.socket().poll_next_unpin(cx);
            return Poll::Ready(match next {
                Poll::Ready(Some(Ok(Message::Text(text)))) => self.arrived(text.into()),
                Poll::Ready(Some(Ok(Message::Binary(bytes)))) => self.arrived(bytes),
                // Answered by the library below us, which does not know how much waits.
                Poll::Ready(Some(Ok(Message::Ping(_)))) => {
                    self.pongs += 1;
                    self.unflushed = true;
                    continue;
                }
                Poll::Ready(Some(Ok(Message::Pong(_) | Message::Frame(_)))) => continue,
                Poll::Ready(Some(Ok(Message::Close(_))) | None) => Next::Over,
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "the connection broke");
                    unreadable(&error)
                }
                Poll::Pending => {
                    // The write deadline counts for pongs too.
                    if self.pongs > 0
                        && let Poll::Ready(Err(Broken)) = self.poll_write(cx)
                    {
                        return Poll::Ready(Next::Over);
                    }
                    match ready!(self.poll_room(cx)) {
                        Some(next) => next,
                        None => continue,
                    }
                }
            });
        }
    }

    fn arrived(&mut self, frame: Bytes) -> Next {
        self.reading.patience = None;
        self.reading.is_over = true;
        self.has_large_buffers |= frame.len() as u64 > ALWAYS_BYTES;
        self.socket().get_mut().grant(0);
        Next::Frame(frame)
    }

    /// Nothing more is here for now. Ready when it would, since a large message has its room, or when no more will.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Option<Next>> {
        let limits = &self.shared.limits;
        let frames = &self.shared.budgets.frames;
        let stream = self.socket.as_mut().expect("it is there").get_mut();
        self.has_part.store(!stream.is_between_messages(), Ordering::Relaxed);
        let Some(needs) = stream.needs() else {
            if self.reading.held.is_some() {
                let read = stream.bytes_read();
                let new = || Patience::new(limits.silence, limits.give_way, read);
                let patience = self.reading.patience.get_or_insert_with(new);
                return patience.poll(cx, read, || frames.is_wanted()).map(|over| match over {
                    Over::Nothing => {
                        tracing::debug!("nothing of a large frame for {:?}: the peer is gone", limits.silence);
                        Some(Next::Over)
                    }
                    Over::GivesWay => {
                        tracing::debug!("a peer sends a large frame too slowly: its connection is closed");
                        self.shared.metrics.peer_gave_way(PeerGaveWay::Sending);
                        Some(Next::TooSlow)
                    }
                });
            }
            return match self.renews() {
                true => Poll::Ready(None),
                false => Poll::Pending,
            };
        };
        if needs > FRAME_BYTES_MAX as u64 {
            return Poll::Ready(Some(Next::Unreadable { too_large: true }));
        }
        // A message whose size is not known takes what it may have at most, so it waits here once only.
        let room = self.reading.room.get_or_insert_with(|| {
            let frames = frames.clone();
            Box::pin(async move { frames.take(needs as usize).await })
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
        self.socket = self.socket.take().and_then(renewed);
        true
    }

    /// Whether a part of a message was here when nothing more was: true or false whenever [`Wire::next`] is pending.
    pub(super) fn has_part(&self) -> Arc<AtomicBool> {
        self.has_part.clone()
    }

    /// Whether nothing more is here for now, nor a part of a message. What is, is lost: to be asked when nothing more is read.
    pub(super) fn is_drained(&mut self) -> bool {
        let next = tokio::task::unconstrained(self.next()).now_or_never();
        matches!(next, None | Some(Next::Over)) && !self.has_part.load(Ordering::Relaxed)
    }

    /// Gives up the room that is waited for, and that of a message which was dealt with: nothing more is read. A part of one
    /// keeps its room, as it is in memory.
    pub(super) fn waits_no_longer(&mut self) {
        self.reading.room = None;
        if self.reading.is_over {
            self.reading = Reading::default();
        }
    }

    /// Whether the server does not listen to the peer just now, because others have the room for what it sends.
    pub(super) fn waits_for_room(&self) -> bool {
        self.reading.room.is_some()
    }

    /// Does `work`, which may wait for room in the queue, while what is queued is written.
    ///
    /// # Errors
    /// [`Broken`]: the socket takes no more. `work` was dropped.
    pub(super) async fn while_writing<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Broken> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            match self.poll_write(cx) {
                Poll::Ready(Err(Broken)) => Poll::Ready(Err(Broken)),
                Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Lets nothing more into the queue.
    pub(super) fn close_queue(&self) {
        self.queue.close();
    }

    /// Writes what is queued, then closes the WebSocket. To be called when all senders are gone.
    pub(super) async fn finish(mut self, close: Option<CloseFrame>) {
        if poll_fn(|cx| self.poll_write(cx)).await.is_err() {
            return;
        }
        // What the peer has sent meanwhile is read, and dropped, until it closes too: with bytes unread, the kernel would
        // not deliver what is still on its way.
        let closed = async {
            // If the peer closed first, the library has its answer ready, and refuses another.
            if close.is_none() {
                let _ = self.socket().flush().await;
            }
            if self.socket().send(Message::Close(close)).await.is_ok() {
                while let Some(Ok(_)) = self.socket().next().await {}
            }
        };
        let _ = tokio::time::timeout(GOODBYE, closed).await;
    }

    /// Writes what is queued. Ready when nothing will be queued any more and all is written; pending while the queue is
    /// empty, or the socket full.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.ended {
            return Poll::Ready(Err(Broken));
        }
        let written = self.poll_written(cx);
        if let Poll::Ready(Err(error)) = written {
            tracing::debug!(%error, "the connection broke");
            return self.broken();
        }
        let waits = self.unflushed || self.current.is_some();
        if !waits {
            self.writing = None;
        } else if written.is_pending() {
            let written = self.socket().get_ref().bytes_written();
            let (limits, outgoing) = (&self.shared.limits, &self.shared.budgets.outgoing);
            let new = || Patience::new(limits.write_deadline, limits.give_way, written);
            let patience = self.writing.get_or_insert_with(new);
            let queue = &self.queue;
            let is_in_the_way = || outgoing.is_wanted() && queue.is_in_the_way();
            if let Poll::Ready(over) = patience.poll(cx, written, is_in_the_way) {
                let deadline = limits.write_deadline;
                match over {
                    Over::Nothing => {
                        tracing::warn!("a peer took nothing for {deadline:?}: its connection is closed");
                    }
                    Over::GivesWay => {
                        tracing::debug!("a peer took too little while others waited: its connection is closed");
                        self.shared.metrics.peer_gave_way(PeerGaveWay::Receiving);
                    }
                }
                // What is on its way to it will not be taken either.
                self.taken.as_ref().inspect(|taken| taken.abandon());
                return self.broken();
            }
        }
        written.map(|_| Ok(()))
    }

    fn broken(&mut self) -> Poll<Result<(), Broken>> {
        self.ended = true;
        self.queue.close();
        Poll::Ready(Err(Broken))
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let socket = self.socket.as_mut().expect("it is there");
        let mut turn = TURN_BYTES;
        let over = loop {
            let (queued, sent) = match &mut self.current {
                Some(current) => current,
                None => match self.queue.poll_next(cx) {
                    Poll::Ready(Some(queued)) => self.current.insert((queued, 0)),
                    Poll::Ready(None) => break true,
                    Poll::Pending => break false,
                },
            };
            while let Some(&end) = queued.ends.get(*sent) {
                ready!(socket.poll_ready_unpin(cx))?;
                let start = sent.checked_sub(1).map_or(0, |before| queued.ends[before]);
                let text =
                    Utf8Bytes::try_from(queued.frames.slice(start..end)).map_err(|_| Error::Utf8(String::new()))?;
                self.has_large_buffers |= (end - start) as u64 > ALWAYS_BYTES;
                socket.start_send_unpin(Message::Text(text))?;
                self.unflushed = true;
                *sent += 1;
                if *sent == queued.ends.len() {
                    turn = turn.saturating_sub(queued.frames.len());
                    // The library has a copy of what the socket has not taken.
                    queued.frames = Bytes::new();
                }
            }
            // What it has a copy of counts as long as it has.
            ready!(socket.poll_ready_unpin(cx))?;
            if let Some((queued, _)) = self.current.take() {
                self.queue.sent(queued);
            }
            if turn == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        };
        if self.unflushed {
            ready!(socket.poll_flush_unpin(cx))?;
            self.unflushed = false;
            self.pongs = 0;
        }
        if over { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

/// Whether the peer broke the rules, or the connection.
fn unreadable(error: &Error) -> Next {
    match error {
        Error::Io(_)
        | Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Next::Over,
        Error::Capacity(_) => Next::Unreadable { too_large: true },
        _ => Next::Unreadable { too_large: false },
    }
}
