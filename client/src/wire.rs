//! The socket of a connection, read and written by one task.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::connection::{Connection, Outgoing};

/// Bytes written before the other direction has its turn.
const TURN_BYTES: usize = 256 << 10;

/// How long a server may take to answer the WebSocket close.
const GOODBYE: Duration = Duration::from_secs(1);

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A connection's socket and what is queued for it.
pub(crate) struct Wire {
    socket: Socket,
    queued: mpsc::UnboundedReceiver<Outgoing>,
    connection: Arc<Connection>,
    /// Frames the socket has taken in part, and how many of them.
    current: Option<(Outgoing, usize)>,
    unflushed: bool,
    over: bool,
}

impl Wire {
    pub(crate) fn new(socket: Socket, queued: mpsc::UnboundedReceiver<Outgoing>, connection: Arc<Connection>) -> Self {
        Self {
            socket,
            queued,
            connection,
            current: None,
            unflushed: false,
            over: false,
        }
    }

    /// The server's next frame, while what is queued is written; or why there will be none.
    ///
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Bytes, String> {
        poll_fn(|cx| {
            if let Poll::Ready(why) = self.poll_write(cx) {
                return Poll::Ready(Err(why));
            }
            loop {
                return Poll::Ready(match ready!(self.socket.poll_next_unpin(cx)) {
                    Some(Ok(Message::Text(text))) => Ok(text.into()),
                    Some(Ok(Message::Binary(bytes))) => Ok(bytes),
                    Some(Ok(Message::Close(_))) | None => Err("the server closed the connection".to_owned()),
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                    Some(Err(error)) => Err(error.to_string()),
                });
            }
        })
        .await
    }

    /// Does `work`, which may wait for a channel's consumer, while what is queued is written; or why that cannot go on.
    pub(crate) async fn while_writing<T>(&mut self, work: impl Future<Output = T>) -> Result<T, String> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            self.poll_write(cx).map(Err)
        })
        .await
    }

    /// Closes the WebSocket.
    pub(crate) async fn finish(mut self) {
        let _ = tokio::time::timeout(GOODBYE, self.socket.close(None)).await;
    }

    /// Writes what is queued. Ready, with the reason, when nothing more can or will be written.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        if self.over {
            return Poll::Ready("closed".to_owned());
        }
        let why = match ready!(self.poll_written(cx)) {
            Ok(()) => "closed".to_owned(),
            Err(error) => error.to_string(),
        };
        self.over = true;
        Poll::Ready(why)
    }

    /// Ready once all is written up to the goodbye.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut turn = TURN_BYTES;
        let goodbye = loop {
            let (outgoing, sent) = match &mut self.current {
                Some(current) => current,
                None => match self.poll_queued(cx) {
                    Poll::Ready(Some(outgoing)) => self.current.insert((outgoing, 0)),
                    Poll::Ready(None) => break true,
                    Poll::Pending => break false,
                },
            };
            let Outgoing::Frames { frames, ends, permits } = outgoing else {
                break true;
            };
            while let Some(&end) = ends.get(*sent) {
                ready!(self.socket.poll_ready_unpin(cx))?;
                let start = sent.checked_sub(1).map_or(0, |before| ends[before]);
                let text = Utf8Bytes::try_from(frames.slice(start..end));
                // What we encode is UTF-8.
                self.socket.start_send_unpin(Message::Text(text.unwrap_or_default()))?;
                self.unflushed = true;
                *sent += 1;
            }
            turn = turn.saturating_sub(frames.len());
            self.connection.sent(*permits);
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
        if goodbye { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_queued(&mut self, cx: &mut Context<'_>) -> Poll<Option<Outgoing>> {
        match self.queued.try_recv() {
            Ok(outgoing) => Poll::Ready(Some(outgoing)),
            Err(_) => self.queued.poll_recv(cx),
        }
    }
}
