//! One end of a connection: it knows whether the peer is still there, and is closed without losing what is still on its way.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};
use tokio::net::TcpStream;

use super::carrier::Carrier;
use super::counted::Taken;

/// How long a closed socket reads on, waiting for the peer to close too.
const LINGER: Duration = Duration::from_secs(1);

/// One end of a connection.
pub(crate) struct Socket {
    /// There until the end of its drop.
    carrier: Option<Carrier>,
    taken: Taken,
    /// The peer has closed its side, or the connection broke.
    over: bool,
}

impl Socket {
    /// Over TCP.
    pub(crate) fn tcp(stream: TcpStream, taken: Taken) -> Self {
        Self::over(Carrier::tcp(stream, taken.clone()), taken)
    }

    /// Over TLS, once its handshake is done.
    ///
    /// # Errors
    /// Why it is not. The peer is told, as far as it listens.
    pub(crate) async fn tls(stream: TcpStream, config: Arc<ServerConfig>, taken: Taken) -> io::Result<Self> {
        match Carrier::tls(stream, config, taken.clone()).await {
            Ok(carrier) => Ok(Self::over(carrier, taken)),
            Err((carrier, error)) => {
                // Its drop lets the alert arrive.
                drop(Self::over(carrier, taken));
                Err(error)
            }
        }
    }

    /// Over memory, to a peer in this process.
    pub(crate) fn memory(stream: DuplexStream, taken: Taken) -> Self {
        Self::over(Carrier::memory(stream, taken.clone()), taken)
    }

    fn over(carrier: Carrier, taken: Taken) -> Self {
        Self {
            carrier: Some(carrier),
            taken,
            over: false,
        }
    }

    /// As [`Taken::abandon`].
    pub(crate) fn abandon(&self) {
        self.taken.abandon();
    }

    fn carrier(&mut self) -> io::Result<Pin<&mut Carrier>> {
        let carrier = self.carrier.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Pin::new(carrier))
    }

    fn wrote(&mut self, written: io::Result<usize>) -> io::Result<usize> {
        self.over |= written.is_err();
        written
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(self.carrier()?.poll_read(cx, buf));
        self.over |= read.is_err() || (buf.filled().len() == before && buf.remaining() > 0);
        Poll::Ready(read)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(self.carrier()?.poll_write(cx, buf));
        Poll::Ready(self.wrote(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.carrier()?.poll_write_vectored(cx, bufs));
        Poll::Ready(self.wrote(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.carrier.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.carrier()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.carrier()?.poll_shutdown(cx)
    }
}

/// A socket closed while bytes of its peer are unread is reset by the kernel, and what is still on its way to the peer is
/// lost: its last status, or why the connection ends. So one whose peer has not closed is read for a while longer.
impl Drop for Socket {
    fn drop(&mut self) {
        let over = self.over || self.taken.is_abandoned();
        let Some(mut carrier) = self.carrier.take().filter(|_| !over) else {
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(tokio::time::timeout(LINGER, async move {
            if carrier.shutdown().await.is_ok() {
                let mut unread = [0; 4096];
                while carrier.read(&mut unread).await.is_ok_and(|bytes| bytes > 0) {}
            }
        }));
    }
}
