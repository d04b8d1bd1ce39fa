//! What a connection's bytes go through: TCP, or memory to a client in this process. One enum, so that none of them pays for the
//! others.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;

use super::counted::{Counted, Taken};

/// Either of them.
pub(super) enum Carrier {
    Tcp(Counted<TcpStream>),
    Memory(Counted<DuplexStream>),
}

/// Does the same with whichever it is.
macro_rules! whichever {
    ($carrier:expr, $stream:ident => $does:expr) => {
        match $carrier {
            Carrier::Tcp($stream) => $does,
            Carrier::Memory($stream) => $does,
        }
    };
}

impl Carrier {
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
