//! The progress of sending, so that time on a slow uplink does not count as silence of the server.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::metrics::Counters;

/// When a socket last took bytes.
pub(crate) struct Progress(Mutex<Instant>);

impl Progress {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Instant::now())))
    }

    fn moved(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long it has taken none.
    pub(crate) fn stalled_for(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// What one channel has queued and the socket not taken yet.
pub(crate) struct Unsent(Mutex<(usize, Instant)>);

impl Unsent {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new((0, Instant::now()))))
    }

    pub(crate) fn queued(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 += 1;
    }

    pub(crate) fn sent(&self) {
        let mut unsent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *unsent = (unsent.0.saturating_sub(1), Instant::now());
    }

    /// Since when all is sent: now, while something waits.
    pub(crate) fn all_sent(&self) -> Instant {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            (0, last) => last,
            _ => Instant::now(),
        }
    }
}

/// A socket that notes when it takes bytes, and counts them in both directions.
pub(crate) struct Metered<S> {
    socket: S,
    progress: Arc<Progress>,
    counters: Arc<Counters>,
}

impl<S> Metered<S> {
    pub(crate) fn new(socket: S, progress: Arc<Progress>, counters: Arc<Counters>) -> Self {
        Self {
            socket,
            progress,
            counters,
        }
    }

    fn took(&self, bytes: usize) {
        self.progress.moved();
        self.counters.sent(bytes);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        self.counters.received(buffer.filled().len().saturating_sub(before));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let taken = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes))?;
        self.took(taken);
        Poll::Ready(Ok(taken))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let taken = ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, bytes))?;
        self.took(taken);
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
