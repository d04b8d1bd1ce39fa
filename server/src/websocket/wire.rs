//! The socket of a connection, read and written by one task: whoever waits for it waits for both directions, and one
//! readiness event wakes one task. (Split halves of a WebSocket wake each other for nothing: 35 µs a call on two cores.)

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use streamkit_engine::StoreId;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::counted::Taken;
use super::form::Form;
use super::outbound::{self, Outbound, Queue, Queued};
use super::patience::{Over, Patience};
use super::receiving::Reading;
use super::stream::{ALWAYS_BYTES, Stream, WebSocket};
use crate::budgets::TenantFrames;
use crate::metrics::{Limit, PeerGaveWay};
use crate::shared::Shared;

/// Bytes written before the other direction has its turn.
const TURN_BYTES: usize = 256 << 10;

/// How long a peer may take to answer the last flush and the WebSocket close.
const GOODBYE: Duration = Duration::from_secs(1);

/// A connection's socket and what is queued for it.
pub(crate) struct Wire {
    pub(super) shared: Arc<Shared>,
    /// There, but while it is renewed.
    pub(super) socket: Option<WebSocket>,
    pub(super) form: Form,
    queue: Queue,
    /// Frames the socket has taken in part, and how many of them.
    pub(super) current: Option<(Queued, usize)>,
    pub(super) unflushed: bool,
    /// Pings read since the socket last took all.
    pub(super) pongs: usize,
    /// While the socket takes not all that is written.
    writing: Option<Patience>,
    /// What its tenant may have of messages that arrive.
    pub(super) frames: Arc<TenantFrames>,
    pub(super) reading: Reading,
    /// Whether a part of a message is here.
    pub(super) has_part: Arc<AtomicBool>,
    /// Whether something large went through the socket, and its buffers are as large since.
    pub(super) has_large_buffers: bool,
    taken: Option<Taken>,
    ended: bool,
}

/// Nothing more can be sent or received.
pub(crate) struct Broken;

impl Wire {
    /// A WebSocket over an upgraded connection of a tenant, if it is one, and where its frames are queued. `taken` tells of the socket below, if it is one of
    /// ours.
    pub(crate) async fn open(
        upgraded: Upgraded,
        taken: Option<Taken>,
        shared: Arc<Shared>,
        tenant: Option<StoreId>,
        form: Form,
    ) -> (Self, Outbound) {
        let socket = Stream::open(upgraded, form, shared.metrics.traffic.clone()).await;
        let (outbound, queue) = outbound::queue(&shared.limits, shared.budgets.clone());
        let wire = Self {
            frames: shared.budgets.frames.of(tenant.map(|store| store.0)),
            shared,
            socket: Some(socket),
            form,
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
        };
        (wire, outbound)
    }

    pub(super) fn socket(&mut self) -> &mut WebSocket {
        self.socket.as_mut().expect("it is there")
    }

    /// Bytes that the peer has taken, as far down as that is known.
    fn bytes_written(&mut self) -> u64 {
        match &self.taken {
            Some(taken) => taken.written(),
            None => self.socket().get_ref().bytes_written(),
        }
    }

    /// Bytes that the peer has sent, as far down as that is known.
    pub(super) fn bytes_read(&mut self) -> u64 {
        match &self.taken {
            Some(taken) => taken.read(),
            None => self.socket().get_ref().bytes_read(),
        }
    }

    /// Whether a part of a message was here when nothing more was: true or false whenever [`Wire::next`] is pending.
    pub(crate) fn has_part(&self) -> Arc<AtomicBool> {
        self.has_part.clone()
    }

    /// Does `work`, which may wait for room in the queue, while what is queued is written. It is pinned elsewhere, so that a connection
    /// has room for it once.
    ///
    /// Cancel safe, as far as `work` is.
    ///
    /// # Errors
    /// [`Broken`]: the socket takes no more, and `work` is not done.
    pub(crate) async fn while_writing<T>(&mut self, mut work: impl Future<Output = T> + Unpin) -> Result<T, Broken> {
        poll_fn(|cx| {
            if let Poll::Ready(done) = pin!(&mut work).poll(cx) {
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
    pub(crate) fn close_queue(&self) {
        self.queue.close();
    }

    /// Writes what is queued, then closes the WebSocket. To be called when all senders are gone.
    pub(crate) async fn finish(mut self, close: Option<CloseFrame>) {
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
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
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
            let written = self.bytes_written();
            let (limits, outgoing) = (&self.shared.limits, &self.shared.budgets.outgoing);
            let new = || Patience::new(limits.write_deadline, limits.give_way, written);
            let patience = self.writing.get_or_insert_with(new);
            let queue = &self.queue;
            let is_in_the_way = || outgoing.is_wanted() && queue.is_in_the_way();
            if let Poll::Ready(over) = patience.poll(cx, written, is_in_the_way) {
                let deadline = limits.write_deadline;
                match over {
                    Over::Nothing => {
                        self.shared.metrics.peers.limit_hit(Limit::WriteDeadline);
                        tracing::warn!("a peer took nothing for {deadline:?}: its connection is closed");
                    }
                    Over::GivesWay => {
                        tracing::debug!("a peer took too little while others waited: its connection is closed");
                        self.shared.metrics.peers.peer_gave_way(PeerGaveWay::Receiving);
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
                None => match match self.form {
                    Form::Text => self.queue.poll_next(cx),
                    Form::Binary => self.queue.poll_message(cx),
                } {
                    Poll::Ready(Some(queued)) => self.current.insert((queued, 0)),
                    Poll::Ready(None) => break true,
                    Poll::Pending => break false,
                },
            };
            while let Some(&end) = queued.ends.get(*sent) {
                ready!(socket.poll_ready_unpin(cx))?;
                let start = sent.checked_sub(1).map_or(0, |before| queued.ends[before]);
                let bytes = queued.frames.slice(start..end);
                self.has_large_buffers |= (end - start) as u64 > ALWAYS_BYTES;
                let message = match self.form {
                    Form::Text => Message::Text(Utf8Bytes::try_from(bytes).map_err(|_| Error::Utf8(String::new()))?),
                    Form::Binary => Message::Binary(bytes),
                };
                socket.start_send_unpin(message)?;
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
