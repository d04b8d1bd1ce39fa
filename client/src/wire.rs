//! The socket of a connection, read and written by one task.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::{Instant, Sleep, sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::progress::{Metered, Progress};
use crate::transport;

/// Bytes written before the other direction has its turn.
const TURN_BYTES: usize = 256 << 10;

/// How long a server may take to answer the WebSocket close, and how long what it sent is waited for once nothing can be
/// written any more.
const GOODBYE: Duration = Duration::from_secs(1);

/// A server that takes not one byte of what waits for it for so long is gone.
pub(crate) const WRITE_DEADLINE: Duration = Duration::from_secs(30);

pub(crate) type Socket = WebSocketStream<Metered<transport::Bytes>>;

/// What waits to be sent over a connection.
pub(crate) trait Queue {
    /// The next message; `None`: nothing is sent after the last one.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>>;

    /// The socket has taken the message that came last from the queue.
    fn taken(&mut self);
}

/// A connection's socket and what is queued for it.
pub(crate) struct Wire<Q> {
    socket: Socket,
    queue: Q,
    progress: Arc<Progress>,
    /// What the socket is to take next.
    next: Option<Message>,
    unflushed: bool,
    write_deadline: Duration,
    /// Runs while something waits to be written.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Why nothing more can be written, and for how long it is still read.
    broken: Option<(String, Pin<Box<Sleep>>)>,
}

impl<Q: Queue> Wire<Q> {
    pub(crate) fn new(socket: Socket, queue: Q, progress: Arc<Progress>, write_deadline: Duration) -> Self {
        Self {
            socket,
            queue,
            progress,
            next: None,
            unflushed: false,
            write_deadline,
            stalled: None,
            broken: None,
        }
    }

    /// The server's next message, a text or a binary one, while what is queued is written; or why there will be none. When writing
    /// fails, what the server has sent before is returned first: acknowledgements, and perhaps its reason.
    ///
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Message, String> {
        poll_fn(|cx| {
            if self.broken.is_none() {
                match self.poll_write(cx) {
                    Poll::Ready(Ok(())) => return Poll::Ready(Err("closed".to_owned())),
                    Poll::Ready(Err(why)) => self.broken = Some((why, Box::pin(sleep(GOODBYE)))),
                    Poll::Pending => {}
                }
            }
            let Some((why, patience)) = &mut self.broken else {
                return self.poll_read(cx);
            };
            if patience.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(why.clone()));
            }
            let why = why.clone();
            self.poll_read(cx).map_err(|_| why)
        })
        .await
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, String>> {
        loop {
            return Poll::Ready(match ready!(self.socket.poll_next_unpin(cx)) {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => Ok(message),
                Some(Ok(Message::Close(_))) | None => Err("the server closed the connection".to_owned()),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Err(error)) => Err(error.to_string()),
            });
        }
    }

    /// Closes the WebSocket.
    pub(crate) async fn finish(mut self) {
        let _ = tokio::time::timeout(GOODBYE, self.socket.close(None)).await;
    }

    /// Writes what is queued. Ready when all is written up to the goodbye, or with the reason when nothing more can be.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        let written = self.poll_written(cx).map_err(|error| error.to_string());
        if written.is_ready() || !(self.unflushed || self.next.is_some()) {
            self.stalled = None;
            return written;
        }
        let deadline = self.write_deadline;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(deadline)));
        while stalled.as_mut().poll(cx).is_ready() {
            let left = deadline.saturating_sub(self.progress.stalled_for());
            if left.is_zero() {
                return Poll::Ready(Err(format!("the server took no bytes for {deadline:?}")));
            }
            stalled.as_mut().reset(Instant::now() + left);
        }
        Poll::Pending
    }

    /// Ready once all is written up to the goodbye.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut turn = TURN_BYTES;
        let goodbye = loop {
            let message = match self.next.take() {
                Some(message) => message,
                None => match self.queue.poll_next(cx) {
                    Poll::Ready(Some(message)) => message,
                    Poll::Ready(None) => break true,
                    Poll::Pending => break false,
                },
            };
            let ready = self.socket.poll_ready_unpin(cx);
            if ready.is_pending() {
                self.next = Some(message);
                return Poll::Pending;
            }
            ready!(ready)?;
            turn = turn.saturating_sub(message.len());
            self.socket.start_send_unpin(message)?;
            self.unflushed = true;
            self.queue.taken();
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
}

#[cfg(test)]
pub(crate) mod tests {
    use tokio::net::{TcpListener, TcpStream};
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

    use super::*;

    /// A socket to a server that does what it is told with its end.
    pub(crate) async fn socket(progress: Arc<Progress>) -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        let config = WebSocketConfig::default();
        let metered = Metered::new(transport::Bytes::Tcp(near), progress, Arc::default());
        (
            WebSocketStream::from_raw_socket(metered, Role::Client, Some(config)).await,
            far,
        )
    }

    /// One large message after another.
    struct Endless;

    impl Queue for Endless {
        fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Option<Message>> {
            Poll::Ready(Some(Message::Text("x".repeat(1 << 20).into())))
        }

        fn taken(&mut self) {}
    }

    #[tokio::test]
    async fn a_server_that_takes_nothing_is_given_up() {
        let progress = Progress::new();
        let (socket, _far) = socket(progress.clone()).await;
        let mut wire = Wire::new(socket, Endless, progress, Duration::from_millis(200));
        let why = tokio::time::timeout(Duration::from_secs(60), wire.next())
            .await
            .unwrap();
        assert!(why.unwrap_err().contains("took no bytes"));
    }
}
