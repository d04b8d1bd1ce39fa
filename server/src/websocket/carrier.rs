//! What a connection's bytes go through: TCP, TLS over it, or memory to a client in this process. One enum, so that none of them pays
//! for the others.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::counted::{Counted, Taken};

/// Bytes that TLS takes ahead of the socket: those of one record.
const TLS_BUFFER_BYTES: usize = 16 << 10;

/// One of them.
pub(super) enum Carrier {
    Tcp(Counted<TcpStream>),
    Tls(Box<TlsStream<Counted<TcpStream>>>),
    Memory(Counted<DuplexStream>),
}

/// Does the same with whichever it is.
macro_rules! whichever {
    ($carrier:expr, $stream:ident => $does:expr) => {
        match $carrier {
            Carrier::Tcp($stream) => $does,
            Carrier::Tls($stream) => $does,
            Carrier::Memory($stream) => $does,
        }
    };
}

impl Carrier {
    /// TLS over TCP, once its handshake is done. When that fails, what is left of the connection and why.
    pub(super) async fn tls(
        stream: TcpStream,
        config: Arc<ServerConfig>,
        taken: Taken,
    ) -> Result<Self, (Self, io::Error)> {
        let stream = Counted::new(stream, taken);
        let handshake =
            TlsAcceptor::from(config).accept_with(stream, |tls| tls.set_buffer_limit(Some(TLS_BUFFER_BYTES)));
        match handshake.into_fallible().await {
            Ok(stream) => Ok(Self::Tls(Box::new(stream))),
            Err((error, stream)) => Err((Self::Tcp(stream), error)),
        }
    }

    pub(super) fn tcp(stream: TcpStream, taken: Taken) -> Self {
        Self::Tcp(Counted::new(stream, taken))
    }

    pub(super) fn memory(stream: DuplexStream, taken: Taken) -> Self {
        Self::Memory(Counted::new(stream, taken))
    }
}

impl AsyncRead for Carrier {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        whichever!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Carrier {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        whichever!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        whichever!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        whichever!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        whichever!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        whichever!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}
