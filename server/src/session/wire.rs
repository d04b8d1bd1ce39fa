//! The socket of a connection, read and written by one task: whoever waits for it waits for both directions, and one
//! readiness event wakes one task. (Split halves of a WebSocket wake each other for nothing: 35 µs a call on two cores.)

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::Sleep;

use super::outbound::{Queue, Queued};

/// Bytes written before the other direction has its turn.
const TURN_BYTES: usize = 256 << 10;

/// How long a peer may take to answer the last flush and the WebSocket close.
const GOODBYE: Duration = Duration::from_secs(1);

/// A connection's socket and what is queued for it.
pub(super) struct Wire {
    socket: WebSocket,
    queue: Queue,
    /// Frames the socket has taken in part, and how many of them.
    current: Option<(Queued, usize)>,
    unflushed: bool,
    /// Runs while the socket takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    write_deadline: Duration,
    ended: bool,
}

/// Nothing more can be sent or received.
pub(super) struct Broken;

impl Wire {
    pub(super) fn new(socket: WebSocket, queue: Queue, write_deadline: Duration) -> Self {
        Self {
            socket,
            queue,
            current: None,
            unflushed: false,
            stalled: None,
            write_deadline,
            ended: false,
        }
    }

    /// The peer's next frame, while what is queued is written. `None` when the connection is over.
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        poll_fn(|cx| {
            if let Poll::Ready(Err(Broken)) = self.poll_write(cx) {
                return Poll::Ready(None);
            }
            loop {
                return Poll::Ready(match ready!(self.socket.poll_next_unpin(cx)) {
                    Some(Ok(Message::Text(text))) => Some(text.into()),
                    Some(Ok(Message::Binary(bytes))) => Some(bytes),
                    // Answered by the library below us.
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    Some(Ok(Message::Close(_))) | None => None,
                    Some(Err(error)) => {
                        tracing::debug!(%error, "the connection broke");
                        None
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
    pub(super) async fn finish(mut self) {
        if poll_fn(|cx| self.poll_write(cx)).await.is_ok() {
            let _ = tokio::time::timeout(GOODBYE, self.socket.send(Message::Close(None))).await;
        }
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
            let stalled = self
                .stalled
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(deadline)));
            if stalled.as_mut().poll(cx).is_ready() {
                tracing::warn!("a peer did not read for {deadline:?}: its connection is closed");
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
        }
        if over { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}
