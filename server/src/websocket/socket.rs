//! A connection's TCP socket: it counts what the peer sends, so that a slow peer can be told from one that does nothing, and it
//! is closed without losing what is still on its way.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

/// How long a closed socket reads on, waiting for the peer to close too.
const LINGER: Duration = Duration::from_secs(1);

/// What is known of a socket above it. Clones are of the same one.
#[derive(Clone, Default)]
pub(crate) struct Taken(Arc<Known>);

#[derive(Default)]
struct Known {
    read: AtomicU64,
    abandoned: AtomicBool,
}

impl Taken {
    /// Closes the socket at once when it is dropped: nothing is on its way to the peer that matters.
    pub(crate) fn abandon(&self) {
        self.0.abandoned.store(true, Ordering::Relaxed);
    }

    /// What came from the peer.
    pub(crate) fn read(&self) -> u64 {
        self.0.read.load(Ordering::Relaxed)
    }
}

/// A TCP socket.
pub(crate) struct Socket {
    /// There until the end of its drop.
    stream: Option<TcpStream>,
    taken: Taken,
    /// The peer has closed its side, or the connection broke.
    over: bool,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, taken: Taken) -> Self {
        Self {
            stream: Some(stream),
            taken,
            over: false,
        }
    }

    /// As [`Taken::abandon`].
    pub(crate) fn abandon(&self) {
        self.taken.abandon();
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Pin::new(stream))
    }

    fn wrote(&mut self, written: io::Result<usize>) -> io::Result<usize> {
        self.over |= written.is_err();
        written
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(self.stream()?.poll_read(cx, buf));
        let bytes = buf.filled().len() - before;
        self.taken.0.read.fetch_add(bytes as u64, Ordering::Relaxed);
        self.over |= read.is_err() || (bytes == 0 && buf.remaining() > 0);
        Poll::Ready(read)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(self.stream()?.poll_write(cx, buf));
        Poll::Ready(self.wrote(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.stream()?.poll_write_vectored(cx, bufs));
        Poll::Ready(self.wrote(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

/// A socket closed while bytes of its peer are unread is reset by the kernel, and what is still on its way to the peer is
/// lost: its last status, or why the connection ends. So one whose peer has not closed is read for a while longer.
impl Drop for Socket {
    fn drop(&mut self) {
        let over = self.over || self.taken.0.abandoned.load(Ordering::Relaxed);
        let Some(mut stream) = self.stream.take().filter(|_| !over) else {
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(tokio::time::timeout(LINGER, async move {
            if stream.shutdown().await.is_ok() {
                let mut unread = [0; 4096];
                while stream.read(&mut unread).await.is_ok_and(|bytes| bytes > 0) {}
            }
        }));
    }
}
