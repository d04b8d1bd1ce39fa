//! How a client gets a fresh stream of bytes to its server: over the network, or in a way of its caller's.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A way to a server, asked for a stream at each dial; the WebSocket handshake with its token goes over that. Also any closure that
/// returns a future of a stream is one. Given to [`Builder::transport`](crate::Builder::transport).
pub trait Transport: Send + Sync + 'static {
    /// Bytes to the server and back.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// A fresh stream.
    ///
    /// # Errors
    /// There is no way to the server now. The client's [`RetryPolicy`](crate::RetryPolicy) says how often it tries again.
    fn connect(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl<F, Fut, S> Transport for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = io::Result<S>> + Send,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Stream = S;

    fn connect(&self) -> impl Future<Output = io::Result<S>> + Send {
        self()
    }
}

type Connecting = Pin<Box<dyn Future<Output = io::Result<Bytes>> + Send>>;

/// A way to the server of a client.
#[derive(Clone)]
pub(crate) enum Way {
    /// To the host and the port in its address.
    Network,
    /// Its caller's.
    Own(Arc<dyn Fn() -> Connecting + Send + Sync>),
}

impl Way {
    pub(crate) fn own(transport: impl Transport) -> Self {
        let transport = Arc::new(transport);
        Self::Own(Arc::new(move || {
            let transport = transport.clone();
            Box::pin(async move { Ok(Bytes::Own(Box::new(transport.connect().await?))) })
        }))
    }

    /// A fresh stream to the server at `address`, a host and a port.
    pub(crate) async fn connect(&self, address: &str) -> io::Result<Bytes> {
        match self {
            Self::Network => {
                let tcp = TcpStream::connect(address).await?;
                tcp.set_nodelay(true)?;
                Ok(Bytes::Tcp(tcp))
            }
            Self::Own(connect) => connect().await,
        }
    }
}

/// What a caller's transport gives.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// Bytes to a server and back.
pub(crate) enum Bytes {
    Tcp(TcpStream),
    Own(Box<dyn Duplex>),
}

/// Does the same with whichever it is.
macro_rules! whichever {
    ($bytes:expr, $stream:ident => $does:expr) => {
        match $bytes {
            Bytes::Tcp($stream) => $does,
            Bytes::Own($stream) => $does,
        }
    };
}

impl AsyncRead for Bytes {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        whichever!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Bytes {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        whichever!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        whichever!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, bytes))
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
