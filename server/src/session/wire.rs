//! The socket of a connection, read and written by one task: whoever waits for it waits for both directions, and one
//! readiness event wakes one task. (Split halves of a WebSocket wake each other for nothing: 35 µs a call on two cores.)

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{SinkExt as _, StreamExt as _};

use super::outbound::{Queue, Queued};
use crate::socket::Taken;
use crate::stood;

/// Bytes written before the other direction has its turn.
const TURN_BYTES: usize = 256 << 10;

/// How long a peer may take to answer the last flush and the WebSocket close.
const GOODBYE: Duration = Duration::from_secs(1);

/// Pongs that may wait to be sent. The library makes one for each ping and keeps it without bound, so beyond, reading waits
/// for a peer that asks and does not listen.
const PONGS_MAX: usize = 16;

/// A connection's socket and what is queued for it.
pub(super) struct Wire {
    socket: WebSocket,
    queue: Queue,
    /// Frames the socket has taken in part, and how many of them.
    current: Option<(Queued, usize)>,
    unflushed: bool,
    /// Pings read since the socket last took all.
    pongs: usize,
    /// Runs while the socket takes nothing, since it had taken so much.
    stalled: Option<(BoxFuture<'static, ()>, u64)>,
    taken: Option<Taken>,
    write_deadline: Duration,
    ended: bool,
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
    /// The peer is gone.
    Over,
}

impl Wire {
    pub(super) fn new(socket: WebSocket, taken: Option<Taken>, queue: Queue, write_deadline: Duration) -> Self {
        Self {
            socket,
            queue,
            current: None,
            unflushed: false,
            pongs: 0,
            stalled: None,
            taken,
            write_deadline,
            ended: false,
        }
    }

    /// What the peer sends next, while what is queued is written.
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Next {
        poll_fn(|cx| {
            if let Poll::Ready(Err(Broken)) = self.poll_write(cx) {
                return Poll::Ready(Next::Over);
            }
            loop {
                if self.pongs >= PONGS_MAX {
                    match self.socket.poll_flush_unpin(cx) {
                        Poll::Ready(Ok(())) => self.pongs = 0,
                        Poll::Ready(Err(_)) => return Poll::Ready(Next::Over),
                        Poll::Pending => match self.poll_write(cx) {
                            Poll::Ready(Err(Broken)) => return Poll::Ready(Next::Over),
                            _ => return Poll::Pending,
                        },
                    }
                }
                let next = self.socket.poll_next_unpin(cx);
                return Poll::Ready(match next {
                    Poll::Ready(Some(Ok(Message::Text(text)))) => Next::Frame(text.into()),
                    Poll::Ready(Some(Ok(Message::Binary(bytes)))) => Next::Frame(bytes),
                    // Answered by the library below us, which does not know how much waits.
                    Poll::Ready(Some(Ok(Message::Ping(_)))) => {
                        self.pongs += 1;
                        self.unflushed = true;
                        continue;
                    }
                    Poll::Ready(Some(Ok(Message::Pong(_)))) => continue,
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
                        return Poll::Pending;
                    }
                });
            }
        })
        .await
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
                let _ = self.socket.flush().await;
            }
            if self.socket.send(Message::Close(close)).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
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
            self.stalled = None;
        } else if written.is_pending() {
            let deadline = self.write_deadline;
            loop {
                let taken = self.taken.as_ref().map_or(0, Taken::bytes);
                let (stalled, before) = self
                    .stalled
                    .get_or_insert_with(|| (Box::pin(stood::sleep(deadline)), taken));
                if stalled.as_mut().poll(cx).is_pending() {
                    break;
                }
                if taken == *before {
                    tracing::warn!("a peer took nothing for {deadline:?}: its connection is closed");
                    // What is on its way to it will not be taken either.
                    self.taken.as_ref().inspect(|taken| taken.abandon());
                    return self.broken();
                }
                // A frame may be larger than what a slow link carries in that time.
                self.stalled = None;
            }
        }
        written.map(|_| Ok(()))
    }

    fn broken(&mut self) -> Poll<Result<(), Broken>> {
        self.ended = true;
        self.queue.close();
        Poll::Ready(Err(Broken))
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
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
                ready!(self.socket.poll_ready_unpin(cx))?;
                // The socket took something: the peer reads.
                self.stalled = None;
                let start = sent.checked_sub(1).map_or(0, |before| queued.ends[before]);
                let text = Utf8Bytes::try_from(queued.frames.slice(start..end)).map_err(axum::Error::new)?;
                self.socket.start_send_unpin(Message::Text(text))?;
                self.unflushed = true;
                *sent += 1;
            }
            turn = turn.saturating_sub(queued.frames.len());
            self.queue.sent(queued);
            self.current = None;
            if turn == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        };
        if self.unflushed {
            ready!(self.socket.poll_flush_unpin(cx))?;
            self.unflushed = false;
            self.pongs = 0;
        }
        if over { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

/// Whether the peer broke the rules, or the connection.
fn unreadable(error: &axum::Error) -> Next {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<std::io::Error>() {
            return Next::Over;
        }
        source = error.source();
    }
    // The library's errors are not ours to name, only to read.
    let text = error.to_string();
    if text.contains("without closing handshake") {
        return Next::Over;
    }
    let too_large = text.contains("too long");
    Next::Unreadable { too_large }
}
